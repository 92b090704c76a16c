"""Deliveries in the `webhooks` table, and the queue of each endpoint.

`DLV#<tenant>#<endpoint>` / `dlv_…`: the log, kept for 30 days. `WAIT#<tenant>#<endpoint>` / `dlv_…`: those of them that
are pending, oldest first. `DUE#<shard>` / `<tenant>#<endpoint>`: a lane for each endpoint with pending ones. It says
when to look there again, who is at work there, and by its number `seq` whether something was added meanwhile: a worker
leaves only a lane to which nothing was, so that nothing is forgotten.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields
from functools import partial
from typing import TYPE_CHECKING, Any

from noren.ids import TenantId, is_id
from noren.tables import (
    Item,
    Position,
    all_or_none,
    from_item,
    insistently,
    is_refused,
    newest,
    platform_key,
    tenant_key,
    to_item,
)
from noren.webhooks.models import Delivery, Waiting

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


KEPT_SECONDS = 30 * 86400
SHARDS = 16
"""Partitions of lanes, by an endpoint id's last digit: one would take a thousand writes a second of all tenants."""
MOST_WAITING = 1000
"""How many of an endpoint's pending deliveries are looked at together: the oldest."""

_TIMES = ("created_at", "since", "next_at", "finished_at")


class DeliveryStore:
    """Reads and writes; decides nothing."""

    def __init__(self, client: DynamoDBClient, table: str, most_waiting: int = MOST_WAITING) -> None:
        self._client, self._table, self.most_waiting = client, table, most_waiting

    # The log

    def get(self, tenant_id: TenantId, webhook_id: str, delivery_id: str) -> Delivery | None:
        """The delivery as it is now, or None."""
        if not is_id(delivery_id, "dlv"):
            return None
        key = {"pk": tenant_key(tenant_id, "DLV", webhook_id), "sk": delivery_id}
        item = self._client.get_item(TableName=self._table, Key=to_item(key), ConsistentRead=True).get("Item")
        return _delivery(from_item(item)) if item else None

    def page(
        self, tenant_id: TenantId, webhook_id: str, limit: int, position: Position | None
    ) -> tuple[list[Delivery], Position | None]:
        """An endpoint's deliveries, newest first."""
        pk = tenant_key(tenant_id, "DLV", webhook_id)
        items, following = newest(self._client, self._table, pk, limit, position)
        return list(map(_delivery, items)), following

    # The queue

    def add(self, delivery: Delivery) -> bool:
        """Store a new delivery as pending and make its lane due; False where it is there already."""
        return self._pending(delivery, "attribute_not_exists(pk)", {})

    def again(self, delivery: Delivery) -> bool:
        """Make a finished delivery pending; False where it is pending or gone."""
        return self._pending(delivery, "#status <> :pending", {":pending": "pending"})

    def waiting(self, tenant_id: TenantId, webhook_id: str) -> list[Waiting]:
        """The endpoint's pending deliveries as they are now, oldest first, at most `most_waiting`."""
        page = self._client.query(
            TableName=self._table,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues=to_item({":pk": tenant_key(tenant_id, "WAIT", webhook_id)}),
            ConsistentRead=True,
            Limit=self.most_waiting,
        )
        items = map(from_item, page["Items"])
        return [Waiting(item["sk"], item["entity"], item["next_at"]) for item in items]

    def advance(self, delivery: Delivery, attempts_before: int) -> None:
        """Store a pending delivery's next state, unless somebody else has come first since `attempts_before`."""
        wait = _wait_key(delivery)
        if delivery.status == "pending":
            queue = {"Put": {"TableName": self._table, "Item": to_item(wait | _wait(delivery))}}
        else:
            queue = {"Delete": {"TableName": self._table, "Key": to_item(wait)}}
        values = {":pending": "pending", ":before": attempts_before}
        self._transact([self._put(delivery, "#status = :pending AND attempts = :before", values), queue])

    def forget(self, tenant_id: TenantId, webhook_id: str, delivery_id: str) -> None:
        """Take from the queue what is no longer pending."""
        key = {"pk": tenant_key(tenant_id, "WAIT", webhook_id), "sk": delivery_id}
        self._client.delete_item(TableName=self._table, Key=to_item(key))

    # Lanes

    def due(self, shard: int, now: float) -> Iterator[tuple[TenantId, str]]:
        """Endpoints of a shard where something is due and nobody at work."""
        options: dict[str, Any] = {}
        while True:
            page = self._client.query(
                TableName=self._table,
                KeyConditionExpression="pk = :pk",
                FilterExpression="due_at <= :now AND (attribute_not_exists(busy_until) OR busy_until <= :now)",
                ExpressionAttributeValues=to_item({":pk": platform_key("DUE", f"{shard:x}"), ":now": int(now)}),
                **options,
            )
            for raw in page["Items"]:
                item = from_item(raw)
                yield TenantId(item["tenant_id"]), item["webhook_id"]
            if "LastEvaluatedKey" not in page:
                return
            options = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def take(self, tenant_id: TenantId, webhook_id: str, worker: str, now: float, until: float) -> int | None:
        """Begin or go on to work in a lane; its number. None where nothing is due or somebody else is at work."""
        condition = "attribute_exists(pk) AND due_at <= :now"
        condition += " AND (attribute_not_exists(busy_until) OR busy_until <= :now OR worker = :worker)"
        values = {":now": int(now), ":until": math.ceil(until), ":worker": worker}
        taken = self._lane(
            lambda: self._client.update_item(
                TableName=self._table,
                Key=to_item(_lane_key(tenant_id, webhook_id)),
                UpdateExpression="SET busy_until = :until, worker = :worker",
                ConditionExpression=condition,
                ExpressionAttributeValues=to_item(values),
                ReturnValues="ALL_NEW",
            )
        )
        return int(from_item(taken["Attributes"])["seq"]) if taken else None

    def leave(
        self,
        tenant_id: TenantId,
        webhook_id: str,
        worker: str,
        due_at: float | None,
        *,
        seq: int | None,
        closed: bool,
    ) -> bool:
        """End the work in a lane: it is due again then, or (None) empty. `closed`: nobody is let in before.

        False where something was added since the number `seq` (None: whatever was), or the lane is not the worker's (it
        isn't either where the answer to this very call was lost: then others find it when it is due).
        """
        values: Item = {":worker": worker} | ({":seq": seq} if seq is not None else {})
        lane: Any = {"TableName": self._table, "Key": to_item(_lane_key(tenant_id, webhook_id))}
        lane["ConditionExpression"] = "worker = :worker" + (" AND seq = :seq" if seq is not None else "")
        if due_at is None:
            call = partial(self._client.delete_item, **lane, ExpressionAttributeValues=to_item(values))
        else:
            values[":due"] = math.ceil(due_at)
            lane["UpdateExpression"] = "SET due_at = :due REMOVE worker, busy_until"
            if closed:
                lane["UpdateExpression"] = "SET due_at = :due, busy_until = :due REMOVE worker"
            call = partial(self._client.update_item, **lane, ExpressionAttributeValues=to_item(values))
        return self._lane(call) is not None

    # Storage

    def _pending(self, delivery: Delivery, condition: str, values: Item) -> bool:
        lane = {
            "Key": to_item(_lane_key(delivery.tenant_id, delivery.webhook_id)),
            "UpdateExpression": "SET due_at = :now, tenant_id = :tenant, webhook_id = :hook ADD seq :one",
            "ExpressionAttributeValues": to_item(
                {":now": int(delivery.next_at), ":tenant": delivery.tenant_id, ":hook": delivery.webhook_id, ":one": 1}
            ),
        }
        wait = to_item(_wait_key(delivery) | _wait(delivery))
        return self._transact(
            [
                self._put(delivery, condition, values),
                {"Put": {"TableName": self._table, "Item": wait}},
                {"Update": {"TableName": self._table, **lane}},
            ]
        )

    def _put(self, delivery: Delivery, condition: str, values: Item) -> dict[str, Any]:
        options: dict[str, Any] = {"ConditionExpression": condition}
        if values:
            options["ExpressionAttributeValues"] = to_item(values)
            options["ExpressionAttributeNames"] = {"#status": "status"}
        return {"Put": {"TableName": self._table, "Item": to_item(_item(delivery)), **options}}

    def _transact(self, items: list[Any]) -> bool:
        return all_or_none(self._client, items, sleep=time.sleep)

    def _lane(self, call: Callable[[], Any]) -> Any:
        """Repeat a call on a lane until its outcome is known: additions get in its way. None if it is refused."""
        try:
            return insistently(call, sleep=time.sleep)
        except Exception as error:
            if is_refused(error):
                return None
            raise


def _lane_key(tenant_id: TenantId, webhook_id: str) -> Item:
    return {"pk": platform_key("DUE", webhook_id[-1]), "sk": f"{tenant_id}#{webhook_id}"}


def _wait_key(delivery: Delivery) -> Item:
    return {"pk": tenant_key(delivery.tenant_id, "WAIT", delivery.webhook_id), "sk": delivery.delivery_id}


def _wait(delivery: Delivery) -> Item:
    return {"entity": delivery.entity, "next_at": int(delivery.next_at)}


def _item(delivery: Delivery) -> Item:
    values = {name: value for name, value in asdict(delivery).items() if value is not None}
    whole = {name: int(values[name]) for name in _TIMES if name in values}
    key = {"pk": tenant_key(delivery.tenant_id, "DLV", delivery.webhook_id), "sk": delivery.delivery_id}
    return key | values | whole | {"expires_at": int(max(delivery.created_at, delivery.since)) + KEPT_SECONDS}


def _delivery(item: Item) -> Delivery:
    return Delivery(**{each.name: item[each.name] for each in fields(Delivery) if each.name in item})
