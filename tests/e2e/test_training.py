"""A real documentation in each of the three languages, served on this machine: quoted, trained, asked, edited, trained
again; a page that is gone disappears after two runs.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from noren.knowledge.extract import html
from tests.e2e.client import Client, Stack
from tests.websites.documentation import Unavailable, documentation
from tests.websites.server import Visit, Website

pytestmark = pytest.mark.e2e

NEWS = {
    "en": "Keyboards made of zirconium are supported since last Tuesday.",
    "ja": "ジルコニウム製のキーボードは、先週の火曜日から使えるようになりました。",
    "ko": "지르코늄으로 만든 키보드는 지난 화요일부터 사용할 수 있습니다.",
}
EDITED, REMOVED, KNOWN = "kernel", "nextrelease", "redistributing"
CHAPTERS = (EDITED, REMOVED, KNOWN, "choosing", "compatibility", "pkg-basics", "support")
"""Of Debian's FAQ; the rest stays out by the job's scope."""
PATIENCE = 120
"""Seconds for a job, and for an index to be everywhere (30)."""


@dataclass
class Guide:
    """One language's documentation, and the site that is trained on it."""

    language: str
    folder: Path
    origin: str
    owner: Client
    site_id: str = ""
    job: Any = None

    @property
    def start(self) -> str:
        return self.url("index")

    @property
    def pages(self) -> int:
        """How many there are in the job's scope."""
        return sum(self.file(each).exists() for each in ("index", *CHAPTERS))

    @property
    def wanted(self) -> dict[str, Any]:
        """What a quote and a training are asked for with."""
        include = [f"/{self.language}/{each}.*" for each in CHAPTERS]
        return {"site_id": self.site_id, "url": self.start, "scope": {"include": include}}

    def url(self, chapter: str) -> str:
        return f"{self.origin}{self.language}/{chapter}.{self.language}.html"

    def file(self, chapter: str) -> Path:
        return self.folder / f"{chapter}.{self.language}.html"

    def train(self) -> None:
        self.job = self.owner.ok("POST", "/api/v1/train/url", self.wanted)

    def trained(self) -> Any:
        """The job, once it has ended."""
        deadline = time.monotonic() + PATIENCE
        while (job := self.owner.ok("GET", f"/api/v1/train/jobs/{self.job['job_id']}"))["ended_at"] is None:
            assert time.monotonic() < deadline, job
            time.sleep(0.3)
        assert (job["status"], job["failed"], job["error"]) == ("succeeded", 0, ""), job
        return job

    def search(self, query: str, version: int = 1) -> Any:
        """What is found, by an index of that version or a later one."""
        deadline = time.monotonic() + PATIENCE
        body = {"site_id": self.site_id, "query": query}
        while (found := self.owner.ok("POST", "/api/v1/search", body))["index_version"] < version:
            assert time.monotonic() < deadline, found
            time.sleep(0.5)
        return found

    def documents(self) -> dict[str, Any]:
        listed = self.owner.ok("GET", f"/api/v1/documents?site_id={self.site_id}&limit=100")["items"]
        return {each["url"]: each for each in listed}


def rules(visit: Visit) -> None:
    visit.says(b"User-agent: *\nCrawl-delay: 0\n", kind="text/plain")


@pytest.fixture(scope="module")
def website(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Website]:
    root = tmp_path_factory.mktemp("documentation")
    for language in NEWS:
        try:
            pages = documentation(f"faq-{language}")
        except Unavailable as why:
            message = f"Debian's FAQ is not to be had here: {why}"
            if os.environ.get("CI") == "true":
                pytest.fail(message)
            pytest.skip(message)
        (root / language).mkdir()
        for each in pages.glob(f"*.{language}.html"):
            shutil.copyfile(each, root / language / each.name)
    port = urlsplit(stack["webhook_url"]).port or 0  # what the platform may call of this machine
    with Website(root, {"/robots.txt": rules}, port=port) as site:
        yield site


@pytest.fixture(scope="module")
def guides(stack: Stack, website: Website) -> Iterator[list[Guide]]:
    owner = stack.user("pro")
    assert website.folder
    made = [Guide(each, website.folder / each, website.url, owner) for each in NEWS]
    for each in made:
        each.site_id = owner.ok("POST", "/api/v1/sites", {"name": f"FAQ {each.language}"})["site_id"]
    yield made
    for each in made:
        owner.ok("DELETE", f"/api/v1/sites/{each.site_id}")


