"""What tenants have used, request by request."""

from __future__ import annotations

from dataclasses import replace

from noren.ids import TenantId
from noren.usage.models import UsageRecord
from noren.usage.store import UsageStore


class Usage:
    """Reads usage records, and puts those of requests that the ledger had nothing to admit for."""

    def __init__(self, store: UsageStore) -> None:
        self._store = store

    def records(
        self, tenant_id: TenantId, site_id: str | None = None, limit: int = 50, position: str | None = None
    ) -> tuple[list[UsageRecord], str | None]:
        """A page of records, newest first, and the position of the next page (None at the end)."""
        return self._store.page(tenant_id, site_id, limit, position)

    def record_of(self, tenant_id: TenantId, request_id: str) -> UsageRecord | None:
        """The record of one request, None while there is none."""
        return self._store.get(tenant_id, request_id)

    def put_uncharged(self, record: UsageRecord) -> UsageRecord:
        """Record a request that costs the tenant nothing (canned answer, summary, denial). The first one stands."""
        return self._store.put_first(replace(record, chats=0, credits=0, embedding_charged=0, nonce=""))
