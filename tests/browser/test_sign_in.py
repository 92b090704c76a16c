"""Signing in at the hosted login, workspaces, invitations, languages, accessibility."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import EMAIL, World
from tests.browser.fixtures import ask, sign_in, violations
from tests.browser.test_chat import answers, refuses

pytestmark = pytest.mark.browser


def me(**changes: Any) -> dict[str, Any]:
    return {
        "user": {"user_id": "u1", "email": EMAIL, "is_platform_admin": False},
        "memberships": [{"tenant_id": "ten_1", "name": "Mei's shop", "role": "owner"}],
        "tenant": {"tenant_id": "ten_1", "name": "Mei's shop", "timezone": "Asia/Tokyo"},
        "plan": "free",
        "tier": "free",
        "remaining": {"chats": {"used": 3, "limit": 100, "remaining": 97, "resets_at": "2026-11-30T15:00:00Z"}},
        "models": [{"id": "phi-3-mini", "name": "Phi-3 Mini", "is_default": True}],
        "stop_mode": None,
        **changes,
    }


@pytest.fixture(autouse=True)
def _known(world: World) -> None:
    world.api.me = me()


def test_sign_in_shows_plan_and_quota_and_chats_with_the_token(page: Page, world: World) -> None:
    authorize: list[str] = []
    page.on("request", lambda request: authorize.append(request.url) if "/oauth2/authorize" in request.url else None)
    sign_in(page, world.run)
    query = parse_qs(urlsplit(authorize[0]).query)
    assert query["code_challenge_method"] == ["S256"]
    assert len(query["state"][0]) >= 43
    assert urlsplit(page.url).query == ""
    expect(page.locator("#standing")).to_contain_text("free")
    expect(page.locator("#standing")).to_contain_text("97 of 100 chats left")
    expect(page.locator("#standing")).to_contain_text("renews 1 Dec")
    world.api.scripts["hello"] = answers("Hi.")
    ask(page, "hello")
    expect(page.locator(".answer")).to_have_text("Hi.")
    expect(page.locator("#standing")).to_contain_text("96 of 100 chats left")
    token = next(headers["Authorization"] for _, path, headers, _ in world.api.seen if path == "/api/v1/chat")
    assert token.count(".") == 2
    assert page.evaluate("Object.keys(localStorage)") == []
    page.reload()
    expect(page.locator(".who")).to_have_text(EMAIL)


def test_a_forged_state_signs_nobody_in(page: Page, world: World) -> None:
    page.goto(world.url)
    page.evaluate("sessionStorage.setItem('noren.sign-in', JSON.stringify({verifier: 'v', state: 'mine'}))")
    page.goto(f"{world.url}/?code=stolen&state=theirs")
    expect(page.get_by_role("alert")).to_contain_text("Sign-in did not work")
    assert page.evaluate("sessionStorage.getItem('noren.tokens')") is None
    assert urlsplit(page.url).query == ""


@pytest.mark.parametrize("good", [True, False])
def test_an_expired_token_is_refreshed_or_the_sign_in_is_over(page: Page, world: World, good: bool) -> None:
    sign_in(page, world.run)
    page.evaluate(
        """(good) => {
          const tokens = JSON.parse(sessionStorage.getItem('noren.tokens'));
          Object.assign(tokens, { expires_at: Date.now() - 1, access_token: 'old' });
          if (!good) tokens.refresh_token = 'no';
          sessionStorage.setItem('noren.tokens', JSON.stringify(tokens));
        }""",
        good,
    )
    page.reload()
    if good:
        expect(page.locator("#standing")).to_contain_text("97 of 100 chats left")
        assert all(headers["Authorization"] != "Bearer old" for _, _, headers, _ in world.api.seen)
    else:
        expect(page.get_by_role("alert")).to_contain_text("Your sign-in has ended")
        expect(page.get_by_role("button", name="Sign in")).to_be_visible()


def test_sign_out_forgets_the_tokens(page: Page, world: World) -> None:
    sign_in(page, world.run)
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    assert page.evaluate("sessionStorage.getItem('noren.tokens')") is None


def test_a_new_account_signs_in(page: Page, world: World) -> None:
    page.goto(world.url)
    page.get_by_role("button", name="Create account").click()
    page.locator("#email").fill(EMAIL)
    page.locator("#password").fill("Another-Good-1")
    page.get_by_role("button", name="Create account").click()
    expect(page.get_by_role("alert")).to_contain_text("exists")
    fresh = "new@example.com"
    world.api.me = me(user={"user_id": "u2", "email": fresh, "is_platform_admin": False})
    page.locator("#email").fill(fresh)
    page.locator("#password").fill("Another-Good-1")
    page.get_by_role("button", name="Create account").click()
    page.locator("#username").fill(fresh)
    page.locator("#password").fill("Another-Good-1")
    page.locator("button[type=submit]").click()
    expect(page.locator(".who")).to_have_text(fresh)


def test_switching_the_workspace_selects_it_by_header(page: Page, world: World) -> None:
    two = [*me()["memberships"], {"tenant_id": "ten_2", "name": "Temple", "role": "viewer"}]
    world.api.me = me(memberships=two)
    sign_in(page, world.run)
    world.api.scripts["hello"] = answers("Hi.")
    page.get_by_label("Workspace").select_option("Temple")
    ask(page, "hello")
    expect(page.locator(".answer")).to_have_text("Hi.")
    chosen = [headers.get("x-tenant-id") for _, path, headers, _ in world.api.seen if path == "/api/v1/chat"]
    assert chosen == ["ten_2"]


def test_spent_quota_offers_the_plan_that_fits(page: Page, world: World) -> None:
    sign_in(page, world.run)
    world.api.scripts["more"] = refuses(
        402,
        "quota_exceeded",
        plan="starter",
        price={"amount": 7800, "currency": "JPY"},
        upgrade_url="/plans?plan=starter",
        resets_at="2026-11-30T15:00:00Z",
    )
    ask(page, "more")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("The starter plan would fit: ¥7,800 a month.")
    expect(alert).to_contain_text("renew on")
    expect(alert.get_by_role("link", name="See the plan")).to_have_attribute("href", "/plans?plan=starter")


def test_a_model_of_the_plan_can_be_chosen(page: Page, world: World) -> None:
    two = [{"id": "claude", "name": "Claude", "is_default": True}, {"id": "gpt", "name": "GPT", "is_default": False}]
    world.api.me = me(models=two)
    sign_in(page, world.run)
    world.api.scripts["hello"] = answers("Hi.")
    ask(page, "hello")
    expect(page.locator(".usage")).to_have_count(1)
    page.get_by_label("Model").select_option("GPT")
    ask(page, "hello")
    expect(page.locator(".usage")).to_have_count(2)
    assert [body.get("model") for body in world.api.bodies("/api/v1/chat")] == [None, "gpt"]


def test_the_plans_are_compared_where_an_upgrade_leads(page: Page, world: World) -> None:
    page.goto(f"{world.url}/billing")
    expect(page.locator("#plans")).to_contain_text("¥7,800 a month")
    expect(page.get_by_text("Sign in to see your plan and credits.")).to_be_visible()


def test_an_invitation_is_accepted_after_sign_in(page: Page, world: World) -> None:
    page.goto(f"{world.url}/invite?token=secret-token")
    expect(page.locator("#notices")).to_contain_text("You have been invited")
    assert "secret-token" not in page.url
    sign_in(page, world.run)
    page.get_by_role("button", name="Accept the invitation").click()
    expect(page.locator("#notices")).to_contain_text("You are now a member")
    assert world.api.bodies("/api/v1/invitations/accept") == [{"token": "secret-token"}]


@pytest.mark.parametrize(
    ("locale", "says"), [("ja-JP", "送信"), ("ko-KR", "보내기"), ("en-US", "Send"), ("fr-FR", "Send")]
)
def test_the_browsers_language_is_spoken(browser: Browser, world: World, locale: str, says: str) -> None:
    context = browser.new_context(locale=locale)
    page = context.new_page()
    page.goto(world.url)
    expect(page.locator("#send")).to_have_text(says)
    page.locator("#language").select_option("ko")
    expect(page.locator("#send")).to_have_text("보내기")
    expect(page.locator("html")).to_have_attribute("lang", "ko")
    page.reload()
    expect(page.locator("#send")).to_have_text("보내기")
    context.close()


def test_all_languages_have_every_text(page: Page, world: World) -> None:
    page.goto(world.url)
    missing = page.evaluate(
        """async () => {
          const { LANGUAGES, speak, t, keys, teach } = await import('/i18n.js');
          const { BILLING } = await import('/i18n-billing.js');
          const { TRAINING } = await import('/i18n-training.js');
          teach(BILLING);
          teach(TRAINING);
          const bare = (text) => (text.match(/\\{\\w+\\}/g) ?? []).sort().join();
          const out = [];
          for (const key of [...keys, ...Object.keys(BILLING.en), ...Object.keys(TRAINING.en)]) {
            speak('en'); const wanted = bare(t(key));
            for (const { code } of LANGUAGES) { speak(code); if (bare(t(key)) !== wanted) out.push(code + ':' + key); }
          }
          return out;
        }"""
    )
    assert missing == []


def test_keyboard_alone_is_enough(page: Page, world: World) -> None:
    world.api.scripts["hello"] = answers("Hi.")
    page.goto(world.url)
    expect(page.locator("#message")).to_be_focused()
    page.keyboard.type("hello")
    page.keyboard.press("Enter")
    expect(page.locator(".answer")).to_have_text("Hi.")
    expect(page.locator("#message")).to_be_focused()
    for _ in range(30):
        page.keyboard.press("Shift+Tab")
        if page.evaluate("document.activeElement.getAttribute('aria-label')") == "4 of 5":
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="4 of 5")).to_have_attribute("aria-pressed", "true")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_accessibility_violations(browser: Browser, world: World, scheme: Any) -> None:
    context = browser.new_context(locale="en-GB", color_scheme=scheme, viewport={"width": 360, "height": 740})
    page = context.new_page()
    page.goto(world.url)
    expect(page.locator("#send")).to_be_visible()
    assert violations(page) == []
    world.api.scripts["hello"] = answers(
        "# Title\n\nSome `code` and [a link](https://example.com).\n\n```\nx\n```\n\n|a|b|\n|---|---|\n|1|2|",
        sources=[{"title": "Page", "url": "https://example.com/a", "snippet": "Words."}],
    )
    world.api.scripts["fails"] = refuses(503, "busy", retry_after=5, trace_id="abc")
    sign_in(page, {**world.run})
    ask(page, "hello")
    expect(page.locator(".usage")).to_be_visible()
    page.locator(".usage summary").click()
    page.locator(".sources summary").click()
    ask(page, "fails")
    expect(page.get_by_role("alert")).to_be_visible()
    assert violations(page) == []
    wide = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    assert not wide, "the page scrolls sideways on a phone"
    context.close()


def test_security_headers(page: Page, world: World) -> None:
    response = page.goto(world.url)
    assert response
    headers = response.headers
    policy = headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "*" not in policy
    assert "frame-ancestors 'none'" in policy
    assert re.search(r"connect-src 'self' http://127\.0\.0\.1:\d+;", policy)
    assert headers["x-content-type-options"] == "nosniff"
