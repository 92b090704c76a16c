"""Whatever is done in whatever order, the account's books agree."""

from __future__ import annotations

from typing import Any

import stripe
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from local.stripe import disputes
from local.stripe.errors import Refusal
from local.stripe.inprocess import in_process
from local.stripe.invoices import subscription_of
from tests.contract.stripe.conftest import START, price

CARDS = ("pm_card_visa", "pm_card_chargeCustomerFail", "pm_card_authenticationRequired")
BEHAVIOR = st.sampled_from(["default_incomplete", "allow_incomplete", "error_if_incomplete"])
PRORATION = st.sampled_from(["create_prorations", "always_invoice", "none"])
PENDING = st.sampled_from(["allow_incomplete", "pending_if_incomplete", "error_if_incomplete", "default_incomplete"])


def _some(found: list[Any], which: int) -> list[Any]:
    return [found[which % len(found)]] if found else []


class Account(RuleBasedStateMachine):
    """One customer who subscribes, changes, pays, does not pay, and gets money back, while time goes by."""

    def __init__(self) -> None:
        super().__init__()
        self.stripe = in_process(now=START)
        self.v1: Any = self.stripe.client.v1
        self.customer = self.v1.customers.create({"email": "a@example.jp"}).id
        self.prices = [price(self.v1, amount).id for amount in (0, 7800, 19800)]
        self.prices.append(price(self.v1, 78000, recurring={"interval": "year"}).id)
        self.card("pm_card_visa")

    def attempt(self, call: Any, *given: Any) -> Any:
        """Cards may decline and states may not fit; nothing else may go wrong."""
        try:
            return call(*given)
        except (stripe.CardError, stripe.InvalidRequestError):
            return None

    def some_subscription(self, which: int) -> list[Any]:
        """One of those that run, if any does."""
        return _some(list(self.v1.subscriptions.list({"customer": self.customer, "limit": 100}).data), which)

    @rule(card=st.sampled_from(CARDS))
    def card(self, card: str) -> None:
        method = self.v1.payment_methods.attach(card, {"customer": self.customer})
        self.v1.customers.update(self.customer, {"invoice_settings": {"default_payment_method": method.id}})

    @initialize()
    def begin(self) -> None:
        self.subscribe_to(1, "allow_incomplete", 0)
        self.stripe.advance(10 * 86_400)

    @rule(plan=st.integers(0, 3), behavior=BEHAVIOR, trial=st.sampled_from([0, 0, 0, 7]))
    def subscribe(self, plan: int, behavior: str, trial: int) -> None:
        self.subscribe_to(plan, behavior, trial)

    def subscribe_to(self, plan: int, behavior: str, trial: int) -> None:
        given = {"customer": self.customer, "items": [{"price": self.prices[plan]}], "payment_behavior": behavior}
        self.attempt(self.v1.subscriptions.create, {**given, **({"trial_period_days": trial} if trial else {})})

    @rule(which=st.integers(0, 9), plan=st.integers(0, 3), proration=PRORATION, behavior=PENDING)
    def change(self, which: int, plan: int, proration: str, behavior: str) -> None:
        for each in self.some_subscription(which):
            items = [{"id": each["items"].data[0].id, "price": self.prices[plan]}]
            given = {"items": items, "proration_behavior": proration, "payment_behavior": behavior}
            self.attempt(self.v1.subscriptions.update, each.id, given)

    @rule(which=st.integers(0, 9), now=st.booleans())
    def leave(self, which: int, now: bool) -> None:
        for each in self.some_subscription(which):
            if now:
                self.attempt(self.v1.subscriptions.cancel, each.id)
            else:
                self.attempt(self.v1.subscriptions.update, each.id, {"cancel_at_period_end": True})

    @rule(which=st.integers(0, 9), how=st.sampled_from(["pay", "void", "outside"]))
    def settle(self, which: int, how: str) -> None:
        for each in _some(self.v1.invoices.list({"status": "open"}).data, which):
            if how == "void":
                self.attempt(self.v1.invoices.void_invoice, each.id)
            else:
                given = {"paid_out_of_band": True} if how == "outside" else {"payment_method": "pm_card_visa"}
                self.attempt(self.v1.invoices.pay, each.id, given)

    @rule(which=st.integers(0, 9), parts=st.sampled_from([(1, 1), (1, 2), (2, 3)]))
    def refund(self, which: int, parts: tuple[int, int]) -> None:
        """A part of the whole charge, twice: the second time it may be more than is left."""
        for each in _some(self.v1.charges.list({"limit": 100}).data, which):
            for _ in range(2):
                amount = each.amount * parts[0] // parts[1]
                self.attempt(self.v1.refunds.create, {"charge": each.id, "amount": amount})

    @rule(which=st.integers(0, 9), outcome=st.sampled_from([None, "won", "lost"]))
    def dispute(self, which: int, outcome: str | None) -> None:
        world = self.stripe.world
        try:
            for charge in _some(world.all("charge"), which):
                opened = disputes.open_for(world, charge)
                if outcome:
                    disputes.close_as(world, opened, outcome)
        except Refusal:
            pass

    @rule(hours=st.sampled_from([1, 23, 24 * 8, 24 * 31, 24 * 31 + 1, 24 * 62]))
    def time(self, hours: int) -> None:
        self.stripe.advance(hours * 3600)

    @invariant()
    def a_paid_invoice_was_paid_for(self) -> None:
        world = self.stripe.world
        for each in world.all("invoice"):
            intent = world.objects.get(each.get("_intent") or "")
            charged = intent["amount_received"] if intent else 0
            if each["status"] == "paid":
                assert charged + each["amount_paid_off_stripe"] == each["amount_due"] == each["amount_paid"]
            else:
                assert charged == 0
            assert each["amount_due"] >= 0

    @invariant()
    def the_balance_is_what_invoices_left(self) -> None:
        world = self.stripe.world
        finalized = [each for each in world.all("invoice") if each["status"] != "draft"]
        left = sum(each["total"] - each["amount_due"] for each in finalized)
        assert world.objects[self.customer]["balance"] == left

    @invariant()
    def no_more_goes_back_than_came(self) -> None:
        world = self.stripe.world
        for charge in world.all("charge"):
            back = sum(each["amount"] for each in world.all("refund") if each["charge"] == charge["id"])
            assert back == charge["amount_refunded"] <= charge["amount_captured"]
            assert charge["refunded"] == (charge["captured"] and back == charge["amount"])

    @invariant()
    def an_intent_is_paid_at_most_once(self) -> None:
        world = self.stripe.world
        for intent in world.all("payment_intent"):
            paid = [each for each in world.all("charge") if each["payment_intent"] == intent["id"] and each["paid"]]
            assert len(paid) == (intent["status"] == "succeeded")

    @invariant()
    def states_agree(self) -> None:
        world = self.stripe.world
        for each in world.all("subscription"):
            mine = [one for one in world.all("invoice") if subscription_of(one) == each["id"]]
            is_open = [one for one in mine if one["status"] == "open"]
            first = [one for one in mine if one["billing_reason"] == "subscription_create"]
            assert len(first) == 1
            open_renewals = [one for one in is_open if one["billing_reason"] == "subscription_cycle"]
            assert len(open_renewals) <= 1, "a new period was billed while the last is not paid"
            renewals = [one["period_start"] for one in mine if one["billing_reason"] == "subscription_cycle"]
            assert len(renewals) == len(set(renewals)), "a period was billed twice"
            if each["status"] == "incomplete":
                assert is_open == first
            if each["status"] == "incomplete_expired":
                assert first[0]["status"] == "void"
            if each["status"] in ("past_due", "unpaid"):
                assert is_open
            if each["status"] in ("active", "trialing"):
                assert not [one for one in is_open if one["billing_reason"] != "subscription_update"]
            if each["status"] == "canceled":
                assert each["ended_at"]

    @invariant()
    def events_are_unique_and_in_order(self) -> None:
        events = self.stripe.world.all("event")
        assert len({each["id"] for each in events}) == len(events)
        moments = [each["created"] for each in events]
        assert moments == sorted(moments)


TestAccount = Account.TestCase
TestAccount.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


def test_a_seed_tells_everything() -> None:
    def run(seed: int) -> list[Any]:
        account = in_process(seed=seed, now=START)
        v1: Any = account.client.v1
        customer = v1.customers.create({"email": "a@example.jp", "payment_method": "pm_card_visa"})
        v1.subscriptions.create({"customer": customer.id, "items": [{"price": price(v1).id}]})
        account.advance(40 * 86_400)
        return [{**event, "request": None} for event in account.world.take_events()]

    assert run(1) == run(1)
    assert run(1) != run(2)
