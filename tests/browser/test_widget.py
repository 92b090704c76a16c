"""The widget in a real browser, on a page of another origin under a strict policy, before a stand-in API.

Sources come from the stand-in: the product has none until sites can be trained.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect

from tests.browser.fixtures import browser, violations
from tests.browser.standin import Api, Script, wait
from tests.browser.widget_standin import CONFIG, DONE, EMBED, META, SITE, Shop, Stream, problem, shop

__all__ = ["browser"]

pytestmark = pytest.mark.browser

QUESTION = "When are you open?"
SOURCES = [
    {"title": "Opening hours", "url": "https://books.example/hours"},
    {"title": "Access", "url": "https://maps.example/shop"},
]
SHIFTS = """
globalThis.shifted = 0;
new PerformanceObserver((list) => {
  for (const each of list.getEntries()) if (!each.hadRecentInput) globalThis.shifted += each.value;
}).observe({ type: "layout-shift", buffered: true });
"""
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 780}, "has_touch": True, "is_mobile": True}


@pytest.fixture(scope="module")
def _shop() -> Iterator[Shop]:
    with shop() as there:
        yield there


@pytest.fixture
def there(_shop: Shop) -> Iterator[Shop]:
    """The shop as it is by default, its API without scripts or memory."""
    api, kept = _shop.api, dict(vars(_shop))
    api.config = dict(CONFIG)
    api.scripts, api.told, api.canned, api.enabled, api.tokens = {}, {}, [], True, []
    api.integrity = ""
    api.seen.clear()
    api.released.clear()
    api.cancelled.clear()
    yield _shop
    api.released.set()
    api.cancelled.set()
    vars(_shop).update(kept)


class Visitor:
    """A browser context whose complaints, requests and layout shifts are kept."""

    def __init__(self, browser: Browser, **options: Any) -> None:
        self.context: BrowserContext = browser.new_context(**{"locale": "en-GB", "reduced_motion": "reduce", **options})
        self.context.add_init_script(SHIFTS)
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self.page = self.tab()

    def tab(self) -> Page:
        page = self.context.new_page()
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        page.on("request", self._note)
        return page

    def _note(self, request: Request) -> None:
        self.asked.append(request.url)

    def hosts(self) -> set[str]:
        return {urlsplit(url).netloc for url in self.asked}


@pytest.fixture
def visitor(browser: Browser) -> Iterator[Visitor]:
    """A visitor at a desk. The test fails on a script error, a refused resource, a cookie or a layout shift."""
    made = Visitor(browser)
    yield made
    close(made)


@pytest.fixture
def caller(browser: Browser) -> Iterator[Visitor]:
    """A visitor with a phone."""
    made = Visitor(browser, **PHONE)
    yield made
    close(made)


def close(visitor: Visitor) -> None:
    shifted = [page.evaluate("globalThis.shifted") for page in visitor.context.pages]
    cookies = visitor.context.cookies()
    visitor.context.close()
    assert visitor.complaints == []
    assert cookies == []
    assert not any(shifted)


def answers(*texts: str, meta: dict[str, Any] | None = None, **done: Any) -> Script:
    async def script(api: Api, request: web.Request, stream: Stream) -> None:
        await stream.event("meta", {**META, **(meta or {})})
        await stream.deltas(*texts)
        await stream.event("done", {**DONE, "answer": "".join(texts), **done})

    return script


def refuses(status: int, code: str, **extra: Any) -> Script:
    async def script(api: Api, request: web.Request, stream: Stream) -> web.StreamResponse:
        return problem(status, code, **extra)

    return script


def arrive(visitor: Visitor, there: Shop) -> Page:
    """The page with the panel's script loaded and the chat still closed."""
    page = visitor.page
    page.goto(there.url)
    page.locator(".launcher").dispatch_event("pointerenter")
    expect(page.locator(".panel")).to_be_attached()
    return page


def enter(visitor: Visitor, there: Shop) -> Page:
    """The page with the chat open."""
    page = arrive(visitor, there)
    page.locator(".launcher").click()
    expect(page.locator(".panel")).to_be_visible()
    return page


def ask(page: Page, question: str) -> None:
    page.locator(".panel > form textarea").fill(question)
    page.locator(".panel > form textarea").press("Enter")


def active(page: Page) -> str:
    """What has the focus inside the widget: its label, or its class."""
    script = (
        "(e => e ? e.getAttribute('aria-label') || e.textContent || e.className : '')"
        "(document.querySelector('noren-chat').shadowRoot.activeElement)"
    )
    return str(page.evaluate(script))


