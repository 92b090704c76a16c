"""A plan with room for fewer sites than there are freezes the excess: none is deleted, and the tenant chooses."""

from __future__ import annotations

from dataclasses import replace

from noren.errors import Busy
from noren.ids import TenantId, new_id
from noren.sites.keys import new_key
from noren.sites.models import Roster, Site
from noren.sites.roster_store import MOST
from noren.sites.store import SiteStore
from noren.tenants.store import Refused

ROUNDS = 12
"""Tries to write on top of sites that others change too."""


class Slots:
    """Both methods may run anywhere at once, and be repeated."""

    def __init__(self, store: SiteStore) -> None:
        self._store = store

    def roster(self, tenant_id: TenantId) -> Roster:
        """How many sites the tenant has now."""
        for _ in range(ROUNDS):
            if known := self._store.roster.read(tenant_id):
                return known
            live = [each for each in self._store.sites(tenant_id, consistent=True) if each.status != "deleted"]
            counted = Roster(len(live), len(_active(live)))
            self._store.roster.begin(tenant_id, counted, [_keyed(each) for each in live if not each.site_key])
        raise Busy(retry_after=2)

    def fit(self, tenant_id: TenantId, limit: int, default_id: str) -> list[str]:
        """Freeze what the plan has no room for, thaw what it has room for again; the ids of what changed.

        The default site goes first (and works whatever the limit says), then the oldest. What is active stays so
        before anything is thawed, and what its owner has switched off stays off: what the tenant has chosen is kept.
        """
        changed: list[str] = []
        for _ in range(ROUNDS):
            roster = self.roster(tenant_id)
            room = max(1, limit) - roster.active
            if room == 0 or (room > 0 and roster.live == roster.active):
                return changed
            found = sorted(
                self._store.sites(tenant_id, consistent=True),
                key=lambda each: (each.site_id != default_id, each.created_at, each.site_id),
            )
            sites = _frozen(found)[: min(room, MOST)] if room > 0 else _active(found)[room:][-MOST:]
            if not sites:
                return changed
            try:
                self._store.roster.set_statuses(tenant_id, roster, sites, "active" if room > 0 else "frozen")
            except Refused:
                continue
            changed += [each.site_id for each in sites]
        raise Busy(retry_after=2)


def _active(sites: list[Site]) -> list[Site]:
    return [each for each in sites if each.status == "active"]


def _frozen(sites: list[Site]) -> list[Site]:
    return [each for each in sites if each.status == "frozen"]


def _keyed(site: Site) -> Site:
    """A site from before sites had keys, with one."""
    key, embed_id = new_key(site.site_id), new_id("emb")
    return replace(site, site_key=key, embed_script_id=embed_id, version=site.version + 1)
