"""Sites and profiles in the `sites` table: `TEN#<tenant>` / `SITE#<id>` and `PROFILE#<id>`."""

from __future__ import annotations

from dataclasses import asdict
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from noren.ids import TenantId
from noren.sites.models import Profile, Site
from noren.tables import error_code, from_item, tenant_key, to_item

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

    def add_site(self, site: Site) -> bool:
        """Store a new site; False where the id is taken."""
        return self._put(site.tenant_id, f"SITE#{site.site_id}", _site_item(site), new=True)

    def put_site(self, site: Site) -> None:
        """Store a site as it is now."""
        self._put(site.tenant_id, f"SITE#{site.site_id}", _site_item(site))

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
        item = {name: value for name, value in fields.items() if value is not None}
        item |= {"pk": tenant_key(tenant, "TEN"), "sk": sk}
        try:
            self._client.put_item(TableName=self._table, Item=to_item(item), **condition)
        except self._client.exceptions.ClientError as error:
            if error_code(error) == "ConditionalCheckFailedException":
                return False
            raise
        return True


def _site(item: dict[str, Any]) -> Site:
    fields = {name: item[name] for name in Site.__slots__ if name in item}
    return Site(**fields | {"created_at": float(item["created_at"])})


def _site_item(site: Site) -> dict[str, Any]:
    return asdict(site) | {"created_at": Decimal(repr(site.created_at))}


def _profile(item: dict[str, Any]) -> Profile:
    fields = {name: item[name] for name in Profile.__slots__ if name in item}
    return Profile(**fields | {name: float(item[name]) for name in ("temperature", "updated_at")})


def _profile_item(profile: Profile) -> dict[str, Any]:
    fields = asdict(profile)
    return fields | {name: Decimal(repr(fields[name])) for name in ("temperature", "updated_at")}
