"""How much a whole comes to of which a part was read: totals with ranges, and how much has not been seen at all.

What was read counts as it is; only the rest is estimated, part by part (`Part`: pages of one folder or language are
alike). A few pages say little about the longest ones, so the spread that they show is mixed with the one that sites
usually have. The range is even in proportion, not in amount: sizes of pages are skewed to the long ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev

USUAL_SPREAD = 1.2
"""Standard deviation of a page's size as a share of the mean: 0.7 in guides, 2 in a program's manual."""
USUAL_WEIGHT = 4.0
"""As so many pages read counts what is usual."""
UP, DOWN = 2.6, 2.0
"""Standard errors to either side; more upwards, since a few long pages that were not read are the usual surprise. Made
for 9 of 10: tried on made-up distributions and on real manuals (`bench/quotes.py`).
"""
GROWTH_WIDTH = 1.64


@dataclass(frozen=True, slots=True)
class Span:
    """A figure that is likely, and between what it lies in nine of ten cases."""

    low: int
    likely: int
    high: int

    def wider(self, share: float) -> Span:
        """The range for a figure that is itself off by up to a share."""
        return Span(math.floor(self.low * (1 - share)), self.likely, math.ceil(self.high * (1 + share)))


@dataclass(frozen=True, slots=True)
class Part:
    """Pages that are alike: how many there are, and the sizes of those that were read."""

    size: int
    read: Sequence[float]


def total(parts: Iterable[Part]) -> Span:
    """What the pages of all parts come to; 0 where none was read."""
    parts = [each for each in parts if each.size]
    known = [value for each in parts for value in each.read]
    if not known:
        return Span(0, 0, 0)
    overall, seen = fmean(known), sum(known)
    rest = variance = 0.0
    for each in parts:
        left = each.size - len(each.read)
        if left <= 0:
            continue
        # The part's own mean, drawn towards that of all where little of it was read.
        mean = (sum(each.read) + overall) / (len(each.read) + 1)
        rest += left * mean
        variance += left**2 * _variance(each.read, mean) * (1 / (len(each.read) + 1) + 1 / left)
    likely = seen + rest
    if not rest:
        return Span(round(seen), round(likely), round(likely))
    error = math.sqrt(variance) / rest
    return Span(
        math.floor(seen + rest * math.exp(-DOWN * error)),
        round(likely),
        math.ceil(seen + rest * math.exp(min(UP * error, 3.0))),
    )


def share(parts: Iterable[Part]) -> Span:
    """How many pages of all parts are of a kind, where those read are 1 or 0."""
    parts = [each for each in parts if each.size]
    known = [value for each in parts for value in each.read]
    seen = sum(known)
    rest = variance = likely = 0.0
    for each in parts:
        left = max(0, each.size - len(each.read))
        chance = (sum(each.read) + 0.5) / (len(each.read) + 1)
        likely += left * (fmean(each.read) if each.read else fmean(known) if known else 0.0)
        rest += left * chance
        variance += left**2 * chance * (1 - chance) * (1 / (len(each.read) + 1) + 1 / max(left, 1))
    error = DOWN * math.sqrt(variance)
    most = seen + sum(max(0, each.size - len(each.read)) for each in parts)
    low = max(seen, seen + min(rest, likely) - error)
    return Span(
        math.floor(low), round(seen + likely), min(math.ceil(most), math.ceil(seen + max(rest, likely) + error))
    )


@dataclass(frozen=True, slots=True)
class Level:
    """Pages so many links from the start: how many are known but unread, and what each one read led to that was new."""

    unread: int
    led_to: Sequence[int]


def unseen(levels: Iterable[Level], most: int) -> tuple[int, int]:
    """How many pages nobody has led to yet: likely, and at most in nine of ten cases. `levels` from the start outwards.

    A tree of links is measured by a few ways through it (D. E. Knuth, "Estimating the efficiency of backtrack
    programs", 1975). The first page of a level finds what all of its level share, so it is no example for others.
    """
    likely = high = below = below_high = 0.0
    for each in levels:
        examples = each.led_to[1:] or each.led_to
        waiting, waiting_high = each.unread + below, each.unread + below_high
        below = below_high = 0.0
        if not examples:
            below_high = waiting_high  # nothing is known of these: each may lead to one more
        elif waiting_high:
            mean, count = fmean(examples), len(examples)
            error = GROWTH_WIDTH * pstdev(examples) / math.sqrt(count)
            if count < 3 and mean:
                error = max(error, mean)
            below, below_high = waiting * mean, waiting_high * (mean + error + (1 / count if each.unread else 0))
        likely, high = min(likely + below, most), min(high + below_high, most)
    return math.floor(likely), math.ceil(high)


def _variance(values: Sequence[float], mean: float) -> float:
    usual = USUAL_WEIGHT * (USUAL_SPREAD * mean) ** 2
    if len(values) < 2:
        return usual / USUAL_WEIGHT
    own = sum((value - mean) ** 2 for value in values)
    return (own + usual) / (len(values) - 1 + USUAL_WEIGHT)
