"""What a tenant hears of its payments and plans, through the whole of billing: each thing once."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import pytest

from noren.billing.seed import PACKAGES
from noren.billing.service import Started, Wanted
from noren.tenants.models import Tenant
from tests.faults import Crash
from tests.unit.billing.fake_stripe import DECLINED, MONTH
from tests.unit.platform_api import kit

SMALL = PACKAGES[0].package_id


@dataclass
class Shop:
    """A tenant and what it has been told."""

    platform: kit.Platform

    @property
    def tenant(self) -> Tenant:
        return self.platform.services.tenants.fresh(self.platform.services.tenants.memberships("owner")[0].tenant_id)

    @property
    def customer(self) -> str:
        return self.platform.services.billing.customer_of(self.tenant)

    def buy(self, card: str = "", method: Any = "stripe", email: str = "") -> Started:
        wanted = Wanted(SMALL, method, payment_method=card, invoice_email=email)
        return self.platform.services.billing.buy(self.tenant, wanted, "user:owner", "")

    def happens(self, type: str, **refs: str) -> None:
        """An event of Stripe's, delivered three times."""
        for _ in range(3):
            self.platform.services.billing_events.apply(type, refs)

    def subscribe(self, plan: str = "starter") -> str:
        row, _ = self.platform.services.billing.subscribe(self.tenant, plan, "")
        return row.subscription

    def raw(self, thing_id: str) -> dict[str, Any]:
        return self.platform.stripe.things[thing_id]

    def mails(self) -> list[str]:
        return [each["template"] for each in self.platform.outbox.mails]

    def notes(self) -> list[str]:
        found = self.platform.services.notices.notes(self.tenant.tenant_id, 100, None)[0]
        return sorted(each.kind for each in found)

    def heard(self) -> list[str]:
        """The kinds told so far, in their order; told the same way by note and by mail."""
        assert sorted(self.mails()) == self.notes()
        return self.mails()


@pytest.fixture
def shop(aws: str) -> Shop:
    platform = kit.build()
    platform.sign_up("owner")
    return Shop(platform)


def test_what_is_bought_is_told_once(shop: Shop) -> None:
    intent = shop.buy("pm_visa").order.payment_intent
    shop.happens("payment_intent.succeeded", id=intent)
    assert shop.heard() == ["credits_bought"]
    data = shop.platform.outbox.mails[0]["data"]
    assert (data["credits"], data["amount"]) == ("500", "¥1,500")
    assert data["link"].startswith("https://console.example/billing.html?order=ord_")


def test_what_fails_and_then_works_is_told_as_both(shop: Shop) -> None:
    intent = shop.buy("pm_declined").order.payment_intent
    shop.happens("payment_intent.payment_failed", id=intent)
    assert shop.heard() == ["purchase_failed"]
    assert shop.platform.outbox.mails[0]["data"]["why"] == DECLINED
    shop.platform.stripe.confirm(intent)  # another card on the same page
    shop.happens("payment_intent.succeeded", id=intent)
    assert shop.heard() == ["purchase_failed", "credits_bought"]


def test_an_invoice_goes_to_whom_it_is_for_as_well(shop: Shop) -> None:
    started = shop.buy(method="invoice", email="keiri@example.jp")
    shop.happens("invoice.finalized", id=started.order.invoice)
    assert [each["to"] for each in shop.platform.outbox.mails] == ["owner@example.jp", "keiri@example.jp"]
    assert {each["data"]["link"] for each in shop.platform.outbox.mails} == {started.url}
    assert shop.notes() == ["invoice_sent"]
    shop.platform.stripe.pay_invoice(started.order.invoice)
    shop.happens("invoice.paid", id=started.order.invoice)
    assert shop.mails() == ["invoice_sent", "invoice_sent", "credits_bought"]


