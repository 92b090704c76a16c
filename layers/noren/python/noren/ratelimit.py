"""Rate limits that all containers share, exact counters, and leases."""

from __future__ import annotations

import logging
import math
import secrets
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from noren.clock import Clock
from noren.errors import RateLimited
from noren.runtime.store import RuntimeStore, Window
from noren.tables import is_retryable

log = logging.getLogger(__name__)

REMEMBERED = 10_000
"""Keys whose last window or refusal one container remembers."""


class Limiter:
    """Limits on how often and how much. Safe to share between threads."""

    def __init__(self, store: RuntimeStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._previous: dict[str, tuple[int, int]] = {}
        self._refused: dict[tuple[str, int], float] = {}
        self._full: dict[tuple[str, str], float] = {}
        self._lock = threading.Lock()

    def check(self, key: str, limit: int, window_s: int = 60) -> None:
        """Count one request against `limit` in any `window_s` seconds. Raises RateLimited with `retry_after`.

        A sliding window reckoned from two counters: this window's, and as much of the previous one's as still
        overlaps. One write a request; refused ones aren't counted, and cost nothing for as long as they can't succeed.
        """
        self.check_known(key, limit, window_s)
        now = self._clock()
        try:
            window, counted = self._count(key, limit, window_s, now)
        except Exception as error:
            if is_retryable(error):  # more than a thousand writes a second on one key are too many in any case
                raise _limited(1) from error
            raise
        with self._lock:
            if len(self._previous) >= REMEMBERED:
                self._previous.clear()
            self._previous[key] = (window.number, window.previous)
        if not counted or _estimate(window, now, window_s) > limit:
            wait = _wait(window, limit, window_s, now)
            with self._lock:
                if len(self._refused) >= REMEMBERED:
                    self._refused.clear()
                self._refused[key, limit] = now + wait
            raise _limited(wait)

    def check_known(self, key: str, limit: int, window_s: int = 60) -> None:
        """Refuse, at no storage call, what this container knows that `check` would refuse. Counts nothing."""
        wait = self._refused.get((key, limit), 0.0) - self._clock()
        if 0 < wait <= 2 * window_s:
            raise _limited(wait)

    def _count(self, key: str, limit: int, window_s: int, now: float) -> tuple[Window, bool]:
        number = int(now // window_s)
        while True:
            known, previous = self._previous.get(key, (-1, 0))
            overlap = _overlap(number, now, window_s)
            room = limit - math.floor(previous * overlap) if known == number else limit
            expires_at = (number + 2) * window_s
            window, counted = self._store.count_in_window(key, number, room, expires_at)
            if counted or window.number == number:
                return window, counted
            if window.number > number:  # our clock lags behind
                number = window.number
            elif limit < 1:
                return Window(number, 0, 0), False
            else:
                fresh = Window(number, 0, window.count if window.number == number - 1 else 0)
                counted = _estimate(fresh, now, window_s) < limit
                fresh = replace(fresh, count=int(counted))
                if self._store.start_window(key, window.number, fresh, expires_at):
                    return fresh, counted

    def check_together(self, key: str, limits: Mapping[str, int], window_s: int = 60) -> None:
        """Count one request against several limits at once: in one write, and against none if any has been reached.
        Raises RateLimited with `retry_after`.

        `limits` by what is counted, with short names: all that a window counts stands in one item. Windows are fixed,
        so around the turn of one up to twice a limit may pass.
        """
        self.check_together_known(key, limits)
        now = self._clock()
        number = int(now // window_s)
        end = (number + 1) * window_s
        try:
            counts, counted = self._store.count_together(key, number, limits, end)
        except Exception as error:
            if is_retryable(error):
                raise _limited(1) from error
            raise
        if not counted:
            with self._lock:
                if len(self._full) >= REMEMBERED:
                    self._full.clear()
                self._full |= {(key, name): end for name, limit in limits.items() if counts.get(name, 0) >= limit}
            raise _limited(end - now)

    def check_together_known(self, key: str, limits: Iterable[str]) -> None:
        """Refuse, at no storage call, what this container knows that `check_together` would refuse. Counts nothing."""
        wait = max(self._full.get((key, name), 0.0) for name in limits) - self._clock()
        if wait > 0:
            raise _limited(wait)

    def count_up_to(self, key: str, limit: int, until: float) -> int:
        """Count one against a limit that holds `until` (epoch seconds), exactly. Returns the new count.

        Raises RateLimited when `limit` is reached. A repetition by the storage client may count twice.
        """
        count = self._store.count_up_to(key, limit, int(until)) if limit > 0 else None
        if count is None:
            raise _limited(until - self._clock())
        return count

    def give_back(self, key: str, until: float) -> None:
        """Undo one `count_up_to` of the same key and end: the request cost nothing after all."""
        self._store.give_back(key, int(until))

    @contextmanager
    def few_at_a_time(self, key: str, places: int, seconds: float) -> Iterator[None]:
        """Let `places` in at a time; who dies inside keeps a place for at most `seconds`. Raises RateLimited."""
        owner, now = secrets.token_hex(8), self._clock()
        taken_until: float | None = None
        for place in (f"{key}#{number}" for number in range(places)):
            taken_until = self._store.lease(place, owner, now, now + seconds)
            if taken_until is None:
                break
        else:
            raise _limited(min(5.0, (taken_until or now) - now))
        try:
            yield
        finally:
            self._give_up(place, owner)

    def _give_up(self, key: str, owner: str) -> None:
        """End a lease; what was done under it stands, so where storage doesn't take it, the lease runs out instead."""
        try:
            self._store.give_up_lease(key, owner)
        except Exception as error:
            if not is_retryable(error):
                raise
            log.warning("a lease is left to run out: %s", type(error).__name__)


def _overlap(number: int, now: float, window_s: int) -> float:
    """The part of the previous window that the last `window_s` seconds still cover."""
    return min(1.0, max(0.0, number + 1 - now / window_s))


def _estimate(window: Window, now: float, window_s: int) -> float:
    return window.count + math.floor(window.previous * _overlap(window.number, now, window_s))


def _wait(window: Window, limit: int, window_s: int, now: float) -> int:
    """Whole seconds until one more request fits, if none comes before."""
    start = window.number * window_s
    if limit < 1:
        return window_s
    if window.count < limit and window.previous:
        fits = start + window_s * (1 - (limit - window.count) / window.previous)
    else:
        fits = start + window_s * (2 - limit / max(limit, window.count))
    return max(0, math.floor(fits - now)) + 1


def _limited(seconds: float) -> RateLimited:
    return RateLimited(retry_after=max(1, math.ceil(seconds)))
