"""What the widget's build has left for this function: the loader's source, and the names and hashes of the files."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from noren.errors import Busy

MANIFEST = Path(__file__).with_name("widget.json")


class Build(NamedTuple):
    """The members of the manifest. Files are served below `<console>/widget/`."""

    loader: str
    loader_file: str
    loader_integrity: str
    bundle_file: str
    bundle_integrity: str


def build() -> Build:
    """The build that was deployed with this function. Raises Busy where there is none."""
    return _read(MANIFEST)


@lru_cache(maxsize=1)
def _read(path: Path) -> Build:
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Busy("The widget has not been built: `make setup` does it, then deploy again.", retry_after=60) from None
    return Build(**{name: manifest[name] for name in Build._fields})
