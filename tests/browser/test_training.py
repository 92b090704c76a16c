"""Teaching an assistant in a real browser, before stand-in APIs: quote, progress, reasons, documents, questions."""

from __future__ import annotations

import re
from typing import Any

import pytest
from aiohttp import web
from playwright.sync_api import Page, expect

from tests.browser.conftest import World
from tests.browser.fixtures import violations
from tests.browser.training import DOCUMENT, ENDED, FOUND, HOSTILE, JOB, QUOTE, SKIPPED, opened, owner

__all__ = ["owner"]

pytestmark = pytest.mark.browser


def test_a_site_is_quoted_trained_and_watched_until_it_has_ended(page: Page, owner: World) -> None:
    opened(page, owner)
    expect(page.locator("#job")).to_contain_text("Nothing has been trained yet.")
    expect(page.get_by_label("Address of your site")).to_have_value("https://tea.example/")
    page.get_by_role("button", name="Look at the site first").click()
    quote = page.locator(".quote")
    for text in (
        "40",
        "35 to 48",
        "52,000",
        "¥0.16",
        "¥0.13 to ¥0.18",
        "60,000 tokens of it are left",
        "from 12 pages",
        "5 of them",
        "may come to more",
    ):
        expect(quote).to_contain_text(text)
    assert quote.get_by_label("Read it again").locator("option").all_text_contents() == [
        "Only now",
        "every week",
        "every month",
    ], "no more often than the plan reads again"
    quote.get_by_text("Will be left out (4)").click()
    expect(quote).to_contain_text("robots.txt does not allow it: 4")
    assert violations(page) == []
    quote.get_by_label("Read it again").select_option("weekly")
    owner.api.told["GET /api/v1/train/jobs"] = {"items": [JOB], "next_cursor": None}
    page.get_by_role("button", name="Train now").click()
    job = page.locator("#job")
    expect(job).to_contain_text("Reading pages")
    expect(job.get_by_role("img", name="4 of 10 pages")).to_be_visible()
    expect(job.get_by_role("button", name="Stop")).to_be_visible()
    (sent,) = owner.api.bodies("/api/v1/train/url")
    assert sent == {"site_id": "site_1", "url": "https://tea.example/", "force_retrain": False, "schedule": "weekly"}
    owner.api.told["GET /api/v1/train/jobs"] = {"items": [ENDED], "next_cursor": None}
    owner.api.told["GET /api/v1/documents"] = {"items": [DOCUMENT, HOSTILE], "next_cursor": None}
    expect(job).to_contain_text("Done, with gaps")
    expect(page.locator("#documents").get_by_role("link", name="Opening hours")).to_be_visible()
    assert violations(page) == []


def test_what_was_not_read_says_why_and_is_tried_again(page: Page, owner: World) -> None:
    owner.api.told["GET /api/v1/train/jobs"] = {"items": [ENDED], "next_cursor": None}
    owner.api.told["POST /api/v1/train/jobs/job_1/retry"] = JOB
    opened(page, owner)
    expect(page.get_by_label("Address of your site")).to_have_value("https://tea.example/help/")
    page.get_by_text("What was not read, and why (2)").click()
    for text in ("robots.txt does not allow it", "took too long", "<img src=x onerror=alert(1)>"):
        expect(page.locator("#job .reasons")).to_contain_text(text)
    page.get_by_role("button", name="Try again what failed").click()
    expect(page.locator("#job")).to_be_visible()
    assert ("POST", "/api/v1/train/jobs/job_1/retry") in [(method, path) for method, path, _, _ in owner.api.seen]


def test_every_open_training_is_watched_however_many_texts_came_after_it(page: Page, owner: World) -> None:
    text = JOB | {"job_id": "job_2", "kind": "text", "status": "succeeded", "left": 0, "failed": 0, "reasons": {}}
    texts = [text | {"job_id": f"job_{number}"} for number in range(2, 22)]

    async def newest(request: web.Request) -> Any:
        return {"items": [*texts, JOB][: int(request.query["limit"])], "next_cursor": None}

    owner.api.told["GET /api/v1/train/jobs"] = newest
    owner.api.told["POST /api/v1/train/jobs/job_1/cancel"] = JOB
    opened(page, owner)
    expect(page.locator("#job .part")).to_have_count(2)
    page.get_by_role("button", name="Stop").click()
    owner.api.told["GET /api/v1/train/jobs"] = {"items": [text, ENDED], "next_cursor": None}
    expect(page.locator("#job .part")).to_have_count(1)
    assert ("POST", "/api/v1/train/jobs/job_1/cancel") in [(method, path) for method, path, _, _ in owner.api.seen]


