"""The audit trail: one record for each change by a person or a key, appended after the change."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from noren.clock import Clock
from noren.ids import TenantId, new_id
from noren.insight.models import AuditRecord
from noren.insight.store import InsightStore
from noren.metrics import measured
from noren.tables import Position

HIDDEN = frozenset({"secret", "client_secret", "url", "token", "password", "message", "text", "facts", "content"})
"""Members that never go into a record, wherever they stand: secrets, pages that open without a sign-in, what people
wrote to each other, and what is kept in versions of its own."""

_log = logging.getLogger("noren.audit")


class Audit:
    """Writes and lists audit records."""

    def __init__(self, store: InsightStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def write(
        self,
        *,
        before: Mapping[str, Any] | None,
        after: Mapping[str, Any] | None,
        **what: Any,
    ) -> None:
        """Append the record of a change that has been made; `what` are the other fields of `AuditRecord`.

        Where it can't be written the change stands all the same: undoing it could fail too, and its caller would be
        told of a failure that was none. The loss is logged with everything but before and after, and raises an alarm
        (`AuditLost`).
        """
        now = self._clock()
        old, new = _differing(_shown(before), _shown(after))
        record = AuditRecord(audit_id=new_id("aud", now), occurred_at=now, before=old, after=new, **what)
        try:
            self._store.put_record(record)
        except Exception as error:
            lost = {name: getattr(record, name) for name in ("actor", "action", "entity_id", "tenant_id", "trace_id")}
            _log.error("an audit record is lost", exc_info=error, extra=measured(lost, AuditLost=1))

    def records(
        self, tenant_id: TenantId | None, limit: int, position: Position | None
    ) -> tuple[list[AuditRecord], Position | None]:
        """A tenant's records, or (None) the platform's own, newest first."""
        return self._store.records(tenant_id, limit, position)


def _shown(value: Any) -> Any:
    """A value without the members that nobody may read here."""
    match value:
        case Mapping():
            return {name: _shown(each) for name, each in value.items() if name not in HIDDEN}
        case list():
            return [_shown(each) for each in value]
    return value


def _differing(
    before: dict[str, Any] | None, after: dict[str, Any] | None
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Of two states of a thing the members that differ; what only one of them knows of is not compared."""
    if before is None or after is None:
        return before, after
    changed = [name for name in before if name in after and before[name] != after[name]]
    return {name: before[name] for name in changed}, {name: after[name] for name in changed}
