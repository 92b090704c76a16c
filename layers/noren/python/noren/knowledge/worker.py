"""What a message has done but `publish` (see `publishing.py`): a job is planned, its pages are read.

Messages are hints: what is to do and what is done stands in the table.

Any message may come twice, late, out of order or not at all. `sweep` has those repeated on which nothing follows. Of a
large crawl some pages are asked for, and for another one whenever one has ended.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

from noren.clock import Clock
from noren.ids import TenantId
from noren.knowledge.blobs import BlobMissing, Blobs, text_key
from noren.knowledge.chunks import measure
from noren.knowledge.crawl.robots import RobotsUnavailable
from noren.knowledge.crawl.visit import MOST_RETRY_SECONDS, RETRY_SECONDS, Failed
from noren.knowledge.crawling import Crawl, NoRoom, Wait
from noren.knowledge.document_store import DocumentStore
from noren.knowledge.extract.digest import content_hash
from noren.knowledge.extract.errors import ExtractFailed
from noren.knowledge.inputs import Inputs, Reading
from noren.knowledge.job_store import JobStore
from noren.knowledge.messages import MOST_TRIES, Steps
from noren.knowledge.models import PLAN, Job, JobPage, PageEnd, learnt
from noren.knowledge.publishing import Stopped
from noren.knowledge.texts import packed
from noren.tenants.store import Refused

MOST_VISITS = 3
"""A page that fails for the third time, though it might come some day, fails this crawl."""
MOST_DELAY = 900
"""Seconds for which a queue keeps a message back."""
ASKED_AGAIN = 100
"""Pages of a job in one sweep: where the queue is only long, asking for all of them would make it longer."""
ASKED_TWICE = 30
"""Of the pages in hand so many may be named by two messages, and as many others by none."""
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
        crawl: Crawl,
        steps: Steps,
        stopped: Stopped,
        clock: Clock,
    ) -> None:
        self._jobs, self._documents, self._blobs, self._inputs = jobs, documents, blobs, inputs
        self._crawl, self._steps = crawl, steps
        self._stopped, self._clock = stopped, clock

    def work(self, tenant_id: TenantId, job_id: str, what: str, page_id: str = "") -> None:
        """Do what a message asks for, if it is still to be done. Raises what storage raises: then repeat it."""
        job = self._jobs.get(tenant_id, job_id)
        if job is None:
            return
        if job.is_open and job.kind != "refresh" and (why := self._stopped(job)):
            self._jobs.cancel(job, self._clock(), why)
        elif what == "plan" and self._jobs.begin(job, self._clock()):
            self._plan(job)
        elif what == "page" and job.status == "running" and self._turn(job, page_id):
            self._ask_for_another(job, page_id)
        self._follow(job)

    def sweep(self) -> int:
        """Look after jobs that have not ended, or whose end was not told; how many had lost their messages."""
        lost = 0
        for tenant_id, job_id in self._jobs.unfinished():
            try:
                lost += self._look_after(tenant_id, job_id)
            except Exception as error:
                _log.error("a job was not looked after", exc_info=error, extra={"fields": {"job": job_id}})
        return lost

    def _look_after(self, tenant_id: TenantId, job_id: str) -> bool:
        """Whether a job had lost its messages."""
        job = self._jobs.get(tenant_id, job_id)
        if job is None:
            return False
        if not job.is_open:
            self._steps.ask(job, "publish")  # who publishes tells of ends too
        elif self._is_idle(job) and self._ask_again(job):
            _log.warning("a job had come to a stop", extra={"fields": {"job": job_id, "status": job.status}})
            return True
        return False

    def _is_idle(self, job: Job) -> bool:
        """Whether nothing has come of a job for long, and nobody else has just seen that."""
        now = self._clock()
        return now - job.moved_at > IDLE_SECONDS and self._jobs.touch(job, now)

    def _ask_again(self, job: Job) -> bool:
        """Have done what has lost its message. False where all that waits is kept back for now."""
        now, plan = self._clock(), self._jobs.page(job, PLAN)
        if plan and plan.status == "waiting":
            if plan.due_at > now:
                return False
            self._steps.ask(job, "plan")
        elif job.status == "running":
            waiting = (each for each in self._jobs.pages(job) if each.status == "waiting" and each.due_at <= now)
            due = list(islice(waiting, ASKED_AGAIN))
            if job.left and not due:
                return False
            self._steps.ask_for_pages(job, due)
            self._follow(job)
        else:
            self._steps.ask(job, "publish")
        return True

    def _plan(self, job: Job) -> None:
        plan = self._jobs.page(job, PLAN)
        if plan is None or self._is_early(job, plan):
            return
        tries = self._jobs.take_page(job, plan)
        if tries is None:
            return
        error = "gave_up" if tries > MOST_TRIES else ""
        try:
            if not error:
                self._jobs.revive(job, [each for each in self._jobs.pages(job) if each.status == "failed"])
                self._add_pages(job)
                self._ask_for_first(job)
        except BlobMissing:
            error = "input_missing"
        except NoRoom:
            error = "no_room"
        except RobotsUnavailable:
            if tries < MOST_TRIES:
                self._postpone(job, plan, Wait(self._clock() + RETRY_SECONDS * 2 ** (tries - 1)), "busy")
                return
            error = "robots_unavailable"
        except Refused:
            return  # somebody else plans it, or it was cancelled
        try:
            self._jobs.end_plan(job, self._clock(), error)
        except Refused:
            return
        if error:
            self._ask_for_first(job)  # those to be done again all the same

    def _add_pages(self, job: Job) -> None:
        if job.kind == "url":
            self._crawl.plan(job)
        else:
            self._jobs.add_pages(job, self._inputs.pages(job))

    def _ask_for_first(self, job: Job) -> None:
        waiting = (each for each in self._jobs.pages(job) if each.status == "waiting")
        now = self._jobs.get(job.tenant_id, job.job_id) if job.kind == "url" else None
        self._steps.ask_for_pages(job, islice(waiting, self._crawl.in_hand(now) if now else None))

    def _ask_for_another(self, job: Job, page_id: str) -> None:
        """For a page has ended. Where that is missed, those in hand become fewer, and at last the sweep asks."""
        most = self._crawl.in_hand(job) if job.kind == "url" else job.found
        if job.found > most and job.left > most - ASKED_TWICE:
            another = self._jobs.unasked(job, page_id)
            self._steps.ask_for_pages(job, [another] if another else [])

    def _ask_for_found(self, job: Job, pages: Sequence[JobPage]) -> bool:
        """For pages that a page has led to, which is about to end, as far as not so many others are in hand already.
        Whether it was for any; the rest come whenever one has ended.
        """
        now = self._jobs.get(job.tenant_id, job.job_id) if pages else None
        if now is None:
            return False
        others = now.left - len(pages) - 1
        some = pages[: max(self._crawl.in_hand(now) - others, 0)]
        self._steps.ask_for_pages(job, some)
        return bool(some)

    def _turn(self, job: Job, page_id: str) -> bool:
        """A page's turn has come, perhaps. Whether it does not come again, and no other was asked for in its place."""
        page = self._jobs.page(job, page_id)
        if page is None or page.status != "waiting":
            return True
        if self._is_early(job, page):
            return False
        if job.kind == "url":
            try:
                wait = self._crawl.wait(job, page)
            except RobotsUnavailable:
                wait = None  # it counts as a visit that failed
            if wait:
                self._postpone(job, page, wait)
                return False
        tries = self._jobs.take_page(job, page)
        if tries is None:
            return True
        if tries > MOST_TRIES:
            self._end(job, page, PageEnd("failed", "gave_up"))
        elif job.kind == "url":
            return self._visit(job, page, tries)
        else:
            self._read(job, page)
        return True

    def _visit(self, job: Job, page: JobPage, tries: int) -> bool:
        """As for `_turn`."""
        has_asked = False
        while True:
            visit = self._crawl.visit(job, page)
            found = visit.of
            if isinstance(found, Failed) and found.retry_after is not None and tries < MOST_VISITS:
                seconds = min(found.retry_after * 2 ** (tries - 1), MOST_RETRY_SECONDS)
                self._postpone(job, page, Wait(self._clock() + seconds), found.reason)
                return False
            try:
                has_asked |= self._ask_for_found(job, self._crawl.follow(job, page, visit))
            except Refused:
                return True  # the job is over
            if self._end(job, page, self._crawl.end(job, page, visit)):
                return not has_asked

    def _is_early(self, job: Job, page: JobPage) -> bool:
        """Whether a page's time has not come yet: then it is asked for again. Messages that come twice stay two."""
        if page.due_at <= self._clock():
            return False
        self._ask_later(job, page, page.due_at)
        return True

    def _postpone(self, job: Job, page: JobPage, wait: Wait, reason: str = "") -> None:
        if self._jobs.postpone(job, page, wait.until, has_slot=wait.has_slot, reason=reason):
            self._ask_later(job, page, wait.until)

    def _ask_later(self, job: Job, page: JobPage, at: float) -> None:
        delay = min(max(math.ceil(at - self._clock()), 0), MOST_DELAY)
        if page.page_id == PLAN:
            self._steps.ask(job, "plan", delay=delay)
        else:
            self._steps.ask(job, "page", page.page_id, delay=delay)

    def _read(self, job: Job, page: JobPage) -> None:
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
        as_now = "active", hash, reading.url
        is_same = known is not None and (known.status, known.content_hash, known.url) == as_now
        if is_same and job.mode == "differential":
            return PageEnd("unchanged", document_id=reading.document_id)
        size = measure(text)
        if not size[0]:
            return PageEnd("skipped", "no_text")
        document = learnt(job, known, reading.document_id, reading.kind, reading.url, text, hash, size, self._clock())
        self._blobs.put(text_key(document), packed(text))
        return PageEnd("changed", document=document, document_id=document.document_id)

    def _end(self, job: Job, page: JobPage, end: PageEnd) -> bool:
        """False where the document has changed meanwhile: then look again what has become of the page."""
        try:
            self._jobs.end_page(job, page, end, self._clock())
        except Refused as refused:
            return refused.failed != (2,)
        return True

    def _follow(self, job: Job) -> None:
        """Have done what comes next, whoever has made it so."""
        now = self._jobs.get(job.tenant_id, job.job_id)
        if now is None:
            return
        if now.status == "running" and not now.left:
            if not self._settle(now):
                return
            now = replace(now, status="publishing")  # who has seen the last page before may have died over it
        if now.status == "publishing" and not now.tries:
            self._steps.ask(now, "publish")

    def _settle(self, job: Job) -> bool:
        """All pages of a job are through: on to publishing. False where it has moved on meanwhile."""
        error = job.error
        if job.kind == "url":
            try:
                self._crawl.settle(job)
            except Refused:
                return False
            if not job.fetched:
                error = error or "nothing_read"
        self._jobs.begin_publishing(job, self._clock(), error)
        return True
