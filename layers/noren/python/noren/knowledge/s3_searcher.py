"""Searching very large sites: by words in the index file, by likeness in Amazon S3 Vectors."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from noren.knowledge.index_cache import IndexFiles
from noren.knowledge.models import IndexPointer
from noren.knowledge.search import LIKE, Findings
from noren.knowledge.vector_indexes import VectorIndexes, name_of
from noren.sites.models import Site

_log = logging.getLogger("noren.knowledge")


class S3VectorsSearcher:
    """Meets `noren.knowledge.retrieval.Searcher`."""

    def __init__(self, files: IndexFiles, indexes: VectorIndexes) -> None:
        self._files, self._indexes = files, indexes

    def search(
        self,
        site: Site,
        pointer: IndexPointer,
        question: str,
        limit: int,
        vector: Sequence[float] | None,
        own: str = "",
    ) -> Findings:
        """Meets `Searcher`. Without S3 Vectors a question is answered by words."""
        name = name_of(site.tenant_id, site.site_id, pointer.key)

        def compared(asked: Sequence[float], also: Iterable[int]) -> dict[int, float]:
            try:
                cosines = self._indexes.nearest(name, asked, LIKE)
            except Exception as error:
                _log.warning("a question is answered by words alone: %s", type(error).__name__)
                return {}
            # What words have found and is not among the nearest is at most as like as the last of those.
            least = min(cosines.values(), default=0.0)
            return dict.fromkeys(also, least) | cosines if cosines else {}

        return self._files.search(site, pointer, question, limit, vector, own, compared)
