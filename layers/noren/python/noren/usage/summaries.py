"""Summaries of usage: exact, although the stream that tells of new records repeats, splits and reorders what it says.

The stream only marks a quarter-hour as dirty. Whoever takes the mark reads that quarter-hour's records strongly, counts
them anew and overwrites the summary; then the day from its quarter-hours, the month from its days, and the tenant's
month from its sites. Every step reads strongly *after* what it builds on was written, and its write is refused if the
stored one knows more (`summary_store`): whatever the order, the writer after the last change finds everything and is
the last to win. What crashes in between is done again by the next delivery.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import groupby

from noren.ids import TenantId
from noren.usage.arms import added_up, arms_of
from noren.usage.models import UsageRecord
from noren.usage.periods import day_of_quarter, days_of_month, id_range, quarter_of, quarters_of_day
from noren.usage.store import UsageStore
from noren.usage.summary_store import Summary, SummaryStore, Zoning
from noren.usage.tally import counted, merged, total

ALL_SITES = ""
"""The site of a tenant's month over all sites."""


class UsageSummaries:
    """Keeps the summaries, and reads them. `zone_of` tells a tenant's time zone as it is now."""

    def __init__(self, store: SummaryStore, records: UsageStore, zone_of: Callable[[TenantId], str]) -> None:
        self._store = store
        self._records = records
        self._zone_of = zone_of

    def refresh(self, tenant_id: TenantId, dirty: Mapping[int, Collection[str]]) -> None:
        """Bring the dirty quarter-hours (number to sites) and all that is derived from them up to date. Idempotent."""
        for quarter, sites in dirty.items():
            for summary in self.count(tenant_id, range(quarter, quarter + 1)):
                if summary.site_id in sites:
                    self._store.put_quarter(tenant_id, summary)
        zoning = self.zoning(tenant_id)  # read after the quarter-hours are there: see `zoning`
        days = {(site, day_of_quarter(quarter, zoning.zone)) for quarter, sites in dirty.items() for site in sites}
        self.derive(tenant_id, zoning, days)

    def count(self, tenant_id: TenantId, quarters: range) -> Iterator[Summary]:
        """The records of (adjoining) quarter-hours counted, by quarter-hour and site."""
        records = self._records.between(tenant_id, *id_range(quarters))
        for quarter, each in groupby(records, lambda record: quarter_of(record.request_id)):
            sites: dict[str, list[UsageRecord]] = {}
            for record in each:
                sites.setdefault(record.site_id, []).append(record)
            for site_id, found in sites.items():
                revisions = sum(record.revision for record in found)
                yield Summary(site_id, str(quarter), revisions, counted(found), arms_of(found))

    def zoning(self, tenant_id: TenantId) -> Zoning:
        """The zone of the tenant's days. Where the tenant has changed its own, all days and months are derived anew.

        Read it *after* writing quarter-hours. Whoever still finds the zone before has written before the change was
        noted, so that the new derivation finds what was written.
        """
        zoning = self._store.zoning(tenant_id)
        wanted = self._zone_of(tenant_id)  # read second: it can't be older than the zone noted
        if zoning is None:
            zoning = self._store.begin(tenant_id, wanted)
        if zoning.zone != wanted:
            zoning = self._store.turn(tenant_id, zoning, wanted)
        if not zoning.whole:
            quarters = self._store.all_quarters(tenant_id)
            days = dict.fromkeys((each.site_id, day_of_quarter(int(each.period), zoning.zone)) for each in quarters)
            self.derive(tenant_id, zoning, days)
            zoning = self._store.derived(tenant_id, zoning)
        return zoning

    def derive(self, tenant_id: TenantId, zoning: Zoning, days: Iterable[tuple[str, str]]) -> None:
        """Derive days (site, day), then the months that they are in, then those of all sites."""
        months = set()
        for site_id, day in days:
            self._store.put_day(tenant_id, zoning, self.day(tenant_id, zoning, site_id, day))
            months.add((site_id, day[:7]))
        for site_id, month in sorted(months):
            self._store.put_month(tenant_id, zoning, self.month(tenant_id, zoning, site_id, month))
        for month in sorted({month for _, month in months}):
            self._store.put_total(tenant_id, zoning, self.whole_month(tenant_id, zoning, month))

    def day(self, tenant_id: TenantId, zoning: Zoning, site_id: str, day: str) -> Summary:
        """A site's day as its quarter-hours make it."""
        return summed(site_id, day, self._store.quarters(tenant_id, site_id, quarters_of_day(day, zoning.zone)))

    def month(self, tenant_id: TenantId, zoning: Zoning, site_id: str, month: str) -> Summary:
        """A site's month as its days make it."""
        return summed(site_id, month, self._store.days(tenant_id, zoning, site_id, *days_of_month(month)))

    def whole_month(self, tenant_id: TenantId, zoning: Zoning, month: str) -> Summary:
        """A tenant's month as its sites' months make it: sums alone."""
        months = self._store.months(tenant_id, zoning, month, month)
        whole = total(merged(each.cells for each in months))
        whole.first_token.counts.clear()
        whole.total.counts.clear()
        return Summary(ALL_SITES, month, sum(each.revisions for each in months), {("", ""): whole})


def summed(site_id: str, period: str, parts: Iterable[Summary]) -> Summary:
    """A period of a site as its parts make it."""
    parts = list(parts)
    revisions, cells = sum(each.revisions for each in parts), merged(each.cells for each in parts)
    return Summary(site_id, period, revisions, cells, added_up(each.arms for each in parts))
