"""One table for all tests of summaries: each has a tenant of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from local import emulator
from tests.faults import emulator_client, make_table
from tests.unit.usage.world import World


@pytest.fixture(scope="session")
def usage_table(ministack: str) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("boto3.DEFAULT_SESSION", None)  # it remembers the first account's credentials
        for name, value in emulator.aws_env(ministack, access_key=f"5{os.getpid():011d}").items():
            patch.setenv(name, value)
        client = emulator_client()
    make_table(client, "usage")
    yield client
    client.close()


@pytest.fixture
def world(usage_table: Any) -> World:
    return World(usage_table)
