"""Storage, asked until its answer is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from noren.errors import Busy
from noren.tables import insistently, is_retryable

T = TypeVar("T")


class Patience:
    """Repeats an *idempotent* storage call that gave in; `sleep` passes the time between tries (seconds)."""

    def __init__(self, sleep: Callable[[float], None]) -> None:
        self._sleep = sleep

    def __call__(self, call: Callable[[], T]) -> T:
        """What the call answers. Raises Busy where storage gives in for long, at once what no repetition cures."""
        try:
            return insistently(call, sleep=self._sleep)
        except Exception as error:
            if is_retryable(error):
                raise Busy(retry_after=1) from error
            raise
