"""A visitor on a shop's page of another origin: the widget, its token, a streamed answer, feedback, the owner."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.fixtures import browser, page, violations
from tests.e2e.client import Client, Stack

__all__ = ["browser", "page"]

pytestmark = [pytest.mark.e2e, pytest.mark.browser]


@pytest.fixture
def owner(stack: Stack) -> Iterator[tuple[Client, str]]:
    """The owner of a shop, and the path of its site; its prepared answers are taken back."""
    client = stack.user("starter")
    path = f"/api/v1/sites/{stack.person('starter')['site_id']}"
    yield client, path
    for response in client.ok("GET", f"{path}/canned")["items"]:
        client.ok("DELETE", f"{path}/canned/{response['canned_id']}")


def enter(page: Page, stack: Stack, query: str) -> None:
    page.goto(f"{stack['demo_page_url']}{query}")
    page.locator(".launcher").click()
    expect(page.locator(".panel")).to_be_visible()


def ask(page: Page, question: str) -> None:
    page.locator(".panel > form textarea").fill(question)
    page.locator(".panel > form textarea").press("Enter")


def test_a_visitor_asks_and_rates_and_comes_back(stack: Stack, page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    enter(page, stack, "?plan=free&lang=ja")
    stack.control("phi3", pace_ms=400)
    try:
        page.get_by_role("button", name="営業時間は？").click()
        answer = page.locator(".bubble").last
        expect(answer).to_contain_text("木漏れ日", timeout=20_000)
        shown_at = time.time()
        expect(page.get_by_role("button", name="停止")).to_be_visible()
    finally:
        stack.control("*")
    expect(page.locator(".actions")).to_be_visible(timeout=90_000)
    expect(answer).to_contain_text("19時")
    assert stack.models()["phi3"]["log"][-1]["last_token_at"] > shown_at, "the page waited for the whole answer"
    with page.expect_response(re.compile("/feedback")) as rated:
        page.get_by_role("button", name="役に立った", exact=True).click()
    assert rated.value.ok
    page.reload()
    page.locator(".launcher").click()
    expect(page.locator(".mine")).to_contain_text("営業時間は？")
    ask(page, "住所は？")
    expect(page.locator(".actions")).to_have_count(2, timeout=90_000)
    expect(page.locator(".bubble").last).to_contain_text("西荻窪")
    assert violations(page) == []
    assert page.context.cookies() == []
    tokens = [url for url in asked if "/embed/visitor" in url]
    assert len(tokens) == 1, "the tab's token serves until it expires"
    assert {url.split("/")[2] for url in asked} == {
        stack[name].split("/")[2] for name in ("demo_page_url", "console_url")
    }


def test_the_owners_prepared_answer_is_given_without_a_model(
    stack: Stack, page: Page, owner: tuple[Client, str]
) -> None:
    client, path = owner
    given = {"patterns": [{"kind": "normalized", "text": "タオルは有料ですか？"}], "answer": "1枚**200円**です。"}
    made = client.ok("POST", f"{path}/canned", given)
    calls = stack.model_calls()
    page.goto(f"{stack['demo_page_url']}?plan=starter&lang=ja")
    with page.expect_response(re.compile("/api/v1/canned[?]")):
        page.locator(".launcher").click()
    with page.expect_response(re.compile("/hits")) as hit:
        ask(page, "ﾀｵﾙは有料ですか")
    assert hit.value.ok
    expect(page.locator(".bubble strong")).to_have_text("200円")
    assert stack.model_calls() == calls
    assert client.ok("GET", f"{path}/canned/{made['canned_id']}")["hit_count"] == 1


def test_the_pinned_loader_runs_under_its_hash(stack: Stack, page: Page, owner: tuple[Client, str]) -> None:
    client, path = owner
    snippet = client.ok("GET", f"{path}/snippets")["pinned"]
    page.goto(f"{stack['demo_page_url']}?plan=starter&lang=en&pinned")
    pasted = page.locator(f"script[src='{snippet['src']}']")
    expect(pasted).to_have_attribute("integrity", snippet["integrity"])
    for name in ("data_site_id", "data_panel", "data_panel_integrity"):
        expect(pasted).to_have_attribute(name.replace("_", "-"), snippet[name])
    page.locator(".launcher").click()
    ask(page, "How much is day bathing for adults?")
    expect(page.locator(".bubble").last).to_contain_text("900 yen", timeout=90_000)


def test_a_spent_day_is_said_without_a_price(stack: Stack, page: Page, owner: tuple[Client, str]) -> None:
    client, _ = owner
    shop = stack["demo_page_url"].rstrip("/")
    site = client.ok("POST", "/api/v1/sites", {"name": "Spent", "allowed_domains": [shop], "daily_quota": 0})
    try:
        enter(page, stack, f"?plan=starter&lang=en&site_id={site['site_id']}")
        ask(page, "Can I rent a towel?")
        expect(page.get_by_role("alert")).to_have_text("This chat has reached its limit. Please come back later.")
        assert not re.search(r"¥|JPY|plan|credit|upgrade", page.locator(".panel").inner_text(), re.IGNORECASE)
    finally:
        client.ok("DELETE", f"/api/v1/sites/{site['site_id']}")


def test_a_page_of_another_origin_is_refused(stack: Stack, page: Page, owner: tuple[Client, str]) -> None:
    client, _ = owner
    site = client.ok("POST", "/api/v1/sites", {"name": "Elsewhere", "allowed_domains": ["https://shop.example"]})
    try:
        enter(page, stack, f"?plan=starter&lang=en&site_id={site['site_id']}")
        calls = stack.model_calls()
        ask(page, "Can I rent a towel?")
        # The browser keeps what the server says from a page that it doesn't let in.
        expect(page.get_by_role("alert")).to_have_text("The connection was lost.")
        assert stack.model_calls() == calls
    finally:
        client.ok("DELETE", f"/api/v1/sites/{site['site_id']}")
