"""The shop owner pays: at the screen, on the Checkout page of the Stripe stand-in, with cards that do what cards do."""

from __future__ import annotations

import re
import time
from typing import Any

import jwt
import pytest
from playwright.sync_api import Page, expect

from tests.browser.fixtures import browser, page, violations
from tests.e2e.client import Client, Stack

__all__ = ["browser", "page"]

pytestmark = [pytest.mark.e2e, pytest.mark.browser]

GOOD, DECLINED, SECURE = "4242424242424242", "4000000000009995", "4000002760003184"
PASSWORD = "Aa1-newcomer-secret"


@pytest.fixture
def owner(stack: Stack, page: Page) -> tuple[Client, dict[str, Any]]:
    """Somebody who has just signed up, at the billing page."""
    client, me = stack.newcomer("payer")
    page.set_default_timeout(90_000)
    page.goto(f"{stack['console_url']}/billing.html")
    page.get_by_role("button", name="Sign in").click()
    claims = jwt.decode(client.token, options={"verify_signature": False})
    page.locator("#username").fill(claims["username"])
    page.locator("#password").fill(PASSWORD)
    page.locator("button[type=submit]").click()
    expect(page.locator("#plan .big")).to_have_text("Free", timeout=90_000)
    return client, me


def pay(page: Page, number: str) -> None:
    """Fill in the Checkout page."""
    expect(page).to_have_url(re.compile("/c/pay/"), timeout=90_000)
    page.locator("[name=email]").fill("payer@noren.example")
    page.locator("[name=number]").fill(number)
    page.locator("[name=expiry]").fill("12 / 34")
    page.locator("[name=cvc]").fill("123")
    page.locator("button[name=action][value=pay]").click()


def balance(client: Client) -> int:
    found: int = client.ok("GET", "/api/v1/credits/balance")["balance"]["current"]
    return found


def notifications(client: Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.ok("GET", "/api/v1/notifications")["items"]
    return found


def test_a_plan_is_chosen_paid_and_in_force(stack: Stack, page: Page, owner: tuple[Client, dict[str, Any]]) -> None:
    client, before = owner
    assert violations(page) == []
    page.get_by_role("button", name="Choose Starter").click()
    pay(page, GOOD)
    expect(page.locator("#notices")).to_contain_text("You are on the Starter plan now", timeout=120_000)
    expect(page.locator("#plan")).to_contain_text("Free trial until")
    expect(page.locator("#plan")).to_contain_text("Next payment on")
    me = client.ok("GET", "/api/v1/me")
    assert (me["plan"], me["tenant"]["plan_status"]) == ("starter", "trialing")
    assert me["limits"]["chats_per_month"] > before["limits"]["chats_per_month"]
    deadline = time.monotonic() + 35  # what a warm container may remember
    while True:
        answer = client.chat("日帰り入浴の大人の料金はいくらですか？")
        if answer["route"]["tier"] == "paid":
            break
        assert time.monotonic() < deadline, "the model route did not follow"
        time.sleep(2)
    assert answer["model_used"] == stack.models()["mistral"]["model"]
    page.goto(stack["console_url"])
    expect(page.locator("#standing")).to_contain_text("starter")
    assert "plan_changed" in {each["kind"] for each in notifications(client)}


def test_a_package_is_paid_after_the_bank_has_asked(page: Page, owner: tuple[Client, dict[str, Any]]) -> None:
    client, _ = owner
    before = balance(client)
    page.get_by_role("button", name="Buy: 500 credits").click()
    page.get_by_role("dialog").get_by_role("button", name="Continue to Stripe").click()
    pay(page, SECURE)
    expect(page).to_have_url(re.compile("/3ds/"), timeout=90_000)
    assert balance(client) == before
    page.locator("button[value=complete]").click()
    expect(page.locator("#notices")).to_contain_text("500 credits have been added", timeout=120_000)
    assert balance(client) == before + 500
    expect(page.locator("#history")).to_contain_text("Bought (¥1,500)")
    # the card is kept: the next package is paid without leaving the page, but for the bank
    page.get_by_role("button", name="Buy: 500 credits").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Visa ending in 3184")).to_be_checked()
    dialog.get_by_role("button", name=re.compile("^Pay")).click()
    expect(page).to_have_url(re.compile("/3ds/"), timeout=90_000)
    page.locator("button[value=complete]").click()
    expect(page.locator("#notices")).to_contain_text("500 credits have been added", timeout=120_000)
    assert balance(client) == before + 1_000


def test_a_refused_card_is_told_with_what_to_do(stack: Stack, page: Page, owner: tuple[Client, dict[str, Any]]) -> None:
    client, _ = owner
    before = balance(client)
    page.get_by_role("button", name="Buy: 500 credits").click()
    page.get_by_role("dialog").get_by_role("button", name="Continue to Stripe").click()
    pay(page, DECLINED)
    expect(page.get_by_role("alert")).to_contain_text("insufficient funds", timeout=90_000)
    deadline = time.monotonic() + 60
    while not (failed := [each for each in notifications(client) if each["kind"] == "purchase_failed"]):
        assert time.monotonic() < deadline, "nobody was told"
        time.sleep(4)
    page.goto(f"{stack['console_url']}/billing.html?order={failed[0]['data']['order']}")
    notice = page.locator("#notices")
    expect(notice).to_contain_text("insufficient funds")
    expect(notice).to_contain_text("Nothing was charged")
    assert balance(client) == before
    notice.get_by_role("button", name="Pay on Stripe's page").click()
    pay(page, GOOD)
    expect(page.locator("#notices")).to_contain_text("500 credits have been added", timeout=120_000)
    assert balance(client) == before + 500
