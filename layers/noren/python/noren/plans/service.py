"""Which plan allows what, at which price, from when on."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, fields, replace
from typing import Any, TypeVar

from noren.cache import TtlCache
from noren.clock import Clock, day_of, iso
from noren.errors import Conflict, NotFound, Unprocessable
from noren.plans import seed
from noren.plans.models import Entitlement, ExchangeRate, Limits, ModelPolicy, Plan
from noren.plans.store import PlanStore, Row, Rows
from noren.settings import Settings
from noren.tenants.models import Tenant

CACHE_SECONDS = 30
LAPSED_PLAN = "free"
"""What is left of a plan that is not paid."""
CATALOGUE_ZONE = "UTC"
"""Effective dates begin at midnight UTC."""
LIMIT_NAMES = frozenset(each.name for each in fields(Limits))

_DAY = re.compile(r"\d{4}-\d\d-\d\d\Z")
R = TypeVar("R", Plan, ModelPolicy, ExchangeRate)


class Plans:
    """The catalogue. Rows are versions: a new price is a new row with a later date, what was stays as it was."""

    def __init__(self, store: PlanStore, settings: Settings, clock: Clock) -> None:
        self._store = store
        self._has_local_llm = bool(settings.local_llm_base_url)
        self._clock = clock
        self._cache: TtlCache[str, Rows] = TtlCache(CACHE_SECONDS, clock, size=1)

    def entitlement(self, tenant: Tenant) -> Entitlement:
        """What the tenant may use now (the catalogue is at most 30 s old). Raises NotFound for an unknown plan."""
        plan = self.plan_in_force(tenant)
        limits = limits_of(plan, tenant.overrides)
        above = [
            each
            for each in self.public_plans()
            if _price(each, tenant) > _price(plan, tenant) and each.limits.chats_per_month > limits.chats_per_month
        ]
        allowed = [each for each in self.policies() if plan.plan in each.plans]
        return Entitlement(
            plan=plan,
            limits=limits,
            models=tuple(each for each in allowed if each.type == "chat"),
            embeddings=tuple(each for each in allowed if each.type == "embedding"),
            rate=self.rate(tenant.currency),
            fitting_plans=tuple(sorted(above, key=lambda each: _price(each, tenant))),
        )

    def plan(self, name: str) -> Plan:
        """The plan in force under that name or alias, internal ones too. Raises NotFound."""
        wanted = name.casefold()
        for plan in self._current(self._rows().plans, lambda row: row.plan):
            if wanted == plan.plan or wanted in (alias.casefold() for alias in plan.aliases):
                return plan
        raise NotFound("There is no such plan.")

    def plan_in_force(self, tenant: Tenant) -> Plan:
        """The tenant's plan; the free one while it is past due beyond its grace."""
        lapsed = tenant.plan_status == "past_due" and self._clock() >= tenant.grace_until
        return self.plan(LAPSED_PLAN if lapsed else tenant.plan)

    def limits(self, tenant: Tenant) -> tuple[Limits, str]:
        """The tenant's limits, overrides applied, and the version (ISO time) of the catalogue that says so."""
        return limits_of(self.plan_in_force(tenant), tenant.overrides), self._rows().version

    def resolve(self, name_or_alias: str) -> str:
        """The plan's own name (`VIP` is `enterprise`). Raises NotFound."""
        return self.plan(name_or_alias).plan

    def public_plans(self) -> list[Plan]:
        """What anybody may buy, the cheapest first."""
        current = self._current(self._rows().plans, lambda row: row.plan)
        return sorted((each for each in current if each.public and each.enabled), key=lambda each: each.prices["JPY"])

    def policies(self) -> list[ModelPolicy]:
        """The model policies in force; what needs the operator's own model server only where there is one."""
        current = self._current(self._rows().policies, lambda row: row.id)
        usable = (each for each in current if each.enabled and (each.provider != "local_llm" or self._has_local_llm))
        return sorted(usable, key=lambda each: each.id)

    def policy(self, policy_id: str) -> ModelPolicy:
        """The version in force of one model policy, enabled or not, as it is now. Raises NotFound."""
        for policy in self._current(self._store.rows().policies, lambda row: row.id):
            if policy.id == policy_id:
                return policy
        raise NotFound("There is no such model policy.")

    def rate(self, currency: str) -> ExchangeRate:
        """The exchange rate in force. Raises NotFound for a currency without one."""
        for rate in self._current(self._rows().rates, lambda row: row.currency):
            if rate.currency == currency:
                return rate
        raise NotFound("There is no exchange rate for that currency.")

    def plan_on(self, name: str, day: str) -> Plan:
        """The plan (by its own name) as it was on a day. Raises NotFound where it was none yet."""
        for plan in self._current(self._rows().plans, lambda row: row.plan, day):
            if plan.plan == name:
                return plan
        raise NotFound("There was no such plan.")

    def rate_on(self, currency: str, day: str) -> ExchangeRate:
        """The exchange rate of a day; before the first one, that. Raises NotFound for a currency without any."""
        rates = sorted(
            (rate for rate in self._rows().rates if rate.currency == currency), key=lambda rate: rate.effective_date
        )
        if not rates:
            raise NotFound("There is no exchange rate for that currency.")
        return next((rate for rate in reversed(rates) if rate.effective_date <= day), rates[0])

    def all_plans(self) -> list[Plan]:
        """Every version of every plan, the newest first (for the platform admin)."""
        return sorted(self._store.rows().plans, key=lambda row: (row.effective_date, row.plan), reverse=True)

    def all_policies(self) -> list[ModelPolicy]:
        """Every version of every model policy, the newest first."""
        return sorted(self._store.rows().policies, key=lambda row: (row.effective_date, row.id), reverse=True)

    def all_rates(self) -> list[ExchangeRate]:
        """Every exchange rate there ever was, the newest first."""
        return sorted(self._store.rows().rates, key=lambda row: (row.effective_date, row.currency), reverse=True)

    def put_plan(self, plan: Plan, actor: str) -> Plan:
        """Set a plan's version from a date on, today at the earliest. Raises Unprocessable, Conflict.

        A plan's own name and its aliases belong to one plan only.
        """
        self._check_day(plan.effective_date)
        taken = {name.casefold(): row.plan for row in self._store.rows().plans for name in (row.plan, *row.aliases)}
        for name in (plan.plan, *plan.aliases):
            if taken.get(name.casefold(), plan.plan) != plan.plan:
                raise Conflict(f"The name {name} belongs to another plan.")
        self._put(plan, actor)
        return plan

    def put_policy(self, policy: ModelPolicy, actor: str) -> ModelPolicy:
        """Set a model policy's version from a date on. Raises Unprocessable; Conflict if that day's price is in force.

        A record names its price by id and date, so a version that may have been used never changes its price.
        """
        self._check_day(policy.effective_date)
        if policy.effective_date > self._today():
            self._put(policy, actor)
        elif not self._store.put(policy, self._audit(actor), if_absent=True):
            raise Conflict("Today's price is in force already: choose a later date.")
        self._cache.clear()
        return policy

    def switch_policy(
        self,
        policy_id: str,
        actor: str,
        *,
        enabled: bool | None = None,
        is_default: bool | None = None,
        plans: frozenset[str] | None = None,
        name: str | None = None,
    ) -> ModelPolicy:
        """Change at once what is no price, on the version in force. Raises NotFound."""
        policy = self.policy(policy_id)
        changed = replace(
            policy,
            enabled=policy.enabled if enabled is None else enabled,
            is_default=policy.is_default if is_default is None else is_default,
            plans=policy.plans if plans is None else plans,
            name=policy.name if name is None else name,
        )
        self._put(changed, actor)
        return changed

    def put_rate(self, rate: ExchangeRate, actor: str) -> ExchangeRate:
        """Set a currency's rate from a date on, today at the earliest; records keep the rate they were made with."""
        self._check_day(rate.effective_date)
        self._put(rate, actor)
        return rate

    def seed(self) -> int:
        """Write the starting catalogue where a row's first version is absent; how many rows were written."""
        rows = self.missing()
        written = sum(self._store.put(row, self._audit("seed"), if_absent=True) for row in rows)
        self._cache.clear()
        return written

    def missing(self) -> list[Row]:
        """The rows of the starting catalogue of which no version is there: `seed` would write them."""
        have = self._store.rows()
        known = (
            {row.plan for row in have.plans},
            {row.id for row in have.policies},
            {row.currency for row in have.rates},
        )
        rows: list[Row] = [row for row in seed.PLANS if row.plan not in known[0]]
        rows += [row for row in seed.policies() if row.id not in known[1]]
        return rows + [row for row in seed.RATES if row.currency not in known[2]]

    def _rows(self) -> Rows:
        return self._cache.get("", self._store.rows)

    def _today(self) -> str:
        return day_of(self._clock(), CATALOGUE_ZONE)

    def _current(self, rows: Iterable[R], identity: Any, day: str = "") -> list[R]:
        """Of each row the latest version whose day has come: by today, or by `day`."""
        now = day or self._today()
        latest: dict[str, R] = {}
        for row in sorted(rows, key=lambda row: row.effective_date):
            if row.effective_date <= now:
                latest[identity(row)] = row
        return list(latest.values())

    def _check_day(self, day: str) -> None:
        if not _DAY.match(day) or day < self._today():
            raise Unprocessable("A change takes effect today at the earliest: the past stays as it was.")

    def _put(self, row: Row, actor: str) -> None:
        self._store.put(row, self._audit(actor))
        self._cache.clear()

    def _audit(self, actor: str) -> dict[str, str]:
        return {"updated_at": iso(self._clock()), "updated_by": actor}


def limits_of(plan: Plan, overrides: dict[str, int]) -> Limits:
    """The plan's limits with a tenant's overrides in their place."""
    known = {name: value for name, value in overrides.items() if name in LIMIT_NAMES}
    return Limits(**asdict(plan.limits) | known)


def _price(plan: Plan, tenant: Tenant) -> int:
    return plan.prices.get(tenant.currency, plan.prices["JPY"])
