"""Crawls of more pages than a host may be called for in a while: how many messages they take, and for how long."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import count

import pytest

from noren.knowledge.crawl.visit import Gone, Skipped
from noren.knowledge.crawling import Visit
from noren.knowledge.models import Job, JobPage
from noren.knowledge.worker import IDLE_SECONDS
from tests.dynamodb import MemoryDynamoDB
from tests.unit.fetching.net import Net
from tests.unit.knowledge.training_world import World
from tests.unit.knowledge.web import HOME, Answer, Web

PAGES = 300
DELAY = 30


@pytest.fixture
def web() -> Iterator[Web]:
    net = Net()
    made = Web(net)
    made.paths["/robots.txt"] = Answer(f"User-agent: *\nCrawl-delay: {DELAY}\n".encode(), type="text/plain")
    yield made
    net.close()


@pytest.fixture
def world(web: Web) -> World:
    made = World(MemoryDynamoDB(), web.net)
    made.worker._crawl.visit = missing  # type: ignore[method-assign]
    return made


def missing(job: Job, page: JobPage) -> Visit:
    """What is there does not matter here."""
    return Visit(Gone(page.source, "missing"), None)


def run(world: World, job: Job, *, lost: frozenset[int] = frozenset()) -> int:
    """Work messages off, each at its time, but some that are lost; how many there were."""
    due, number = list[tuple[float, int, dict[str, object]]](), count()
    for worked in count():
        for message in world.queue.waiting:
            at = world.now + message.pop("delay", 0)
            heapq.heappush(due, (at, next(number), message))
        world.queue.waiting.clear()
        if not due:
            if not world.job(job).is_open:
                return worked
            world.now += IDLE_SECONDS + 1
            world.sweep()
            continue
        at, each, message = heapq.heappop(due)
        world.now = max(world.now, at)
        if each not in lost:
            world.work(message)
    raise AssertionError


def listed(web: Web) -> None:
    web.sitemap(*((f"/{number}", "") for number in range(PAGES)))


def test_messages_grow_with_the_pages_and_not_with_their_square(
    world: World, web: Web, caplog: pytest.LogCaptureFixture
) -> None:
    listed(web)
    job, begun = world.crawl(max_pages=PAGES, room=PAGES), world.now
    assert run(world, job) < 3.4 * PAGES
    assert world.job(job).skipped == PAGES
    assert world.now - begun < 1.2 * PAGES * DELAY
    assert not caplog.records, "the sweep had to help"


def test_pages_that_others_lead_to_are_asked_for_a_few_at_a_time_too(
    world: World, web: Web, caplog: pytest.LogCaptureFixture
) -> None:
    """Each leads to the next fifty: almost all are found long before it is their turn."""

    def leads(job: Job, page: JobPage) -> Visit:
        at = int(page.source.removeprefix(HOME) or 0)
        links = tuple(f"{HOME}{number}" for number in range(at + 1, min(at + 51, PAGES)))
        return Visit(Skipped(page.source, "empty", links=links), None)

    world.worker._crawl.visit = leads  # type: ignore[method-assign]
    job, begun = world.crawl(max_pages=PAGES, room=PAGES, max_depth=PAGES), world.now
    assert run(world, job) < 3.4 * PAGES
    assert world.job(job).skipped == PAGES
    assert world.now - begun < 1.2 * PAGES * DELAY
    assert not caplog.records, "the sweep had to help"


def test_lost_messages_hold_no_large_crawl_up_for_ever(world: World, web: Web) -> None:
    listed(web)
    job = world.crawl(max_pages=PAGES, room=PAGES)
    assert run(world, job, lost=frozenset(range(2, 9 * PAGES, 3))) < 9 * PAGES
    assert world.job(job).skipped == PAGES
