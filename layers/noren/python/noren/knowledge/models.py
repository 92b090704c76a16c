"""What a site knows and how it came to know it: documents, training jobs and their pages, the published index."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, get_args

from noren.ids import TenantId, new_id
from noren.knowledge.text import Extracted

JobKind = Literal["url", "files", "text", "qa", "refresh"]
"""`refresh` publishes what is there anew: after a document was deleted or has expired."""
JobStatus = Literal["queued", "running", "publishing", "succeeded", "partial", "failed", "cancelled"]
JobMode = Literal["full", "differential"]
ENDED: tuple[JobStatus, ...] = ("succeeded", "partial", "failed", "cancelled")
RETRYABLE: tuple[JobStatus, ...] = ("partial", "failed", "cancelled")

DocumentKind = Literal["page", "file", "text", "qa"]
DocumentStatus = Literal["active", "gone"]
"""A `gone` one is kept for a while, so that it is known when it comes back; nothing is answered from it."""

Recurrence = Literal["daily", "weekly", "monthly"]

IndexEngine = Literal["file", "s3_vectors"]

Outcome = Literal["changed", "unchanged", "removed", "failed", "skipped"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)

PLAN = "plan"
"""The page that stands for a job's plan: while it waits, a job is not through, however few pages are known."""


@dataclass(frozen=True, slots=True)
class Document:
    """One thing that a site's assistant answers from. Times are epoch seconds.

    Its text is in the bucket, under `content_hash`; what is here is enough to tell whether it has changed.
    """

    document_id: str
    tenant_id: TenantId
    site_id: str
    kind: DocumentKind
    url: str
    """Of a page: its canonical address. "" where it has none."""
    title: str
    language: str
    content_hash: str
    chunk_count: int
    token_count: int
    created_at: float
    updated_at: float
    version: int = 1
    job_id: str = ""
    """The job that made this version."""
    status: DocumentStatus = "active"
    valid_until: float | None = None
    """When it expires unless it is found again; None: no end is known."""
    # Of a page, for the next visit (see `crawl.known`):
    etag: str = ""
    last_modified: str = ""
    lastmod: str = ""
    distrusted: tuple[str, ...] = ()
    misses: int = 0
    """How many crawls in a row have not found it."""
    checked_at: float | None = None
    """When a crawl last had word of it."""
    fingerprint: str = ""
    """To tell near duplicates by (see `crawl.near`)."""
    depth: int = 0
    """Links from the start of the crawl that found it."""
    published: str = ""
    """The day that the page says it was published, `2026-11-26`; "" where it does not."""


@dataclass(frozen=True, slots=True)
class Job:
    """A training job. Counters are of pages, but `chunks` and `tokens`, which are of what has changed."""

    job_id: str
    tenant_id: TenantId
    site_id: str
    kind: JobKind
    mode: JobMode
    status: JobStatus
    source: str
    """Where its input is: an upload's id."""
    created_at: float
    created_by: str
    moved_at: float
    """When something last came of it, or it was last asked for."""
    attempt: int = 1
    tries: int = 0
    """How often publishing was begun in this attempt."""
    tried_at: float = 0.0
    """When it last was."""
    left: int = 1
    """Pages that are not through; the plan is one of them."""
    found: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    failed: int = 0
    skipped: int = 0
    chunks: int = 0
    tokens: int = 0
    error: str = ""
    started_at: float | None = None
    ended_at: float | None = None
    index_version: int = 0
    """What was current when it had published; 0: nothing yet."""
    reasons: Mapping[str, int] = field(default_factory=dict)
    """How many pages failed, were skipped or removed for which reason."""
    # Of a crawl:
    url: str = ""
    max_pages: int = 0
    pages_per_site: int = 0
    """What the plan allowed when the job began."""
    max_depth: int = 0
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    """The site's own when the job began."""
    is_cut: bool = False
    """Whether there were more pages than `max_pages`."""
    schedule: Recurrence | None = None
    """How often it comes again, where it was asked for so."""
    estimated_pages: int | None = None
    estimated_tokens: int | None = None
    estimated_cost_usd: Decimal | None = None
    exceeds_quota: bool | None = None
    """Whether, by the estimate, it will stop at the month's embedding tokens; None where there is none."""
    embedded_chunks: int = 0
    embedding_tokens: int = 0
    cost_usd: Decimal = Decimal(0)

    @property
    def is_open(self) -> bool:
        """Whether there is something left to do."""
        return self.status not in ENDED

    @property
    def fetched(self) -> int:
        """Pages whose content was had."""
        return self.changed + self.unchanged


