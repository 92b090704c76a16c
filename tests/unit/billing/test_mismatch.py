"""Money that is not what was ordered grants nothing and wakes somebody; what comes right afterwards still counts."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from typing import Any

import pytest

from bench.stripe_flows import IN_APP, buy, foreign_price, pay_invoice, pay_page, save_card
from bench.stripe_orders import orderly
from bench.stripe_rig import Rig, customer_of
from local.stripe.world import Obj
from noren.billing.orders import Order
from noren.metrics import Measured

WAITING = buy(card="pm_card_authenticationRequired")
"""An order whose payment the bank is still asked about."""


def alarms(caplog: pytest.LogCaptureFixture) -> int:
    found = [getattr(record, "metrics", None) for record in caplog.records if record.name == "noren.billing"]
    return sum("PaymentsDiffer" in each.values for each in found if isinstance(each, Measured))


def order(rig: Rig) -> Order:
    (found,), _ = rig.process.store.orders(rig.tenant_id, 10, None)
    return found


def deliver(rig: Rig) -> None:
    for event in rig.new_events():
        rig.apply(event)


CHANGES: dict[str, Callable[[Obj], Any]] = {
    "amount": lambda payment: payment.update(amount_received=payment["amount"] - 1),
    "more": lambda payment: payment.update(amount_received=payment["amount"] + 1),
    "hundredfold": lambda payment: payment.update(amount_received=payment["amount"] * 100),
    "currency": lambda payment: payment.update(currency="krw"),
    "customer": lambda payment: payment.update(customer="cus_of_somebody_else"),
    "nobody": lambda payment: payment.update(customer=None),
    "mode": lambda payment: payment.update(livemode=True),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_payment_that_differs_grants_nothing(change: Callable[[Obj], Any], caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    orderly(rig, (WAITING,))
    rig.answer_bank(passed=True)
    right = dict(rig.last("payment_intent"))
    change(rig.last("payment_intent"))
    events = rig.new_events()
    for event in events:
        rig.apply(event)
    assert order(rig).status == "mismatch"
    assert alarms(caplog) >= 1
    assert rig.process.credits.balance(rig.tenant_id).purchased == 0
    rig.last("payment_intent").update(right)  # put right by the operator, and heard of again
    for event in events:
        rig.apply(event)
    assert order(rig).status == "paid"
    assert rig.process.credits.balance(rig.tenant_id).purchased == 500


def other_payment(rig: Rig, amount: int) -> None:
    """A payment that is not the order's own, though it says so."""
    facts = {"tenant_id": rig.tenant_id, "order_id": order(rig).order_id}
    params = {"amount": amount, "currency": "jpy", "customer": customer_of(rig), "metadata": facts, "confirm": True}
    rig.api.payment_intents.create(params | {"payment_method": "pm_card_visa", "return_url": "https://x.example"})


def test_a_wrong_payment_beside_the_right_one_changes_nothing_in_any_order() -> None:
    ends = []
    for place in itertools.permutations(range(3)):
        rig = Rig()
        rig.process = rig.new_process(deaf=True)
        WAITING(rig)
        first = rig.last("payment_intent")["id"]
        rig.answer_bank(passed=True)
        other_payment(rig, 51)
        rig.process = rig.new_process()
        events = rig.new_events()
        assert len(events) == 3
        for number in place:
            rig.apply(events[number])
        found = order(rig)
        assert found.payment_intent == first
        ends.append((found.status, rig.process.credits.balance(rig.tenant_id).purchased))
    assert set(ends) == {("paid", 500)}


def test_metadata_of_another_tenant_grants_neither_of_them_anything(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    orderly(rig, (save_card, WAITING))
    facts = {"tenant_id": "ten_" + "8" * 32, "order_id": order(rig).order_id}
    params = {"amount": 1_500, "currency": "jpy", "customer": customer_of(rig), "metadata": facts, "confirm": True}
    rig.api.payment_intents.create(params | {"payment_method": "pm_card_visa", "return_url": "https://x.example"})
    deliver(rig)
    assert order(rig).status == "requires_action"
    assert alarms(caplog) >= 1
    assert rig.process.credits.balance(rig.tenant_id).purchased == 0
    rig.answer_bank(passed=True)
    deliver(rig)


def test_a_payment_without_our_metadata_is_none_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    orderly(rig, (save_card,))
    params = {"amount": 1_500, "currency": "jpy", "customer": customer_of(rig), "confirm": True}
    rig.api.payment_intents.create(params | {"payment_method": "pm_card_visa", "return_url": "https://x.example"})
    deliver(rig)
    assert (rig.process.store.orders(rig.tenant_id, 10, None)[0], alarms(caplog)) == ([], 0)


@pytest.mark.parametrize(("name", "value"), [("amount_paid", 1), ("currency", "usd"), ("customer", "cus_x")])
def test_an_invoice_that_differs_grants_nothing(name: str, value: Any, caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    orderly(rig, (buy("invoice"),))
    pay_invoice("pm_card_visa")(rig)
    rig.last("invoice")[name] = value
    deliver(rig)
    assert (order(rig).status, rig.process.credits.balance(rig.tenant_id).purchased) == ("mismatch", 0)
    assert alarms(caplog) >= 1


def test_a_page_that_took_another_amount_grants_nothing(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    buy()(rig)
    rig.last("checkout.session")["amount_total"] = 50
    pay_page()(rig)
    deliver(rig)
    assert (order(rig).status, rig.process.credits.balance(rig.tenant_id).purchased) == ("mismatch", 0)
    assert alarms(caplog) >= 1


def test_a_price_that_is_not_ours_gives_no_plan(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    orderly(rig, IN_APP)
    assert (rig.tenant.plan, alarms(caplog)) == ("starter", 0)
    orderly(rig, (foreign_price,))
    assert (rig.tenant.plan, rig.tenant.plan_status) == ("free", "canceled")
    assert alarms(caplog) >= 1


@pytest.mark.parametrize(
    "change",
    [
        {"lookup_key": "noren:enterprise:JPY:7800", "unit_amount": 78},
        {"lookup_key": "noren:enterprise:USD:7800"},
        {"lookup_key": "noren:enterprise"},
        {"lookup_key": None},
        {"lookup_key": "other:enterprise:JPY:7800"},
    ],
)
def test_a_price_that_lies_gives_no_plan(change: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    orderly(rig, IN_APP)
    rig.last("subscription")["items"]["data"][0]["price"] |= change
    rig.process.settlement.customer(customer_of(rig))
    assert rig.tenant.plan == "free"
    assert alarms(caplog) >= 1


def test_a_tenant_that_pays_twice_wakes_somebody(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    orderly(rig, IN_APP)
    price = rig.last("subscription")["items"]["data"][0]["price"]["id"]
    rig.api.subscriptions.create({"customer": customer_of(rig), "items": [{"price": price}], "trial_period_days": 3})
    deliver(rig)
    assert rig.tenant.plan == "starter"
    assert alarms(caplog) >= 1


@pytest.fixture(autouse=True)
def _at_error(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, "noren.billing")
