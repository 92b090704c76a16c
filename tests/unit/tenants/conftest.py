from __future__ import annotations

from tests.unit.platform_api.conftest import platform

__all__ = ["platform"]
