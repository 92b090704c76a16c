"""Whatever dies, comes twice, late or never: no chunk twice, true counters, a true end, one whole version in sight."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, settings
from hypothesis import given as hypothetically
from hypothesis import strategies as st

from noren.errors import Conflict, NotFound, Unprocessable
from noren.ids import TenantId, new_id
from noren.knowledge import publish, worker
from noren.knowledge.blobs import text_key
from noren.knowledge.engine import FileEngine, FileIndex
from noren.knowledge.inputs import Given
from noren.knowledge.messages import MOST_TRIES
from noren.knowledge.models import Job
from noren.knowledge.publishing import PUBLISHING_SECONDS
from noren.knowledge.worker import ASKED_AGAIN, IDLE_SECONDS
from noren.tenants.store import Refused
from tests.dynamodb import MemoryDynamoDB
from tests.unit.knowledge.training_world import POSSIBLE, WordEngine, World

OPEN = ("営業時間", "平日は十時から\n\n土曜は九時から")
PRICE = ("料金", "大人は千円 子供は五百円")


def test_texts_become_one_version_that_finds_them(world: World) -> None:
    job = world.start(OPEN, PRICE)
    assert (job.status, world.visible()) == ("queued", None)
    world.drain()
    done = world.job(job)
    assert (done.status, done.found, done.changed, done.failed, done.left) == ("succeeded", 2, 2, 0, 0)
    assert done.chunks == 2
    assert done.index_version == 1
    visible = world.visible()
    assert visible
    assert visible.find("大人は千円", 5) == [world.texts()["料金"].document_id]
    assert world.told == [(job.job_id, 1, "succeeded")]
    world.check(job)


def test_only_what_has_changed_is_learnt_again(world: World) -> None:
    world.start(OPEN, PRICE)
    world.drain()
    first = world.texts()
    job = world.start(OPEN, ("料金", "大人は二千円"))
    world.drain()
    done, now = world.job(job), world.texts()
    assert (done.changed, done.unchanged, done.chunks) == (1, 1, 1)
    assert now["営業時間"] == first["営業時間"]
    assert (now["料金"].version, now["料金"].document_id) == (2, first["料金"].document_id)
    visible = world.visible()
    assert visible
    assert visible.find("大人は千円", 5) == []
    assert visible.find("大人は二千円", 5)


def test_all_is_learnt_again_and_published_anew_on_demand_but_nothing_that_is_in_force(world: World) -> None:
    world.start(OPEN)
    world.drain()
    before = world.documents.pointer(world.tenant, world.site.site_id)
    assert before
    world.start(OPEN)
    world.drain()
    assert world.documents.pointer(world.tenant, world.site.site_id) == before
    world.bucket.put(before.key, b"damaged")
    job = world.start(OPEN, force=True)
    world.drain()
    assert (world.job(job).changed, world.job(job).status, world.job(job).index_version) == (1, "succeeded", 2)
    visible = world.visible()
    assert visible
    assert visible.find("平日は十時から", 1)


def test_a_forced_job_that_learns_nothing_publishes_nothing(world: World) -> None:
    versions = []
    for _ in range(2):
        job = world.start(("empty", " \n\n "), force=True)
        world.drain()
        assert world.job(job).skipped == 1
        versions.append(world.job(job).index_version)
        world.start(OPEN)
        world.drain()
    assert versions == [0, 1]


@pytest.mark.parametrize("version", ["FORMAT_VERSION", "ANALYSIS_VERSION"])
def test_an_index_that_a_new_release_can_not_read_is_replaced_at_the_next_training(
    world: World, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.start(OPEN)
    world.drain()
    monkeypatch.setattr(publish, version, 99)
    job = world.start(OPEN)
    world.drain()
    assert (world.job(job).unchanged, world.job(job).index_version) == (1, 2)


def test_questions_find_their_answers(world: World) -> None:
    pairs = [Given("Where are you ?", "In Hakone."), Given("Are dogs welcome ?", "Small ones.")]
    job = world.training.start(world.site, "qa", pairs, "user:1")
    world.drain()
    assert world.job(job).status == "succeeded"
    assert {each.kind for each in world.texts().values()} == {"qa"}
    with pytest.raises(Unprocessable):
        world.training.start(world.site, "qa", [pairs[0], pairs[0]], "user:1")


def test_files_are_learnt_by_name_and_told_apart_where_they_can_not_be_read(world: World) -> None:
    files = [
        ("料金.txt", "大人は千円です。".encode("shift_jis")),
        ("noise.pdf", b"%PDF-1.7 and no more"),
        ("a.bin", b"\0"),
    ]
    items = [Given("never.txt", upload_id=new_id("upl"))]
    for name, body in files:
        upload_id, form = world.training.upload(world.site)
        assert form["fields"]["key"].startswith(f"{world.tenant}/{world.site.site_id}/")
        world.bucket.put(form["fields"]["key"], body)
        items.append(Given(name, upload_id=upload_id))
    job = world.training.start(world.site, "files", items, "user:1")
    world.drain()
    done = world.job(job)
    assert (done.status, done.changed, done.failed) == ("partial", 1, 3)
    reasons = {each.name: each.reason for each in world.jobs.pages(done)}
    assert reasons == {"料金.txt": "", "noise.pdf": "broken", "a.bin": "unsupported", "never.txt": "input_missing"}
    assert [each.kind for each in world.texts().values()] == ["file"]


def test_a_foreign_upload_is_not_found(world: World, knowledge_table: Any) -> None:
    other = World(knowledge_table)
    upload_id, form = other.training.upload(other.site)
    world.bucket.put(form["fields"]["key"], b"a secret")
    job = world.training.start(world.site, "files", [Given("theirs.txt", upload_id=upload_id)], "user:1")
    world.drain()
    assert (world.job(job).status, world.texts()) == ("failed", {})


def test_a_text_without_words_is_skipped_with_its_reason(world: World) -> None:
    job = world.start(OPEN, ("empty", " \n\n "))
    world.drain()
    done = world.job(job)
    assert (done.status, done.changed, done.skipped) == ("succeeded", 1, 1)
    assert {each.reason for each in world.jobs.pages(done)} == {"", "no_text"}


def test_a_text_that_comes_to_no_chunk_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(MemoryDynamoDB())
    monkeypatch.setattr(worker, "measure", lambda _: (0, 0))
    job = world.start(OPEN)
    world.drain()
    assert (world.job(job).skipped, world.job(job).changed, world.texts()) == (1, 0, {})
    assert [each.reason for each in world.jobs.pages(world.job(job))] == ["no_text"]


class Blind(FileIndex):
    """Has everything, and finds nothing."""

    def find(self, question: str, most: int) -> list[str]:
        return []


class Blindable(FileEngine):
    """Makes real index files, of which `blind` ones find nothing."""

    blind = False

    def build(self, tenant_id: TenantId, site_id: str, version: int, documents: Any, vectors: Any) -> FileIndex:
        built = super().build(tenant_id, site_id, version, documents, vectors)
        return Blind(built.data, built.opened) if self.blind else built


@pytest.mark.parametrize("engine", [WordEngine, Blindable])
def test_an_index_that_finds_nothing_is_never_published(knowledge_table: Any, engine: Callable[[], Any]) -> None:
    world = World(knowledge_table, engine=engine())
    world.start(OPEN)
    world.drain()
    before = world.documents.pointer(world.tenant, world.site.site_id)
    assert before
    world.engine.blind = True
    job = world.start(PRICE)
    world.drain()
    assert (world.job(job).status, world.job(job).error) == ("failed", "self_test_failed")
    assert world.documents.pointer(world.tenant, world.site.site_id) == before
    world.engine.blind = False
    world.training.retry(world.tenant, job.job_id)
    world.drain()
    assert (world.job(job).status, world.job(job).attempt, world.job(job).error) == ("succeeded", 2, "")
    assert world.told[1:] == [(job.job_id, 1, "failed"), (job.job_id, 2, "succeeded")]


def test_a_question_of_small_words_alone_blocks_no_training() -> None:
    world = World(MemoryDynamoDB(), engine=FileEngine())
    for question in ("Who are you?", "Where is the bath?"):
        job = world.training.start(world.site, "qa", [Given(question, "An inn by the lake.")], "user:1")
        world.drain()
        assert (world.job(job).status, world.job(job).error) == ("succeeded", "")
    job = world.start(("Hours", "# "), ("Prices", "★"))
    world.drain()
    assert world.job(job).status == "succeeded"


def test_what_was_sent_in_is_gone_and_comes_back(world: World) -> None:
    job = world.start(OPEN)
    kept = dict(world.bucket.objects)
    world.bucket.objects.clear()
    world.drain()
    assert (world.job(job).status, world.job(job).error) == ("failed", "input_missing")
    world.bucket.objects.update(kept)
    world.training.retry(world.tenant, job.job_id)
    world.drain()
    assert world.job(job).status == "succeeded"
    with pytest.raises(Conflict):
        world.training.retry(world.tenant, job.job_id)


def test_a_cancelled_job_stops_where_it_is_and_can_go_on(world: World) -> None:
    job = world.start(OPEN, PRICE)
    world.deliver()
    world.deliver()
    assert world.training.cancel(world.tenant, job.job_id).status == "cancelled"
    with pytest.raises(Conflict):
        world.training.cancel(world.tenant, job.job_id)
    world.drain()
    stopped = world.job(job)
    assert (stopped.status, stopped.changed, stopped.left) == ("cancelled", 1, 1)
    assert world.visible() is None
    world.check(job)
    world.training.retry(world.tenant, job.job_id)
    world.drain()
    assert (world.job(job).status, world.job(job).changed) == ("succeeded", 2)
    world.check(job)


def test_a_page_that_kills_its_worker_is_given_up_alone(world: World) -> None:
    job = world.start(OPEN, PRICE)
    world.deliver()
    for _ in range(MOST_TRIES):
        world.fuse.burn(3, "before")  # each time after the attempt was counted
        assert not world.deliver()
        world.queue.waiting.insert(0, world.queue.waiting.pop())
    world.drain()
    done = world.job(job)
    assert (done.status, done.changed, done.failed) == ("partial", 1, 1)
    assert "gave_up" in {each.reason for each in world.jobs.pages(done)}


def test_a_publication_that_kills_its_worker_is_given_up(world: World) -> None:
    job = world.start(OPEN)
    world.deliver()
    world.deliver()
    for _ in range(MOST_TRIES):
        world.now += PUBLISHING_SECONDS + 1
        world.fuse.burn(3, "before")
        assert not world.deliver()
    world.now += PUBLISHING_SECONDS + 1
    world.drain()
    assert (world.job(job).status, world.job(job).error) == ("failed", "publishing_failed")
    world.training.retry(world.tenant, job.job_id)
    world.drain()
    assert world.job(job).status == "succeeded"


def test_a_deleted_document_is_gone_from_the_next_version_and_from_the_one_before(world: World) -> None:
    world.start(OPEN, PRICE)
    world.drain()
    document = world.texts()["料金"]
    old = world.documents.pointer(world.tenant, world.site.site_id)
    assert old
    job = world.training.delete_document(world.site, document.document_id, "user:1")
    world.drain()
    assert (world.job(job).status, world.job(job).removed) == ("succeeded", 1)
    visible = world.visible()
    assert visible
    assert visible.find("大人は千円", 5) == []
    assert not [key for key in world.bucket.objects if document.document_id in key or key == old.key]
    with pytest.raises(Conflict):
        world.training.roll_back(world.site)
    with pytest.raises(NotFound):
        world.training.delete_document(world.site, document.document_id, "user:1")
    world.training.delete_document(world.site, world.texts()["営業時間"].document_id, "user:1")
    world.drain()
    emptied = world.visible()
    assert emptied
    assert emptied.chunks == 0


def test_a_rollback_puts_the_version_before_in_force_and_can_be_undone(world: World) -> None:
    for text in ("一", "二", "三"):
        world.start(("店", text))
        world.drain()
    site = world.tenant, world.site.site_id
    third = world.documents.pointer(*site)
    back = world.training.roll_back(world.site)
    visible = world.visible()
    assert visible
    assert (visible.find("二", 1) != [], back.version) == (True, 4)
    again = world.training.roll_back(world.site)
    assert third
    assert (again.key, again.version) == (third.key, 5)
    assert len([key for key in world.bucket.objects if "/index/" in key]) == 2


def test_two_jobs_at_once_publish_both(world: World) -> None:
    one, two = world.start(OPEN), world.start(PRICE)
    while any(world.job(each).status != "publishing" for each in (one, two)):
        world.deliver(next(at for at, each in enumerate(world.queue.waiting) if each["what"] != "publish"))
    build, other = world.engine.build, [two]

    def overtaken(*given: Any) -> Any:
        if other:
            world.publisher.publish(other.pop())
        return build(*given)

    world.engine.build = overtaken  # type: ignore[method-assign]
    world.publisher.publish(world.job(one))
    assert (world.job(one).status, world.job(two).status) == ("succeeded", "succeeded")
    visible = world.visible()
    assert visible
    assert visible.find("大人は千円", 1)
    assert visible.find("平日は十時から", 1)


def test_another_tenant_finds_nothing(world: World) -> None:
    job = world.start(OPEN)
    world.drain()
    other = TenantId(new_id("ten"))
    with pytest.raises(NotFound):
        world.training.get(other, job.job_id)
    foreign = replace(world.site, tenant_id=other)
    assert world.training.documents(foreign, 10, None) == ([], None)
    assert world.documents.pointer(other, world.site.site_id) is None
    with pytest.raises(NotFound):
        world.training.document(foreign, world.texts()["営業時間"].document_id)
    world.worker.work(other, job.job_id, "plan")
    assert world.job(job).status == "succeeded"


def test_a_text_that_is_lost_holds_up_no_training_and_is_learnt_again(world: World) -> None:
    world.start(OPEN, PRICE)
    world.drain()
    world.bucket.delete([text_key(world.texts()[OPEN[0]])])
    for given, status in ((("店", "駅の前"), "gone"), (OPEN, "active")):
        job = world.start(given)
        world.drain()
        assert (world.job(job).status, world.job(job).changed) == ("succeeded", 1)
        assert world.texts()[OPEN[0]].status == status
    visible = world.visible()
    assert visible
    assert all(visible.find(each, 1) for each in (OPEN[0], PRICE[0]))


def test_a_document_that_is_learnt_anew_while_its_text_is_missed_stays(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.start(OPEN)
    world.drain()
    document = world.texts()[OPEN[0]]
    world.bucket.delete([text_key(document)])
    job = world.start(PRICE)
    read = world.publisher._text

    def learnt_anew(of: Any) -> bytes | None:
        text = read(of)
        if of == document and text is None and world.texts()[OPEN[0]].version == 1:
            again = world.start((OPEN[0], "平日は九時から"))
            while world.job(again).status != "publishing":
                world.deliver(next(at for at, each in enumerate(world.queue.waiting) if each["job_id"] == again.job_id))
        return text

    monkeypatch.setattr(world.publisher, "_text", learnt_anew)
    world.drain()
    assert world.job(job).status == "succeeded"
    assert (world.texts()[OPEN[0]].status, world.texts()[OPEN[0]].version) == ("active", 2)


def test_unused_texts_and_uploads_are_removed_in_time(world: World) -> None:
    world.start(("店", "一"))
    world.drain()
    world.now += 40 * 86400
    world.start(("店", "二"))
    world.drain()
    assert len([key for key in world.bucket.objects if "/docs/" in key]) == 1
    assert len([key for key in world.bucket.objects if "/uploads/" in key]) == 1


@pytest.mark.parametrize("mode", ["before", "after"])
def test_a_worker_may_die_at_any_call(knowledge_table: Any, mode: Literal["before", "after"]) -> None:
    at, has_died = 0, True
    while has_died:
        world = World(knowledge_table)
        job = world.start(PRICE)
        has_died = False
        world.fuse.burn(at, mode)
        while world.queue.waiting and not has_died:
            has_died = not world.deliver(alight=True)
        world.fuse.at = None
        world.check(job)
        world.drain()
        world.check(job)
        done = world.job(job)
        assert (done.status, done.changed, done.found, done.index_version) == ("succeeded", 1, 1, 1), at
        assert world.texts()["料金"].version == 1
        assert set(world.told) == {(job.job_id, 1, "succeeded")}
        at += 1
    assert at > 20


@pytest.mark.parametrize("what", ["plan", "page"])
def test_somebody_else_may_come_between_any_two_calls(knowledge_table: Any, what: str) -> None:
    """The same message again; and a job of another text from its start to its end."""
    at, has_come = 0, True
    while has_come:
        world = World(knowledge_table)
        job, came = world.start(PRICE), list[Job]()
        while world.queue.waiting[0]["what"] != what:
            world.deliver()
        message = world.queue.waiting[0]

        def meanwhile(world: World = world, message: dict[str, Any] = message, came: list[Job] = came) -> None:
            world.queue.waiting.append(message)
            came.append(world.start(OPEN))
            while world.queue.waiting:
                world.deliver()

        world.fuse.burn(at, "before")
        world.fuse.meanwhile = meanwhile
        assert world.deliver()
        world.drain()
        has_come = bool(came)
        for each in (job, *came):
            world.check(each)
            done = world.job(each)
            assert (done.status, done.changed, done.found) == ("succeeded", 1, 1), at
        visible = world.visible()
        assert visible
        assert all(visible.find(each, 1) for each in world.texts()), at
        assert {each.version for each in world.texts().values()} == {1}
        at += 1
    assert at > 5


STEPS = st.lists(
    st.tuples(
        st.sampled_from([*POSSIBLE, "more"]),
        st.integers(0, 30),
    ),
    max_size=25,
)


@hypothetically(STEPS)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_in_whatever_order_things_happen(knowledge_table: Any, steps: list[tuple[str, int]]) -> None:
    world = World(knowledge_table)
    jobs = [world.start(OPEN, PRICE)]
    for step, number in steps:
        if step == "more" and len(jobs) < 3:
            jobs.append(world.start(OPEN, (f"追加{number}", f"本文{number}")))
        world.happen(step, number, jobs[number % len(jobs)])
        for job in jobs:
            world.check(job)
    world.drain()
    for job in jobs:
        world.check(job)
        done = world.job(job)
        assert done.status in ("succeeded", "partial", "cancelled", "failed")
        if done.status == "succeeded":
            assert (done.changed + done.unchanged, done.left) == (2, 0)
    last = world.start(OPEN)
    world.drain()
    assert world.job(last).status == "succeeded"
    visible = world.visible()
    assert visible
    for document in world.texts().values():
        assert document.document_id in visible.find(document.title, 10)


def test_a_page_counts_once_though_two_work_on_it(knowledge_table: Any) -> None:
    """One ends it between any two calls of the other, while the job goes on with another page."""
    at, has_come = 0, True
    while has_come:
        world, came = World(knowledge_table), list[int]()
        job = world.start(OPEN, PRICE)
        world.deliver()
        message = dict(world.queue.waiting[0])

        def meanwhile(world: World = world, message: dict[str, Any] = message, came: list[int] = came) -> None:
            came.append(1)
            world.worker.work(message["tenant_id"], message["job_id"], message["what"], message["page"])

        world.fuse.burn(at, "before")
        world.fuse.meanwhile = meanwhile
        assert world.deliver()
        has_come = bool(came)
        world.check(job)
        now = world.job(job)
        assert (now.changed, now.unchanged, now.left) == (1, 0, 1), at
        at += 1
    assert at > 4


def test_a_publication_that_storage_interrupts_is_gone_on_with_when_its_message_comes_back() -> None:
    world = World(MemoryDynamoDB())
    job = world.start(OPEN)
    while world.queue.waiting[0]["what"] != "publish":
        world.deliver()
    put, world.bucket.put = world.bucket.put, refuse  # type: ignore[method-assign, assignment]
    with pytest.raises(OSError):
        world.deliver()
    world.bucket.put = put  # type: ignore[method-assign]
    world.publishing.work(job.tenant_id, job.job_id)
    assert (world.job(job).status, world.job(job).tries) == ("succeeded", 2)


def test_a_publication_whose_documents_do_not_stand_still_is_gone_on_with_when_its_message_comes_back() -> None:
    world = World(MemoryDynamoDB())
    job = world.start(OPEN)
    while world.queue.waiting[0]["what"] != "publish":
        world.deliver()
    kept = world.jobs.publish

    def overtaken(*_: Any, **__: Any) -> None:
        raise Refused((0,))

    world.jobs.publish = overtaken  # type: ignore[method-assign]
    with pytest.raises(RuntimeError):
        world.deliver(again=True)
    world.jobs.publish = kept  # type: ignore[method-assign]
    world.deliver()
    assert (world.job(job).status, world.job(job).tries) == ("succeeded", 2)


def refuse(*_: Any) -> None:
    raise OSError("storage is away")


def test_one_job_that_can_not_be_looked_after_holds_up_no_other() -> None:
    world = World(MemoryDynamoDB())
    jobs = [world.start(each) for each in (OPEN, PRICE)]
    world.queue.waiting.clear()
    world.now += IDLE_SECONDS + 1
    get = world.jobs.get
    broken = next(iter(world.unfinished()))[1]

    def breaking(tenant_id: TenantId, job_id: str) -> Job | None:
        if job_id == broken:
            raise OSError("storage is away")
        return get(tenant_id, job_id)

    world.jobs.get = breaking  # type: ignore[method-assign]
    world.sweep()
    assert [each["job_id"] for each in world.queue.waiting] == [each.job_id for each in jobs if each.job_id != broken]


def test_a_sweep_asks_for_some_pages_only() -> None:
    world = World(MemoryDynamoDB())
    world.start(*((f"title{number}", f"text{number}") for number in range(ASKED_AGAIN + 20)))
    world.deliver()
    assert len(world.queue.waiting) == ASKED_AGAIN + 20
    world.queue.waiting.clear()
    world.now += IDLE_SECONDS + 1
    world.sweep()
    assert len({each["page"] for each in world.queue.waiting}) == len(world.queue.waiting) == ASKED_AGAIN
    world.sweep()
    assert len(world.queue.waiting) == ASKED_AGAIN, "somebody has just asked"
    world.drain()
    assert len(world.texts()) == ASKED_AGAIN + 20


class Contended(MemoryDynamoDB):
    """Of which transactions hold an item for so many calls."""

    conflicts = 0

    def update_item(self, ReturnValues: str = "NONE", **options: Any) -> dict[str, Any]:
        if self.conflicts:
            self.conflicts -= 1
            raise ClientError({"Error": {"Code": "TransactionConflictException"}}, "UpdateItem")
        return super().update_item(ReturnValues, **options)


def test_a_job_that_all_write_to_can_be_stopped() -> None:
    client = Contended()
    world = World(client)
    job = world.start(OPEN)
    client.conflicts = 3
    assert world.training.cancel(world.tenant, job.job_id).status == "cancelled"
    assert client.conflicts == 0
