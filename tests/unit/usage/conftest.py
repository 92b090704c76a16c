"""One table for all tests of summaries: each has a tenant of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.aws import shared
from tests.faults import make_table
from tests.unit.usage.world import World


@pytest.fixture(scope="session")
def usage_table(ministack: str) -> Iterator[Any]:
    with shared(ministack, f"5{os.getpid():011d}") as client:
        make_table(client, "usage")
        yield client


@pytest.fixture
def world(usage_table: Any) -> World:
    return World(usage_table)
