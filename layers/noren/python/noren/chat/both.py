"""Two calls that don't wait for each other."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


def both(pool: Executor, there: Callable[[], A], here: Callable[[], B]) -> tuple[A, B]:
    """Make two calls at once: one in `pool`, one in this thread. Both have ended when it returns or raises.

    Where both fail, the error of `there` is raised. While no thread of the pool is free, this one makes both calls, so
    that a busy pool makes nobody slower than no pool would, and either call may use the pool again.
    """
    begun = pool.submit(there)
    try:
        mine = here()
    finally:
        other = there() if begun.cancel() else begun.result()
    return other, mine
