"""Teaching an assistant in a real browser, before stand-in APIs: quote, progress, reasons, documents, questions."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import World
from tests.browser.fixtures import sign_in, violations
from tests.browser.standin import LIMITS, PLANS

pytestmark = pytest.mark.browser

SITE = {"site_id": "site_1", "name": "Teahouse", "domains": ["tea.example"], "is_default": True}
JOB = {
    "job_id": "job_1",
    "site_id": "site_1",
    "kind": "url",
    "mode": "differential",
    "status": "running",
    "attempt": 1,
    "found": 10,
    "left": 6,
    "fetched": 3,
    "changed": 2,
    "unchanged": 1,
    "removed": 0,
    "failed": 1,
    "skipped": 0,
    "chunks": 12,
    "tokens": 3400,
    "reasons": {"timed_out": 1},
    "error": "",
    "url": "https://tea.example/help/",
    "embedded_chunks": 0,
    "embedding_tokens": 0,
    "cost_usd": "0",
    "created_at": "2026-11-26T03:00:00Z",
}
ENDED = JOB | {
    "status": "partial",
    "left": 0,
    "fetched": 8,
    "changed": 7,
    "skipped": 1,
    "embedded_chunks": 12,
    "reasons": {"robots": 1, "timed_out": 1},
}
PAGES = [
    {"name": "https://tea.example/secret", "source": "", "status": "skipped", "reason": "robots"},
    {
        "name": "https://tea.example/<img src=x onerror=alert(1)>",
        "source": "",
        "status": "failed",
        "reason": "timed_out",
    },
    {"name": "https://tea.example/", "source": "", "status": "changed", "reason": ""},
]
DOCUMENT = {
    "document_id": "doc_1",
    "site_id": "site_1",
    "kind": "page",
    "url": "https://tea.example/hours",
    "title": "Opening hours",
    "chunk_count": 3,
    "updated_at": "2026-11-26T03:00:00Z",
}
HOSTILE = DOCUMENT | {"document_id": "doc_2", "title": "<b>Free</b>", "url": "javascript:alert(1)"}
QUOTE = {
    "pages": 40,
    "pages_low": 35,
    "pages_high": 48,
    "tokens": 52_000,
    "tokens_low": 44_000,
    "tokens_high": 61_000,
    "unchanged": 5,
    "embedding_model": "embedding_3_small",
    "cost_usd": "0.00104",
    "cost_usd_low": "0.00088",
    "cost_usd_high": "0.00122",
    "cost_local": "0.16",
    "currency": "JPY",
    "listed": 44,
    "is_cut": False,
    "is_growing": False,
    "may_exceed_quota": True,
    "skipped": [{"reason": "robots", "count": 4, "example": "https://tea.example/secret"}],
    "sampled": 12,
    "exceeds_quota": False,
}
FOUND = {
    "is_answered": True,
    "confidence": 0.87,
    "index_version": 3,
    "passages": [{"title": "Opening hours", "url": "https://tea.example/hours#week", "snippet": "We open at ten."}],
}


def told() -> dict[str, Any]:
    return {
        "GET /api/v1/sites": {"items": [SITE], "next_cursor": None},
        "GET /api/v1/plans": {"items": [each | {"resync": "weekly"} for each in PLANS]},
        "GET /api/v1/train/jobs": {"items": [], "next_cursor": None},
        "GET /api/v1/train/schedules": {"items": [], "next_cursor": None},
        "GET /api/v1/documents": {"items": [], "next_cursor": None},
        "GET /api/v1/train/jobs/job_1/pages": {"items": PAGES, "next_cursor": None},
        "GET /api/v1/train/jobs/job_1": [JOB, JOB, ENDED],
        "POST /api/v1/train/estimate": QUOTE,
        "POST /api/v1/train/url": JOB,
    }


@pytest.fixture
def owner(world: World) -> World:
    world.api.me = {
        "user": {"user_id": "u", "email": "mei@example.com", "is_platform_admin": False},
        "role": "owner",
        "plan": "starter",
        "tenant": {"tenant_id": "ten_1", "plan": "starter", "timezone": "Asia/Tokyo", "default_site_id": "site_1"},
        "limits": LIMITS,
        "inference_url": "",
    }
    world.api.told = copy.deepcopy(told())
    return world


def opened(page: Page, world: World) -> None:
    sign_in(page, world.run)
    page.goto(f"{world.url}/training.html")
    expect(page.locator("#teach")).to_be_visible()


def test_a_site_is_quoted_trained_and_watched_until_it_has_ended(page: Page, owner: World) -> None:
    opened(page, owner)
    expect(page.locator("#job")).to_contain_text("Nothing has been trained yet.")
    expect(page.get_by_label("Address of your site")).to_have_value("https://tea.example/")
    page.get_by_role("button", name="Look at the site first").click()
    quote = page.locator(".quote")
    for text in ("40", "35 to 48", "52,000", "¥0.16", "from 12 pages", "5 of them", "may come to more"):
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
    expect(job).to_contain_text("Done, but not everything could be read")
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


def test_every_open_training_is_watched(page: Page, owner: World) -> None:
    text = JOB | {"job_id": "job_2", "kind": "text", "status": "succeeded", "left": 0, "failed": 0, "reasons": {}}
    owner.api.told["GET /api/v1/train/jobs"] = {"items": [text, JOB], "next_cursor": None}
    owner.api.told["GET /api/v1/train/jobs/job_2/pages"] = {"items": [], "next_cursor": None}
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
    owner.api.told["POST /api/v1/search"] = [FOUND, FOUND | {"is_answered": False}]
    opened(page, owner)
    tried = page.locator("#try")
    tried.get_by_label("Question").fill("When do you open?")
    tried.get_by_role("button", name="Search").click()
    expect(tried).to_contain_text("sure to 87 %")
    expect(tried.get_by_role("link", name="Opening hours")).to_have_attribute("href", "https://tea.example/hours#week")
    tried.get_by_role("button", name="Search").click()
    expect(tried).to_contain_text("Your site does not tell this.")
    assert violations(page) == []


def test_a_viewer_looks_and_teaches_nothing(page: Page, owner: World) -> None:
    owner.api.me["role"] = "viewer"
    owner.api.told["GET /api/v1/documents"] = {"items": [DOCUMENT], "next_cursor": None}
    opened(page, owner)
    expect(page.locator("#teach")).to_contain_text("An editor, admin or owner can teach")
    expect(page.get_by_role("button", name=re.compile("Train|Teach|Forget|Look at"))).to_have_count(0)


def test_a_quote_of_nothing_offers_no_training(page: Page, owner: World) -> None:
    owner.api.told["POST /api/v1/train/estimate"] = QUOTE | {"pages": 0, "pages_low": 0, "pages_high": 0}
    opened(page, owner)
    page.get_by_role("button", name="Look at the site first").click()
    expect(page.locator(".quote")).to_contain_text("Nothing would be read here.")
    expect(page.get_by_text("Will be left out (4)")).to_be_visible()
    expect(page.get_by_role("button", name="Train now")).to_have_count(0)


def test_a_site_that_cannot_be_read_says_what_to_do(page: Page, owner: World) -> None:
    owner.api.told["POST /api/v1/train/estimate"] = (422, "site_unreadable", "robots.txt of this site forbids it.")
    opened(page, owner)
    page.get_by_role("button", name="Look at the site first").click()
    expect(page.get_by_role("alert")).to_contain_text("robots.txt of this site forbids it.")
    page.get_by_role("combobox", name="Language").select_option("ja")
    expect(page.get_by_role("heading", name="学習", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="まず見積もる")).to_be_visible()
