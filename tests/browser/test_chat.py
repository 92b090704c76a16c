"""Chatting in a real browser: streaming, stop, accounting, errors, hostile answers."""

from __future__ import annotations

import pytest
from aiohttp import web
from playwright.sync_api import Page, expect

from tests.browser.conftest import World
from tests.browser.fixtures import ask
from tests.browser.standin import DONE, META, Api, Script, Stream, problem, wait

pytestmark = pytest.mark.browser


def answers(*texts: str, **done: object) -> Script:
    async def script(api: Api, request: web.Request, stream: Stream) -> None:
        await stream.event("meta", META)
        await stream.deltas(*texts)
        await stream.event("done", {**DONE, **done})

    return script


def refuses(status: int, code: str, **extra: object) -> Script:
    async def script(api: Api, request: web.Request, stream: Stream) -> web.StreamResponse:
        return problem(status, code, **extra)

    return script


def test_first_words_show_before_the_last_are_made(page: Page, world: World) -> None:
    async def slow(api: Api, request: web.Request, stream: Stream) -> None:
        await stream.event("meta", META)
        await stream.deltas("First ", "words")
        await wait(api.released)
        await stream.deltas(" and last.")
        await stream.event("done", DONE)

    world.api.scripts["slow"] = slow
    page.goto(world.url)
    ask(page, "slow")
    expect(page.locator(".answer")).to_have_text("First words")
    expect(page.locator("#send")).to_have_text("Stop")
    assert not world.api.released.is_set()
    world.api.released.set()
    expect(page.locator(".answer")).to_have_text("First words and last.")
    expect(page.locator("#send")).to_have_text("Send")
    expect(page.locator("#status")).to_have_text("Answer: First words and last.")


def test_answer_shows_model_tokens_cost_and_sources(page: Page, world: World) -> None:
    sources = [{"title": "Opening hours", "url": "https://example.com/hours", "snippet": "Nine to five."}]
    world.api.scripts["hello"] = answers("Nine to five.", sources=sources)
    page.goto(world.url)
    ask(page, "hello")
    usage = page.locator(".usage summary")
    expect(usage).to_contain_text("phi-3-mini-x7f3")
    expect(usage).to_contain_text("1,200 in, 50 out tokens")
    expect(usage).to_contain_text("¥0.063 ($0.00042)")
    page.locator(".sources summary").click()
    expect(page.locator(".sources a")).to_have_attribute("href", "https://example.com/hours")
    expect(page.locator(".sources .host")).to_have_text("(example.com)")
    expect(page.locator("#standing")).to_have_text("Guest")


def test_a_conversation_keeps_its_session_until_a_new_one_is_begun(page: Page, world: World) -> None:
    world.api.scripts["one"] = world.api.scripts["two"] = world.api.scripts["three"] = answers("Yes.")
    page.goto(world.url)
    for number, message in enumerate(["one", "two"], 1):
        ask(page, message)
        expect(page.locator(".usage")).to_have_count(number)
    page.get_by_role("button", name="New conversation").click()
    ask(page, "three")
    expect(page.locator(".usage")).to_have_count(1)
    sent = world.api.bodies("/api/v1/chat")
    assert [body.get("session_key") for body in sent] == [None, "sess-1", None]
    keys = [headers["idempotency-key"] for _, path, headers, _ in world.api.seen if path == "/api/v1/chat"]
    assert len(set(keys)) == 3


def test_a_reload_brings_the_conversation_back(page: Page, world: World) -> None:
    world.api.scripts["hello"] = world.api.scripts["again"] = answers("Hi.")
    page.goto(world.url)
    ask(page, "hello")
    expect(page.locator(".usage")).to_have_count(1)
    page.reload()
    expect(page.locator(".mine")).to_contain_text("<b>hello</b>")
    expect(page.locator(".answer strong")).to_have_text("Hi.")
    ask(page, "again")
    expect(page.locator(".usage")).to_have_count(1)
    assert [body.get("session_key") for body in world.api.bodies("/api/v1/chat")] == [None, "sess-1"]
    page.get_by_role("button", name="New conversation").click()
    page.reload()
    expect(page.locator(".welcome")).to_be_visible()


@pytest.mark.parametrize("how", ["button", "escape"])
def test_stop_cancels_upstream_and_still_accounts(page: Page, world: World, how: str) -> None:
    async def endless(api: Api, request: web.Request, stream: Stream) -> None:
        await stream.event("meta", META)
        await stream.deltas("One two three")
        assert await wait(api.cancelled)
        await stream.event("done", DONE)

    world.api.scripts["endless"] = endless
    page.goto(world.url)
    ask(page, "endless")
    expect(page.locator(".answer")).to_have_text("One two three")
    if how == "button":
        page.locator("#send").click()
    else:
        page.keyboard.press("Escape")
    expect(page.locator(".answer")).to_contain_text("Stopped.")
    expect(page.locator(".usage")).to_be_visible()
    expect(page.locator("#send")).to_have_text("Send")
    assert [path for _, path, _, _ in world.api.seen].count("/api/v1/chat/chat_1/cancel") == 1


def test_leaving_the_page_cancels(page: Page, world: World) -> None:
    async def endless(api: Api, request: web.Request, stream: Stream) -> None:
        await stream.event("meta", META)
        await stream.deltas("One two three")
        await wait(api.cancelled)

    world.api.scripts["endless"] = endless
    page.goto(world.url)
    ask(page, "endless")
    expect(page.locator(".answer")).to_have_text("One two three")
    page.goto("about:blank")
    assert world.api.cancelled.wait(20)


