"""Brings orders, plans and credits in line with Stripe, whatever event says that something has changed.

An event only names an object. Everything is read from Stripe anew, and what it comes to is worked out from that alone:
so events may come in any order, any number of times, or not at all if a later one comes. Entries in the ledger have
ids of their own (`PUR#<order>`, `REF#<refund>`, `CHB#<dispute>`), rows have versions that are read before Stripe is.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from noren.billing.catalogue import plan_of_price
from noren.billing.order_store import OrderStore
from noren.billing.orders import Order, OrderStatus, Subscribed
from noren.billing.returns import ROUNDS, Registry, Returns
from noren.billing.stripe import Missing, Stripe
from noren.billing.told import Nobody, Told
from noren.clock import Clock
from noren.errors import Busy
from noren.ids import TenantId
from noren.ledger.credits import Credits
from noren.ledger.fold import Gift
from noren.ledger.lots import NEVER
from noren.metrics import measured
from noren.plans.service import LAPSED_PLAN

if TYPE_CHECKING:
    from noren.billing.stripe import Invoice, PaymentIntent, Session, Subscription

GRACE_SECONDS = 7 * 86_400
"""How long a plan goes on when a renewal is not paid."""
SKEW_SECONDS = 300
"""How far our clock may be ahead of Stripe's."""

_RANK = {"active": 0, "trialing": 1, "past_due": 2, "unpaid": 3, "paused": 4, "canceled": 5}
"""Which of several subscriptions counts; others were never paid."""

