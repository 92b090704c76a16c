"""Crawls whose workers die at any call, whose messages come twice, late or never: each page once, a true end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from noren.knowledge.crawl.scope import MAX_VARIANTS
from noren.knowledge.models import Document, Job, JobPage, page_id
from noren.knowledge.publish import UNUSED_SECONDS
from tests.dynamodb import MemoryDynamoDB
from tests.unit.fetching.net import Net
from tests.unit.knowledge.training_world import POSSIBLE, World
from tests.unit.knowledge.web import HOME, Web

TEA = "Our green tea is grown in Uji and shipped within two days. " * 4
CUP = "A cup of white porcelain, made by hand, holds a quarter of a litre. " * 4


@pytest.fixture
def web() -> Iterator[Web]:
    net = Net()
    made = Web(net)
    made.put("/", "Shop", "Welcome to a shop for tea and what belongs to it. " * 4, ["/tea", "/tea?print=1"])
    made.put("/tea", "Tea", TEA, ["/", "/cup"])
    made.put("/tea?print=1", "Tea", TEA, head="<meta name=print>")  # a near duplicate
    yield made
    net.close()


def is_true(world: World, job: Job) -> None:
    """What holds of a crawl that is through, however it came there."""
    world.check(job)
    done = world.job(job)
    assert (done.status, done.left, done.found) == ("succeeded", 0, 4)
    assert (done.changed + done.unchanged, done.skipped) == (2, 2)
    assert {name: count for name, count in done.reasons.items() if count} == {"near_duplicate": 1, "missing": 1}
    pages = {each.name: (each.status, each.reason) for each in world.jobs.pages(done)}
    assert pages[f"{HOME}tea?print=1"] == ("skipped", "near_duplicate")
    assert pages[f"{HOME}cup"] == ("skipped", "missing")
    documents = [each for each in world.documents.every(world.tenant, world.site.site_id) if each.kind == "page"]
    assert {each.url.removeprefix(HOME): each.version for each in documents} == {"": 1, "tea": 1, "tea?print=1": 1}
    visible = world.visible()
    assert visible
    assert len(visible.find("Uji", 9)) == 1


@pytest.mark.parametrize("mode", ["before", "after"])
def test_a_worker_may_die_at_any_call(knowledge_table: Any, web: Web, mode: Literal["before", "after"]) -> None:
    """One in five of its calls here, others in the other mode and in the machine below."""
    at, has_died = 0 if mode == "before" else 2, True
    while has_died:
        world = World(knowledge_table, web.net)
        job = world.crawl()
        has_died = False
        world.fuse.burn(at, mode)
        while world.queue.waiting and not has_died:
            has_died = not world.deliver(alight=True)
        world.fuse.at = None
        world.check(job)
        world.drain()
        is_true(world, job)
        assert set(world.told) == {(job.job_id, 1, "succeeded")}, at
        at += 5
    assert at > 60


def standing(document: Document) -> tuple[str, int, str, float | None]:
    return document.url, document.misses, document.status, document.valid_until


@pytest.mark.parametrize("mode", ["before", "after"])
def test_a_worker_may_die_while_it_forgives(web: Web, mode: Literal["before", "after"]) -> None:
    """Of a crawl that had nothing: what it has missed or removed is as before, whatever is repeated."""
    world = World(MemoryDynamoDB(), web.net)
    world.crawl()
    world.drain()
    web.paths.pop("/tea")
    world.crawl()
    world.drain()
    before = list(map(standing, world.documents.every(world.tenant, world.site.site_id)))
    assert sorted(misses for _, misses, *_ in before) == [0, 0, 1]
    web.paths = {"/robots.txt": web.paths["/robots.txt"]}
    at, has_died = 0, True
    while has_died:
        job = world.crawl()
        while len(world.queue.waiting) > 1 or world.job(job).status == "queued":
            world.deliver()
        has_died = False
        world.fuse.burn(at, mode)
        while world.queue.waiting and not has_died:
            has_died = not world.deliver(alight=True)
        world.fuse.at = None
        world.drain()
        world.check(job)
        done = world.job(job)
        assert (done.status, done.error, done.removed, done.reasons) == ("failed", "nothing_read", 0, {"missing": 3})
        assert list(map(standing, world.documents.every(world.tenant, world.site.site_id))) == before
        at += 2
    assert at > 20


def test_another_job_publishes_before_a_crawl_that_had_nothing_forgives(web: Web) -> None:
    """What it takes back is whole, and stands in the way of no publication."""
    world = World(MemoryDynamoDB(), web.net)
    world.crawl()
    world.drain()
    for path in ("/tea", "/tea?print=1"):
        web.paths.pop(path)
    world.crawl()
    world.drain()
    world.now += 2 * UNUSED_SECONDS
    web.paths = {"/robots.txt": web.paths["/robots.txt"]}
    job = world.crawl()
    while world.job(job).removed < 2:
        world.deliver()
    other = world.start(("Hours", "From ten to six."))
    while world.job(other).is_open:
        world.deliver(next(at for at, each in enumerate(world.queue.waiting) if each["job_id"] == other.job_id))
    assert world.job(other).status == "succeeded"
    world.drain()
    assert (world.job(job).error, world.job(job).removed) == ("nothing_read", 0)
    last = world.start(("Prices", "A cup is ten pounds."))
    world.drain()
    assert world.job(last).status == "succeeded"
    visible = world.visible()
    assert visible
    assert visible.find("Uji", 1)


def test_the_same_message_may_be_worked_off_between_any_two_calls(knowledge_table: Any, web: Web) -> None:
    """Of the page that leads to others: those are added once."""
    at, has_come = 0, True
    while has_come:
        world, came = World(knowledge_table, web.net), list[int]()
        job = world.crawl()
        world.deliver()
        message = dict(world.queue.waiting[0])

        def meanwhile(world: World = world, message: dict[str, Any] = message, came: list[int] = came) -> None:
            came.append(1)
            world.worker.work(message["tenant_id"], message["job_id"], message["what"], message["page"])
            if world.queue.waiting:
                world.deliver(len(world.queue.waiting) - 1)

        world.fuse.burn(at, "before")
        world.fuse.meanwhile = meanwhile
        assert world.deliver()
        has_come = bool(came)
        world.check(job)
        world.drain()
        is_true(world, job)
        at += 1
    assert at > 8


def test_a_page_that_is_named_twice_is_added_once_as_it_was_named_first(knowledge_table: Any, web: Web) -> None:
    world = World(knowledge_table, web.net)
    job = world.crawl()
    world.deliver()
    named = [JobPage(page_id(each), each, each, depth=depth) for depth, each in enumerate(("a", "b", "a"))]
    assert [(each.name, each.depth) for each in world.crawls.add_pages(job, named)] == [("a", 0), ("b", 1)]
    world.check(job)


@pytest.mark.parametrize(
    ("links", "room"), [(["/a", "/b"], MAX_VARIANTS + 1), (["/list?page=1", "/list?page=2"], 1_000)]
)
def test_bounds_hold_though_two_add_pages_at_once(knowledge_table: Any, web: Web, links: list[str], room: int) -> None:
    """There is room for one page more; and for one query more of a path."""
    one, other = ([JobPage(page_id(each), HOME + each[1:], each)] for each in links)
    at, has_come = 0, True
    while has_come:
        world, came = World(knowledge_table, web.net), list[int]()
        job = world.crawl(max_pages=room)
        world.deliver()
        known = [f"{HOME}list?page={number + 10}" for number in range(MAX_VARIANTS - 1)]
        world.crawls.add_pages(job, [JobPage(page_id(each), each, each) for each in known])

        def meanwhile(world: World = world, job: Job = job, came: list[int] = came) -> None:
            came.append(1)
            assert len(world.crawls.add_pages(job, other)) == 1

        world.fuse.burn(at, "before")
        world.fuse.meanwhile = meanwhile
        added = world.crawls.add_pages(job, one)
        world.fuse.meanwhile = world.fuse.at = None
        has_come = bool(came)
        assert len(added) == (not has_come), at
        world.check(job)
        assert (world.job(job).found, world.job(job).is_cut) == (MAX_VARIANTS + 1, links == ["/a", "/b"] and has_come)
        at += 1
    assert at > 3


STEPS = st.lists(
    st.tuples(
        st.sampled_from([*POSSIBLE, "text"]),
        st.integers(0, 60),
    ),
    max_size=30,
)


@given(STEPS)
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_in_whatever_order_things_happen(knowledge_table: Any, web: Web, steps: list[tuple[str, int]]) -> None:
    world = World(knowledge_table, web.net)
    job = world.crawl()
    others = list[Job]()
    for step, number in steps:
        if step == "text" and len(others) < 2:
            others.append(world.start((f"Hours {number}", f"Open until {number}")))
        world.happen(step, number, job)
        world.check(job)
    world.drain()
    world.check(job)
    if world.job(job).status == "cancelled":
        world.training.retry(world.tenant, job.job_id)
        world.drain()
    done = world.job(job)
    if done.status == "partial":  # a page has killed five workers
        assert done.reasons["gave_up"]
        world.training.retry(world.tenant, job.job_id)
        world.drain()
    assert all(world.job(each).status == "succeeded" for each in others)
    is_true(world, job)
