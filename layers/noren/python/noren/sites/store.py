"""Sites and profiles in the `sites` table: `TEN#<tenant>` / `SITE#<id>` and `PROFILE#<id>`.

`SITE#<id>` / `OWNER` says whose a site is: public keys and embed scripts name a site without its tenant.
"""

from __future__ import annotations

from dataclasses import asdict
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from noren.ids import TenantId
from noren.sites.models import Profile, Site
from noren.tables import error_code, found, from_item, platform_key, tenant_key, to_item

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class SiteStore:
    """Reads and writes; decides nothing."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client, self._table = client, table

    def site(self, tenant: TenantId, site_id: str) -> Site | None:
        """The site, or None where the tenant has none of that id."""
        item = self._get(tenant, f"SITE#{site_id}")
        return _site(item) if item else None

    def sites(self, tenant: TenantId) -> list[Site]:
        """All sites of the tenant, deleted ones too."""
        found: list[Site] = []
        options: dict[str, Any] = {}
        while True:
            page = self._client.query(
                TableName=self._table,
                KeyConditionExpression="pk = :pk AND begins_with(sk, :site)",
                ExpressionAttributeValues=to_item({":pk": tenant_key(tenant, "TEN"), ":site": "SITE#"}),
                **options,
            )
            found += [_site(from_item(item)) for item in page["Items"]]
            if "LastEvaluatedKey" not in page:
                return found
            options = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def profile(self, tenant: TenantId, profile_id: str) -> Profile | None:
        """The profile's current version, or None."""
        item = self._get(tenant, f"PROFILE#{profile_id}")
        return _profile(item) if item else None

    def add_profile(self, profile: Profile) -> bool:
        """Store a first version; False where the id is taken."""
        return self._put(profile.tenant_id, f"PROFILE#{profile.profile_id}", _profile_item(profile), new=True)

    def owner(self, site_id: str) -> TenantId | None:
        """Whose site it is; None if there is none of that id."""
        key = {"pk": platform_key("SITE", site_id), "sk": "OWNER"}
        item = self._client.get_item(TableName=self._table, Key=to_item(key)).get("Item")
        return TenantId(from_item(item)["tenant_id"]) if item else None

    def add_site(self, site: Site) -> bool:
        """Store a new site and whose it is, both or neither; False where the id is taken."""
        items = [
            {"pk": tenant_key(site.tenant_id, "TEN"), "sk": f"SITE#{site.site_id}", **_stored(_site_item(site))},
            {"pk": platform_key("SITE", site.site_id), "sk": "OWNER", "tenant_id": site.tenant_id},
        ]
        puts: list[Any] = [
            {
                "Put": {
                    "TableName": self._table,
                    "Item": to_item(each),
                    "ConditionExpression": "attribute_not_exists(pk)",
                }
            }
            for each in items
        ]
        try:
            self._client.transact_write_items(TransactItems=puts)
        except self._client.exceptions.TransactionCanceledException as error:
            codes = {reason.get("Code", "None") for reason in error.response.get("CancellationReasons", [])}
            if "ConditionalCheckFailed" in codes:
                return False
            raise
        return True

    def put_site(self, site: Site) -> bool:
        """Store the version after the one that was read; False where somebody else has stored it meanwhile."""
        sk = f"SITE#{site.site_id}"
        return self._put(site.tenant_id, sk, _site_item(site), replaces=site.version - 1)

    def put_profile(self, profile: Profile, *, replaces: int) -> bool:
        """Store a new version; False where the stored one is not version `replaces` (somebody else saved)."""
        sk = f"PROFILE#{profile.profile_id}"
        return self._put(profile.tenant_id, sk, _profile_item(profile), replaces=replaces)

    def _get(self, tenant: TenantId, sk: str) -> dict[str, Any] | None:
        key = {"pk": tenant_key(tenant, "TEN"), "sk": sk}
        item = self._client.get_item(TableName=self._table, Key=to_item(key)).get("Item")
        return from_item(item) if item else None

    def _put(
        self, tenant: TenantId, sk: str, fields: dict[str, Any], *, new: bool = False, replaces: int | None = None
    ) -> bool:
        condition: dict[str, Any] = {}
        if new:
            condition = {"ConditionExpression": "attribute_not_exists(pk)"}
        elif replaces is not None:
            condition = {
                "ConditionExpression": "version = :old",
                "ExpressionAttributeValues": to_item({":old": replaces}),
            }
        item = _stored(fields) | {"pk": tenant_key(tenant, "TEN"), "sk": sk}
        try:
            self._client.put_item(
                TableName=self._table,
                Item=to_item(item),
                ReturnValuesOnConditionCheckFailure="ALL_OLD" if condition else "NONE",
                **condition,
            )
        except self._client.exceptions.ClientError as error:
            if error_code(error) == "ConditionalCheckFailedException":
                return replaces is not None and found(error) == item  # written before, by a repetition of this call
            raise
        return True


def _stored(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in fields.items() if value is not None
    }


_SITE_TIMES = ("created_at", "updated_at", "deleted_at", "last_trained_at", "previous_key_until")


def _site(item: dict[str, Any]) -> Site:
    fields = {name: item[name] for name in Site.__slots__ if name in item}
    fields |= {name: float(fields[name]) for name in _SITE_TIMES if name in fields}
    fields |= {name: tuple(fields[name]) for name in ("domains", "allowed_domains") if name in fields}
    return Site(**fields)


def _site_item(site: Site) -> dict[str, Any]:
    fields = asdict(site)
    return fields | {name: Decimal(repr(fields[name])) for name in _SITE_TIMES if fields[name] is not None}


def _profile(item: dict[str, Any]) -> Profile:
    fields = {name: item[name] for name in Profile.__slots__ if name in item}
    return Profile(**fields | {name: float(item[name]) for name in ("temperature", "updated_at")})


def _profile_item(profile: Profile) -> dict[str, Any]:
    fields = asdict(profile)
    return fields | {name: Decimal(repr(fields[name])) for name in ("temperature", "updated_at")}
