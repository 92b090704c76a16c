"""From a site's documents to the index that it answers from: built whole, tried out, then current in one step."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Collection, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import Protocol

from noren.clock import Clock
from noren.ids import TenantId
from noren.knowledge import blobs as keys
from noren.knowledge.analysis import ANALYSIS_VERSION, terms
from noren.knowledge.blobs import BlobMissing, Blobs
from noren.knowledge.chunks import Cut, cut
from noren.knowledge.current import current
from noren.knowledge.document_store import DocumentStore
from noren.knowledge.index_format import FORMAT_VERSION
from noren.knowledge.job_store import JobStore
from noren.knowledge.models import Document, IndexEngine, IndexPointer, Job, JobStatus
from noren.knowledge.site_vectors import Later, SiteVectors, Stopped, Vectors
from noren.knowledge.texts import unpacked
from noren.knowledge.trial import hashes_of_trial
from noren.tenants.store import Refused

ROUNDS = 5
"""How often to begin anew because the documents or the index have changed meanwhile."""
TRIED = 100
"""Titles and questions that an index is asked before it may become current."""
AMONG = 10
"""A document counts as found among so many."""
MUST_FIND = 0.9
"""The share of them that must be found."""
MAY_MISS, FEW = 1, 2
"""So many may be missed in any case, where more than a few are tried."""
SAID = 200
"""Characters of a text by which a document is looked for that its title does not find."""
UNUSED_SECONDS = 86400
"""A text that no document names is removed after that: before, somebody may be about to name it."""
UPLOAD_SECONDS = 30 * 86400

_log = logging.getLogger("noren.knowledge")


class Built(Protocol):
    """An index that was built and is asked before it is published."""

    @property
    def data(self) -> bytes:
        """The file."""

    @property
    def chunks(self) -> int:
        """How many it has."""

    @property
    def model(self) -> str:
        """Whose vectors it is also searched by; "" where by none."""

    @property
    def engine(self) -> IndexEngine:
        """Where those are."""

    def find(self, question: str, most: int) -> Sequence[str]:
        """The ids of the documents whose passages answer best, the best first."""


class Engine(Protocol):
    """What makes texts findable."""

    def build(
        self, tenant_id: TenantId, site_id: str, version: int, documents: Sequence[Cut], vectors: Vectors | None
    ) -> Built:
        """An index of all of a site's documents, which becomes `version`; by `vectors` too where those help."""

    def clean(self, tenant_id: TenantId, site_id: str, kept: Collection[str], version: int) -> None:
        """Remove what was kept for other files than those of these keys, up to a version."""


