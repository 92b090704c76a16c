"""Where counted security events go: one item per container and minute, whatever happened in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from noren.clock import iso
from noren.tables import platform_key, to_item

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

KEPT_SECONDS = 396 * 86400
"""Thirteen months, as usage records."""


class SecurityStore:
    """Appends to the `events` table."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def write(self, minute: int, writer: str, counts: Mapping[str, int]) -> None:
        """Keep one container's `counts` ("reason actor" to how often) of a minute (epoch minutes).

        `writer` is random: it keeps containers apart, also those restored from one snapshot.
        """
        at = iso(minute * 60)
        item = {
            "pk": platform_key("SECURITY", at[:10]),
            "sk": f"{at}#{writer}",
            "counts": dict(counts),
            "total": sum(counts.values()),
            "expires_at": minute * 60 + KEPT_SECONDS,
        }
        self._client.put_item(TableName=self._table, Item=to_item(item))
