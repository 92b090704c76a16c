"""Plans, payments and credits in a real browser, before stand-in APIs: every state that an owner can meet."""

from __future__ import annotations

import copy
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import World
from tests.browser.fixtures import sign_in, violations
from tests.browser.standin import LIMITS

pytestmark = pytest.mark.browser

TODAY = datetime.now(UTC)
LATER = (TODAY + timedelta(days=5)).strftime("%Y-%m-%dT03:00:00Z")
EARLIER = (TODAY - timedelta(days=1)).strftime("%Y-%m-%dT03:00:00Z")
PACKAGE = {
    "package_id": "pkg_1",
    "credits_amount": 2000,
    "price": {"amount": 5400, "currency": "JPY"},
    "discount_rate": "0.1",
    "is_bulk_package": False,
    "is_promotional": False,
    "valid_until": None,
    "valid_days": 180,
    "display_name": {"ja": "2,000 クレジット", "ko": "2,000 크레딧", "en": "2,000 credits"},
    "description": {
        "ja": "チャット約 1,000 回分です。",
        "ko": "채팅 약 1,000회",
        "en": "Enough for about 1,000 chats.",
    },
    "marketing_highlight": {"ja": "10 % お得", "ko": "10% 할인", "en": "Save 10 %"},
}
CARD = {"payment_method_id": "pm_1", "brand": "visa", "last4": "4242", "exp_month": 4, "exp_year": 2031}
NONE = {
    "subscription_id": None,
    "plan": None,
    "status": "none",
    "amount": 0,
    "currency": None,
    "current_period_end": None,
    "cancel_at_period_end": False,
    "next_plan": None,
    "grace_until": None,
    "client_secret": None,
}
STARTER = NONE | {
    "subscription_id": "sub_1",
    "plan": "starter",
    "status": "active",
    "amount": 7800,
    "currency": "JPY",
    "current_period_end": LATER,
}


def me(plan: str = "free", role: str = "owner", **tenant: Any) -> dict[str, Any]:
    return {
        "user": {"user_id": "u", "email": "mei@example.com", "is_platform_admin": False},
        "role": role,
        "memberships": [{"tenant_id": "ten_1", "name": "Teahouse", "role": role, "active": True}],
        "tenant": {
            "tenant_id": "ten_1",
            "plan": plan,
            "plan_status": "active",
            "grace_until": None,
            "stop_mode": None,
            "timezone": "Asia/Tokyo",
            "currency": "JPY",
            "billing_email": "mei@example.com",
            **tenant,
        },
        "plan": plan,
        "limits": LIMITS | {"credits_per_overage_chat": 2},
        "remaining": {
            "chats": {"used": 60, "limit": 100, "remaining": 40, "resets_at": LATER},
            "members": {"used": 1, "limit": 2, "remaining": 1},
            "credits": 540,
        },
        "models": [],
        "stop_mode": None,
        "inference_url": "",
    }


def order(status: str, **payment: Any) -> dict[str, Any]:
    paid = status == "completed"
    return {
        "purchase": {
            "transaction_id": "ord_1",
            "package_id": "pkg_1",
            "credits_added": 2000 if paid else 0,
            "total_cost": 5400,
            "currency": "JPY",
            "discount": None,
        },
        "payment": {
            "status": status,
            "payment_intent_id": "pi_1",
            "client_secret": None,
            "error_message": None,
            "url": None,
            **payment,
        },
        "account": {"new_balance": 2540 if paid else 540, "estimated_days_left": 54},
    }


def told(**balance: int) -> dict[str, Any]:
    """What the platform answers to an owner on the free plan with a card."""
    days = [{"day": (TODAY - timedelta(days=n)).strftime("%Y-%m-%d"), "credits": 3 * n % 17} for n in range(1, 20)]
    whole = {"current": 540, "granted": 40, "bonus": 0, "purchased": 500, "held": 0, "debt": 0, "next_expiry": None}
    return {
        "GET /api/v1/credits/balance": {
            "account": {"tenant_id": "ten_1", "plan": "free", "overage": False},
            "balance": whole | {"estimated_days_left": 33} | balance,
            "auto_purchase": {"enabled": False, "threshold": 50, "amount": 500, "monthly_cap": 2000},
            "usage": {"top_functions": [], "daily": days},
        },
        "GET /api/v1/credits/packages": {"items": [PACKAGE]},
        "GET /api/v1/credits/transactions": {
            "items": [
                {
                    "entry_id": "a",
                    "type": "USAGE",
                    "credits": -2,
                    "balance_after": 540,
                    "occurred_at": EARLIER,
                    "paid": 0,
                }
                | {"currency": None},
                {"entry_id": "b", "type": "PURCHASE", "credits": 500, "balance_after": 542, "occurred_at": EARLIER}
                | {"paid": 1500, "currency": "JPY"},
            ],
            "next_cursor": None,
        },
        "GET /api/v1/subscription": NONE,
        "GET /api/v1/billing/cards": {"items": [CARD | {"is_default": True}]},
    }


