"""The runtime table on the emulator, with a clock that the test moves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from noren.runtime.store import RuntimeStore
from tests.faults import Faulty, emulator_client, make_table


class Time:
    """A clock whose `sleep` moves it."""

    def __init__(self) -> None:
        self.now = 1_795_000_020.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def client(aws: str) -> Iterator[Faulty]:
    faulty = Faulty(emulator_client())
    make_table(faulty, "runtime")
    faulty.calls.clear()
    yield faulty
    faulty.close()


@pytest.fixture
def store(client: Faulty) -> RuntimeStore:
    return RuntimeStore(client, "runtime")  # type: ignore[arg-type]