def test_a_pair_is_taught_and_a_document_forgotten(page: Page, owner: World) -> None:
    owner.api.told["GET /api/v1/documents"] = {"items": [HOSTILE], "next_cursor": None}
    owner.api.told["POST /api/v1/train/qa"] = JOB | {"kind": "qa"}
    owner.api.told["DELETE /api/v1/documents/doc_2"] = JOB | {"kind": "refresh"}
    opened(page, owner)
    assert page.locator("#documents a").count() == 0, "an address that runs is no link"
    page.get_by_role("button", name="Question and answer").click()
    page.get_by_label("Question", exact=True).first.fill("Do you sell gift cards?")
    page.get_by_label("Answer").fill("Yes, at the desk.")
    page.get_by_role("button", name="Teach this").click()
    expect(page.locator("#notices")).to_contain_text("Training has begun.")
    (sent,) = owner.api.bodies("/api/v1/train/qa")
    assert sent["pairs"] == [{"question": "Do you sell gift cards?", "answer": "Yes, at the desk."}]
    page.get_by_role("button", name=re.compile("^Forget: ")).click()
    page.get_by_role("dialog").get_by_role("button", name="Forget").click()
    expect(page.locator("#notices")).to_contain_text("Forgotten.")


def test_a_question_shows_what_is_found_and_what_is_not(page: Page, owner: World) -> None:
    owner.api.told["POST /api/v1/search"] = [
        FOUND,
        FOUND | {"is_answered": False},
        FOUND | {"is_answered": False, "index_version": 0},
    ]
    opened(page, owner)
    tried = page.locator("#try")
    tried.get_by_label("Question").fill("When do you open?")
    tried.get_by_role("button", name="Search").click()
    expect(tried).to_contain_text("sure to 87 %")
    expect(tried.get_by_role("link", name="Opening hours")).to_have_attribute("href", "https://tea.example/hours#week")
    tried.get_by_role("button", name="Search").click()
    expect(tried).to_contain_text("Your site does not tell this.")
    tried.get_by_role("button", name="Search").click()
    expect(tried).to_contain_text("Nothing has been learnt yet")
    assert violations(page) == []


def test_a_viewer_looks_and_teaches_nothing(page: Page, owner: World) -> None:
    owner.api.me["role"] = "viewer"
    owner.api.told["GET /api/v1/documents"] = {"items": [DOCUMENT], "next_cursor": None}
    opened(page, owner)
    expect(page.locator("#teach")).to_contain_text("An editor, admin or owner can teach")
    expect(page.get_by_role("button", name=re.compile("Train|Teach|Forget|Look at"))).to_have_count(0)


def test_a_quote_of_nothing_offers_no_training(page: Page, owner: World) -> None:
    unread = {"reason": "sitemap_broken", "count": 1, "example": "https://tea.example/sitemap.xml"}
    nothing = {"pages": 0, "pages_low": 0, "pages_high": 0, "skipped": [*SKIPPED, unread]}
    owner.api.told["POST /api/v1/train/estimate"] = QUOTE | nothing
    opened(page, owner)
    page.get_by_role("button", name="Look at the site first").click()
    expect(page.locator(".quote")).to_contain_text("Nothing would be read here.")
    page.get_by_text("Will be left out (5)").click()
    expect(page.get_by_text("a list of pages (sitemap) that could not be read to its end: 1")).to_be_visible()
    expect(page.get_by_role("button", name="Train now")).to_have_count(0)


def test_a_full_plan_is_not_taken_for_a_wrong_address(page: Page, owner: World) -> None:
    owner.api.told["POST /api/v1/train/estimate"] = QUOTE | {"pages": 0, "is_cut": True, "max_pages": 0, "skipped": []}
    opened(page, owner)
    page.get_by_role("button", name="Look at the site first").click()
    expect(page.locator(".quote")).to_contain_text("Your plan has no room for more pages.")


def test_what_was_cancelled_can_be_gone_on_with(page: Page, owner: World) -> None:
    owner.api.told["GET /api/v1/train/jobs"] = {"items": [ENDED | {"status": "cancelled"}], "next_cursor": None}
    owner.api.told["POST /api/v1/train/jobs/job_1/retry"] = JOB
    opened(page, owner)
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("#job")).to_be_visible()
    assert ("POST", "/api/v1/train/jobs/job_1/retry") in [(method, path) for method, path, _, _ in owner.api.seen]


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        ((403, "site_disabled", "…", {}), "このサイトは無効になっています。"),
        ((403, "site_frozen", "…", {}), "このサイトは休止中です。"),
        ((409, "training_open", "…", {"job_id": "job_1"}), "このサイトは学習中です。"),
        (
            (422, "not_this_site", "…", {"domains": ["tea.example"]}),
            "このサイト(tea.example)のアドレス",
        ),
        ((422, "site_unreadable", "…", {"reason": "robots"}), "robots.txt で「Noren」を許可してから"),
        ((429, "rate_limited", "…", {"retry_after": 12}), "短い間に操作が続きました。12秒待ってから"),
        ((503, "busy", "…", {"retry_after": 7}), "ただいま混み合っています。7秒待ってから"),
    ],
)
def test_a_refusal_is_told_in_the_readers_language(
    page: Page, owner: World, refusal: tuple[int, str, str, dict[str, object]], said: str
) -> None:
    owner.api.told["POST /api/v1/train/estimate"] = refusal
    opened(page, owner)
    page.get_by_role("combobox", name="Language").select_option("ja")
    expect(page.get_by_role("heading", name="学習", exact=True)).to_be_visible()
    page.get_by_role("button", name="まず見積もる").click()
    expect(page.get_by_role("alert")).to_contain_text(said)
    expect(page.locator(".quote")).to_have_count(0)