def test_a_visit(visitor: Visitor, there: Shop) -> None:
    """Open, a suggested question, an answer as it comes with its sources, feedback with a comment."""

    async def slow(api: Api, request: web.Request, stream: Stream) -> None:
        await stream.event("meta", {**META, "sources": SOURCES})
        await stream.deltas("We are open ", "**10:00")
        await wait(api.released)
        await stream.deltas("–19:00**.")
        await stream.event("done", {**DONE, "answer": "We are open **10:00–19:00**.", "sources": SOURCES})

    there.api.scripts[QUESTION] = slow
    page = enter(visitor, there)
    expect(page.locator(".panel > form textarea")).to_be_focused()
    expect(page.get_by_role("dialog", name="Komorebi Books")).to_be_visible()
    expect(page.locator(".bubble strong")).to_have_text("Komorebi Books")
    page.get_by_role("button", name=QUESTION).click()
    answer = page.locator(".bubble").last
    expect(answer).to_contain_text("We are open **10:00")
    expect(page.get_by_role("log")).to_have_attribute("aria-busy", "true")
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    assert not there.api.released.is_set()
    there.api.released.set()
    expect(answer.locator("strong")).to_have_text("10:00–19:00")
    expect(page.get_by_role("log")).to_have_attribute("aria-busy", "false")
    expect(answer.locator(".sources li")).to_have_text(["Opening hours (books.example)", "Access (maps.example)"])
    expect(answer.locator(".sources a").first).to_have_attribute("rel", "noopener noreferrer nofollow")
    expect(page.locator(".chips")).to_have_count(0)

    page.get_by_role("button", name="Helpful", exact=True).click()
    page.get_by_role("button", name="Not helpful").click()
    expect(page.get_by_role("button", name="Not helpful")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("button", name="Helpful", exact=True)).to_have_attribute("aria-pressed", "false")
    page.get_by_role("textbox", name="What was missing?").fill("The holidays.")
    with page.expect_response("**/feedback?*"):
        answer.get_by_role("button", name="Send").click()
    expect(answer.locator("small")).to_have_text("Thank you.")
    sent = there.api.bodies("/api/v1/chat/chat_1/feedback")
    assert [(body["rating"], body["comment"]) for body in sent] == [(5, ""), (1, ""), (1, "The holidays.")]
    assert there.api.bodies("/api/v1/chat") == [{"message": QUESTION, "stream": True}]
    origins = {headers["Origin"] for _, _, headers, _ in there.api.seen}
    assert origins == {there.url.rstrip("/")}
    assert visitor.hosts() == {urlsplit(there.url).netloc, urlsplit(there.api.base).netloc}


def test_a_reload_keeps_the_conversation_and_another_tab_keeps_no_token(visitor: Visitor, there: Shop) -> None:
    there.api.scripts |= dict.fromkeys(("one", "two", "three"), answers("Yes, **really**.", sources=SOURCES))
    page = enter(visitor, there)
    ask(page, "one")
    expect(page.locator(".actions")).to_have_count(1)
    page.get_by_role("button", name="Helpful", exact=True).click()
    expect(page.locator("[aria-pressed=true]")).to_have_count(1)
    page.reload()
    page.locator(".launcher").click()
    expect(page.locator(".mine")).to_contain_text("one")
    expect(page.locator(".bubble strong")).to_have_text("really")
    expect(page.locator("[aria-pressed]")).to_have_count(2)
    expect(page.locator(".sources li")).to_have_count(2)
    ask(page, "two")
    expect(page.locator(".actions")).to_have_count(2)
    kept = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
    assert "visitor-" not in kept.split("}, {")[0].split("},{")[0], "a token must not outlive the tab"
    assert there.api.bodies("/api/v1/embed/visitor") == [{"embed_id": EMBED}], "the token serves until it expires"
    assert [body.get("session_key") for body in there.api.bodies("/api/v1/chat")] == [None, "sess-1"]

    other = visitor.tab()
    other.goto(there.url)
    other.locator(".launcher").click()
    expect(other.locator(".mine")).to_have_count(2)
    expect(other.locator(".actions")).to_have_count(2)
    expect(other.locator("[aria-pressed]")).to_have_count(0)  # only the tab that asked may rate
    ask(other, "three")
    expect(other.locator(".actions")).to_have_count(3)
    expect(other.locator("[aria-pressed]")).to_have_count(2)
    assert there.api.bodies("/api/v1/chat")[-1].get("session_key") is None

    page.get_by_role("button", name="New conversation").click()
    expect(page.locator(".mine")).to_have_count(0)
    expect(page.get_by_role("button", name=QUESTION)).to_be_visible()
    assert page.evaluate("localStorage.length") == 0
    ask(page, "one")
    expect(page.locator(".actions")).to_have_count(1)
    assert there.api.bodies("/api/v1/chat")[-1].get("session_key") is None


def test_what_is_a_week_old_is_forgotten_and_broken_storage_does_no_harm(visitor: Visitor, there: Shop) -> None:
    page = arrive(visitor, there)
    old = "{at: Date.now() - 7 * 864e5 - 1, messages: [{mine: true, text: 'long ago'}]}"
    page.evaluate(f"localStorage.setItem('noren.{SITE}', JSON.stringify({old}))")
    page.locator(".launcher").click()
    expect(page.locator(".chip")).to_have_count(2)
    expect(page.locator(".mine")).to_have_count(0)
    page.evaluate(f"localStorage.setItem('noren.{SITE}', '{{'); sessionStorage.setItem('noren.{SITE}', '[')")
    page.reload()
    page.locator(".launcher").click()
    expect(page.locator(".chip")).to_have_count(2)


def test_by_keyboard_alone(visitor: Visitor, there: Shop) -> None:
    there.script = "globalThis.keys = []; addEventListener('keydown', ({ key }) => keys.push(key));"
    there.head = "<script src=/page.js></script>"
    there.api.scripts["Hi"] = answers("Hello.")
    page = arrive(visitor, there)
    page.keyboard.press("Tab")
    assert active(page) == "Open chat"
    page.keyboard.press("Enter")
    expect(page.locator(".panel > form textarea")).to_be_focused()
    expect(page.locator(".launcher")).to_have_attribute("aria-expanded", "true")
    page.evaluate("keys.length = 0")
    page.keyboard.type("Hi")
    page.keyboard.press("Enter")
    expect(page.locator(".actions")).to_be_visible()
    page.keyboard.press("Tab")
    order = [active(page)]
    for _ in range(6):
        page.keyboard.press("Shift+Tab")
        order.append(active(page))
    assert order == ["Send", "Type a message", "Copy", "Not helpful", "Helpful", "Komorebi Books", "Close"]
    assert page.evaluate("keys") == [], "the page's shortcuts must not fire"
    page.keyboard.press("Escape")
    expect(page.locator(".panel")).to_be_hidden()
    expect(page.locator(".launcher")).to_be_focused()
    expect(page.locator(".launcher")).to_have_attribute("aria-expanded", "false")


