"""The outbox: what happened to a tenant, each thing once, however often and by whomever it is reported."""

from __future__ import annotations

from typing import Any

from noren.clock import Clock
from noren.ids import TenantId, new_id
from noren.insight.models import Event
from noren.insight.store import InsightStore


class Events:
    """Appends events. `key` names the thing and the period, e.g. `chats#2026-11`."""

    def __init__(self, store: InsightStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def emit(self, tenant_id: TenantId, kind: str, key: str, data: dict[str, Any]) -> bool:
        """Put an event once; whether it was new."""
        return self.ensure(tenant_id, kind, key, data).is_new

    def ensure(self, tenant_id: TenantId, kind: str, key: str, data: dict[str, Any]) -> Event:
        """Put an event once; the one in force, which is the first reporter's."""
        now = self._clock()
        return self._store.put_event(Event(new_id("evt", now), tenant_id, kind, key, data, now))
