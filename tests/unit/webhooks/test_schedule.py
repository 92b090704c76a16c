"""When a failed delivery is tried again: soon at first, for a whole day, never all at once."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from noren.webhooks.schedule import WAITS, is_dead, next_attempt, pause

DAY = 86400.0


def attempts(chance: float) -> list[float]:
    """When a delivery is tried that always fails."""
    times, now = [0.0], 0.0
    while (following := next_attempt(len(times), 0.0, now, chance)) is not None:
        now = following
        times.append(now)
    return times


@given(st.floats(0, 1))
def test_a_delivery_is_tried_for_at_least_a_day(chance: float) -> None:
    times = attempts(chance)
    assert times[-1] >= DAY
    assert times[-1] < 1.6 * DAY
    assert 7 <= len(times) <= 9
    gaps = [round(after - before, 3) for before, after in pairwise(times)]
    assert gaps == sorted(gaps)
    assert gaps[0] <= 6


@given(st.integers(1, 10**6), st.floats(0, DAY - 1), st.floats(0, 1))
def test_many_attempts_don_t_shorten_the_day(count: int, now: float, chance: float) -> None:
    following = next_attempt(count, 0.0, now, chance)
    assert following is not None
    assert now < following <= now + WAITS[-1] * 1.1


def test_an_endpoint_is_left_alone_for_longer_and_longer() -> None:
    assert [pause(failures) for failures in (3, 4, 5, 6, 7, 10**6)] == [30, 60, 120, 240, 300, 300]


def test_an_endpoint_is_dead_after_days_of_failures() -> None:
    assert is_dead(0.0, 5 * DAY)
    assert not is_dead(0.0, 4.9 * DAY)
    assert not is_dead(None, 50 * DAY)
