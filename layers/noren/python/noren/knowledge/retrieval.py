"""What a site knows about a question: by the index that is current, seen within 30 s of its publication.

An index is found by a `Site`, which was found for its owner: no id from outside leads to one. Sites that were never
trained cost one cached read; what searches is imported by the first site that has an index.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from noren.cache import TtlCache
from noren.clock import Clock
from noren.errors import NorenError
from noren.ids import TenantId
from noren.knowledge.document_store import DocumentStore
from noren.knowledge.models import IndexPointer
from noren.sites.models import Site

if TYPE_CHECKING:
    from noren.knowledge.search import Findings

_log = logging.getLogger("noren.knowledge")

CURRENT_SECONDS = 30.0
"""For how long a container takes an index for current that it has found to be so."""


class IndexUnavailable(NorenError):
    """The site's index can't be read now, or what was read can't be believed."""

    status = 503
    code = "index_unavailable"
    title = "What this site knows can't be read just now"


class IndexGone(IndexUnavailable):
    """There is no such index any more: another has become current since the pointer was read."""


class Searcher(Protocol):
    """One kind of index."""

    def search(
        self,
        site: Site,
        pointer: IndexPointer,
        question: str,
        limit: int,
        vector: Sequence[float] | None,
        own: str = "",
    ) -> Findings:
        """The passages of a site for a question, the best first.

        `vector` is the question's embedding by the pointer's model, `own` a part of it that is weighed by itself.
        Raises IndexUnavailable (IndexGone where the pointer's index is no more), and ValueError for a vector of no
        length.
        """


@dataclass(frozen=True, slots=True)
class Found:
    """Findings, and in which index."""

    pointer: IndexPointer
    findings: Findings


class Retrieval:
    """One per container. `searcher_of` makes what reads an index when one is first read; `engines` are those whose
    vectors it can compare.
    """

    def __init__(
        self,
        documents: DocumentStore,
        searcher_of: Callable[[IndexPointer], Searcher],
        clock: Clock,
        engines: Collection[str] = ("file",),
    ) -> None:
        self._documents, self._searcher_of, self._engines = documents, searcher_of, engines
        self._pointers: TtlCache[tuple[TenantId, str], tuple[IndexPointer | None]] = TtlCache(CURRENT_SECONDS, clock)

    def is_known(self, site: Site) -> bool:
        """Whether `pointer` answers without asking storage."""
        return self._pointers.fresh((site.tenant_id, site.site_id)) is not None

    def pointer(self, site: Site) -> IndexPointer | None:
        """The index that the site answers from, as of at most 30 s ago; None before the first publication. One whose
        vectors nobody can compare is told without their model: no question need be embedded for it.

        While storage gives in, what was known last goes on. Raises what storage raises where nothing was.
        """
        where = site.tenant_id, site.site_id
        try:
            return self._pointers.get(where, lambda: (self._read(*where),))[0]
        except Exception as error:
            known = self._pointers.stale(where)
            if known is None:
                raise
            _log.warning("the last known index is used: %s", type(error).__name__)
            return known[0]

    def _read(self, tenant_id: TenantId, site_id: str) -> IndexPointer | None:
        pointer = self._documents.pointer(tenant_id, site_id)
        return replace(pointer, embedding_model="") if pointer and pointer.engine not in self._engines else pointer

    def renew(self, site: Site) -> None:
        """Have `pointer` ask storage next: somebody may want to see what has just been published."""
        self._pointers.age((site.tenant_id, site.site_id))

    def search(
        self, site: Site, question: str, *, vector: Sequence[float] | None = None, limit: int = 8, own: str = ""
    ) -> Found | None:
        """What the site has for a question; None where it was never trained.

        `vector` is the question's embedding by the model of `pointer`, `own` a part of it that is weighed by itself.
        Raises IndexUnavailable, ValueError for a vector of no length, and what storage raises.
        """
        pointer = self.pointer(site)
        if pointer is None:
            return None
        try:
            return self._found(site, pointer, question, vector, limit, own)
        except IndexGone:
            self._pointers.drop((site.tenant_id, site.site_id))
        newer = self.pointer(site)
        if newer is None or newer.key == pointer.key:
            raise IndexUnavailable
        # Another index may have been made with another model: then the question's vector means nothing in it.
        same = newer.embedding_model == pointer.embedding_model
        return self._found(site, newer, question, vector if same else None, limit, own)

    def _found(
        self, site: Site, pointer: IndexPointer, question: str, vector: Sequence[float] | None, limit: int, own: str
    ) -> Found:
        searcher = self._searcher_of(pointer)
        return Found(pointer, searcher.search(site, pointer, question, limit, vector, own))
