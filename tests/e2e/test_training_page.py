"""A shop owner types an address, sees a quote, watches pages come in, teaches a file, and asks; in a real browser."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import Page, expect

from tests.browser.fixtures import browser, page, sign_in, violations
from tests.e2e.client import Stack

__all__ = ["browser", "page"]

pytestmark = [pytest.mark.e2e, pytest.mark.browser]

SOON = 90_000


def test_an_owner_teaches_a_site_and_a_file_and_asks(page: Page, stack: Stack) -> None:
    owner = stack.user("pro")
    site_id = owner.ok("POST", "/api/v1/sites", {"name": "Guide"})["site_id"]
    sign_in(page, stack.run, "pro")
    page.goto(f"{stack['console_url']}/training.html?site_id={site_id}")
    job = page.locator("#job")
    guide = f"{stack['demo_page_url']}guide/en/"
    page.get_by_label("Address of your site").fill(guide)
    page.get_by_role("button", name="Look at the site first").click()
    quote = page.locator(".quote")
    expect(quote).to_contain_text("Pages", timeout=90_000)
    expect(quote.locator(".big").first).to_have_text("5")
    page.get_by_role("button", name="Train now").click()
    expect(page.locator("#notices")).to_contain_text("Training has begun.", timeout=90_000)
    expect(job).to_contain_text("Done", timeout=SOON)
    expect(job).to_contain_text("5 of 5 pages")
    expect(page.locator("#documents").get_by_role("link", name="Gift wrapping and book tokens")).to_be_visible()
    tried = page.locator("#try")
    tried.get_by_label("Question").fill("How long are book tokens good for?")
    tried.get_by_role("button", name="Search").click()
    expect(tried).to_contain_text("good for two years")
    expect(tried.get_by_role("link").first).to_have_attribute("href", f"{guide}gifts#s1")

    page.get_by_role("button", name="Files").click()
    words = b"# Parking\n\nThere are four parking places behind the shop, free for the first hour.\n"
    page.locator("input[type=file]").set_input_files({"name": "parking.md", "mimeType": "text/plain", "buffer": words})
    page.get_by_role("button", name="Teach this").click()
    expect(page.locator("#documents")).to_contain_text("Parking", timeout=SOON)
    assert violations(page) == []
    deadline = time.monotonic() + 45  # within 30 s of its publication an index is everywhere
    while not (answer := owner.chat("Where can I park my car?", site_id=site_id))["sources"]:
        assert time.monotonic() < deadline, answer
        time.sleep(3)
    assert "four parking places" in answer["answer"]
    assert answer["sources"][0]["title"] == "Parking"
    owner.ok("DELETE", f"/api/v1/sites/{site_id}")
