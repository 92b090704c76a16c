"""Reports made of summaries: a tenant's days or months by site, model or function; every tenant's month."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby, islice
from typing import Literal

from noren.ids import TenantId
from noren.usage.arms import ArmTally, added_up
from noren.usage.periods import day_of_quarter, days_of_month, month_after, months_back, quarters_of_days
from noren.usage.summaries import summed
from noren.usage.summary_store import Summary, SummaryStore, Zoning
from noren.usage.tally import Tally, total

Granularity = Literal["day", "month"]
Group = Literal["site", "model", "function"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a tenant wants to see: days `first` to `last` of the zone (by the month: whole ones), perhaps one site's."""

    tenant_id: TenantId
    zone: str
    granularity: Granularity
    first: str
    last: str
    group_by: Group | None = None
    site_id: str | None = None


@dataclass(slots=True)
class Row:
    """One period of one site, model or function ("" where nothing is grouped)."""

    period: str
    group: str
    tally: Tally = field(default_factory=Tally)


class UsageReports:
    """Reads summaries, writes nothing. Days and months of a zone that no summary is in yet are made on the fly."""

    def __init__(self, store: SummaryStore) -> None:
        self._store = store

    def rows(self, wanted: Wanted, start: tuple[str, str] | None = None) -> Iterator[Row]:
        """The rows, the newest period first, groups in alphabetical order; after the row (period, group) of `start`.

        Periods without requests have none. Reads month by month as the rows are taken.
        """
        if start:
            whole = wanted.granularity == "month"
            wanted = replace(wanted, last=min(wanted.last, days_of_month(start[0])[1] if whole else start[0]))
        for period, summaries in groupby(self._summaries(wanted), lambda each: each.period):
            rows: dict[str, Row] = {}
            for summary in summaries:
                for (model, function), tally in summary.cells.items():
                    names = {"site": summary.site_id, "model": model, "function": function, None: ""}
                    group = names[wanted.group_by]
                    rows.setdefault(group, Row(period, group)).tally.add(tally)
            for group in sorted(rows):
                if start is None or period != start[0] or group > start[1]:
                    yield rows[group]

    def page(
        self, wanted: Wanted, limit: int, start: tuple[str, str] | None
    ) -> tuple[list[Row], tuple[str, str] | None]:
        """Up to `limit` rows, and the `start` of the next page (None at the end)."""
        rows = list(islice(self.rows(wanted, start), limit + 1))
        return rows[:limit], (rows[limit - 1].period, rows[limit - 1].group) if len(rows) > limit else None

    def month(self, month: str, zones: Mapping[TenantId, str]) -> dict[TenantId, Tally]:
        """These tenants' month, each in its zone."""
        stored = self._store.totals(month)
        found = {}
        for tenant_id, zone in zones.items():
            reckoned_in, summary = stored.get(tenant_id, ("", None))
            if summary and reckoned_in == zone:
                found[tenant_id] = total(summary.cells)
            else:
                rows = self.rows(Wanted(tenant_id, zone, "month", *days_of_month(month))) if summary else iter(())
                found[tenant_id] = next((row.tally for row in rows), Tally())
        return found

    def most_used(self, tenant_id: TenantId, month: str, zone: str) -> str | None:
        """The function that most of a month's credits went to, None where none did."""
        rows = self.rows(Wanted(tenant_id, zone, "month", *days_of_month(month), "function"))
        best = max(rows, key=lambda row: (row.tally.credits, row.group), default=None)
        return best.group if best and best.tally.credits else None

    def arms(self, wanted: Wanted, experiment_id: str) -> dict[str, ArmTally]:
        """What the arms of an experiment came to within the whole months that are wanted."""
        whole = added_up(each.arms for each in self._summaries(wanted))
        return {arm: tally for (experiment, arm), tally in whole.items() if experiment == experiment_id}

    def _summaries(self, wanted: Wanted) -> Iterator[Summary]:
        """The sites' summaries, the newest period first."""
        zoning = self._store.zoning(wanted.tenant_id)
        usable = zoning is not None and zoning.whole and zoning.zone == wanted.zone
        for month in months_back(wanted.first[:7], wanted.last[:7]):
            read = self._stored(wanted, zoning, month) if zoning and usable else self._reckoned(wanted, month)
            yield from sorted(read, key=lambda each: (each.period, each.site_id), reverse=True)

    def _stored(self, wanted: Wanted, zoning: Zoning, month: str) -> Iterator[Summary]:
        months = self._store.months(wanted.tenant_id, zoning, month, month)
        for each in months:
            if wanted.site_id not in (None, each.site_id):
                continue
            if wanted.granularity == "month":
                yield each
            else:
                yield from self._store.days(wanted.tenant_id, zoning, each.site_id, *_within(wanted, month))

    def _reckoned(self, wanted: Wanted, month: str) -> Iterator[Summary]:
        """The same from quarter-hours. A site is known by the months around, whatever zone they are in."""
        first, last = days_of_month(month) if wanted.granularity == "month" else _within(wanted, month)
        near = (month_after(month, -1), month_after(month, 1))
        for site_id in self._store.sites(wanted.tenant_id, *near):
            if wanted.site_id not in (None, site_id):
                continue
            quarters = self._store.quarters(wanted.tenant_id, site_id, quarters_of_days(first, last, wanted.zone))
            days = groupby(quarters, lambda each: day_of_quarter(int(each.period), wanted.zone))
            if wanted.granularity == "month" and quarters:
                yield summed(site_id, month, quarters)
            elif wanted.granularity == "day":
                yield from (summed(site_id, day, each) for day, each in days)


def _within(wanted: Wanted, month: str) -> tuple[str, str]:
    """The wanted days of a month."""
    first, last = days_of_month(month)
    return max(first, wanted.first), min(last, wanted.last)
