"""Endpoints in the `webhooks` table: `HOOK#<tenant>` / `whk_…`, and how many there are under `COUNT`."""

from __future__ import annotations

import time
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from noren.ids import TenantId, is_id
from noren.tables import Item, all_or_none, from_item, is_refused, put_version, tenant_key, to_item
from noren.webhooks.models import Endpoint

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_TIMES = ("created_at", "updated_at", "previous_until", "failing_since")


class EndpointStore:
    """Reads and writes; decides nothing."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client, self._table = client, table

    def add(self, endpoint: Endpoint, most: int) -> bool:
        """Store a new endpoint; False where the tenant has `most` of them."""
        counted = {
            "UpdateExpression": "SET n = if_not_exists(n, :none) + :one",
            "ConditionExpression": "attribute_not_exists(n) OR n < :most",
            "ExpressionAttributeValues": to_item({":none": 0, ":one": 1, ":most": most}),
        }
        return self._both({"Put": {"TableName": self._table, "Item": to_item(_item(endpoint))}}, endpoint, counted)

    def remove(self, endpoint: Endpoint) -> bool:
        """Take an endpoint away; False where it is gone."""
        delete = {"Key": to_item(_key(endpoint)), "ConditionExpression": "attribute_exists(pk)"}
        counted = {
            "UpdateExpression": "SET n = n - :one",
            "ExpressionAttributeValues": to_item({":one": 1}),
        }
        return self._both({"Delete": {"TableName": self._table, **delete}}, endpoint, counted)

    def get(self, tenant_id: TenantId, webhook_id: str) -> Endpoint | None:
        """The endpoint as it is now, or None."""
        if not is_id(webhook_id, "whk"):
            return None
        key = {"pk": tenant_key(tenant_id, "HOOK"), "sk": webhook_id}
        item = self._client.get_item(TableName=self._table, Key=to_item(key), ConsistentRead=True).get("Item")
        return _endpoint(from_item(item)) if item else None

    def every(self, tenant_id: TenantId) -> list[Endpoint]:
        """The tenant's endpoints as they are now, oldest first."""
        page = self._client.query(
            TableName=self._table,
            KeyConditionExpression="pk = :pk AND begins_with(sk, :hook)",
            ExpressionAttributeValues=to_item({":pk": tenant_key(tenant_id, "HOOK"), ":hook": "whk_"}),
            ConsistentRead=True,
        )
        return [_endpoint(from_item(item)) for item in page["Items"]]

    def save(self, endpoint: Endpoint) -> bool:
        """Store the version after the one that was read; False if another came first."""
        return put_version(self._client, self._table, _item(endpoint))

    def count_failure(self, endpoint: Endpoint, now: float) -> None:
        """One more attempt has failed."""
        update = "SET failures = failures + :one, failing_since = if_not_exists(failing_since, :now)"
        self._change(endpoint, update, {":one": 1, ":now": int(now)})

    def clear_failures(self, endpoint: Endpoint) -> None:
        """An attempt has succeeded."""
        self._change(endpoint, "SET failures = :none REMOVE failing_since", {":none": 0})

    def _change(self, endpoint: Endpoint, update: str, values: Item) -> None:
        """Change an endpoint unless it is gone."""
        try:
            self._client.update_item(
                TableName=self._table,
                Key=to_item(_key(endpoint)),
                UpdateExpression=update,
                ConditionExpression="attribute_exists(pk)",
                ExpressionAttributeValues=to_item(values),
            )
        except Exception as error:
            if not is_refused(error):
                raise

    def _both(self, change: dict[str, Any], endpoint: Endpoint, counted: dict[str, Any]) -> bool:
        """Change an endpoint and the count, both or neither; False where a condition does not hold."""
        key = to_item({"pk": tenant_key(endpoint.tenant_id, "HOOK"), "sk": "COUNT"})
        items = [change, {"Update": {"TableName": self._table, "Key": key, **counted}}]
        return all_or_none(self._client, items, sleep=time.sleep)


def _key(endpoint: Endpoint) -> Item:
    return {"pk": tenant_key(endpoint.tenant_id, "HOOK"), "sk": endpoint.webhook_id}


def _item(endpoint: Endpoint) -> Item:
    values = {name: value for name, value in asdict(endpoint).items() if value is not None}
    whole = {name: int(values[name]) for name in _TIMES if name in values}
    return _key(endpoint) | values | whole | {"event_types": list(endpoint.event_types)}


def _endpoint(item: Item) -> Endpoint:
    known = {each.name: item[each.name] for each in fields(Endpoint) if each.name in item}
    return Endpoint(**known | {"event_types": tuple(item["event_types"])})