class Publisher:
    """Whoever dies here leaves the version before in force, whole."""

    def __init__(
        self,
        jobs: JobStore,
        documents: DocumentStore,
        blobs: Blobs,
        engine: Engine,
        vectors: SiteVectors,
        pool: Executor,
        clock: Clock,
    ) -> None:
        self._jobs, self._documents, self._blobs = jobs, documents, blobs
        self._engine, self._vectors, self._pool, self._clock = engine, vectors, pool, clock

    def publish(self, job: Job) -> None:
        """Make what the site's documents say now what it answers from, and end the job.

        Raises Later where it is to be gone on with then, what storage raises, and RuntimeError where the documents
        never stood still: then repeat it.
        """
        try:
            for _ in range(ROUNDS):
                if self._is_through(job):
                    return
            raise RuntimeError("the documents of a site do not stand still")
        except Stopped:
            return
        except Exception:
            self._put_off(job)
            raise
        finally:
            self._vectors.end(job)

    def _put_off(self, job: Job) -> None:
        """Whoever comes next goes on at once, and need not take us for dead first."""
        try:
            self._jobs.put_off(job, self._clock())
        except Exception as error:
            _log.warning("a publication is held up: %s", type(error).__name__)

    def _is_through(self, job: Job) -> bool:
        """Whether the job has ended by this round; what it was made from may have changed meanwhile."""
        where = job.tenant_id, job.site_id
        old = self._documents.pointer(*where)  # first: who publishes what we have not seen makes ours fail
        every = list(self._documents.every(*where))
        documents = current(every, self._clock())
        vectors = self._vectors.begin(job) if documents else None
        is_forced = job.mode == "full" and job.changed > 0  # the file in force may be damaged
        # What somebody else has published without a deleted document may still have it in the version before.
        is_forced = is_forced or (job.kind == "refresh" and old is not None and old.previous is not None)
        if not is_forced and _is_current(old, documents, vectors.wanted_state if vectors else ""):
            return self._end(job, old, "")
        cut = self._cut(documents)
        if cut is None:
            return False
        if vectors:
            vectors.make(
                {chunk.content_hash: chunk.embedded for _, chunks in cut for chunk in chunks},
                {chunk.content_hash for each, chunks in cut if each.job_id == job.job_id for chunk in chunks}
                if is_forced
                else (),
            )
            if _is_current(old, documents, vectors.state) and not is_forced:
                return self._end(job, old, vectors.notice)
            if vectors.is_late():
                raise Later
        built = self._engine.build(*where, _number(old) + 1, cut, vectors)
        if not is_sound(built, cut):
            _log.error("an index does not find its own documents", extra={"fields": {"job": job.job_id}})
            self._jobs.end(job, "failed", self._clock(), error="self_test_failed", index_version=_number(old))
            return True
        new = self._upload(job, old, documents, built, vectors)
        notice = vectors.notice if vectors else ""
        try:
            self._jobs.publish(job, old, new, _ended(job, notice), self._clock(), error=job.error or notice)
        except Refused as refused:
            return 1 in refused.failed
        self._clean(*where, new, every)
        if vectors:
            self._tidy(job, vectors, cut)
        return True

    def _end(self, job: Job, old: IndexPointer | None, notice: str) -> bool:
        """What is in force is what would be published."""
        error = job.error or notice
        self._jobs.end(job, _ended(job, notice), self._clock(), error=error, index_version=_number(old))
        return True

    def _cut(self, documents: Sequence[Document]) -> list[Cut] | None:
        """The documents with their chunks; None where one has no text: then it is among them no more."""
        texts = list(self._pool.map(self._text, documents))
        for each, text in zip(documents, texts, strict=True):
            if text is None:
                self._lose(each)
        if None in texts:
            return None
        return [(each, cut(unpacked(text))) for each, text in zip(documents, texts, strict=True) if text]

    def _text(self, document: Document) -> bytes | None:
        try:
            return self._blobs.get(keys.text_key(document))
        except BlobMissing:
            return None

    def _lose(self, document: Document) -> None:
        """A text that is lost must not hold up its site for ever: its document is gone, until it is read again."""
        if self._documents.get(document.tenant_id, document.site_id, document.document_id) != document:
            return  # it was deleted since, or learnt anew
        gone = replace(document, status="gone", checked_at=self._clock())
        if self._documents.note(gone):
            _log.error("the text of a document is lost", extra={"fields": {"document": document.document_id}})

    def _upload(
        self, job: Job, old: IndexPointer | None, documents: Sequence[Document], built: Built, vectors: Vectors | None
    ) -> IndexPointer:
        version = _number(old) + 1
        digest = hashlib.sha256(built.data).hexdigest()[:16]
        key = keys.index_key(job.tenant_id, job.site_id, version, digest)
        self._blobs.put(key, built.data)
        return IndexPointer(
            version=version,
            key=key,
            built_at=self._clock(),
            documents=len(documents),
            chunks=built.chunks,
            languages=tuple(sorted({each.language for each in documents if each.language})),
            embedding_model=built.model,
            contents=contents_of(documents, vectors.state if vectors else ""),
            engine=built.engine,
            # What was deleted, or has expired, must not come back by a rollback.
            previous=replace(old, previous=None) if old and job.kind != "refresh" else None,
        )

    def _clean(self, tenant_id: TenantId, site_id: str, now: IndexPointer, documents: Sequence[Document]) -> None:
        """Remove what is not used any more. Where that fails the next publication does it."""
        indexed = {now.key} | ({now.previous.key} if now.previous else set())
        # Those of documents that are gone too: a crawl that has nothing takes back what it has missed.
        named = {keys.text_key(each) for each in documents}
        named |= {keys.links_key(tenant_id, site_id, each.document_id) for each in documents}
        long_ago = self._clock() - UNUSED_SECONDS
        try:
            # An index of a higher number is somebody's who is about to publish it.
            indexes = self._blobs.listed(keys.indexes_prefix(tenant_id, site_id))
            unused = [key for key, _ in indexes if key not in indexed and keys.index_version(key) <= now.version]
            texts = self._blobs.listed(keys.texts_prefix(tenant_id, site_id))
            unused += [key for key, stored in texts if key not in named and stored < long_ago]
            uploads = self._blobs.listed(keys.uploads_prefix(tenant_id, site_id))
            unused += [key for key, stored in uploads if stored < self._clock() - UPLOAD_SECONDS]
            self._blobs.delete(unused)
            self._engine.clean(tenant_id, site_id, indexed, now.version)
        except Exception as error:
            _log.warning("unused texts and indexes were left: %s", type(error).__name__)

    def _tidy(self, job: Job, vectors: Vectors, cut: Sequence[Cut]) -> None:
        """Drop the vectors of what is not said any more: at once where that was deleted. The next one may do it."""
        try:
            hashes = {chunk.content_hash for _, chunks in cut for chunk in chunks}
            vectors.tidy(hashes | hashes_of_trial(cut), at_once=job.kind == "refresh")
        except Exception as error:
            _log.warning("unused vectors were left: %s", type(error).__name__)


