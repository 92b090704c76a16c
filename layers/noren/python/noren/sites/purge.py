"""What was deleted 30 days ago goes for good: the site, whose it was, and all that lies under its keys."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from noren.clock import Clock
from noren.ids import TenantId
from noren.sites.management import RESTORABLE_SECONDS
from noren.sites.purge_store import PurgeStore

MARGIN_SECONDS = 3600
"""No clock runs so far ahead of another that a site is purged while somebody may still restore it."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Purged:
    """What one run did. `finished` is False where the time ran out: the next run goes on."""

    sites: int
    failures: int
    finished: bool


class SitePurge:
    """Safe to repeat, and to be cut off anywhere: the mark of a site goes last."""

    def __init__(self, store: PurgeStore, remove_knowledge: Callable[[TenantId, str], None], clock: Clock) -> None:
        self._store, self._remove_knowledge, self._clock = store, remove_knowledge, clock

    def run(self, seconds: float) -> Purged:
        """Purge what is due, for at most about `seconds`. One site's trouble stops no other's: it is logged."""
        now = self._clock()
        done = failures = 0
        for deleted in self._store.due(now - RESTORABLE_SECONDS - MARGIN_SECONDS):
            if self._clock() - now >= seconds:
                return Purged(done, failures, finished=False)
            done += 1
            try:
                if self._store.remove_site(deleted):
                    self._store.remove_contents(deleted)
                    self._remove_knowledge(deleted.tenant_id, deleted.site_id)
                    self._store.remove_traces(deleted)
            except Exception:
                failures += 1
                _log.exception("the purge of a site of %s failed", deleted.tenant_id)
        return Purged(done, failures, finished=True)