def test_composing_enter_does_not_send(visitor: Visitor, there: Shop) -> None:
    page = enter(visitor, there)
    field = page.locator(".panel > form textarea")
    field.fill("えいぎょう")
    for event in ("{isComposing: true}", "{keyCode: 229}"):
        field.evaluate(
            f"(e) => e.dispatchEvent(new KeyboardEvent('keydown', {{key: 'Enter', bubbles: true, ...{event}}}))"
        )
    field.evaluate(
        "(e) => e.dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape', bubbles: true, isComposing: true}))"
    )
    expect(field).to_have_value("えいぎょう")
    field.press("Shift+Enter")
    expect(field).to_have_value("えいぎょう\n")
    assert there.api.bodies("/api/v1/chat") == []


def test_a_phone_shows_it_in_full_and_goes_back_to_the_page(caller: Visitor, there: Shop) -> None:
    there.api.scripts["Hi"] = answers("Hello.")
    page = enter(caller, there)
    panel = page.locator(".panel")
    box = panel.bounding_box()
    assert box
    assert [round(box[side]) for side in ("x", "y", "width", "height")] == [0, 0, 390, 780]
    expect(panel).to_have_attribute("aria-modal", "true")
    expect(page.locator(".launcher")).to_be_hidden()
    ask(page, "Hi")
    expect(page.locator(".actions")).to_be_visible()
    size = page.locator(".panel > form textarea").evaluate("(e) => getComputedStyle(e).fontSize")
    assert size == "16px", "Safari zooms into smaller ones"
    targets = [button.bounding_box() for button in page.locator(".panel button").all()]
    assert all(box and min(box["width"], box["height"]) >= 24 for box in targets)
    stops = []
    page.get_by_role("button", name="New conversation").focus()
    for _ in range(8):
        page.keyboard.press("Tab")
        stops.append(active(page))
    assert stops[-1] == "New conversation", f"the focus leaves the full screen: {stops}"
    page.keyboard.press("Shift+Tab")
    assert active(page) == "Send"
    page.go_back()
    expect(panel).to_be_hidden()
    assert page.url == there.url
    page.locator(".launcher").click()
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    expect(page.locator(".launcher")).to_be_focused()
    page.locator(".launcher").click()
    page.get_by_role("button", name="Close").click()
    expect(panel).to_be_hidden()
    page.wait_for_function("history.state === null")  # nothing is left in the page's history


def test_an_answer_that_comes_while_it_is_closed_is_counted(visitor: Visitor, there: Shop) -> None:
    async def late(api: Api, request: web.Request, stream: Stream) -> None:
        await stream.event("meta", META)
        await wait(api.released)
        await stream.event("done", {**DONE, "answer": "Here I am."})

    there.api.scripts["late"] = late
    there.api.config["position"] = "bottom-left"
    page = enter(visitor, there)
    ask(page, "late")
    expect(page.locator(".dots")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".badge")).to_be_hidden()
    there.api.released.set()
    expect(page.locator(".badge")).to_have_text("1 unread")
    badge, launcher = page.locator(".badge").bounding_box(), page.locator(".launcher").bounding_box()
    assert badge
    assert launcher
    assert badge["x"] == launcher["x"] == 20
    assert badge["width"] < 100
    assert badge["y"] + badge["height"] <= launcher["y"]
    page.locator(".launcher").click()
    expect(page.locator(".badge")).to_be_hidden()
    expect(page.locator(".bubble").last).to_contain_text("Here I am.")


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_motion_only_where_it_is_welcome(browser: Browser, there: Shop, motion: Any) -> None:
    async def thinking(api: Api, request: web.Request, stream: Stream) -> None:
        await stream.event("meta", META)
        await wait(api.released)
        await stream.event("done", {**DONE, "answer": "Done."})

    there.api.scripts["think"] = thinking
    visitor = Visitor(browser, reduced_motion=motion)
    page = enter(visitor, there)
    ask(page, "think")
    expect(page.locator(".dots i")).to_have_count(3)
    moving = page.locator(".dots i").first.evaluate("(e) => e.getAnimations().length")
    assert moving == (0 if motion == "reduce" else 1)
    there.api.released.set()
    expect(page.locator(".actions")).to_be_visible()
    close(visitor)


@pytest.mark.parametrize(
    ("setting", "page_language", "browser_language", "label", "placeholder"),
    [
        ("ja", "en", "en-GB", "チャットを開く", "メッセージを入力"),
        ("auto", "ko-KR", "en-GB", "채팅 열기", "메시지를 입력하세요"),
        ("auto", "fr", "ja-JP", "チャットを開く", "メッセージを入力"),
        ("auto", "fr", "fr-FR", "Open chat", "Type a message"),
    ],
)
def test_it_speaks_the_sites_the_pages_or_the_browsers_language(
    browser: Browser, there: Shop, setting: str, page_language: str, browser_language: str, label: str, placeholder: str
) -> None:
    there.language = page_language
    there.api.config |= {"locale": setting, "title": ""}
    visitor = Visitor(browser, locale=browser_language)
    page = enter(visitor, there)
    expect(page.locator(".launcher")).to_have_attribute("aria-label", label)
    expect(page.locator(".panel > form textarea")).to_have_attribute("placeholder", placeholder)
    close(visitor)


STATES: dict[str, tuple[Script, str, bool]] = {
    "quota": (refuses(402, "quota_exceeded", plan="pro", price={"amount": 19800, "currency": "JPY"}), "limit", False),
    "busy": (refuses(503, "busy", retry_after=0), "busy right now", True),
    "failed": (refuses(500, "internal_error"), "went wrong", True),
}


