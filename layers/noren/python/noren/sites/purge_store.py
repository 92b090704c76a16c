"""Deleted sites and what lies under their keys, to be removed for good."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from noren.ids import TenantId
from noren.sites.items import site_key
from noren.tables import Item, batch_write, from_item, is_refused, platform_key, tenant_key, to_item

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

KINDS = ("FB", "CANNED", "CONV")
"""Partitions `<kind>#<tenant>#<site>`: feedback, canned answers, the list of visitors' conversations.

The conversations themselves expire: 30 days after their last turn, thus before their site is purged.
"""


class Deleted(NamedTuple):
    """A deleted site as its mark names it."""

    tenant_id: TenantId
    site_id: str
    mark: Item


class PurgeStore:
    """Reads marks, removes items; each removal may be repeated."""

    def __init__(self, client: DynamoDBClient, table: str, sleep: Callable[[float], None] = time.sleep) -> None:
        self._client, self._table, self._sleep = client, table, sleep

    def due(self, until: float) -> Iterator[Deleted]:
        """Sites deleted at that time or before, the earliest first."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="pk = :pk AND sk < :until",
            ExpressionAttributeValues=to_item({":pk": platform_key("DELETED"), ":until": f"{int(until) + 1:012d}"}),
        )
        for page in pages:
            for raw in page["Items"]:
                item = from_item(raw)
                mark = {name: item[name] for name in ("pk", "sk")}
                yield Deleted(TenantId(item["tenant_id"]), item["site_id"], mark)

    def remove_site(self, deleted: Deleted) -> bool:
        """Remove the site itself, after which it can't be restored. False where it is not deleted any more."""
        try:
            self._client.delete_item(
                TableName=self._table,
                Key=to_item(site_key(deleted.tenant_id, deleted.site_id)),
                ConditionExpression="attribute_not_exists(pk) OR #status = :deleted",
                ExpressionAttributeNames={"#status": "status"},
                ExpressionAttributeValues=to_item({":deleted": "deleted"}),
            )
        except Exception as error:
            if is_refused(error):
                return False
            raise
        return True

    def remove_contents(self, deleted: Deleted) -> None:
        """Remove all that lies under the site's keys."""
        for kind in KINDS:
            self._empty(tenant_key(deleted.tenant_id, kind, deleted.site_id))

    def remove_traces(self, deleted: Deleted) -> None:
        """Remove who owned the site, and its mark: the purge is done."""
        for key in ({"pk": platform_key("SITE", deleted.site_id), "sk": "OWNER"}, deleted.mark):
            self._client.delete_item(TableName=self._table, Key=to_item(key))

    def _empty(self, pk: str) -> None:
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues=to_item({":pk": pk}),
            ProjectionExpression="pk, sk",
        )
        keys = [key for page in pages for key in page["Items"]]
        for start in range(0, len(keys), 25):
            requests = [{"DeleteRequest": {"Key": key}} for key in keys[start : start + 25]]
            batch_write(self._client, self._table, requests, sleep=self._sleep)
