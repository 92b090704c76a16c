"""Small sites with real index files, in a bucket in memory, published as the worker publishes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from noren.clock import Clock
from noren.ids import TenantId, new_id
from noren.knowledge.blobs import index_key
from noren.knowledge.chunks import cut
from noren.knowledge.index_build import Document, build_index
from noren.knowledge.index_cache import IndexFiles
from noren.knowledge.index_format import Identity
from noren.knowledge.models import IndexPointer, document_id
from noren.knowledge.retrieval import Retrieval
from noren.knowledge.text import Block, Extracted
from noren.sites.models import Site
from tests.unit.knowledge.training_world import Memory

Page = tuple[str, str, str]
"""Title, text, URL."""


def page(title: str, text: str, url: str = "") -> Page:
    return title, text, url


class Pointers:
    """Stands for the document store: which index is current. Counts its reads."""

    def __init__(self) -> None:
        self.current: dict[tuple[TenantId, str], IndexPointer] = {}
        self.reads = 0
        self.fault: Exception | None = None

    def pointer(self, tenant_id: TenantId, site_id: str) -> IndexPointer | None:
        """Meets `DocumentStore.pointer`."""
        self.reads += 1
        if self.fault:
            raise self.fault
        return self.current.get((tenant_id, site_id))


class Bucket(Memory):
    """Counts what is fetched, and fails as told."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.fetched: list[str] = []
        self.fault: Exception | None = None
        self.before: Callable[[], object] = lambda: None

    def copy(self, key: str, file: Any) -> int:
        self.fetched.append(key)
        self.before()
        if self.fault:
            raise self.fault
        return super().copy(key, file)


class Library:
    """Indexes of any number of sites."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.bucket, self.pointers = Bucket(clock), Pointers()
        self.searched = 0

    def retrieval(self, most_bytes: int = 1 << 30) -> Retrieval:
        """As a container has it."""
        files = IndexFiles(self.bucket, self.clock, most_bytes)

        def searcher(_: IndexPointer) -> IndexFiles:
            self.searched += 1
            return files

        return Retrieval(self.pointers, searcher, self.clock)  # type: ignore[arg-type]

    def publish(self, site: Site, *pages: Page, embedding_model: str = "") -> IndexPointer:
        """Make these pages what the site answers from, as the version after the one before."""
        where = site.tenant_id, site.site_id
        old = self.pointers.current.get(where)
        pointer = built(self.bucket, site, old, *pages, embedding_model=embedding_model)
        self.pointers.current[where] = pointer
        return pointer


def held(files: IndexFiles) -> int:
    """Bytes of all files that are kept."""
    return sum(each.size for each in list(files._kept.values()))


def built(
    bucket: Memory, site: Site, old: IndexPointer | None, *pages: Page, embedding_model: str = "", space: Any = None
) -> IndexPointer:
    """The index of these pages, in the bucket, as the version after `old`. `space`: vectors and what makes them."""
    where = site.tenant_id, site.site_id
    version = old.version + 1 if old else 1
    documents = []
    for title, text, url in pages:
        blocks = tuple(_block(each) for each in text.split("\n") if each)
        document = Document(document_id(site.site_id, url or title), url, title, "")
        documents.append((document, cut(Extracted(title, "", blocks))))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "index"
        head = build_index(path, Identity(*where, str(version)), documents, *(space or ()))
        data = path.read_bytes()
    key = index_key(*where, version, hashlib.sha256(data).hexdigest()[:16])
    bucket.put(key, data)
    before = replace(old, previous=None) if old else None
    return IndexPointer(version, key, 0.0, len(pages), head.chunks, (), embedding_model, "", previous=before)


def a_site(tenant: TenantId | None = None) -> Site:
    return Site(new_id("site"), tenant or TenantId(new_id("ten")), "店", "prof", 0.0)


def _block(line: str) -> Block:
    """`# heading {anchor}` or a paragraph."""
    if not line.startswith("#"):
        return Block("paragraph", line)
    text, _, anchor = line.lstrip("# ").partition(" {")
    return Block("heading", text, len(line) - len(line.lstrip("#")), anchor.rstrip("}"))
