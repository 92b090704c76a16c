"""Sites in the `sites` table: `TEN#<tenant>` / `SITE#<id>`.

`SITE#<id>` / `OWNER` says whose a site is: public keys and embed scripts name a site without its tenant.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from noren.ids import TenantId
from noren.sites.items import site_item, site_key, site_of
from noren.sites.models import Site, SiteStatus
from noren.sites.prompt_store import PromptStore
from noren.sites.roster_store import RosterStore
from noren.tables import from_item, is_refused, platform_key, put_version, tenant_key, to_item

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class SiteStore:
    """Reads and writes; decides nothing."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client, self._table = client, table
        self.roster = RosterStore(client, table)
        self.prompts = PromptStore(client, table)

    def site(self, tenant: TenantId, site_id: str, *, consistent: bool = False) -> Site | None:
        """The site, or None where the tenant has none of that id."""
        key = to_item(site_key(tenant, site_id))
        found = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=consistent)
        return site_of(from_item(found["Item"])) if "Item" in found else None

    def sites(self, tenant: TenantId, *, consistent: bool = False) -> list[Site]:
        """All sites of the tenant, deleted ones too."""
        found: list[Site] = []
        options: dict[str, Any] = {}
        while True:
            page = self._client.query(
                TableName=self._table,
                KeyConditionExpression="pk = :pk AND begins_with(sk, :site)",
                ExpressionAttributeValues=to_item({":pk": tenant_key(tenant, "TEN"), ":site": "SITE#"}),
                ConsistentRead=consistent,
                **options,
            )
            found += [site_of(from_item(item)) for item in page["Items"]]
            if "LastEvaluatedKey" not in page:
                return found
            options = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def page(
        self, tenant: TenantId, statuses: Sequence[SiteStatus], limit: int, before: str | None, *, deleted_after: float
    ) -> tuple[list[Site], str | None]:
        """Sites of those statuses, the newest first, and the id to go on before; none deleted until `deleted_after`."""
        named = {f":s{at}": status for at, status in enumerate(statuses)}
        values: dict[str, Any] = {":pk": tenant_key(tenant, "TEN"), ":low": "SITE#", ":high": f"SITE#{before or '~'}"}
        values |= {":after": Decimal(repr(deleted_after)), **named}
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="pk = :pk AND sk BETWEEN :low AND :high",
            FilterExpression=f"#status IN ({', '.join(named)})"
            " AND (attribute_not_exists(deleted_at) OR deleted_at > :after)",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues=to_item(values),
            ScanIndexForward=False,
            ConsistentRead=True,
        )
        kept: list[Site] = []
        for page in pages:
            kept += [site for raw in page["Items"] if (site := site_of(from_item(raw))).site_id != before]
            if len(kept) > limit:
                return kept[:limit], kept[limit - 1].site_id
        return kept, None

    def owner(self, site_id: str) -> TenantId | None:
        """Whose site it is; None if there is none of that id."""
        key = {"pk": platform_key("SITE", site_id), "sk": "OWNER"}
        item = self._client.get_item(TableName=self._table, Key=to_item(key)).get("Item")
        return TenantId(from_item(item)["tenant_id"]) if item else None

    def note_training(self, tenant: TenantId, site_id: str, at: float) -> None:
        """Note when a site was last trained. Who is about to store what they read before is told that it changed."""
        try:
            self._client.update_item(
                TableName=self._table,
                Key=to_item(site_key(tenant, site_id)),
                UpdateExpression="SET last_trained_at = :at ADD version :one",
                ConditionExpression="attribute_exists(pk)"
                " AND (attribute_not_exists(last_trained_at) OR last_trained_at < :at)",
                ExpressionAttributeValues=to_item({":at": int(at), ":one": 1}),
            )
        except Exception as error:
            if not is_refused(error):
                raise

    def put_site(self, site: Site) -> bool:
        """Store the version after the one that was read; False where somebody else has stored it meanwhile."""
        return put_version(self._client, self._table, site_item(site))
