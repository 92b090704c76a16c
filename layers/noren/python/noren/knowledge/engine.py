"""Index files as the publisher makes them: cut into chunks, built, read through, judged, asked."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from noren.ids import TenantId
from noren.knowledge import index_build
from noren.knowledge.chunks import Cut
from noren.knowledge.index_file import IndexFile
from noren.knowledge.index_format import Identity, VectorSpace
from noren.knowledge.models import IndexEngine
from noren.knowledge.search import search
from noren.knowledge.site_vectors import Vectors
from noren.knowledge.trial import judged

ENOUGH = 0.9
"""An index is searched by vectors where so large a share of its chunks has one: the others are found by words."""


MOST_BYTES = 440 * 1024 * 1024
"""Of a file: who answers has 512 MB of disk and not more. One that is larger goes without its vectors."""

_log = logging.getLogger("noren.knowledge")


@dataclass(frozen=True)
class FileIndex:
    """An index that was read through. Its file is gone by then; what was opened stays readable."""

    data: bytes
    opened: IndexFile
    engine: IndexEngine = "file"

    @property
    def chunks(self) -> int:
        """How many it has."""
        return self.opened.head.chunks

    @property
    def model(self) -> str:
        """Whose vectors it is also searched by; "" where by none."""
        space = self.opened.head.vectors
        return space.model if space else ""

    def find(self, question: str, most: int) -> list[str]:
        """The ids of the documents that answer a question best, the best first."""
        hits = search(self.opened, question, most * 3).hits
        return list(dict.fromkeys(hit.passage.document_id for hit in hits))[:most]


class FileEngine:
    """One immutable file per site and version."""

    def __init__(self, most_bytes: float = MOST_BYTES) -> None:
        self._most_bytes = most_bytes

    def build(
        self, tenant_id: TenantId, site_id: str, version: int, documents: Sequence[Cut], vectors: Vectors | None
    ) -> FileIndex:
        """The index of a site's documents; with `vectors`, where enough of them are there and help.

        Raises `BadIndex` where what was written can't be read back, and what `Vectors.make` raises.
        """
        identity = Identity(tenant_id, site_id, str(version))
        named = (
            (index_build.Document(each.document_id, each.url, each.title, each.language), made)
            for each, made in documents
        )
        space = _space(documents, vectors)
        with TemporaryDirectory() as folder:
            path = Path(folder) / "index"
            index_build.build_index(path, identity, named, space, vectors.get if vectors else None)
            if space and vectors:
                _judge(path, documents, vectors, Path(folder))
                if path.stat().st_size > self._most_bytes:
                    _log.error("an index goes without its vectors: with them it is too large")
                    index_build.without_vectors(path, None)
            opened = IndexFile(path, identity)
            opened.verify()
            return FileIndex(path.read_bytes(), opened)

    def clean(self, tenant_id: TenantId, site_id: str, kept: Collection[str], version: int) -> None:
        """There is nothing but the files."""


def _space(documents: Sequence[Cut], vectors: Vectors | None) -> VectorSpace | None:
    """What the index's vectors are; None where too few chunks have one."""
    if vectors is None or not vectors.dimensions:
        return None
    hashes = [chunk.content_hash for _, made in documents for chunk in made]
    has = sum(vectors.get(each) is not None for each in hashes)
    return VectorSpace(vectors.model, vectors.dimensions) if has >= ENOUGH * len(hashes) else None


def _judge(path: Path, documents: Sequence[Cut], vectors: Vectors, folder: Path) -> None:
    """Let a trial decide how far an index's vectors count. Where they don't help they are cut off."""
    with IndexFile(path) as index:
        space = judged(index, documents, vectors, folder)
    if space.weight:
        index_build.trust_vectors(path, space)
    else:
        index_build.without_vectors(path, None)
