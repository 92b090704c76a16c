"""Brings orders, plans and credits in line with Stripe, whatever event says that something has changed.

An event only names an object. Everything is read from Stripe anew, and what it comes to is worked out from that alone:
so events may come in any order, any number of times, or not at all if a later one comes. Entries in the ledger have
ids of their own (`PUR#<order>`, `REF#<refund>`, `CHB#<dispute>`), rows have versions that are read before Stripe is.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from noren.billing.catalogue import plan_of_price
from noren.billing.order_store import OrderStore
from noren.billing.orders import Contest, Order, OrderStatus, Subscribed
from noren.billing.stripe import Missing, Stripe
from noren.billing.told import Nobody, Told
from noren.clock import Clock
from noren.errors import Busy
from noren.ids import TenantId
from noren.ledger.credits import Credits
from noren.ledger.fold import Gift, Withdrawal
from noren.ledger.lots import NEVER
from noren.metrics import measured
from noren.plans.service import LAPSED_PLAN

if TYPE_CHECKING:
    from noren.billing.stripe import Invoice, PaymentIntent, Session, Subscription
    from noren.tenants.models import Stop, Tenant

GRACE_SECONDS = 7 * 86_400
"""How long a plan goes on when a renewal is not paid."""
ROUNDS = 8
"""Tries to write what was read while others write too."""

_RANK = {"active": 0, "trialing": 1, "past_due": 2, "unpaid": 3, "paused": 4}
"""Which of several subscriptions counts; others don't."""

_log = logging.getLogger("noren.billing")


class Registry(Protocol):
    """What is needed of the tenants."""

    def fresh(self, tenant_id: TenantId) -> Tenant: ...
    def set_billing(self, tenant_id: TenantId, plan: str, plan_status: str, grace_until: int) -> Tenant: ...
    def stop(self, tenant_id: TenantId, cause: Stop, reason: str, actor: str) -> Tenant: ...
    def lift(self, tenant_id: TenantId, cause: Stop, actor: str) -> Tenant: ...


