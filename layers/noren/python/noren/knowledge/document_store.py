"""Documents of a site, and which index it answers from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from noren.ids import TenantId
from noren.knowledge.items import (
    document_item,
    document_key,
    documents_key,
    made_of,
    pointer_item,
    pointer_key,
    pointer_of,
)
from noren.knowledge.models import Document, DocumentStatus, IndexPointer
from noren.knowledge.row_store import Position, RowStore
from noren.tenants.store import Refused, transact

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class DocumentStore:
    """Reads and writes; decides nothing."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._rows = RowStore(client, table)

    def get(self, tenant_id: TenantId, site_id: str, document_id: str) -> Document | None:
        """The document as it is now, or None."""
        item = self._rows.get({"pk": documents_key(tenant_id, site_id), "sk": document_id})
        return made_of(Document, item) if item else None

    def every(self, tenant_id: TenantId, site_id: str) -> Iterator[Document]:
        """All documents of a site as they are now, in the order of their ids."""
        for item in self._rows.every(documents_key(tenant_id, site_id)):
            yield made_of(Document, item)

    def page(
        self, tenant_id: TenantId, site_id: str, limit: int, position: Position | None, status: DocumentStatus | None
    ) -> tuple[list[Document], Position | None]:
        """Some documents of a site (all, or those of a status), in the order of their ids, and where to go on."""
        only = {"status": status} if status else None
        items, following = self._rows.page(documents_key(tenant_id, site_id), limit, position, only=only)
        return [made_of(Document, each) for each in items], following

    def has_pages(self, tenant_id: TenantId, site_id: str) -> bool:
        """Whether the site has learnt any page of the web."""
        only = {"kind": "page", "status": "active"}
        return bool(self._rows.page(documents_key(tenant_id, site_id), 1, None, only=only)[0])

    def pointer(self, tenant_id: TenantId, site_id: str) -> IndexPointer | None:
        """The index that the site answers from now; None before the first publication."""
        item = self._rows.get(pointer_key(tenant_id, site_id))
        return pointer_of(item) if item else None

    def point(self, tenant_id: TenantId, site_id: str, old: IndexPointer, new: IndexPointer) -> bool:
        """Make an index current in place of the one that was read; False where another has become so."""
        try:
            transact(self._rows.client, [self.moving(tenant_id, site_id, old, new)])
        except Refused:
            return False
        return True

    def note(self, document: Document) -> bool:
        """Store a document whose content is still that of the version that was read; False where it has changed."""
        try:
            transact(self._rows.client, [self.noting(document)])
        except Refused:
            return False
        return True

    # Parts of transactions

    def next_version(self, document: Document) -> dict[str, Any]:
        """The put of a document as the version after the one that was read."""
        condition = "version = :read OR (attribute_not_exists(pk) AND :read = :none)"
        return self._rows.put(document_item(document), condition, {":read": document.version - 1, ":none": 0})

    def noting(self, document: Document) -> dict[str, Any]:
        """The put of a document whose content is still that of the version that was read."""
        return self._rows.put(document_item(document), "version = :read", {":read": document.version})

    def removing(self, document: Document) -> dict[str, Any]:
        """The deletion of a document as it was read."""
        return self._rows.delete(document_key(document), "version = :read", {":read": document.version})

    def moving(self, tenant_id: TenantId, site_id: str, old: IndexPointer | None, new: IndexPointer) -> dict[str, Any]:
        """The put of a pointer in place of the one that was read."""
        item = pointer_item(tenant_id, site_id, new)
        return self._rows.put(item, "version = :read", {":read": old.version}) if old else self._rows.new(item)
