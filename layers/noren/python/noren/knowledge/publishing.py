"""What a message `publish` has done: a job's publication, and that its end is told, whoever has ended it.

Nothing here reads what strangers send but by the texts that were made of it (ADR 7).
"""

from __future__ import annotations

from collections.abc import Callable

from noren.clock import Clock
from noren.ids import TenantId
from noren.knowledge.document_store import DocumentStore
from noren.knowledge.job_store import JobStore
from noren.knowledge.messages import MOST_TRIES, Steps
from noren.knowledge.models import Job
from noren.knowledge.publish import Publisher
from noren.knowledge.site_vectors import Later

Tell = Callable[[Job], None]
"""Tells the tenant what a job has come to: once, however often it is called."""
Stopped = Callable[[Job], str]
"""Why a job must not go on, whatever its owner wants; "" where it may."""

PUBLISHING_SECONDS = 300.0
"""Nobody publishes for longer: the function's time limit."""


class Publishing:
    """Works messages off. Any may come twice, late or not at all."""

    def __init__(
        self,
        jobs: JobStore,
        documents: DocumentStore,
        publisher: Publisher,
        steps: Steps,
        tell: Tell,
        stopped: Stopped,
        clock: Clock,
    ) -> None:
        self._jobs, self._documents, self._publisher, self._steps = jobs, documents, publisher, steps
        self._tell, self._stopped, self._clock = tell, stopped, clock

    def work(self, tenant_id: TenantId, job_id: str) -> None:
        """Publish a job that is at it, and tell of one that has ended. Raises what storage raises: then repeat it."""
        job = self._jobs.get(tenant_id, job_id)
        if job is None:
            return
        if job.is_open and job.kind != "refresh" and (why := self._stopped(job)):
            self._jobs.cancel(job, self._clock(), why)
        elif job.status == "publishing":
            self._publish(job)
        now = self._jobs.get(tenant_id, job_id)
        if now and not now.is_open:
            self._tell(now)
            self._jobs.forget(now)

    def _publish(self, job: Job) -> None:
        tries = self._jobs.try_publishing(job, self._clock(), PUBLISHING_SECONDS)
        if tries is None:
            return
        if tries > MOST_TRIES:
            pointer = self._documents.pointer(job.tenant_id, job.site_id)
            version = pointer.version if pointer else 0
            self._jobs.end(job, "failed", self._clock(), error="publishing_failed", index_version=version)
            return
        try:
            self._publisher.publish(job)
        except Later as later:
            if not later.is_try:
                self._jobs.take_back_try(job)
            self._steps.ask(job, "publish", delay=later.seconds)
