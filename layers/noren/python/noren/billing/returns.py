"""What goes back after it was paid: refunds and disputes, worked out from what Stripe says of a payment now."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from noren.billing.order_store import OrderStore
from noren.billing.orders import Contest, Order
from noren.billing.stripe import Stripe
from noren.billing.told import Told
from noren.clock import Clock
from noren.errors import Busy
from noren.ids import TenantId
from noren.ledger.credits import Credits
from noren.ledger.fold import Gift, Withdrawal
from noren.ledger.lots import NEVER

if TYPE_CHECKING:
    from noren.tenants.models import Stop, Tenant

ROUNDS = 8
"""Tries to write what was read while others write too."""


class Registry(Protocol):
    """What is needed of the tenants."""

    def fresh(self, tenant_id: TenantId) -> Tenant: ...
    def set_billing(self, tenant_id: TenantId, plan: str, plan_status: str, grace_until: int) -> Tenant: ...
    def stop(self, tenant_id: TenantId, cause: Stop, reason: str, actor: str) -> Tenant: ...
    def lift(self, tenant_id: TenantId, cause: Stop, actor: str) -> Tenant: ...


class Returns:
    """Each method may be repeated, and run anywhere at once."""

    def __init__(
        self, stripe: Stripe, store: OrderStore, credits: Credits, tenants: Registry, clock: Clock, told: Told
    ) -> None:
        self._stripe, self._store, self._credits, self._tenants, self._clock = stripe, store, credits, tenants, clock
        self._told = told

    def take_back(self, order: Order, payment_intent: str) -> int:
        """Refunds, then disputes, each by its share of the order's credits: all of them where all was paid back.

        Returns how much has been refunded.
        """
        back = 0
        refunds = [each for each in self._stripe.refunds(payment_intent) if each.status == "succeeded"]
        for refund in refunds:
            credits = _share(order, back + refund.amount) - _share(order, back)
            back += refund.amount
            self._withdraw(order, f"REF#{refund.id}", "REFUND", credits, refund.amount, refund.id)
        for dispute in self._stripe.disputes(payment_intent):
            if dispute.status in ("needs_response", "under_review", "won", "lost"):  # no inquiry: money has moved
                before = sum(each.amount for each in refunds if each.created <= dispute.created)
                credits = _share(order, before + dispute.amount) - _share(order, before)
                self._withdraw(order, f"CHB#{dispute.id}", "CHARGEBACK", credits, dispute.amount, dispute.id)
                if dispute.status == "won":
                    self._give_back(order, f"WON#{dispute.id}", credits, dispute.amount, dispute.id)
            self.contest(order.tenant_id, dispute.id, order.order_id)
        return back

    def contest(self, tenant_id: TenantId, dispute_id: str, order_id: str) -> None:
        """Note how a dispute stands, and stop the tenant while any is open."""
        for _ in range(ROUNDS):
            read = self._store.contest(tenant_id, dispute_id) or Contest(dispute_id, tenant_id, "", "")
            contest = replace(read, status=self._stripe.dispute(dispute_id).status, order_id=order_id)
            self._told.contest(contest)
            if contest == read:
                self._stop_or_go(tenant_id)
                return
            self._store.put_contest(contest)  # and look again: see `Settlement`
        raise Busy(retry_after=2)

    def _stop_or_go(self, tenant_id: TenantId) -> None:
        """Stop the tenant while any dispute is open."""
        for _ in range(ROUNDS):
            contested = any(each.is_open for each in self._store.contests(tenant_id))
            stopped = "billing" in self._tenants.fresh(tenant_id).stops
            if contested == stopped:
                return
            if contested:
                self._tenants.stop(tenant_id, "billing", "a payment is disputed", "stripe")
            else:
                self._tenants.lift(tenant_id, "billing", "stripe")
        raise Busy(retry_after=2)

    def _withdraw(self, order: Order, entry_id: str, type: str, credits: int, amount: int, reference: str) -> None:
        wanted = Withdrawal(
            entry_id=entry_id,
            type="REFUND" if type == "REFUND" else "CHARGEBACK",
            credits=credits,
            lot_id=order.entry_id,
            paid=amount,
            currency=order.currency,
            description=order.package_id,
            reference_id=reference,
            user_id="stripe",
        )
        self._credits.withdraw(order.tenant_id, wanted)

    def _give_back(self, order: Order, entry_id: str, credits: int, amount: int, reference: str) -> None:
        now = int(self._clock())
        gift = Gift(
            entry_id=entry_id,
            type="CHARGEBACK",
            kind="purchased",
            credits=credits,
            expires_at=now + order.valid_days * 86_400 if order.valid_days else NEVER,
            paid=amount,
            currency=order.currency,
            description=order.package_id,
            reference_id=reference,
            user_id="stripe",
        )
        self._credits.give(order.tenant_id, gift)


def _share(order: Order, amount: int) -> int:
    """The part of an order's credits that `amount` of its price stands for; all of them for all of it."""
    return order.credits * min(amount, order.amount) // order.amount
