"""What each site used of its day's requests, once the day is over: `DAY#<tenant>#<site>` / `<day>` in `usage`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from noren import tables
from noren.ids import TenantId

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


@dataclass(frozen=True, slots=True)
class SiteDay:
    """One site's day, in the tenant's zone; (site_id, date) is unique."""

    site_id: str
    date: str
    used_count: int
    quota_limit: int
    overflow_flag: bool
    """The limit was reached: further requests were refused."""


class DayStore:
    """Site days."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client, self._table = client, table

    def put(self, tenant_id: TenantId, day: SiteDay) -> None:
        """Write a day; writing it again changes nothing."""
        key = {"pk": tables.tenant_key(tenant_id, "DAY", day.site_id), "sk": day.date}
        self._client.put_item(TableName=self._table, Item=tables.to_item(asdict(day) | key))

    def of(self, tenant_id: TenantId, site_id: str, first: str, last: str) -> list[SiteDay]:
        """A site's days from `first` to `last`, the newest first."""
        answer = self._client.query(
            TableName=self._table,
            KeyConditionExpression="pk = :p AND sk BETWEEN :a AND :b",
            ExpressionAttributeValues=tables.to_item(
                {":p": tables.tenant_key(tenant_id, "DAY", site_id), ":a": first, ":b": last}
            ),
            ScanIndexForward=False,
        )
        return [
            SiteDay(**{name: value for name, value in tables.from_item(item).items() if name not in ("pk", "sk")})
            for item in answer["Items"]
        ]