@pytest.mark.parametrize("state", STATES)
def test_a_failure_is_put_in_words_a_visitor_understands(visitor: Visitor, there: Shop, state: str) -> None:
    script, words, retries = STATES[state]
    there.api.scripts["Hi"] = script
    page = enter(visitor, there)
    ask(page, "Hi")
    expect(page.get_by_role("alert")).to_contain_text(words)
    assert not re.search(r"¥|JPY|plan|credit|quota|19.?800|model", page.locator(".notice").inner_text(), re.IGNORECASE)
    visitor.complaints.clear()  # Chromium's own line for an answer that is no 2xx
    button = page.get_by_role("button", name="Try again")
    expect(button).to_have_count(int(retries))
    there.api.scripts["Hi"] = answers("Hello.")
    if retries:
        button.click()
    else:
        ask(page, "Hi")
    expect(page.locator(".actions")).to_be_visible()
    expect(page.locator(".notice")).to_have_count(0)
    if retries:
        keys = [headers["idempotency-key"] for _, path, headers, _ in there.api.seen if path == "/api/v1/chat"]
        assert keys[0] == keys[1], "an answer that was made already must not be made again"
        expect(page.locator(".mine")).to_have_count(1)


def test_too_many_questions_count_down(visitor: Visitor, there: Shop) -> None:
    there.api.scripts["Hi"] = refuses(429, "rate_limited", retry_after=30)
    page = visitor.page
    page.clock.install()
    page.goto(there.url)
    page.locator(".launcher").click()
    ask(page, "Hi")
    expect(page.get_by_role("alert")).to_contain_text("Please wait a moment")
    button = page.get_by_role("button", name="Try again")
    expect(button).to_have_text(re.compile(r"^Try again \((30|2\d)\)$"))
    expect(button).to_be_disabled()
    page.clock.run_for(10_000)
    expect(button).to_have_text(re.compile(r"^Try again \((20|1\d)\)$"))
    page.clock.run_for(20_000)
    expect(button).to_be_enabled()
    visitor.complaints.clear()
    there.api.scripts["Hi"] = answers("Hello.")
    button.click()
    page.clock.resume()
    expect(page.locator(".actions")).to_be_visible()


@pytest.mark.parametrize("code", ["origin_not_allowed", "embed_disabled", "site_disabled"])
def test_a_site_that_takes_no_visitors_says_so(visitor: Visitor, there: Shop, code: str) -> None:
    there.api.told["POST /api/v1/embed/visitor"] = (403, code, "")
    page = enter(visitor, there)
    expect(page.get_by_role("alert")).to_have_text("This chat is not available now.")
    expect(page.locator(".panel > form textarea")).to_be_disabled()
    visitor.complaints.clear()


def test_a_loader_from_before_a_rotation_asks_for_a_reload(visitor: Visitor, there: Shop) -> None:
    there.api.scripts["Hi"] = answers("Hello.")
    page = enter(visitor, there)
    ask(page, "Hi")
    expect(page.locator(".actions")).to_be_visible()
    there.api.tokens.clear()
    there.api.told["POST /api/v1/embed/visitor"] = (403, "embed_replaced", "")
    ask(page, "Hi")
    expect(page.get_by_role("alert")).to_have_text("Please reload the page.")
    expect(page.locator(".panel > form textarea")).to_be_disabled()
    visitor.complaints.clear()


def test_offline_waits_and_sends_when_the_connection_is_back(visitor: Visitor, there: Shop) -> None:
    there.api.scripts["Hi"] = answers("Hello.")
    page = arrive(visitor, there)
    with page.expect_response("**/api/v1/canned?*"):
        page.locator(".launcher").click()
    visitor.context.set_offline(True)
    ask(page, "Hi")
    expect(page.get_by_role("alert")).to_contain_text("You are offline")
    expect(page.get_by_role("button", name="Try again")).to_have_count(0)
    visitor.context.set_offline(False)
    expect(page.locator(".bubble").last).to_contain_text("Hello.")
    expect(page.locator(".notice")).to_have_count(0)
    expect(page.locator(".mine")).to_have_count(1)


def test_a_broken_stream_can_be_asked_again(visitor: Visitor, there: Shop) -> None:
    async def breaks(api: Api, request: web.Request, stream: Stream) -> web.StreamResponse:
        await stream.event("meta", META)
        await stream.deltas("Half of an")
        await stream.response.write(b"event: delta\ndata: {oops\n\n")
        return stream.response

    there.api.scripts["Hi"] = breaks
    page = enter(visitor, there)
    ask(page, "Hi")
    expect(page.get_by_role("alert")).to_have_text("Something went wrong.")
    there.api.scripts["Hi"] = answers("Hello.")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".bubble").last).to_contain_text("Hello.")
    keys = [headers["idempotency-key"] for _, path, headers, _ in there.api.seen if path == "/api/v1/chat"]
    assert len(set(keys)) == 2


def test_an_ended_token_and_a_lost_conversation_are_renewed_unseen(visitor: Visitor, there: Shop) -> None:
    there.api.scripts |= {"one": answers("Yes."), "two": answers("Again.")}
    page = enter(visitor, there)
    ask(page, "one")
    expect(page.locator(".actions")).to_have_count(1)
    there.api.tokens[:] = ["another's"]
    sessions = iter([problem(404, "not_found")])

    async def forgetful(api: Api, request: web.Request, stream: Stream) -> web.StreamResponse | None:
        if "session_key" in await request.json():
            return next(sessions)
        return await answers("Again.")(api, request, stream)

    there.api.scripts["two"] = forgetful
    ask(page, "two")
    expect(page.locator(".actions")).to_have_count(2)
    visitor.complaints.clear()  # the browser's own lines for 401 and 404
    tokens = there.api.bodies("/api/v1/embed/visitor")
    assert [body.get("token") for body in tokens] == [None, "visitor-1"], "by the old one the device is known again"


