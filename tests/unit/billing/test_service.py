"""What an owner may buy, and what a repetition, a late one and somebody else's come to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bench.stripe_flows import (
    ACTOR,
    BY_CARD,
    IN_APP,
    SMALL,
    bank,
    buy,
    delete_customer,
    page_for,
    pay_invoice,
    pay_page,
    save_card,
    use_card,
)
from bench.stripe_orders import orderly
from bench.stripe_rig import DAY, TENANT, Rig, Shelf, customer_of
from noren.billing.models import Package
from noren.billing.seed import PACKAGES
from noren.billing.service import Wanted
from noren.errors import Conflict, NotFound, Unprocessable
from noren.ids import TenantId


def made(rig: Rig, kind: str) -> int:
    return len(rig.stripe.world.all(kind))


def purchased(rig: Rig) -> int:
    return rig.process.credits.balance(rig.tenant_id).purchased


# -- packages


def test_what_is_not_offered_now_is_not_sold(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig()
    with pytest.raises(Unprocessable, match="not on offer"):
        buy(package="pkg_of_nobody")(rig)
    sold = list(PACKAGES)
    monkeypatch.setattr(Shelf, "offered", lambda self, tenant: sold[1:])
    with pytest.raises(Unprocessable) as refused:
        BY_CARD(rig)
    assert (refused.value.status, refused.value.code) == (422, "package_not_offered")
    assert (made(rig, "customer"), made(rig, "payment_intent")) == (0, 0)


@pytest.mark.parametrize(
    ("change", "sold"),
    [
        ({}, True),
        ({"active": False}, False),
        ({"plans": frozenset({"pro"})}, False),
        ({"deleted_at": "2026-11-01T00:00:00Z"}, False),
        ({"valid_from": "2026-12-02T00:00:00Z"}, False),
        ({"valid_until": "2026-12-01T00:00:00Z"}, False),
        ({"valid_from": "2026-12-01T00:00:00Z", "valid_until": "2026-12-01T00:00:01Z"}, True),
    ],
)
def test_a_package_is_sold_to_its_plans_in_its_time(change: dict[str, Any], sold: bool) -> None:
    package: Package = replace(PACKAGES[0], **change)
    assert package.is_sold("free", "2026-12-01T00:00:00Z") is sold


# -- repetitions


@pytest.mark.parametrize("method", ["page", "card", "stored", "invoice"])
@pytest.mark.parametrize("later", [0, 2 * DAY])
def test_the_same_key_is_the_same_order_even_when_stripe_has_forgotten_it(method: str, later: int) -> None:
    """Stripe knows an idempotency key for a day."""
    rig = Rig()
    orderly(rig, (save_card,))
    order = {"page": buy(), "card": BY_CARD, "stored": buy("stored_card"), "invoice": buy("invoice")}[method]
    first: Any = order(rig)
    before = {kind: made(rig, kind) for kind in ("payment_intent", "checkout.session", "invoice", "customer")}
    rig.stripe.advance(later)
    again: Any = order(rig)
    assert again.order.order_id == first.order.order_id
    assert {kind: made(rig, kind) for kind in before} == before
    if not later:
        assert again.url == first.url
    assert len(rig.process.store.orders(rig.tenant_id, 10, None)[0]) == 1
    assert purchased(rig) == (500 if method in ("card", "stored") else 0)


def test_another_key_is_another_order_and_another_tenants_key_is_their_own() -> None:
    rig = Rig()
    orderly(rig, (buy(card="pm_card_visa", key="a"), buy(card="pm_card_visa", key="b")))
    assert (purchased(rig), made(rig, "payment_intent")) == (1_000, 2)
    ids = {each.order_id for each in rig.process.store.orders(rig.tenant_id, 10, None)[0]}
    other = Rig(tenant=replace(TENANT, tenant_id=TenantId("ten_" + "8" * 32)))
    started: Any = buy(card="pm_card_visa", key="a")(other)
    assert started.order.order_id not in ids


def test_a_paid_page_is_not_opened_again() -> None:
    rig = Rig()
    orderly(rig, (buy(), pay_page()))
    rig.stripe.advance(2 * DAY)
    again: Any = buy()(rig)
    assert (again.order.status, again.url, made(rig, "checkout.session"), purchased(rig)) == ("paid", "", 1, 500)


def test_a_payment_that_was_made_and_not_heard_of_is_found_by_its_repetition() -> None:
    rig = Rig()
    rig.process = rig.new_process(deaf=True)
    BY_CARD(rig)
    rig.stripe.advance(2 * DAY)
    rig.process = rig.new_process()
    again: Any = BY_CARD(rig)
    assert (again.order.status, made(rig, "payment_intent"), purchased(rig)) == ("paid", 1, 500)


def test_who_waits_for_the_bank_gets_the_secret_again() -> None:
    rig = Rig()
    asked = buy(card="pm_card_authenticationRequired")
    first: Any = asked(rig)
    assert first.client_secret
    again: Any = asked(rig)
    assert (again.client_secret, again.order.status) == (first.client_secret, "requires_action")
    rig.answer_bank(passed=True)
    done = rig.billing.buy(rig.tenant, Wanted(SMALL, "stripe", payment_intent=first.order.payment_intent), ACTOR, "x")
    assert (done.order.status, purchased(rig)) == ("paid", 500)


# -- others'


def test_a_foreign_payment_or_card_answers_like_a_missing_one() -> None:
    rig = Rig()
    orderly(rig, (save_card, BY_CARD))
    theirs = rig.last("payment_intent")["id"]
    card = rig.billing.cards(rig.tenant)[0][0].id
    stranger = replace(TENANT, tenant_id=TenantId("ten_" + "8" * 32))
    rig.process.registry.put(stranger)
    told = []
    for intent in (theirs, "pi_404"):
        with pytest.raises(NotFound) as refused:
            rig.billing.buy(stranger, Wanted(SMALL, "stripe", payment_intent=intent), ACTOR, "k")
        told.append(refused.value.detail)
    assert told[0] == told[1]
    told = []
    for each in (card, "pm_404"):
        for call in (rig.billing.set_default_card, rig.billing.forget_card):
            with pytest.raises(NotFound) as refused:
                call(stranger, each)
            told.append(refused.value.detail)
    assert len(set(told)) == 1
    with pytest.raises(NotFound):
        rig.billing.buy(stranger, Wanted(SMALL, "stripe", payment_method=card), ACTOR, "k")
    with pytest.raises(NotFound):
        rig.billing.buy(stranger, Wanted(SMALL, "stripe", payment_method="pm_404"), ACTOR, "k")
    with pytest.raises(NotFound):
        rig.billing.order(stranger, rig.process.store.orders(rig.tenant_id, 1, None)[0][0].order_id)
    assert [each["customer"] for each in rig.stripe.world.all("charge")] == [customer_of(rig)]
    assert rig.billing.cards(stranger)[0] == []


# -- plans


def test_who_has_a_plan_changes_it_and_buys_no_second_one() -> None:
    rig = Rig()
    orderly(rig, IN_APP)
    for buying in (page_for("pro"), lambda rig: rig.billing.subscribe(rig.tenant, "pro", "k2")):
        with pytest.raises(Conflict) as refused:
            buying(rig)
        assert refused.value.code == "already_subscribed"
    assert made(rig, "subscription") == 1


@pytest.mark.parametrize("plan", ["free", "anonymous", "gold"])
def test_only_public_plans_that_cost_something_are_sold(plan: str) -> None:
    rig = Rig()
    for buying in (page_for(plan), lambda rig: rig.billing.subscribe(rig.tenant, plan, "k")):
        with pytest.raises(NotFound):
            buying(rig)


def test_what_is_not_subscribed_is_neither_changed_nor_cancelled() -> None:
    rig = Rig()
    for call in (rig.billing.cancel_plan, rig.billing.resume_plan):
        with pytest.raises(NotFound) as refused:
            call(rig.tenant)
        assert refused.value.code == "not_subscribed"
    with pytest.raises(NotFound):
        rig.billing.change_plan(rig.tenant, "pro")


def test_a_change_is_previewed_made_taken_back_and_cancelled() -> None:
    rig = Rig()
    orderly(rig, IN_APP)
    shown = rig.billing.preview(rig.tenant, "pro").amount_due
    row, secret = rig.billing.change_plan(rig.tenant, "pro")
    assert (row.plan, secret, rig.last("invoice")["amount_due"]) == ("pro", "", shown)
    assert rig.tenant.plan == "pro"
    row, _ = rig.billing.change_plan(rig.tenant, "starter")
    assert (row.plan, row.next_plan, rig.tenant.plan) == ("pro", "starter", "pro")
    assert rig.billing.resume_plan(rig.tenant).next_plan == ""
    assert rig.billing.cancel_plan(rig.tenant).cancel_at_period_end
    assert rig.tenant.plan == "pro"
    assert not rig.billing.resume_plan(rig.tenant).cancel_at_period_end


def test_a_smaller_plan_taken_back_can_be_chosen_again_in_the_same_period() -> None:
    rig = Rig()
    orderly(rig, IN_APP)
    rig.billing.change_plan(rig.tenant, "pro")
    for _ in range(2):
        assert rig.billing.change_plan(rig.tenant, "starter")[0].next_plan == "starter"
        assert rig.billing.resume_plan(rig.tenant).next_plan == ""


def test_there_and_back_and_there_again_is_paid_each_time() -> None:
    """The key of a change is of that change, not of the plan."""
    rig = Rig()
    orderly(rig, IN_APP)
    rig.billing.change_plan(rig.tenant, "pro")
    current = rig.last("subscription")
    item = {"id": current["items"]["data"][0]["id"], "price": rig.stripe.world.all("price")[0]["id"]}
    rig.api.subscriptions.update(current["id"], {"items": [item], "proration_behavior": "always_invoice"})
    rig.process.settlement.customer(customer_of(rig))
    assert rig.tenant.plan == "starter"
    rig.billing.change_plan(rig.tenant, "pro")
    assert rig.tenant.plan == "pro"


def test_a_change_that_the_bank_is_asked_about_can_be_asked_for_again() -> None:
    rig = Rig()
    orderly(rig, (*IN_APP, use_card("pm_card_authenticationRequired")))
    row, secret = rig.billing.change_plan(rig.tenant, "pro")
    assert (row.plan, bool(secret)) == ("starter", True)
    assert rig.billing.change_plan(rig.tenant, "pro")[1] == secret
    with pytest.raises(Conflict) as refused:
        rig.billing.change_plan(rig.tenant, "enterprise")
    assert refused.value.code == "change_pending"
    orderly(rig, (bank(passed=True),))
    assert rig.tenant.plan == "pro"


def test_a_second_trial_is_not_given() -> None:
    rig = Rig()
    orderly(rig, (page_for("starter"), pay_page()))
    assert rig.tenant.plan_status == "trialing"
    rig.api.subscriptions.cancel(rig.last("subscription")["id"])
    orderly(rig, (lambda rig: None,))
    assert rig.tenant.plan == "free"
    rig.billing.checkout_plan(rig.tenant, "starter", ACTOR, "second")
    rig.pay_page()
    orderly(rig, (lambda rig: None,))
    assert rig.tenant.plan_status == "active"


def test_a_customer_deleted_at_stripe_is_followed_by_another() -> None:
    rig = Rig()
    orderly(rig, (*IN_APP, delete_customer))
    gone = customer_of(rig)
    assert (rig.tenant.plan, rig.tenant.plan_status) == ("free", "canceled")
    orderly(rig, (BY_CARD,))
    assert customer_of(rig) != gone
    assert purchased(rig) == 500
    rig.process.settlement.customer(gone)
    assert customer_of(rig) != gone


# -- invoices, orders


def test_a_companys_invoice_says_what_it_is_for() -> None:
    rig = Rig()
    started: Any = buy("invoice")(rig)
    invoice = rig.last("invoice")
    assert started.url == invoice["hosted_invoice_url"]
    assert (invoice["collection_method"], invoice["due_date"]) == ("send_invoice", rig.stripe.world.now() + 30 * DAY)
    assert invoice["metadata"]["invoice_email"] == "keiri@example.jp"
    assert (started.order.status, purchased(rig)) == ("open", 0)
    pay_invoice("pm_card_visa")(rig)
    assert rig.billing.order(rig.tenant, started.order.order_id).status == "paid"
    assert purchased(rig) == 500


def test_orders_are_paged_and_each_is_there_once() -> None:
    rig = Rig()
    for number in range(7):
        buy(key=f"k{number}")(rig)
    found, position = [], None
    while True:
        page, position = rig.process.store.orders(rig.tenant_id, 3, position)
        found += [each.order_id for each in page]
        assert len(page) <= 3
        if position is None:
            break
    assert len(found) == len(set(found)) == 7
