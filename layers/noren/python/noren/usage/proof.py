"""Proves that the stored summaries are what the records come to, and mends what isn't, by the stream's own steps.

What a lost stream left out is found here, and so is a summary that somebody has tampered with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby

from noren.clock import Clock, day_of
from noren.ids import TenantId
from noren.usage.periods import SECONDS, day_of_quarter, days_of_month, month_after, months_back, quarters_of_days
from noren.usage.store import KEPT_SECONDS
from noren.usage.summaries import UsageSummaries, summed
from noren.usage.summary_store import Summary, SummaryStore, Zoning

SETTLED_SECONDS = 300
"""A period that ended so long ago has all its records, and the stream has told of them."""
SWEPT_SECONDS = 2 * 86400
"""Storage takes expired records away within that time."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A summary that was not what it had to be. `stored` or `made` is None where there was, or is, nothing."""

    kind: str
    site_id: str
    period: str
    stored: Summary | None
    made: Summary | None
    recent: bool
    """The period is under way: the stream may not have told of its last records yet."""
    mended: bool


@dataclass(slots=True)
class Proof:
    """What was compared. `checked` counts summaries by kind."""

    checked: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("quarter-hour", "day", "month", "total"), 0))
    differences: list[Difference] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        """Whether everything was as it had to be, apart from what is under way."""
        return all(each.recent for each in self.differences)


class Prover:
    """Recounts a tenant's records, level by level."""

    def __init__(self, store: SummaryStore, summaries: UsageSummaries, clock: Clock) -> None:
        self._store = store
        self._summaries = summaries
        self._clock = clock

    def kept_days(self, tenant_id: TenantId) -> tuple[str, str]:
        """The first and last day, in the tenant's zone, whose records are all still there."""
        zone, now = self._summaries.zoning(tenant_id).zone, self._clock()
        return day_of(now - KEPT_SECONDS + SWEPT_SECONDS, zone), day_of(now, zone)

    def prove(self, tenant_id: TenantId, first: str, last: str) -> Proof:
        """Compare the days `first` to `last` (within `kept_days`), then mend what differs."""
        zoning = self._summaries.zoning(tenant_id)
        proof = Proof()
        months: set[tuple[str, str]] = set()
        for month in months_back(first[:7], last[:7]):
            start, end = days_of_month(month)
            sites = self._days(tenant_id, zoning, proof, max(start, first), min(end, last))
            months |= {(site_id, month) for site_id in sites}
        for site_id, month in sorted(months):
            stored = self._store.months(tenant_id, zoning, month, month)
            self._compare(
                proof,
                "month",
                [each for each in stored if each.site_id == site_id],
                [self._summaries.month(tenant_id, zoning, site_id, month)],
                lambda made: self._store.put_month(tenant_id, zoning, made),
                lambda period: quarters_of_days(*days_of_month(period), zoning.zone),
            )
        for month in sorted({month for _, month in months}):
            total = self._store.total(tenant_id, zoning, month)
            self._compare(
                proof,
                "total",
                [total] if total else [],
                [self._summaries.whole_month(tenant_id, zoning, month)],
                lambda made: self._store.put_total(tenant_id, zoning, made),
                lambda period: quarters_of_days(*days_of_month(period), zoning.zone),
            )
        return proof

    def _days(self, tenant_id: TenantId, zoning: Zoning, proof: Proof, first: str, last: str) -> list[str]:
        """Compare and mend quarter-hours, then days; the sites that have any."""
        span = quarters_of_days(first, last, zoning.zone)
        made = list(self._summaries.count(tenant_id, span))
        known = self._store.sites(tenant_id, month_after(first[:7], -1), month_after(last[:7], 1))
        sites = sorted({*known, *(each.site_id for each in made)})
        stored = [each for site_id in sites for each in self._store.quarters(tenant_id, site_id, span)]
        self._compare(
            proof,
            "quarter-hour",
            stored,
            made,
            lambda each: self._store.put_quarter(tenant_id, each),
            lambda period: range(int(period), int(period) + 1),
        )
        busy = []
        for site_id in sites:
            quarters = self._store.quarters(tenant_id, site_id, span)
            self._compare(
                proof,
                "day",
                days := self._store.days(tenant_id, zoning, site_id, first, last),
                list(_by_day(site_id, quarters, zoning.zone)),
                lambda each: self._store.put_day(tenant_id, zoning, each),
                lambda period: quarters_of_days(period, period, zoning.zone),
            )
            if quarters or days:
                busy.append(site_id)
        return busy

    def _compare(
        self,
        proof: Proof,
        kind: str,
        stored: Iterable[Summary],
        made: Iterable[Summary],
        put: Callable[[Summary], bool],
        quarters: Callable[[str], range],
    ) -> None:
        had = {(each.site_id, each.period): each for each in stored}
        has = {(each.site_id, each.period): each for each in made}
        for key in sorted(had.keys() | has.keys()):
            before, after = had.get(key), has.get(key)
            proof.checked[kind] += 1
            if before != after:
                recent = quarters(key[1]).stop * SECONDS + SETTLED_SECONDS > self._clock()
                mended = after is not None and put(after)
                proof.differences.append(Difference(kind, *key, before, after, recent, mended))


def _by_day(site_id: str, quarters: Iterable[Summary], tz: str) -> Iterator[Summary]:
    for day, each in groupby(quarters, lambda quarter: day_of_quarter(int(quarter.period), tz)):
        yield summed(site_id, day, each)
