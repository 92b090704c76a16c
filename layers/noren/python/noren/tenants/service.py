"""Tenants: made once per person, found fast, changed by those who may."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfoNotFoundError

from noren.cache import TtlCache
from noren.clock import Clock, iso, zone
from noren.errors import NotFound, Unprocessable
from noren.ids import TenantId, is_id, new_id
from noren.mail import Mailer
from noren.money import MINOR_DIGITS
from noren.plans.models import Limits
from noren.plans.seed import ANONYMOUS
from noren.plans.service import LIMIT_NAMES, Plans
from noren.settings import Settings
from noren.tables import Position
from noren.tenants.items import search_text
from noren.tenants.keys import Keys
from noren.tenants.models import PLATFORM_TENANT, ApiKey, Membership, Role, Stop, Tenant
from noren.tenants.seats import Seats
from noren.tenants.store import TenantStore
from noren.tenants.team import Team

if TYPE_CHECKING:
    from noren.ledger.service import Ledger
    from noren.sites.service import Sites

CACHE_SECONDS = 30
LOCALES = ("ja", "ko", "en")
FIRST_PLAN = "free"


class Tenants:
    """Everything about tenants; `team` and `keys` look after who may act in them."""

    def __init__(
        self,
        store: TenantStore,
        seats: Seats,
        plans: Plans,
        ledger: Ledger,
        sites: Sites,
        mailer: Mailer,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._store = store
        self._plans = plans
        self._ledger = ledger
        self._sites = sites
        self._clock = clock
        self._cache: TtlCache[TenantId, Tenant] = TtlCache(CACHE_SECONDS, clock)
        self.team = Team(store, seats, plans, mailer, settings, clock)
        self.keys = Keys(store, clock)

    def ensure_tenant(self, sub: str, email: str, name: str = "", locale: str = "ja") -> Tenant:
        """The person's personal tenant, made if there is none: exactly one, however often and in parallel this runs.

        Tenant, ownership and marker are one transaction; what follows (account, default site) is idempotent and
        finished by a later call if this one dies.
        """
        tenant_id = self._store.personal(sub)
        if tenant_id is None:
            now = self._clock()
            tenant_id = TenantId(new_id("ten", now))
            tenant = Tenant(
                tenant_id=tenant_id,
                name=(name or email.partition("@")[0] or "Noren")[:100],
                plan=FIRST_PLAN,
                created_at=int(now),
                locale=locale if locale in LOCALES else "ja",
                billing_email=email,
                default_site_id=_site_id(tenant_id),
                extra={"created_by": f"user:{sub}"},
            )
            owner = Membership(tenant_id, sub, Role.OWNER, email, int(now))
            if not self._store.create_personal(tenant, owner):
                tenant_id = self._store.personal(sub)
                assert tenant_id is not None
        return self.opened(tenant_id)

    def ensure_platform(self) -> Tenant:
        """The platform's own tenant, under which anonymous visitors chat; idempotent."""
        now = self._clock()
        tenant = Tenant(
            tenant_id=PLATFORM_TENANT,
            name="Noren",
            plan=ANONYMOUS,
            created_at=int(now),
            default_site_id=_site_id(PLATFORM_TENANT),
        )
        self._store.create(tenant)
        return self.opened(PLATFORM_TENANT)

    def opened(self, tenant_id: TenantId) -> Tenant:
        """The tenant, read strongly, with its account and default site in place. Raises NotFound."""
        tenant = self.fresh(tenant_id)
        if not tenant.extra.get("ready"):
            self._sites.create_default(tenant)
            limits, version = self._plans.limits(tenant)
            self._ledger.open_account(tenant, limits)
            tenant = self._change(tenant_id, {"ready": True, "applied": _mark(tenant, limits, version)})
        return tenant

    def get(self, tenant_id: TenantId) -> Tenant:
        """The tenant, at most 30 s old. Raises NotFound."""
        return self._cache.get(tenant_id, lambda: self._read(tenant_id))

    def fresh(self, tenant_id: TenantId) -> Tenant:
        """The tenant as it is now. Raises NotFound."""
        self._cache.drop(tenant_id)
        return self.get(tenant_id)

    def memberships(self, user_id: str) -> list[Membership]:
        """Where a person belongs. After sign-up, while the index lags, the marker leads to the personal tenant."""
        found = self._store.memberships(user_id)
        if not found and (personal := self._store.personal(user_id)):
            owner = self._store.membership(personal, user_id)
            return [owner] if owner else []
        return found

    def api_key(self, secret: str) -> ApiKey | None:
        """The key with that secret if it is in force (at most 30 s old)."""
        return self.keys.find(secret)

    def set_billing(self, tenant_id: TenantId, plan: str, plan_status: str, grace_until: int) -> Tenant:
        """Bring plan and payment status in line with the subscription; limits follow at once. Raises NotFound."""
        changes = {"plan": self._plans.resolve(plan), "plan_status": plan_status, "grace_until": grace_until}
        self._change(tenant_id, changes, "stripe")
        return self.fresh(tenant_id)

    def set_overage(self, tenant_id: TenantId, enabled: bool, actor: str) -> Tenant:
        """Let chats beyond the plan's be paid by credits, or not. Raises NotFound."""
        self._change(tenant_id, {"overage": enabled}, actor)
        return self.fresh(tenant_id)

    def update(self, tenant_id: TenantId, changes: Mapping[str, str], actor: str) -> Tenant:
        """Change name, timezone, locale, billing_email or currency. Raises Unprocessable.

        A new timezone counts from the next month on: the running quota month keeps its end.
        """
        if "timezone" in changes:
            try:
                zone(changes["timezone"])
            except (ZoneInfoNotFoundError, ValueError, OSError):
                raise Unprocessable("There is no such time zone.", code="unknown_timezone") from None
        if changes.get("locale", "ja") not in LOCALES or changes.get("currency", "JPY") not in MINOR_DIGITS:
            raise Unprocessable("The language or currency is not one of ours.")
        if not changes:
            return self.fresh(tenant_id)
        tenant = self._change(tenant_id, changes, actor)
        if {"name", "billing_email"} & changes.keys():
            self._change(tenant_id, {"search": search_text(tenant)}, actor)
        return self.fresh(tenant_id)

    def search(
        self, text: str, plan: str, limit: int, position: Position | None
    ) -> tuple[list[Tenant], Position | None]:
        """For the platform admin: tenants whose name, id or billing address holds `text`, newest first."""
        return self._store.list_tenants(text, self._plans.resolve(plan) if plan else "", limit, position)

    def every_id(self) -> Iterator[TenantId]:
        """The ids of all tenants, the newest first."""
        position: Position | None = None
        while True:
            page, position = self._store.list_tenants("", "", 100, position)
            yield from (each.tenant_id for each in page)
            if position is None:
                return

    def set_plan(self, tenant_id: TenantId, plan: str, actor: str) -> Tenant:
        """Move a tenant to a plan (name or alias); its limits follow at once. Raises NotFound."""
        self._change(tenant_id, {"plan": self._plans.resolve(plan)}, actor)
        return self.fresh(tenant_id)

    def set_overrides(self, tenant_id: TenantId, overrides: Mapping[str, int | None], actor: str) -> Tenant:
        """Replace single limits of a tenant (None: the plan's again), at once. Raises NotFound, Unprocessable."""
        unknown = sorted(set(overrides) - LIMIT_NAMES)
        if unknown:
            raise Unprocessable(f"There is no limit named {unknown[0]}.", code="unknown_limit")
        self._change(tenant_id, {f"overrides.{name}": value for name, value in overrides.items()}, actor)
        return self.fresh(tenant_id)

    def stop(self, tenant_id: TenantId, cause: Stop, reason: str, actor: str) -> Tenant:
        """Set one stop; the others stay as they are. Raises NotFound."""
        value = {"reason": reason, "at": iso(self._clock()), "by": actor}
        return self._activate(self._change(tenant_id, {f"stops.{cause}": value}, actor))

    def lift(self, tenant_id: TenantId, cause: Stop, actor: str) -> Tenant:
        """Lift one stop; the tenant works again when none is left. Raises NotFound."""
        return self._activate(self._change(tenant_id, {f"stops.{cause}": None}, actor))

    def _activate(self, tenant: Tenant) -> Tenant:
        """Tell admission; again if another stop came or went meanwhile, so that the last word is the present state."""
        while True:
            self._ledger.set_active(tenant.tenant_id, not tenant.is_suspended)
            now = self.fresh(tenant.tenant_id)
            if now.is_suspended == tenant.is_suspended:
                return now
            tenant = now

    def _read(self, tenant_id: TenantId) -> Tenant:
        tenant = self._store.tenant(tenant_id) if is_id(tenant_id, "ten") else None
        if tenant is None:
            raise NotFound()
        return self._limited(tenant) if tenant.extra.get("ready") else tenant

    def _limited(self, tenant: Tenant) -> Tenant:
        """Bring the account's copies of the limits, team and sites in line with plan, overrides, zone and catalogue.

        The tenant carries a mark of what was applied last, so whoever reads the tenant next finishes a change whose
        maker died, and a change of the catalogue itself reaches every account without a job that visits them all. A
        container whose catalogue is older than the mark's leaves it alone.
        """
        limits, version = self._plans.limits(tenant)
        mark = _mark(tenant, limits, version)
        applied = tenant.extra.get("applied", {})
        if applied.get("digest") == mark["digest"] or applied.get("version", "") > version:
            return tenant
        self._ledger.change_limits(tenant, limits)
        self.team.seats.fit(tenant.tenant_id, limits.members)
        self._sites.fit(tenant, limits.sites)
        return self._change(tenant.tenant_id, {"applied": mark})

    def _change(self, tenant_id: TenantId, changes: Mapping[str, Any], actor: str = "") -> Tenant:
        changed = None
        if is_id(tenant_id, "ten"):
            changed = self._store.update(tenant_id, changes, actor, self._clock())
        self._cache.drop(tenant_id)
        if changed is None:
            raise NotFound()
        return changed


def _mark(tenant: Tenant, limits: Limits, version: str) -> dict[str, str]:
    """What was applied to the account: its digest and the catalogue's version."""
    digest = hashlib.sha256(
        repr((limits, sorted(tenant.overrides), tenant.timezone, tenant.overage)).encode()
    ).hexdigest()[:32]
    return {"digest": digest, "version": version}


def _site_id(tenant_id: TenantId) -> str:
    return "site_" + tenant_id.partition("_")[2]
