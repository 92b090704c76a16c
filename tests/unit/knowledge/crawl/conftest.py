from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.fetching.net import Net


@pytest.fixture
def net() -> Iterator[Net]:
    made = Net()
    yield made
    made.close()
