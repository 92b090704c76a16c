"""Subscriptions, their invoices, and what time does to them."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import stripe

from local.stripe.inprocess import InProcess
from local.stripe.lines import next_turn
from tests.contract.stripe.conftest import START, customer_with_card, price, types

DAY = 86_400
PAID = ["invoice_payment.paid", "invoice.updated", "invoice.paid", "invoice.payment_succeeded"]
CHARGED = ["charge.succeeded", "payment_intent.succeeded"]


def subscribed(account: InProcess, card: str = "pm_card_visa", amount: int = 7800, **more: Any) -> Any:
    v1: Any = account.client.v1
    customer = customer_with_card(v1, card)
    return v1.subscriptions.create({"customer": customer.id, "items": [{"price": price(v1, amount).id}], **more})


def item(subscription: Any) -> Any:
    return subscription["items"].data[0]


def now_is(account: InProcess, subscription: Any) -> Any:
    return account.client.v1.subscriptions.retrieve(subscription.id, {"expand": ["latest_invoice"]})


def test_incomplete_until_it_is_paid(account: InProcess) -> None:
    v1: Any = account.client.v1
    customer = v1.customers.create({"email": "a@example.jp"})
    plan = price(v1)
    types(account)
    made: Any = v1.subscriptions.create(
        {
            "customer": customer.id,
            "items": [{"price": plan.id}],
            "payment_behavior": "default_incomplete",
            "payment_settings": {"save_default_payment_method": "on_subscription"},
            "expand": ["latest_invoice.confirmation_secret"],
        }
    )
    assert (made.status, made.latest_invoice.status, made.latest_invoice.amount_due) == ("incomplete", "open", 7800)
    assert types(account) == [
        *("customer.subscription.created", "invoice.created", "invoice.finalized", "payment_intent.created")
    ]
    intent = made.latest_invoice.confirmation_secret.client_secret.partition("_secret_")[0]
    with pytest.raises(stripe.CardError):
        v1.payment_intents.confirm(intent, {"payment_method": "pm_card_chargeDeclined"})
    assert types(account) == ["charge.failed", "payment_intent.payment_failed", "invoice.payment_failed"]
    assert now_is(account, made).status == "incomplete"
    v1.payment_intents.confirm(intent, {"payment_method": "pm_card_visa"})
    assert types(account) == [
        *("charge.succeeded", "payment_method.attached", "payment_intent.succeeded", *PAID),
        "customer.subscription.updated",
    ]
    after = now_is(account, made)
    assert (after.status, after.latest_invoice.status) == ("active", "paid")
    assert after.default_payment_method
    assert item(after).current_period_end == next_turn(START, START, "month", 1)


def test_the_first_invoice_left_unpaid_for_23_hours(account: InProcess) -> None:
    made = subscribed(account, payment_behavior="default_incomplete")
    types(account)
    account.advance(23 * 3600)
    after = now_is(account, made)
    assert (after.status, after.latest_invoice.status) == ("incomplete_expired", "void")
    assert types(account) == ["payment_intent.canceled", "invoice.voided", "customer.subscription.updated"]


def test_error_if_incomplete_leaves_nothing(account: InProcess) -> None:
    with pytest.raises(stripe.CardError):
        subscribed(account, "pm_card_chargeCustomerFail", payment_behavior="error_if_incomplete")
    assert account.client.v1.subscriptions.list({"status": "all"}).data == []


def test_it_renews(account: InProcess) -> None:
    made = subscribed(account)
    types(account)
    account.advance(item(made).current_period_end - START)
    between = now_is(account, made)
    assert (between.status, between.latest_invoice.status) == ("active", "draft")
    assert types(account) == ["customer.subscription.updated", "invoice.created"]
    account.advance(3600)
    assert now_is(account, made).latest_invoice.status == "paid"
    assert types(account) == ["invoice.finalized", "payment_intent.created", *CHARGED, *PAID]
    account.advance(365 * DAY)
    invoices = list(account.client.v1.invoices.list({"subscription": made.id}).auto_paging_iter())
    assert [each.status for each in invoices] == ["paid"] * 14
    starts = sorted(each.lines.data[0].period.start for each in invoices)
    assert starts == sorted(set(starts))


def test_periods_keep_their_day() -> None:
    january_31 = 1_801_353_600  # 2027-01-31
    turns = [january_31]
    for _ in range(3):
        turns.append(next_turn(january_31, turns[-1], "month", 1))
    assert [(after - before) // DAY for before, after in itertools.pairwise(turns)] == [28, 31, 30]


def _fails_at_renewal(account: InProcess, card: str = "pm_card_chargeCustomerFail") -> Any:
    made = subscribed(account)
    v1: Any = account.client.v1
    bad = v1.payment_methods.attach(card, {"customer": made.customer})
    v1.customers.update(made.customer, {"invoice_settings": {"default_payment_method": bad.id}})
    types(account)
    account.advance(item(made).current_period_end - account.world.now() + 3600)
    return made


def test_dunning_until_it_is_canceled(account: InProcess) -> None:
    made = _fails_at_renewal(account)
    assert now_is(account, made).status == "past_due"
    assert types(account)[-3:] == [
        *("payment_intent.payment_failed", "invoice.payment_failed", "customer.subscription.updated")
    ]
    attempts = [now_is(account, made).latest_invoice.attempt_count]
    for days in (3, 5, 7):
        account.advance(days * DAY)
        attempts.append(now_is(account, made).latest_invoice.attempt_count)
    assert attempts == [1, 2, 3, 4]
    after = now_is(account, made)
    assert (after.status, after.cancellation_details.reason) == ("canceled", "payment_failed")
    assert types(account)[-1] == "customer.subscription.deleted"
    account.advance(60 * DAY)
    assert len(account.client.v1.invoices.list({"subscription": made.id}).data) == 2


def test_dunning_may_end_in_unpaid(account: InProcess) -> None:
    account.world.settings["after_dunning"] = "unpaid"
    made = _fails_at_renewal(account)
    account.advance(15 * DAY)
    assert now_is(account, made).status == "unpaid"
    account.advance(31 * DAY)
    assert now_is(account, made).latest_invoice.status == "draft"


def test_a_new_card_brings_it_back(account: InProcess) -> None:
    made = _fails_at_renewal(account)
    v1: Any = account.client.v1
    good = v1.payment_methods.attach("pm_card_visa", {"customer": made.customer})
    invoice = v1.invoices.pay(now_is(account, made).latest_invoice.id, {"payment_method": good.id})
    assert (invoice.status, now_is(account, made).status) == ("paid", "active")
    assert types(account)[-1] == "customer.subscription.updated"
    account.advance(10 * DAY)
    assert types(account) == []


def test_a_renewal_that_wants_3_d_secure(account: InProcess) -> None:
    made = _fails_at_renewal(account, "pm_card_authenticationRequired")
    assert now_is(account, made).status == "past_due"
    assert types(account)[-4:] == [
        "payment_intent.requires_action",
        "invoice.payment_action_required",
        "invoice.payment_failed",
        "customer.subscription.updated",
    ]


def test_trials(account: InProcess) -> None:
    made = subscribed(account, trial_period_days=14)
    assert (made.status, made.trial_end) == ("trialing", START + 14 * DAY)
    types(account)
    account.advance(11 * DAY)
    assert types(account) == ["customer.subscription.trial_will_end"]
    account.advance(3 * DAY + 3600)
    after = now_is(account, made)
    assert (after.status, after.latest_invoice.amount_paid) == ("active", 7800)


@pytest.mark.parametrize(("ends", "status"), [("cancel", "canceled"), ("pause", "paused")])
def test_a_trial_without_a_card(account: InProcess, ends: str, status: str) -> None:
    v1: Any = account.client.v1
    customer = v1.customers.create({"email": "a@example.jp"})
    made: Any = v1.subscriptions.create(
        {
            "customer": customer.id,
            "items": [{"price": price(v1).id}],
            "trial_period_days": 7,
            "trial_settings": {"end_behavior": {"missing_payment_method": ends}},
        }
    )
    types(account)
    account.advance(8 * DAY)
    assert now_is(account, made).status == status
    if status == "paused":
        assert "customer.subscription.paused" in types(account)
        card = v1.payment_methods.attach("pm_card_visa", {"customer": customer.id})
        v1.customers.update(customer.id, {"invoice_settings": {"default_payment_method": card.id}})
        types(account)
        assert v1.subscriptions.resume(made.id).status == "active"
        assert types(account)[-2:] == ["customer.subscription.resumed", "customer.subscription.updated"]


def test_an_upgrade_costs_what_the_preview_says(account: InProcess) -> None:
    v1: Any = account.client.v1
    made = subscribed(account)
    better = price(v1, 19800)
    start, end = item(made).current_period_start, item(made).current_period_end
    account.advance((end - start) // 3)
    at = account.world.now()
    change: Any = {
        "items": [{"id": item(made).id, "price": better.id}],
        "proration_behavior": "always_invoice",
        "proration_date": at,
    }
    preview = v1.invoices.create_preview(
        {"customer": str(made.customer), "subscription": made.id, "subscription_details": change}
    )
    left = (end - at) / (end - start)
    assert [each.amount for each in preview.lines.data] == [-round(7800 * left), round(19800 * left)]
    parent = preview.lines.data[0].parent
    assert parent
    assert parent.subscription_item_details
    assert parent.subscription_item_details.proration
    before = len(v1.invoices.list().data)
    types(account)
    after: Any = v1.subscriptions.update(
        made.id, {**change, "payment_behavior": "pending_if_incomplete", "expand": ["latest_invoice"]}
    )
    assert len(v1.invoices.list().data) == before + 1
    assert (after.latest_invoice.amount_paid, item(after).price.id) == (preview.amount_due, better.id)
    assert types(account) == [
        *("invoice.created", "invoice.finalized", "payment_intent.created", *CHARGED, *PAID),
        "customer.subscription.updated",
    ]


def test_an_upgrade_that_is_not_paid_waits(account: InProcess) -> None:
    v1: Any = account.client.v1
    made = _fails_at_renewal_of_none(account)
    better = price(v1, 19800)
    change: Any = {
        "items": [{"id": item(made).id, "price": better.id}],
        "proration_behavior": "always_invoice",
        "payment_behavior": "pending_if_incomplete",
    }
    pending: Any = v1.subscriptions.update(made.id, change)
    assert pending.pending_update.subscription_items[0].price.id == better.id
    assert (pending.status, item(pending).price.unit_amount) == ("past_due", 7800)
    good = v1.payment_methods.attach("pm_card_visa", {"customer": made.customer})
    types(account)
    v1.invoices.pay(pending.latest_invoice, {"payment_method": good.id})
    assert "customer.subscription.pending_update_applied" in types(account)
    after = now_is(account, made)
    assert (after.status, item(after).price.id, after.pending_update) == ("active", better.id, None)


def _fails_at_renewal_of_none(account: InProcess) -> Any:
    """Active, with a default card that has begun to decline."""
    v1: Any = account.client.v1
    made = subscribed(account)
    bad = v1.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": made.customer})
    v1.customers.update(made.customer, {"invoice_settings": {"default_payment_method": bad.id}})
    account.advance(5 * DAY)
    return made


def test_a_pending_update_expires(account: InProcess) -> None:
    v1: Any = account.client.v1
    made = _fails_at_renewal_of_none(account)
    change: Any = {
        "items": [{"id": item(made).id, "price": price(v1, 19800).id}],
        "proration_behavior": "always_invoice",
    }
    v1.subscriptions.update(made.id, {**change, "payment_behavior": "pending_if_incomplete"})
    types(account)
    account.advance(DAY)
    assert types(account)[-1] == "customer.subscription.pending_update_expired"
    after = now_is(account, made)
    assert (after.status, item(after).price.unit_amount, after.latest_invoice.status) == ("active", 7800, "void")


def test_an_upgrade_with_error_if_incomplete_changes_nothing(account: InProcess) -> None:
    made = _fails_at_renewal_of_none(account)
    v1: Any = account.client.v1
    types(account)
    change: Any = {
        "items": [{"id": item(made).id, "price": price(v1, 19800).id}],
        "proration_behavior": "always_invoice",
    }
    types(account)
    with pytest.raises(stripe.CardError):
        v1.subscriptions.update(made.id, {**change, "payment_behavior": "error_if_incomplete"})
    assert types(account) == []
    assert item(now_is(account, made)).price.unit_amount == 7800


def test_prorations_may_wait_for_the_next_invoice(account: InProcess) -> None:
    v1: Any = account.client.v1
    made = subscribed(account)
    account.advance(10 * DAY)
    v1.subscriptions.update(made.id, {"items": [{"id": item(made).id, "price": price(v1, 19800).id}]})
    assert len(v1.invoices.list({"subscription": made.id}).data) == 1
    assert len(v1.invoice_items.list({"pending": True}).data) == 2
    account.advance(item(made).current_period_end - account.world.now() + 3600)
    amounts = [each.amount for each in now_is(account, made).latest_invoice.lines.data]
    assert len(amounts) == 3
    assert amounts[2] == 19800
    assert v1.invoice_items.list({"pending": True}).data == []


def test_a_credit_is_kept_for_later(account: InProcess) -> None:
    v1: Any = account.client.v1
    made = subscribed(account, amount=19800)
    cheaper = price(v1, 7800)
    change: Any = {"items": [{"id": item(made).id, "price": cheaper.id}], "proration_behavior": "always_invoice"}
    v1.subscriptions.update(made.id, change)
    assert v1.customers.retrieve(made.customer).balance == -12000
    account.advance(item(made).current_period_end - START + 3600)
    assert now_is(account, made).latest_invoice.amount_due == 0
    assert v1.customers.retrieve(made.customer).balance == -4200


def test_a_downgrade_at_the_periods_end(account: InProcess) -> None:
    v1: Any = account.client.v1
    made = subscribed(account, amount=19800)
    cheaper = price(v1, 7800)
    schedule = v1.subscription_schedules.create({"from_subscription": made.id})
    start, end = item(made).current_period_start, item(made).current_period_end
    phases: Any = [
        {"items": [{"price": item(made).price.id, "quantity": 1}], "start_date": start, "end_date": end},
        {"items": [{"price": cheaper.id, "quantity": 1}], "proration_behavior": "none"},
    ]
    v1.subscription_schedules.update(schedule.id, {"end_behavior": "release", "phases": phases})
    assert now_is(account, made).schedule == schedule.id
    with pytest.raises(stripe.InvalidRequestError, match="managed by the subscription schedule"):
        v1.subscriptions.update(made.id, {"cancel_at_period_end": True})
    assert item(now_is(account, made)).price.unit_amount == 19800
    account.advance(end - START + 3600)
    after = now_is(account, made)
    assert (item(after).price.id, after.latest_invoice.total) == (cheaper.id, 7800)
    account.advance(31 * DAY)
    assert now_is(account, made).schedule is None
    assert v1.subscription_schedules.retrieve(schedule.id).status == "released"


def test_a_schedule_may_be_released(account: InProcess) -> None:
    v1: Any = account.client.v1
    made = subscribed(account)
    schedule = v1.subscription_schedules.create({"from_subscription": made.id})
    assert v1.subscription_schedules.release(schedule.id).status == "released"
    assert now_is(account, made).schedule is None
    assert v1.subscriptions.update(made.id, {"cancel_at_period_end": True}).cancel_at_period_end


def test_cancel_at_the_end_resume_and_cancel_now(account: InProcess) -> None:
    v1: Any = account.client.v1
    made = subscribed(account)
    end = item(made).current_period_end
    ending = v1.subscriptions.update(made.id, {"cancel_at_period_end": True})
    assert (ending.status, ending.cancel_at) == ("active", end)
    assert v1.subscriptions.update(made.id, {"cancel_at_period_end": False}).cancel_at is None
    v1.subscriptions.update(made.id, {"cancel_at_period_end": True})
    types(account)
    account.advance(end - START)
    assert types(account) == ["customer.subscription.deleted"]
    after = now_is(account, made)
    assert (after.status, after.ended_at) == ("canceled", end)
    with pytest.raises(stripe.InvalidRequestError):
        v1.subscriptions.cancel(made.id)
    another = subscribed(account)
    assert v1.subscriptions.cancel(another.id).status == "canceled"


def test_metered_usage_is_billed_afterwards(account: InProcess) -> None:
    v1: Any = account.client.v1
    customer = customer_with_card(v1)
    meter = v1.billing.meters.create(
        {"display_name": "Minutes", "event_name": "minutes", "default_aggregation": {"formula": "sum"}}
    )
    metered = price(v1, 15, recurring={"interval": "month", "usage_type": "metered", "meter": meter.id})
    made: Any = v1.subscriptions.create({"customer": customer.id, "items": [{"price": metered.id}]})
    assert made.status == "active"
    account.advance(DAY)
    for identifier in ("a", "b"):
        payload = {"stripe_customer_id": customer.id, "value": "10"}
        v1.billing.meter_events.create({"event_name": "minutes", "payload": payload, "identifier": identifier})
    account.advance(31 * DAY)
    assert now_is(account, made).latest_invoice.total == 300


def test_a_company_pays_by_invoice(account: InProcess) -> None:
    v1: Any = account.client.v1
    customer = v1.customers.create({"email": "keiri@example.jp", "name": "株式会社山田"})
    number = v1.tax_ids.create({"type": "jp_trn", "value": "T1234567890123"})
    rate = v1.tax_rates.create({"display_name": "消費税", "percentage": 10, "inclusive": False})
    with pytest.raises(stripe.InvalidRequestError, match="due_date"):
        v1.invoices.create({"customer": customer.id, "collection_method": "send_invoice"})
    types(account)
    draft = v1.invoices.create(
        {
            "customer": customer.id,
            "collection_method": "send_invoice",
            "days_until_due": 30,
            "account_tax_ids": [number.id],
            "default_tax_rates": [rate.id],
            "custom_fields": [{"name": "発注番号", "value": "42"}],
            "footer": "ありがとうございます",
        }
    )
    v1.invoice_items.create({"customer": customer.id, "invoice": draft.id, "amount": 50000, "currency": "jpy"})
    opened = v1.invoices.finalize_invoice(draft.id)
    assert (opened.status, opened.subtotal, opened.total, opened.amount_due) == ("open", 50000, 55000, 55000)
    assert opened.total_taxes
    assert (opened.total_taxes[0].amount, opened.account_tax_ids) == (5000, [number.id])
    assert opened.due_date == START + 30 * DAY
    v1.invoices.send_invoice(draft.id)
    assert types(account) == [
        *("invoice.created", "invoiceitem.created", "invoice.finalized", "payment_intent.created", "invoice.sent")
    ]
    account.advance(30 * DAY)
    assert types(account) == ["invoice.overdue"]
    paid = v1.invoices.pay(draft.id, {"paid_out_of_band": True})
    assert (paid.status, paid.amount_remaining) == ("paid", 0)
    assert types(account)[-2:] == ["invoice.paid", "invoice.payment_succeeded"]
    with pytest.raises(stripe.InvalidRequestError, match="already paid"):
        v1.invoices.pay(draft.id)


def test_invoices_end_in_other_ways(account: InProcess) -> None:
    v1: Any = account.client.v1
    customer = v1.customers.create({"email": "a@example.jp"})

    def opened() -> Any:
        v1.invoice_items.create({"customer": customer.id, "amount": 900, "currency": "jpy"})
        made = v1.invoices.create({"customer": customer.id, "pending_invoice_items_behavior": "include"})
        return v1.invoices.finalize_invoice(made.id)

    voided = v1.invoices.void_invoice(opened().id)
    assert (voided.status, voided.amount_due) == ("void", 900)
    assert v1.invoices.mark_uncollectible(opened().id).status == "uncollectible"
    with pytest.raises(stripe.InvalidRequestError, match="default payment method"):
        v1.invoices.pay(opened().id)
    draft = v1.invoices.create({"customer": customer.id})
    assert v1.invoices.delete(draft.id).deleted
    with pytest.raises(stripe.InvalidRequestError, match="isn't open"):
        v1.invoices.void_invoice(voided.id)


def test_automatic_tax(account: InProcess) -> None:
    v1: Any = account.client.v1
    with pytest.raises(stripe.InvalidRequestError) as nowhere:
        subscribed(account, automatic_tax={"enabled": True})
    assert nowhere.value.code == "customer_tax_location_invalid"
    customer = customer_with_card(v1)
    v1.customers.update(customer.id, {"address": {"country": "JP"}})
    for behavior, total in (("exclusive", 8580), ("inclusive", 7800)):
        plan = price(v1, tax_behavior=behavior)
        made: Any = v1.subscriptions.create(
            {
                "customer": customer.id,
                "items": [{"price": plan.id}],
                "automatic_tax": {"enabled": True},
                "expand": ["latest_invoice"],
            }
        )
        (tax,) = made.latest_invoice.total_taxes
        assert (made.latest_invoice.total, tax.amount) == (total, 780 if behavior == "exclusive" else 709)


def test_coupons(account: InProcess) -> None:
    v1: Any = account.client.v1
    coupon = v1.coupons.create({"percent_off": 50, "duration": "once"})
    made = subscribed(account, discounts=[{"coupon": coupon.id}])
    assert now_is(account, made).latest_invoice.total == 3900
    account.advance(32 * DAY)
    assert now_is(account, made).latest_invoice.total == 7800


def test_prices_have_unique_lookup_keys(account: InProcess) -> None:
    v1: Any = account.client.v1
    first = price(v1, lookup_key="pro")
    assert [each.id for each in v1.prices.list({"lookup_keys": ["pro"]}).data] == [first.id]
    with pytest.raises(stripe.InvalidRequestError, match="already uses that lookup key"):
        price(v1, 100, lookup_key="pro")
    second = price(v1, 8800, lookup_key="pro", transfer_lookup_key=True)
    assert [each.id for each in v1.prices.list({"lookup_keys": ["pro"]}).data] == [second.id]
