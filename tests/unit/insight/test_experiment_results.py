"""What is said of an experiment: figures with intervals, a verdict only where one is due."""

from __future__ import annotations

from decimal import Decimal

import pytest

from noren.ids import TenantId
from noren.insight.experiment_results import ENOUGH, Comparison, Results, compared
from noren.sites.prompt_models import Arm, Experiment
from noren.usage.arms import ArmTally, Moments

EXPERIMENT = Experiment(
    "exp_1", TenantId("ten_1"), "prof_1", "Tone", (Arm("A", 1, 70), Arm("B", 2, 30)), 0.0, "u", 0.0, "u"
)
Ratings = dict[int, int]


def repeated(*values: tuple[str | int, int]) -> Moments:
    """The moments of values that occur so often each."""
    made = Moments()
    for value, count in values:
        exact = Decimal(value)
        made.add(Moments(count, exact * count, exact * exact * count))
    return made


def tally(requests: int, failures: int, quick: int, slow: int, cost: str = "0.001") -> ArmTally:
    """Answers of 800 ms and of 1,200 ms."""
    times = repeated((800, quick), (1200, slow))
    return ArmTally(
        requests, failures, requests // 3, times, repeated((100, quick + slow)), repeated((cost, quick + slow))
    )


def said(results: Results, metric: str, arm: str = "B") -> Comparison:
    (found,) = [each for each in results.comparisons if each.metric == metric and each.arm == arm]
    return found


A_TALLY, B_TALLY = tally(1000, 100, 200, 700), tally(430, 10, 320, 100, "0.0012")
A_RATED, B_RATED = {1: 10, 2: 20, 3: 40, 4: 100, 5: 80}, {1: 1, 2: 2, 3: 10, 4: 50, 5: 87}


def test_arms_have_their_figures_with_intervals() -> None:
    results = compared(EXPERIMENT, {"A": A_TALLY, "B": B_TALLY}, {"A": A_RATED, "B": B_RATED})
    a, b = results.arms
    assert (a.arm, a.version, a.weight, a.requests, a.answers, a.sessions) == ("A", 1, 70, 1000, 900, 333)
    assert a.counts == {
        "rating": 250,
        "good": 250,
        "failures": 1000,
        "latency_ms": 900,
        "first_token_ms": 900,
        "cost_usd": 900,
    }
    rating, good, failures = a.figures["rating"], b.figures["good"], a.figures["failures"]
    assert rating is not None
    assert good is not None
    assert failures is not None
    assert rating.value == pytest.approx(3.88)
    # By hand: the squares of the distances add up to 286.4, s = √(286.4 / 249) = 1.0725, and 1.9695 · s / √250
    assert rating.high - rating.value == pytest.approx(0.1336, abs=0.0001)
    assert good.value == pytest.approx(137 / 150)
    assert (round(failures.low, 4), round(failures.high, 4)) == (0.0829, 0.1202)  # Wilson, 100 of 1000
    assert results.confidence == pytest.approx(0.95)


def test_what_is_better_is_said_in_words() -> None:
    results = compared(EXPERIMENT, {"A": A_TALLY, "B": B_TALLY}, {"A": A_RATED, "B": B_RATED})
    rating = said(results, "rating")
    assert rating.verdict == "better"
    assert rating.difference is not None
    low, high = rating.difference.low, rating.difference.high
    assert rating.text == f"B's rating is better than A's by 0.59 ({low:.2f} to {high:.2f})."
    assert said(results, "failures").verdict == "better"
    assert said(results, "failures").text.startswith("B's share of failures is better than A's by 7.7 points (")
    latency = said(results, "latency_ms")
    assert latency.verdict == "better"  # less is better
    assert latency.difference is not None
    assert latency.difference.value < 0
    assert said(results, "cost_usd").verdict == "worse"
    assert said(results, "cost_usd").text.startswith("B's cost of an answer is worse than A's by $0.000200 (")


def test_nothing_is_said_to_differ_where_it_is_not_shown() -> None:
    same = {"A": tally(1000, 50, 400, 500), "B": tally(1000, 53, 401, 499)}
    results = compared(EXPERIMENT, same, {"A": {5: 60, 4: 40}, "B": {5: 58, 4: 42}})
    for metric in ("rating", "good", "failures", "latency_ms", "first_token_ms", "cost_usd"):
        one = said(results, metric)
        assert one.verdict == "no_difference_shown", one
        assert "No difference in the" in one.text
        assert one.difference is not None
        assert one.difference.low <= 0 <= one.difference.high


def test_nothing_is_said_of_a_few() -> None:
    few = ENOUGH - 1
    results = compared(EXPERIMENT, {"A": A_TALLY, "B": B_TALLY}, {"A": {1: 500}, "B": {5: few}})
    assert said(results, "rating").verdict == "too_few"
    assert said(results, "rating").text == f"Too little is known of the rating yet: {few} of {ENOUGH} observations."
    assert said(compared(EXPERIMENT, {}, {}), "latency_ms").verdict == "too_few"


def test_three_arms_are_compared_more_carefully() -> None:
    three = Experiment(
        *("exp_1", TenantId("ten_1"), "prof_1", "Tone"),
        tuple(Arm(each, 1, 1) for each in "ABC"),
        *(0.0, "u", 0.0, "u"),
    )
    tallies = {each: tally(200, failures, 100, 50) for each, failures in zip("ABC", (20, 9, 9), strict=True)}
    ratings: dict[str, Ratings] = {}
    of_two = compared(EXPERIMENT, tallies, ratings)
    of_three = compared(three, tallies, ratings)
    assert of_three.confidence == pytest.approx(0.975)
    assert said(of_two, "failures").verdict == "better"  # 20 of 200 against 9, at 95 %
    assert said(of_three, "failures").verdict == "no_difference_shown"  # the same at 97.5 %
    assert {each.arm for each in of_three.comparisons} == {"B", "C"}
