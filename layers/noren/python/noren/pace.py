"""How often a host is called: one slot at a time for all workers and tenants together."""

from __future__ import annotations

from noren.clock import Clock
from noren.runtime.store import RuntimeStore

HORIZON_SECONDS = 900.0
"""Slots are given out for so long ahead: what is given up (by a cancelled job) blocks a host no longer than that."""


class Pace:
    """Hands out times at which a host may be called."""

    def __init__(self, store: RuntimeStore, clock: Clock) -> None:
        self._store, self._clock = store, clock

    def slot(self, host: str, delay: float) -> float | None:
        """When the host may be called next (epoch seconds), `delay` seconds after the call before; that time is then
        the caller's. None where all are taken for as long as slots are given out.
        """
        now = self._clock()
        if delay <= 0:
            return max(self.held_until(host), now)
        slot = self._store.reserve(host, _milliseconds(now), _milliseconds(delay), _milliseconds(HORIZON_SECONDS))
        return slot / 1000 if slot is not None else None

    def is_free_for_late(self, host: str, delay: float) -> bool:
        """Whether a caller whose time is over may call at once all the same: one in `delay` seconds, or whoever is
        always late would never come to it.
        """
        now, length = _milliseconds(self._clock()), _milliseconds(delay)
        if delay > 0 and self._store.reserve(f"late#{host}", now, length, 0) is None:
            return False
        self._store.reserve(host, now, length, 0)  # where nobody has a slot ahead, the next one comes after this call
        return True

    def hold(self, host: str, seconds: float) -> None:
        """The host has asked to be left alone for so long: for all who would call it."""
        self._store.hold(host, _milliseconds(self._clock() + min(seconds, HORIZON_SECONDS)))

    def held_until(self, host: str) -> float:
        """Until when the host is left alone, those too who have a slot (epoch seconds); 0 where it never was."""
        return self._store.held_until(host) / 1000


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
