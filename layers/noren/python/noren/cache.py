"""A small cache whose entries live for seconds: what a warm container may remember."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from noren.clock import Clock

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class TtlCache(Generic[K, V]):
    """Remembers at most `size` values for `seconds` each. Keys must name the tenant wherever values belong to one."""

    def __init__(self, seconds: float, clock: Clock, size: int = 1024) -> None:
        self._seconds = seconds
        self._clock = clock
        self._size = size
        self._entries: dict[K, tuple[float, V]] = {}
        self._lock = threading.Lock()

    def get(self, key: K, load: Callable[[], V]) -> V:
        """The remembered value, else `load()`'s, remembered from the moment the loading began. Errors aren't kept."""
        now = self._clock()
        entry = self._fresh(key, now)
        if entry:
            return entry[1]
        value = load()
        with self._lock:
            self._entries.pop(key, None)
            while len(self._entries) >= self._size:
                del self._entries[next(iter(self._entries))]
            self._entries[key] = (now, value)
        return value

    def fresh(self, key: K) -> V | None:
        """The remembered value, if it is in time."""
        entry = self._fresh(key, self._clock())
        return entry[1] if entry else None

    def stale(self, key: K) -> V | None:
        """The remembered value whatever its age: for when the source can't be asked."""
        entry = self._entries.get(key)
        return entry[1] if entry else None

    def age(self, key: K) -> None:
        """Have `get` load a value anew; till then `stale` still knows it."""
        with self._lock:
            if entry := self._entries.get(key):
                self._entries[key] = (-math.inf, entry[1])

    def drop(self, key: K) -> None:
        """Forget a value, after changing what it was loaded from."""
        with self._lock:
            self._entries.pop(key, None)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()

    def _fresh(self, key: K, now: float) -> tuple[float, V] | None:
        entry = self._entries.get(key)
        return entry if entry and 0 <= now - entry[0] < self._seconds else None
