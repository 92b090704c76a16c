"""The contract of search engines, kept by both: what was published is found, by its own site alone, one whole version
at a time, and what no version needs is removed.
"""

from __future__ import annotations

import math
import random
import re
from dataclasses import replace
from typing import Any

import pytest

from noren.knowledge import s3_vectors, vector_indexes
from noren.knowledge.engine import FileEngine
from noren.knowledge.index_cache import IndexFiles
from noren.knowledge.models import IndexEngine, IndexPointer
from noren.knowledge.publish import Engine, Publisher
from noren.knowledge.retrieval import Searcher
from noren.knowledge.s3_searcher import S3VectorsSearcher
from noren.knowledge.s3_vectors import MOVING_SECONDS, S3VectorsEngine
from noren.knowledge.search import Findings
from noren.knowledge.vector_indexes import PUT_NUMBERS, VectorIndexes, at_once, name_of, prefix_of
from noren.settings import Settings
from noren.sites.models import Site
from noren.wiring import Services
from tests.dynamodb import MemoryDynamoDB
from tests.unit.knowledge.indexes import Pointers, a_site
from tests.unit.knowledge.s3_vectors import MOST_BYTES, MOST_VECTORS, Refusal, S3Vectors
from tests.unit.knowledge.training_world import POOL, World

PAGES = 40


def meaning(text: str) -> list[float]:
    """Pages and titles by their number, a question by the number it has in words."""
    words = re.match(r"\D*(\d+)", text)
    about = int(words[1]) if words else 0
    drawn, own = random.Random(about), random.Random(text)
    return [drawn.gauss(0, 1) + 0.3 * own.gauss(0, 1) for _ in range(64)]


def pages() -> list[tuple[str, str]]:
    """No page shares a word with its title."""
    return [(f"thing{number}", f"secret{number} is told here.") for number in range(PAGES)]


class Place:
    """Where an engine publishes and its searcher finds; any number of sites."""

    def __init__(self, kind: IndexEngine) -> None:
        self.kind, self.service = kind, S3Vectors()
        self.indexes = VectorIndexes(self.service.bucket, patient=True)
        self.indexes.__dict__["_client"] = self.service.client()  # made when first needed, in its stead
        self.now = 0.0
        remote = S3VectorsEngine(self.indexes, lambda: self.now, 10)
        self.engine: Engine = remote if kind == "s3_vectors" else FileEngine()
        self.client = MemoryDynamoDB()

    def site(self) -> Published:
        return Published(self)


class Published:
    """A site's world, with the engine and its searcher."""

    def __init__(self, place: Place) -> None:
        self.place, self.world = place, World(place.client)
        world = self.world
        world.model.is_had, world.model.meaning = True, meaning
        vectors = world.publisher._vectors
        stores = world.jobs, world.documents, world.bucket
        world.publishing._publisher = Publisher(*stores, place.engine, vectors, POOL, world.clock)
        files = IndexFiles(world.bucket, world.clock)
        self.searchers: dict[str, Searcher] = {"file": files, "s3_vectors": S3VectorsSearcher(files, place.indexes)}

    @property
    def site(self) -> Site:
        return self.world.site

    @property
    def pointer(self) -> IndexPointer:
        found = self.world.documents.pointer(self.world.tenant, self.site.site_id)
        assert found
        return found

    def train(self, *texts: tuple[str, str]) -> IndexPointer:
        job = self.world.start(*texts)
        self.world.drain()
        assert self.world.job(job).status == "succeeded"
        return self.pointer

    def ask(self, question: str, vector: list[float] | None = None, pointer: IndexPointer | None = None) -> Findings:
        pointer = pointer or self.pointer
        return self.searchers[pointer.engine].search(self.site, pointer, question, 5, vector)


@pytest.fixture(params=["file", "s3_vectors"])
def place(request: pytest.FixtureRequest) -> Place:
    return Place(request.param)


def said(findings: Findings) -> list[str]:
    return [hit.passage.text for hit in findings.hits]


def test_what_was_published_is_found_by_words_and_by_meaning(place: Place) -> None:
    shop = place.site()
    pointer = shop.train(*pages())
    assert (pointer.engine, pointer.embedding_model, pointer.chunks) == (place.kind, "embedding_3_small", PAGES)
    (job, *_), _ = shop.world.jobs.some(shop.world.tenant, None, 1, None)
    assert (job.embedded_chunks, job.embedding_tokens) == (PAGES, 2 * PAGES), "headings are paid, but no chunks"
    assert said(shop.ask("secret7"))[0] == "secret7 is told here."
    like = said(shop.ask("what is seven about?", meaning("seven 7")))
    assert like[0] == "secret7 is told here."
    assert said(shop.ask("what is seven about?")) == []


