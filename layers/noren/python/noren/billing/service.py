"""Buying: customers, Checkout, subscriptions, credits, cards. What is bought is settled by `settlement.py`."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from noren.billing.catalogue import price_of
from noren.billing.customers import Customers
from noren.billing.models import Package
from noren.billing.order_store import OrderStore
from noren.billing.orders import Method, Order, Subscribed
from noren.billing.packages import Packages
from noren.billing.settlement import Settlement
from noren.billing.stripe import Missing, PaymentRefused, Stripe
from noren.clock import Clock
from noren.errors import Conflict, NotFound, Unprocessable
from noren.ids import new_id
from noren.plans.models import Plan
from noren.plans.service import Plans
from noren.settings import Settings
from noren.tenants.models import Tenant

if TYPE_CHECKING:
    from noren.billing.stripe import Invoice, PaymentMethod, Subscription
NET_DAYS = 30
"""In which a company pays its invoice."""
LIVE = ("active", "trialing", "past_due", "unpaid")
"""Subscriptions that can be changed."""

ChangeWhen = Literal["now", "period_end"]


@dataclass(frozen=True, slots=True)
class Started:
    """An order under way, and what the buyer's browser needs to go on with it."""

    order: Order
    client_secret: str = ""
    url: str = ""
    """A page of Stripe's to pay on, or an invoice's own."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be bought, and how it is to be paid."""

    package_id: str
    method: Literal["stripe", "stored_card", "invoice"]
    payment_method: str = ""
    payment_intent: str = ""
    invoice_email: str = ""
    source: str = "dashboard"


class Billing:
    """For owners. Every method names its tenant; nothing that a caller says about a price is used."""

    def __init__(
        self,
        stripe: Stripe,
        store: OrderStore,
        packages: Packages,
        plans: Plans,
        settlement: Settlement,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._stripe, self._store, self._packages, self._plans = stripe, store, packages, plans
        self._settlement, self._settings, self._clock = settlement, settings, clock
        self._customers = Customers(stripe, store, settings)
        self._page = settings.console_url.rstrip("/") + "/billing.html"

    def subscribed(self, tenant: Tenant) -> Subscribed | None:
        """The tenant's subscription as it was last read; None before it has bought anything."""
        return self._store.subscribed(tenant.tenant_id)

    def customer_of(self, tenant: Tenant) -> str:
        """The tenant's customer at Stripe."""
        return self._customers.of(tenant)

    # -- plans

    def checkout_plan(self, tenant: Tenant, plan_name: str, actor: str, key: str) -> str:
        """The address of the page on which the tenant subscribes to a plan. Raises NotFound, Conflict."""
        plan = self._paid_plan(plan_name)
        row = self._store.subscribed(tenant.tenant_id)
        if row and row.status in LIVE:
            raise Conflict("There is a subscription already: change it instead.", code="already_subscribed")
        facts = {"tenant_id": tenant.tenant_id, "plan": plan.plan, "by": actor}
        data: dict[str, Any] = {"metadata": facts}
        if plan.limits.trial_days and not (row and row.subscription):
            data["trial_period_days"] = plan.limits.trial_days
        params = self._page_params(tenant, "subscription", facts) | {
            "line_items": [{"price": price_of(self._stripe, plan, tenant.currency), "quantity": 1}],
            "subscription_data": data,
            "allow_promotion_codes": True,
            "tax_id_collection": {"enabled": True},
        }
        return str(self._stripe.make_checkout(params, f"plan-{key}").url)

    def portal(self, tenant: Tenant) -> str:
        """The address of Stripe's page for cards, invoices and the subscription."""
        return self._stripe.make_portal(self._customers.of(tenant), self._page)

    def subscribe(self, tenant: Tenant, plan_name: str, key: str) -> tuple[Subscribed, str]:
        """Subscribe in the app: incomplete until it is paid with the client secret. Raises NotFound, Conflict."""
        plan = self._paid_plan(plan_name)
        customer = self._customers.of(tenant)
        row = self._settlement.customer(customer)
        if row and row.status in LIVE:
            raise Conflict("There is a subscription already: change it instead.", code="already_subscribed")
        params: dict[str, Any] = {
            "customer": customer,
            "items": [{"price": price_of(self._stripe, plan, tenant.currency)}],
            "payment_behavior": "default_incomplete",
            "payment_settings": {"save_default_payment_method": "on_subscription"},
            "metadata": {"tenant_id": tenant.tenant_id, "plan": plan.plan},
        }
        made = self._stripe.make_subscription(params | self._tax(), f"subscribe-{key}")
        return self._refreshed(customer), _secret(made)

    def preview(self, tenant: Tenant, plan_name: str) -> Invoice:
        """What changing to a plan now would cost. Raises NotFound."""
        row, plan = self._live(tenant), self._paid_plan(plan_name)
        current = self._stripe.subscription(row.subscription)
        item = {"id": current["items"].data[0].id, "price": price_of(self._stripe, plan, row.currency)}
        details = {"items": [item], "proration_behavior": "always_invoice"}
        params = {"customer": row.customer, "subscription": row.subscription, "subscription_details": details}
        return self._stripe.preview(params)

    def change_plan(self, tenant: Tenant, plan_name: str) -> tuple[Subscribed, str]:
        """Change the plan: a dearer one at once, paid pro rata; a cheaper one when what is paid for is over.

        Returns the subscription and a client secret where the bank wants to be asked. Raises NotFound, PaymentRefused.
        """
        row, plan = self._live(tenant), self._paid_plan(plan_name)
        price = price_of(self._stripe, plan, row.currency)
        current = self._stripe.subscription(row.subscription)
        if current.pending_update:
            wanted: Any = current.pending_update.subscription_items
            if wanted[0].price.id != price:
                raise Conflict("Another change waits for its payment.", code="change_pending")
            return self._refreshed(row.customer), _secret(current)
        if plan.prices[row.currency] < row.amount:
            self._stripe.change_at_period_end(current, price)
            return self._refreshed(row.customer), ""
        self._stripe.drop_schedule(current)
        params: dict[str, Any] = {
            "items": [{"id": current["items"].data[0].id, "price": price}],
            "proration_behavior": "always_invoice",
            "payment_behavior": "pending_if_incomplete",
        }
        last = getattr(current.latest_invoice, "id", row.subscription)  # another one after each change that was billed
        changed = self._stripe.change_subscription(row.subscription, params, f"change-{last}-{price}")
        return self._refreshed(row.customer), _secret(changed) if changed.pending_update else ""

    def cancel_plan(self, tenant: Tenant) -> Subscribed:
        """End the subscription when what is paid for is over. Raises NotFound."""
        row = self._live(tenant)
        self._stripe.drop_schedule(self._stripe.subscription(row.subscription))
        self._stripe.change_subscription(row.subscription, {"cancel_at_period_end": True})
        return self._refreshed(row.customer)

    def resume_plan(self, tenant: Tenant) -> Subscribed:
        """Take a cancellation or a coming change back. Raises NotFound."""
        row = self._live(tenant)
        self._stripe.drop_schedule(self._stripe.subscription(row.subscription))
        self._stripe.change_subscription(row.subscription, {"cancel_at_period_end": False})
        return self._refreshed(row.customer)

    # -- credits

    def buy(self, tenant: Tenant, wanted: Wanted, actor: str, key: str) -> Started:
        """Order a package; paid at once where a card is given. The same `key` is the same order.

        Raises Unprocessable for a package that is not sold to the tenant now. A refused card is no error: the order
        says so, and why.
        """
        if wanted.payment_intent:
            return self._go_on(tenant, wanted.payment_intent)
        package = self._package(tenant, wanted.package_id)
        method: Method = "invoice" if wanted.method == "invoice" else "stored_card"
        if wanted.method == "stripe":
            method = "card" if wanted.payment_method else "checkout"
        if wanted.payment_method:
            self._customers.check_card(tenant, wanted.payment_method)
        order, is_new = self._ordered(tenant, package, method, wanted.source, actor, key)
        if not is_new and (begun := self._begun(order)):
            return begun
        match order.method:
            case "checkout":
                return self._by_checkout(tenant, package, order)
            case "invoice":
                return self._by_invoice(tenant, package, order, wanted.invoice_email)
        return self.by_card(
            order, wanted.payment_method or self._customers.default_card(order.customer), off_session=False
        )

    def buy_automatically(self, tenant: Tenant, package: Package, key: str, waits: int) -> Order:
        """Order a package and pay it by the saved card, without the buyer. The same `key` is the same purchase.

        One that has waited `waits` seconds for the owner's word is given up. Raises Unprocessable without a card.
        """
        order, is_new = self._ordered(tenant, package, "auto", "auto_purchase", "auto-purchase", key)
        if not is_new:
            order = self._settlement.order(order)
            if order.status == "requires_action" and self._clock() >= order.created_at + waits:
                self._stripe.cancel_payment(order.payment_intent)
                order = self._settlement.order(order)
            if order.status != "open" or order.payment_intent:
                return order
        return self.by_card(order, self._customers.default_card(order.customer), off_session=True).order

    def by_card(self, order: Order, payment_method: str, *, off_session: bool) -> Started:
        """Pay an order by a card, without the buyer if `off_session`. Settled when it returns."""
        params: dict[str, Any] = {
            "amount": order.amount,
            "currency": order.currency.lower(),
            "customer": order.customer,
            "payment_method": payment_method,
            "confirm": True,
            "allowed_payment_method_types": ["card"],
            "metadata": _facts(order),
            "description": f"Noren credits {order.credits}",
        }
        if off_session:
            params["off_session"] = True
        else:
            params |= {"return_url": f"{self._page}?order={order.order_id}"}
            params |= {"setup_future_usage": "off_session"} if order.method == "card" else {}
        try:
            payment = self._stripe.pay(params, f"order-{order.order_id}")
            payment_id, secret = str(payment.id), str(payment.client_secret or "")
        except PaymentRefused as refused:
            if not refused.payment_intent_id:
                failed = replace(order, status="failed", error=refused.detail)
                return Started(self._store.put_order(failed) or failed)
            payment_id, secret = refused.payment_intent_id, ""
        settled = self._settlement.payment(payment_id) or order
        if settled.status != "requires_action":
            return Started(settled)
        return Started(settled, secret, self.page_of(settled))

    def page_of(self, order: Order) -> str:
        """Stripe's page on which an order that waits for its buyer goes on; "" where there is none."""
        if order.status == "requires_action" and order.payment_intent:
            action = self._stripe.payment(order.payment_intent).next_action
            return str(action.redirect_to_url.url or "") if action and action.redirect_to_url else ""
        if order.status == "open" and order.invoice:
            return str(self._stripe.invoice(order.invoice).hosted_invoice_url or "")
        return str(self._stripe.checkout(order.session).url or "") if order.status == "open" and order.session else ""

    def order(self, tenant: Tenant, order_id: str) -> Order:
        """One order, brought in line with Stripe if it is still open. Raises NotFound."""
        order = self._store.order(tenant.tenant_id, order_id)
        if order is None:
            raise NotFound("There is no such order.")
        return self._settlement.order(order) if order.status in ("open", "requires_action") else order

    def _begun(self, order: Order) -> Started | None:
        """How far an order has come that was begun before; None if nothing has been asked of Stripe yet.

        Stripe knows a key for a day only: so nothing is paid, opened or sent anew by relying on it.
        """
        order = self._settlement.order(order) if order.status in ("open", "requires_action") else order
        if order.invoice:
            return Started(order, url=str(self._stripe.invoice(order.invoice).hosted_invoice_url or ""))
        if order.session:
            return Started(order, url=str(self._stripe.checkout(order.session).url or ""))
        if not order.payment_intent:
            return Started(order) if order.status != "open" else None
        asked = order.status == "requires_action"
        return Started(order, str(self._stripe.payment(order.payment_intent).client_secret) if asked else "")

    def _package(self, tenant: Tenant, package_id: str) -> Package:
        for package in self._packages.offered(tenant):
            if package.package_id == package_id:
                return package
        raise Unprocessable("This package is not on offer for your plan now.", code="package_not_offered")

    def _ordered(
        self, tenant: Tenant, package: Package, method: Method, source: str, actor: str, key: str
    ) -> tuple[Order, bool]:
        """The order of that key, made if there is none; and whether it was."""
        digest = hashlib.sha256(f"{tenant.tenant_id} {key}".encode()).hexdigest()[:32]
        order = Order(
            order_id=f"ord_{digest}" if key else new_id("ord", self._clock()),
            tenant_id=tenant.tenant_id,
            package_id=package.package_id,
            credits=package.credits_amount,
            amount=package.prices[tenant.currency],
            currency=tenant.currency,
            customer=self._customers.of(tenant),
            live=self._stripe.is_live,
            method=method,
            valid_days=self._packages.valid_days(package),
            created_at=int(self._clock()),
            created_by=actor,
            source=source,
            discount_rate=str(package.discount_rate),
        )
        made = self._store.put_order(order)
        if made:
            return made, True
        known = self._store.order(tenant.tenant_id, order.order_id)
        assert known is not None
        return known, False

    def _by_checkout(self, tenant: Tenant, package: Package, order: Order) -> Started:
        name = package.display_name.get(tenant.locale) or package.display_name["en"]
        price = {
            "currency": order.currency.lower(),
            "unit_amount": order.amount,
            "tax_behavior": "inclusive",
            "product_data": {"name": name},
        }
        params = self._page_params(tenant, "payment", _facts(order)) | {
            "line_items": [{"price_data": price, "quantity": 1}],
            "payment_intent_data": {"metadata": _facts(order), "setup_future_usage": "off_session"},
            "invoice_creation": {"enabled": True},
        }
        session = self._stripe.make_checkout(params, f"order-{order.order_id}")
        known = replace(order, session=session.id)
        return Started(self._store.put_order(known) or known, url=str(session.url or ""))

    def _by_invoice(self, tenant: Tenant, package: Package, order: Order, email: str) -> Started:
        invoice: dict[str, Any] = {
            "customer": order.customer,
            "collection_method": "send_invoice",
            "days_until_due": NET_DAYS,
            "currency": order.currency.lower(),
            "metadata": _facts(order) | ({"invoice_email": email} if email else {}),
            "pending_invoice_items_behavior": "exclude",
        }
        item = {
            "customer": order.customer,
            "amount": order.amount,
            "currency": order.currency.lower(),
            "description": package.display_name.get(tenant.locale) or package.display_name["en"],
            "tax_behavior": "inclusive",
        }
        made = self._stripe.make_invoice(invoice | self._tax(), item, f"order-{order.order_id}")
        self._store.put_payment(made.id, order)
        known = replace(order, invoice=made.id)
        self._store.put_order(known)
        return Started(self._settlement.invoice(made.id) or known, url=str(made.hosted_invoice_url or ""))

    def _go_on(self, tenant: Tenant, payment_intent: str) -> Started:
        """Look at a payment that the buyer's bank has been asked about. Raises NotFound for one of others'."""
        try:
            order = self._settlement.payment(payment_intent)
        except Missing:
            order = None
        if order is None or order.tenant_id != tenant.tenant_id:
            raise NotFound("There is no such payment.")
        return Started(order)

    # -- cards

    def cards(self, tenant: Tenant) -> tuple[list[PaymentMethod], str]:
        """The saved cards, and which is the default."""
        row = self._store.subscribed(tenant.tenant_id)
        if row is None or not row.customer:
            return [], ""
        return self._stripe.cards(row.customer), self._customers.default_card(row.customer, required=False)

    def save_card(self, tenant: Tenant, key: str) -> str:
        """The client secret with which a browser saves a card."""
        made = self._stripe.make_setup_intent(self._customers.of(tenant), f"card-{key}")
        return str(made.client_secret)

    def set_default_card(self, tenant: Tenant, payment_method: str) -> None:
        """Pay what comes by that card. Raises NotFound."""
        self._stripe.set_default_card(self._customers.own_card(tenant, payment_method), payment_method)

    def forget_card(self, tenant: Tenant, payment_method: str) -> None:
        """Detach a card. Raises NotFound."""
        self._customers.own_card(tenant, payment_method)
        self._stripe.detach_card(payment_method)

    # -- small things

    def _live(self, tenant: Tenant) -> Subscribed:
        row = self._store.subscribed(tenant.tenant_id)
        if row is None or row.status not in LIVE:
            raise NotFound("There is no subscription.", code="not_subscribed")
        return row

    def _paid_plan(self, name: str) -> Plan:
        plan = self._plans.plan(name)
        if not (plan.public and plan.enabled and plan.prices["JPY"]):
            raise NotFound("There is no such plan to buy.")
        return plan

    def _refreshed(self, customer: str) -> Subscribed:
        row = self._settlement.customer(customer)
        assert row is not None
        return row

    def _page_params(self, tenant: Tenant, mode: str, facts: dict[str, str]) -> dict[str, Any]:
        return {
            "mode": mode,
            "customer": self._customers.of(tenant),
            "client_reference_id": tenant.tenant_id,
            "metadata": facts,
            "success_url": f"{self._page}?paid=1",
            "cancel_url": f"{self._page}?cancelled=1",
            "locale": tenant.locale,
            "customer_update": {"name": "auto", "address": "auto"},
        } | self._tax()

    def _tax(self) -> dict[str, Any]:
        return {"automatic_tax": {"enabled": True}} if self._settings.stripe_tax == "true" else {}


def _facts(order: Order) -> dict[str, str]:
    return {"tenant_id": order.tenant_id, "order_id": order.order_id}


def _secret(subscription: Subscription) -> str:
    invoice: Any = subscription.latest_invoice
    secret = getattr(invoice, "confirmation_secret", None)
    return str(secret.client_secret) if secret else ""
