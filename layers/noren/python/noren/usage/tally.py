"""What requests came to, in sums that can be added up in any order and grouping."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from decimal import Context, Decimal

from noren.usage.histogram import Histogram
from noren.usage.models import UsageRecord

MOST_CELLS = 40
"""Pairs of model and function that one summary tells apart: at most 4 kB each, so far below an item's 400 kB."""
OTHER = "(other)"
"""Model and function of what goes beyond that."""
LABEL = 100
"""Characters of a model's or function's name."""
FAILED = frozenset({"failed", "partial", "denied"})

_EXACT = Context(prec=200)
"""The default rounds at 28 digits: sums would depend on their order."""


@dataclass(slots=True)
class Tally:
    """Sums over requests. Costs are exact; nothing is rounded before it is shown."""

    requests: int = 0
    """All of them: chats, canned answers, summaries, refusals."""
    chats: int = 0
    credits: int = 0
    errors: int = 0
    """Released, broken off, failed or denied."""
    tokens_input: int = 0
    tokens_output: int = 0
    tokens_cached: int = 0
    tokens_embedding: int = 0
    cost_usd: Decimal = Decimal(0)
    late_cost_usd: Decimal = Decimal(0)
    """The part of it that the platform bears since the request had been released."""
    first_token: Histogram = field(default_factory=Histogram)
    """Of all that had one."""
    total: Histogram = field(default_factory=Histogram)
    """Of those without an error: refusals are quick and would flatter."""

    def count(self, record: UsageRecord) -> None:
        """Count one record. A released one is a request and an error, whatever it cost, and never a chat."""
        used = record.decision == "USAGE"
        failed = not used or record.status in FAILED
        self.requests += 1
        self.chats += record.chats if used else 0
        self.credits += record.credits if used else 0
        self.errors += failed
        self.tokens_input += record.tokens_input
        self.tokens_output += record.tokens_output
        self.tokens_cached += record.tokens_cached
        self.tokens_embedding += record.tokens_embedding
        self.cost_usd = _EXACT.add(self.cost_usd, record.cost_usd)
        if record.late:
            self.late_cost_usd = _EXACT.add(self.late_cost_usd, record.cost_usd)
        if record.first_token_ms is not None:
            self.first_token.count(record.first_token_ms)
        if not failed:
            self.total.count(record.total_ms)

    def add(self, other: Tally) -> None:
        """Take the other's sums in."""
        for each in fields(self):
            mine, theirs = getattr(self, each.name), getattr(other, each.name)
            if isinstance(mine, Histogram):
                mine.add(theirs)
            elif isinstance(mine, Decimal):
                setattr(self, each.name, _EXACT.add(mine, theirs))
            else:
                setattr(self, each.name, mine + theirs)


Cells = dict[tuple[str, str], Tally]
"""Tallies by (model, function)."""


def counted(records: Iterable[UsageRecord]) -> Cells:
    """The records' tallies by model and function."""
    cells: Cells = {}
    for record in records:
        cells.setdefault((record.model[:LABEL], record.function[:LABEL]), Tally()).count(record)
    return capped(cells)


def merged(parts: Iterable[Cells]) -> Cells:
    """The parts added up."""
    cells: Cells = {}
    for part in parts:
        for key, tally in part.items():
            cells.setdefault(key, Tally()).add(tally)
    return capped(cells)


def capped(cells: Cells) -> Cells:
    """At most MOST_CELLS pairs and OTHER, into which the ones with the fewest requests go: sums stay whole."""
    rest = (OTHER, OTHER)
    if len(cells) <= MOST_CELLS:
        return cells
    named = sorted((key for key in cells if key != rest), key=lambda key: (-cells[key].requests, key))
    kept = {key: cells[key] for key in named[:MOST_CELLS]}
    others = Tally()
    for key in (*named[MOST_CELLS:], *((rest,) if rest in cells else ())):
        others.add(cells[key])
    return kept | {rest: others}


def total(cells: Cells) -> Tally:
    """All cells together."""
    whole = Tally()
    for tally in cells.values():
        whole.add(tally)
    return whole
