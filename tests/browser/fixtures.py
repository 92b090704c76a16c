"""A real browser, and what both the page's own tests and the end-to-end tests do with it.

Use: `from tests.browser.fixtures import browser, page, sign_in` in a conftest or test module.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from local.emulator import HOME

expect.set_options(timeout=20_000)  # one that holds costs nothing, and a busy machine is no fault

CANDIDATES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
ARGUMENTS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
AXE = HOME / "node" / "node_modules" / "axe-core" / "axe.min.js"


def executable() -> str | None:
    """An installed Chromium or Chrome, or None."""
    return next((path for name in CANDIDATES if (path := shutil.which(name))), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, shared by a module; each page has a context of its own.

    Not by the session: while it is open its event loop runs in this thread, and other tests need theirs.
    """
    path = executable()
    if path is None:
        message = "BROWSER TESTS LEFT OUT: no Chromium or Chrome found (Debian: apt-get install chromium)"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A fresh English page. The test fails if a script error or a refused resource shows on its console."""
    context = browser.new_context(locale="en-GB", timezone_id="Asia/Tokyo")
    tab = context.new_page()
    complaints: list[str] = []
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("console", lambda said: complaints.append(said.text) if "Content Security Policy" in said.text else None)
    yield tab
    context.close()
    assert complaints == []


def sign_in(page: Page, run: Mapping[str, Any], plan: str = "free") -> None:
    """Sign in at the hosted login as the demo user of `plan`; `run` is the run contract (`.noren/run.json`)."""
    user = next(each for each in run["users"] if each["plan"] == plan)
    page.goto(run["console_url"])
    page.locator("#account button").first.click()
    page.locator("#username").fill(user["email"])
    page.locator("#password").fill(user["password"])
    page.locator("button[type=submit]").click()
    expect(page.locator(".who")).to_have_text(user["email"])


def ask(page: Page, message: str) -> None:
    """Type a message and send it."""
    expect(page.locator("#send")).not_to_be_empty()  # the page listens once its buttons have their names
    page.locator("#message").fill(message)
    page.locator("#message").press("Enter")


def violations(page: Page) -> list[str]:
    """What axe finds wrong with the page as it stands (WCAG 2.2 AA), each as `rule: element`."""
    assert Path(AXE).is_file(), "axe-core is not set up: run `make setup`"
    page.evaluate(Path(AXE).read_text())
    found = page.evaluate(
        "axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']})"
    )
    return [f"{rule['id']}: {node['html']}" for rule in found["violations"] for node in rule["nodes"]]