@pytest.mark.parametrize("how", ["button", "leaving"])
def test_stopping_and_leaving_end_the_answer_on_the_server(visitor: Visitor, there: Shop, how: str) -> None:
    async def endless(api: Api, request: web.Request, stream: Stream) -> None:
        await stream.event("meta", META)
        await stream.deltas("One two three")
        await wait(api.cancelled)

    there.api.scripts |= {"endless": endless, "next": answers("Four.")}
    page = enter(visitor, there)
    ask(page, "endless")
    expect(page.locator(".bubble").last).to_contain_text("One two three")
    if how == "button":
        page.get_by_role("button", name="Stop").click()
        expect(page.get_by_role("button", name="Send")).to_be_visible()
        expect(page.locator(".actions")).to_be_visible()
    else:
        page.goto("about:blank")
    assert there.api.cancelled.wait(10)
    assert [path for _, path, _, _ in there.api.seen].count("/api/v1/chat/chat_1/cancel") == 1
    if how == "leaving":
        page.goto(there.url)
        page.locator(".launcher").click()
        expect(page.locator(".bubble").last).to_contain_text("One two three")
    ask(page, "next")
    expect(page.locator(".bubble").last).to_contain_text("Four.")
    assert [body.get("session_key") for body in there.api.bodies("/api/v1/chat")] == [None, "sess-1"]


def test_a_conversation_that_was_begun_anew_while_an_answer_came_stays_new(visitor: Visitor, there: Shop) -> None:
    async def late(api: Api, request: web.Request, stream: Stream) -> None:
        await stream.response.prepare(request)
        await wait(api.released)
        await stream.event("meta", META)
        await wait(api.cancelled)

    there.api.scripts |= {"late": late, "next": answers("Four.")}
    page = enter(visitor, there)
    with page.expect_response("**/api/v1/chat?*"):
        ask(page, "late")
    page.get_by_role("button", name="New conversation").click()
    there.api.released.set()
    assert there.api.cancelled.wait(10)
    ask(page, "next")
    expect(page.locator(".bubble").last).to_contain_text("Four.")
    assert there.api.bodies("/api/v1/chat")[-1].get("session_key") is None


def test_a_rating_that_failed_is_not_thanked_for(visitor: Visitor, there: Shop) -> None:
    path = "POST /api/v1/chat/chat_1/feedback"
    there.api.scripts["Hi"] = answers("Hello.")
    there.api.told[path] = (503, "busy", "")
    page = enter(visitor, there)
    ask(page, "Hi")
    bad = page.get_by_role("button", name="Not helpful")
    bad.click()
    note = page.locator(".actions [role=status]")
    expect(note).to_have_text("Something went wrong.")
    expect(note).to_be_visible()
    expect(bad).to_have_attribute("aria-pressed", "false")
    expect(page.locator(".comment")).to_have_count(0)
    del there.api.told[path]
    bad.click()
    expect(note).to_have_text("Thank you.")
    expect(bad).to_have_attribute("aria-pressed", "true")
    there.api.told[path] = (503, "busy", "")
    page.get_by_role("textbox", name="What was missing?").fill("The holidays.")
    page.locator(".comment").get_by_role("button", name="Send").click()
    expect(note).to_have_text("Something went wrong.")
    expect(page.get_by_role("textbox", name="What was missing?")).to_have_value("The holidays.")
    visitor.complaints.clear()  # Chromium's own lines for answers that are no 2xx


CANNED = [
    {
        "canned_id": "can_1",
        "questions": ["営業時間は？"],
        "patterns": [{"kind": "normalized", "text": "営業時間は？"}],
        "answer": "**10時から19時**です。",
    },
    {
        "canned_id": "can_2",
        "questions": ["駐車場はありますか"],
        "patterns": [{"kind": "exact", "text": "駐車場はありますか"}],
        "answer": "3台分あります。",
    },
]


def test_a_prepared_answer_needs_no_model_and_a_near_one_is_only_offered(visitor: Visitor, there: Shop) -> None:
    there.api.canned = CANNED
    offered = [
        {"canned_id": "can_9", "question": "自転車は？", "answer": "どうぞ。"},
        CANNED[1] | {"question": "again"},
    ]
    there.api.scripts["駐車場はありますかね"] = answers("モデルの答え", suggestions=offered)
    page = arrive(visitor, there)
    with page.expect_response("**/api/v1/canned?*"):
        page.locator(".launcher").click()
    with page.expect_response("**/hits?*"):
        ask(page, " 営業時間は?? ")
    expect(page.locator(".bubble strong").last).to_have_text("10時から19時")
    expect(page.get_by_role("button", name="Helpful", exact=True)).to_have_count(0)
    assert there.api.bodies("/api/v1/chat") == []
    ask(page, "駐車場はありますかね")
    expect(page.locator(".bubble").last).to_contain_text("モデルの答え")
    expect(page.locator(".chip")).to_have_text(["駐車場はありますか", "自転車は？"])
    with page.expect_response("**/hits?*"):
        page.locator(".chip").first.click()
    expect(page.locator(".mine").last).to_contain_text("駐車場はありますか")
    expect(page.locator(".bubble").last).to_contain_text("3台分あります。")
    expect(page.locator(".chips")).to_have_count(0)
    assert len(there.api.bodies("/api/v1/chat")) == 1
    hits = [path for _, path, _, _ in there.api.seen if path.endswith("/hits")]
    assert hits == ["/api/v1/canned/can_1/hits", "/api/v1/canned/can_2/hits"]


def test_the_panel_is_fetched_when_the_page_is_idle(visitor: Visitor, there: Shop) -> None:
    with visitor.page.expect_response("**/widget/panel.*"):
        visitor.page.goto(there.url)
    assert visitor.page.evaluate("localStorage.length + sessionStorage.length") == 0
    assert there.api.seen == [], "a visitor who has not opened the chat is nobody yet"


