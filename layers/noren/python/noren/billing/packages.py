"""Credit packages: what a tenant may buy, and what a platform admin makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from noren.billing import seed
from noren.billing.models import Package
from noren.billing.store import BillingStore
from noren.cache import TtlCache
from noren.clock import Clock, iso
from noren.errors import Conflict, NotFound, Unprocessable
from noren.ids import new_id
from noren.plans.service import Plans
from noren.settings import Settings
from noren.tenants.models import Tenant

CACHE_SECONDS = 30
RESTORABLE_SECONDS = 30 * 86400
"""How long a deleted package is shown and can be brought back."""


class Packages:
    """The packages. Prices are the platform's: nothing that a buyer sends enters into them."""

    def __init__(self, store: BillingStore, plans: Plans, settings: Settings, clock: Clock) -> None:
        self._store = store
        self._plans = plans
        self._valid_days = int(settings.purchased_credits_valid_days)
        self._clock = clock
        self._cache: TtlCache[str, list[Package]] = TtlCache(CACHE_SECONDS, clock, size=1)

    def offered(self, tenant: Tenant) -> list[Package]:
        """What the tenant's plan may buy now, the smallest first (at most 30 s old)."""
        plan, now = self._plans.resolve(tenant.plan), iso(self._clock())
        sold = (each for each in self._cache.get("", self._store.packages) if each.is_sold(plan, now))
        return sorted(sold, key=lambda each: (each.credits_amount, each.package_id))

    def valid_days(self, package: Package) -> int:
        """How many days its credits last, 0 for ever: its own word, else the platform's."""
        return self._valid_days if package.valid_days is None else package.valid_days

    def listed(self) -> list[Package]:
        """For the platform admin: all that are there or can be restored, the newest first."""
        shown = (each for each in self._store.packages() if self._is_there(each, or_restorable=True))
        return sorted(shown, key=lambda each: (each.created_at, each.package_id), reverse=True)

    def get(self, package_id: str, *, or_restorable: bool = False) -> Package:
        """One package as it is now. Raises NotFound for a deleted one, unless it is `or_restorable`."""
        package = self._store.package(package_id)
        if package is None or not self._is_there(package, or_restorable=or_restorable):
            raise NotFound()
        return package

    def create(self, given: Mapping[str, Any], actor: str) -> Package:
        """A new package of the given fields. Raises NotFound for an unknown plan, Unprocessable."""
        now = self._clock()
        made = Package(package_id=new_id("pkg", now), **given)
        return self._put(replace(self._checked(made), created_at=iso(now), created_by=actor), actor)

    def change(self, package_id: str, given: Mapping[str, Any], actor: str) -> Package:
        """Replace fields. Raises NotFound, Unprocessable, Conflict."""
        package = self.get(package_id)
        return self._put(self._checked(replace(package, **given, version=package.version + 1)), actor)

    def delete(self, package_id: str, actor: str) -> Package:
        """Take a package away; for 30 days it can be restored. Raises NotFound, Conflict."""
        package, now = self.get(package_id), iso(self._clock())
        gone = replace(package, deleted_at=now, deleted_by=actor, version=package.version + 1)
        return self._put(gone, actor)

    def restore(self, package_id: str, actor: str) -> Package:
        """Bring a deleted package back as it was. Raises NotFound, Conflict."""
        package = self.get(package_id, or_restorable=True)
        return self._put(replace(package, deleted_at=None, deleted_by=None, version=package.version + 1), actor)

    def seed(self) -> int:
        """Write the starting packages that were never there; how many were written."""
        known = {each.package_id for each in self._store.packages()}
        now = iso(self._clock())
        written = sum(
            self._store.put_package(replace(each, created_at=now, created_by="seed", updated_at=now, updated_by="seed"))
            for each in seed.PACKAGES
            if each.package_id not in known
        )
        self._cache.clear()
        return written

    def _is_there(self, package: Package, *, or_restorable: bool) -> bool:
        if package.deleted_at is None:
            return True
        return or_restorable and package.deleted_at > iso(self._clock() - RESTORABLE_SECONDS)

    def _checked(self, package: Package) -> Package:
        """The package with its plans by their own names."""
        if package.valid_from and package.valid_until and package.valid_until <= package.valid_from:
            raise Unprocessable("The offer ends before it begins.", code="invalid_period")
        return replace(package, plans=frozenset(self._plans.resolve(each) for each in package.plans))

    def _put(self, package: Package, actor: str) -> Package:
        package = replace(package, updated_at=iso(self._clock()), updated_by=actor)
        if not self._store.put_package(package):
            raise Conflict("The package has just been changed by somebody else. Look again.")
        self._cache.clear()
        return package
