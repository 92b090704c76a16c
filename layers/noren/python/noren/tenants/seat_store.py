"""Who of a team is frozen: a mark on the membership, counted on META (`frozen`) beside the team's other counters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from noren.ids import TenantId
from noren.tables import tenant_key, to_item
from noren.tenants.items import META
from noren.tenants.models import Membership, Role, Tenant
from noren.tenants.store import as_read, transact

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

MOST = 90
"""Members that one transaction changes: DynamoDB takes a hundred writes."""


class SeatStore:
    """Writes only on top of the team that was read."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client, self._table = client, table

    def change(self, read: Tenant, frozen: Sequence[Membership], thawed: Sequence[Membership]) -> None:
        """Freeze and thaw (together at most `MOST`). Raises Refused where team or members are not as read any more."""
        owners = sum(each.role is Role.OWNER for each in thawed) - sum(each.role is Role.OWNER for each in frozen)
        values = {
            ":owners": owners,
            ":change": len(frozen) - len(thawed),
            ":members": read.extra["members"],
            ":was": read.extra.get("frozen", 0),
            ":least": max(0, -owners),
            ":none": 0,
        }
        count = {
            "Update": {
                "TableName": self._table,
                "Key": self._key(read.tenant_id, META),
                "UpdateExpression": "ADD frozen :change, owners :owners",
                "ConditionExpression": "members = :members AND owners > :least"
                " AND (frozen = :was OR (attribute_not_exists(frozen) AND :was = :none))",
                "ExpressionAttributeValues": to_item(values),
            }
        }
        marks = [*(self._mark(each, "SET frozen = :yes") for each in frozen)]
        marks += [self._mark(each, "REMOVE frozen") for each in thawed]
        transact(self._client, [count, *marks])

    def _mark(self, member: Membership, change: str) -> dict[str, Any]:
        values: dict[str, Any] = {":old": int(member.role)} | ({":yes": True} if ":yes" in change else {})
        return {
            "Update": {
                "TableName": self._table,
                "Key": self._key(member.tenant_id, f"MEM#{member.user_id}"),
                "UpdateExpression": change,
                "ConditionExpression": as_read(member),
                "ExpressionAttributeNames": {"#role": "role"},
                "ExpressionAttributeValues": to_item(values),
            }
        }

    def _key(self, tenant_id: TenantId, sort: str) -> dict[str, Any]:
        return to_item({"pk": tenant_key(tenant_id, "TEN"), "sk": sort})