_log = logging.getLogger("noren.billing")


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
        self._returns = Returns(stripe, store, credits, tenants, clock, self._told)

    # -- credits

    def payment(self, payment_intent: str) -> Order | None:
        """Grant, take back and contest what one payment paid for; its order, None where it is none of ours."""
        order = self._order_of(payment_intent)
        if order is None:
            return None
        if order.method == "invoice":  # what its payment has come to is not the last word
            invoice = order.invoice or self._stripe.invoice_of(payment_intent)
            return self.invoice(invoice) if invoice else order
        for _ in range(ROUNDS):
            order = self._store.order(order.tenant_id, order.order_id) or order
            payment = self._stripe.payment(payment_intent)
            status, error = self._status(order, payment)
            returned = "" if _is_whole(payment) else payment_intent
            refunded = self._paid(order, payment_intent, returned) if status == "paid" else 0
            settled = self._note(order, status, error, payment_intent=payment_intent, refunded=refunded)
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
        # Who made the payment may have died before it was noted
        made = order.payment_intent or self._stripe.payment_of(
            order.customer, order.order_id, order.created_at - SKEW_SECONDS
        )
        return (self.payment(made) if made else None) or order

    def session(self, session: Session) -> Order | None:
        """Note what became of a Checkout page on which nothing has been paid yet; None where it is no order's."""
        order = self._named(session.metadata)
        if order is None:
            return None
        for _ in range(ROUNDS):
            order = self._store.order(order.tenant_id, order.order_id) or order
            session = self._stripe.checkout(session.id)
            status = "expired" if session.status == "expired" else order.status
            noted = self._note(order, status, order.error, session=session.id)
            if noted:
                return noted
        raise Busy(retry_after=2)

    def invoice(self, invoice_id: str) -> Order | None:
        """Grant what a company's invoice ordered, once it is paid; None where it is no order's."""
        order = self._store.order_paid_by(invoice_id) or self._named(self._stripe.invoice(invoice_id).metadata)
        if order is None:
            return None
        for _ in range(ROUNDS):
            order = self._store.order(order.tenant_id, order.order_id) or order
            invoice = self._stripe.invoice(invoice_id)
            paid_with = _paid_with(invoice)
            status: OrderStatus = "open"
            refunded = 0
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
                refunded = self._paid(order, invoice_id, paid_with)
            settled = self._note(order, status, invoice=invoice_id, payment_intent=paid_with, refunded=refunded)
            if settled:
                return settled
        raise Busy(retry_after=2)

    def dispute(self, dispute_id: str) -> None:
        """Take the credits of a contested payment back, give them back if it is won, and stop the tenant meanwhile."""
        dispute = self._stripe.dispute(dispute_id)
        order = self.payment(str(dispute.payment_intent)) if dispute.payment_intent else None
        if order and order.status == "paid":
            return  # all of its disputes have been looked at
        customer = order.customer if order else str(self._stripe.charge(str(dispute.charge)).customer)
        tenant_id = self._store.tenant_of(customer)
        if tenant_id:
            self._returns.contest(tenant_id, dispute_id, order.order_id if order else "")

    def _paid(self, order: Order, reference: str, payment_intent: str) -> int:
        """Grant, then take back what has been paid back or is contested; how much has been paid back."""
        self._grant(order, reference)
        if not payment_intent:
            return 0
        if order.method == "invoice":
            self._store.put_payment(payment_intent, order)
        return self._returns.take_back(order, payment_intent)

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
                # Without the buyer, the bank's question comes as a refusal
                asked = payment.last_payment_error.code == "authentication_required"
                message = payment.last_payment_error.message or "The card was refused."
                return ("requires_action", "") if asked else ("failed", message)
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

    def _note(self, order: Order, status: OrderStatus, error: str = "", **found: str | int) -> Order | None:
        """The order if it stands as Stripe has it. Else write what it has come to, and None: look again.

        For what was read of Stripe may be old by the time it is written, and whoever has read what is newer may have
        found nothing to write. Paid stays paid, by the payment that paid it.
        """
        if order.status == "paid":
            status, error = "paid", ""
            if order.payment_intent:
                found.pop("payment_intent", None)
        known: dict[str, Any] = {name: value for name, value in found.items() if value}
        changed = replace(order, status=status, error=error, **known)
        if changed == order:
            return order
        if status != order.status:
            self._told.order(changed)
        self._store.put_order(changed)
        return None

    def _order_of(self, payment_intent: str) -> Order | None:
        known = self._store.order_paid_by(payment_intent)
        if known:
            return known
        found = self._named(self._stripe.payment(payment_intent).metadata)
        if found:
            return found
        invoice = self._stripe.invoice_of(payment_intent)
        if not invoice:
            return None
        return self._store.order_paid_by(invoice) or self._named(self._stripe.invoice(invoice).metadata)

    def _named(self, metadata: Any) -> Order | None:
        """The order that metadata names. One that is not there wakes somebody: there is money without an order."""
        facts = metadata or {}
        if "order_id" not in facts or "tenant_id" not in facts:
            return None
        order = self._store.order(TenantId(facts["tenant_id"]), facts["order_id"])
        if order is None:
            fields = {"tenant": facts["tenant_id"], "order": facts["order_id"]}
            _log.error("a payment names an order that is not there", extra=measured(fields, PaymentsDiffer=1))
        return order

    # -- plans

    def customer(self, customer: str, subscription: str = "") -> Subscribed | None:
        """Bring a customer's tenant in line with its subscriptions; None where the customer is none of ours.

        `subscription` is one that is known to be the customer's: a deleted customer's can't be listed.
        """
        tenant_id = self._store.tenant_of(customer)
        if tenant_id is None:
            return None
        for _ in range(ROUNDS):
            read = self._store.subscribed(tenant_id) or Subscribed(tenant_id, customer)
            if read.customer != customer:
                return read  # one that the tenant has left behind
            now = self._subscription_now(read, subscription)
            if now == read:
                self._follow(read)
                return read
            self._store.put_subscribed(now)  # and look again, as with orders
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

    def _subscription_now(self, read: Subscribed, named: str) -> Subscribed:
        """What Stripe says of the tenant's subscription at this moment: of the best there is, else of the last one."""
        is_gone = self._is_gone(read.customer)
        known = self._each({named, read.subscription}) if is_gone else self._stripe.subscriptions(read.customer)
        found = [each for each in known if each.status in _RANK and each.livemode == self._stripe.is_live]
        found = [each for each in found if str(each.customer) == read.customer]
        if not found:
            ended = replace(read, status="canceled", next_plan="", cancel_at_period_end=False, grace_until=0)
            return replace(ended if read.subscription else read, is_gone=is_gone)
        best = min(found, key=lambda each: (not _plan(each), _RANK[each.status], -each.created, each.id))
        self._check(read, [each for each in found if each.status != "canceled"])
        item = best["items"].data[0]
        status = best.status if _plan(best) else "canceled"
        over = status == "canceled"
        return replace(
            read,
            is_gone=is_gone,
            subscription=best.id,
            plan=_plan(best),
            status=status,
            amount=item.price.unit_amount,
            currency=item.price.currency.upper(),
            period_end=item.current_period_end,
            cancel_at_period_end=best.cancel_at_period_end and not over,
            next_plan="" if over else self._next_plan(best),
            grace_until=0 if over else _grace_until(best),
        )

    def _is_gone(self, customer: str) -> bool:
        try:
            return bool(getattr(self._stripe.customer(customer), "deleted", False))
        except Missing:
            return True

    def _each(self, ids: set[str]) -> list[Subscription]:
        found = []
        for each in sorted(ids - {""}):
            with suppress(Missing):
                found.append(self._stripe.subscription(each))
        return found

    def _check(self, read: Subscribed, live: list[Subscription]) -> None:
        """Wake somebody where a price is not ours (it gives nobody a plan), or a tenant pays twice."""
        foreign = [each.id for each in live if not _plan(each)]
        if foreign or len(live) > 1:
            what = "a subscription has a price that is not ours" if foreign else "a tenant has several subscriptions"
            fields = {"tenant": read.tenant_id, "subscriptions": str(foreign or [each.id for each in live])}
            _log.error(what, extra=measured(fields, PaymentsDiffer=1))

    def _next_plan(self, subscription: Subscription) -> str:
        if subscription.schedule is None:
            return ""
        schedule = self._stripe.schedule(str(subscription.schedule))
        for phase in schedule.phases:
            following = plan_of_price(phase.items[0].price) if phase.start_date > int(self._clock()) else None
            if following and following != _plan(subscription):
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


def _is_whole(payment: PaymentIntent) -> bool:
    """Whether nothing of a payment has gone back and nobody contests it."""
    charge: Any = payment.latest_charge
    return getattr(charge, "amount_refunded", None) == 0 and getattr(charge, "disputed", None) is False


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


def _plan(subscription: Subscription) -> str:
    """The plan that a subscription is for, "" where its price is not ours."""
    return plan_of_price(subscription["items"].data[0].price) or ""
