"""The search engine for very large sites: words in the site's index file, likeness in Amazon S3 Vectors.

A file of so many chunks is half vectors, and comparing all of them takes longer than words do. So the file is built and
judged whole, its vectors are moved into an index of their own, tried there, and only then cut off. Both belong to one
version: the pointer names the file, and the file's name gives the index's.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Collection, Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from noren.clock import Clock
from noren.ids import TenantId
from noren.knowledge.blobs import index_key
from noren.knowledge.chunks import Cut
from noren.knowledge.engine import MOST_BYTES, FileEngine, FileIndex
from noren.knowledge.index_build import without_vectors
from noren.knowledge.index_file import IndexFile
from noren.knowledge.index_format import BadIndex, VectorSpace
from noren.knowledge.models import IndexEngine
from noren.knowledge.site_vectors import Later, Vectors
from noren.knowledge.vector_indexes import VectorIndexes, at_once, name_of, prefix_of, version_of

LEAST_CHUNKS = 50_000
"""A site of no more is served from its file alone."""
MOVING_SECONDS = 90.0
"""What has not been moved by then is left to a fresh function: about 45,000 vectors of 1,536 numbers take so long."""
TRIED = 20
"""Vectors that are looked for before an index may be used."""
SAME = 0.999
"""Two vectors that are so like are one: what several pages say is there several times."""

_log = logging.getLogger("noren.knowledge")


class S3VectorsEngine:
    """Meets `noren.knowledge.publish.Engine`."""

    def __init__(self, indexes: VectorIndexes, clock: Clock, least_chunks: int = LEAST_CHUNKS) -> None:
        self._files, self._indexes, self._clock, self._least_chunks = FileEngine(math.inf), indexes, clock, least_chunks

    def build(
        self, tenant_id: TenantId, site_id: str, version: int, documents: Sequence[Cut], vectors: Vectors | None
    ) -> FileIndex:
        """Meets `Engine`. Where its vectors can't be moved, a site is served from its file alone."""
        built = self._files.build(tenant_id, site_id, version, documents, vectors)
        if not built.model or built.chunks <= self._least_chunks:
            return built
        alone = _without_vectors(built, built.opened.head.vectors, "s3_vectors")
        digest = hashlib.sha256(alone.data).hexdigest()[:16]
        name = name_of(tenant_id, site_id, index_key(tenant_id, site_id, version, digest))
        try:
            self._move(built.opened, name)
        except Later:
            raise
        except Exception as error:
            _log.error("vectors were not moved out of the index file: %s", type(error).__name__)
            return built if len(built.data) <= MOST_BYTES else _without_vectors(built, None, "file")
        return alone

    def clean(self, tenant_id: TenantId, site_id: str, kept: Collection[str], version: int) -> None:
        """Meets `Engine`."""
        names = {name_of(tenant_id, site_id, key) for key in kept}
        for name in self._indexes.listed(prefix_of(tenant_id, site_id)):
            if name not in names and version_of(name) <= version:
                self._indexes.delete(name)

    def _move(self, index: IndexFile, name: str) -> None:
        """Store an index's vectors, and look for some of them. Raises Later, which counts as a try where none was
        stored, and `BadIndex` where one is not found.

        Whoever dies here leaves an index that no pointer names: it is gone on with, or removed by the next version.
        """
        space = index.head.vectors
        assert space is not None
        began, has_moved = self._clock(), False
        is_new = self._indexes.create(name, space.dimensions)
        rows = ((chunk, *index.vector(chunk)) for chunk in range(index.head.chunks))
        vectors = ((chunk, numbers) for chunk, step, numbers in rows if step)
        while some := list(islice(vectors, at_once(space.dimensions))):
            if not is_new and self._indexes.has(name, some[-1][0]):
                continue
            if self._clock() - began > MOVING_SECONDS:
                raise Later(is_try=not has_moved)
            self._indexes.put(name, some)
            has_moved = True
        for chunk in range(0, index.head.chunks, -(-index.head.chunks // TRIED)):
            step, numbers = index.vector(chunk)
            found = self._indexes.nearest(name, list(numbers), 10) if step else {chunk: 1.0}
            if chunk not in found and max(found.values(), default=0.0) < SAME:
                raise BadIndex("A vector that was stored is not found again.")


def _without_vectors(built: FileIndex, space: VectorSpace | None, engine: IndexEngine) -> FileIndex:
    """The same index without its vectors; where they are moved what the gate found about them stays as its `space`."""
    head = built.opened.head
    with TemporaryDirectory() as folder:
        path = Path(folder) / "index"
        path.write_bytes(built.data)
        without_vectors(path, space)
        opened = IndexFile(path, head.identity)
        opened.verify()
        return FileIndex(path.read_bytes(), opened, engine)
