"""Two at work on one site, one call of storage at a time, in every order in which the second cuts into the first once:
one chain of versions, no document lost, each version whole, every job's end true.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from noren.errors import Conflict
from noren.knowledge.models import Job
from noren.knowledge.publishing import PUBLISHING_SECONDS
from tests.dynamodb import MemoryDynamoDB
from tests.unit.knowledge.training_world import World

OPEN = ("営業時間", "平日は十時から")
PRICE = ("料金", "大人は千円")
LIMIT = 20.0
"""Seconds after which somebody waits for ever."""

Act = Callable[[], None]


class Turns:
    """Lets one of two threads go on at a time: the first for so many calls, the second for so many, then the first."""

    def __init__(self, first: int, second: int) -> None:
        self._left = {"first": first, "second": second}
        self._ended: set[str] = set()
        self._order = self._turns()
        self._now = next(self._order)
        self._changed = threading.Condition()
        self.calls = {"first": 0, "second": 0}
        self.errors: list[BaseException] = []

    def _turns(self) -> Iterator[str]:
        yield from ("first", "second", "first", "second")

    def take(self) -> None:
        """Wait for the caller's turn, and use up one call of it."""
        me = threading.current_thread().name
        if me not in self._left:
            return
        with self._changed:
            if self._now == me and self._left[me] == 0:
                self._left[me] = -1  # the next turn lasts to the end
                self._pass_on()
            assert self._changed.wait_for(lambda: self._now == me, LIMIT), "nobody gives way"
            self._left[me] -= 1
            self.calls[me] += 1

    def _pass_on(self) -> None:
        for name in self._order:
            if name not in self._ended:
                self._now = name
                break
        self._changed.notify_all()

    def run(self, first: Act, second: Act) -> None:
        """Both to their ends."""
        threads = [threading.Thread(target=self._act, args=(act,), name=name) for act, name in
                   ((first, "first"), (second, "second"))]  # fmt: skip
        for each in threads:
            each.start()
        for each in threads:
            each.join(2 * LIMIT)
            assert not each.is_alive()
        if self.errors:
            raise self.errors[0]

    def _act(self, act: Act) -> None:
        try:
            self.take()
            act()
        except BaseException as error:
            self.errors.append(error)
        finally:
            with self._changed:
                self._ended.add(threading.current_thread().name)
                if self._now == threading.current_thread().name:
                    self._pass_on()


class Watched:
    """A world whose site is looked at ahead of every call."""

    def __init__(self, *, has_model: bool = True) -> None:
        client = MemoryDynamoDB()
        self.world = World(client)
        self.world.model.is_had = has_model
        self.plain = World(client).documents
        self.versions: list[int] = []
        self.turns = Turns(0, 0)
        self.world.fuse.before = self._look

    def race(self, at: int, stop: int, first: Act, second: Act) -> None:
        """Let the second begin after so many calls of the first, and stop after so many of its own."""
        self.turns = Turns(at, stop)
        self.turns.run(first, second)

    def _look(self) -> None:
        self.turns.take()
        pointer = self.plain.pointer(self.world.tenant, self.world.site.site_id)
        if pointer is None:
            return
        assert pointer.key in self.world.bucket.objects, "a version is whole while it is current"
        if not self.versions or self.versions[-1] != pointer.version:
            self.versions.append(pointer.version)

    def work_off(self, job: Job) -> None:
        """All messages of a job, but what the queue keeps back."""
        queue = self.world.queue.waiting
        while mine := next((each for each in queue if each["job_id"] == job.job_id and "delay" not in each), None):
            queue.remove(mine)
            self.world.work(mine)

    def to(self, job: Job, what: str) -> Job:
        """Work off the job's messages until such a one comes."""
        queue = self.world.queue.waiting
        while True:
            mine = next(each for each in queue if each["job_id"] == job.job_id)
            if mine["what"] == what:
                return self.world.job(job)
            queue.remove(mine)
            self.world.work(mine)

    def settle(self) -> None:
        """Nothing is left to do, and no version was ever skipped or taken back."""
        self.world.drain()
        self._look()
        assert self.versions == list(range(self.versions[0], self.versions[0] + len(self.versions)))

    def check(self, *jobs: Job) -> None:
        """What must be so in the end."""
        world = self.world
        self.settle()
        visible = world.visible()
        assert visible
        for document in world.texts().values():
            assert document.document_id in visible.find(document.title, 10), document.title
        pointer = self.plain.pointer(world.tenant, world.site.site_id)
        assert pointer
        assert pointer.documents == len(world.texts())
        for each in jobs:
            done = world.job(each)
            if each.kind != "refresh":
                world.check(done)
            assert done.status == "succeeded", done
            assert 1 <= done.index_version <= pointer.version
            assert [told for told in set(world.told) if told[0] == each.job_id] == [(each.job_id, 1, "succeeded")]
        indexes = {key for key in world.bucket.objects if "/index/" in key}
        kept = {pointer.key} | ({pointer.previous.key} if pointer.previous else set())
        assert kept <= indexes


