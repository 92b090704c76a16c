"""What goes wrong for a tenant's callers, for its owner to see: added up, so that floods don't cost us writes."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace

from noren.clock import Clock, iso
from noren.ids import TenantId
from noren.insight.error_store import ErrorStore
from noren.insight.events import Events
from noren.insight.models import LoggedError
from noren.tables import Position

WORTH_A_LOOK = frozenset({402, 403, 429})
"""Refusals that an owner can do something about; of what fails on our side all are."""
MOST_AT_ONCE = 20
"""Writes a minute of one container that don't wait for the minute's end."""
MOST_KINDS = 200
"""Told apart within a minute; what is beyond that is left to the container's own log."""
LONGEST_MESSAGE = 300

_Kind = tuple[TenantId, str, str]
"""Tenant, site, code."""
_log = logging.getLogger("noren.errors")


class ErrorLog:
    """The first error of its kind in a minute is written at once, what follows in that minute as one number after it.

    A container that dies in between loses that number (its log has the lines). Logging never fails a request. The
    event `error` goes out at most once per tenant, code and hour.
    """

    def __init__(self, store: ErrorStore, events: Events, clock: Clock) -> None:
        self._store, self._events, self._clock = store, events, clock
        self._lock = threading.Lock()
        self._minute = -1
        self._written: set[_Kind] = set()
        self._waiting: dict[_Kind, LoggedError] = {}
        self._hour = -1
        self._told: set[tuple[TenantId, str]] = set()

    def note(self, tenant_id: TenantId, site_id: str, status: int, code: str, message: str, trace_id: str) -> None:
        """Take in one failed or refused request of a known caller; what no owner can use is left out."""
        if status < 500 and status not in WORTH_A_LOOK:
            return
        error = LoggedError(tenant_id, site_id, status, code, message[:LONGEST_MESSAGE], trace_id, self._clock())
        self.flush()
        if self._is_first(error):
            self._write(error)
            self._tell(error)

    def flush(self) -> None:
        """Write what has waited for its minute's end. Called after every request; cheap."""
        minute = int(self._clock() // 60)
        if minute == self._minute:
            return
        with self._lock:
            if minute == self._minute:
                return
            self._minute = minute
            waiting, self._waiting, self._written = self._waiting, {}, set()
        for error in waiting.values():
            self._write(error)
            self._tell(error)

    def page(
        self,
        tenant_id: TenantId,
        since: float,
        until: float,
        limit: int,
        position: Position | None,
        *,
        site_id: str | None = None,
        code: str | None = None,
    ) -> tuple[list[LoggedError], Position | None]:
        """A tenant's errors, the newest first, and where to go on. Times are epoch seconds."""
        return self._store.page(tenant_id, since, until, site_id, code, limit, position)

    def _is_first(self, error: LoggedError) -> bool:
        """Whether it is to be written now; else it is counted."""
        kind = (error.tenant_id, error.site_id, error.code)
        with self._lock:
            if kind not in self._written and len(self._written) < MOST_AT_ONCE:
                self._written.add(kind)
                return True
            known = self._waiting.get(kind)
            if known or len(self._waiting) < MOST_KINDS:
                self._waiting[kind] = replace(known, count=known.count + 1) if known else error
            return False

    def _write(self, error: LoggedError) -> None:
        try:
            self._store.add(error)
        except Exception as failure:
            _log.warning("an error was not logged: %s", type(failure).__name__)

    def _tell(self, error: LoggedError) -> None:
        hour, kind = int(error.occurred_at // 3600), (error.tenant_id, error.code)
        with self._lock:
            if hour != self._hour:
                self._hour, self._told = hour, set()
            if kind in self._told:
                return
            self._told.add(kind)
        data = {"code": error.code, "status": error.status, "message": error.message, "site_id": error.site_id}
        data |= {"trace_id": error.trace_id, "occurred_at": iso(error.occurred_at)}
        try:
            self._events.emit(error.tenant_id, "error", f"{error.code}#{iso(hour * 3600)[:13]}", data)
        except Exception as failure:
            _log.warning("an error was not told: %s", type(failure).__name__)