def is_sound(built: Built, cut: Sequence[Cut]) -> bool:
    """Whether an index finds its own: titles that only one document has, and all questions of Q&A pairs.

    A title may consist of what an index rightly leaves out, or of what stands everywhere: then the document is looked
    for by what it says too. What says nothing of its own is not looked for.
    """
    if not built.chunks:
        return not any(chunks for _, chunks in cut)
    tried = _own(cut)[:TRIED]
    missed = sum(not _is_found(built, *each) for each in tried)
    return missed <= max(MAY_MISS if len(tried) > FEW else 0, (1 - MUST_FIND) * len(tried))


def _own(cut: Sequence[Cut]) -> list[tuple[Document, str]]:
    """Documents that can be told apart by title and text, each with the beginning of a text that no other has."""
    titles = Counter(document.title.strip() for document, _ in cut)
    texts = Counter(text for _, chunks in cut for text in {chunk.text for chunk in chunks})
    own: list[tuple[Document, str]] = []
    for document, chunks in sorted(cut, key=lambda each: (each[0].kind != "qa", each[0].document_id)):
        said = next((chunk.text[:SAID] for chunk in chunks if texts[chunk.text] == 1), "")
        if said and document.title.strip() and titles[document.title.strip()] == 1:
            own.append((document, said))
    return own


def _is_found(built: Built, document: Document, said: str) -> bool:
    """By its title, or by title and text; what has no word that could be looked up counts as found."""
    asked = [each for each in (document.title, f"{document.title}\n{said}") if terms(each).keys]
    return not asked or any(document.document_id in built.find(each, AMONG) for each in asked)


def contents_of(documents: Sequence[Document], vectors: str) -> str:
    """A hash of what an index of these documents holds, as this release writes it; `vectors` says which it has."""
    named = sorted(f"{each.document_id}:{each.content_hash}" for each in documents)
    parts = f"{FORMAT_VERSION}.{ANALYSIS_VERSION}", vectors, *named
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _is_current(pointer: IndexPointer | None, documents: Sequence[Document], vectors: str) -> bool:
    """Whether the index in force is what would be made of these documents with vectors in that state."""
    return pointer.contents == contents_of(documents, vectors) if pointer else not documents


def _ended(job: Job, notice: str) -> JobStatus:
    """What a job has come to once its documents are published."""
    if not job.error and not notice and not job.failed:
        return "succeeded"
    return "partial" if job.kind == "refresh" or job.changed + job.unchanged + job.removed else "failed"


def _number(pointer: IndexPointer | None) -> int:
    return pointer.version if pointer else 0
