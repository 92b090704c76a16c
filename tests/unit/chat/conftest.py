"""Fixtures of the chat tests."""

from __future__ import annotations

import pytest

from tests.unit.chat.rig import Rig


@pytest.fixture
def rig(aws: str) -> Rig:
    return Rig()
