"""Automatic purchases: when credits run low, one package is bought by the saved card; never two at once for a tenant.

Whoever sees credits run low only says so. A row per tenant (`BUYER#`) is claimed before anything is paid, and numbers
the purchases: the number makes the order's id and Stripe's idempotency key, so that a buyer who dies is followed by one
who finishes the same purchase.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from noren.billing.auto_purchase import AutoPurchases
from noren.billing.models import AutoPurchase, Package
from noren.billing.order_store import OrderStore
from noren.billing.orders import Buyer, Order
from noren.billing.packages import Packages
from noren.billing.service import Billing
from noren.billing.told import Told
from noren.clock import Clock, month_of
from noren.errors import NorenError
from noren.ids import TenantId, new_id
from noren.ledger.credits import Credits
from noren.mail_billing import BillingNotice
from noren.money import shown
from noren.tenants.models import Tenant

MOST_FAILURES = 3
"""After which it switches itself off."""
BACK_OFF = (3600, 6 * 3600)
"""Seconds until the next try after the first and second failure."""
LEASE_SECONDS = 120
"""What one purchase may take before another process finishes it."""
ACTION_SECONDS = 86_400
"""How long the owner has to confirm a payment that the bank asks about."""


class AutoBuyer:
    """`consider` may be called as often as anybody likes, from anywhere at once."""

    def __init__(
        self,
        settings: AutoPurchases,
        packages: Packages,
        billing: Billing,
        store: OrderStore,
        credits: Credits,
        tenant_of: Callable[[TenantId], Tenant],
        told: Told,
        clock: Clock,
    ) -> None:
        self._settings, self._packages, self._billing, self._store = settings, packages, billing, store
        self._credits, self._tenant_of, self._told, self._clock = credits, tenant_of, told, clock

    def consider(self, tenant_id: TenantId) -> Order | None:
        """Buy if it is time to; the order that was made, None where none was."""
        wanted, tenant = self._settings.get(tenant_id), self._tenant_of(tenant_id)
        if not wanted.enabled or tenant.is_suspended:
            return None
        now = int(self._clock())
        read = self._store.buyer(tenant_id)
        resumes = bool(read.paying_until) and (read.paying_until <= now or self._is_over(tenant_id, read))
        if (read.paying_until and not resumes) or (not resumes and read.not_before > now):
            return None
        if not resumes and self._credits.balance(tenant_id).current > wanted.threshold:
            return None
        month = month_of(now, tenant.timezone)
        bought = read.bought if read.month == month else 0
        package = self._package(tenant, wanted, bought, month)
        if package is None:
            return None
        number = read.number if resumes else read.number + 1
        claim = replace(read, number=number, paying_until=now + LEASE_SECONDS, month=month, bought=bought)
        claim = replace(claim, claim=new_id("claim"))
        claimed = self._store.put_buyer(tenant_id, claim)
        return self._buy(tenant, package, claimed) if claimed else None

    def _is_over(self, tenant_id: TenantId, buyer: Buyer) -> bool:
        """Whether the purchase under way has come to its end since: the owner has confirmed it, say."""
        order = self._store.order(tenant_id, buyer.order_id) if buyer.order_id else None
        return order is not None and order.status not in ("open", "requires_action")

    def _package(self, tenant: Tenant, wanted: AutoPurchase, bought: int, month: str) -> Package | None:
        """The smallest that holds the amount and stays within the month's cap."""
        for package in self._packages.offered(tenant):
            if package.credits_amount >= wanted.amount:
                if bought + package.credits_amount > wanted.monthly_cap:
                    key = f"{month}#{wanted.monthly_cap}"
                    self._told.auto(tenant, "auto_purchase_capped", key, {"cap": f"{wanted.monthly_cap:,}"})
                    return None
                return package
        return None

    def _buy(self, tenant: Tenant, package: Package, claim: Buyer) -> Order | None:
        """Pay, or look what became of a purchase that was begun."""
        try:
            order = self._billing.buy_automatically(tenant, package, f"auto-{claim.number}", ACTION_SECONDS)
        except NorenError as error:
            if error.status >= 500:
                raise  # ours or Stripe's trouble: the message comes again, and the lease runs out
            self._failed(tenant, claim, error.detail)
            return None
        if order.status == "paid":
            done = replace(claim, paying_until=0, failures=0, not_before=0, bought=claim.bought + order.credits)
            self._store.put_buyer(tenant.tenant_id, done)
        elif order.status == "requires_action":
            until = order.created_at + ACTION_SECONDS
            self._told.auto(tenant, "payment_action", order.order_id, _facts(order))
            self._store.put_buyer(tenant.tenant_id, replace(claim, paying_until=until, order_id=order.order_id))
        elif order.status != "open":  # else it is on its way: the lease runs out, and somebody looks again
            self._failed(tenant, claim, order.error)
        return order

    def _failed(self, tenant: Tenant, claim: Buyer, why: str) -> None:
        failures = claim.failures + 1
        off = failures >= MOST_FAILURES
        wait = 0 if off else BACK_OFF[min(failures, len(BACK_OFF)) - 1]
        state = replace(claim, paying_until=0, failures=0 if off else failures, not_before=int(self._clock()) + wait)
        if off:
            self._settings.put(tenant.tenant_id, {"enabled": False}, "auto-purchase")
        kind: BillingNotice = "auto_purchase_off" if off else "auto_purchase_failed"
        self._told.auto(tenant, kind, f"{claim.number}#{failures}", {"why": why or "-"})
        self._store.put_buyer(tenant.tenant_id, state)


def _facts(order: Order) -> dict[str, str]:
    amount = shown(order.amount, order.currency)
    return {"credits": f"{order.credits:,}", "amount": amount, "order": order.order_id}
