"""The flows of billing (chapter 4), step by step, as an owner, a browser, a bank, an operator and time take them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import stripe as sdk

from bench.stripe_rig import DAY, PERSON, Rig, customer_of
from local.stripe import disputes, paying, payments
from noren.billing.seed import PACKAGES
from noren.billing.service import Wanted

Step = Callable[[Rig], object]
SMALL, MIDDLE = PACKAGES[0].package_id, PACKAGES[1].package_id
ACTOR = "user:aya"


@dataclass(frozen=True)
class Flow:
    """`steps` are what events are about; `given` has been settled before them."""

    name: str
    steps: tuple[Step, ...]
    given: tuple[Step, ...] = ()


def buy(method: str = "stripe", card: str = "", key: str = "k1", package: str = SMALL) -> Step:
    """Order a package."""
    wanted = Wanted(package, method, payment_method=card, invoice_email="keiri@example.jp")  # type: ignore[arg-type]
    return lambda rig: rig.billing.buy(rig.tenant, wanted, ACTOR, key)


def page_for(plan: str) -> Step:
    """Open the page on which a plan is paid."""
    return lambda rig: rig.billing.checkout_plan(rig.tenant, plan, ACTOR, "k-plan")


def pay_page(number: str = "4242424242424242") -> Step:
    """Pay on the page; a card may be declined."""

    def step(rig: Rig) -> None:
        with contextlib.suppress(Exception):
            rig.pay_page(number)

    return step


def subscribe(plan: str = "starter") -> Step:
    """Subscribe in the app."""
    return lambda rig: rig.billing.subscribe(rig.tenant, plan, "k-subscribe")


def confirm(rig: Rig) -> None:
    """The browser pays the first invoice."""
    method = {"payment_method": "pm_card_visa", "return_url": "https://console.example"}
    rig.api.payment_intents.confirm(rig.last("payment_intent")["id"], method)


def use_card(card: str) -> Step:
    """The subscription is paid by another card from now on."""

    def step(rig: Rig) -> None:
        made = rig.api.payment_methods.attach(card, {"customer": customer_of(rig)})
        rig.api.subscriptions.update(rig.last("subscription")["id"], {"default_payment_method": made.id})

    return step


def pay_renewal(rig: Rig) -> None:
    """The owner pays the open invoice by a good card."""
    invoice = next(each for each in rig.stripe.world.all("invoice") if each["status"] == "open")
    rig.api.invoices.pay(invoice["id"], {"payment_method": "pm_card_visa"})


def pay_invoice(card: str) -> Step:
    """The company pays on the invoice's page; a card may be declined."""

    def step(rig: Rig) -> None:
        with contextlib.suppress(sdk.CardError):
            rig.api.invoices.pay(rig.last("invoice")["id"], {"payment_method": card})

    return step


def save_card(rig: Rig) -> None:
    """The owner saves a card."""
    rig.billing.save_card(rig.tenant, f"k-{len(rig.stripe.world.all('setup_intent'))}")
    method = {"payment_method": "pm_card_visa", "return_url": "https://console.example"}
    rig.api.setup_intents.confirm(rig.last("setup_intent")["id"], method)


def detach(rig: Rig) -> None:
    """The owner forgets the card saved first."""
    card = rig.api.customers.payment_methods.list(customer_of(rig)).data[-1].id
    rig.billing.forget_card(rig.tenant, card)


def later(rig: Rig) -> None:
    """Choose to pay at a convenience store."""
    paying.submit_later(rig.stripe.world, rig.last("checkout.session"), PERSON)


def at_the_store(outcome: str) -> Step:
    """Pay there, or never."""
    return lambda rig: payments.finish_later(rig.stripe.world, rig.last("payment_intent"), outcome)


def bank(*, passed: bool) -> Step:
    """Confirm at the bank, or fail to."""
    return lambda rig: rig.answer_bank(passed=passed)


def refund(amount: int | None) -> Step:
    """The operator pays back so much, or all that is left."""

    def step(rig: Rig) -> None:
        part = {} if amount is None else {"amount": amount}
        rig.api.refunds.create({"payment_intent": rig.last("payment_intent")["id"], **part})

    return step


def dispute(rig: Rig) -> None:
    """The cardholder's bank takes the last payment back."""
    disputes.open_for(rig.stripe.world, rig.last("charge"))


def decided(outcome: str) -> Step:
    """The dispute ends."""
    return lambda rig: disputes.close_as(rig.stripe.world, rig.last("dispute"), outcome)


def days(count: int) -> Step:
    """So many days pass."""
    return lambda rig: rig.stripe.advance(count * DAY)


def foreign_price(rig: Rig) -> None:
    """The operator puts the subscription on a price that is none of ours."""
    product = rig.api.products.create({"name": "By hand"})
    price = {"unit_amount": 1_000, "currency": "jpy", "recurring": {"interval": "month"}, "product": product.id}
    made = rig.api.prices.create(price)
    found = rig.last("subscription")
    item = {"id": found["items"]["data"][0]["id"], "price": made.id}
    rig.api.subscriptions.update(found["id"], {"items": [item], "proration_behavior": "none"})


