"""What the arms of experiments came to: counts, sums and sums of squares, which add up exactly in any order.

They are what means, variances and so intervals are made of, however many answers there were.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Context, Decimal

from noren.money import plain
from noren.usage.models import UsageRecord

BROKEN = frozenset({"failed", "partial"})
LEFT_OUT = frozenset({"denied", "canned"})
"""Requests that no model was asked for: no arm had a part in them."""

_EXACT = Context(prec=400)
"""A cost has up to 38 digits, its square twice as many."""


@dataclass(slots=True)
class Moments:
    """How many values, their sum, and the sum of their squares."""

    count: int = 0
    sum: Decimal = Decimal(0)
    squares: Decimal = Decimal(0)

    def take(self, value: int | Decimal) -> None:
        """Count one value."""
        exact = Decimal(value)
        self.add(Moments(1, exact, _EXACT.multiply(exact, exact)))

    def add(self, other: Moments) -> None:
        """Take the other's sums in."""
        self.count += other.count
        self.sum = _EXACT.add(self.sum, other.sum)
        self.squares = _EXACT.add(self.squares, other.squares)

    def __str__(self) -> str:
        """`count sum squares`, as they are stored."""
        return f"{self.count} {plain(self.sum)} {plain(self.squares)}"

    @classmethod
    def parse(cls, text: str) -> Moments:
        """The reverse of `str`."""
        count, *sums = text.split()
        return cls(int(count), *map(Decimal, sums))


@dataclass(slots=True)
class ArmTally:
    """Sums over the requests of one arm."""

    requests: int = 0
    failures: int = 0
    """Requests that failed or broke off."""
    sessions: int = 0
    """Sessions that began in this arm."""
    total_ms: Moments = field(default_factory=Moments)
    """Of answers alone: neither failed nor cancelled. Their number is `total_ms.count`."""
    first_token_ms: Moments = field(default_factory=Moments)
    cost_usd: Moments = field(default_factory=Moments)

    def count(self, record: UsageRecord) -> None:
        """Count one request."""
        self.requests += 1
        self.failures += record.status in BROKEN
        if record.decision != "USAGE":
            return
        self.sessions += record.is_new_session
        if record.status in BROKEN or record.status == "cancelled":
            return
        self.total_ms.take(record.total_ms)
        self.cost_usd.take(record.cost_usd)
        if record.first_token_ms is not None:
            self.first_token_ms.take(record.first_token_ms)

    def add(self, other: ArmTally) -> None:
        """Take the other's sums in."""
        self.requests += other.requests
        self.failures += other.failures
        self.sessions += other.sessions
        for mine, theirs in zip(self._moments(), other._moments(), strict=True):
            mine.add(theirs)

    def _moments(self) -> tuple[Moments, Moments, Moments]:
        return self.total_ms, self.first_token_ms, self.cost_usd


Arms = dict[tuple[str, str], ArmTally]
"""Tallies by (experiment, arm). How many there can be is bounded where experiments are started."""


def arms_of(records: Iterable[UsageRecord]) -> Arms:
    """The tallies of those records that took part in experiments."""
    arms: Arms = {}
    for record in records:
        if record.experiment_id and record.status not in LEFT_OUT:
            arms.setdefault((record.experiment_id, record.prompt_arm), ArmTally()).count(record)
    return arms


def added_up(parts: Iterable[Mapping[tuple[str, str], ArmTally]]) -> Arms:
    """The parts added up."""
    arms: Arms = {}
    for part in parts:
        for key, tally in part.items():
            arms.setdefault(key, ArmTally()).add(tally)
    return arms
