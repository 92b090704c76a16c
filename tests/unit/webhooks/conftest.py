"""One table for all tests of webhooks: each has a tenant of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.aws import shared
from tests.faults import make_table
from tests.unit.webhooks.world import World


@pytest.fixture(scope="session")
def webhooks_table(ministack: str) -> Iterator[Any]:
    with shared(ministack, f"6{os.getpid():011d}") as client:
        for name in ("webhooks", "runtime"):
            make_table(client, name)
        yield client


@pytest.fixture
def world(webhooks_table: Any) -> Iterator[World]:
    made = World(webhooks_table)
    yield made
    made.close()
