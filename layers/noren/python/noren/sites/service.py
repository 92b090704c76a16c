"""Sites as the other parts see them: cached for at most 30 s, never another tenant's."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from noren.cache import TtlCache
from noren.clock import Clock
from noren.errors import Conflict, NotFound
from noren.ids import TenantId, is_id, new_id
from noren.sites.experiments import Experiments
from noren.sites.keys import new_key, site_id_of
from noren.sites.models import Site
from noren.sites.prompt_models import InForce
from noren.sites.prompts import Prompts
from noren.sites.slots import Slots
from noren.sites.store import SiteStore
from noren.tenants.models import Tenant
from noren.tenants.store import Refused

CHANGED = "Somebody else changed this site. Load it again, then repeat your change."


class NoRoom(Exception):
    """The tenant has as many sites as its plan allows."""


class Sites:
    """A tenant's sites; their prompt profiles are in `prompts`, what compares them in `experiments`."""

    def __init__(self, store: SiteStore, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self.slots = Slots(store)
        self.prompts = Prompts(store.prompts, partial(store.sites, consistent=True), clock)
        self.experiments = Experiments(store.prompts, self.prompts, clock)
        self._sites: TtlCache[tuple[TenantId, str], Site] = TtlCache(30, clock)
        self._owners: TtlCache[str, TenantId] = TtlCache(30, clock)
        # Apart: whoever tries ids out must not push known ones out.
        self._unknown: TtlCache[str, bool] = TtlCache(30, clock)

    @staticmethod
    def default_id(tenant: Tenant) -> str:
        """The id of the tenant's default site: fixed by the tenant's own, so that racing creators make one."""
        return tenant.default_site_id or f"site_{tenant.tenant_id.rsplit('_', 1)[-1]}"

    def create_default(self, tenant: Tenant) -> Site:
        """Make the tenant's default site and its profile unless they exist. Safe to repeat and to race."""
        site_id = self.default_id(tenant)
        profile_id = f"prof_{site_id.rsplit('_', 1)[-1]}"
        site = self.new(tenant, tenant.name, profile_id, site_id=site_id)
        self.prompts.create_default(tenant.tenant_id, profile_id)  # first: a site is never seen without its profile
        with contextlib.suppress(Refused):  # somebody else has made it
            self._store.roster.add(site, room=None)
        return self._store.site(tenant.tenant_id, site_id, consistent=True) or site

    def new(self, tenant: Tenant, name: str, prompt_profile: str, actor: str = "", site_id: str = "") -> Site:
        """A site on paper; `add` stores it."""
        now = self._clock()
        site_id = site_id or new_id("site", now)
        return Site(
            site_id,
            tenant.tenant_id,
            name,
            prompt_profile,
            now,
            site_key=new_key(site_id),
            embed_script_id=new_id("emb", now),
            created_by=actor,
        )

    def add(self, site: Site, room: int) -> None:
        """Store a new site where the tenant has fewer than `room`. Raises NoRoom."""
        self._counted(site.tenant_id, lambda: self._store.roster.add(site, room), count_at=2)
        self.forget(site)

    def move(self, old: Site, new: Site, room: int) -> None:
        """Store what follows on `old` with another status. Raises NoRoom, or Conflict if another change came first."""
        self._counted(old.tenant_id, lambda: self._store.roster.change(old, new, room), count_at=1)
        self.forget(old)

    def fit(self, tenant: Tenant, limit: int) -> None:
        """Freeze what the plan has no room for, thaw what it has room for again; seen elsewhere within 30 s."""
        for site_id in self.slots.fit(tenant.tenant_id, limit, self.default_id(tenant)):
            self._sites.drop((tenant.tenant_id, site_id))

    def get(self, tenant_id: TenantId, site_id: str) -> Site:
        """The tenant's site. Raises NotFound for a missing, foreign or deleted one."""
        if not is_id(site_id, "site"):
            raise NotFound("There is no such site")
        site = self._sites.get((tenant_id, site_id), lambda: self._load(tenant_id, site_id))
        if site.status == "deleted":
            raise NotFound("There is no such site")
        return site

    def of_id(self, site_id: str) -> Site:
        """The site of that id, whosever it is: for what is public. Raises NotFound."""
        if not is_id(site_id, "site"):
            raise NotFound("There is no such site")
        if self._unknown.fresh(site_id):
            raise NotFound("There is no such site")
        return self.get(self._owners.get(site_id, lambda: self._owner(site_id)), site_id)

    def of_key(self, site_key: str) -> Site:
        """The site that a public key names. Raises NotFound for a key that is unknown, old or revoked."""
        site = self.of_id(site_id_of(site_key) or "")
        is_previous = site_key == site.previous_key and self._clock() < site.previous_key_until
        if site_key != site.site_key and not is_previous:
            raise NotFound("There is no such site")
        return site

    def now(self, tenant_id: TenantId, site_id: str) -> Site:
        """The tenant's site as it is this moment, a deleted one too. Raises NotFound."""
        site = self._store.site(tenant_id, site_id, consistent=True) if is_id(site_id, "site") else None
        if site is None:
            raise NotFound("There is no such site")
        return site

    def every(self, tenant_id: TenantId) -> list[Site]:
        """All sites of the tenant as they are now, deleted ones too."""
        return self._store.sites(tenant_id)

    def profile(self, site: Site) -> InForce:
        """The prompt profile that the site answers by. Raises NotFound where it is gone."""
        return self.prompts.in_force(site.tenant_id, site.prompt_profile)

    def save_site(self, site: Site, actor: str = "") -> Site:
        """Store a site's new state; other processes see it within 30 s. Raises Conflict if another came first."""
        saved = replace(site, version=site.version + 1, updated_at=self._clock(), updated_by=actor)
        if not self._store.put_site(saved):
            raise Conflict(CHANGED)
        self.forget(site)
        return saved

    def forget(self, site: Site) -> None:
        """Have the site read anew: it was changed."""
        self._sites.drop((site.tenant_id, site.site_id))
        self._unknown.drop(site.site_id)

    def _counted(self, tenant_id: TenantId, write: Callable[[], None], count_at: int) -> None:
        """Do a write whose part `count_at` counts; where nobody has counted before, count and try again."""
        for was_counted in (False, True):
            try:
                write()
                return
            except Refused as refused:
                if refused.failed != (count_at,):
                    raise Conflict(CHANGED) from None
                if was_counted or self._store.roster.read(tenant_id) is not None:
                    raise NoRoom from None
                self.slots.roster(tenant_id)

    def _owner(self, site_id: str) -> TenantId:
        owner = self._store.owner(site_id)
        if owner is None:
            self._unknown.get(site_id, lambda: True)
            raise NotFound("There is no such site")
        return owner

    def _load(self, tenant_id: TenantId, site_id: str) -> Site:
        site = self._store.site(tenant_id, site_id)
        if site is None:
            raise NotFound("There is no such site")
        return site