def test_who_dies_before_an_order_is_written_is_followed_by_who_tells(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    intent = shop.buy("pm_3ds").order.payment_intent
    shop.platform.stripe.confirm(intent)

    def dies(*_: Any) -> None:
        raise Crash

    with monkeypatch.context() as broken:
        broken.setattr(shop.platform.services.orders, "put_order", dies)
        with pytest.raises(Crash):
            shop.happens("payment_intent.succeeded", id=intent)
    shop.happens("payment_intent.succeeded", id=intent)
    assert shop.heard() == ["credits_bought"]
    assert shop.platform.services.credits.balance(shop.tenant.tenant_id).purchased == 500


def test_who_dies_while_telling_is_followed_by_who_tells(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    intent = shop.buy("pm_3ds").order.payment_intent
    shop.platform.stripe.confirm(intent)

    def dies(*_: Any) -> None:
        raise Crash

    with monkeypatch.context() as broken:
        broken.setattr(shop.platform.outbox, "queue", dies)
        with pytest.raises(Crash):
            shop.happens("payment_intent.succeeded", id=intent)
    assert shop.mails() == []
    shop.happens("payment_intent.succeeded", id=intent)
    assert shop.heard() == ["credits_bought"]


def test_a_plan_that_comes_changes_and_ends_is_told(shop: Shop) -> None:
    subscription = shop.subscribe()
    shop.happens("customer.subscription.updated", customer=shop.customer, id=subscription)
    shop.platform.services.billing.change_plan(shop.tenant, "pro")
    shop.happens("customer.subscription.updated", customer=shop.customer, id=subscription)
    shop.raw(subscription)["status"] = "canceled"
    shop.happens("customer.subscription.deleted", customer=shop.customer, id=subscription)
    assert shop.heard() == ["plan_changed", "plan_changed", "plan_ended"]
    assert [each["data"]["plan"] for each in shop.platform.outbox.mails] == ["starter", "pro", "pro"]
    assert shop.tenant.plan == "free"


def test_there_and_back_within_a_month_is_two_changes(shop: Shop) -> None:
    shop.subscribe()
    for plan in ("pro", "starter", "pro"):
        row = shop.platform.services.billing.subscribed(shop.tenant)
        assert row
        plans = shop.platform.services.plans
        price = shop.platform.stripe.price(plan, plan, plans.plan(plan).prices["JPY"], "JPY")
        key = f"noren:{plan}:JPY:{plans.plan(plan).prices['JPY']}"
        shop.raw(price)["lookup_key"] = key
        shop.platform.stripe.change_subscription(row.subscription, {"items": [{"price": price}]})
        shop.happens("customer.subscription.updated", customer=shop.customer, id=row.subscription)
    assert [each["data"]["plan"] for each in shop.platform.outbox.mails] == ["starter", "pro", "starter", "pro"]


def test_a_renewal_that_fails_is_told_with_the_end_of_the_grace(shop: Shop) -> None:
    subscription = shop.subscribe()
    failed_at = int(time.time())
    shop.raw(subscription).update(status="past_due", latest_invoice={"created": failed_at})
    shop.happens("invoice.payment_failed", customer=shop.customer, id="in_404")
    shop.happens("customer.subscription.updated", customer=shop.customer, id=subscription)
    assert shop.heard() == ["plan_changed", "plan_past_due"]
    mail = shop.platform.outbox.mails[-1]
    assert mail["data"]["until"].endswith("(Asia/Tokyo)")
    assert shop.tenant.grace_until == failed_at + 7 * 86_400
    shop.raw(subscription).update(status="active")
    shop.happens("invoice.paid", customer=shop.customer, id="in_404")
    shop.happens("customer.subscription.updated", customer=shop.customer, id=subscription)
    assert shop.tenant.plan_status == "active"
    shop.raw(subscription).update(status="past_due", latest_invoice={"created": failed_at + MONTH})
    shop.happens("customer.subscription.updated", customer=shop.customer, id=subscription)
    assert shop.heard() == ["plan_changed", "plan_past_due", "plan_past_due"]


def test_a_trial_is_told_of_before_it_ends(shop: Shop) -> None:
    subscription = shop.subscribe()
    shop.raw(subscription)["status"] = "trialing"
    shop.happens("customer.subscription.trial_will_end", customer=shop.customer, id=subscription)
    assert shop.heard() == ["plan_changed", "trial_ending"]
    shop.raw(subscription)["status"] = "active"
    shop.happens("customer.subscription.trial_will_end", customer=shop.customer, id=subscription)
    assert len(shop.heard()) == 2


@pytest.mark.parametrize(("reason", "told"), [("subscription_cycle", True), ("subscription_create", False)])
def test_a_renewal_that_the_bank_asks_about_leads_to_its_page(shop: Shop, reason: str, told: bool) -> None:
    subscription = shop.subscribe()
    facts = {"status": "open", "billing_reason": reason, "amount_due": 7_800, "hosted_invoice_url": "https://pay"}
    shop.platform.stripe.things["in_1"] = {"object": "invoice", "id": "in_1", "subscription": subscription, **facts}
    shop.happens("invoice.payment_action_required", customer=shop.customer, id="in_1")
    assert shop.heard() == ["plan_changed", *(["payment_action"] if told else [])]
    if told:
        assert shop.platform.outbox.mails[-1]["data"]["link"] == "https://pay"


def test_a_dispute_is_told_and_stops_the_tenant(shop: Shop) -> None:
    order = shop.buy("pm_visa").order
    dispute = shop.platform.stripe.contest(order.payment_intent)
    shop.happens("charge.dispute.created", id=dispute)
    assert shop.heard() == ["credits_bought", "payment_disputed"]
    assert "billing" in shop.tenant.stops
    shop.raw(dispute)["status"] = "won"
    shop.happens("charge.dispute.closed", id=dispute)
    assert len(shop.heard()) == 2
    assert "billing" not in shop.tenant.stops


def automatic(shop: Shop, card: str, **more: Any) -> None:
    shop.platform.stripe.save_card(shop.customer, card)
    given = {"enabled": True, "threshold": 10_000, "amount": 500, "monthly_cap": 1_000, **more}
    shop.platform.services.auto_purchases.put(shop.tenant.tenant_id, given, "user:owner")


def test_automatic_purchases_are_told_up_to_the_months_cap(shop: Shop) -> None:
    automatic(shop, "pm_visa")
    for _ in range(5):
        shop.platform.services.auto_buyer.consider(shop.tenant.tenant_id)
    assert shop.heard() == ["auto_purchase_paid", "auto_purchase_paid", "auto_purchase_capped"]


def test_three_failures_switch_it_off_and_say_so(shop: Shop) -> None:
    automatic(shop, "pm_declined")
    for _ in range(5):
        shop.platform.services.auto_buyer.consider(shop.tenant.tenant_id)
        shop.platform.services.auto_buyer.consider(shop.tenant.tenant_id)
        shop.platform.time.ahead += 7 * 3600
    assert shop.heard() == ["auto_purchase_failed", "auto_purchase_failed", "auto_purchase_off"]
    assert shop.platform.outbox.mails[-1]["data"]["why"] == DECLINED
    assert not shop.platform.services.auto_purchases.get(shop.tenant.tenant_id).enabled


def test_a_bank_that_asks_gets_the_owner_to_the_order(shop: Shop) -> None:
    automatic(shop, "pm_3ds")
    for _ in range(3):
        shop.platform.services.auto_buyer.consider(shop.tenant.tenant_id)
    assert shop.heard() == ["payment_action"]
    data = shop.platform.outbox.mails[-1]["data"]
    assert data["link"].endswith(f"/billing.html?order={data['order']}")
    order = shop.platform.services.billing.order(shop.tenant, data["order"])
    shop.platform.stripe.confirm(order.payment_intent)
    shop.happens("payment_intent.succeeded", id=order.payment_intent)
    assert shop.heard() == ["payment_action", "auto_purchase_paid"]


def test_an_automatic_purchase_that_dies_before_it_is_noted_is_told_by_who_finishes_it(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    automatic(shop, "pm_declined")
    orders, calls = shop.platform.services.orders, 0
    put = orders.put_buyer

    def dies(*given: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:  # the claim stands, what came of it is not written
            raise Crash
        return put(*given)

    monkeypatch.setattr(orders, "put_buyer", dies)
    with pytest.raises(Crash):
        shop.platform.services.auto_buyer.consider(shop.tenant.tenant_id)
    shop.platform.time.ahead += 121
    shop.platform.services.auto_buyer.consider(shop.tenant.tenant_id)
    assert shop.heard() == ["auto_purchase_failed"]
