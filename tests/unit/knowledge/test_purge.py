"""Of a site that is removed for good nothing is left anywhere, and nothing of any other is touched."""

from __future__ import annotations

import copy
from typing import Any, Literal, cast

import pytest

from noren.ids import new_id
from noren.knowledge.models import Schedule
from noren.knowledge.purge import KnowledgePurge
from noren.knowledge.purge_store import KnowledgePurgeStore
from noren.knowledge.schedule_store import ScheduleStore
from noren.knowledge.vector_indexes import VectorIndexes, name_of, prefix_of
from tests.dynamodb import MemoryDynamoDB
from tests.faults import Crash
from tests.unit.knowledge.s3_vectors import S3Vectors
from tests.unit.knowledge.training_world import NOW, Fuse, World


class Estate:
    """Two sites of one tenant and a neighbour's, each trained, with a schedule and an index of vectors."""

    def __init__(self) -> None:
        self.client = cast(Any, MemoryDynamoDB())
        self.service, self.fuse = S3Vectors(), Fuse()
        self.indexes = VectorIndexes(self.service.bucket, patient=True)
        self.indexes.__dict__["_client"] = self.service.client()  # made when first needed, in its stead
        self.schedules = ScheduleStore(self.client, "knowledge")
        self.ours, self.theirs = World(self.client), World(self.client)
        self.other = World(self.client, tenant=self.ours.tenant)
        for world in (self.ours, self.other, self.theirs):
            self._train(world)
        store = KnowledgePurgeStore(self.fuse.wrap(self.client), "knowledge", self.schedules)
        self.purge = KnowledgePurge(store, self.fuse.wrap(self.ours.bucket), self.indexes)

    def _train(self, world: World) -> None:
        world.model.is_had = True
        for count in range(2):
            world.start(*((f"title{each}", f"text{each}") for each in range(20 * count, 20 * count + 30)))
            world.drain()
        world.start(("one more", "that is under way"))
        world.deliver()
        where = world.tenant, world.site.site_id
        pointer = world.documents.pointer(*where)
        assert pointer
        self.indexes.create(name_of(*where, pointer.key), 3)
        schedule = Schedule(new_id("sch"), *where, "https://a.example", "daily", 1, 1, (), (), NOW, "user:1", NOW)
        self.client.transact_write_items(TransactItems=self.schedules.making(schedule))

    def remove(self) -> None:
        self.purge.remove(self.ours.tenant, self.ours.site.site_id)

    def left(self) -> list[Any]:
        """What is left of our site: rows, and what no row of it leads to."""
        site_id = self.ours.site.site_id
        rows = [place for place, item in self.client.items.items() if site_id in str(item)]
        prefix = prefix_of(self.ours.tenant, site_id)
        return [*rows, *self.ours.bucket.objects, *(each for each in self.service.indexes if each.startswith(prefix))]

    def others(self) -> list[Any]:
        """All that is the others'."""
        sites = self.other.site.site_id, self.theirs.site.site_id
        rows = [item for item in self.client.items.values() if any(each in str(item) for each in sites)]
        pages = [place for place in self.client.items if "JOBP#" in place[1]]
        return [rows, len(pages), self.other.bucket.objects, self.theirs.bucket.objects]


@pytest.fixture
def estate() -> Estate:
    return Estate()


def test_all_of_a_site_goes_and_nothing_else(estate: Estate) -> None:
    rows, pages, *objects = copy.deepcopy(estate.others())
    assert len(estate.left()) > 60
    estate.remove()
    assert estate.left() == []
    now_rows, now_pages, *now_objects = estate.others()
    assert (now_rows, now_objects) == (rows, objects)
    assert now_pages * 3 == pages * 2, "a job's pages name no site"
    assert len(estate.service.indexes) == 2
    estate.remove()


@pytest.mark.parametrize("mode", ["before", "after"])
def test_whoever_dies_in_between_leaves_what_the_next_finds(estate: Estate, mode: Literal["before", "after"]) -> None:
    pages = estate.others()[1]
    at = 0
    while True:
        estate.fuse.burn(at, mode)
        try:
            estate.remove()
            break
        except Crash:
            at += 1
        finally:
            estate.fuse.at = None
    assert estate.left() == []
    assert estate.others()[1] * 3 == pages * 2
