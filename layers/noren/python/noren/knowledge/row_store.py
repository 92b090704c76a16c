"""Rows of the `knowledge` table: what its stores have in common."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from noren.tables import Item, from_item, to_item

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

Position = dict[str, str]

MOST_ROWS = 1000
"""Read at once where only some of them are wanted."""


class RowStore:
    """Reads as things are now, and parts of transactions."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self.client, self.table = client, table

    def get(self, key: Item) -> Item | None:
        """The item, or None."""
        item = self.client.get_item(TableName=self.table, Key=to_item(key), ConsistentRead=True).get("Item")
        return from_item(item) if item else None

    def every(self, pk: str) -> Iterator[Item]:
        """All items of a partition."""
        pages = self.client.get_paginator("query").paginate(
            TableName=self.table,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues=to_item({":pk": pk}),
            ConsistentRead=True,
        )
        for page in pages:
            yield from map(from_item, page["Items"])

    def until(self, pk: str, end: str) -> Iterator[Item]:
        """The items of a partition whose sort key is below `end`, in order."""
        pages = self.client.get_paginator("query").paginate(
            TableName=self.table,
            KeyConditionExpression="pk = :pk AND sk < :end",
            ExpressionAttributeValues=to_item({":pk": pk, ":end": end}),
            ConsistentRead=True,
        )
        for page in pages:
            yield from map(from_item, page["Items"])

    def page(
        self, pk: str, limit: int, position: Position | None, *, newest: bool = False, only: Item | None = None
    ) -> tuple[list[Item], Position | None]:
        """Some items of a partition (those that have `only`'s values), and where to go on."""
        only = only or {}
        options: dict[str, Any] = {"ScanIndexForward": not newest}
        if only:
            options["FilterExpression"] = " AND ".join(f"#{name} = :{name}" for name in only)
            options["ExpressionAttributeNames"] = {f"#{name}": name for name in only}
        values = to_item({":pk": pk} | {f":{name}": value for name, value in only.items()})
        kept: list[Item] = []
        options["Limit"] = limit + 1  # what is read is paid, whether it is wanted or not
        if position:
            options["ExclusiveStartKey"] = to_item({"pk": pk, "sk": position["sk"]})
        while True:
            page = self.client.query(
                TableName=self.table,
                KeyConditionExpression="pk = :pk",
                ExpressionAttributeValues=values,
                ConsistentRead=True,
                **options,
            )
            kept += map(from_item, page["Items"])
            if len(kept) > limit:
                return kept[:limit], {"sk": kept[limit - 1]["sk"]}
            if "LastEvaluatedKey" not in page:
                return kept, None
            options["ExclusiveStartKey"] = page["LastEvaluatedKey"]
            options["Limit"] = min(2 * options["Limit"], MOST_ROWS)  # few of these rows are wanted

    def put(self, item: Item, condition: str = "", values: Item | None = None) -> dict[str, Any]:
        """A put, as a part of a transaction."""
        put: dict[str, Any] = {"TableName": self.table, "Item": to_item(item)}
        return {"Put": put | _conditional(condition, values)}

    def new(self, item: Item) -> dict[str, Any]:
        """The put of an item that must not be there yet."""
        return self.put(item, "attribute_not_exists(pk)")

    def delete(self, key: Item, condition: str, values: Item) -> dict[str, Any]:
        """A deletion, as a part of a transaction."""
        return {"Delete": {"TableName": self.table, "Key": to_item(key)} | _conditional(condition, values)}

    def update(self, key: Item, expression: str, condition: str, values: Item) -> dict[str, Any]:
        """The parameters of an update: by itself, or as `{"Update": …}`. Attributes are written `#name`."""
        made: dict[str, Any] = {"TableName": self.table, "Key": to_item(key), "UpdateExpression": expression}
        named = set(re.findall(r"#\w+", expression + condition))
        made["ExpressionAttributeNames"] = {each: each[1:] for each in named}
        return made | _conditional(condition, values)


def _conditional(condition: str, values: Item | None) -> dict[str, Any]:
    made: dict[str, Any] = {"ConditionExpression": condition} if condition else {}
    return made | ({"ExpressionAttributeValues": to_item(values)} if values else {})