@dataclass(frozen=True, slots=True)
class JobPage:
    """One page of a job."""

    page_id: str
    source: str
    """What is read: `<upload id>#<number>` of an item in an upload, or the URL of a page."""
    name: str
    status: Literal["waiting"] | Outcome = "waiting"
    reason: str = ""
    """Why it failed or was skipped."""
    attempts: int = 0
    chunks: int = 0
    tokens: int = 0
    document_id: str = ""
    depth: int = 0
    """Links from the start."""
    hops: int = 0
    """Addresses that only referred to the next one, the last of them to this."""
    lastmod: str = ""
    """What the sitemap says."""
    due_at: float = 0.0
    """Nobody need look at it before; a message is under way for then."""
    has_slot: bool = False
    """Whether its host may be called at `due_at`."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A crawl that comes again."""

    schedule_id: str
    tenant_id: TenantId
    site_id: str
    url: str
    schedule: Recurrence
    max_pages: int | None
    """None: as many as the plan has room for when it comes."""
    max_depth: int
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    created_at: float
    """From when on it recurs."""
    created_by: str
    due_at: float
    """When it comes next."""


@dataclass(frozen=True, slots=True)
class PageEnd:
    """What has become of a page. `document` is stored with it, as the version after the one that was read; or `noted`
    is: a document whose content stays.
    """

    outcome: Outcome
    reason: str = ""
    document: Document | None = None
    noted: Document | None = None
    document_id: str = ""


@dataclass(frozen=True, slots=True)
class IndexPointer:
    """The index that a site answers from."""

    version: int
    """Counts publications and rollbacks: no two indexes were ever current under one number."""
    key: str
    """Of its file in the bucket."""
    built_at: float
    documents: int
    chunks: int
    languages: tuple[str, ...]
    embedding_model: str
    """Whose vectors it is also searched by: a policy's id, "" where words alone find as much."""
    contents: str
    """A hash of what it was built from."""
    engine: IndexEngine = "file"
    """Where its vectors are, if it has any."""
    previous: IndexPointer | None = None
    """What was current before; kept for a rollback, unless a `refresh` came between."""


def refresh(tenant_id: TenantId, site_id: str, now: float, actor: str = "", *, removed: int = 0) -> Job:
    """A job that publishes what a site knows anew."""
    return Job(
        job_id=new_id("job", now),
        tenant_id=tenant_id,
        site_id=site_id,
        kind="refresh",
        mode="differential",
        status="publishing",
        source="",
        created_at=now,
        created_by=actor,
        moved_at=now,
        left=0,
        removed=removed,
    )


def learnt(
    job: Job,
    known: Document | None,
    document_id: str,
    kind: DocumentKind,
    url: str,
    text: Extracted,
    content_hash: str,
    size: tuple[int, int],
    now: float,
) -> Document:
    """The next version of a document, after `known`: what a job has learnt, of so many chunks and tokens."""
    chunks, tokens = size
    return Document(
        document_id=document_id,
        tenant_id=job.tenant_id,
        site_id=job.site_id,
        kind=kind,
        url=url,
        title=text.title,
        language=text.language,
        content_hash=content_hash,
        chunk_count=chunks,
        token_count=tokens,
        created_at=known.created_at if known else now,
        updated_at=now,
        version=known.version + 1 if known else 1,
        job_id=job.job_id,
        published=text.published,
    )


def document_id(site_id: str, source: str) -> str:
    """The document of a source: one page, one file name, one text or one question is one document for ever."""
    return f"doc_{_digest(site_id, source)[:32]}"


def page_id(source: str) -> str:
    """The page of a job that reads `source`."""
    return _digest(source)[:32]


def schedule_id(site_id: str, url: str) -> str:
    """The schedule of an address of a site: there is one."""
    return f"sch_{_digest(site_id, url)[:32]}"


def plain(pointer: IndexPointer) -> dict[str, Any]:
    """A pointer's own fields, without what was before it."""
    names = ("version", "key", "built_at", "documents", "chunks", "languages", "embedding_model", "contents", "engine")
    return {name: getattr(pointer, name) for name in names}


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
