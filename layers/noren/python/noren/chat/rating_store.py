"""Ratings of an experiment's answers: counted by arm in the transaction that stores the feedback, so exactly once.

`XRT#<tenant>#<experiment>` / `ARM#<arm>` holds `r1` to `r5`: how many answers have that rating now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from noren.errors import Busy
from noren.ids import TenantId
from noren.tables import Item, from_item, tenant_key, to_item
from noren.tenants.store import Refused, transact

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

ROUNDS = 5
"""Tries on top of feedback that its giver changes at the same time."""


def put_counted(
    client: DynamoDBClient, update: dict[str, Any], tenant: TenantId, arm: tuple[str, str], rating: int
) -> Item:
    """Make an update that sets the `rating` of a feedback row, and count it for its (experiment, arm).

    Returns the row as it was, {} if it is new. Raises Busy where the row does not come to rest.
    """
    for _ in range(ROUNDS):
        there = client.get_item(TableName=update["TableName"], Key=update["Key"], ConsistentRead=True)
        old = from_item(there["Item"]) if "Item" in there else {}
        writes = [{"Update": _if_unchanged(update, old)}]
        if old.get("rating") != rating:
            writes.append({"Update": _count(update["TableName"], tenant, arm, rating, old)})
        try:
            transact(client, writes)
        except Refused:
            continue
        return old
    raise Busy(retry_after=1)


def _if_unchanged(update: dict[str, Any], old: Item) -> dict[str, Any]:
    if not old:
        return update | {"ConditionExpression": "attribute_not_exists(pk)"}
    values = update["ExpressionAttributeValues"] | to_item({":was": old["rating"]})
    return update | {"ConditionExpression": "rating = :was", "ExpressionAttributeValues": values}


def _count(table: str, tenant: TenantId, arm: tuple[str, str], rating: int, old: Item) -> dict[str, Any]:
    experiment_id, name = arm
    change, values = f"ADD r{rating} :one", {":one": 1}
    if old:
        change, values = f"{change}, r{old['rating']} :less", {":one": 1, ":less": -1}
    return {
        "TableName": table,
        "Key": to_item({"pk": tenant_key(tenant, "XRT", experiment_id), "sk": f"ARM#{name}"}),
        "UpdateExpression": change,
        "ExpressionAttributeValues": to_item(values),
    }
