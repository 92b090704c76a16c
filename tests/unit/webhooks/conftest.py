"""One table for all tests of webhooks: each has a tenant of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from local import emulator
from tests.faults import emulator_client, make_table
from tests.unit.webhooks.world import World


@pytest.fixture(scope="session")
def webhooks_table(ministack: str) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("boto3.DEFAULT_SESSION", None)  # it remembers the first account's credentials
        for name, value in emulator.aws_env(ministack, access_key=f"6{os.getpid():011d}").items():
            patch.setenv(name, value)
        client = emulator_client()
    make_table(client, "webhooks")
    yield client
    client.close()


@pytest.fixture
def world(webhooks_table: Any) -> Iterator[World]:
    made = World(webhooks_table)
    yield made
    made.close()