def test_hostile_answers_are_inert(page: Page, world: World) -> None:
    hostile = "\n\n".join(
        [
            '<img src=x onerror="window.hit=1"><script>window.hit=1</script><svg onload=window.hit=1>',
            "[click](javascript:window.hit=1) [data](data:text/html,<script>window.hit=1</script>)",
            "![pixel](https://evil.example/pixel.png?q=secret)",
            "[https://bank.example](https://evil.example/login)",
            "[at](https://bank.example@evil.example/)",
            "**[bold](javascript:alert(1))** `<b>code</b>`",
            "```html\n<script>window.hit=1</script>\n```",
            "| a | <i>b</i> |\n|---|---|\n| <script>window.hit=1</script> | [x](vbscript:x) |",
        ]
    )
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    world.api.scripts["hostile"] = answers(
        hostile, sources=[{"title": "<b>t</b>", "url": "javascript:window.hit=1", "snippet": "<img src=x>"}]
    )
    page.goto(world.url)
    ask(page, "hostile")
    expect(page.locator(".usage")).to_be_visible()
    assert page.evaluate("window.hit") is None
    assert page.locator(".turn :is(img, script, svg, iframe, b, i, style)").count() == 0
    hrefs = page.locator(".turn a").evaluate_all("links => links.map((link) => link.href)")
    assert hrefs == ["https://evil.example/pixel.png?q=secret", "https://evil.example/login"]
    expect(page.locator(".answer .host").nth(1)).to_have_text("(evil.example)")
    assert all(url.startswith(world.url) for url in asked)


def test_markdown_becomes_structure(page: Page, world: World) -> None:
    text = "# Hours\n\nWe open **early**.\n\n- Mon\n  - a.m.\n- Tue\n\n3. three\n\n> said\n"
    text += "\n| Day | Time |\n|---|---|\n| Mon | 9 |"
    world.api.scripts["md"] = answers(*text)
    page.goto(world.url)
    ask(page, "md")
    expect(page.get_by_role("heading", name="Hours")).to_be_visible()
    expect(page.locator(".answer strong")).to_have_text("early")
    expect(page.locator(".answer ul ul li")).to_have_text("a.m.")
    expect(page.locator(".answer ol")).to_have_attribute("start", "3")
    expect(page.locator(".answer blockquote")).to_have_text("said")
    expect(page.locator(".answer th")).to_have_text(["Day", "Time"])
    expect(page.locator(".answer td")).to_have_text(["Mon", "9"])


def test_feedback_is_sent_once_chosen_and_can_be_changed(page: Page, world: World) -> None:
    world.api.scripts["hello"] = answers("Hi.")
    page.goto(world.url)
    ask(page, "hello")
    page.get_by_role("button", name="2 of 5").click()
    expect(page.get_by_role("button", name="2 of 5")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="5 of 5").click()
    expect(page.get_by_role("button", name="5 of 5")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("button", name="2 of 5")).to_have_attribute("aria-pressed", "false")
    assert world.api.bodies("/api/v1/chat/chat_1/feedback") == [{"rating": 2}, {"rating": 5}]


@pytest.mark.parametrize(
    ("status", "code", "extra", "says"),
    [
        (503, "busy", {"retry_after": 7}, "Wait 7 seconds"),
        (429, "rate_limited", {"retry_after": 3}, "Wait 3 seconds"),
        (502, "upstream_failed", {"retry_after": 9}, "Nothing was charged. Wait 9 seconds"),
        (403, "model_not_in_plan", {}, "does not include this model"),
        (402, "quota_exceeded", {}, "Sign in to go on"),
        (500, "internal_error", {"trace_id": "abc123"}, "abc123"),
        (418, "unheard_of", {"detail": "<b>odd</b>"}, "Something went wrong: <b>odd</b>"),
    ],
)
def test_errors_say_what_to_do(
    page: Page, world: World, status: int, code: str, extra: dict[str, object], says: str
) -> None:
    world.api.scripts["fails"] = refuses(status, code, **extra)
    page.goto(world.url)
    ask(page, "fails")
    expect(page.get_by_role("alert")).to_contain_text(says)
    expect(page.locator("#send")).to_have_text("Send")


def test_retry_after_a_lost_answer_uses_the_same_key(page: Page, world: World) -> None:
    async def cut(api: Api, request: web.Request, stream: Stream) -> web.StreamResponse:
        assert request.transport
        request.transport.abort()
        api.scripts["lost"] = answers("Here it is.")
        return stream.response

    world.api.scripts["lost"] = cut
    page.goto(world.url)
    ask(page, "lost")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".answer")).to_have_text("Here it is.")
    keys = [headers["idempotency-key"] for _, path, headers, _ in world.api.seen if path == "/api/v1/chat"]
    assert len(keys) == 2
    assert len(set(keys)) == 1
    assert page.locator(".turn").count() == 1


def test_an_answer_cut_short_is_kept_and_said_to_be_so(page: Page, world: World) -> None:
    async def cut(api: Api, request: web.Request, stream: Stream) -> None:
        await stream.event("meta", META)
        await stream.deltas("Half an ans")
        await wait(api.released)
        assert request.transport
        request.transport.abort()

    world.api.scripts["cut"] = cut
    page.goto(world.url)
    ask(page, "cut")
    expect(page.locator(".answer")).to_have_text("Half an ans")
    world.api.released.set()
    expect(page.get_by_role("alert")).to_contain_text("broke off")
    expect(page.locator(".answer")).to_contain_text("Half an ans")
