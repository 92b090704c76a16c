"""Intervals beside worked figures of the literature, and beside coverage by simulation."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noren.insight import intervals
from noren.insight.intervals import Share
from noren.usage.arms import Moments


def moments(values: Iterable[float | str]) -> Moments:
    made = Moments()
    for value in values:
        made.take(Decimal(str(value)))
    return made


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    [  # R. G. Newcombe, Stat. Med. 17 (1998), 857-872, table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_shares_as_in_newcombes_table(hits: int, count: int, low: float, high: float) -> None:
    found = intervals.share(Share(hits, count))
    assert found is not None
    assert found.value == hits / count
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


@pytest.mark.parametrize(
    ("one", "other", "low", "high"),
    [  # R. G. Newcombe, Stat. Med. 17 (1998), 873-890, table II, method 10
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((10, 10), (0, 20), 0.6791, 1.0000),
        ((10, 10), (0, 10), 0.6075, 1.0000),
    ],
)
def test_differences_of_shares_as_in_newcombes_table(
    one: tuple[int, int], other: tuple[int, int], low: float, high: float
) -> None:
    found = intervals.difference_of_shares(Share(*one), Share(*other), 0.95)
    assert found is not None
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


@pytest.mark.parametrize(
    ("confidence", "freedom", "quantile"),
    [  # any table of Student's t
        (0.95, 4, 2.776),
        (0.95, 5, 2.571),
        (0.95, 10, 2.228),
        (0.95, 25, 2.060),
        (0.95, 30, 2.042),
        (0.95, 120, 1.980),
        (0.99, 10, 3.169),
        (0.99, 30, 2.750),
        (0.90, 20, 1.725),
    ],
)
def test_quantiles_as_in_tables(confidence: float, freedom: int, quantile: float) -> None:
    assert intervals._t(confidence, freedom) == pytest.approx(quantile, abs=0.001)


def test_the_mean_of_a_worked_example() -> None:
    """Ten weights (g): mean 10.0, s = 1, so 10 ± 2.262 / √10."""
    values = [8.5, 9, 9, 9.5, 10, 10, 10.5, 11, 11, 11.5]
    found = intervals.mean(moments(values))
    deviation = math.sqrt(sum((each - 10) ** 2 for each in values) / 9)
    assert found is not None
    assert deviation == pytest.approx(1.0, abs=0.001)
    assert found.value == 10
    assert found.high - 10 == 10 - found.low == pytest.approx(2.262 * deviation / math.sqrt(10), abs=0.001)


def test_welchs_interval_of_a_worked_example() -> None:
    """The first example of the article on Welch's t-test in Wikipedia: t = -2.46 at 25.0 degrees of freedom."""
    one = [27.5, 21.0, 19.0, 23.6, 17.0, 17.9, 16.9, 20.1, 21.9, 22.6, 23.1, 19.6, 19.0, 21.7, 21.4]
    other = [27.1, 22.0, 20.8, 23.4, 23.4, 23.5, 25.8, 22.0, 24.8, 20.2, 21.9, 22.1, 22.9, 20.5, 24.4]
    found = intervals.difference_of_means(moments(one), moments(other), 0.95)
    assert found is not None
    error = found.value / -2.46
    assert found.value == pytest.approx(-2.17, abs=0.01)
    assert (found.high - found.low) / 2 == pytest.approx(2.060 * error, abs=0.01)


def test_a_small_variance_of_large_values_is_not_lost() -> None:
    values = [10**9 + each for each in (1, 2, 3, 4, 5, 6)]
    found, small = intervals.mean(moments(values)), intervals.mean(moments([1, 2, 3, 4, 5, 6]))
    assert found is not None
    assert small is not None
    assert found.high - found.value == pytest.approx(small.high - small.value, rel=1e-6)


def test_too_few_have_no_interval() -> None:
    assert intervals.share(Share(0, 0)) is None
    assert intervals.mean(moments([1, 2, 3, 4])) is None
    assert intervals.difference_of_means(moments([1] * 9), moments([2] * 4), 0.95) is None
    assert intervals.difference_of_means(moments([1] * 9), moments([2] * 9), 0.95) == (-1, -1, -1)


@given(st.integers(1, 10**6).flatmap(lambda count: st.tuples(st.integers(0, count), st.just(count))))
def test_a_share_lies_within_its_interval_and_that_between_none_and_all(of: tuple[int, int]) -> None:
    found = intervals.share(Share(*of))
    assert found is not None
    assert 0 <= found.low <= found.value <= found.high <= 1


@given(st.tuples(*[st.integers(1, 500)] * 2), st.tuples(*[st.integers(1, 500)] * 2))
def test_a_difference_turned_round_is_the_same(one: tuple[int, int], other: tuple[int, int]) -> None:
    a, b = (Share(min(each), max(each)) for each in (one, other))
    there, back = intervals.difference_of_shares(a, b, 0.95), intervals.difference_of_shares(b, a, 0.95)
    assert there is not None
    assert back is not None
    assert there == pytest.approx((-back.value, -back.high, -back.low))


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Skewed latencies and ratings, 60 of each: at least 92 of 100 differences are within (95 promised)."""
    rng = random.Random(7)
    held = {"means": 0, "shares": 0}
    rounds = 400
    for _ in range(rounds):
        slow, quick = (moments(round(rng.gammavariate(4, scale)) for _ in range(60)) for scale in (300, 250))
        found = intervals.difference_of_means(slow, quick, 0.95)
        assert found is not None
        held["means"] += found.low <= 200 <= found.high
        good, better = (Share(sum(rng.random() < share for _ in range(60)), 60) for share in (0.7, 0.9))
        found = intervals.difference_of_shares(better, good, 0.95)
        assert found is not None
        held["shares"] += found.low <= 0.2 <= found.high
    assert all(0.92 * rounds < each < 0.99 * rounds for each in held.values()), held
