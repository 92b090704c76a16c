"""An emulator for benches that make tables of fixed names."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.containers import cloud
from bench.wire import Wire


@pytest.fixture(scope="package")
def bench_cloud() -> Iterator[str]:
    """One for all tests of benches."""
    with cloud() as endpoint:
        yield endpoint


@pytest.fixture
def wire(bench_cloud: str) -> Iterator[Wire]:
    """A client of it, with nothing in it."""
    with Wire(bench_cloud) as client:
        client.reset()
        yield client
