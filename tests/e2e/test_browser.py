"""The shop owner at the screen: hosted login, a streamed answer, its accounting; the mailbox; a new sign-up."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import Page, expect

from tests.browser.fixtures import ask, browser, page, sign_in, violations
from tests.e2e.client import Client, Stack

__all__ = ["browser", "page"]

pytestmark = [pytest.mark.e2e, pytest.mark.browser]


def test_sign_in_and_chat_with_streaming(stack: Stack, page: Page) -> None:
    sign_in(page, stack.run, "starter")
    stack.control("mistral", pace_ms=500)
    try:
        ask(page, "日帰り入浴の料金はいくらですか？")
        answer = page.locator(".turn").last
        expect(answer).to_contain_text(re.compile(r"夕凪|大人|日帰り"), timeout=20_000)
        shown_at = time.time()
        expect(page.get_by_role("button", name="Stop")).to_be_visible()
    finally:
        stack.control("*")
    expect(answer).to_contain_text("900円", timeout=90_000)
    expect(answer).to_contain_text(stack.models()["mistral"]["model"], timeout=90_000)
    assert stack.models()["mistral"]["log"][-1]["last_token_at"] > shown_at, "the page waited for the whole answer"
    assert violations(page) == []


def test_a_visitor_chats_without_signing_in(stack: Stack, page: Page) -> None:
    page.goto(stack["console_url"])
    ask(page, "How many chats does the free plan include?")
    expect(page.locator(".turn").last).to_contain_text("100 chats a month", timeout=90_000)


def test_an_invitation_arrives_and_is_accepted(stack: Stack, admin: Client, page: Page) -> None:
    owner = stack.user("pro")
    guest = stack.person("free")
    owner.ok("POST", "/api/v1/invitations", {"email": guest["email"], "role": "editor"})
    deadline = time.monotonic() + 90
    while True:
        page.goto(stack["mailbox_url"])
        links = page.locator("a[href*='/invite?token=']")
        if links.count():
            break
        assert time.monotonic() < deadline, "the mail did not arrive"
        time.sleep(0.5)
    link = links.first.get_attribute("href")
    assert link
    sign_in(page, stack.run, "free")
    page.goto(link)
    page.get_by_role("button", name=re.compile("accept|join", re.IGNORECASE)).click()
    expect(page.locator("body")).to_contain_text("Hanok Stay Seoul", timeout=20_000)
    memberships = stack.user("free").ok("GET", "/api/v1/me")["memberships"]
    assert {each["role"] for each in memberships} == {"owner", "editor"}
    mine = next(each for each in memberships if each["role"] == "editor")
    members = owner.ok("GET", "/api/v1/members")["items"]
    theirs = next(each for each in members if each["email"] == guest["email"])
    owner.call("DELETE", f"/api/v1/members/{theirs['user_id']}")
    assert mine["tenant_id"] == stack.person("pro")["tenant_id"]
