"""What an owner types, chooses and asks for on the training page stays what it is, and nothing is done twice."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest
from aiohttp import web
from playwright.sync_api import FilePayload, Page, expect

from tests.browser.conftest import World
from tests.browser.standin import wait
from tests.browser.training import DOCUMENT, ENDED, JOB, PAGES, QUOTE, SITE, opened, owner

__all__ = ["owner"]

pytestmark = pytest.mark.browser

LOOK = "Look at the site first"


def items(*each: dict[str, Any]) -> dict[str, Any]:
    return {"items": list(each), "next_cursor": None}


def ends(world: World) -> None:
    """Let the training end at the next look."""
    world.api.told["GET /api/v1/train/jobs"] = items(ENDED)
    world.api.told["GET /api/v1/train/jobs/job_1"] = ENDED


def test_a_quote_is_trained_as_it_was_asked_for_whatever_the_form_says_now(page: Page, owner: World) -> None:
    opened(page, owner)
    address = page.get_by_label("Address of your site")
    force = page.get_by_label("Learn everything anew")
    address.fill("https://tea.example/first/")
    force.check()
    page.get_by_role("button", name=LOOK).click()
    quote = page.locator(".quote")
    expect(quote).to_contain_text("Quote for https://tea.example/first/")
    expect(quote).to_contain_text("Everything is learnt anew")
    address.fill("https://tea.example/second/")
    force.uncheck()
    page.get_by_role("button", name="Train now").click()
    expect(page.locator("#notices")).to_contain_text("Training has begun.")
    asked = {"site_id": "site_1", "url": "https://tea.example/first/", "force_retrain": True}
    assert owner.api.bodies("/api/v1/train/estimate") == [asked]
    assert owner.api.bodies("/api/v1/train/url") == [asked]
    expect(quote).to_have_count(0)


def test_an_old_quote_is_gone_while_another_is_asked_for_and_after_a_refusal(page: Page, owner: World) -> None:
    gate = threading.Event()

    async def refused(_: web.Request) -> Any:
        await wait(gate)
        return (422, "site_unreadable", "It did not answer.", {"reason": "unreachable"})

    owner.api.told["POST /api/v1/train/estimate"] = [QUOTE, refused]
    opened(page, owner)
    look = page.get_by_role("button", name=LOOK)
    look.click()
    expect(page.locator(".quote")).to_be_visible()
    page.get_by_label("Address of your site").fill("https://tea.example/second/")
    look.dblclick()
    expect(page.locator("#quote")).to_contain_text("Looking at the site")
    expect(page.locator(".quote")).to_have_count(0)
    gate.set()
    expect(page.get_by_role("alert")).to_contain_text("This site can't be read: did not answer.")
    expect(page.locator(".quote")).to_have_count(0)
    assert len(owner.api.bodies("/api/v1/train/estimate")) == 2


def test_what_is_being_typed_and_chosen_outlives_all_that_is_drawn_anew(page: Page, owner: World) -> None:
    owner.api.told["GET /api/v1/train/jobs"] = items(JOB)
    owner.api.told["GET /api/v1/train/jobs/job_1"] = JOB
    owner.api.told["GET /api/v1/documents"] = items(DOCUMENT)
    opened(page, owner)
    page.get_by_role("button", name="Files").click()
    page.locator("input[type=file]").set_input_files({"name": "a.md", "mimeType": "text/plain", "buffer": b"# A"})
    page.get_by_role("button", name="Text", exact=True).click()
    page.get_by_label("Title").fill("Parking")
    text = page.get_by_label("Text", exact=True)
    text.fill("There are four")
    page.locator("#try").get_by_label("Question").fill("Where can I park?")
    text.focus()
    page.keyboard.press("End")
    ends(owner)
    expect(page.locator("#job")).to_contain_text("Done, with gaps")
    expect(text).to_be_focused()
    page.keyboard.type(" places.")
    expect(text).to_have_value("There are four places.")
    page.get_by_role("combobox", name="Language").select_option("ko")
    page.get_by_role("button", name="질문과 답변").click()
    expect(page.get_by_role("button", name="질문과 답변")).to_be_focused()
    page.get_by_role("button", name="글", exact=True).click()
    expect(page.get_by_label("제목")).to_have_value("Parking")
    expect(page.get_by_label("글", exact=True)).to_have_value("There are four places.")
    expect(page.locator("#try input")).to_have_value("Where can I park?")
    page.get_by_role("button", name="파일").click()
    assert page.evaluate("document.querySelector('input[type=file]').files[0].name") == "a.md"


def test_what_is_unfolded_and_in_focus_stays_so_while_a_training_is_watched(page: Page, owner: World) -> None:
    looks = 0

    async def looked(_: web.Request) -> Any:
        nonlocal looks
        looks += 1
        return JOB | {"changed": 2 + looks, "left": 6 - min(looks, 6)}

    owner.api.told["GET /api/v1/train/jobs"] = items(JOB)
    owner.api.told["GET /api/v1/train/jobs/job_1"] = looked
    owner.api.told["GET /api/v1/train/jobs/job_1/pages"] = items()
    opened(page, owner)
    why = page.get_by_text("What was not read, and why (1)")
    why.click()
    owner.api.told["GET /api/v1/train/jobs/job_1/pages"] = items(*PAGES)
    stop = page.get_by_role("button", name="Stop")
    stop.focus()
    progress = page.locator("#progress").element_handle()
    expect(page.locator("#job .reasons")).to_contain_text("<img src=x onerror=alert(1)>", timeout=20_000)
    assert looks >= 4
    expect(stop).to_be_focused()
    assert progress.text_content() == "Reading pages"
    assert progress.evaluate("each => each.isConnected"), "what a screen reader listens to is not made anew"
    owner.api.told["POST /api/v1/train/jobs/job_1/cancel"] = JOB
    owner.api.told["GET /api/v1/train/jobs"] = items(ENDED | {"status": "cancelled"})
    page.keyboard.press("Enter")
    expect(page.locator("#job")).to_contain_text("Cancelled")
    expect(page.locator("#job h2")).to_be_focused()
    expect(page.locator("#job .reasons").first).to_be_visible()


def test_what_another_site_answers_late_is_dropped(page: Page, owner: World) -> None:
    gate = threading.Event()
    other = DOCUMENT | {"document_id": "doc_9", "title": "Of the other site"}

    async def documents(request: web.Request) -> Any:
        assert request.query["status"] == "active"
        if request.query["site_id"] == "site_1":
            return items(DOCUMENT)
        await wait(gate)
        return items(other)

    async def quoted(request: web.Request) -> Any:
        await wait(gate)
        return QUOTE

    owner.api.told["GET /api/v1/sites"] = items(SITE, SITE | {"site_id": "site_2", "name": "Bakery", "domains": []})
    owner.api.told["GET /api/v1/documents"] = documents
    owner.api.told["POST /api/v1/train/estimate"] = quoted
    opened(page, owner)
    shown = page.locator("#documents")
    expect(shown).to_contain_text("Opening hours")
    site = page.locator("#teach select").first
    site.select_option("Bakery")
    expect(shown).to_contain_text("One moment")
    expect(page.get_by_label("Address of your site")).to_have_value("")
    page.get_by_label("Address of your site").fill("https://bakery.example/")
    page.get_by_role("button", name=LOOK).click()
    site.select_option("Teahouse")
    expect(shown).to_contain_text("Opening hours")
    with page.expect_response("**/api/v1/train/estimate"):
        gate.set()
    page.wait_for_timeout(300)
    expect(shown).to_contain_text("Opening hours")
    expect(shown).not_to_contain_text("Of the other site")
    expect(page.locator(".quote")).to_have_count(0)
    expect(page.get_by_label("Address of your site")).to_have_value("https://tea.example/")
    expect(site).to_have_value("site_1")


def test_two_presses_train_once(page: Page, owner: World) -> None:
    async def slow(_: web.Request) -> Any:
        await asyncio.sleep(0.5)
        return JOB | {"kind": "text"}

    owner.api.told["POST /api/v1/train/text"] = slow
    opened(page, owner)
    page.get_by_role("button", name="Text", exact=True).click()
    page.get_by_label("Title").fill("Parking")
    page.get_by_label("Text", exact=True).fill("There are four places.")
    page.get_by_role("button", name="Teach this").dblclick()
    page.get_by_role("combobox", name="Language").select_option("ja")  # draws the button anew
    expect(page.get_by_role("button", name="教える", exact=True)).to_be_disabled()
    page.get_by_role("button", name="教える", exact=True).click(force=True)
    expect(page.locator("#notices")).to_contain_text("学習を始めました。")
    assert len(owner.api.bodies("/api/v1/train/text")) == 1
    expect(page.get_by_label("題名")).to_have_value("")


def test_files_are_counted_before_any_is_sent_and_sent_once(page: Page, owner: World) -> None:
    async def place(_: web.Request) -> Any:
        await asyncio.sleep(0.1)
        return {"upload_id": "upl_1", "url": f"{owner.url}/api/bucket", "fields": {"key": "k"}}

    owner.api.told["POST /api/v1/train/uploads"] = place
    owner.api.told["POST /api/bucket"] = {}
    owner.api.told["POST /api/v1/train/files"] = JOB | {"kind": "files"}
    opened(page, owner)
    page.get_by_role("button", name="Files").click()
    names = [f"{each}.md" for each in range(51)]
    files: list[FilePayload] = [{"name": each, "mimeType": "text/plain", "buffer": b"# A"} for each in names]
    big: FilePayload = {"name": "big.md", "mimeType": "text/plain", "buffer": b"a" * 20_000_001}
    picker, teach = page.locator("input[type=file]"), page.get_by_role("button", name="Teach this")
    picker.set_input_files(files)
    teach.click()
    expect(page.get_by_role("alert")).to_contain_text("Choose up to 50 files at a time.")
    picker.set_input_files([files[0], big])
    teach.click()
    expect(page.get_by_role("alert")).to_have_text("big.md is larger than 20 MB. Split it, then try again.")
    assert owner.api.bodies("/api/v1/train/uploads") == []
    picker.set_input_files(files[:3])
    teach.dblclick()
    expect(page.locator("#notices")).to_contain_text("Training has begun.")
    assert len(owner.api.bodies("/api/v1/train/uploads")) == 3
    (sent,) = owner.api.bodies("/api/v1/train/files")
    assert [each["name"] for each in sent["files"]] == names[:3]
    assert page.evaluate("document.querySelector('input[type=file]').files.length") == 0


def test_a_watch_waits_as_it_is_told_and_says_why_it_ends(page: Page, owner: World) -> None:
    times: list[float] = []

    async def looked(_: web.Request) -> Any:
        times.append(time.monotonic())
        return (429, "rate_limited", "…", {"retry_after": 6}) if len(times) == 1 else (403, "forbidden", "…", {})

    owner.api.told["GET /api/v1/train/jobs"] = items(JOB)
    owner.api.told["GET /api/v1/train/jobs/job_1"] = looked
    opened(page, owner)
    expect(page.get_by_role("alert")).to_contain_text("Your role does not allow this.", timeout=20_000)
    assert len(times) == 2
    assert times[1] - times[0] >= 5.9
