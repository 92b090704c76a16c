"""Training jobs and documents as the platform API takes and gives them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from noren.edge.numbers import PlainDecimal
from noren.edge.paging import PageQuery
from noren.knowledge.models import DocumentKind, DocumentStatus, JobKind, JobMode, JobStatus, Outcome, Recurrence
from platform_api.schemas import Answer, Body, Line

MAX_BODY = 2_000_000
"""Bytes of texts or of pairs in one call."""


def _says_something(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


Id = Annotated[str, StringConstraints(min_length=1, max_length=60)]
Language = Literal["ja", "ko", "en"]
Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=200_000), AfterValidator(_says_something)]
Said = Annotated[str, StringConstraints(min_length=1, max_length=10_000), AfterValidator(_says_something)]
Link = Annotated[str, StringConstraints(max_length=2_000, pattern=r"^https?://[^\s<>\"']+$")]


class TextIn(Body):
    """A text. One of the same title replaces it."""

    title: Title
    text: Text
    language: Language | None = Field(None, description="Told from the text where it is left out")
    url: Link | None = Field(None, description="Where readers can look it up")


class TrainTextIn(Body):
    """Texts to train a site on."""

    site_id: Id
    texts: Annotated[list[TextIn], Field(min_length=1, max_length=50)]
    force_retrain: bool = Field(False, description="Learn again even what has not changed")


class PairIn(Body):
    """A question with its answer. A pair with the same question replaces it."""

    question: Title
    answer: Said
    language: Language | None = Field(None, description="Told from the pair where it is left out")
    url: Link | None = Field(None, description="Where readers can look it up")


class TrainQaIn(Body):
    """Questions and answers to train a site on."""

    site_id: Id
    pairs: Annotated[list[PairIn], Field(min_length=1, max_length=200)]
    force_retrain: bool = Field(False, description="Learn again even what has not changed")


class LearnIn(Body):
    """A pair made of a rated answer: what is left out is taken from it."""

    question: Title | None = None
    answer: Said | None = Field(None, description="The right one, where the given one was not")
    language: Language | None = Field(None, description="Told from the pair where it is left out")
    url: Link | None = Field(None, description="Where readers can look it up")


class UploadIn(Body):
    """A place for a file is wanted."""

    site_id: Id


class UploadOut(Answer):
    """Post the file to `url` as a form (`multipart/form-data`): `fields` first, then the file as `file`."""

    upload_id: str
    url: str
    fields: dict[str, str]
    max_bytes: int
    expires_in: int = Field(description="Seconds")


class FileIn(Body):
    """A file that was uploaded. One of the same name replaces it."""

    upload_id: Annotated[
        str, StringConstraints(pattern=r"^upl_[0-9a-f]{32}$"), Field(examples=["upl_01a2186b0a5f761b9d5718adb424d64d"])
    ]
    name: Line = Field(description="With its ending: pdf, docx, txt, md, html or csv")


class TrainFilesIn(Body):
    """Uploaded files to train a site on."""

    site_id: Id
    files: Annotated[list[FileIn], Field(min_length=1, max_length=50)]
    force_retrain: bool = Field(False, description="Learn again even what has not changed")


Pattern = Annotated[
    str,
    StringConstraints(min_length=1, max_length=300, pattern=r"^(/|https?://|\*)[^\s]*$"),
    Field(examples=["/help/*"]),
]


class ScopeIn(Body):
    """How much of a site is meant. Patterns are of paths (`/help/*`) or whole URLs; `*` is any text."""

    max_pages: int | None = Field(
        default=None, ge=1, le=20_000, description="At most the plan's `pages_per_site`, which it is by default"
    )
    max_depth: int = Field(default=10, ge=0, le=20, description="Links from the start")
    include: Annotated[list[Pattern], Field(max_length=50)] = Field(
        default_factory=list,
        description="Read these alone. By default the folder of `url`: `/ja/*` for `/ja/`, all for the home page;"
        " `/*` is the whole site",
    )
    exclude: Annotated[list[Pattern], Field(max_length=50)] = Field(default_factory=list)


class EstimateIn(Body):
    """A site that might be trained."""

    site_id: Id
    url: Link = Field(description="Where to begin")
    scope: ScopeIn = Field(default_factory=lambda: ScopeIn())
    force_retrain: bool = Field(False, description="Learn again even what has not changed")


class SkippedOut(Answer):
    """Pages that would be left out. `count` is of the whole site, projected where only the sample tells."""

    reason: str
    count: int
    example: str


class EstimateOut(Answer):
    """What training would come to. A figure lies between its `_low` and its `_high` in nine of ten cases."""

    pages: int
    pages_low: int
    pages_high: int
    unchanged: int = Field(description="Of the pages, those that need not be embedded again")
    tokens: int = Field(description="To be embedded")
    tokens_low: int
    tokens_high: int
    embedding_model: str = Field(description="Empty where the plan embeds nothing: then it costs nothing")
    cost_usd: PlainDecimal
    cost_usd_low: PlainDecimal
    cost_usd_high: PlainDecimal
    cost_local: PlainDecimal
    cost_local_low: PlainDecimal
    cost_local_high: PlainDecimal
    currency: str
    skipped: list[SkippedOut]
    listed: int = Field(description="Pages that the site lists itself, or that links led to")
    sampled: int = Field(description="Pages that were read for this")
    max_pages: int = Field(description="As many would be learnt at most: as asked for, and as the plan has room for")
    include: list[str] = Field(description="What was asked for, or the folder of `url`; empty for the whole site")
    is_cut: bool = Field(description="There is more than `max_pages`")
    is_growing: bool = Field(description="Links were still leading to new pages: there may be more than is said")
    embedding_tokens_left: int = Field(description="This month's")
    exceeds_quota: bool = Field(description="Training would stop at the month's embedding tokens")
    may_exceed_quota: bool = Field(description="It would if it came to `tokens_high`")


class TrainUrlIn(Body):
    """A site's pages to train it on. The first address decides: its host becomes the site's domain if it has none."""

    site_id: Id
    url: Link = Field(
        description="Where to begin: on one of the site's domains. Its folder is read, unless `scope` says else"
    )
    force_retrain: bool = Field(False, description="Learn again even what has not changed")
    scope: ScopeIn = Field(
        default_factory=lambda: ScopeIn(),
        description="What is read; what was learnt out of it before stays",
    )
    schedule: Recurrence | None = Field(None, description="Have it come again, as often as the plan allows")


class ScheduleOut(Answer):
    """A training that comes again."""

    schedule_id: str
    site_id: str
    url: str
    schedule: Recurrence
    max_pages: int | None = Field(description="Null: as many as the plan has room for when it comes")
    max_depth: int
    include: list[str]
    exclude: list[str]
    due_at: str = Field(description="When it comes next")
    created_at: str
    created_by: str


class JobOut(Answer):
    """A training job. Counters are of pages (texts, files, pairs), but `chunks` and `tokens`: of what has changed."""

    job_id: str
    site_id: str
    kind: JobKind = Field(description="`refresh` publishes again after a document was deleted or has expired")
    mode: JobMode
    status: JobStatus = Field(description="`partial`: published, but some pages failed")
    attempt: int
    found: int
    left: int = Field(description="Not through yet; the job's plan is counted too")
    fetched: int
    changed: int
    unchanged: int
    removed: int
    failed: int
    skipped: int
    chunks: int
    tokens: int
    reasons: dict[str, int] = Field(description="How many pages failed, were skipped or removed for which reason")
    error: str = Field(
        description="`input_missing`, `robots_unavailable`, `nothing_read`, `no_room` (the plan's pages are all taken),"
        " `self_test_failed`, `publishing_failed`, `gave_up`, `embedding_quota_spent`, `embedding_refused`,"
        " `embedding_unavailable`; of what was cancelled `suspended` or `site_frozen` where that was not its owner's"
        " wish; or empty"
    )
    url: str = Field(description="Of a crawl: where it begins; its scope follows")
    max_pages: int
    max_depth: int
    include: list[str]
    exclude: list[str]
    is_cut: bool = Field(description="There were more pages than `max_pages`")
    schedule: Recurrence | None
    estimated_pages: int | None = Field(
        description="The estimate's four figures are null where nobody has looked yet: of files, which the job itself"
        " opens; of a crawl that a schedule has begun, or that was begun while no survey could be had; and of a"
        " `refresh`, which learns nothing. The month's embedding tokens hold all the same: a job that reaches their end"
        " stops there and says `embedding_quota_spent`"
    )
    estimated_tokens: int | None
    estimated_cost_usd: PlainDecimal | None
    exceeds_quota: bool | None = Field(description="By the estimate it will stop at the month's embedding tokens")
    embedded_chunks: int
    embedding_tokens: int
    cost_usd: PlainDecimal
    index_version: int = Field(description="The version in force when the job had published; 0: none yet")
    created_at: str
    created_by: str
    started_at: str | None
    ended_at: str | None


class JobQuery(PageQuery):
    """Which jobs or schedules."""

    site_id: Id | None = None


class JobPageOut(Answer):
    """What has become of one page of a job."""

    name: str
    status: Literal["waiting"] | Outcome
    reason: str = Field(description="Why it failed or was skipped")
    attempts: int
    chunks: int
    document_id: str


class DocumentQuery(PageQuery):
    """Whose documents; the default site's where no site is named."""

    site_id: Id | None = None
    status: DocumentStatus | None = Field(None, description="`active`: what is answered from")


class OneSiteQuery(Body):
    """Whose document; the default site's where no site is named."""

    site_id: Id | None = None


class IndexOut(Answer):
    """What a site answers from."""

    version: int = Field(description="Counts publications and rollbacks; 0 before the first training")
    built_at: str | None
    documents: int
    chunks: int
    languages: list[str]
    embedding_model: str = Field(description="Whose vectors it is also searched by; empty where by words alone")
    can_roll_back: bool = Field(description="The version before is kept: it goes when a document is deleted or expires")


class DocumentOut(Answer):
    """What a site has learnt from one source."""

    document_id: str
    site_id: str
    kind: DocumentKind
    url: str
    title: str
    language: str
    published: str = Field(description='The day that a page says it was published, as `2026-11-26`; "" for others')
    content_hash: str
    version: int
    chunk_count: int
    token_count: int
    status: DocumentStatus = Field(description="Nothing is answered from one that is `gone`; it may come back")
    valid_until: str | None = Field(description="Of a page that a crawl has missed: when it goes in any case")
    etag: str
    last_modified: str
    checked_at: str | None = Field(description="When a crawl last had word of it")
    created_at: str
    updated_at: str
    job_id: str