def opened(page: Page, world: World, path: str = "/billing.html") -> None:
    sign_in(page, world.run)
    page.goto(world.url + path)


@pytest.fixture
def owner(world: World) -> World:
    world.api.me = me()
    world.api.told = copy.deepcopy(told())
    return world


def test_an_owner_sees_plan_credits_and_history(page: Page, owner: World) -> None:
    opened(page, owner)
    expect(page.locator("#plan")).to_contain_text("Free")
    expect(page.locator("#plan")).to_contain_text("40 of 100 chats left this month")
    expect(page.locator("#credits .big")).to_have_text("540 credits")
    expect(page.get_by_role("img", name=re.compile("credits used in the last 30 days"))).to_be_visible()
    assert page.locator(".chart rect").count() == 30
    expect(page.locator("#history")).to_contain_text("Bought (¥1,500)")
    expect(page.locator("#history")).to_contain_text("+500")
    expect(page.locator("#cards")).to_contain_text("Visa ending in 4242")
    assert violations(page) == []


def test_who_is_no_owner_sees_but_buys_nothing(page: Page, owner: World) -> None:
    owner.api.me = me(role="admin")
    opened(page, owner)
    expect(page.locator("#plan")).to_contain_text("Only an owner of this workspace can buy")
    expect(page.get_by_role("button", name=re.compile("Choose|Buy|Cancel|Save"))).to_have_count(0)
    assert ("GET", "/api/v1/subscription") not in [(method, path) for method, path, _, _ in owner.api.seen]


def test_a_guest_compares_plans_and_comes_back_here_after_sign_in(page: Page, owner: World) -> None:
    page.goto(f"{owner.url}/billing.html")
    expect(page.locator("#plans")).to_contain_text("¥19,800 a month")
    page.get_by_role("button", name="Sign in").click()
    page.locator("#username").fill(owner.run["users"][0]["email"])
    page.locator("#password").fill(owner.run["users"][0]["password"])
    page.locator("button[type=submit]").click()
    expect(page).to_have_url(f"{owner.url}/billing.html")
    expect(page.locator("#credits .big")).to_have_text("540 credits")


def test_a_plan_is_paid_on_stripes_page_and_is_there_on_the_way_back(page: Page, owner: World) -> None:
    owner.api.told["POST /api/v1/checkout"] = {"url": f"{owner.url}/billing.html?paid=1"}
    opened(page, owner)
    page.get_by_role("button", name="Choose Starter").click()
    expect(page.locator("#notices")).to_contain_text("Waiting for the payment to be confirmed")
    owner.api.me = me("starter")
    owner.api.told["GET /api/v1/subscription"] = STARTER
    expect(page.locator("#notices")).to_contain_text("You are on the Starter plan now", timeout=10_000)
    expect(page.locator("#plan .big")).to_have_text("Starter")
    expect(page.locator("#plan")).to_contain_text("Next payment on")
    assert owner.api.bodies("/api/v1/checkout") == [{"plan": "starter"}]
    expect(page).to_have_url(f"{owner.url}/billing.html")


def test_an_upgrade_shows_its_price_first(page: Page, owner: World) -> None:
    owner.api.me = me("starter")
    owner.api.told["GET /api/v1/subscription"] = STARTER
    owner.api.told["GET /api/v1/subscription/preview"] = {
        "plan": "pro",
        "amount_due": 12_000,
        "tax": 0,
        "currency": "JPY",
        "lines": [{"description": "Unused time", "amount": -7_800}, {"description": "Pro", "amount": 19_800}],
    }
    owner.api.told["PATCH /api/v1/subscription"] = STARTER | {"plan": "pro", "amount": 19_800}
    opened(page, owner)
    page.get_by_role("button", name="Choose Pro").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("To pay now: ¥12,000")
    expect(dialog).to_contain_text("Unused time: -¥7,800")
    assert violations(page) == []
    assert owner.api.bodies("/api/v1/subscription") == [None]
    owner.api.me = me("pro")
    dialog.get_by_role("button", name="Confirm").click()
    expect(page.locator("#notices")).to_contain_text("you are on the Pro plan")
    assert owner.api.bodies("/api/v1/subscription")[1] == {"plan": "pro"}


