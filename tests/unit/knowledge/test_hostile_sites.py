"""Sites made to keep a crawler for ever or to fill its memory: each page ends, with a reason, and little is held."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from noren.knowledge.crawl.scope import MAX_VARIANTS
from noren.knowledge.survey.models import Ask, Reach, SiteUnreadable, Survey
from noren.knowledge.survey.surveyor import Patience, Surveyor
from tests.unit.fetching.net import Net, says
from tests.unit.knowledge.training_world import World
from tests.websites.hostile import MADE, PAGES, SITEMAPS, room, stopped
from tests.websites.server import Website

MEGABYTES = 150
"""By which a worker may grow over all of them. Unpacked they are a gigabyte and more."""
LONGER = 40
"""Than any reason: it is text."""
HANGS = 280
"""Seconds after which the process is given up."""


@pytest.fixture(scope="module")
def site() -> Iterator[Website]:
    stopped.clear()
    with Website(made=MADE) as made:
        yield made
        stopped.set()


@pytest.fixture(scope="module")
def crawled(site: Website) -> Any:
    command = [sys.executable, "-m", "tests.websites.crawl_hostile", str(site.port)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANGS)
    assert done.returncode == 0, done.stderr[-3_000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("path", PAGES)
def test_each_page_ends_with_a_reason(crawled: Any, path: str) -> None:
    told, wanted = crawled["told"][path], PAGES[path][1]
    assert told == wanted or (len(told) > LONGER and wanted in told)


@pytest.mark.parametrize("path", SITEMAPS)
def test_each_sitemap_ends_with_what_it_had(crawled: Any, path: str) -> None:
    assert tuple(crawled["told"][path]) == SITEMAPS[path][1:]


def test_a_worker_does_not_grow_by_it(crawled: Any) -> None:
    assert crawled["peak"] < MEGABYTES, {path: size for path, size in crawled["grown"].items() if size > 5}


PATIENT = Patience(seconds=60, delay=0, pages=30, page_seconds=10, robots_seconds=10, sitemaps_seconds=10)
HASTY = replace(PATIENT, robots_seconds=0.5, sitemaps_seconds=0.5)
"""Waits for nothing that is made to be slow."""


def look(site: Website, start: str, patience: Patience = PATIENT, **more: Any) -> Survey:
    return Surveyor(site.fetcher, patience=patience).survey(Ask(site.url + start, seconds=60, **more))


def test_a_maze_is_quoted_up_to_its_limit(site: Website) -> None:
    survey = look(site, "maze/0", reach=Reach(max_pages=200))
    assert survey.sampled == 45  # there is no list
    assert survey.is_cut
    assert survey.listed == survey.pages.likely == 200


@pytest.mark.parametrize(
    ("start", "reason", "listed"), [("calendar", "too_many_queries", 1 + MAX_VARIANTS), ("circles/", "trap", 2)]
)
def test_a_trap_is_left(site: Website, start: str, reason: str, listed: int) -> None:
    survey = look(site, start, replace(PATIENT, pages=100), reach=Reach(max_depth=50))
    assert (survey.listed, survey.sampled) == (listed, listed)
    assert [left.reason for left in survey.skipped] == [reason]
    assert not survey.is_growing


def test_slow_rules_and_endless_lists_hold_no_quote_up(site: Website) -> None:
    with (
        Website(made={**MADE, "/robots.txt": MADE["/slow"]}) as slow,
        pytest.raises(SiteUnreadable, match="timed_out"),
    ):
        look(slow, "maze/0", HASTY)
    with Website(made={**MADE, "/sitemap.xml": MADE["/slow"]}) as slow:
        survey = look(slow, "maze/0", HASTY)
    assert "sitemap_unreachable" in [left.reason for left in survey.skipped]
    with Website(made={**MADE, "/sitemap.xml": MADE["/million.xml"]}) as long:
        survey = look(long, "maze/0", reach=Reach(max_pages=300))
    assert survey.is_cut
    assert survey.listed == 300


def test_a_job_in_a_maze_ends_at_its_limit(knowledge_table: Any) -> None:
    def rooms(sock: socket.socket, head: bytes) -> None:
        path = head.split(b" ")[1].decode()
        if path == "/robots.txt":
            says(b"User-agent: *\nCrawl-delay: 0\n", content_type="text/plain")(sock, head)
        else:
            number = path.rpartition("/")[2]
            says(room(int(number) if number.isdigit() else 0), content_type="text/html")(sock, head)

    net = Net()
    net.serve(rooms)
    world = World(knowledge_table, net)
    job = world.crawl("http://shop.example/maze/0", max_pages=15)
    world.drain()
    world.check(job)
    ended = world.job(job)
    assert (ended.status, ended.found, ended.is_cut) == ("succeeded", 15, True)
    net.close()
