"""A tenant's training: real tables, a bucket and a queue in memory, a clock that can be moved, deaths at any call."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import IO, Any, Literal

from noren.errors import Conflict
from noren.fetching.client import Fetcher
from noren.fetching.wire import Network
from noren.ids import TenantId, new_id
from noren.knowledge import standing
from noren.knowledge.blobs import BlobMissing, UploadForm
from noren.knowledge.chunks import Cut
from noren.knowledge.crawl_store import CrawlStore
from noren.knowledge.crawling import Crawl
from noren.knowledge.crawls import Crawls
from noren.knowledge.document_store import DocumentStore
from noren.knowledge.embeddings import EmbeddingQuotaSpent, NoEmbeddings
from noren.knowledge.hosts import Hosts
from noren.knowledge.inputs import Given, Inputs
from noren.knowledge.job_store import JobStore
from noren.knowledge.jobs import Training
from noren.knowledge.messages import Steps
from noren.knowledge.models import PLAN, Document, Job
from noren.knowledge.publish import Publisher
from noren.knowledge.publishing import Publishing
from noren.knowledge.site_vectors import SiteVectors, Vectors
from noren.knowledge.survey.models import Reach
from noren.knowledge.worker import IDLE_SECONDS, Worker
from noren.llm.models import Embedded
from noren.pace import Pace
from noren.sites.models import Site
from noren.tenants.models import Tenant
from tests.faults import Crash
from tests.unit.fetching.net import Net
from tests.unit.llm.vectors import SMALL

NOW = 1_795_000_000.0


class Inline(Executor):
    """A pool of no threads: who reads in it would wait there for a turn that only who waits for the pool can give."""

    def submit(self, call: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        done = Future[Any]()
        try:
            done.set_result(call(*args, **options))
        except BaseException as error:
            done.set_exception(error)
        return done


POOL = Inline()


class Memory:
    """A bucket."""

    def __init__(self, clock: Any) -> None:
        self.objects: dict[str, tuple[bytes, float]] = {}
        self._clock = clock

    def put(self, key: str, data: bytes) -> None:
        self.objects[key] = (data, self._clock())

    def get(self, key: str) -> bytes:
        if key not in self.objects:
            raise BlobMissing(key)
        return self.objects[key][0]

    def copy(self, key: str, file: IO[bytes]) -> int:
        return file.write(self.get(key))

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.objects.pop(key, None)

    def listed(self, prefix: str) -> Iterator[tuple[str, float]]:
        return iter([(key, stored) for key, (_, stored) in sorted(self.objects.items()) if key.startswith(prefix)])

    def upload_form(self, key: str, most: int, seconds: int) -> UploadForm:
        return {"url": "https://bucket.example", "fields": {"key": key, "most": str(most)}}


class Messages:
    """A queue: what is on it stays until somebody takes it off."""

    def __init__(self) -> None:
        self.waiting: list[dict[str, Any]] = []
        self.again: list[tuple[str, int]] = []
        """Receipts of messages that come back, and after how long."""

    def show_again(self, receipt: str, seconds: int) -> None:
        self.again.append((receipt, seconds))

    def send(self, message: dict[str, Any], *, delay: int = 0) -> None:
        assert 0 <= delay <= 900
        self.waiting.append(dict(message) | ({"delay": delay} if delay else {}))

    def send_all(self, messages: Iterable[dict[str, Any]]) -> None:
        self.waiting.extend(map(dict, messages))


class Fuse:
    """Counts the calls of what it wraps; at call `at` the process dies, before or after the call's effect, or something
    else happens `meanwhile`.
    """

    def __init__(self) -> None:
        self.calls = 0
        self.at: int | None = None
        self.mode: Literal["before", "after"] = "before"
        self.meanwhile: Callable[[], None] | None = None
        self.before: Callable[[], None] = lambda: None
        """Called ahead of each call."""

    def wrap(self, thing: Any) -> Any:
        return _Fused(thing, self)

    def burn(self, at: int, mode: Literal["before", "after"]) -> None:
        self.calls, self.at, self.mode = 0, at, mode


class _Fused:
    def __init__(self, thing: Any, fuse: Fuse) -> None:
        self._thing, self._fuse = thing, fuse

    def __getattr__(self, name: str) -> Any:
        inner = getattr(self._thing, name)
        if name == "get_paginator":
            self._fuse.before()
        if name in ("exceptions", "meta", "get_paginator"):
            return inner

        def call(*args: Any, **options: Any) -> Any:
            fuse = self._fuse
            fuse.before()
            number, fuse.calls = fuse.calls, fuse.calls + 1
            if number == fuse.at and fuse.meanwhile:
                meanwhile, fuse.at, fuse.meanwhile = fuse.meanwhile, None, None
                meanwhile()
                return inner(*args, **options)
            if fuse.at is not None and (number > fuse.at or (number == fuse.at and fuse.mode == "before")):
                raise Crash
            done = inner(*args, **options)
            if number == fuse.at:
                raise Crash
            return done

        return call


class Model:
    """An embedding model with the tenant's quota for it; there is none until it `is_had`. Plays one fault a call, then
    none.
    """

    def __init__(self, clock: Any) -> None:
        self.is_had, self.left = False, 1_000_000
        self.faults: list[Exception | None] = []
        self.calls: list[tuple[str, ...]] = []
        self.seconds = 0.0
        self.after: Callable[[], None] = lambda: None
        self.meaning = meant
        self._clock = clock

    def policy(self, tenant: Any) -> Any:
        if not self.is_had:
            raise NoEmbeddings
        return SMALL

    def vectors(self, tenant: Any, site: Site, texts: Sequence[str], *, purpose: str, model: str) -> Embedded:
        assert (purpose, model) == ("training", SMALL.id)
        if fault := self.faults.pop(0) if self.faults else None:
            raise fault
        if len(texts) > self.left:
            raise EmbeddingQuotaSpent
        self.left -= len(texts)
        self.calls.append(tuple(texts))
        self._clock.skip(self.seconds)
        self.after()
        rows = tuple(struct.pack("<64f", *self.meaning(each)) for each in texts)
        return Embedded(rows, len(texts), "reported", cost_usd=Decimal("0.0000002") * len(texts))

    @property
    def embedded(self) -> list[str]:
        """All texts, in the order in which vectors were made for them."""
        return [text for call in self.calls for text in call]


def meant(text: str) -> list[float]:
    """Numbers by what a text is about: texts that share words are alike."""
    total = [0.001] * 64
    for word in text.split():
        drawn = random.Random(word)
        total = [each + drawn.gauss(0, 1) for each in total]
    return total


class Ticks:
    """A clock that can be moved."""

    def __init__(self, world: World) -> None:
        self._world = world

    def __call__(self) -> float:
        return self._world.now

    def skip(self, seconds: float) -> None:
        self._world.now += seconds


@dataclass
class Words:
    """An index in small: finds the documents that share the most words with a question."""

    data: bytes
    chunks: int

    model: str = ""
    engine: Literal["file"] = "file"

    @classmethod
    def of(cls, documents: Iterable[Cut]) -> Words:
        said = {each.document_id: _said(each.title, *(chunk.embedded for chunk in made)) for each, made in documents}
        data = json.dumps(said, sort_keys=True).encode()
        return cls(data, sum(map(len, said.values())))

    def find(self, question: str, most: int) -> list[str]:
        asked = set(question.split())
        said = json.loads(self.data)
        ranked = sorted(said, key=lambda each: len(asked & set(said[each])), reverse=True)
        return [each for each in ranked if asked & set(said[each])][:most]


@dataclass
class WordEngine:
    """Makes `Words`; `blind` ones find nothing."""

    blind: bool = False

    def build(
        self, tenant_id: TenantId, site_id: str, version: int, documents: Sequence[Cut], vectors: Vectors | None
    ) -> Words:
        return replace(Words.of([] if self.blind else documents), model=vectors.model if vectors else "")

    def clean(self, tenant_id: TenantId, site_id: str, kept: Collection[str], version: int) -> None:
        """There is nothing but the files."""


class Slots:
    """Times at which hosts may be called, as the table keeps them."""

    def __init__(self) -> None:
        self.next: dict[str, int] = {}
        self.held: dict[str, int] = {}

    def hold(self, key: str, until: int) -> None:
        self.held[key] = max(self.held.get(key, 0), until)
        self.next[key] = max(self.next.get(key, 0), until)

    def held_until(self, key: str) -> int:
        return self.held.get(key, 0)

    def reserve(self, key: str, now: int, length: int, horizon: int) -> int | None:
        slot = max(self.next.get(key, 0), now)
        if slot > now + horizon:
            return None
        self.next[key] = slot + length
        return slot


class Leases:
    """What one at a time may have, as the table keeps it."""

    def __init__(self) -> None:
        self.held: dict[str, tuple[str, float]] = {}

    def lease(self, key: str, owner: str, now: float, until: float) -> float | None:
        other, its = self.held.get(key, (owner, 0.0))
        if other != owner and its > now:
            return its
        self.held[key] = (owner, until)
        return None

    def give_up_lease(self, key: str, owner: str) -> None:
        if self.held.get(key, ("", 0.0))[0] == owner:
            del self.held[key]


class Desk:
    """The world's only site."""

    def __init__(self, world: World) -> None:
        self._world = world

    def now(self, tenant_id: TenantId, site_id: str) -> Site:
        return self._world.site

    def save_site(self, site: Site, actor: str) -> Site:
        self._world.site = site
        return site