def test_a_plan_is_cancelled_and_kept(page: Page, owner: World) -> None:
    owner.api.me = me("starter")
    ending = STARTER | {"cancel_at_period_end": True}
    owner.api.told["GET /api/v1/subscription"] = [STARTER, ending]
    owner.api.told["DELETE /api/v1/subscription"] = ending
    owner.api.told["POST /api/v1/subscription/resume"] = STARTER
    opened(page, owner)
    page.get_by_role("button", name="Cancel the plan").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel the plan").click()
    expect(page.locator("#plan")).to_contain_text("After that the free plan applies.")
    owner.api.told["GET /api/v1/subscription"] = STARTER
    page.get_by_role("button", name="Keep the plan").click()
    expect(page.locator("#notices")).to_contain_text("the plan goes on")


def test_a_saved_card_pays_a_package(page: Page, owner: World) -> None:
    owner.api.told["POST /api/v1/credits/purchase"] = order("completed")
    opened(page, owner)
    page.get_by_role("button", name="Buy: 2,000 credits").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Visa ending in 4242")).to_be_checked()
    assert violations(page) == []
    dialog.get_by_role("button", name="Pay ¥5,400").click()
    expect(page.locator("#notices")).to_contain_text("2,000 credits have been added. Balance: 2,540.")
    (body,) = owner.api.bodies("/api/v1/credits/purchase")
    assert (body["package_id"], body["payment_method"]) == ("pkg_1", "stored_card")


def test_a_refused_card_says_why_and_what_to_do(page: Page, owner: World) -> None:
    owner.api.told["POST /api/v1/credits/purchase"] = [
        order("failed", error_message="Your card has insufficient funds."),
        order("pending", url=f"{owner.url}/billing.html?cancelled=1"),
    ]
    opened(page, owner)
    page.get_by_role("button", name="Buy: 2,000 credits").click()
    page.get_by_role("dialog").get_by_role("button", name="Pay ¥5,400").click()
    alert = page.get_by_role("dialog").get_by_role("alert").first
    expect(alert).to_contain_text("Your card has insufficient funds.")
    expect(alert).to_contain_text("Nothing was charged")
    alert.get_by_role("button", name="Pay on Stripe's page").click()
    expect(page.locator("#notices")).to_contain_text("Nothing was paid, and nothing has changed.")
    keys = [head["idempotency-key"] for _, path, head, _ in owner.api.seen if path.endswith("/purchase")]
    assert len(set(keys)) == 2


def test_a_lost_answer_is_asked_for_again_with_the_same_key(page: Page, owner: World) -> None:
    owner.api.told["POST /api/v1/credits/purchase"] = [(502, "bad_gateway", "down"), order("completed")]
    opened(page, owner)
    page.get_by_role("button", name="Buy: 2,000 credits").click()
    pay = page.get_by_role("dialog").get_by_role("button", name="Pay ¥5,400")
    pay.click()
    expect(page.get_by_role("dialog")).to_contain_text("The service did not answer")
    pay.click()
    expect(page.locator("#notices")).to_contain_text("have been added")
    keys = [head["idempotency-key"] for _, path, head, _ in owner.api.seen if path.endswith("/purchase")]
    assert len(keys) == 2
    assert len(set(keys)) == 1


def test_a_bank_that_asks_is_visited_and_the_credits_are_there(page: Page, owner: World) -> None:
    bank = f"{owner.url}/billing.html?order=ord_1&payment_intent=pi_1&redirect_status=succeeded"
    owner.api.told["POST /api/v1/credits/purchase"] = order("requires_action", url=bank)
    owner.api.told["GET /api/v1/credits/purchases/ord_1"] = [order("requires_action", url=bank), order("completed")]
    opened(page, owner)
    page.get_by_role("button", name="Buy: 2,000 credits").click()
    page.get_by_role("dialog").get_by_role("button", name="Pay ¥5,400").click()
    expect(page.locator("#notices")).to_contain_text("2,000 credits have been added", timeout=10_000)
    expect(page).to_have_url(f"{owner.url}/billing.html")


def test_the_mails_link_leads_to_the_bank(page: Page, owner: World) -> None:
    owner.api.told["GET /api/v1/credits/purchases/ord_1"] = order("requires_action", url="https://bank.example/3ds")
    opened(page, owner, "/billing.html?order=ord_1")
    expect(page.locator("#notices")).to_contain_text("Your bank wants you to confirm this payment.")
    link = page.get_by_role("link", name="Confirm the payment")
    expect(link).to_have_attribute("href", "https://bank.example/3ds")


