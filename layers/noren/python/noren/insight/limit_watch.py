"""Watches the admission items' history for limits that come near or are reached, and tells their owners once a period.

It sees each change before and after, at least once: a limit counts as passed when it lies between the two.
"""

from __future__ import annotations

from collections.abc import Callable

from noren.cache import TtlCache
from noren.clock import Clock
from noren.errors import NotFound
from noren.ids import TenantId
from noren.insight.day_store import DayStore, SiteDay
from noren.insight.notices import Notices
from noren.ledger.account import Account
from noren.ledger.holds import Held, slot_of
from noren.mail import Notice
from noren.sites.models import Site
from noren.tenants.models import Tenant

NEAR = (4, 5)
"""A limit is near at 80 %."""


class LimitWatch:
    """Looks at one change at a time. `low_at` gives a tenant's threshold of credits; `buy` hears when it is passed."""

    def __init__(
        self,
        notices: Notices,
        days: DayStore,
        tenant_of: Callable[[TenantId], Tenant],
        sites_of: Callable[[TenantId], list[Site]],
        low_at: Callable[[TenantId], int],
        buy: Callable[[TenantId], None],
        clock: Clock,
    ) -> None:
        self._notices, self._days, self._tenant_of, self._low_at = notices, days, tenant_of, low_at
        self._buy = buy
        self._sites_of = sites_of
        self._sites: TtlCache[TenantId, dict[str, Site]] = TtlCache(300, clock)

    def note(self, before: Account, after: Account) -> None:
        """Take in one change of an account. Raises what storage raises: then the change comes again."""
        tenant_id = after.tenant_id
        self._month(before, after, "chats", _chats(before), _chats(after))
        self._month(before, after, "embedding_tokens", _embedding(before), _embedding(after))
        if after.site_counts != before.site_counts and after.day == before.day:
            self._day(before, after)
        if before.day != after.day and before.site_counts:
            self._keep_day(before)
        low_at = self._low_at(tenant_id) if after.balance < before.balance else 0
        if low_at and after.balance <= low_at:
            self._buy(tenant_id)
        if after.balance < low_at <= before.balance:
            tenant = self._tenant(tenant_id)
            if tenant:
                self._notices.limit(tenant, "credits_low", "credits", after.period, max(0, after.balance), low_at)

    def _month(self, before: Account, after: Account, what: str, was: tuple[int, int], now: tuple[int, int]) -> None:
        """`was` and `now`: used and allowed. What came near and was reached at once is told as reached."""
        used, limit = now
        if limit <= 0 or before.period != after.period:
            return
        reached = used >= limit and was[0] < was[1]
        near = used * NEAR[1] >= limit * NEAR[0] and was[0] * NEAR[1] < was[1] * NEAR[0]
        if not (reached or near):
            return
        if tenant := self._tenant(after.tenant_id):
            kind: Notice = "limit_reached" if reached else "limit_near"
            self._notices.limit(tenant, kind, what, after.period, used, limit, after.resets_at)

    def _day(self, before: Account, after: Account) -> None:
        for slot, count in after.site_counts.items():
            site = self._site(after, slot) if count > before.site_counts.get(slot, 0) else None
            if site is None:
                continue
            limit = site.daily_ceiling(after.site_daily_limit)
            if before.site_counts.get(slot, 0) < limit <= count and (tenant := self._tenant(after.tenant_id)):
                self._notices.limit(
                    tenant, "site_limit_reached", site.site_id, after.day, count, limit, after.day_resets_at
                )

    def _keep_day(self, account: Account) -> None:
        """A day has ended: keep what each site used of it."""
        for slot, count in account.site_counts.items():
            if site := self._site(account, slot):
                limit = site.daily_ceiling(account.site_daily_limit)
                day = SiteDay(site.site_id, account.day, count, limit, overflow_flag=count >= limit)
                self._days.put(account.tenant_id, day)

    def _site(self, account: Account, slot: str) -> Site | None:
        known = self._sites.get(account.tenant_id, lambda: self._slots(account.tenant_id))
        if slot not in known:  # made since
            self._sites.drop(account.tenant_id)
            known = self._sites.get(account.tenant_id, lambda: self._slots(account.tenant_id))
        return known.get(slot)

    def _slots(self, tenant_id: TenantId) -> dict[str, Site]:
        return {slot_of(site.site_id): site for site in self._sites_of(tenant_id)}

    def _tenant(self, tenant_id: TenantId) -> Tenant | None:
        try:
            return self._tenant_of(tenant_id)
        except NotFound:
            return None


def _chats(account: Account) -> tuple[int, int]:
    """Settled chats of the month and their limit: a chat under way may still be given back."""
    held = sum(each.chats for each in map(Held.parse, account.holds.values()) if each.made_at >= account.period_since)
    return account.chats_used - held, account.chat_grant.limit


def _embedding(account: Account) -> tuple[int, int]:
    held = sum(
        each.embedding_tokens
        for each in map(Held.parse, account.holds.values())
        if each.made_at >= account.period_since
    )
    limit = account.embedding_grant.limit
    return limit - account.embedding_left - held, limit
