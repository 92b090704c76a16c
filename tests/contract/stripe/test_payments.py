"""Cards, payments, refunds, disputes and meters: states, errors, and the events they leave, in order."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from local.stripe import control, payments
from local.stripe.inprocess import InProcess
from tests.contract.stripe.conftest import START, customer_with_card, types

ALONE: Any = {"confirm": True, "off_session": True, "allowed_payment_method_types": ["card"]}
PAYMENT: Any = {"amount": 5000, "currency": "jpy", "allowed_payment_method_types": ["card"]}


def test_a_saved_card_is_charged_with_nobody_there(account: InProcess) -> None:
    v1: Any = account.client.v1
    customer = customer_with_card(v1)
    types(account)
    paid = v1.payment_intents.create(
        {
            **ALONE,
            "amount": 5000,
            "currency": "jpy",
            "customer": customer.id,
            "payment_method": str(customer.invoice_settings.default_payment_method),
            "metadata": {"order": "1"},
            "expand": ["latest_charge"],
        }
    )
    charge: Any = paid.latest_charge
    assert (paid.status, paid.amount_received, charge.status, charge.metadata["order"]) == (
        *("succeeded", 5000, "succeeded", "1"),
    )
    assert types(account) == ["payment_intent.created", "charge.succeeded", "payment_intent.succeeded"]


@pytest.mark.parametrize(
    ("card", "code", "decline"),
    [
        ("pm_card_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", None),
        ("pm_card_authenticationRequired", "authentication_required", "authentication_required"),
    ],
)
def test_declines(account: InProcess, card: str, code: str, decline: str | None) -> None:
    v1: Any = account.client.v1
    with pytest.raises(stripe.CardError) as error:
        v1.payment_intents.create({**ALONE, "amount": 5000, "currency": "jpy", "payment_method": card})
    refused: Any = error.value.error
    assert (error.value.http_status, error.value.code) == (402, code)
    assert refused.to_dict().get("decline_code") == decline
    kept = v1.payment_intents.retrieve(refused.payment_intent.id)
    assert (kept.status, kept.payment_method) == ("requires_payment_method", None)
    assert kept.last_payment_error
    assert kept.last_payment_error.code == code
    assert types(account) == ["payment_intent.created", "charge.failed", "payment_intent.payment_failed"]


def test_a_card_that_declines_can_not_be_saved_but_one_that_fails_later_can(account: InProcess) -> None:
    v1: Any = account.client.v1
    customer = v1.customers.create({"email": "a@example.jp"})
    with pytest.raises(stripe.CardError):
        v1.payment_methods.attach("pm_card_chargeDeclined", {"customer": customer.id})
    saved = v1.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": customer.id})
    with pytest.raises(stripe.CardError):
        v1.payment_intents.create({**PAYMENT, **ALONE, "customer": customer.id, "payment_method": saved.id})


@pytest.mark.parametrize("passed", [True, False])
def test_three_d_secure(account: InProcess, passed: bool) -> None:
    v1: Any = account.client.v1
    intent = v1.payment_intents.create(
        {**PAYMENT, "confirm": True, "payment_method": "pm_card_authenticationRequired", "return_url": "https://a.jp/r"}
    )
    assert intent.status == "requires_action"
    assert intent.next_action
    assert intent.next_action.redirect_to_url
    url = intent.next_action.redirect_to_url.url or ""
    assert url.startswith(f"{account.world.url}/3ds/")
    assert types(account) == ["payment_intent.created", "payment_intent.requires_action"]
    payments.authenticate(account.world, url.rsplit("/", 1)[1], passed=passed)
    after = v1.payment_intents.retrieve(intent.id)
    if passed:
        assert after.status == "succeeded"
        assert types(account) == ["charge.succeeded", "payment_intent.succeeded"]
    else:
        assert after.status == "requires_payment_method"
        assert after.last_payment_error
        assert after.last_payment_error.code == "payment_intent_authentication_failure"
        assert types(account) == ["payment_intent.payment_failed"]
        assert v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"}).status == "succeeded"


def test_states_that_do_not_fit(account: InProcess) -> None:
    v1: Any = account.client.v1
    intent = v1.payment_intents.create(PAYMENT)
    with pytest.raises(stripe.InvalidRequestError, match="missing a payment method") as bare:
        v1.payment_intents.confirm(intent.id)
    assert bare.value.code == "payment_intent_unexpected_state"
    assert v1.payment_intents.cancel(intent.id).status == "canceled"
    for call in (v1.payment_intents.cancel, v1.payment_intents.confirm):
        with pytest.raises(stripe.InvalidRequestError, match="status of canceled"):
            call(intent.id)
    with pytest.raises(stripe.InvalidRequestError, match="return_url"):
        v1.payment_intents.create({"amount": 500, "currency": "jpy", "confirm": True, "payment_method": "pm_card_visa"})


def test_a_card_used_once_without_a_customer_is_spent(account: InProcess) -> None:
    v1: Any = account.client.v1
    intent = v1.payment_intents.create({**PAYMENT, "confirm": True, "payment_method": "pm_card_visa"})
    customer = v1.customers.create({"email": "a@example.jp"})
    with pytest.raises(stripe.InvalidRequestError, match="may not be used again"):
        v1.payment_methods.attach(str(intent.payment_method), {"customer": customer.id})


def test_a_card_is_kept_where_that_was_asked_for(account: InProcess) -> None:
    v1: Any = account.client.v1
    customer = v1.customers.create({"email": "a@example.jp"})
    first = v1.payment_intents.create(
        {
            **PAYMENT,
            "confirm": True,
            "customer": customer.id,
            "payment_method": "pm_card_authenticationRequiredOnSetup",
            "setup_future_usage": "off_session",
            "return_url": "https://a.jp",
        }
    )
    control.authenticate(_as_account(account), {"intent": first.id})
    (card,) = v1.customers.payment_methods.list(customer.id, {"type": "card"}).data
    # Set up with 3-D Secure, it is charged without from now on.
    again = v1.payment_intents.create({**PAYMENT, **ALONE, "customer": customer.id, "payment_method": card.id})
    assert again.status == "succeeded"


def _as_account(account: InProcess) -> Any:
    from local.stripe.account import Account

    return Account(account.world, account.api, "", "")


def test_setup_intents(account: InProcess) -> None:
    v1: Any = account.client.v1
    customer = v1.customers.create({"email": "a@example.jp"})
    types(account)
    setup: Any = {"customer": customer.id, "usage": "off_session", "allowed_payment_method_types": ["card"]}
    intent = v1.setup_intents.create(setup)
    assert intent.status == "requires_payment_method"
    assert v1.setup_intents.confirm(intent.id, {"payment_method": "pm_card_visa"}).status == "succeeded"
    assert types(account) == ["setup_intent.created", "payment_method.attached", "setup_intent.succeeded"]
    with pytest.raises(stripe.CardError) as declined:
        v1.setup_intents.create({**setup, "confirm": True, "payment_method": "pm_card_chargeDeclined"})
    assert declined.value.code == "card_declined"
    assert types(account) == ["setup_intent.created", "setup_intent.setup_failed"]
    secured = v1.setup_intents.create({**setup, "confirm": True, "payment_method": "pm_card_authenticationRequired"})
    assert secured.status == "requires_action"
    control.authenticate(_as_account(account), {"intent": secured.id, "passed": False})
    failed = v1.setup_intents.retrieve(secured.id)
    assert failed.last_setup_error
    assert failed.last_setup_error.code == "setup_intent_authentication_failure"


def test_cards_are_listed_and_detached(account: InProcess) -> None:
    v1: Any = account.client.v1
    customer = customer_with_card(v1)
    (card,) = v1.customers.payment_methods.list(customer.id).data
    assert card.card
    assert (card.card.brand, card.card.last4) == ("visa", "4242")
    types(account)
    assert v1.payment_methods.detach(card.id).customer is None
    assert types(account) == ["payment_method.detached", "customer.updated"]
    assert v1.customers.payment_methods.list(customer.id).data == []
    with pytest.raises(stripe.InvalidRequestError, match="may not be used again"):
        v1.payment_methods.attach(card.id, {"customer": customer.id})


def test_refunds(account: InProcess) -> None:
    v1: Any = account.client.v1
    intent = v1.payment_intents.create({**PAYMENT, "confirm": True, "payment_method": "pm_card_visa"})
    types(account)
    part = v1.refunds.create({"payment_intent": intent.id, "amount": 2000, "reason": "requested_by_customer"})
    assert (part.status, part.amount) == ("succeeded", 2000)
    with pytest.raises(stripe.InvalidRequestError, match=r"¥3,001.*greater than.*¥3,000"):
        v1.refunds.create({"payment_intent": intent.id, "amount": 3001})
    v1.refunds.create({"payment_intent": intent.id})
    charge = v1.charges.retrieve(str(intent.latest_charge), {"expand": ["refunds"]})
    assert (charge.amount_refunded, charge.refunded, len(charge.refunds.data if charge.refunds else [])) == (
        *(5000, True, 2),
    )
    with pytest.raises(stripe.InvalidRequestError) as twice:
        v1.refunds.create({"charge": charge.id})
    assert twice.value.code == "charge_already_refunded"
    events = account.world.take_events()
    assert [each["type"] for each in events] == ["refund.created", "charge.refunded"] * 2
    assert events[1]["data"]["previous_attributes"] == {"amount_refunded": 0}
    assert events[3]["data"]["previous_attributes"] == {"amount_refunded": 2000, "refunded": False}


@pytest.mark.parametrize("outcome", ["won", "lost"])
def test_disputes(account: InProcess, outcome: str) -> None:
    v1: Any = account.client.v1
    intent = v1.payment_intents.create({**PAYMENT, "confirm": True, "payment_method": "pm_card_visa"})
    types(account)
    opened = control.dispute(_as_account(account), {"payment_intent": intent.id})
    (listed,) = v1.disputes.list({"payment_intent": intent.id}).data
    assert (listed.id, listed.status, listed.amount) == (opened["id"], "needs_response", 5000)
    assert v1.charges.retrieve(str(intent.latest_charge)).disputed
    with pytest.raises(stripe.InvalidRequestError, match="charged back"):
        v1.refunds.create({"payment_intent": intent.id})
    control.dispute(_as_account(account), {"dispute": listed.id, "outcome": outcome})
    assert v1.disputes.retrieve(listed.id).status == outcome
    back = ["charge.dispute.funds_reinstated"] if outcome == "won" else []
    assert types(account) == [
        *("charge.dispute.created", "charge.dispute.funds_withdrawn", "charge.dispute.closed", *back)
    ]


def test_a_card_that_is_charged_back_at_once(account: InProcess) -> None:
    v1: Any = account.client.v1
    v1.payment_intents.create({**PAYMENT, "confirm": True, "payment_method": "pm_card_createDispute"})
    assert [each.status for each in v1.disputes.list().data] == ["needs_response"]


def test_a_deleted_customer_says_so_and_takes_everything_along(account: InProcess) -> None:
    v1: Any = account.client.v1
    customer = customer_with_card(v1)
    types(account)
    assert v1.customers.delete(customer.id).deleted
    assert types(account) == ["customer.deleted"]
    assert getattr(v1.customers.retrieve(customer.id), "deleted", False) is True
    with pytest.raises(stripe.InvalidRequestError, match="No such customer"):
        v1.payment_intents.create({**PAYMENT, "customer": customer.id})


def test_meters(account: InProcess) -> None:
    v1: Any = account.client.v1
    customer = v1.customers.create({"email": "a@example.jp"})
    meter = v1.billing.meters.create(
        {"display_name": "Minutes", "event_name": "seconds", "default_aggregation": {"formula": "sum"}}
    )

    def report(identifier: str, value: int, at: int = START) -> Any:
        payload = {"stripe_customer_id": customer.id, "value": str(value)}
        return v1.billing.meter_events.create(
            {"event_name": "seconds", "payload": payload, "identifier": identifier, "timestamp": at}
        )

    report("call-1", 60)
    with pytest.raises(stripe.InvalidRequestError, match="An event already exists with identifier call-1") as twice:
        report("call-1", 60)
    assert (twice.value.http_status, twice.value.code) == (400, None)
    report("call-2", 40, START + 299)
    for wrong, code in ((START + 301, "timestamp_in_future"), (START - 36 * 86_400, "timestamp_too_far_in_past")):
        with pytest.raises(stripe.InvalidRequestError) as error:
            report("call-3", 1, wrong)
        assert error.value.code == code
    start = START // 86_400 * 86_400
    between: Any = {"customer": customer.id, "start_time": start, "end_time": start + 86_400}
    (whole,) = v1.billing.meters.event_summaries.list(meter.id, between).data
    assert whole.aggregated_value == 100
    assert [each.id for each in v1.billing.meters.list().data] == [meter.id]
