from __future__ import annotations

import json
from pathlib import Path

import pytest

from platform_api import widget_build
from tests.unit.platform_api import kit

LOADER = "(function (settings) { globalThis.started = settings; })(__NOREN__);\n"
BUILD = {
    "loader": LOADER,
    "loader_file": "loader.0123abcd.js",
    "loader_integrity": "sha384-bG9hZGVy",
    "bundle_file": "panel.4567cdef.js",
    "bundle_integrity": "sha384-cGFuZWw=",
}
"""A widget's build in small."""


@pytest.fixture
def platform(aws: str) -> kit.Platform:
    """A platform of its own on the emulator."""
    return kit.build()


@pytest.fixture(autouse=True)
def _widget_build(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path_factory.mktemp("widget") / "widget.json"
    path.write_text(json.dumps(BUILD))
    monkeypatch.setattr(widget_build, "MANIFEST", path)
    return path
