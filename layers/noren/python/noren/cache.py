"""A small time-limited cache for what rarely changes: keyed by tenant, bounded, safe for threads."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

from noren.clock import Clock

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class TtlCache(Generic[K, V]):
    """Keeps values for `seconds`, the most recently loaded `size` of them. A load that raises is not kept."""

    def __init__(self, clock: Clock, seconds: float = 30.0, size: int = 1024) -> None:
        self._clock, self._seconds, self._size = clock, seconds, size
        self._entries: OrderedDict[K, tuple[float, V]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: K, load: Callable[[], V]) -> V:
        """The cached value, or what `load` returns (loads of one key may overlap; the last one stays)."""
        now = self._clock()
        with self._lock:
            entry = self._entries.get(key)
        if entry is not None and now < entry[0]:
            return entry[1]
        value = load()
        with self._lock:
            self._entries.pop(key, None)
            self._entries[key] = (now + self._seconds, value)
            while len(self._entries) > self._size:
                self._entries.popitem(last=False)
        return value

    def drop(self, key: K) -> None:
        """Forget one value, so that this process reads its own writes."""
        with self._lock:
            self._entries.pop(key, None)