POSSIBLE = ("deliver", "twice", "drop", "die_before", "die_after", "sweep", "cancel", "retry")
"""What may happen to a training, in any order."""


class World:
    """Everything of one tenant's training."""

    def __init__(
        self, client: Any, network: Network | None = None, tenant: TenantId | None = None, engine: Any = None
    ) -> None:
        self.now = NOW
        self.tenant = tenant or TenantId(new_id("ten"))
        self.site = Site(new_id("site"), self.tenant, "店", "prof", NOW)
        self.fuse = Fuse()
        self.clock = Ticks(self)
        self.bucket, self.queue, self.engine = Memory(self.clock), Messages(), engine or WordEngine()
        self.told: list[tuple[str, int, str]] = []
        blobs = self.fuse.wrap(self.bucket)
        queue = self.fuse.wrap(self.queue)
        storage = self.fuse.wrap(client)
        self.documents = DocumentStore(storage, "knowledge")
        self.jobs = JobStore(storage, "knowledge", self.documents)
        self.every_unfinished = self.jobs.unfinished
        self.jobs.unfinished = self.unfinished  # type: ignore[method-assign]
        inputs = Inputs(blobs)
        self.model = Model(self.clock)
        whose = lambda *_: (None, self.site)  # noqa: E731 - the model asks no more of them
        self.leases = self.fuse.wrap(Leases())
        parts = blobs, self.jobs, self.leases, POOL, self.clock, self.clock.skip
        vectors = SiteVectors(self.model, whose, *parts)  # type: ignore[arg-type]
        self.publisher = Publisher(self.jobs, self.documents, blobs, self.engine, vectors, POOL, self.clock)
        stores = self.jobs, self.documents, blobs, inputs
        self.slots = Slots()
        self.crawls = CrawlStore(storage, "knowledge", self.jobs)
        fetcher = Fetcher(network=network or Net())
        pace = Pace(self.slots, self.clock)  # type: ignore[arg-type]
        crawl = Crawl(
            fetcher,
            Hosts(fetcher, blobs, self.clock),
            pace,
            self.jobs,
            self.crawls,
            self.documents,
            blobs,
            self.clock,
            self.clock.skip,
        )
        self.owner = Tenant(self.tenant, "Shop", "free", NOW)
        stopped = lambda _: standing.stopped(self.owner, self.site)  # noqa: E731
        steps = Steps(queue, queue)  # one for both: whoever works messages off takes them in any order
        self.worker = Worker(*stores, crawl, steps, stopped, self.clock)
        self.publishing = Publishing(self.jobs, self.documents, self.publisher, steps, self.tell, stopped, self.clock)
        self.crawling = Crawls(self.jobs, self.crawls, self.documents, Desk(self), steps, self.clock)  # type: ignore[arg-type]
        self.training = Training(*stores, self.crawling, steps, self.clock)

    def tell(self, job: Job) -> None:
        self.told.append((job.job_id, job.attempt, job.status))

    def start(self, *texts: tuple[str, str], force: bool = False) -> Job:
        return self.training.start(self.site, "text", [Given(*each) for each in texts], "user:1", force=force)

    def crawl(self, url: str = "http://shop.example/", *, force: bool = False, room: int = 1000, **reach: Any) -> Job:
        return self.crawling.start(self.site, url, Reach(**reach), room, "user:1", force=force)

    def deliver(self, at: int = 0, *, again: bool = False, alight: bool = False) -> bool:
        """Work a message off; one over which the worker dies comes back. Whether it lived. The fuse is put out then,
        unless it is to stay `alight`.
        """
        message = self.queue.waiting.pop(at)
        self.now += message.pop("delay", 0)
        if again:
            self.queue.waiting.append(message)
        try:
            self.work(message)
        except Crash:
            self.queue.waiting.append(message)
            return False
        finally:
            self.fuse.at = self.fuse.at if alight else None
        return True

    def work(self, message: dict[str, Any]) -> None:
        """Do what a message asks for, as the function does whose queue it is on."""
        if message["what"] == "publish":
            self.publishing.work(message["tenant_id"], message["job_id"])
        else:
            self.worker.work(message["tenant_id"], message["job_id"], message["what"], message.get("page", ""))

    def happen(self, step: str, number: int, job: Job) -> None:
        """One of `POSSIBLE`; what is not possible just now does not happen."""
        waiting = len(self.queue.waiting)
        if step in ("deliver", "twice", "die_before", "die_after") and waiting:
            if step.startswith("die"):
                self.fuse.burn(number, "before" if step == "die_before" else "after")
            self.deliver(number % waiting, again=step == "twice")
        elif step == "drop" and waiting:
            self.queue.waiting.pop(number % waiting)
        elif step == "sweep":
            self.now += 700
            self.sweep()
        elif step in ("cancel", "retry"):
            act = self.training.cancel if step == "cancel" else self.training.retry
            with suppress(Conflict):
                act(self.tenant, job.job_id)

    def drain(self) -> None:
        """Deliver what there is, and look after what has lost its messages, until nothing is left to do."""
        for _ in range(20):
            while self.queue.waiting:
                self.deliver()
            self.now += IDLE_SECONDS + 1
            self.sweep()
            if not self.queue.waiting and not list(self.unfinished()):
                return
        raise AssertionError("a job does not come to an end")

    def sweep(self) -> None:
        """Look after the jobs once."""
        try:
            self.worker.sweep()
        except Crash:
            self.fuse.at = None

    def unfinished(self) -> Iterator[tuple[TenantId, str]]:
        """The tests share a table: only this tenant's jobs are looked after here."""
        return iter([each for each in self.every_unfinished() if each[0] == self.tenant])

    def job(self, job: Job) -> Job:
        return self.training.get(self.tenant, job.job_id)

    def texts(self) -> dict[str, Document]:
        return {each.title: each for each in self.documents.every(self.tenant, self.site.site_id)}

    def visible(self) -> Words | None:
        pointer = self.documents.pointer(self.tenant, self.site.site_id)
        return Words(self.bucket.get(pointer.key), pointer.chunks) if pointer else None

    def check(self, job: Job) -> None:
        """What holds at any moment."""
        now = self.job(job)
        pages = list(self.jobs.pages(now))
        plan = self.jobs.page(now, PLAN)
        waiting = [each for each in [*pages, plan] if each and each.status == "waiting"]
        assert now.left == len(waiting)
        assert now.found == len(pages)
        for outcome in ("changed", "unchanged", "removed", "failed", "skipped"):
            assert getattr(now, outcome) == sum(each.status == outcome for each in pages)
        assert now.chunks == sum(each.chunks for each in pages)
        self.visible()


def _said(*texts: str) -> list[str]:
    return " ".join(texts).split()
