"""A site's conversations for its owner: rows `CONV#<tenant>#<site>` / `<session>` lead to whose partition each is in.

Session keys sort by their beginning.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from noren.chat.models import Session, Turn
from noren.chat.store import listed_key, session_key_of, session_of, turn_of, turns_prefix
from noren.ids import TenantId
from noren.tables import Item, batch_get, from_item, tenant_key, to_item

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

CHUNK = 100
"""Rows of one read."""


class ConversationStore:
    """Reads alone."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client, self._table = client, table

    def rows(self, tenant: TenantId, site_id: str, above: str, below: str) -> tuple[list[Item], str | None]:
        """A site's rows of sessions between two keys, the latest begun first, and where to go on."""
        page = self._client.query(
            TableName=self._table,
            KeyConditionExpression="pk = :pk AND sk BETWEEN :above AND :below",
            ExpressionAttributeValues=to_item(
                {":pk": tenant_key(tenant, "CONV", site_id), ":above": above, ":below": below}
            ),
            ScanIndexForward=False,
            Limit=CHUNK,
        )
        rows = [from_item(raw) for raw in page["Items"]]
        last = page.get("LastEvaluatedKey")
        return [row for row in rows if row["sk"] != below], from_item(last)["sk"] if last else None

    def find(self, tenant: TenantId, site_ids: Iterable[str], session_key: str) -> Item | None:
        """The row of a session of one of these sites (at most 100 are looked at), or None."""
        keys = [listed_key(tenant, each, session_key) for each in site_ids]
        found = batch_get(self._client, self._table, keys[:CHUNK])
        return found[0] if found else None

    def sessions(self, tenant: TenantId, rows: Iterable[Item], now: float) -> dict[str, Session]:
        """The sessions of rows (at most 100) that are still there, by their keys."""
        keys = [session_key_of(tenant, row["owner"], row["sk"]) for row in rows]
        found = batch_get(self._client, self._table, keys)
        return {item["session_key"]: session_of(item) for item in found if item["expires_at"] > now}

    def turns(
        self, tenant: TenantId, owner: str, session_key: str, limit: int, before: str
    ) -> tuple[list[Turn], str | None]:
        """Up to `limit` turns before request `before` ("" for the latest), oldest first, and where to go on."""
        prefix, pk = turns_prefix(session_key), session_key_of(tenant, owner, session_key)["pk"]
        high = prefix + before if before else prefix + "~"
        page = self._client.query(
            TableName=self._table,
            KeyConditionExpression="pk = :pk AND sk BETWEEN :low AND :high",
            ExpressionAttributeValues=to_item({":pk": pk, ":low": prefix, ":high": high}),
            ScanIndexForward=False,
            Limit=limit + 1 + bool(before),
        )
        turns = [turn_of(item) for item in map(from_item, page["Items"]) if item["sk"] != high]
        more = len(turns) > limit or "LastEvaluatedKey" in page
        shown = turns[:limit][::-1]
        return shown, shown[0].request_id if more and shown else None