def test_another_site_is_never_reached(place: Place) -> None:
    ours, theirs = place.site(), place.site()
    theirs.train(*pages())
    ours.train(*((f"our {title}", f"ours: {text}") for title, text in pages()))
    for number in range(0, PAGES, 7):
        found = said(ours.ask("", meaning(f"{number}"))) + said(ours.ask(f"secret{number}"))
        assert found
        assert all(each.startswith("ours: ") for each in found)
    names = {name_of(each.world.tenant, each.site.site_id, each.pointer.key) for each in (ours, theirs)}
    if place.kind == "s3_vectors":
        assert set(place.service.indexes) == names
    same = prefix_of(ours.world.tenant, ours.site.site_id), prefix_of(theirs.world.tenant, ours.site.site_id)
    assert same[0] != same[1], "a site's id alone leads nowhere"


def test_a_version_is_found_whole_until_the_one_after_the_next_is_current(place: Place) -> None:
    shop = place.site()
    first = shop.train(*pages())
    second = shop.train(("thing7", "secret7 has moved."))
    for pointer, text in ((first, "secret7 is told here."), (second, "secret7 has moved.")):
        assert said(shop.ask("about seven", meaning("seven 7"), pointer))[0] == text
        assert said(shop.ask("secret7", None, pointer))[0] == text
    third = shop.train(("thing7", "secret7 has moved on."))
    assert said(shop.ask("about seven", meaning("seven 7")))[0] == "secret7 has moved on."
    keys = [key for key in shop.world.bucket.objects if "/index/" in key]
    assert sorted(keys) == sorted([second.key, third.key])
    where = shop.world.tenant, shop.site.site_id
    if place.kind == "s3_vectors":
        assert set(place.service.indexes) == {name_of(*where, each.key) for each in (second, third)}
    back = shop.world.training.roll_back(shop.world.site)
    assert said(shop.ask("about seven", meaning("seven 7"), back))[0] == "secret7 has moved."


def test_a_small_site_and_one_without_vectors_are_served_from_their_files(place: Place) -> None:
    shop = place.site()
    assert shop.train(*pages()[:10]).engine == "file"
    plain = place.site()
    plain.world.model.is_had = False
    assert (plain.train(*pages()).engine, plain.pointer.embedding_model) == ("file", "")
    assert place.service.indexes == {}
    assert said(plain.ask("secret7", meaning("7")))[0] == "secret7 is told here."


# -- what only S3 Vectors has


@pytest.fixture
def remote() -> Published:
    return Place("s3_vectors").site()


def test_the_file_holds_no_vectors_and_is_asked_alone_where_the_service_is_away(remote: Published) -> None:
    pointer = remote.train(*pages())
    plain = Place("file").site()
    plain.train(*pages())
    assert len(remote.world.bucket.get(pointer.key)) < len(plain.world.bucket.get(plain.pointer.key)) - 64 * PAGES
    remote.place.service.faults["QueryVectors"] = Refusal("AccessDeniedException", 403)
    assert said(remote.ask("secret7", meaning("7")))[0] == "secret7 is told here."


def test_vectors_come_back_as_they_were(remote: Published) -> None:
    pointer = remote.train(*pages())
    (name,) = remote.place.service.indexes
    assert name == name_of(remote.world.tenant, remote.site.site_id, pointer.key)
    near = remote.place.indexes.nearest(name, meaning("7"), 1_000)
    assert list(near.values()) == sorted(near.values(), reverse=True)
    assert len(near) == PAGES
    best = next(iter(near.values()))
    assert best == pytest.approx(1 / math.sqrt(1.09 * 1.09), abs=0.15)


@pytest.mark.parametrize("operation", ["CreateIndex", "PutVectors", "QueryVectors"])
def test_where_vectors_can_not_be_moved_they_stay_in_the_file(remote: Published, operation: str) -> None:
    remote.place.service.faults[operation] = Refusal("ServiceQuotaExceededException", 402)
    assert remote.train(*pages()).engine == "file"
    assert said(remote.ask("about seven", meaning("seven 7")))[0] == "secret7 is told here."
    remote.place.service.faults.clear()
    assert remote.train(("thing7", "secret7 has moved.")).engine == "s3_vectors"
    assert len(remote.place.service.indexes) == 1, "what was left half is removed"