class Settlement:
    """Each method may be repeated, and run anywhere at once."""

    def __init__(
        self,
        stripe: Stripe,
        store: OrderStore,
        credits: Credits,
        tenants: Registry,
        clock: Clock,
        told: Told | None = None,
    ) -> None:
        self._stripe, self._store, self._credits, self._tenants, self._clock = stripe, store, credits, tenants, clock
        self._told = told or Nobody()

    # -- credits

    def payment(self, payment_intent: str) -> Order | None:
        """Grant, take back and contest what one payment paid for; its order, None where it is none of ours."""
        order = self._order_of(payment_intent)
        if order is None:
            return None
        for _ in range(ROUNDS):
            order = self._store.order(order.tenant_id, order.order_id) or order
            payment = self._stripe.payment(payment_intent)
            status, error = self._status(order, payment)
            if status == "paid":
                self._grant(order, payment_intent)
                self._take_back(order, payment_intent)
            settled = self._note(order, status, error, payment_intent=payment_intent)
            if settled:
                return settled
        raise Busy(retry_after=2)

    def order(self, order: Order) -> Order:
        """Bring one order in line, by whatever it is to be paid with."""
        if order.invoice:
            return self.invoice(order.invoice) or order
        if order.session and not order.payment_intent:
            session = self._stripe.checkout(order.session)
            if session.payment_intent:
                return self.payment(str(session.payment_intent)) or order
            return self.session(session) or order
        return (self.payment(order.payment_intent) if order.payment_intent else None) or order

    def session(self, session: Session) -> Order | None:
        """Note what became of a Checkout page on which nothing has been paid yet; None where it is no order's."""
        facts: Any = session.metadata or {}
        if "order_id" not in facts:
            return None
        for _ in range(ROUNDS):
            order = self._store.order(TenantId(facts["tenant_id"]), facts["order_id"])
            if order is None:
                return None
            session = self._stripe.checkout(session.id)
            noted = self._note(order, "expired" if session.status == "expired" else order.status, "")
            if noted:
                return noted
        raise Busy(retry_after=2)

    def invoice(self, invoice_id: str) -> Order | None:
        """Grant what a company's invoice ordered, once it is paid; None where it is no order's."""
        order = self._store.order_paid_by(invoice_id)
        if order is None:
            return None
        for _ in range(ROUNDS):
            order = self._store.order(order.tenant_id, order.order_id) or order
            invoice = self._stripe.invoice(invoice_id)
            paid_with = _paid_with(invoice)
            status: OrderStatus = "open"
            if invoice.status == "paid":
                same = (invoice.amount_paid, invoice.currency, invoice.customer, invoice.livemode)
                status = "paid" if self._matches(order, *same) else "mismatch"
            elif invoice.status in ("void", "uncollectible"):
                status = "expired"
            elif invoice.status == "open":
                facts: Any = invoice.metadata or {}
                email = str(facts["invoice_email"]) if "invoice_email" in facts else ""
                self._told.invoice(order, str(invoice.hosted_invoice_url or ""), email)
            if status == "paid":
                self._grant(order, invoice_id)
                if paid_with:
                    self._store.put_payment(paid_with, order)
                    self._take_back(order, paid_with)
            settled = self._note(order, status, "", payment_intent=paid_with)
            if settled:
                return settled
        raise Busy(retry_after=2)

    def dispute(self, dispute_id: str) -> None:
        """Take the credits of a contested payment back, give them back if it is won, and stop the tenant meanwhile."""
        for _ in range(ROUNDS):
            dispute = self._stripe.dispute(dispute_id)
            payment = str(dispute.payment_intent or "")
            tenant_id = self._tenant_of_payment(payment, str(dispute.charge))
            if tenant_id is None:
                return
            read = self._store.contest(tenant_id, dispute_id) or Contest(dispute_id, tenant_id, "", "")
            dispute = self._stripe.dispute(dispute_id)  # after the row: see `order_store`
            order = self._order_of(payment) if payment else None
            if order:
                self.payment(payment)
            contest = replace(read, status=dispute.status, order_id=order.order_id if order else "")
            self._told.contest(contest)
            if contest == read or self._store.put_contest(contest):
                self._stop_or_go(tenant_id)
                return
        raise Busy(retry_after=2)

    def _status(self, order: Order, payment: PaymentIntent) -> tuple[OrderStatus, str]:
        """What a payment means for its order; and in words for the buyer, why it failed."""
        match payment.status:
            case "succeeded":
                same = (payment.amount_received, payment.currency, payment.customer, payment.livemode)
                return ("paid", "") if self._matches(order, *same) else ("mismatch", "")
            case "requires_action":
                return "requires_action", ""
            case "canceled":
                return "expired", ""
            case "requires_payment_method" if payment.last_payment_error:
                return "failed", payment.last_payment_error.message or "The card was refused."
        return "open", ""

    def _matches(self, order: Order, amount: int, currency: str, customer: object, live: bool) -> bool:
        """Whether a payment is what was ordered. One that isn't grants nothing and wakes somebody."""
        found = (amount, currency.upper(), str(customer), live)
        wanted = (order.amount, order.currency, order.customer, order.live)
        if found == wanted:
            return True
        fields = {"tenant": order.tenant_id, "order": order.order_id, "wanted": str(wanted), "found": str(found)}
        _log.error("a payment is not what was ordered", extra=measured(fields, PaymentsDiffer=1))
        return False

    def _grant(self, order: Order, reference: str) -> None:
        now = int(self._clock())
        gift = Gift(
            entry_id=order.entry_id,
            type="PURCHASE",
            kind="purchased",
            credits=order.credits,
            expires_at=now + order.valid_days * 86_400 if order.valid_days else NEVER,
            paid=order.amount,
            currency=order.currency,
            description=order.package_id,
            reference_id=reference,
            user_id=order.created_by,
        )
        self._credits.give(order.tenant_id, gift)

    def _take_back(self, order: Order, payment_intent: str) -> None:
        """Refunds, then disputes, each by its share of the order's credits: all of them where all was paid back."""
        back = 0
        for refund in self._stripe.refunds(payment_intent):
            if refund.status != "succeeded":
                continue
            credits = _share(order, back + refund.amount) - _share(order, back)
            back += refund.amount
            self._withdraw(order, f"REF#{refund.id}", "REFUND", credits, refund.amount, refund.id)
        for dispute in self._stripe.disputes(payment_intent):
            if dispute.status not in ("needs_response", "under_review", "won", "lost"):
                continue  # an inquiry: no money has moved
            credits = _share(order, dispute.amount)
            self._withdraw(order, f"CHB#{dispute.id}", "CHARGEBACK", credits, dispute.amount, dispute.id)
            if dispute.status == "won":
                self._give_back(order, f"WON#{dispute.id}", credits, dispute.amount, dispute.id)

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

    def _note(self, order: Order, status: OrderStatus, error: str, *, payment_intent: str = "") -> Order | None:
        """Write what an order has come to; None where somebody else has written since it was read. Paid stays paid."""
        if order.status == "paid" and status != "mismatch":
            status, error = "paid", ""
        changed = replace(order, status=status, error=error, payment_intent=payment_intent or order.payment_intent)
        if changed == order:
            return order
        if status != order.status:
            self._told.order(changed)
        return self._store.put_order(changed)

    def _order_of(self, payment_intent: str) -> Order | None:
        known = self._store.order_paid_by(payment_intent)
        if known:
            return known
        payment = self._stripe.payment(payment_intent)
        facts: Any = payment.metadata or {}
        if "order_id" in facts and "tenant_id" in facts:
            return self._store.order(TenantId(facts["tenant_id"]), facts["order_id"])
        invoice = self._stripe.invoice_of(payment_intent)
        return self._store.order_paid_by(invoice) if invoice else None

    # -- plans

    def customer(self, customer: str) -> Subscribed | None:
        """Bring a customer's tenant in line with its subscriptions; None where the customer is none of ours."""
        tenant_id = self._store.tenant_of(customer)
        if tenant_id is None:
            return None
        for _ in range(ROUNDS):
            read = self._store.subscribed(tenant_id) or Subscribed(tenant_id, customer)
            if read.customer != customer:
                return read  # one that the tenant has left behind
            now = self._subscription_now(read)
            written = read if now == read else self._store.put_subscribed(now)
            if written:
                self._follow(written)
                return written
        raise Busy(retry_after=2)

    def trial(self, customer: str) -> None:
        """Tell of a trial that ends soon."""
        row = self.customer(customer)
        if row and row.status == "trialing":
            self._told.trial(row)

    def renewal(self, customer: str, invoice_id: str) -> None:
        """Tell of a renewal that the bank wants to be confirmed. At a first payment the buyer sits before it anyway."""
        row = self.customer(customer)
        invoice = self._stripe.invoice(invoice_id)
        if row and invoice.status == "open" and invoice.billing_reason == "subscription_cycle":
            self._told.action(row, invoice_id, invoice.amount_due, str(invoice.hosted_invoice_url or ""))

    def _subscription_now(self, read: Subscribed) -> Subscribed:
        """What Stripe says of the tenant's subscription at this moment."""
        try:
            gone = bool(getattr(self._stripe.customer(read.customer), "deleted", False))
        except Missing:
            gone = True
        found = [] if gone else self._stripe.subscriptions(read.customer)
        live = [each for each in found if each.status in _RANK and each.livemode == self._stripe.is_live]
        if not live:
            ended = replace(read, status="canceled") if read.subscription else read
            return replace(ended, next_plan="", cancel_at_period_end=False, grace_until=0)
        best = min(live, key=lambda each: (_RANK[each.status], -each.created, each.id))
        item = best["items"].data[0]
        plan = plan_of_price(item.price)
        if plan is None:
            fields = {"tenant": read.tenant_id, "subscription": best.id, "price": item.price.id}
            _log.error("a subscription has a price that is not ours", extra=measured(fields, PaymentsDiffer=1))
            return read
        return replace(
            read,
            subscription=best.id,
            plan=plan,
            status=best.status,
            amount=item.price.unit_amount,
            currency=item.price.currency.upper(),
            period_end=item.current_period_end,
            cancel_at_period_end=best.cancel_at_period_end,
            next_plan=self._next_plan(best, plan),
            grace_until=_grace_until(best),
        )

    def _next_plan(self, subscription: Subscription, plan: str) -> str:
        if subscription.schedule is None:
            return ""
        schedule = self._stripe.schedule(str(subscription.schedule))
        for phase in schedule.phases:
            following = plan_of_price(phase.items[0].price) if phase.start_date > int(self._clock()) else None
            if following and following != plan:
                return following
        return ""

    def _follow(self, row: Subscribed) -> None:
        """Give the tenant the plan that it pays for, and its status: the last row's, whoever comes last."""
        for _ in range(ROUNDS):
            if not row.subscription:
                return
            plan = LAPSED_PLAN if row.plan_status == "canceled" else row.plan
            tenant = self._tenants.fresh(row.tenant_id)
            if (tenant.plan, tenant.plan_status, tenant.grace_until) != (plan, row.plan_status, row.grace_until):
                self._told.plan(tenant, row, plan)
                self._tenants.set_billing(row.tenant_id, plan, row.plan_status, row.grace_until)
            now = self._store.subscribed(row.tenant_id) or row
            if now.version == row.version:
                return
            row = now
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

    def _tenant_of_payment(self, payment_intent: str, charge: str) -> TenantId | None:
        order = self._order_of(payment_intent) if payment_intent else None
        if order:
            return order.tenant_id
        customer = self._stripe.charge(charge).customer
        return self._store.tenant_of(str(customer)) if customer else None


def _share(order: Order, amount: int) -> int:
    """The part of an order's credits that `amount` of its price stands for; all of them for all of it."""
    return order.credits * min(amount, order.amount) // order.amount


def _paid_with(invoice: Invoice) -> str:
    """The payment that paid an invoice, "" where there is none."""
    for paid in invoice.payments.data if invoice.payments else []:
        if paid.status == "paid" and paid.payment.payment_intent:
            return str(paid.payment.payment_intent)
    return ""


def _grace_until(subscription: Subscription) -> int:
    """A week from the invoice that was not paid."""
    if subscription.status not in ("past_due", "unpaid"):
        return 0
    invoice = subscription.latest_invoice
    since = getattr(invoice, "created", None) or subscription["items"].data[0].current_period_start
    return int(since) + GRACE_SECONDS
