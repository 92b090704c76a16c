"""Vectors of a publication: made once for what is new, kept, counted exactly, never why a publication fails."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given as hypothetically
from hypothesis import settings
from hypothesis import strategies as st

from noren.errors import BadRequest, Busy, Conflict, Forbidden, RateLimited, UpstreamFailed
from noren.knowledge import publish
from noren.knowledge.blobs import text_key
from noren.knowledge.chunks import Chunk, cut
from noren.knowledge.messages import MOST_TRIES
from noren.knowledge.models import IndexPointer, Job
from noren.knowledge.site_vectors import (
    BUILDING_SECONDS,
    CROWDED_SECONDS,
    EMBEDDING_SECONDS,
    LEASE_SECONDS,
    PATIENT_TRIES,
    TAKEN_SECONDS,
    UNUSED_SECONDS,
)
from noren.knowledge.text import Extracted
from noren.knowledge.texts import unpacked
from noren.llm import embedder
from tests.dynamodb import MemoryDynamoDB
from tests.faults import Crash
from tests.unit.knowledge.training_world import World
from tests.unit.llm.vectors import SMALL

BATCH = 4
OPEN = ("営業時間", "平日は十時から")
PRICE = ("料金", "大人は千円")


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedder, "BATCH_TEXTS", BATCH)


@pytest.fixture
def world() -> World:
    made = World(MemoryDynamoDB())
    made.model.is_had = True
    return made


def pointer(world: World) -> IndexPointer:
    found = world.documents.pointer(world.tenant, world.site.site_id)
    assert found
    return found


def many(count: int) -> list[tuple[str, str]]:
    return [(f"title{number}", f"text{number}") for number in range(count)]


def packs(world: World) -> list[str]:
    return [key for key in world.bucket.objects if "/vectors/" in key]


def to_publishing(world: World, job: Job) -> Job:
    """Work off what comes before the publication."""
    while world.queue.waiting[0]["what"] != "publish":
        world.deliver()
    return world.job(job)


def test_only_what_is_new_is_embedded_and_the_bill_is_on_the_job(world: World) -> None:
    first = world.start(OPEN, PRICE)
    world.drain()
    done = world.job(first)
    assert (done.status, done.error) == ("succeeded", "")
    assert (done.embedded_chunks, done.embedding_tokens, done.cost_usd) == (2, 2, Decimal("0.0000004"))
    assert pointer(world).embedding_model == SMALL.id
    second = world.start(OPEN, ("料金", "大人は二千円"))
    world.drain()
    assert world.model.embedded[2:] == ["大人は二千円"]
    assert (world.job(second).embedded_chunks, world.job(second).cost_usd) == (1, Decimal("0.0000002"))


def test_what_two_documents_say_is_embedded_once(world: World) -> None:
    world.start(("a", "the same"), ("b", "the same"))
    world.drain()
    assert world.model.embedded == ["the same"]


def test_nothing_new_makes_no_call_and_no_version(world: World) -> None:
    world.start(OPEN)
    world.drain()
    before = pointer(world)
    job = world.start(OPEN)
    world.drain()
    assert (world.job(job).status, len(world.model.calls), pointer(world)) == ("succeeded", 1, before)


def test_on_demand_all_of_a_job_is_embedded_anew(world: World) -> None:
    world.start(OPEN, PRICE)
    world.drain()
    world.now += 60
    job = world.start(OPEN, force=True)
    world.drain()
    assert world.model.embedded[2:] == [OPEN[1]]
    assert (world.job(job).embedded_chunks, pointer(world).version) == (1, 2)


def test_a_plan_without_a_model_is_searched_by_words(world: World) -> None:
    world.model.is_had = False
    job = world.start(OPEN)
    world.drain()
    assert (world.job(job).status, pointer(world).embedding_model, packs(world)) == ("succeeded", "", [])
    world.model.is_had = True
    again = world.start(OPEN)
    world.drain()
    assert (world.job(again).embedded_chunks, pointer(world).embedding_model) == (1, SMALL.id)


def test_a_spent_quota_ends_the_job_where_it_is_and_the_rest_follows_on_demand(world: World) -> None:
    world.model.left = 2 * BATCH + 1
    job = world.start(*many(10))
    world.drain()
    done = world.job(job)
    assert (done.status, done.error, done.changed) == ("partial", "embedding_quota_spent", 10)
    assert (done.embedded_chunks, done.embedding_tokens) == (8, 8)
    assert (pointer(world).version, world.told) == (1, [(job.job_id, 1, "partial")])
    before = pointer(world)
    idle = world.start(("title1", "text1"))
    world.drain()
    assert (world.job(idle).status, pointer(world)) == ("partial", before), "the same is not published again"
    world.model.left = 1000
    world.training.retry(world.tenant, job.job_id)
    world.drain()
    done = world.job(job)
    assert (done.status, done.error, done.embedded_chunks, done.cost_usd) == ("succeeded", "", 10, Decimal("0.000002"))
    assert len(set(world.model.embedded)) == len(world.model.embedded) == 10


@pytest.mark.parametrize("fault", [Busy(retry_after=7), RateLimited(retry_after=90), UpstreamFailed()])
def test_a_model_that_is_away_is_asked_again_and_no_batch_is_lost(world: World, fault: Exception) -> None:
    world.model.faults = [None, fault, None, fault, None]
    job = world.start(*many(10))
    world.drain()
    done = world.job(job)
    assert (done.status, done.embedded_chunks) == ("succeeded", 10)
    assert len(world.model.embedded) == 10


def test_a_batch_waits_its_turn_while_visitors_chat(world: World) -> None:
    world.model.faults = [RateLimited(retry_after=2)] * 5
    job = world.start(OPEN)
    job = to_publishing(world, job)
    before = world.now
    world.deliver()
    assert (world.job(job).status, world.now - before) == ("succeeded", 5 * CROWDED_SECONDS)


def test_the_queue_keeps_it_back_while_the_model_is_away(world: World) -> None:
    delays: list[int] = []
    send = world.queue.send

    def noted(message: dict[str, Any], *, delay: int = 0) -> None:
        delays.append(delay)
        send(message, delay=delay)

    world.queue.send = noted  # type: ignore[method-assign]
    world.model.faults = [Busy(retry_after=7), RateLimited(retry_after=90), None]
    world.start(OPEN)
    world.drain()
    assert delays[-2:] == [60, 90]


def test_a_model_that_stays_away_is_gone_on_without(world: World) -> None:
    world.model.faults = [UpstreamFailed()] * PATIENT_TRIES
    job = world.start(OPEN)
    world.drain()
    assert (world.job(job).status, world.job(job).error) == ("partial", "embedding_unavailable")
    assert pointer(world).version == 1
    world.training.retry(world.tenant, job.job_id)
    world.drain()
    assert (world.job(job).status, pointer(world).embedding_model) == ("succeeded", SMALL.id)


@pytest.mark.parametrize("fault", [BadRequest(code="input_refused"), Forbidden(code="site_disabled")])
def test_what_the_model_does_not_take_is_found_by_words(world: World, fault: Exception) -> None:
    world.model.faults = [fault]
    job = world.start(OPEN)
    world.drain()
    assert (world.job(job).status, world.job(job).error) == ("partial", "embedding_refused")
    assert pointer(world).version == 1


def test_a_large_site_goes_on_in_a_fresh_function_as_often_as_it_must(world: World) -> None:
    world.model.seconds = EMBEDDING_SECONDS / 2 + 1
    job = world.start(*many(58))
    world.drain()
    done = world.job(job)
    assert (done.status, done.embedded_chunks, len(world.model.calls)) == ("succeeded", 58, 15)
    assert MOST_TRIES < 15 / 2, "each function makes two batches: tries that came on are not counted"


@pytest.mark.parametrize("seconds", [BUILDING_SECONDS, EMBEDDING_SECONDS])
def test_a_site_that_takes_long_to_read_comes_through(
    world: World, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(text: Extracted) -> list[Chunk]:
        world.now += seconds / 10 + 1
        return cut(text)

    monkeypatch.setattr(publish, "cut", slow)
    job = world.start(*many(10))
    world.drain()
    done = world.job(job)
    assert (done.status, done.error, done.embedded_chunks) == ("succeeded", "", 10)
    assert len(world.model.embedded) == 10
    again = world.training.delete_document(world.site, next(iter(world.texts().values())).document_id, "user:1")
    world.drain()
    assert (world.job(again).status, world.job(again).tries) == ("succeeded", 1)


def test_two_publications_of_a_site_never_pay_for_the_same_text(world: World) -> None:
    first = to_publishing(world, world.start(*many(6)))
    second: list[Job] = []

    def meanwhile() -> None:
        if second:
            return
        second.append(world.start(("more", "others")))
        for _ in range(2 * MOST_TRIES):
            at = next((at for at, each in enumerate(world.queue.waiting) if each["job_id"] == second[0].job_id), None)
            if at is not None:
                world.deliver(at)

    world.model.after = meanwhile
    world.deliver()
    assert (world.job(second[0]).status, world.job(second[0]).tries) == ("publishing", 1), "waiting is no try"
    world.drain()
    jobs = world.job(first), world.job(second[0])
    assert {each.status for each in jobs} == {"succeeded"}
    assert Counter(world.model.embedded) == Counter([*(text for _, text in many(6)), "others"])
    assert sum(each.embedded_chunks for each in jobs) == 7


def test_a_dead_publication_keeps_nobody_off_for_long(world: World) -> None:
    to_publishing(world, world.start(*many(6)))

    def die() -> None:
        world.fuse.burn(0, "before")
        raise Crash

    world.model.after = die
    assert not world.deliver()
    world.model.after = lambda: None
    world.queue.waiting.clear()
    job = to_publishing(world, world.start(PRICE))
    begun = world.now
    while world.job(job).is_open:
        world.deliver()
    assert world.job(job).status == "succeeded"
    assert 0 < world.now - begun <= LEASE_SECONDS + TAKEN_SECONDS


def test_a_publication_that_never_comes_on_is_given_up(world: World) -> None:
    def die() -> None:
        raise Crash

    world.model.after = die
    job = world.start(OPEN)
    to_publishing(world, job)
    for _ in range(MOST_TRIES):
        assert not world.deliver()
        world.now += 301
    world.drain()
    assert (world.job(job).status, world.job(job).error) == ("failed", "publishing_failed")


def test_a_cancelled_job_buys_no_more(world: World) -> None:
    job = world.start(*many(10))
    to_publishing(world, job)

    def cancel() -> None:
        world.training.cancel(world.tenant, job.job_id)

    world.model.after = cancel
    world.deliver()
    done = world.job(job)
    assert (done.status, done.embedded_chunks, len(world.model.calls)) == ("cancelled", 4, 1)
    assert world.documents.pointer(world.tenant, world.site.site_id) is None


@pytest.mark.parametrize("mode", ["before", "after"])
def test_whoever_dies_at_any_call_loses_one_batch_at_most(mode: Any) -> None:
    at, has_died = 0, True
    while has_died:
        world = World(MemoryDynamoDB())
        world.model.is_had = True
        job = world.start(*many(6))
        to_publishing(world, job)
        world.fuse.burn(at, mode)
        has_died = not world.deliver()
        world.drain()
        done = world.job(job)
        assert (done.status, pointer(world).version, set(world.told)) == (
            "succeeded",
            1,
            {(job.job_id, 1, "succeeded")},
        ), at
        calls = [len(each) for each in world.model.calls]
        assert sorted(calls) in ([2, 4], [2, 4, 4], [2, 2, 4]), at
        at += 1
    assert at > 10


def test_vectors_of_what_is_deleted_go_at_once_and_of_what_was_replaced_in_time(world: World) -> None:
    world.start(OPEN, PRICE)
    world.drain()
    kept = world.bucket.objects[packs(world)[0]][0]
    world.training.delete_document(world.site, world.texts()["料金"].document_id, "user:1")
    world.drain()
    assert len(world.bucket.objects[packs(world)[0]][0]) < len(kept)
    world.start(("営業時間", "毎日十時から"))
    world.drain()
    assert len(packs(world)) == 2
    world.now += 2 * UNUSED_SECONDS
    world.start(PRICE)
    world.drain()
    assert len(packs(world)) == 2, "one of today and one of what was kept"
    world.start(OPEN)
    world.drain()
    assert world.model.embedded.count(OPEN[1]) == 2


def test_another_model_makes_its_own_vectors(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from tests.unit.knowledge import training_world

    world.start(OPEN)
    world.drain()
    monkeypatch.setattr(training_world, "SMALL", replace(SMALL, id="large", model="text-embedding-3-large"))
    job = world.start(OPEN)
    world.drain()
    assert (world.job(job).embedded_chunks, pointer(world).embedding_model) == (1, "large")


def test_another_site_of_the_tenant_has_vectors_of_its_own(world: World) -> None:
    prefixes: list[str] = []
    listed: Callable[[str], Any] = world.bucket.listed

    def noted(prefix: str) -> Any:
        prefixes.append(prefix)
        return listed(prefix)

    world.bucket.listed = noted  # type: ignore[method-assign]
    world.start(OPEN)
    world.drain()
    assert prefixes
    assert all(each.startswith(f"{world.tenant}/{world.site.site_id}/") for each in prefixes)


def test_the_table_itself_takes_what_is_written(knowledge_table: Any) -> None:
    world = World(knowledge_table)
    world.model.is_had, world.model.left = True, 5
    world.model.faults = [Busy(retry_after=1), None]
    job = world.start(*many(6))
    world.drain()
    done = world.job(job)
    assert (done.status, done.error) == ("partial", "embedding_quota_spent")
    assert (done.embedded_chunks, done.embedding_tokens, done.cost_usd) == (4, 4, Decimal("0.0000008"))


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["deliver", "twice", "drop", "die", "sweep", "cancel", "retry", "more", "away", "spend", "buy"]
        ),
        st.integers(0, 40),
    ),
    max_size=30,
)


@hypothetically(STEPS)
@settings(max_examples=30, deadline=None)
def test_in_whatever_order_things_happen_no_text_is_paid_for_twice(steps: list[tuple[str, int]]) -> None:
    world = World(MemoryDynamoDB())
    world.model.is_had = True
    jobs, deaths = [world.start(*many(6))], 0
    for step, number in steps:
        waiting = len(world.queue.waiting)
        if step in ("deliver", "twice", "die") and waiting:
            if step == "die":
                world.fuse.burn(number, "after")
            deaths += not world.deliver(number % waiting, again=step == "twice")
        elif step == "drop" and waiting:
            world.queue.waiting.pop(number % waiting)
        elif step == "sweep":
            world.now += 700
            world.sweep()
        elif step == "more" and len(jobs) < 4:
            jobs.append(world.start(*many(3), (f"more{number}", f"other{number}")))
        elif step == "away":
            world.model.faults.append(Busy(retry_after=1))
        elif step == "spend":
            world.model.left = number % 5
        elif step == "buy":
            world.model.left = 1_000
        elif step in ("cancel", "retry"):
            act = world.training.cancel if step == "cancel" else world.training.retry
            with suppress(Conflict):
                act(world.tenant, jobs[number % len(jobs)].job_id)
    world.model.left, world.model.faults = 1_000, []
    world.drain()
    last = world.start(OPEN)
    world.drain()
    assert (world.job(last).status, world.job(last).error) == ("succeeded", "")
    times = Counter(world.model.embedded)
    assert {each.embedded for each in chunks_of(world)} <= set(times)
    assert sum(times.values()) - len(times) <= BATCH * deaths
    counted = sum(world.job(each).embedded_chunks for each in (*jobs, last))
    assert sum(times.values()) - BATCH * deaths <= counted <= sum(times.values())
    assert pointer(world).embedding_model == SMALL.id


def chunks_of(world: World) -> list[Chunk]:
    """All that the site's documents say."""
    texts = (unpacked(world.bucket.get(text_key(each))) for each in world.texts().values())
    return [chunk for text in texts for chunk in cut(text)]
