"""When a delivery that failed is tried again, and when an endpoint is left alone."""

from __future__ import annotations

WAITS = (5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600)
"""Seconds after the first, second, … failure; after that the last of them."""
TRIED_SECONDS = 24 * 3600
"""A delivery that has failed for so long is given up."""
FIRST_PAUSE, MOST_PAUSE = 30, 300
DEAD_AFTER = 5 * 86400


def next_attempt(attempts: int, since: float, now: float, chance: float) -> float | None:
    """When to try again after `attempts` failures since `since`; None: given up. `chance`, in 0…1, spreads them."""
    if now - since >= TRIED_SECONDS:
        return None
    return now + WAITS[min(attempts, len(WAITS)) - 1] * (0.9 + 0.2 * chance)


def pause(failures: int) -> float:
    """How long to leave an endpoint alone that has failed so often (three times or more) in a row."""
    return float(min(MOST_PAUSE, FIRST_PAUSE * 2 ** min(10, max(0, failures - 3))))


def is_dead(failing_since: float | None, now: float) -> bool:
    """Whether an endpoint at which a delivery was given up is to be disabled: nothing but failures for days."""
    return failing_since is not None and now - failing_since >= DEAD_AFTER
