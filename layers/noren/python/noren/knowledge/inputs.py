"""What a training of texts or of questions and answers was given: an upload, an item of which is a page of the job."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from noren.knowledge.blobs import Blobs, upload_key
from noren.knowledge.models import DocumentKind, Job, JobPage, document_id, page_id
from noren.knowledge.text import Extracted
from noren.knowledge.texts import asked, written


@dataclass(frozen=True, slots=True)
class Given:
    """A text, or a question with its answer, as its author sent it in."""

    title: str
    """Of a Q&A pair: the question."""
    text: str
    language: str = ""
    url: str = ""
    """Where readers can look it up."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A page's content, and the document that it is of."""

    document_id: str
    kind: DocumentKind
    url: str
    text: Extracted


class Inputs:
    """Uploads of texts and pairs. Each raises BlobMissing where the upload is gone."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def keep(self, job: Job, items: list[Given]) -> None:
        """Store what a job is to be done with."""
        data = [{"title": each.title, "text": each.text, "language": each.language, "url": each.url} for each in items]
        stored = json.dumps(data, ensure_ascii=False).encode()
        self._blobs.put(upload_key(job.tenant_id, job.site_id, job.source), stored)

    def pages(self, job: Job) -> list[JobPage]:
        """The pages of a job, which are the same however often they are asked for."""
        sources = ((f"{job.source}#{at}", each) for at, each in enumerate(self._items(job)))
        return [JobPage(page_id(source), source, each.title[:200]) for source, each in sources]

    def read(self, job: Job, page: JobPage) -> Reading:
        """What a page says. A text is known by its title and a pair by its question: the next replaces it."""
        each = self._items(job)[int(page.source.rpartition("#")[2])]
        kind: DocumentKind = "qa" if job.kind == "qa" else "text"
        text = (asked if kind == "qa" else written)(each.title, each.text, each.language)
        return Reading(document_id(job.site_id, f"{kind}:{each.title}"), kind, each.url, text)

    def _items(self, job: Job) -> list[Given]:
        stored: list[dict[str, Any]] = json.loads(self._blobs.get(upload_key(job.tenant_id, job.site_id, job.source)))
        return [Given(**each) for each in stored]
