"""Index files at hand: fetched from the bucket when they are first asked, kept as long as there is room.

A fetched file never has a name on this machine: it is written where no path leads, mapped, and gone when its last
reader is. So nothing is left behind by a process that dies, and nothing of one site is found where another's is looked
for; a reader of an index that is replaced or evicted meanwhile goes on undisturbed.
"""

from __future__ import annotations

import errno
import logging
import re
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from noren.cache import TtlCache
from noren.clock import Clock
from noren.ids import TenantId
from noren.knowledge.blobs import BlobMissing, Blobs, index_version, indexes_prefix
from noren.knowledge.index_file import IndexFile
from noren.knowledge.index_format import BadIndex, Identity
from noren.knowledge.models import IndexPointer
from noren.knowledge.retrieval import IndexGone, IndexUnavailable
from noren.knowledge.search import Findings, Likeness, search
from noren.sites.models import Site

MOST_BYTES = 160 * 1024 * 1024
"""Of all files together; one that is larger is kept alone. A function with SnapStart has 512 MB and can't have more."""
REST_SECONDS = 15.0
"""After a failure an index is not fetched again for so long: an outage of the bucket costs few chats their time."""

_NAME = re.compile(r"\d{8,12}-[0-9a-f]{16}\.idx")

_log = logging.getLogger("noren.knowledge")

SiteKey = tuple[TenantId, str]


@dataclass(frozen=True, slots=True)
class _Kept:
    key: str
    index: IndexFile
    size: int


class IndexFiles:
    """Meets `Searcher`. One per container, for any number of threads."""

    def __init__(self, blobs: Blobs, clock: Clock, most_bytes: int = MOST_BYTES) -> None:
        self._blobs, self._most_bytes = blobs, most_bytes
        self._kept: OrderedDict[SiteKey, _Kept] = OrderedDict()
        """One index a site, the one asked last at the end."""
        self._fetching: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()
        self._failed: TtlCache[str, bool] = TtlCache(REST_SECONDS, clock)

    def search(
        self,
        site: Site,
        pointer: IndexPointer,
        question: str,
        limit: int,
        vector: Sequence[float] | None,
        own: str = "",
        likeness: Likeness | None = None,
    ) -> Findings:
        """Meets `Searcher`; `likeness` knows the vectors where the file does not hold them."""
        for _ in range(2):
            kept = self._opened(site, pointer.key)
            try:
                return search(kept.index, question, limit, vector, likeness=likeness, own=own)
            except BadIndex:  # it was damaged on its way or here: fetch it again, once
                self._forget((site.tenant_id, site.site_id), kept)
        self._failed.get(pointer.key, lambda: True)
        raise IndexUnavailable

    def _opened(self, site: Site, key: str) -> _Kept:
        where = site.tenant_id, site.site_id
        if kept := self._at_hand(where, key):
            return kept
        with self._lock:
            fetching = self._fetching.setdefault(key, threading.Lock())
        with fetching:  # whoever comes second finds what the first has fetched, or that it could not
            if kept := self._at_hand(where, key):
                return kept
            if self._failed.fresh(key):
                raise IndexUnavailable
            try:
                kept = self._with_room(lambda: self._fetched(where, key))
                self._keep(where, kept)
                return kept
            except IndexGone:
                raise
            except Exception as error:
                self._failed.get(key, lambda: True)
                if isinstance(error, IndexUnavailable):
                    raise
                _log.error("an index was not fetched: %s", type(error).__name__)
                raise IndexUnavailable from error
            finally:
                with self._lock:
                    self._fetching.pop(key, None)

    def _at_hand(self, where: SiteKey, key: str) -> _Kept | None:
        with self._lock:
            kept = self._kept.get(where)
            if kept is None or kept.key != key:
                return None
            self._kept.move_to_end(where)
            return kept

    def _fetched(self, where: SiteKey, key: str) -> _Kept:
        """A site's own index, as its builder wrote it. Raises IndexGone, IndexUnavailable, and what storage raises."""
        prefix = indexes_prefix(*where)
        if not key.startswith(prefix) or not _NAME.fullmatch(key.removeprefix(prefix)):
            _log.error("a pointer leads out of its site", extra={"fields": {"tenant": where[0], "site": where[1]}})
            raise IndexUnavailable
        identity = Identity(*where, str(index_version(key)))
        with tempfile.TemporaryFile() as file:
            try:
                size = self._blobs.copy(key, file)
                file.flush()
                return _Kept(key, IndexFile(file, identity), size)
            except BlobMissing:
                raise IndexGone from None
            except BadIndex as error:
                _log.error("an index can't be believed: %s", error.detail)
                raise IndexUnavailable from error

    def _with_room(self, fetch: Callable[[], _Kept]) -> _Kept:
        """Fetch a file; where the disk is full, again in place of all that are kept, its own site's old one first of
        all.
        """
        try:
            return fetch()
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
        with self._lock:
            self._kept.clear()
        return fetch()

    def _keep(self, where: SiteKey, kept: _Kept) -> None:
        """In place of the site's index before; what has not been asked for longest makes room."""
        with self._lock:
            self._kept[where] = kept
            self._kept.move_to_end(where)
            size = sum(each.size for each in self._kept.values())
            while size > self._most_bytes and len(self._kept) > 1:
                _, dropped = self._kept.popitem(last=False)
                size -= dropped.size

    def _forget(self, where: SiteKey, kept: _Kept) -> None:
        with self._lock:
            if self._kept.get(where) is kept:
                del self._kept[where]
