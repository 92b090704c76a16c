"""A site on this machine, crawled again and again: what is asked for, learnt, missed, and told of each page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from noren.knowledge.models import Job
from tests.unit.fetching.net import Net
from tests.unit.knowledge.training_world import World
from tests.unit.knowledge.web import HOME, Web

SHOP = "Welcome to a shop for tea and what belongs to it, since 1923. " * 4
TEA = "Our green tea is grown in Uji and shipped within two days. " * 4
CUP = "A cup of white porcelain from Arita, made by hand, holds a quarter of a litre. " * 4
HELP = "Orders can be returned within thirty days if the parcel has not been opened. " * 4


@pytest.fixture
def net() -> Iterator[Net]:
    made = Net()
    yield made
    made.close()


@pytest.fixture
def web(net: Net) -> Web:
    made = Web(net)
    made.put(
        "/", "Shop", "Welcome to a shop for tea and what belongs to it, since 1923. " * 4, ["/tea", "/cup", "/help/"]
    )
    made.put("/tea", "Tea", TEA, ["/"])
    made.put("/cup", "Cup", CUP, ["/"])
    made.put("/help/", "Help", HELP, ["/help/returns"])
    made.put("/help/returns", "Returns", HELP.replace("thirty", "sixty") + "Write to us first. " * 9)
    return made


@pytest.fixture
def world(knowledge_table: Any, net: Net, web: Web) -> World:
    return World(knowledge_table, net)


def crawled(world: World, **options: Any) -> Job:
    job = world.crawl(**options)
    world.drain()
    world.check(job)
    return world.job(job)


def told(world: World, job: Job) -> dict[str, tuple[str, str]]:
    """What became of each page, by its path."""
    return {"/" + each.name.removeprefix(HOME): (each.status, each.reason) for each in world.jobs.pages(job)}


def counts(job: Job) -> tuple[int, ...]:
    return job.found, job.changed, job.unchanged, job.removed, job.failed, job.skipped


def test_a_site_is_read_from_its_start(world: World, web: Web) -> None:
    job = crawled(world)
    assert (job.status, job.mode, counts(job)) == ("succeeded", "full", (5, 5, 0, 0, 0, 0))
    assert set(told(world, job)) == {"/", "/tea", "/cup", "/help/", "/help/returns"}
    assert web.asked["/tea"] == web.asked["/robots.txt"] == 1
    visible = world.visible()
    assert visible
    assert visible.find("porcelain from Arita", 1) == [world.texts()["Cup"].document_id]
    assert world.site.domains == ("shop.example",)
