"""Training as its owner sees it: start, look, cancel, retry; documents, and the version in force."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from noren.clock import Clock
from noren.errors import Conflict, NotFound, Unprocessable
from noren.ids import TenantId, new_id
from noren.knowledge import blobs as keys
from noren.knowledge.blobs import Blobs, UploadForm
from noren.knowledge.crawls import Crawls, Estimate
from noren.knowledge.document_store import DocumentStore
from noren.knowledge.inputs import Given, Inputs
from noren.knowledge.job_store import JobStore
from noren.knowledge.messages import Step, Steps
from noren.knowledge.models import (
    RETRYABLE,
    Document,
    DocumentStatus,
    IndexPointer,
    Job,
    JobKind,
    JobMode,
    JobPage,
    refresh,
)
from noren.knowledge.row_store import Position
from noren.sites.models import Site

_log = logging.getLogger("noren.knowledge")

FILE_BYTES = 20_000_000
"""Of one file."""
UPLOAD_SECONDS = 900
"""How long a form is good for."""
MOVED = "This job has gone on meanwhile. Load it again, then repeat your request."


class Training:
    """A tenant's jobs and documents; a site comes in as the record, which only its owner's calls have found."""

    def __init__(
        self,
        jobs: JobStore,
        documents: DocumentStore,
        blobs: Blobs,
        inputs: Inputs,
        crawls: Crawls,
        steps: Steps,
        clock: Clock,
    ) -> None:
        self._jobs, self._documents, self._blobs = jobs, documents, blobs
        self._inputs, self._crawls, self._steps, self._clock = inputs, crawls, steps, clock

    # Jobs

    def upload(self, site: Site) -> tuple[str, UploadForm]:
        """A place for a file to train on: its id, and the form to post the file with."""
        upload_id = new_id("upl", self._clock())
        key = keys.upload_key(site.tenant_id, site.site_id, upload_id)
        return upload_id, self._blobs.upload_form(key, FILE_BYTES, UPLOAD_SECONDS)

    def start(
        self,
        site: Site,
        kind: JobKind,
        items: Sequence[Given],
        actor: str,
        *,
        force: bool = False,
        estimate: Estimate | None = None,
    ) -> Job:
        """Begin to train on texts, uploaded files or Q&A pairs; with what that is expected to come to, where known.

        Raises Unprocessable where two have one title, name or question.
        """
        if len({each.title for each in items}) < len(items):
            what = {"qa": "question", "files": "name"}.get(kind, "title")
            raise Unprocessable(f"Two of these have the same {what}. Leave one out, then repeat this.")
        job = self._new(site, kind, actor, mode="full" if force else "differential")
        if estimate:
            job = replace(
                job,
                estimated_pages=estimate.pages,
                estimated_tokens=estimate.tokens,
                estimated_cost_usd=estimate.cost_usd,
                exceeds_quota=estimate.exceeds_quota,
            )
        self._inputs.keep(job, list(items))
        self._jobs.start(job)
        self._hint(job, "plan")
        return job

    def get(self, tenant_id: TenantId, job_id: str) -> Job:
        """The job as it is now. Raises NotFound."""
        job = self._jobs.get(tenant_id, job_id)
        if job is None:
            raise NotFound("There is no such job")
        return job

    def some(
        self, tenant_id: TenantId, site_id: str | None, limit: int, position: Position | None
    ) -> tuple[list[Job], Position | None]:
        """Jobs, of a site or of all, the newest first."""
        return self._jobs.some(tenant_id, site_id, limit, position)

    def pages(
        self, tenant_id: TenantId, job_id: str, limit: int, position: Position | None
    ) -> tuple[list[JobPage], Position | None]:
        """What has become of a job's pages, in no order that means anything. Raises NotFound."""
        return self._jobs.some_pages(self.get(tenant_id, job_id), limit, position)

    def cancel(self, tenant_id: TenantId, job_id: str) -> Job:
        """End a job where it stands. What it has learnt is kept, to be published with the next. Raises Conflict."""
        job = self.get(tenant_id, job_id)
        if not self._jobs.cancel(job, self._clock()):
            raise Conflict("This job has ended: there is nothing left to cancel.", code="job_ended")
        return self.get(tenant_id, job_id)

    def retry(self, tenant_id: TenantId, job_id: str) -> Job:
        """Have a job do what failed or was cancelled. Raises Conflict where nothing is to be done again, or it is the
        turn of another crawl of the site.
        """
        job = self.get(tenant_id, job_id)
        if job.status not in RETRYABLE or job.kind == "refresh":
            raise Conflict("This job has nothing to do again.", code="not_retryable")
        is_begun = self._crawls.retry(job) if job.kind == "url" else self._jobs.retry(job, self._clock())
        if not is_begun:
            raise Conflict(MOVED)
        again = self.get(tenant_id, job_id)
        self._hint(again, "plan")
        return again

    # Documents

    def documents(
        self, site: Site, limit: int, position: Position | None, status: DocumentStatus | None = None
    ) -> tuple[list[Document], Position | None]:
        """What a site has learnt (of a status, if one is given), in no order that means anything."""
        return self._documents.page(site.tenant_id, site.site_id, limit, position, status)

    def document(self, site: Site, document_id: str) -> Document:
        """A document. Raises NotFound."""
        found = self._documents.get(site.tenant_id, site.site_id, document_id)
        if found is None:
            raise NotFound("There is no such document")
        return found

    def delete_document(self, site: Site, document_id: str, actor: str) -> Job:
        """Forget a document; the job that publishes without it. Raises NotFound or Conflict."""
        document = self.document(site, document_id)
        job = refresh(site.tenant_id, site.site_id, self._clock(), actor, removed=1)
        if not self._jobs.remove_document(document, job):
            raise Conflict("A training has just changed this document. Load it again, then repeat this.")
        try:
            self._blobs.delete([keys.text_key(document)])
        except Exception as error:
            _log.warning("a deleted document's text is left to the next publication: %s", type(error).__name__)
        self._hint(job, "publish")
        return job

    # The version in force

    def index(self, site: Site) -> IndexPointer | None:
        """What the site answers from; None before the first training."""
        return self._documents.pointer(site.tenant_id, site.site_id)

    def roll_back(self, site: Site) -> IndexPointer:
        """Answer from the index before again, till the next publication. Raises Conflict where none is kept, or
        another has become current.
        """
        old = self.index(site)
        if old is None or old.previous is None:
            raise Conflict("No version before this one is kept.", code="no_previous_version")
        new = replace(old.previous, version=old.version + 1, previous=replace(old, previous=None))
        if not self._documents.point(site.tenant_id, site.site_id, old, new):
            raise Conflict("A training has just published another version. Look at it, then repeat this.")
        return new

    def _new(self, site: Site, kind: JobKind, actor: str, mode: JobMode) -> Job:
        now = self._clock()
        return Job(
            job_id=new_id("job", now),
            tenant_id=site.tenant_id,
            site_id=site.site_id,
            kind=kind,
            mode=mode,
            status="queued",
            source=new_id("upl", now),
            created_at=now,
            created_by=actor,
            moved_at=now,
        )

    def _hint(self, job: Job, step: Step) -> None:
        """Have a worker begin. Where the message is lost, the sweep finds the job."""
        try:
            self._steps.ask(job, step)
        except Exception as error:
            _log.warning("a job is left to the sweep: %s", type(error).__name__)
