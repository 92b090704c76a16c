"""How sure a mean, a share or a difference is: intervals from sums alone. Observations count as independent.

- Shares: Wilson's score interval (E. B. Wilson, J. Am. Stat. Assoc. 22, 1927, 209-212), which keeps within 0 and 1 and
  holds for few observations too.
- Differences of shares: Newcombe's hybrid of two Wilson intervals (R. G. Newcombe, Stat. Med. 17, 1998, 873-890,
  method 10).
- Means: Student's t. Differences of means: Welch's t with the Welch-Satterthwaite degrees of freedom (B. L. Welch,
  Biometrika 34, 1947, 28-35), which asks for no equal variances.
- Quantiles of t: from those of the normal distribution by the expansion 26.7.5 of Abramowitz and Stegun, Handbook of
  Mathematical Functions (1964); from 4 degrees of freedom on right to 0.001 at 95 %.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from statistics import NormalDist
from typing import NamedTuple

from noren.usage.arms import Moments

CONFIDENCE = 0.95
FEWEST = 5
"""Observations below which a mean has no interval: too few degrees of freedom."""


class Interval(NamedTuple):
    """An estimate, and the bounds that hold what is estimated with the wanted confidence."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many."""

    hits: int
    count: int


def share(of: Share, confidence: float = CONFIDENCE) -> Interval | None:
    """A share; None where there is nothing to have a share in."""
    if of.count == 0:
        return None
    hits, count = of.hits, of.count
    z, p = _z(confidence), hits / count
    middle = (p + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(p * (1 - p) / count + z * z / (4 * count * count))
    return Interval(p, 0.0 if hits == 0 else middle - half, 1.0 if hits == count else middle + half)


def difference_of_shares(one: Share, other: Share, confidence: float) -> Interval | None:
    """How much greater the share `one` is than `other`."""
    a, b = share(one, confidence), share(other, confidence)
    if a is None or b is None:
        return None
    value = a.value - b.value
    low = value - math.hypot(a.value - a.low, b.high - b.value)
    high = value + math.hypot(a.high - a.value, b.value - b.low)
    return Interval(value, low, high)


def mean(values: Moments, confidence: float = CONFIDENCE) -> Interval | None:
    """The mean of values; None for fewer than `FEWEST`."""
    if values.count < FEWEST:
        return None
    average, variance = _mean_and_variance(values)
    half = _t(confidence, values.count - 1) * math.sqrt(variance / values.count)
    return Interval(average, average - half, average + half)


def difference_of_means(one: Moments, other: Moments, confidence: float) -> Interval | None:
    """How much greater the mean of `one` is than that of `other`; None where either has fewer than `FEWEST`."""
    if min(one.count, other.count) < FEWEST:
        return None
    (mean_one, variance_one), (mean_other, variance_other) = map(_mean_and_variance, (one, other))
    part_one, part_other = variance_one / one.count, variance_other / other.count
    error, value = part_one + part_other, mean_one - mean_other
    if error == 0:
        return Interval(value, value, value)
    freedom = error**2 / (part_one**2 / (one.count - 1) + part_other**2 / (other.count - 1))
    half = _t(confidence, freedom) * math.sqrt(error)
    return Interval(value, value - half, value + half)


def _mean_and_variance(values: Moments) -> tuple[float, float]:
    """Reckoned exactly up to the end: a small variance of large values is a difference of two huge numbers."""
    total, squares = Fraction(values.sum), Fraction(values.squares)
    variance = (squares - total * total / values.count) / (values.count - 1)
    return float(total / values.count), float(variance)


def _z(confidence: float) -> float:
    return NormalDist().inv_cdf((1 + confidence) / 2)


def _t(confidence: float, freedom: float) -> float:
    z = _z(confidence)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / freedom**power for power, term in enumerate(terms, 1))
