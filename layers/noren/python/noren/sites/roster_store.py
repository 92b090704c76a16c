"""How many sites a tenant has: counted beside them, on `TEN#<tenant>` / `SITES`, by whatever changes their number.

A deleted site also stands in the partition `DELETED`, under the time of its deletion, until it is restored or purged.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from noren.ids import TenantId
from noren.sites.items import site_item, site_key
from noren.sites.models import Roster, Site, SiteStatus
from noren.tables import Item, from_item, platform_key, tenant_key, to_item
from noren.tenants.store import Refused, transact

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

MOST = 90
"""Sites that one transaction changes: DynamoDB takes a hundred writes."""


class RosterStore:
    """Writes a site together with the count of them all, both or neither."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client, self._table = client, table

    def read(self, tenant: TenantId) -> Roster | None:
        """The tenant's numbers as they are now; None where nobody has counted yet."""
        found = self._client.get_item(TableName=self._table, Key=to_item(_count_key(tenant)), ConsistentRead=True)
        item = from_item(found["Item"]) if "Item" in found else None
        return Roster(item["live"], item["active"]) if item else None

    def begin(self, tenant: TenantId, roster: Roster, keyed: Sequence[Site]) -> None:
        """Put down the numbers of a tenant whose sites were made before they were counted, unless somebody has.

        `keyed` are those of them that were made before sites had keys: they get theirs on the way.
        """
        count = _count_key(tenant) | {"live": roster.live, "active": roster.active}
        writes = [self._put(count, "attribute_not_exists(pk)")]
        for site in keyed:
            writes += [self._put(site_item(site), "attribute_not_exists(site_key)"), self._owned(site)]
        with contextlib.suppress(Refused):
            transact(self._client, writes)

    def add(self, site: Site, room: int | None) -> None:
        """Store a new active site and whose it is. `room`: how many the plan allows; None: the first is never refused.

        Raises Refused: (0,) and (1,) the id is taken, (2,) there is no room or nobody has counted yet.
        """
        conditions, values = ([], {}) if room is None else (["live < :room"], {":room": room})
        count = self._count(site.tenant_id, 1, 1, conditions, values)
        transact(self._client, [self._put(site_item(site), "attribute_not_exists(pk)"), self._owned(site), count])

    def change(self, old: Site, new: Site, room: int) -> None:
        """Store what follows on a site as it was read, with another status.

        Raises Refused: (0,) it has changed meanwhile, (1,) there is no room or nobody has counted yet.
        """
        live = (new.status != "deleted") - (old.status != "deleted")
        active = (new.status == "active") - (old.status == "active")
        conditions = ["attribute_exists(pk)"]
        conditions += ["live < :room"] if live > 0 else []
        conditions += ["active < :room"] if active > 0 else []
        values = {":room": room} if len(conditions) > 1 else {}
        writes = [
            self._put(site_item(new), "version = :old", {":old": old.version}),
            self._count(new.tenant_id, live, active, conditions, values),
        ]
        if live < 0:
            writes.append(self._put(_mark(new), "attribute_not_exists(pk)"))
        if live > 0:
            key = {name: value for name, value in _mark(old).items() if name in ("pk", "sk")}
            writes.append({"Delete": {"TableName": self._table, "Key": to_item(key)}})
        transact(self._client, writes)

    def set_statuses(self, tenant: TenantId, read: Roster, sites: Sequence[Site], status: SiteStatus) -> None:
        """Give sites (at most `MOST`) another status. Raises Refused where they or the numbers are not as read."""
        active = sum((status == "active") - (each.status == "active") for each in sites)
        values = {":live": read.live, ":active_was": read.active}
        count = self._count(tenant, 0, active, ["live = :live", "active = :active_was"], values)
        changes = [
            {
                "Update": {
                    "TableName": self._table,
                    "Key": to_item(site_key(tenant, each.site_id)),
                    "UpdateExpression": "SET #status = :status ADD version :one",
                    "ConditionExpression": "version = :old",
                    "ExpressionAttributeNames": {"#status": "status"},
                    "ExpressionAttributeValues": to_item({":status": status, ":one": 1, ":old": each.version}),
                }
            }
            for each in sites
        ]
        transact(self._client, [count, *changes])

    def _owned(self, site: Site) -> dict[str, Any]:
        owner = {"pk": platform_key("SITE", site.site_id), "sk": "OWNER", "tenant_id": site.tenant_id}
        return self._put(owner, "attribute_not_exists(pk)")

    def _count(
        self, tenant: TenantId, live: int, active: int, conditions: Sequence[str], values: dict[str, int]
    ) -> dict[str, Any]:
        update: dict[str, Any] = {
            "TableName": self._table,
            "Key": to_item(_count_key(tenant)),
            "UpdateExpression": "ADD live :by_live, active :by_active",
            "ExpressionAttributeValues": to_item({":by_live": live, ":by_active": active, **values}),
        }
        if conditions:
            update["ConditionExpression"] = " AND ".join(conditions)
        return {"Update": update}

    def _put(self, item: Item, condition: str, values: dict[str, Any] | None = None) -> dict[str, Any]:
        put: dict[str, Any] = {"TableName": self._table, "Item": to_item(item), "ConditionExpression": condition}
        if values:
            put["ExpressionAttributeValues"] = to_item(values)
        return {"Put": put}


def _count_key(tenant: TenantId) -> Item:
    return {"pk": tenant_key(tenant, "TEN"), "sk": "SITES"}


def _mark(site: Site) -> Item:
    """What the purge finds a deleted site by."""
    assert site.deleted_at is not None
    return {
        "pk": platform_key("DELETED"),
        "sk": f"{int(site.deleted_at):012d}#{site.site_id}",
        "tenant_id": site.tenant_id,
        "site_id": site.site_id,
    }