def test_a_documentation_is_quoted_trained_asked_edited_and_trained_again(
    guides: list[Guide], website: Website
) -> None:
    pages = {each.language: each.pages for each in guides}
    assert set(pages.values()) == {1 + len(CHAPTERS)}

    for guide in guides:
        quote = guide.owner.ok("POST", "/api/v1/train/estimate", guide.wanted)
        (left,) = quote["skipped"]
        assert left["reason"] == "excluded"
        assert left["count"] >= 9
        assert quote["pages_low"] <= guide.pages <= quote["pages_high"], quote
        assert not quote["exceeds_quota"]
        guide.train()
        assert guide.job["estimated_pages"] == quote["pages"]
        guide.job |= {"quoted": quote}

    for guide in guides:
        quote, job = guide.job["quoted"], guide.trained()
        assert job["changed"] == guide.pages, job
        assert quote["pages_low"] <= job["changed"] <= quote["pages_high"]
        assert quote["tokens_low"] <= job["embedding_tokens"] <= quote["tokens_high"]
        assert float(quote["cost_usd_low"]) <= float(job["cost_usd"]) <= float(quote["cost_usd_high"])
        # What stands in several places is embedded once; headings that try the vectors are paid, but no chunks.
        assert 0.9 * job["chunks"] <= job["embedded_chunks"] <= job["chunks"]
        ask_for_a_known_chapter(guide)

    website.log.clear()
    for guide in guides:
        edit(guide)
        guide.file(REMOVED).unlink()
        guide.train()
    for guide in guides:
        job = guide.trained()
        assert job["mode"] == "differential"
        assert (job["changed"], job["removed"]) == (1, 0), job
        assert job["unchanged"] == guide.pages - 1
        document = guide.documents()[guide.url(EDITED)]
        assert 1 <= job["embedded_chunks"] < document["chunk_count"]  # of the edited page, those that were touched
        guide.job |= {"missed": guide.documents()[guide.url(REMOVED)]}
    # Sent were the edited pages, and few others: one in twenty is looked at whatever its server says.
    sent = website.fetched(200)
    assert {urlsplit(each.url(EDITED)).path for each in guides} <= set(sent)
    assert len(sent) <= 3 + sum(pages.values()) / 3, sent
    assert len(website.fetched(304)) >= sum(pages.values()) / 2

    for guide in guides:
        missed = guide.job["missed"]
        guide.train()
        guide.job |= {"missed": missed}
    for guide in guides:
        job = guide.trained()
        assert (job["changed"], job["removed"]) == (0, 1), job
        assert job["embedded_chunks"] == 0, job
        assert guide.url(REMOVED) not in active(guide)
    for guide in guides:
        found = guide.search(NEWS[guide.language], guide.trained()["index_version"])
        assert found["passages"][0]["url"].startswith(guide.url(EDITED)), found
        title = html.read(documentation_page(guide)).extracted.title
        gone = guide.search(title)
        assert not [each for each in gone["passages"] if each["url"].startswith(guide.url(REMOVED))]


def ask_for_a_known_chapter(guide: Guide) -> None:
    """A heading of it leads to it, as a passage and as the source of an answer."""
    page = html.read(guide.file(KNOWN).read_bytes()).extracted
    heading = next(block.text for block in page.blocks if block.level >= 2).lstrip("0123456789. ")
    best = guide.search(heading)["passages"][0]
    assert best["url"].startswith(guide.url(KNOWN)), best
    assert best["anchor"]
    assert best["language"] == guide.language
    answer = guide.owner.chat(heading, site_id=guide.site_id)
    assert any(each["url"].startswith(guide.url(KNOWN)) for each in answer["sources"]), answer


def edit(guide: Guide) -> None:
    """One more paragraph in the middle of one chapter."""
    file = guide.file(EDITED)
    paragraphs = file.read_text().split("</p>")
    paragraphs.insert(len(paragraphs) // 2, f"<p>{NEWS[guide.language]}")
    file.write_text("</p>".join(paragraphs))


def documentation_page(guide: Guide) -> bytes:
    """The chapter that was removed, as it was."""
    return (documentation(f"faq-{guide.language}") / f"{REMOVED}.{guide.language}.html").read_bytes()


def active(guide: Guide) -> list[str]:
    """The addresses that the site still answers from."""
    return [url for url, each in guide.documents().items() if each.get("status", "active") == "active"]
