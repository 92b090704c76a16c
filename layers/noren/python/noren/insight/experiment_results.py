"""What an experiment has shown: each arm's figures with their intervals, and what may be said of the differences.

The first arm is what the others are compared with. Nothing is called better while the interval of the difference holds
0, and nothing at all is said of fewer than `ENOUGH` observations. With more than two arms each comparison is made at a
higher confidence (Bonferroni), so that all of them together hold with 95 %.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from noren.clock import Clock, day_of
from noren.ids import TenantId
from noren.insight import intervals
from noren.insight.intervals import CONFIDENCE, Interval, Share
from noren.sites.experiments import Experiments
from noren.sites.prompt_models import Experiment
from noren.usage.arms import ArmTally, Moments
from noren.usage.reports import UsageReports, Wanted

Metric = Literal["rating", "good", "failures", "latency_ms", "first_token_ms", "cost_usd"]
Verdict = Literal["better", "worse", "no_difference_shown", "too_few"]

ENOUGH = 30
"""Observations of each arm that a verdict takes."""
GOOD = 4
"""Ratings from here on count as good."""
DAY = 86400

_NAMES: dict[Metric, str] = {
    "rating": "rating",
    "good": "share of good ratings",
    "failures": "share of failures",
    "latency_ms": "time to the whole answer",
    "first_token_ms": "time to the first word",
    "cost_usd": "cost of an answer",
}
_MORE_IS_BETTER = frozenset({"rating", "good"})


@dataclass(frozen=True, slots=True)
class ArmResult:
    """What one arm came to. A figure without an interval has too few observations."""

    arm: str
    version: int
    weight: int
    requests: int
    answers: int
    sessions: int
    counts: dict[Metric, int]
    """How many observations stand behind each figure."""
    figures: dict[Metric, Interval | None]


@dataclass(frozen=True, slots=True)
class Comparison:
    """How an arm differs from the first in one figure; `text` says it in words."""

    metric: Metric
    arm: str
    compared_with: str
    verdict: Verdict
    difference: Interval | None
    text: str


@dataclass(frozen=True, slots=True)
class Results:
    """All arms, and each but the first compared with it at `confidence`."""

    arms: list[ArmResult]
    comparisons: list[Comparison]
    confidence: float


@dataclass(slots=True)
class _Observed:
    """An arm's sums, by figure."""

    tally: ArmTally = field(default_factory=ArmTally)
    ratings: Mapping[int, int] = field(default_factory=dict)

    def sums(self) -> dict[Metric, Moments | Share]:
        rated = Moments()
        for rating, count in self.ratings.items():
            rated.add(Moments(count, Decimal(rating * count), Decimal(rating * rating * count)))
        good = sum(count for rating, count in self.ratings.items() if rating >= GOOD)
        return {
            "rating": rated,
            "good": Share(good, rated.count),
            "failures": Share(self.tally.failures, self.tally.requests),
            "latency_ms": self.tally.total_ms,
            "first_token_ms": self.tally.first_token_ms,
            "cost_usd": self.tally.cost_usd,
        }


class ExperimentResults:
    """Reads sums that were made before: what it takes does not grow with the number of answers."""

    def __init__(
        self, experiments: Experiments, reports: UsageReports, zone_of: Callable[[TenantId], str], clock: Clock
    ) -> None:
        self._experiments, self._reports, self._zone_of, self._clock = experiments, reports, zone_of, clock

    def of(self, experiment: Experiment) -> Results:
        """The results so far: answers a minute or so behind, ratings as they are now."""
        if experiment.started_at is None:
            return compared(experiment, {}, {})
        zone, until = self._zone_of(experiment.tenant_id), experiment.ended_at or self._clock()
        days = day_of(experiment.started_at - DAY, zone), day_of(until + DAY, zone)
        wanted = Wanted(experiment.tenant_id, zone, "month", *days)
        tallies = self._reports.arms(wanted, experiment.experiment_id)
        return compared(experiment, tallies, self._experiments.ratings(experiment))


def compared(
    experiment: Experiment, tallies: Mapping[str, ArmTally], ratings: Mapping[str, Mapping[int, int]]
) -> Results:
    """The results that follow from each arm's sums and ratings."""
    observed = {
        each.arm: _Observed(tallies.get(each.arm, ArmTally()), ratings.get(each.arm, {})) for each in experiment.arms
    }
    first, *others = experiment.arms
    confidence = 1 - (1 - CONFIDENCE) / len(others)
    comparisons = [
        _comparison(metric, other.arm, first.arm, sums, observed[first.arm].sums()[metric], confidence)
        for other in others
        for metric, sums in observed[other.arm].sums().items()
    ]
    arms = [
        ArmResult(
            each.arm,
            each.version,
            each.weight,
            observed[each.arm].tally.requests,
            observed[each.arm].tally.total_ms.count,
            observed[each.arm].tally.sessions,
            {metric: sums.count for metric, sums in observed[each.arm].sums().items()},
            {metric: _figure(sums) for metric, sums in observed[each.arm].sums().items()},
        )
        for each in experiment.arms
    ]
    return Results(arms, comparisons, confidence)


def _figure(sums: Moments | Share) -> Interval | None:
    return intervals.share(sums) if isinstance(sums, Share) else intervals.mean(sums)


def _comparison(
    metric: Metric, arm: str, first: str, sums: Moments | Share, firsts: Moments | Share, confidence: float
) -> Comparison:
    name, fewest = _NAMES[metric], min(sums.count, firsts.count)
    difference = _difference(sums, firsts, confidence)
    if difference is None or fewest < ENOUGH:
        text = f"Too little is known of the {name} yet: {fewest} of {ENOUGH} observations."
        return Comparison(metric, arm, first, "too_few", difference, text)
    if difference.low <= 0 <= difference.high:
        text = f"No difference in the {name} shown yet between {arm} and {first}."
        return Comparison(metric, arm, first, "no_difference_shown", difference, text)
    verdict: Verdict = "better" if (difference.value > 0) == (metric in _MORE_IS_BETTER) else "worse"
    least, most = sorted((abs(difference.low), abs(difference.high)))
    by = f"{_shown(metric, abs(difference.value))} ({_shown(metric, least)} to {_shown(metric, most)})"
    text = f"{arm}'s {name} is {verdict} than {first}'s by {by}."
    return Comparison(metric, arm, first, verdict, difference, text)


def _difference(one: Moments | Share, other: Moments | Share, confidence: float) -> Interval | None:
    if isinstance(one, Share) and isinstance(other, Share):
        return intervals.difference_of_shares(one, other, confidence)
    assert isinstance(one, Moments)
    assert isinstance(other, Moments)
    return intervals.difference_of_means(one, other, confidence)


def _shown(metric: Metric, value: float) -> str:
    match metric:
        case "rating":
            return f"{value:.2f}"
        case "good" | "failures":
            return f"{value * 100:.1f} points"
        case "cost_usd":
            return f"${value:.6f}"
    return f"{value:.0f} ms"
