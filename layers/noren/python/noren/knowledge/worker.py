"""What a message has done. Messages are hints: what is to do and what is done stands in the table.

Any message may come twice, late, out of order or not at all. `sweep` has those repeated on which nothing follows.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from noren.clock import Clock
from noren.ids import TenantId
from noren.knowledge.blobs import BlobMissing, Blobs, text_key
from noren.knowledge.document_store import DocumentStore
from noren.knowledge.extract.digest import content_hash
from noren.knowledge.extract.errors import ExtractFailed
from noren.knowledge.inputs import Inputs, Reading
from noren.knowledge.job_store import JobStore
from noren.knowledge.models import PLAN, Document, Job, JobPage, PageEnd
from noren.knowledge.publish import Engine, Publisher
from noren.knowledge.texts import packed
from noren.queues import Queue
from noren.tenants.store import Refused

Tell = Callable[[Job], None]
"""Tells the tenant what a job has come to: once, however often it is called."""

MOST_TRIES = 5
"""Who takes up a page or a publication for the sixth time gives it up: it kills workers, or storage refuses it."""
PUBLISHING_SECONDS = 300.0
"""Nobody publishes for longer: the function's time limit."""
IDLE_SECONDS = 600.0
"""A job of which nothing has come for so long has lost its messages."""

_log = logging.getLogger("noren.knowledge")


class Worker:
    """Works messages off."""

    def __init__(
        self,
        jobs: JobStore,
        documents: DocumentStore,
        blobs: Blobs,
        inputs: Inputs,
        engine: Engine,
        publisher: Publisher,
        queue: Queue,
        tell: Tell,
        clock: Clock,
    ) -> None:
        self._jobs, self._documents, self._blobs, self._inputs = jobs, documents, blobs, inputs
        self._engine, self._publisher, self._queue = engine, publisher, queue
        self._tell, self._clock = tell, clock

    def work(self, tenant_id: TenantId, job_id: str, what: str, page_id: str = "") -> None:
        """Do what a message asks for, if it is still to be done. Raises what storage raises: then repeat it."""
        job = self._jobs.get(tenant_id, job_id)
        if job is None:
            return
        if what == "plan" and self._jobs.begin(job, self._clock()):
            self._plan(job)
        elif what == "page" and job.status == "running":
            self._page(job, page_id)
        elif what == "publish" and job.status == "publishing":
            self._publish(job)
        self._follow(job)

    def sweep(self) -> int:
        """Look after jobs that have not ended, or whose end was not told; how many had lost their messages."""
        lost = 0
        for tenant_id, job_id in self._jobs.unfinished():
            job = self._jobs.get(tenant_id, job_id)
            if job is None:
                continue
            if not job.is_open:
                self._close(job)
            elif self._clock() - job.moved_at > IDLE_SECONDS and self._jobs.touch(job, self._clock()):
                _log.warning("a job had come to a stop", extra={"fields": {"job": job_id, "status": job.status}})
                self._ask_again(job)
                lost += 1
        return lost

    def _ask_again(self, job: Job) -> None:
        plan = self._jobs.page(job, PLAN)
        if plan and plan.status == "waiting":
            self._queue.send(message(job, "plan"))
        elif job.status == "running":
            self._hint(job, self._jobs.pages(job))
            self._follow(job)
        else:
            self._queue.send(message(job, "publish"))

    def _plan(self, job: Job) -> None:
        plan = self._jobs.page(job, PLAN)
        tries = self._jobs.take_page(job, plan) if plan else None
        if tries is None:
            return
        error = "gave_up" if tries > MOST_TRIES else ""
        try:
            if not error:
                self._jobs.revive(job, [each for each in self._jobs.pages(job) if each.status == "failed"])
                self._jobs.add_pages(job, self._inputs.pages(job))
                self._hint(job, self._jobs.pages(job))
        except BlobMissing:
            error = "input_missing"
        except Refused:
            return  # somebody else plans it, or it was cancelled
        try:
            self._jobs.end_plan(job, self._clock(), error)
        except Refused:
            return

    def _page(self, job: Job, page_id: str) -> None:
        page = self._jobs.page(job, page_id)
        tries = self._jobs.take_page(job, page) if page else None
        if page is None or tries is None:
            return
        if tries > MOST_TRIES:
            self._end(job, page, PageEnd("failed", "gave_up"))
            return
        try:
            reading = self._inputs.read(job, page)
        except BlobMissing:
            self._end(job, page, PageEnd("failed", "input_missing"))
            return
        except ExtractFailed as failed:
            self._end(job, page, PageEnd("failed", failed.reason))
            return
        while not self._end(job, page, self._learnt(job, reading)):
            pass

    def _learnt(self, job: Job, reading: Reading) -> PageEnd:
        """What a page has come to. Its text is stored ahead of the document that names it."""
        known = self._documents.get(job.tenant_id, job.site_id, reading.document_id)
        text = reading.text
        if not text.blocks:
            return PageEnd("skipped", "no_text")
        hash = content_hash(text)
        is_same = known is not None and known.content_hash == hash and known.url == reading.url
        if is_same and job.mode == "differential":
            return PageEnd("unchanged", document_id=reading.document_id)
        chunks, tokens = self._engine.measure(text)
        now = self._clock()
        document = Document(
            document_id=reading.document_id,
            tenant_id=job.tenant_id,
            site_id=job.site_id,
            kind=reading.kind,
            url=reading.url,
            title=text.title,
            language=text.language,
            content_hash=hash,
            chunk_count=chunks,
            token_count=tokens,
            created_at=known.created_at if known else now,
            updated_at=now,
            version=known.version + 1 if known else 1,
            job_id=job.job_id,
        )
        self._blobs.put(text_key(document), packed(text))
        return PageEnd("changed", document=document, document_id=document.document_id)

    def _end(self, job: Job, page: JobPage, end: PageEnd) -> bool:
        """False where the document has changed meanwhile: then look again what has become of the page."""
        try:
            self._jobs.end_page(job, page, end, self._clock())
        except Refused as refused:
            return refused.failed != (2,)
        return True

    def _publish(self, job: Job) -> None:
        tries = self._jobs.try_publishing(job, self._clock(), PUBLISHING_SECONDS)
        if tries is None:
            return
        if tries > MOST_TRIES:
            pointer = self._documents.pointer(job.tenant_id, job.site_id)
            version = pointer.version if pointer else 0
            self._jobs.end(job, "failed", self._clock(), error="publishing_failed", index_version=version)
            return
        self._publisher.publish(job)

    def _follow(self, job: Job) -> None:
        """Have done what comes next, whoever has made it so."""
        now = self._jobs.get(job.tenant_id, job.job_id)
        if now is None:
            return
        if not now.is_open:
            self._close(now)
            return
        if now.status == "running" and not now.left:
            self._jobs.begin_publishing(now, self._clock())
            now = replace(now, status="publishing")  # who has seen the last page before may have died over it
        if now.status == "publishing" and not now.tries:
            self._queue.send(message(now, "publish"))

    def _close(self, job: Job) -> None:
        self._tell(job)
        self._jobs.forget(job)

    def _hint(self, job: Job, pages: Iterable[JobPage]) -> None:
        self._queue.send_all(message(job, "page", each.page_id) for each in pages if each.status == "waiting")


def message(job: Job, what: str, page_id: str = "") -> dict[str, Any]:
    """What is put on the queue."""
    return {"tenant_id": job.tenant_id, "job_id": job.job_id, "what": what} | ({"page": page_id} if page_id else {})