def delete_customer(rig: Rig) -> None:
    """The operator deletes the customer at Stripe."""
    rig.api.customers.delete(customer_of(rig))


IN_APP: tuple[Step, ...] = (subscribe("starter"), confirm)
ON_PRO: tuple[Step, ...] = (subscribe("pro"), confirm)
BY_CARD = buy(card="pm_card_visa")
SPENT = (BY_CARD, lambda rig: rig.spend(400))

FLOWS: tuple[Flow, ...] = (
    Flow("plan by Checkout, trial", (page_for("starter"), pay_page())),
    Flow("plan by Checkout, trial, then paid", (page_for("starter"), pay_page(), days(15))),
    Flow("plan by Checkout, no trial", (page_for("enterprise"), pay_page())),
    Flow("plan by Checkout, declined first", (page_for("enterprise"), pay_page("4000000000000002"), pay_page())),
    Flow("plan in the app", IN_APP),
    Flow("plan in the app, never paid", (subscribe(), days(2))),
    Flow("upgrade", (lambda rig: rig.billing.change_plan(rig.tenant, "pro"),), IN_APP),
    Flow(
        "upgrade that the bank is asked about",
        (
            use_card("pm_card_authenticationRequired"),
            lambda rig: rig.billing.change_plan(rig.tenant, "pro"),
            bank(passed=True),
        ),
        IN_APP,
    ),
    Flow("downgrade planned", (lambda rig: rig.billing.change_plan(rig.tenant, "starter"),), ON_PRO),
    Flow(
        "downgrade at the period's end", (lambda rig: rig.billing.change_plan(rig.tenant, "starter"), days(32)), ON_PRO
    ),
    Flow("cancel", (lambda rig: rig.billing.cancel_plan(rig.tenant), days(32)), IN_APP),
    Flow(
        "cancel, resume",
        (
            lambda rig: rig.billing.cancel_plan(rig.tenant),
            lambda rig: rig.billing.resume_plan(rig.tenant),
        ),
        IN_APP,
    ),
    Flow("renewal paid", (days(32),), IN_APP),
    Flow("renewal failed, paid again", (use_card("pm_card_chargeCustomerFail"), days(32), pay_renewal), IN_APP),
    Flow("renewal failed, grace over", (use_card("pm_card_chargeCustomerFail"), days(32), days(20)), IN_APP),
    Flow(
        "bought and cancelled unheard",
        (*IN_APP, lambda rig: rig.api.subscriptions.cancel(rig.last("subscription")["id"])),
    ),
    Flow("price that is not ours", (*IN_APP, foreign_price)),
    Flow("customer deleted", (*IN_APP, delete_customer)),
    Flow("credits by Checkout", (buy(), pay_page())),
    Flow("credits by Checkout, declined first", (buy(), pay_page("4000000000000002"), pay_page())),
    Flow("credits, paid later", (buy(), later, at_the_store("succeeded"))),
    Flow("credits, never paid later", (buy(), later, at_the_store("failed"))),
    Flow("credits, page left", (buy(), days(2))),
    Flow("credits by stored card", (buy("stored_card"),), (save_card,)),
    Flow("credits, bank says yes", (buy(card="pm_card_authenticationRequired"), bank(passed=True))),
    Flow("credits, bank says no", (buy(card="pm_card_authenticationRequired"), bank(passed=False))),
    Flow("credits, card declined", (buy(card="pm_card_chargeDeclined"),)),
    Flow("company invoice paid", (buy("invoice"), pay_invoice("pm_card_visa"))),
    Flow(
        "company invoice, declined first",
        (
            buy("invoice"),
            pay_invoice("pm_card_chargeCustomerFail"),
            pay_invoice("pm_card_visa"),
        ),
    ),
    Flow("company invoice declined", (buy("invoice"), pay_invoice("pm_card_chargeCustomerFail"))),
    Flow(
        "company invoice voided", (buy("invoice"), lambda rig: rig.api.invoices.void_invoice(rig.last("invoice")["id"]))
    ),
    Flow("company invoice refunded", (buy("invoice"), pay_invoice("pm_card_visa"), refund(None))),
    Flow("refund in part, then all", (BY_CARD, refund(333), refund(None))),
    Flow("refund of three odd parts", (BY_CARD, refund(1), refund(500), refund(None))),
    Flow("refund of what is spent in part", (refund(None),), SPENT),
    Flow("dispute won", (BY_CARD, dispute, decided("won"))),
    Flow("dispute lost", (BY_CARD, dispute, decided("lost"))),
    Flow("dispute lost, credits spent", (dispute, decided("lost")), SPENT),
    Flow("dispute won, credits spent", (dispute, decided("won")), SPENT),
    Flow("refund in part, then disputed", (BY_CARD, refund(500), dispute)),
    Flow("dispute about a plan", (*IN_APP, dispute, decided("won"))),
    Flow("card saved", (save_card,)),
    Flow("two cards saved", (save_card, save_card)),
    Flow("card saved, forgotten", (save_card, detach)),
)