def test_with_consent_nothing_is_fetched_or_stored_before_it_is_opened(visitor: Visitor, there: Shop) -> None:
    there.api.config |= {"consent": True, "bubble_icon_url": f"{there.api.base}/icon.png"}
    page = visitor.page
    page.goto(there.url)
    launcher = page.locator(".launcher")
    launcher.hover()
    launcher.focus()
    page.evaluate("new Promise((resolve) => requestIdleCallback(() => resolve(null), {timeout: 300}))")
    ours = [url for url in visitor.asked if url.startswith(there.api.base)]
    assert ours == [f"{there.api.base}/api/v1/embed/script?site_id={SITE}"]
    assert page.evaluate("localStorage.length + sessionStorage.length") == 0
    launcher.click()
    expect(page.locator(".panel")).to_be_visible()
    expect(page.locator(".chip")).to_have_count(2)
    assert any("/widget/panel." in url for url in visitor.asked)
    visitor.complaints.clear()  # the stand-in has no such icon


def test_the_pinned_snippet_with_a_nonce_and_included_twice(visitor: Visitor, there: Shop) -> None:
    there.policy = there.policy.replace(f"script-src 'self' {there.api.base};", "script-src 'nonce-abc';")
    there.snippet = there.pinned().replace("<script", "<script nonce=abc") * 2
    there.api.scripts[QUESTION] = answers("Hello.")
    page = enter(visitor, there)
    page.get_by_role("button", name=QUESTION).click()
    expect(page.locator(".actions")).to_be_visible()
    expect(page.locator("noren-chat")).to_have_count(1)


def test_a_pinned_page_runs_the_panel_that_it_names_and_no_other(visitor: Visitor, there: Shop) -> None:
    there.api.integrity = "sha384-" + "A" * 64  # what the server would have it run
    there.snippet = there.pinned()
    page = enter(visitor, there)
    expect(page.locator(".chip")).to_have_count(2)
    there.snippet = there.pinned().replace('panel-integrity="sha384-', 'panel-integrity="sha384-AAAA')
    page.goto(there.url)
    page.locator(".launcher").click()
    expect(page.locator(".launcher")).to_contain_text("Not available")
    expect(page.locator(".panel")).to_have_count(0)
    visitor.complaints.clear()


def test_a_switched_off_site_is_a_note_on_the_console(visitor: Visitor, there: Shop) -> None:
    there.snippet = there.pinned()
    there.api.enabled = False
    with visitor.page.expect_console_message(lambda said: "Noren" in said.text):
        visitor.page.goto(there.url)
    expect(visitor.page.locator("noren-chat")).to_have_count(0)


def test_a_bundle_that_is_not_what_it_was_does_not_run(visitor: Visitor, there: Shop) -> None:
    there.api.integrity = "sha384-" + "A" * 64
    there.script = "globalThis.errors = []; (window.Noren ||= []).push(['on', 'error', (e) => errors.push(e.code)]);"
    there.head = "<script src=/page.js></script>"
    page = visitor.page
    page.goto(there.url)
    page.locator(".launcher").click()
    expect(page.locator(".launcher")).to_contain_text("Not available")
    expect(page.locator(".panel")).to_have_count(0)
    assert page.evaluate("errors") == ["bundle"]
    visitor.complaints.clear()


def test_the_page_steers_it_by_script(visitor: Visitor, there: Shop) -> None:
    there.script = """
      globalThis.heard = [];
      window.Noren ||= [];
      for (const name of ["open", "close", "message", "answer", "error", "feedback"])
        Noren.push(["on", name, (detail) => heard.push([name, detail ?? null])]);
      Noren.push(["on", "answer", () => { throw new Error("the page's own"); }]);
      Noren.push(["setOptions", {launcher_text: "Ask us", color_primary: "#ffd400", locale: "ja"}]);
      Noren.push(["open"]);
    """
    there.head = "<script src=/page.js></script>"
    there.api.scripts["Hi"] = answers("Hello.")
    page = visitor.page
    page.goto(there.url)
    launcher = page.locator(".launcher")
    expect(page.locator(".panel")).to_be_visible()
    expect(launcher).to_have_text("Ask us")
    expect(launcher).to_have_css("background-color", "rgb(255, 212, 0)")
    expect(launcher).to_have_css("color", "rgb(0, 0, 0)")
    expect(page.get_by_role("button", name="閉じる")).to_be_visible()
    ask(page, "Hi")
    expect(page.locator(".actions")).to_be_visible()
    page.get_by_role("button", name="役に立った", exact=True).click()
    expect(page.locator(".actions [role=status]")).to_have_text("ご意見ありがとうございます。")
    page.evaluate("Noren.setOptions({title: 'Help', theme: 'dark', locale: 'en'})")
    expect(page.get_by_role("dialog", name="Help")).to_have_css("color-scheme", "dark")
    page.evaluate("Noren.close()")
    expect(page.locator(".panel")).to_be_hidden()
    page.evaluate("Noren.reset()")
    assert page.evaluate("localStorage.length") == 0
    expected = [
        ["open", None],
        ["message", {"text": "Hi"}],
        ["answer", {"id": "chat_1", "text": "Hello.", "canned_id": ""}],
        ["feedback", {"id": "chat_1", "rating": 5, "comment": ""}],
        ["close", None],
    ]
    assert page.evaluate("heard") == expected
    page.evaluate("Noren.on('close', () => heard.push('again'))()")
    page.evaluate("Noren.open()")
    expect(page.locator(".panel")).to_be_visible()
    page.evaluate("Noren.close()")
    expect(page.locator(".panel")).to_be_hidden()
    assert page.evaluate("heard.slice(5)") == [["open", None], ["close", None]]
    assert visitor.complaints == ["the page's own"]
    visitor.complaints.clear()


