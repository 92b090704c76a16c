"""Why there is no text."""

from __future__ import annotations

from typing import Literal

Reason = Literal["broken", "empty", "encrypted", "too_large", "too_slow", "unsupported"]
"""`broken`: can't be parsed, or what it holds is hostile (a DTD, a bomb). `too_slow`: it took more than its time."""


class ExtractFailed(Exception):
    """A page or file that gives no text. The only exception that `extract` raises."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason
