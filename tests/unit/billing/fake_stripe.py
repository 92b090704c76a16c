"""Stripe in memory, as far as the platform's routes need it: what is written can be read, and cards say what becomes
of a payment: `…_declined` is refused, `…_3ds` asks the buyer's bank, any other pays.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import stripe

from noren.billing.stripe import Missing, PaymentRefused

DECLINED = "Your card was declined."
MONTH = 30 * 86_400


@dataclass
class FakeStripe:
    """Has the methods of `noren.billing.stripe.Stripe`. Every write with a key is made once."""

    is_live: bool = False
    things: dict[str, dict[str, Any]] = field(default_factory=dict)
    made: dict[str, str] = field(default_factory=dict)
    """Idempotency key: what it made."""
    writes: list[str] = field(default_factory=list)

    # -- customers and cards

    def make_customer(self, params: dict[str, Any], key: str) -> str:
        return str(self._make("cus", params | {"invoice_settings": {"default_payment_method": None}}, key)["id"])

    def customer(self, customer: str) -> Any:
        return self._read(customer, stripe.Customer)

    def set_default_card(self, customer: str, payment_method: str) -> None:
        self._raw(customer)["invoice_settings"] = {"default_payment_method": payment_method}

    def make_setup_intent(self, customer: str, key: str) -> Any:
        made = self._make("seti", {"customer": customer}, key)
        return stripe.SetupIntent.construct_from(made | {"client_secret": f"{made['id']}_secret"}, "")

    def save_card(self, customer: str, card: str) -> str:
        """What Stripe does when a browser has saved a card."""
        shown = {"brand": "visa", "last4": "4242", "exp_month": 12, "exp_year": 2034}
        self.things[card] = {"id": card, "object": "payment_method", "customer": customer, "card": shown}
        return card

    def cards(self, customer: str) -> list[Any]:
        cards = [each for each in self.things.values() if each["object"] == "payment_method"]
        return [self._read(each["id"], stripe.PaymentMethod) for each in cards if each["customer"] == customer]

    def card(self, payment_method: str) -> Any:
        return self._read(payment_method, stripe.PaymentMethod)

    def detach_card(self, payment_method: str) -> None:
        self._raw(payment_method)["customer"] = None

    # -- prices, pages

    def price(self, lookup_key: str, name: str, amount: int, currency: str) -> str:
        facts = {"lookup_key": lookup_key, "unit_amount": amount, "currency": currency.lower()}
        return str(self._make("price", facts, f"price-{lookup_key}")["id"])

    def make_checkout(self, params: dict[str, Any], key: str) -> Any:
        made = self._make("cs", {"status": "open", "payment_intent": None, **params}, key)
        made["url"] = f"https://checkout.stripe.example/{made['id']}"
        return self._read(made["id"], stripe.checkout.Session)

    def checkout(self, session: str) -> Any:
        return self._read(session, stripe.checkout.Session)

    def make_portal(self, customer: str, return_url: str) -> str:
        return f"https://billing.stripe.example/{customer}"

    # -- subscriptions

    def make_subscription(self, params: dict[str, Any], key: str) -> Any:
        now = int(time.time())
        item: dict[str, Any] = {"id": "si_1", "price": self._raw(params["items"][0]["price"])}
        item |= {"current_period_start": now, "current_period_end": now + MONTH}
        facts = {"status": "active", "created": now, "livemode": False, "schedule": None, "pending_update": None}
        facts |= {"customer": params["customer"], "cancel_at_period_end": False, "latest_invoice": None}
        made = self._make("sub", facts | {"items": {"object": "list", "data": [item]}}, key)
        return self._read(made["id"], stripe.Subscription)

    def subscription(self, subscription: str) -> Any:
        return self._read(subscription, stripe.Subscription)

    def subscriptions(self, customer: str) -> list[Any]:
        found = [each for each in self.things.values() if each["object"] == "sub"]
        return [self._read(each["id"], stripe.Subscription) for each in found if each["customer"] == customer]

    def change_subscription(self, subscription: str, params: dict[str, Any], key: str = "") -> Any:
        raw = self._raw(subscription)
        for item in params.get("items", []):
            raw["items"]["data"][0]["price"] = self._raw(item["price"])
        raw |= {name: value for name, value in params.items() if name in ("cancel_at_period_end", "status")}
        return self._read(subscription, stripe.Subscription)

    def preview(self, params: dict[str, Any]) -> Any:
        price = self._raw(params["subscription_details"]["items"][0]["price"])
        line = {"description": "Remaining time", "amount": price["unit_amount"]}
        facts = {"amount_due": price["unit_amount"], "currency": price["currency"], "total_taxes": []}
        return stripe.Invoice.construct_from(facts | {"lines": {"object": "list", "data": [line]}}, "")

    def change_at_period_end(self, subscription: Any, price: str) -> None:
        item = self._raw(subscription.id)["items"]["data"][0]
        phases = [
            {"start_date": item["current_period_start"], "items": [{"price": item["price"]}]},
            {"start_date": item["current_period_end"], "items": [{"price": self._raw(price)}]},
        ]
        made = self._make("sub_sched", {"phases": phases}, "")
        self._raw(subscription.id)["schedule"] = made["id"]

    def drop_schedule(self, subscription: Any) -> None:
        self._raw(subscription.id)["schedule"] = None

    def schedule(self, schedule: str) -> Any:
        return self._read(schedule, stripe.SubscriptionSchedule)

    # -- payments

    def pay(self, params: dict[str, Any], key: str) -> Any:
        card = str(params["payment_method"])
        outcome = next((each for each in ("declined", "3ds") if card.endswith(each)), "")
        status = {"declined": "requires_payment_method", "3ds": "requires_action"}.get(outcome, "succeeded")
        facts = {name: params[name] for name in ("amount", "currency", "customer", "metadata")}
        facts |= {"status": status, "livemode": False, "latest_charge": None, "client_secret": f"{key}_secret"}
        facts |= {"amount_received": params["amount"] if status == "succeeded" else 0}
        facts |= {
            "last_payment_error": {"message": DECLINED, "code": "card_declined", "decline_code": "generic_decline"}
            if outcome == "declined"
            else None
        }
        asks = {"redirect_to_url": {"url": f"https://bank.example/{key}"}} if "return_url" in params else {}
        facts |= {"next_action": {"redirect_to_url": None, **asks} if outcome == "3ds" else None}
        made = self._make("pi", facts, key)
        if outcome == "declined":
            raise PaymentRefused(DECLINED, reason="generic_decline", payment_intent_id=made["id"])
        return self.payment(made["id"])

    def confirm(self, payment_intent: str) -> None:
        """What the buyer's bank does."""
        raw = self._raw(payment_intent)
        raw |= {"status": "succeeded", "amount_received": raw["amount"]}

    def cancel_payment(self, payment_intent: str) -> None:
        raw = self._raw(payment_intent)
        raw["status"] = raw["status"] if raw["status"] == "succeeded" else "canceled"

    def payment_of(self, customer: str, order_id: str, since: int) -> str | None:
        made = [each for each in self.things.values() if each["object"] == "pi" and each["customer"] == customer]
        return next((each["id"] for each in made if each["metadata"]["order_id"] == order_id), None)

    def payment(self, payment_intent: str) -> Any:
        return self._read(payment_intent, stripe.PaymentIntent)

    def refunds(self, payment_intent: str) -> list[Any]:
        return self._of("re_", payment_intent, stripe.Refund)

    def disputes(self, payment_intent: str) -> list[Any]:
        return self._of("dp_", payment_intent, stripe.Dispute)

    def contest(self, payment_intent: str, status: str = "needs_response") -> str:
        """What a buyer does at their bank."""
        paid = self._raw(payment_intent)
        facts = {"payment_intent": payment_intent, "charge": "ch_1", "status": status, "amount": paid["amount"]}
        return str(self._make("dp", facts, f"dp-{payment_intent}")["id"])

    def dispute(self, dispute: str) -> Any:
        return self._read(dispute, stripe.Dispute)

    # -- invoices

    def make_invoice(self, invoice: dict[str, Any], item: dict[str, Any], key: str) -> Any:
        facts = {"status": "open", "amount_paid": 0, "livemode": False, "payments": None, **invoice}
        made = self._make("in", facts | {"amount_due": item["amount"]}, key)
        made["hosted_invoice_url"] = f"https://invoice.stripe.example/{made['id']}"
        return self._read(made["id"], stripe.Invoice)

    def pay_invoice(self, invoice: str) -> None:
        """What a company does."""
        raw = self._raw(invoice)
        raw |= {"status": "paid", "amount_paid": raw["amount_due"]}

    def invoice(self, invoice: str) -> Any:
        return stripe.Invoice.construct_from({"metadata": {}} | self._raw(invoice), "")

    def invoice_of(self, payment_intent: str) -> str | None:
        return None

    # -- how things are kept

    def _make(self, prefix: str, facts: dict[str, Any], key: str) -> dict[str, Any]:
        if key not in self.made or not key:
            thing_id = f"{prefix}_{len(self.things) + 1}"
            self.things[thing_id] = {"object": prefix, **facts, "id": thing_id}
            self.made[key] = thing_id
            self.writes.append(thing_id)
        return self.things[self.made[key]]

    def _of(self, prefix: str, payment_intent: str, kind: Any) -> list[Any]:
        mine = [each for each in self.things.values() if each.get("payment_intent") == payment_intent]
        return [self._read(each["id"], kind) for each in mine if each["id"].startswith(prefix)]

    def _raw(self, thing_id: str) -> dict[str, Any]:
        if thing_id not in self.things:
            raise Missing(thing_id)
        return self.things[thing_id]

    def _read(self, thing_id: str, kind: Any) -> Any:
        return kind.construct_from(self._raw(thing_id), "")