def test_commands_and_options_that_make_no_sense_change_nothing(visitor: Visitor, there: Shop) -> None:
    there.script = """
      window.Noren = [["nothing"], null, "open", [], ["on"], ["setOptions"], ["setOptions", {launcher_text: "Ask us"}]];
    """
    there.head = "<script src=/page.js></script>"
    page = visitor.page
    page.goto(there.url)
    expect(page.locator(".launcher")).to_have_text("Ask us")
    visitor.complaints.clear()  # those that the page's author has to see
    page.evaluate("Noren.push(['nothing'])")
    nonsense = """{
      color_primary: 5, suggested_questions: null, title: ["x"], show_sources: "no", radius: "9", locale: {},
      font: null, welcome_message: undefined, mode: "inline", consent: "x", api: "https://evil.example",
      ["__proto__"]: {polluted: 1},
    }"""
    page.evaluate(f"Noren.setOptions({nonsense})")
    expect(page.locator(".launcher")).to_have_css("background-color", "rgb(31, 78, 121)")
    page.locator(".launcher").click()
    expect(page.get_by_role("dialog", name="Komorebi Books")).to_have_css("border-radius", "16px")
    expect(page.locator(".chip")).to_have_count(2)
    expect(page.locator(".bubble strong")).to_have_text("Komorebi Books")
    page.evaluate(f"Noren.setOptions({nonsense})")
    page.evaluate("Noren.setOptions({title: 'Help'})")
    expect(page.get_by_role("dialog", name="Help")).to_be_visible()
    assert page.evaluate("({}).polluted") is None
    page.get_by_role("button", name="Close").click()
    expect(page.locator(".panel")).to_be_hidden()


def luminance(color: str) -> float:
    """Relative luminance by WCAG 2.2."""
    shares = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_text_is_readable_on_every_colour(visitor: Visitor, there: Shop) -> None:
    page = arrive(visitor, there)
    steps = [*range(0, 256, 15), 118, 119]  # with the greys where black takes over from white
    colors = [f"#{red:02x}{green:02x}{blue:02x}" for red in steps for green in steps for blue in steps[::3]]
    shown = page.evaluate(
        """(colors) => colors.map((color_primary) => {
          Noren.setOptions({color_primary});
          return document.querySelector("noren-chat").shadowRoot.querySelector(".launcher").style.color;
        })""",
        [*colors, "#767676", "#777777"],
    )
    lights = {"rgb(0, 0, 0)": 0.0, "rgb(255, 255, 255)": 1.0}
    for color, text in zip(colors, shown, strict=False):
        dark, light = sorted((luminance(color), lights[text]))
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (color, text)


@pytest.mark.parametrize("height", [500, 560], ids=["as-the-page-says", "by-itself"])
def test_inline_fills_its_place_without_moving_the_page(browser: Browser, there: Shop, height: int) -> None:
    visitor = Visitor(browser)
    there.api.config["mode"] = "inline"
    there.html = "<div data-noren></div><p>What follows.</p>"
    there.head = "<link rel=stylesheet href=/page.css>" if height == 500 else ""
    page = visitor.page
    page.goto(there.url)
    panel = page.get_by_role("region", name="Komorebi Books")
    expect(panel).to_be_visible()
    expect(page.locator(".launcher")).to_have_count(0)
    expect(page.get_by_role("button", name="Close")).to_have_count(0)
    assert page.evaluate("document.querySelector('[data-noren] noren-chat') !== null")
    assert page.evaluate("document.activeElement === document.body"), "it must not take the focus by itself"
    box = panel.bounding_box()
    assert box
    assert box["height"] == height
    page.keyboard.press("Escape")
    expect(panel).to_be_visible()
    if height == 560:  # without a height of the page's own, what follows moves as soon as the script is there
        page.evaluate("globalThis.shifted = 0")
    close(visitor)


def test_fixed_is_open_from_the_start_until_it_is_folded(visitor: Visitor, there: Shop) -> None:
    there.api.config["mode"] = "fixed"
    page = visitor.page
    page.goto(there.url)
    expect(page.locator(".panel")).to_be_visible()
    expect(page.locator(".launcher")).to_be_hidden()
    assert page.evaluate("document.activeElement === document.body")
    page.get_by_role("button", name="Close").click()
    expect(page.locator(".launcher")).to_be_focused()
    page.reload()
    expect(page.locator(".panel")).to_be_attached()
    expect(page.locator(".panel")).to_be_hidden()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("phone", [False, True], ids=["desk", "phone"])
def test_axe_finds_nothing(browser: Browser, there: Shop, theme: Any, phone: bool) -> None:
    there.api.config["color_primary"] = "#e8a200" if theme == "light" else "#2a1a4a"
    there.api.scripts["Hi"] = answers(
        "# Hours\n\nA [link](https://books.example/a), `code`:\n\n```\nlong\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |",
        sources=SOURCES,
        suggestions=[{"canned_id": "can_9", "question": "Bicycles?", "answer": "Yes."}],
    )
    there.api.scripts["fail"] = refuses(402, "quota_exceeded")
    visitor = Visitor(browser, color_scheme=theme, **(PHONE if phone else {}))
    page = arrive(visitor, there)
    assert violations(page) == []
    page.locator(".launcher").click()
    expect(page.locator(".chip")).to_have_count(2)
    assert violations(page) == []
    ask(page, "Hi")
    page.get_by_role("button", name="Not helpful").click()
    expect(page.get_by_role("textbox", name="What was missing?")).to_be_visible()
    assert violations(page) == []
    ask(page, "fail")
    expect(page.get_by_role("alert")).to_be_visible()
    assert violations(page) == []
    visitor.complaints.clear()
    close(visitor)


