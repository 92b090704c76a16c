"""What each tenant's month brought in and cost: the platform admin's report."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from noren.clock import Clock, day_of, month_of
from noren.errors import NotFound
from noren.money import MINOR_DIGITS, cost_places, to_minor
from noren.plans.service import CATALOGUE_ZONE, Plans
from noren.tenants.models import Tenant
from noren.tenants.service import Tenants
from noren.usage.periods import days_of_month
from noren.usage.reports import UsageReports
from noren.usage.tally import Tally

Position = dict[str, str]
READ_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Revenue:
    """An amount in the currency's minor unit."""

    amount: int
    currency: str


RevenueOf = Callable[[Tenant, str], Revenue]
"""What a tenant brought in in a month (`2026-11`)."""


@dataclass(frozen=True, slots=True)
class Margin:
    """One tenant's month. Its cost is exact, its revenue in USD has ten places: only totals are rounded."""

    tenant: Tenant
    tally: Tally
    revenue: Revenue
    revenue_usd: Decimal

    @property
    def margin_usd(self) -> Decimal:
        """What is left of the revenue, below zero where the tenant costs more than it brings in."""
        return self.revenue_usd - self.tally.cost_usd


@dataclass(slots=True)
class Totals:
    """All tenants together. USD are rounded to cents, once; the margin is the difference of what is shown."""

    tenants: int = 0
    tally: Tally = field(default_factory=Tally)
    revenue: dict[str, int] = field(default_factory=dict)
    """Minor units by currency."""
    revenue_usd: Decimal = Decimal(0)
    cost_usd: Decimal = Decimal(0)

    @property
    def margin_usd(self) -> Decimal:
        """Revenue less cost."""
        return self.revenue_usd - self.cost_usd


class Margins:
    """Puts usage and revenue side by side. A month is that of each tenant's own zone."""

    def __init__(
        self, tenants: Tenants, plans: Plans, reports: UsageReports, clock: Clock, revenue_of: RevenueOf | None = None
    ) -> None:
        self._tenants = tenants
        self._plans = plans
        self._reports = reports
        self._clock = clock
        self._revenue_of = revenue_of or self.plan_price

    def page(self, month: str, limit: int, position: Position | None) -> tuple[list[Margin], Position | None]:
        """Up to `limit` tenants, the newest first. Those that came after the month are left out: pages may be short."""
        tenants: list[Tenant] = []
        while True:
            found, position = self._tenants.search("", "", min(limit - len(tenants), READ_AT_ONCE), position)
            tenants += found
            if position is None or len(tenants) >= limit:
                return self._margins(month, tenants), position

    def totals(self, month: str) -> Totals:
        """All tenants together: reads them all."""
        totals, cost, revenue = Totals(), Tally(), Decimal(0)
        tenants: list[Tenant] = []
        position: Position | None = None
        while True:
            found, position = self._tenants.search("", "", READ_AT_ONCE, position)
            tenants += found
            if position is None:
                break
        for each in self._margins(month, tenants):
            totals.tenants += 1
            cost.add(each.tally)
            revenue += each.revenue_usd
            currency = each.revenue.currency
            totals.revenue[currency] = totals.revenue.get(currency, 0) + each.revenue.amount
        totals.tally = cost
        totals.revenue_usd, totals.cost_usd = _cents(revenue), _cents(cost.cost_usd)
        return totals

    def plan_price(self, tenant: Tenant, month: str) -> Revenue:
        """The catalogue price, in the month, of the plan that the tenant has *now*.

        Which plans it had before, discounts, trials and bought credits are not in it yet: payments come with billing.
        """
        try:
            prices = self._plans.plan_on(tenant.plan, self._day(month)).prices
        except NotFound:  # the plan is younger than the month
            prices = {}
        currency = tenant.currency if tenant.currency in prices or not prices else "JPY"
        return Revenue(prices.get(currency, 0), currency)

    def _margins(self, month: str, tenants: Iterable[Tenant]) -> list[Margin]:
        there = [each for each in tenants if month_of(each.created_at, each.timezone) <= month]
        tallies = self._reports.month(month, {each.tenant_id: each.timezone for each in there})
        margins = []
        for tenant in there:
            revenue = self._revenue_of(tenant, month)
            margins.append(Margin(tenant, tallies[tenant.tenant_id], revenue, self._in_usd(revenue, month)))
        return margins

    def _in_usd(self, revenue: Revenue, month: str) -> Decimal:
        major = Decimal(revenue.amount).scaleb(-MINOR_DIGITS[revenue.currency])
        return cost_places(major / self._plans.rate_on(revenue.currency, self._day(month)).rate) if major else major

    def _day(self, month: str) -> str:
        """The month's last day, or today while it runs: what is in force then counts."""
        return min(days_of_month(month)[1], day_of(self._clock(), CATALOGUE_ZONE))


def _cents(usd: Decimal) -> Decimal:
    return Decimal(to_minor(usd, "USD")).scaleb(-MINOR_DIGITS["USD"])
