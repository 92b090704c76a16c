from __future__ import annotations

import pytest

from tests.unit.platform_api import kit


@pytest.fixture
def platform(aws: str) -> kit.Platform:
    """A platform of its own on the emulator."""
    return kit.build()
