"""How the command line speaks: to people, or with `--json` to scripts; and how it ends."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

OK, FAILED, USAGE, MISSING, UNREACHABLE = range(5)
"""Exit codes: done; it did not work; wrong command line (argparse); nothing by that name; not set up or not up."""


class CliError(Exception):
    """What stops a command. The text says what to do about it."""

    def __init__(self, text: str, code: int = FAILED) -> None:
        super().__init__(text)
        self.code = code


def show(data: Any, *, as_json: bool) -> None:
    """Print a result: JSON, or names and values (lists of them as blocks)."""
    if as_json:
        print(json.dumps(data, indent=2, ensure_ascii=False, default=str))
        return
    for block in data if isinstance(data, list) else [data]:
        width = max(map(len, block), default=0)
        for name, value in block.items():
            print(f"{name.replace('_', ' '):<{width}}  {_plain(value)}")
        if isinstance(data, list):
            print()


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {each}" for name, each in value.items()) or "–"
    if isinstance(value, (list, tuple, set, frozenset)):
        return ", ".join(map(str, value)) or "–"
    return "–" if value in (None, "") else str(value)


def progress(text: str) -> None:
    """A line that is replaced by the next, on a terminal only."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


def progress_done() -> None:
    """Leave the progress line."""
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()
