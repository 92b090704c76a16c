"""What a deleted site knew goes for good: rows, texts, uploads, vectors, indexes."""

from __future__ import annotations

from noren.ids import TenantId
from noren.knowledge.blobs import Blobs, site_prefix
from noren.knowledge.purge_store import KnowledgePurgeStore
from noren.knowledge.vector_indexes import VectorIndexes, prefix_of


class KnowledgePurge:
    """Safe to repeat, and to be cut off anywhere. `indexes`: where the stage has any."""

    def __init__(self, store: KnowledgePurgeStore, blobs: Blobs, indexes: VectorIndexes | None) -> None:
        self._store, self._blobs, self._indexes = store, blobs, indexes

    def remove(self, tenant_id: TenantId, site_id: str) -> None:
        """Remove all that is kept of a site. Raises what storage raises: then repeat it."""
        self._store.remove_schedules(tenant_id, site_id)
        self._store.remove_documents(tenant_id, site_id)
        self._store.remove_jobs(tenant_id, site_id)
        self._blobs.delete(key for key, _ in self._blobs.listed(site_prefix(tenant_id, site_id)))
        if self._indexes:
            for name in list(self._indexes.listed(prefix_of(tenant_id, site_id))):
                self._indexes.delete(name)
