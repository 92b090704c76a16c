"""Packages and standing orders in the `credits` table.

| key | holds |
|---|---|
| `PACKAGES` / `<package id>` | a package |
| `AUTO#<tenant>` / `0` | the tenant's standing order |
"""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from noren.billing.models import AutoPurchase, Package
from noren.ids import TenantId
from noren.tables import Item, from_item, platform_key, put_version, tenant_key, to_item

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

PK = platform_key("PACKAGES")


class BillingStore:
    """Every row has a version: whoever writes says which one they have read."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def packages(self) -> list[Package]:
        """All packages, deleted ones too (a few dozen: one page, one read)."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": PK}},
            ConsistentRead=True,
        )
        return [_package(from_item(raw)) for page in pages for raw in page["Items"]]

    def package(self, package_id: str) -> Package | None:
        """One package, deleted or not, read strongly."""
        item = self._get(PK, package_id)
        return _package(item) if item else None

    def put_package(self, package: Package) -> bool:
        """Write a package as the next version of what was read; False if somebody else came first."""
        plain = asdict(package) | {"plans": sorted(package.plans)}
        return self._put({"pk": PK, "sk": package.package_id, **plain})

    def auto_purchase(self, tenant_id: TenantId) -> AutoPurchase | None:
        """A tenant's standing order, if there is one."""
        item = self._get(tenant_key(tenant_id, "AUTO"), "0")
        return AutoPurchase(**_known(AutoPurchase, item)) if item else None

    def put_auto_purchase(self, tenant_id: TenantId, order: AutoPurchase, now: int, actor: str) -> bool:
        """Write a standing order as the next version of what was read; False if somebody else came first."""
        audit = {"tenant_id": tenant_id, "updated_at": now, "updated_by": actor}
        return self._put({"pk": tenant_key(tenant_id, "AUTO"), "sk": "0", **asdict(order), **audit})

    def _put(self, item: Item) -> bool:
        return put_version(self._client, self._table, item)

    def _get(self, pk: str, sk: str) -> Item | None:
        answer = self._client.get_item(TableName=self._table, Key=to_item({"pk": pk, "sk": sk}), ConsistentRead=True)
        return from_item(answer["Item"]) if "Item" in answer else None


def _package(item: Item) -> Package:
    return Package(**_known(Package, item) | {"plans": frozenset(item["plans"])})


def _known(cls: type[Any], item: Item) -> Item:
    return {each.name: item[each.name] for each in fields(cls) if each.name in item}
