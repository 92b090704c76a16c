"""The error log in the `events` table: `ERR#<tenant>` / `<minute>#<site>#<code>`, one row for all that are alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from noren.clock import iso
from noren.ids import TenantId
from noren.insight.models import LoggedError
from noren.tables import Item, Position, from_item, tenant_key, to_item

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


KEPT_SECONDS = 90 * 86400
STRIDE = 200
STRIDES = 5
"""One page looks at no more rows than this times that; where few are wanted, it is shorter and says where to go on."""


class ErrorStore:
    """Adds up what is alike within a minute, whichever container saw it."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client, self._table = client, table

    def add(self, error: LoggedError) -> None:
        """Count `error.count` more. Message, trace id and time stay those of the first."""
        first = {
            "site_id": error.site_id,
            "status": error.status,
            "code": error.code,
            "message": error.message,
            "trace_id": error.trace_id,
            "occurred_at": int(error.occurred_at),
            "expires_at": int(error.occurred_at) + KEPT_SECONDS,
        }
        kept = ", ".join(f"#{name} = if_not_exists(#{name}, :{name})" for name in first)
        self._client.update_item(
            TableName=self._table,
            Key=to_item({"pk": tenant_key(error.tenant_id, "ERR"), "sk": _sort(error)}),
            UpdateExpression=f"SET {kept} ADD #count :count",
            ExpressionAttributeNames={f"#{name}": name for name in (*first, "count")},
            ExpressionAttributeValues=to_item({f":{name}": value for name, value in first.items()})
            | to_item({":count": error.count}),
        )

    def page(
        self,
        tenant: TenantId,
        since: float,
        until: float,
        site_id: str | None,
        code: str | None,
        limit: int,
        position: Position | None,
    ) -> tuple[list[LoggedError], Position | None]:
        """Errors from `since` to before `until` (epoch seconds), the newest minute first, and where to go on."""
        pk = tenant_key(tenant, "ERR")
        wanted = {name: value for name, value in (("site_id", site_id), ("code", code)) if value is not None}
        options: dict[str, Any] = {}
        if wanted:
            options["FilterExpression"] = " AND ".join(f"#{name} = :{name}" for name in wanted)
            options["ExpressionAttributeNames"] = {f"#{name}": name for name in wanted}
        values = {":pk": pk, ":low": iso(since), ":high": iso(until)} | {f":{name}": wanted[name] for name in wanted}
        found: list[Item] = []
        start = position["sk"] if position else None
        for _ in range(STRIDES):
            if start:
                options["ExclusiveStartKey"] = to_item({"pk": pk, "sk": start})
            page = self._client.query(
                TableName=self._table,
                KeyConditionExpression="pk = :pk AND sk BETWEEN :low AND :high",
                ExpressionAttributeValues=to_item(values),
                ScanIndexForward=False,
                ConsistentRead=True,
                Limit=STRIDE,
                **options,
            )
            found += map(from_item, page["Items"])
            start = from_item(page["LastEvaluatedKey"])["sk"] if "LastEvaluatedKey" in page else None
            if len(found) > limit or start is None:
                break
        following = found[limit - 1]["sk"] if len(found) > limit else start
        return [_error(tenant, item) for item in found[:limit]], {"sk": following} if following else None


def _sort(error: LoggedError) -> str:
    return f"{iso(error.occurred_at // 60 * 60)}#{error.site_id}#{error.code}"


def _error(tenant: TenantId, item: Item) -> LoggedError:
    names = ("site_id", "status", "code", "message", "trace_id", "count")
    return LoggedError(tenant_id=tenant, occurred_at=float(item["occurred_at"]), **{name: item[name] for name in names})