WHOLE = 1_000_000
"""Calls: more than anybody makes."""


def places(run: Callable[[int, int], Turns], *, whole: bool = False) -> None:
    """Every place of the first at which the second begins, with a fifth of the places of the second at which it stops
    again (each fifth in turn); or with none, where it goes on to its end as a `whole`.
    """
    at = 0
    while True:
        stop = WHOLE if whole else 1 + at % 5
        while True:
            turns = run(at, stop)
            if turns.calls["second"] <= stop:
                break
            stop += 5
        if turns.calls["first"] <= at:
            assert at > 8
            return
        at += 1


@pytest.mark.parametrize("has_model", [False, True])
def test_two_publications_of_one_site(has_model: bool) -> None:
    """The second job's page is learnt while the first publishes: nobody's documents may be published over. With a model
    one waits for the other, from where it makes vectors.
    """

    def run(at: int, stop: int) -> Turns:
        watched = Watched(has_model=has_model)
        world = watched.world
        one, two = world.start(OPEN), world.start(PRICE)
        watched.to(one, "publish")
        watched.to(two, "page")
        watched.race(at, stop, lambda: watched.work_off(one), lambda: watched.work_off(two))
        watched.check(one, two)
        assert sorted(world.model.embedded) == (sorted((OPEN[1], PRICE[1])) if has_model else []), "none is paid twice"
        return watched.turns

    places(run)


def test_one_publication_by_two_workers() -> None:
    """A message that came twice, and another worker takes the first one for dead."""

    def run(at: int, stop: int) -> Turns:
        watched = Watched()
        world = watched.world
        job = watched.to(world.start(OPEN, PRICE), "publish")

        def again() -> None:
            world.now += PUBLISHING_SECONDS + 1
            world.publishing.work(job.tenant_id, job.job_id)

        watched.race(at, stop, lambda: watched.work_off(job), again)
        watched.check(job)
        assert watched.versions == [1]
        return watched.turns

    places(run, whole=True)


def test_a_document_is_deleted_while_a_job_publishes() -> None:
    def run(at: int, stop: int) -> Turns:
        watched = Watched()
        world = watched.world
        world.start(OPEN, PRICE)
        world.drain()
        job = watched.to(world.start(("店", "駅の前")), "publish")
        deleted = world.texts()["料金"].document_id
        refresh: list[Job] = []

        def delete() -> None:
            refresh.append(world.training.delete_document(world.site, deleted, "user:1"))
            watched.work_off(refresh[0])

        watched.race(at, stop, lambda: watched.work_off(job), delete)
        watched.check(job, *refresh)
        visible = world.visible()
        assert visible
        assert deleted not in visible.find(PRICE[1], 10)
        assert not [key for key in world.bucket.objects if deleted in key]
        with suppress(Conflict):
            world.training.roll_back(world.site)
        back = world.visible()
        assert back
        assert deleted not in back.find(PRICE[1], 10), "what was deleted does not come back"
        return watched.turns

    places(run)


def test_a_version_is_rolled_back_while_a_job_publishes() -> None:
    def run(at: int, stop: int) -> Turns:
        watched = Watched()
        world = watched.world
        for text in ("一", "二"):
            world.start(("店", text))
            world.drain()
        job = watched.to(world.start(OPEN), "publish")

        def roll_back() -> None:
            with suppress(Conflict):
                world.training.roll_back(world.site)

        watched.race(at, stop, lambda: watched.work_off(job), roll_back)
        watched.settle()
        assert world.job(job).status == "succeeded"
        return watched.turns

    places(run, whole=True)