@pytest.mark.parametrize("kind", ["file", "s3_vectors"])
def test_a_file_that_no_chat_could_hold_goes_without_vectors(
    kind: IndexEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(kind)
    if kind == "file":
        place.engine = FileEngine(most_bytes=1000)
    else:
        monkeypatch.setattr(s3_vectors, "MOST_BYTES", 1000)
        place.service.faults["CreateIndex"] = Refusal("AccessDeniedException", 403)
    shop = place.site()
    shop.train(*pages())
    assert (shop.pointer.engine, shop.pointer.embedding_model, shop.pointer.chunks) == ("file", "", PAGES)
    assert said(shop.ask("secret7"))[0] == "secret7 is told here."


def test_an_index_that_lost_vectors_is_not_used(remote: Published) -> None:
    def forgetful(given: dict[str, Any]) -> dict[str, Any]:
        index = remote.place.service._index(given)
        index["vectors"].update({each["key"]: each["data"]["float32"] for each in given["vectors"][1::2]})
        return {}

    remote.place.service.PutVectors = forgetful  # type: ignore[method-assign]
    assert remote.train(*pages()).engine == "file"


def test_what_one_function_has_no_time_for_the_next_goes_on_with(
    remote: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vector_indexes, "PUT_VECTORS", 3)
    put = remote.place.service.PutVectors

    def slow(given: dict[str, Any]) -> dict[str, Any]:
        remote.place.now += MOVING_SECONDS
        return put(given)

    remote.place.service.PutVectors = slow  # type: ignore[method-assign]
    pointer = remote.train(*pages())
    calls = remote.place.service.calls
    assert (pointer.engine, calls.count("PutVectors"), calls.count("CreateIndex")) == ("s3_vectors", 14, 7)
    (index,) = remote.place.service.indexes.values()
    assert len(index["vectors"]) == PAGES


def test_who_never_comes_to_moving_a_vector_is_given_up(remote: Published) -> None:
    create = remote.place.service.CreateIndex

    def slow(given: dict[str, Any]) -> dict[str, Any]:
        remote.place.now += MOVING_SECONDS + 1
        return create(given)

    remote.place.service.CreateIndex = slow  # type: ignore[method-assign]
    job = remote.world.start(*pages())
    remote.world.drain()
    assert (remote.world.job(job).status, remote.world.job(job).error) == ("failed", "publishing_failed")


def test_requests_keep_the_services_limits(remote: Published) -> None:
    indexes, service = remote.place.indexes, remote.place.service
    indexes.create("many", 3)
    indexes.put("many", [(chunk, (1, 2, -3)) for chunk in range(at_once(3))])
    assert len(service.indexes["many"]["vectors"]) == MOST_VECTORS
    assert len("-127, ") * PUT_NUMBERS < 0.9 * MOST_BYTES
    assert at_once(4_096) == PUT_NUMBERS // 4_096 < MOST_VECTORS == at_once(1_536)
    indexes.create("many-wide", 4_096)
    indexes.create("other", 3)
    service.page = 1
    assert list(indexes.listed("many")) == ["many", "many-wide"]
    for _ in range(2):
        indexes.delete("many")
    assert list(indexes.listed("many")) == ["many-wide"]


@pytest.mark.parametrize(
    ("bucket", "engine", "searcher"), [("", FileEngine, IndexFiles), ("v", S3VectorsEngine, S3VectorsSearcher)]
)
def test_a_stage_with_a_bucket_of_vectors_uses_it(bucket: str, engine: type, searcher: type) -> None:
    services = Services(Settings(vector_bucket=bucket))
    pointer = IndexPointer(1, "k", 0.0, 1, 1, (), "m", "", "s3_vectors")
    assert isinstance(services.search_engine, engine)
    assert isinstance(services._searcher(pointer), searcher)
    assert isinstance(services._searcher(replace(pointer, engine="file")), IndexFiles)


@pytest.mark.parametrize(
    ("bucket", "engine", "model"), [("", "s3_vectors", ""), ("v", "s3_vectors", "m"), ("", "file", "m")]
)
def test_no_question_is_embedded_for_vectors_that_nobody_compares(bucket: str, engine: IndexEngine, model: str) -> None:
    services, pointers, site = Services(Settings(vector_bucket=bucket)), Pointers(), a_site()
    services.__dict__["documents"] = pointers
    where = site.tenant_id, site.site_id
    pointers.current[where] = IndexPointer(1, "k", 0.0, 1, 1, (), "m", "", engine)
    found = services.retrieval.pointer(site)
    assert found
    assert found.embedding_model == model
