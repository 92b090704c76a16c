"""Training jobs and documents as the platform API takes and gives them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from noren.edge.paging import PageQuery
from noren.knowledge.models import DocumentKind, JobKind, JobMode, JobStatus, Outcome
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


class JobOut(Answer):
    """A training job. Counters are of pages (texts, files, pairs), but `chunks` and `tokens`: of what has changed."""

    job_id: str
    site_id: str
    kind: JobKind = Field(description="`refresh` publishes again after a document was deleted")
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
    error: str = Field(description="`input_missing`, `self_test_failed`, `publishing_failed`, `gave_up`, or empty")
    index_version: int = Field(description="The version in force when the job had published; 0: none yet")
    created_at: str
    created_by: str
    started_at: str | None
    ended_at: str | None


class JobQuery(PageQuery):
    """Which jobs."""

    site_id: Id | None = None


class JobPageOut(Answer):
    """What has become of one page of a job."""

    name: str
    status: Literal["waiting"] | Outcome
    reason: str = Field(description="Why it failed or was skipped")
    attempts: int
    chunks: int
    document_id: str


class SiteQuery(PageQuery):
    """Whose documents; the default site's where no site is named."""

    site_id: Id | None = None


class OneSiteQuery(Body):
    """Whose document; the default site's where no site is named."""

    site_id: Id | None = None


class DocumentOut(Answer):
    """What a site has learnt from one source."""

    document_id: str
    site_id: str
    kind: DocumentKind
    url: str
    title: str
    language: str
    content_hash: str
    version: int
    chunk_count: int
    token_count: int
    created_at: str
    updated_at: str
    job_id: str
