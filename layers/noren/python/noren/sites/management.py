"""Sites as their owners look after them: made within the plan's number, changed, deleted, restored, rekeyed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from noren.clock import Clock
from noren.errors import Conflict, Forbidden, NotFound, QuotaExceeded, Unprocessable
from noren.ids import TenantId, new_id
from noren.plans.models import Entitlement
from noren.plans.service import Plans
from noren.sites import widget
from noren.sites.keys import new_key
from noren.sites.models import Site, SiteStatus
from noren.sites.service import CHANGED, NoRoom, Sites
from noren.sites.store import SiteStore
from noren.tenants.models import Tenant

RESTORABLE_SECONDS = 30 * 86400
"""How long a deleted site can be brought back; then it is purged (`noren.sites.purge`)."""
TRIES = 4
"""Of a change on top of others'."""


class SiteManagement:
    """Whoever calls has seen to it that the actor may. A foreign site is a missing one."""

    def __init__(
        self,
        sites: Sites,
        store: SiteStore,
        tenant_of: Callable[[TenantId], Tenant],
        plans: Plans,
        console_url: str,
        clock: Clock,
    ) -> None:
        self._sites, self._store, self._tenant_of, self._plans = sites, store, tenant_of, plans
        self._console_url, self._clock = console_url.rstrip("/"), clock

    def get(self, tenant_id: TenantId, site_id: str, *, or_restorable: bool = False) -> Site:
        """The site as it is now. Raises NotFound, also for a deleted one unless it is `or_restorable`."""
        site = self._sites.now(tenant_id, site_id)
        if site.status == "deleted" and not (or_restorable and self._is_restorable(site)):
            raise NotFound("There is no such site")
        return site

    def page(
        self, tenant_id: TenantId, statuses: Sequence[SiteStatus], limit: int, before: str | None
    ) -> tuple[list[Site], str | None]:
        """Sites of these statuses (all that are not deleted, if none is named), the newest first, and where to go on.

        Of the deleted ones those that can be restored.
        """
        wanted = statuses or ("active", "disabled", "frozen")
        return self._store.page(tenant_id, wanted, limit, before, deleted_after=self._clock() - RESTORABLE_SECONDS)

    def create(self, tenant_id: TenantId, given: Mapping[str, Any], actor: str) -> Site:
        """A further site. Of any number that are made at once, as many come to be as the plan has room for.

        It answers by the default site's profile unless another is given. Raises QuotaExceeded (`site_limit`),
        Unprocessable, Forbidden while the tenant is suspended.
        """
        tenant = self._working(tenant_id)
        first = self._sites.now(tenant_id, self._sites.default_id(tenant))
        entitlement = self._plans.entitlement(tenant)
        blank = self._sites.new(tenant, given["name"], first.prompt_profile, actor)
        site = self._changed(blank, given, entitlement)
        try:
            self._sites.add(site, entitlement.limits.sites)
        except NoRoom:
            raise self._no_more(tenant, entitlement) from None
        self._look_again(tenant_id, entitlement)
        return site

    def change(
        self, tenant_id: TenantId, site_id: str, given: Mapping[str, Any], actor: str, version: int | None = None
    ) -> Site:
        """Change fields of a site; `widget_config` is merged into what is set. `version`: only if it still is that one.

        Raises NotFound, Conflict, Unprocessable, QuotaExceeded (`site_limit`) where there is no room to switch it on.
        """
        tenant = self._tenant_of(tenant_id)
        entitlement = self._plans.entitlement(tenant)
        for attempt in range(TRIES):
            site = self.get(tenant_id, site_id)
            if version is not None and site.version != version:
                raise Conflict(CHANGED)
            changed = self._changed(site, given, entitlement)
            if changed == site:
                return site
            try:
                return self._store_change(site, changed, actor, tenant, entitlement)
            except Conflict:
                if attempt == TRIES - 1:
                    raise
        raise AssertionError("unreachable")

    def delete(self, tenant_id: TenantId, site_id: str, actor: str) -> None:
        """Take a site away with all that is its; it can be restored for 30 days. Raises NotFound, Conflict."""
        tenant, site = self._tenant_of(tenant_id), self.get(tenant_id, site_id)
        if site_id == self._sites.default_id(tenant):
            raise Conflict("The default site can't be deleted: chats without a site count there.", code="default_site")
        gone = replace(site, status="deleted", status_before=site.status, deleted_at=self._clock(), deleted_by=actor)
        self._move(site, gone, actor, room=0)
        if site.status == "active":
            self._sites.fit(tenant, self._plans.entitlement(tenant).limits.sites)

    def restore(self, tenant_id: TenantId, site_id: str, actor: str) -> Site:
        """Bring a deleted site back as it was. Raises NotFound, Conflict, QuotaExceeded (`site_limit`)."""
        tenant = self._working(tenant_id)
        site = self.get(tenant_id, site_id, or_restorable=True)
        if site.status != "deleted":
            raise Conflict("This site is not deleted.", code="not_deleted")
        status: SiteStatus = "disabled" if site.status_before == "disabled" else "active"
        back = replace(site, status=status, status_before="active", deleted_at=None, deleted_by="")
        entitlement = self._plans.entitlement(tenant)
        try:
            saved = self._move(site, back, actor, entitlement.limits.sites)
        except NoRoom:
            raise self._no_more(tenant, entitlement) from None
        self._look_again(tenant_id, entitlement)
        return saved

    def rotate_key(self, tenant_id: TenantId, site_id: str, overlap_hours: int, actor: str) -> Site:
        """Give the site a new key; the one it replaces stays good for so long, one before that not any more."""
        site = self.get(tenant_id, site_id)
        until = self._clock() + overlap_hours * 3600 if overlap_hours else 0.0
        previous = site.site_key if overlap_hours else ""
        fresh = replace(site, site_key=new_key(site_id), previous_key=previous, previous_key_until=until)
        return self._sites.save_site(fresh, actor)

    def revoke_previous_key(self, tenant_id: TenantId, site_id: str, actor: str) -> Site:
        """Make the key before the last rotation worthless; everywhere within 30 s."""
        site = self.get(tenant_id, site_id)
        if not site.previous_key:
            return site
        return self._sites.save_site(replace(site, previous_key="", previous_key_until=0.0), actor)

    def rotate_embed(self, tenant_id: TenantId, site_id: str, actor: str) -> Site:
        """Give the site a new embed id: loaders that browsers keep and visitors' tokens are void within 30 s."""
        site = self.get(tenant_id, site_id)
        return self._sites.save_site(replace(site, embed_script_id=new_id("emb", self._clock())), actor)

    def _changed(self, site: Site, given: Mapping[str, Any], entitlement: Entitlement) -> Site:
        """The site with the given fields, on paper. Raises Unprocessable where one does not fit tenant or plan."""
        fields = dict(given)
        if fields.get("prompt_profile", site.prompt_profile) != site.prompt_profile:
            try:
                self._sites.prompts.for_site(site.tenant_id, fields["prompt_profile"])
            except NotFound:
                raise Unprocessable("There is no such prompt profile.", code="unknown_profile") from None
        model = fields.get("default_model")
        if model and model not in {each.id for each in entitlement.models}:
            raise Unprocessable("The plan has no such model: GET /api/v1/me lists them.", code="unknown_model")
        quota, allowed = fields.get("daily_quota"), entitlement.limits.requests_per_day_per_site
        if quota is not None and quota > allowed:
            raise Unprocessable(f"The plan allows a site {allowed} requests a day.", code="above_plan")
        if "widget_config" in fields:
            fields["widget_config"] = widget.merged(site.widget_config, fields["widget_config"])
        return replace(site, **fields)

    def _store_change(self, site: Site, changed: Site, actor: str, tenant: Tenant, entitlement: Entitlement) -> Site:
        if changed.status == site.status:
            return self._sites.save_site(changed, actor)
        try:
            saved = self._move(site, changed, actor, entitlement.limits.sites)
        except NoRoom:
            raise self._full(tenant, entitlement, "switch another one off first") from None
        if saved.status == "active":
            self._look_again(tenant.tenant_id, entitlement)
        return saved

    def _move(self, site: Site, changed: Site, actor: str, room: int) -> Site:
        saved = replace(changed, version=site.version + 1, updated_at=self._clock(), updated_by=actor)
        self._sites.move(site, saved, room)
        return saved

    def _look_again(self, tenant_id: TenantId, entitlement: Entitlement) -> None:
        """The plan may have become smaller meanwhile: its change has seen the site, or this sees the change."""
        tenant = self._tenant_of(tenant_id)
        limit = self._plans.entitlement(tenant).limits.sites
        if limit < entitlement.limits.sites:
            self._sites.fit(tenant, limit)

    def _working(self, tenant_id: TenantId) -> Tenant:
        tenant = self._tenant_of(tenant_id)
        if tenant.is_suspended:
            raise Forbidden("This account is suspended.", code="suspended")
        return tenant

    def _is_restorable(self, site: Site) -> bool:
        return site.deleted_at is not None and self._clock() - site.deleted_at < RESTORABLE_SECONDS

    def _full(self, tenant: Tenant, entitlement: Entitlement, remedy: str, needed: int = 0) -> QuotaExceeded:
        """Why there is no room, what would make some, and the cheapest plan that has it."""
        limit = entitlement.limits.sites
        said = f"The plan has room for {limit} site{'s' if limit != 1 else ''}: {remedy}"
        for plan in entitlement.fitting_plans:
            if plan.limits.sites > max(limit, needed):
                price = {"amount": plan.prices.get(tenant.currency), "currency": tenant.currency}
                offer: dict[str, Any] = {"plan": plan.plan, "price": price}
                offer["upgrade_url"] = f"{self._console_url}/billing"
                return QuotaExceeded(f"{said}, or take the plan {plan.plan}.", code="site_limit", **offer)
        return QuotaExceeded(f"{said}.", code="site_limit")

    def _no_more(self, tenant: Tenant, entitlement: Entitlement) -> QuotaExceeded:
        there = self._sites.slots.roster(tenant.tenant_id).live
        return self._full(tenant, entitlement, "delete another first", needed=there)
