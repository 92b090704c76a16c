"""Why and when a running answer has to end."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Lock
from typing import Literal

from noren.clock import Clock

POLL_SECONDS = 2.0

_log = logging.getLogger("noren.chat")

StopReason = Literal["gone", "asked", "deadline"]


class Stopper:
    """Asked often and from several threads; remembers the first reason to stop.

    The client has gone (`gone`), somebody called cancel (`flagged`, a read of storage, at most every 2 s), or it is
    `deadline` (epoch s).
    """

    def __init__(self, gone: Callable[[], bool], flagged: Callable[[], bool], deadline: float, clock: Clock) -> None:
        self.reason: StopReason | None = None
        self._gone, self._flagged, self._deadline, self._clock = gone, flagged, deadline, clock
        self._next_poll = clock() + POLL_SECONDS
        self._polling = Lock()

    def __call__(self) -> bool:
        if self.reason is None:
            self.reason = self._find()
        return self.reason is not None

    def _find(self) -> StopReason | None:
        now = self._clock()
        if self._gone():
            return "gone"
        if now >= self._deadline:
            return "deadline"
        if now >= self._next_poll and self._polling.acquire(blocking=False):
            try:
                self._next_poll = now + POLL_SECONDS
                return "asked" if self._flagged() else None
            except Exception as error:  # a read that fails must not end an answer
                _log.warning("cancel flag not read: %s", type(error).__name__)
                return None
            finally:
                self._polling.release()
        return None
