"""Usage records in DynamoDB: `USE#<tenant>` / `U#<request id>`.

A record keeps the names of its fields. It is also the ledger's commit point: whoever puts it first has decided.
It is in no index, which would cost every chat a second write: a site's records are picked out of its tenant's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, fields
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Any, TypeVar

from noren import tables
from noren.ids import TenantId
from noren.tables import Item
from noren.usage.models import Call, UsageRecord
from noren.usage.periods import quarter_of

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

KEPT_SECONDS = 396 * 86400
"""Thirteen months."""

T = TypeVar("T", Call, UsageRecord)

_DIGITS = Context(prec=38)
"""DynamoDB refuses longer numbers, and a refused record would leave its request undecided."""


_NESTED = frozenset({"calls", "extra"})
_ALWAYS = frozenset({"decision", "late"})
"""What conditions are on. Other fields are left out where they hold their defaults: a record costs by the kilobyte."""

_COUNTED = (
    "request_id tenant_id site_id occurred_at decision status late revision model function "
    "chats credits calls cost_usd first_token_ms total_ms experiment_id prompt_arm is_new_session"
).split()
"""What a summary is made of."""

STRIDE = 200
"""Records of the tenant that one call looks at when it picks out a site's."""
STRIDES = 5
"""How often one page does so before it says where to go on."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What a new or changed record makes out of date."""

    tenant_id: TenantId
    quarter: int
    site_id: str


def mark_of(image: Item) -> Mark | None:
    """The mark of an item that the table's stream tells of; None for what is no record (a summary, a removal)."""
    kind, _, tenant = str(image.get("pk", "")).partition("#")
    quarter = quarter_of(str(image.get("sk", "")).removeprefix("U#"))
    if kind != "USE" or quarter is None:
        return None
    return Mark(TenantId(tenant), quarter, str(image["site_id"]))


class UsageStore:
    """Usage records, written once by the first who decides."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def put_first(self, record: UsageRecord) -> UsageRecord:
        """Put the record if its request has none yet. Returns the one that stands: this one or the earlier one."""
        try:
            self._client.put_item(
                TableName=self._table,
                Item=tables.to_item(_to_item(record)),
                ConditionExpression="attribute_not_exists(pk)",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except Exception as error:
            earlier = tables.found(error) if tables.is_refused(error) else None
            if earlier is None:
                raise
            return _to_record(earlier)
        return record

    def put_late(self, record: UsageRecord) -> bool:
        """Replace a released request's record by a late settler's account of it, once. Says whether it did."""
        try:
            self._client.put_item(
                TableName=self._table,
                Item=tables.to_item(_to_item(record)),
                ConditionExpression="decision = :released AND late = :no",
                ExpressionAttributeValues=tables.to_item({":released": "RELEASE", ":no": False}),
            )
        except Exception as error:
            if tables.is_refused(error):
                return False
            raise
        return True

    def get(self, tenant_id: TenantId, request_id: str) -> UsageRecord | None:
        """The request's record, read strongly."""
        key = tables.to_item(_key(tenant_id, request_id))
        answer = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        return _to_record(tables.from_item(answer["Item"])) if "Item" in answer else None

    def between(self, tenant_id: TenantId, first: str, last: str) -> Iterator[UsageRecord]:
        """The tenant's records from one request id to another, oldest first, read strongly: what counts of them."""
        options: dict[str, Any] = {}
        values = {":p": tables.tenant_key(tenant_id, "USE"), ":low": f"U#{first}", ":high": f"U#{last}"}
        while True:
            answer = self._client.query(
                TableName=self._table,
                KeyConditionExpression="pk = :p AND sk BETWEEN :low AND :high",
                ProjectionExpression=", ".join(f"#{name}" for name in _COUNTED),
                ExpressionAttributeNames={f"#{name}": name for name in _COUNTED},
                ExpressionAttributeValues=tables.to_item(values),
                ConsistentRead=True,
                **options,
            )
            yield from (_to_record(tables.from_item(item)) for item in answer["Items"])
            if "LastEvaluatedKey" not in answer:
                return
            options["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def page(
        self, tenant_id: TenantId, site_id: str | None, limit: int, position: str | None
    ) -> tuple[list[UsageRecord], str | None]:
        """Up to `limit` records of the tenant (or one site of it), newest first, after the request `position`.

        A site that is seldom asked may come in short, even empty, pages: a page looks at a bounded number of records.
        """
        options: dict[str, Any] = {"Limit": limit}
        values = {":p": tables.tenant_key(tenant_id, "USE"), ":u": "U#"}
        if site_id is not None:
            options |= {"Limit": STRIDE, "FilterExpression": "site_id = :site"}
            values[":site"] = site_id
        found: list[Item] = []
        for _ in range(1 if site_id is None else STRIDES):
            if position:
                options["ExclusiveStartKey"] = tables.to_item(_key(tenant_id, position))
            answer = self._client.query(
                TableName=self._table,
                KeyConditionExpression="pk = :p AND begins_with(sk, :u)",
                ExpressionAttributeValues=tables.to_item(values),
                ScanIndexForward=False,
                **options,
            )
            found += [tables.from_item(item) for item in answer["Items"]]
            last = answer.get("LastEvaluatedKey")
            position = tables.from_item(last)["sk"].removeprefix("U#") if last else None
            if position is None or len(found) >= limit:
                break
        records = [_to_record(item) for item in found[:limit]]
        return records, records[-1].request_id if len(found) > limit else position


def _key(tenant_id: TenantId, request_id: str) -> Item:
    return {"pk": tables.tenant_key(tenant_id, "USE"), "sk": f"U#{request_id}"}


def _to_item(record: UsageRecord) -> Item:
    item = _key(record.tenant_id, record.request_id)
    item |= _told(record)
    if record.extra:
        item["extra"] = json.dumps(record.extra, default=str)  # what a caller sent may nest deeper than storage can
    item["calls"] = [_told(call) for call in record.calls]
    item["expires_at"] = int(record.occurred_at) + KEPT_SECONDS
    return item


def _told(row: Call | UsageRecord) -> Item:
    """The fields that differ from their defaults."""
    named = ((each, getattr(row, each.name)) for each in fields(row) if each.name not in _NESTED)
    return {each.name: _plain(value) for each, value in named if each.name in _ALWAYS or value != each.default}


def _to_record(item: Item) -> UsageRecord:
    record = _typed(UsageRecord, item)
    record.calls = [_typed(Call, call) for call in item["calls"]]
    record.extra = json.loads(item.get("extra", "{}"))
    return record


def _typed(kind: type[T], item: Item) -> T:
    """The dataclass of an item; fields that are newer than the item keep their defaults."""
    values: dict[str, Any] = {}
    for each in fields(kind):
        if each.name not in item:
            continue
        value = item[each.name]
        if each.type == "Decimal":
            value = Decimal(value)
        elif each.type == "float":
            value = float(value)
        values[each.name] = value
    return kind(**values)


def _plain(value: Any) -> Any:
    """A value as DynamoDB can hold it: a time becomes the decimal that it prints as, a lone surrogate `?`."""
    match value:
        case float():
            return Decimal(repr(value))
        case Decimal():
            return _DIGITS.plus(value)
        case str():
            return value.encode("utf-8", "replace").decode()
    return value