def test_an_address_that_is_no_page_is_not_followed(page: Page, owner: World) -> None:
    owner.api.told["GET /api/v1/credits/purchases/ord_1"] = order("requires_action", url="javascript:alert(1)")
    opened(page, owner, "/billing.html?order=ord_1")
    expect(page.locator("#notices")).to_contain_text("Your bank wants you to confirm")
    expect(page.locator("#notices a")).to_have_count(0)


def test_a_company_orders_an_invoice(page: Page, owner: World) -> None:
    owner.api.told["POST /api/v1/credits/purchase"] = order("pending", url="https://invoice.stripe.example/1")
    opened(page, owner)
    page.get_by_role("button", name="Buy: 2,000 credits").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("By company invoice").check()
    dialog.get_by_label("Send the invoice to").fill("keiri@example.com")
    dialog.get_by_role("button", name="Order the invoice").click()
    expect(page.locator("#notices")).to_contain_text("The invoice is on its way.")
    (body,) = owner.api.bodies("/api/v1/credits/purchase")
    assert body["payment_details"] == {"invoice_email": "keiri@example.com"}


def test_settings_and_cards_are_changed(page: Page, owner: World) -> None:
    second = CARD | {"payment_method_id": "pm_2", "last4": "4444", "is_default": False}
    owner.api.told["GET /api/v1/billing/cards"] = {"items": [CARD | {"is_default": True}, second]}
    owner.api.told["PATCH /api/v1/credits/overage"] = {"tenant_id": "ten_1", "enabled": True, "credits_per_chat": 2}
    auto = {"enabled": True, "threshold": 80, "amount": 500, "monthly_cap": 2000}
    owner.api.told["PATCH /api/v1/credits/auto-purchase"] = auto
    owner.api.told["PATCH /api/v1/billing/cards/pm_2"] = {"items": []}
    owner.api.told["DELETE /api/v1/billing/cards/pm_1"] = {}
    opened(page, owner)
    page.get_by_label("Go on with credits").check()
    expect(page.locator("#notices")).to_contain_text("Saved.")
    page.get_by_label("Buy credits automatically").check()
    page.get_by_label("When so many credits are left").fill("80")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("button", name="Make default: Visa ending in 4444").click()
    page.get_by_role("button", name="Remove: Visa ending in 4242").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert owner.api.bodies("/api/v1/credits/overage") == [{"enabled": True}]
    assert owner.api.bodies("/api/v1/credits/auto-purchase") == [auto]
    assert owner.api.bodies("/api/v1/billing/cards/pm_2") == [{"is_default": True}]
    assert ("DELETE", "/api/v1/billing/cards/pm_1") in [(method, path) for method, path, _, _ in owner.api.seen]


def test_a_switch_that_fails_goes_back(page: Page, owner: World) -> None:
    owner.api.told["PATCH /api/v1/credits/overage"] = (503, "busy", "later")
    opened(page, owner)
    switch = page.get_by_label("Go on with credits")
    switch.click()
    expect(page.locator("#notices")).to_contain_text("Wait")
    expect(switch).not_to_be_checked()


def test_what_is_overdue_stopped_or_owed_is_told_on_top(page: Page, owner: World) -> None:
    owner.api.me = me("starter", plan_status="past_due", grace_until=LATER, stop_mode="billing")
    owner.api.told |= told(debt=120) | {"GET /api/v1/subscription": STARTER | {"status": "past_due"}}
    owner.api.told["POST /api/v1/billing/portal"] = {"url": f"{owner.url}/billing.html?cancelled=1"}
    sign_in(page, owner.run)
    expect(page.locator("#banners")).to_contain_text("Everything works as before until")  # on the chat's page
    page.locator("#banners").get_by_role("link", name="Pay now").click()
    banners = page.locator("#banners")
    expect(banners).to_contain_text("Everything works as before until")
    expect(banners).to_contain_text("stopped because a payment is disputed")
    expect(banners).to_contain_text("120 credits are owed")
    banners.get_by_role("button", name="Pay now").click()
    expect(page.locator("#notices")).to_contain_text("Nothing was paid")
    owner.api.me = me("starter", role="viewer", plan_status="past_due", grace_until=EARLIER)
    page.reload()
    expect(banners).to_contain_text("so the limits of the free plan apply")
    expect(banners).to_contain_text("Please tell an owner")


@pytest.mark.parametrize("language", ["ja", "ko", "en"])
def test_it_fits_a_phone_in_every_language(page: Page, owner: World, language: str) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    opened(page, owner)
    page.locator("#language").select_option(language)
    expect(page.locator("#credits .big")).to_be_visible()
    page.locator("#credits .offer button").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert violations(page) == []