def test_long_words_stay_inside(caller: Visitor, there: Shop) -> None:
    word = "ドナウ汽船船員" * 40 + "x" * 300
    there.api.scripts["Hi"] = answers(
        f"{word}\n\n[{word}](https://{'a' * 60}.example/{'b' * 300})\n\n| {word} |\n\n```\n{word}\n```"
    )
    there.api.config |= {
        "title": "とても長い店の名前" * 6,
        "launcher_text": "長い文字" * 10,
        "suggested_questions": ["長い質問" * 30],
    }
    page = arrive(caller, there)
    box = page.locator(".launcher").bounding_box()
    assert box
    assert box["x"] >= 0
    page.locator(".launcher").click()
    ask(page, "Hi")
    expect(page.locator(".actions")).to_be_visible()
    wider = """(panel) => [...panel.querySelectorAll("*")].filter(
      (each) => each.getBoundingClientRect().right > innerWidth && !each.closest("pre, .scroll")).length"""
    assert page.locator(".panel").evaluate(wider) == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


HOSTILE_ANSWER = """
<script>globalThis.hacked = 1</script><img src=x onerror="globalThis.hacked=1"><base href=https://evil.example>
<svg onload="globalThis.hacked=1"><a href="javascript:hacked=1">x</a></svg><iframe srcdoc="<script>1</script>"></iframe>
<style>@import url(https://evil.example/x.css)</style><link rel=stylesheet href=https://evil.example/y.css>
![picture](https://evil.example/pixel.png) ![reference][ref] [ref]

[ref]: https://evil.example/reference.png "title"

[a](javascript:globalThis.hacked=1) [b](JaVaScRiPt:hacked=1) [c](data:text/html,<script>hacked=1</script>)
[d](vbscript:x) [e](&#106;avascript:hacked=1) [f](java\tscript:x) [g](//evil.example/x) [i](blob:x)
[h](https://bank.example@evil.example/) [j](file:///etc/passwd) &lt;script&gt;hacked=1&lt;/script&gt; &#60;img&#62;
[https://bank.example](https://evil.example/login)

| <img src=x onerror=hacked=1> | [k](javascript:x) |
|---|---|
| <b>x</b> | ![l](https://evil.example/cell.png) |

> <script>hacked=1</script> ![m](https://evil.example/quote.png)

- <input onfocus=hacked=1 autofocus> ![n](https://evil.example/list.png)

```html
<script>hacked=1</script>
```
\u202egnp.exe \u2028# x \u2029- the last line
"""
ALLOWED = {
    "DIV",
    "SPAN",
    "P",
    "BR",
    "A",
    "CODE",
    "STRONG",
    "EM",
    "UL",
    "OL",
    "LI",
    "PRE",
    "TABLE",
    "TBODY",
    "TR",
    "TD",
    "TH",
}
ALLOWED |= {"BLOCKQUOTE", "HR"}


def test_a_hostile_answer_is_text(visitor: Visitor, there: Shop) -> None:
    hostile = [
        {"title": "<img src=x onerror=hacked=1>", "url": "javascript:hacked=1"},
        {"title": "data", "url": "data:,x"},
        {},
    ]
    offers = [{"canned_id": "../x", "question": "<svg onload=hacked=1>", "answer": HOSTILE_ANSWER}]
    there.api.scripts["Hi"] = answers(*HOSTILE_ANSWER.splitlines(keepends=True), sources=hostile, suggestions=offers)
    page = enter(visitor, there)
    ask(page, "Hi")
    expect(page.locator(".actions")).to_be_visible()
    body = page.locator(".bubble").last
    tags = body.locator("> div").first.evaluate("(e) => [...e.querySelectorAll('*')].map((each) => each.tagName)")
    assert set(tags) <= ALLOWED
    links = body.evaluate("(e) => [...e.querySelectorAll('a')].map((a) => [a.href, a.parentElement.textContent])")
    assert {urlsplit(href).scheme for href, _ in links} == {"https"}
    assert all("evil.example" in shown for href, shown in links), "a link says where it leads"
    assert not any("@" in href for href, _ in links)
    expect(body).to_contain_text("<script>globalThis.hacked = 1</script>")
    expect(body).to_contain_text("the last line")
    page.locator(".chip").click()
    expect(page.locator(".actions")).to_have_count(2)
    page.reload()
    page.locator(".launcher").click()
    expect(page.locator(".actions")).to_have_count(2)
    assert page.evaluate("globalThis.hacked") is None
    assert visitor.hosts() == {urlsplit(there.url).netloc, urlsplit(there.api.base).netloc}


def test_hostile_settings_are_inert(visitor: Visitor, there: Shop) -> None:
    """The server refuses these (tests/unit/sites); the widget does them no favour either, whoever sets them."""
    bad = "</script><img src=x onerror=hacked=1>\u2028\u2029';hacked=1//"
    css = "red;background:url(https://evil.example/css)}*{background:url(https://evil.example/all)"
    wild = {
        "title": bad, "placeholder": bad, "welcome_message": bad + "![x](https://evil.example/w.png)",
        "suggested_questions": [bad], "launcher_text": bad, "font": css, "color_primary": "url(https://evil.example/c)",
        "radius": css, "theme": f"dark {css}", "position": f"bottom-left {css}",
        "bubble_icon_url": "javascript:hacked=1", "locale": f"xx{bad}",
    }  # fmt: skip
    there.api.config |= wild
    page = enter(visitor, there)
    expect(page.locator(".launcher")).to_contain_text("</script><img src=x")
    expect(page.locator(".chip")).to_contain_text("onerror")
    for icon in ("data:image/svg+xml,<svg onload=hacked=1>", "https://evil.example/icon.png"):
        page.evaluate("(options) => Noren.setOptions(options)", {**wild, "bubble_icon_url": icon})
        expect(page.locator(".launcher svg")).to_have_count(1)
    images = page.locator("noren-chat").evaluate("(e) => e.shadowRoot.querySelectorAll('img, script, iframe').length")
    assert images == 0
    assert page.evaluate("globalThis.hacked") is None
    evil = [url for url in visitor.asked if "evil.example" in url]
    assert set(evil) <= {"https://evil.example/icon.png"}, (
        "only an owner's icon may be asked for, and this policy says no"
    )
    visitor.complaints.clear()
