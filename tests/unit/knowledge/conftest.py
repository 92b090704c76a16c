"""One table for all tests of training: each has a tenant of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.aws import shared
from tests.faults import make_table
from tests.unit.knowledge.training_world import World


@pytest.fixture(scope="session")
def knowledge_table(ministack: str) -> Iterator[Any]:
    with shared(ministack, f"7{os.getpid():011d}") as client:
        make_table(client, "knowledge")
        yield client


@pytest.fixture
def world(knowledge_table: Any) -> World:
    return World(knowledge_table)
