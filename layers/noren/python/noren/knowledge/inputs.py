"""What a training of texts, files or questions with answers was given: a list, each item of which is a page of the job.

The list itself is an upload, and so is each file that it names.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from noren.knowledge.blobs import Blobs, upload_key
from noren.knowledge.extract.files import read_file
from noren.knowledge.extract.languages import language_of
from noren.knowledge.models import DocumentKind, Job, JobPage, document_id, page_id
from noren.knowledge.text import Extracted
from noren.knowledge.texts import asked, written


@dataclass(frozen=True, slots=True)
class Given:
    """A text, a question with its answer, or a file, as its author sent it in."""

    title: str
    """Of a Q&A pair the question, of a file its name."""
    text: str = ""
    language: str = ""
    url: str = ""
    """Where readers can look it up."""
    upload_id: str = ""
    """Of a file: where it was put."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A page's content, and the document that it is of."""

    document_id: str
    kind: DocumentKind
    url: str
    text: Extracted


class Inputs:
    """What jobs are done with. Reading raises BlobMissing where that is gone."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def keep(self, job: Job, items: list[Given]) -> None:
        """Store what a job is to be done with."""
        stored = json.dumps([asdict(each) for each in items], ensure_ascii=False).encode()
        self._blobs.put(upload_key(job.tenant_id, job.site_id, job.source), stored)

    def pages(self, job: Job) -> list[JobPage]:
        """The pages of a job, which are the same however often they are asked for."""
        sources = ((f"{job.source}#{at}", each) for at, each in enumerate(self._items(job)))
        return [JobPage(page_id(source), source, each.title[:200]) for source, each in sources]

    def read(self, job: Job, page: JobPage) -> Reading:
        """What a page says. A text is known by its title, a file by its name, a pair by its question: the next of the
        same replaces it. Raises ExtractFailed where a file can't be read.
        """
        each = self._items(job)[int(page.source.rpartition("#")[2])]
        kind, text = self._text(job, each)
        return Reading(document_id(job.site_id, f"{kind}:{each.title}"), kind, each.url, text)

    def _text(self, job: Job, each: Given) -> tuple[DocumentKind, Extracted]:
        if each.upload_id:
            stored = self._blobs.get(upload_key(job.tenant_id, job.site_id, each.upload_id))
            return "file", read_file(stored, name=each.title)
        language = each.language or language_of(f"{each.title}\n{each.text}")
        if job.kind == "qa":
            return "qa", asked(each.title, each.text, language)
        return "text", written(each.title, each.text, language)

    def _items(self, job: Job) -> list[Given]:
        stored: list[dict[str, Any]] = json.loads(self._blobs.get(upload_key(job.tenant_id, job.site_id, job.source)))
        return [Given(**each) for each in stored]
