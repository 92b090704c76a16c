"""Tenants, members, keys and invitations in the `tenants` table. Counters on META keep the team's rules atomic."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from noren.clock import iso
from noren.ids import TenantId
from noren.tables import Item, Position, error_code, from_attr, from_item, platform_key, tenant_key, to_attr, to_item
from noren.tenants.items import (
    KEYS,
    META,
    invitation_item,
    invitation_of,
    key_item,
    key_of,
    key_sort,
    member_item,
    membership_of,
    meta_item,
    tenant_of,
)
from noren.tenants.models import ApiKey, Invitation, Membership, Role, Tenant

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

TRIES = 6


class Refused(Exception):
    """A condition failed. `failed` holds the positions of the writes whose own conditions did."""

    def __init__(self, failed: Sequence[int]) -> None:
        super().__init__(f"conditions failed: {failed}")
        self.failed = tuple(failed)


class TenantStore:
    """One item each; partition `TEN#<tenant>`, people's markers under `USR#<sub>`."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    # Tenants

    def create_personal(self, tenant: Tenant, owner: Membership) -> bool:
        """Marker, tenant and ownership in one transaction; False if the person has a personal tenant already."""
        marker = {"pk": platform_key("USR", owner.user_id), "sk": "PERSONAL", "tenant_id": tenant.tenant_id}
        try:
            self._transact(
                [
                    self._put(marker, absent=True),
                    self._put(meta_item(tenant, members=1, owners=1), absent=True),
                    self._put(member_item(owner), absent=True),
                ]
            )
        except Refused:
            return False
        return True

    def create(self, tenant: Tenant) -> bool:
        """A tenant without people (the platform's own); False if it exists."""
        try:
            self._transact([self._put(meta_item(tenant, members=0, owners=0), absent=True)])
        except Refused:
            return False
        return True

    def personal(self, user_id: str) -> TenantId | None:
        """The personal tenant's id, read strongly."""
        item = self._get(platform_key("USR", user_id), "PERSONAL")
        return TenantId(item["tenant_id"]) if item else None

    def tenant(self, tenant_id: TenantId) -> Tenant | None:
        """The tenant, read strongly."""
        item = self._get(tenant_key(tenant_id, "TEN"), META)
        return tenant_of(item) if item else None

    def update(self, tenant_id: TenantId, changes: Mapping[str, Any], actor: str, now: float) -> Tenant | None:
        """Set attributes (dotted names reach into maps, None removes); the tenant as it is then, None if missing.

        Without an actor the platform's own bookkeeping changes, and who edited last stays as it is.
        """
        names: dict[str, str] = {}
        values: dict[str, Any] = {}
        sets: list[str] = []
        removes: list[str] = []
        if actor:
            changes = {**changes, "updated_at": iso(now), "updated_by": actor}
        for index, (path, value) in enumerate(changes.items()):
            parts = path.split(".")
            names |= {f"#{index}_{depth}": part for depth, part in enumerate(parts)}
            target = ".".join(f"#{index}_{depth}" for depth in range(len(parts)))
            if value is None:
                removes.append(target)
            else:
                values[f":{index}"] = value
                sets.append(f"{target} = :{index}")
        try:
            done = self._client.update_item(
                TableName=self._table,
                Key=to_item({"pk": tenant_key(tenant_id, "TEN"), "sk": META}),
                UpdateExpression=f"SET {', '.join(sets)}" + (f" REMOVE {', '.join(removes)}" if removes else ""),
                ConditionExpression="attribute_exists(pk)",
                ExpressionAttributeNames=names,
                ExpressionAttributeValues={name: to_attr(value) for name, value in values.items()},
                ReturnValues="ALL_NEW",
            )
        except Exception as error:
            if error_code(error) == "ConditionalCheckFailedException":
                return None
            raise
        return tenant_of(from_item(done["Attributes"]))

    def list_tenants(
        self, text: str, plan: str, limit: int, position: Position | None
    ) -> tuple[list[Tenant], Position | None]:
        """All tenants, newest first, those whose name, id or billing address holds `text` (any if empty)."""
        conditions, names, values = [], {}, {}
        if text:
            conditions.append("contains(#search, :text)")
            names["#search"], values[":text"] = "search", text.casefold()
        if plan:
            conditions.append("#plan = :plan")
            names["#plan"], values[":plan"] = "plan", plan
        items, following = self._query_filtered(
            platform_key("TENANTS"), limit, position, " AND ".join(conditions), values, names
        )
        return [tenant_of(item) for item in items], following

    # Members

    def memberships(self, user_id: str) -> list[Membership]:
        """A person's memberships by the index (which lags by milliseconds)."""
        items = self._query("gsi1pk", platform_key("USR", user_id), index="gsi1")
        return [membership_of(item) for item in items]

    def membership(self, tenant_id: TenantId, user_id: str) -> Membership | None:
        """One membership, read strongly."""
        item = self._get(tenant_key(tenant_id, "TEN"), f"MEM#{user_id}")
        return membership_of(item) if item else None

    def members(self, tenant_id: TenantId) -> list[Membership]:
        """The whole team (bounded by the plan)."""
        items = self._query("pk", tenant_key(tenant_id, "TEN"), prefix="MEM#", consistent=True)
        return [membership_of(item) for item in items]

    def change_role(self, member: Membership, role: Role, actor: str, now: float) -> None:
        """Raises Refused: (0,) the membership changed meanwhile, (1,) it is the last owner's."""
        update = {
            "Update": {
                "TableName": self._table,
                "Key": to_item({"pk": tenant_key(member.tenant_id, "TEN"), "sk": f"MEM#{member.user_id}"}),
                "UpdateExpression": "SET #role = :role, updated_at = :now, updated_by = :by",
                "ConditionExpression": as_read(member),
                "ExpressionAttributeNames": {"#role": "role"},
                "ExpressionAttributeValues": to_item(
                    {":role": int(role), ":old": int(member.role), ":now": iso(now), ":by": actor}
                ),
            }
        }
        owners = 0 if member.frozen else (role is Role.OWNER) - (member.role is Role.OWNER)
        self._transact([update, self._count(member.tenant_id, 0, owners)] if owners else [update])

    def remove_member(self, member: Membership) -> None:
        """Raises Refused: (0,) the membership changed meanwhile, (1,) it is the last owner's."""
        delete = {
            "Delete": {
                "TableName": self._table,
                "Key": to_item({"pk": tenant_key(member.tenant_id, "TEN"), "sk": f"MEM#{member.user_id}"}),
                "ConditionExpression": as_read(member),
                "ExpressionAttributeNames": {"#role": "role"},
                "ExpressionAttributeValues": to_item({":old": int(member.role)}),
            }
        }
        is_owner = member.role is Role.OWNER and not member.frozen
        count = self._count(member.tenant_id, -1, -int(is_owner), frozen=-int(member.frozen))
        self._transact([delete, count])

    # Invitations

    def put_invitation(self, invitation: Invitation) -> None:
        """Write a new invitation."""
        self._transact([self._put(invitation_item(invitation), absent=True)])

    def invitation_by_hash(self, token_hash: str) -> Invitation | None:
        """The invitation whose link holds the token."""
        items = self._query("gsi1pk", platform_key("INVHASH", token_hash), index="gsi1")
        return invitation_of(items[0]) if items else None

    def invitation(self, tenant_id: TenantId, invitation_id: str) -> Invitation | None:
        """One invitation, read strongly."""
        item = self._get(tenant_key(tenant_id, "TEN"), f"INV#{invitation_id}")
        return invitation_of(item) if item else None

    def list_invitations(
        self, tenant_id: TenantId, limit: int, position: Position | None
    ) -> tuple[list[Invitation], Position | None]:
        """Newest first."""
        items, following = self._page(tenant_id, "INV#", limit, position)
        return [invitation_of(item) for item in items], following

    def revoke_invitation(self, tenant_id: TenantId, invitation_id: str, actor: str, now: float) -> bool:
        """Revoke an invitation that nobody has accepted; False if there is none."""
        key = to_item({"pk": tenant_key(tenant_id, "TEN"), "sk": f"INV#{invitation_id}"})
        return self._change(key, {"revoked_at": int(now), "revoked_by": actor}, "attribute_not_exists(accepted_at)")

    def change_invitation(self, tenant_id: TenantId, invitation_id: str, role: Role, actor: str, now: float) -> bool:
        """Offer another role in an open invitation; False if it is not open any more."""
        return self._change(
            to_item({"pk": tenant_key(tenant_id, "TEN"), "sk": f"INV#{invitation_id}"}),
            # who changed it stands behind it from now on: acceptance looks at what they may grant
            {"role": int(role), "created_by": actor, "updated_at": int(now), "updated_by": actor},
            "attribute_not_exists(accepted_at) AND attribute_not_exists(revoked_at)",
        )

    def accept(self, invitation: Invitation, member: Membership, limit: int) -> None:
        """Join the team. Raises Refused: (0,) used, revoked, expired; (1,) a member already; (2,) the team is full."""
        mark = {
            "Update": {
                "TableName": self._table,
                "Key": to_item(
                    {"pk": tenant_key(invitation.tenant_id, "TEN"), "sk": f"INV#{invitation.invitation_id}"}
                ),
                "UpdateExpression": "SET accepted_at = :now, accepted_by = :by",
                "ConditionExpression": "expires_at > :now AND attribute_not_exists(accepted_at)"
                " AND attribute_not_exists(revoked_at)",
                "ExpressionAttributeValues": to_item({":now": int(member.created_at), ":by": member.user_id}),
            }
        }
        owner = int(member.role is Role.OWNER)
        counts = self._count(invitation.tenant_id, 1, owner, most_members=limit)
        self._transact([mark, self._put(member_item(member), absent=True), counts])

    # API keys

    def put_key(self, key: ApiKey) -> None:
        """Write a new key (its hash, never the secret)."""
        self._transact([self._put(key_item(key), absent=True)])

    def key_by_hash(self, key_hash: str) -> ApiKey | None:
        """The key whose secret has that SHA-256."""
        items = self._query("gsi1pk", platform_key("KEYHASH", key_hash), index="gsi1")
        return key_of(items[0]) if items else None

    def key(self, tenant_id: TenantId, key_id: str) -> ApiKey | None:
        """One key, read strongly."""
        item = self._get(tenant_key(tenant_id, "TEN"), key_sort(key_id))
        return key_of(item) if item else None

    def list_keys(
        self, tenant_id: TenantId, prefix: str, limit: int, position: Position | None
    ) -> tuple[list[ApiKey], Position | None]:
        """Newest first, revoked ones too; those whose visible beginning starts with `prefix`."""
        items, following = self._page(tenant_id, "KEY#", limit, position, prefix)
        return [key_of(item) for item in items], following

    def change_key(self, tenant_id: TenantId, key_id: str, changes: Mapping[str, Any]) -> bool:
        """Write the attributes of a key that is not revoked; False if there is none."""
        key = to_item({"pk": tenant_key(tenant_id, "TEN"), "sk": key_sort(key_id)})
        return self._change(key, changes, "attribute_not_exists(revoked_at)")

    def mark_key(self, tenant_id: TenantId, key_id: str, name: str, now: float, *, older_than: float, by: str) -> bool:
        """Set a time on the key (`last_used_at`, `revoked_at`) unless one of at least `older_than` stands there."""
        try:
            self._client.update_item(
                TableName=self._table,
                Key=to_item({"pk": tenant_key(tenant_id, "TEN"), "sk": key_sort(key_id)}),
                UpdateExpression="SET #name = :now, #by = :by",
                ConditionExpression="attribute_exists(pk) AND (attribute_not_exists(#name) OR #name < :old)",
                ExpressionAttributeNames={"#name": name, "#by": name.replace("_at", "_by")},
                ExpressionAttributeValues=to_item({":now": int(now), ":old": int(older_than), ":by": by}),
            )
        except Exception as error:
            if error_code(error) == "ConditionalCheckFailedException":
                return False
            raise
        return True

    # Storage

    def _change(self, key: dict[str, Any], changes: Mapping[str, Any], condition: str) -> bool:
        """Set attributes of an item that exists and fulfils the condition; says whether it did."""
        names = {f"#{name}": name for name in changes}
        try:
            self._client.update_item(
                TableName=self._table,
                Key=key,
                UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in changes),
                ConditionExpression=f"attribute_exists(pk) AND {condition}",
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=to_item({f":{name}": value for name, value in changes.items()}),
            )
        except Exception as error:
            if error_code(error) == "ConditionalCheckFailedException":
                return False
            raise
        return True

    def _get(self, pk: str, sk: str) -> Item | None:
        found = self._client.get_item(TableName=self._table, Key=to_item({"pk": pk, "sk": sk}), ConsistentRead=True)
        return from_item(found["Item"]) if "Item" in found else None

    def _query(
        self, name: str, value: str, *, index: str = "", prefix: str = "", consistent: bool = False
    ) -> list[Item]:
        condition, values = f"{name} = :pk", {":pk": to_attr(value)}
        if prefix:
            condition, values[":sk"] = f"{condition} AND begins_with(sk, :sk)", to_attr(prefix)
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression=condition,
            ExpressionAttributeValues=values,
            **({"IndexName": index} if index else {"ConsistentRead": consistent}),
        )
        return [from_item(item) for page in pages for item in page["Items"]]

    def _page(
        self, tenant_id: TenantId, kind: str, limit: int, position: Position | None, key_prefix: str = ""
    ) -> tuple[list[Item], Position | None]:
        """One page of a tenant's items of a kind, newest first; the position is the last one's sort key."""
        pk = tenant_key(tenant_id, "TEN")
        given: dict[str, Any] = {":pk": pk, ":low": kind, ":high": position["sk"] if position else kind + "~"}
        extra: dict[str, Any] = {}
        if key_prefix:
            given[":prefix"] = key_prefix
            extra = {
                "FilterExpression": "begins_with(#prefix, :prefix)",
                "ExpressionAttributeNames": {"#prefix": "prefix"},
            }
        kept: list[Item] = []
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="pk = :pk AND sk BETWEEN :low AND :high",
            ExpressionAttributeValues=to_item(given),
            ScanIndexForward=False,
            ConsistentRead=True,
            **extra,
        )
        for page in pages:
            kept += [item for raw in page["Items"] if (item := from_item(raw))["sk"] != given[":high"]]
            if len(kept) > limit:
                break
        return kept[:limit], {"sk": kept[limit - 1]["sk"]} if len(kept) > limit else None

    def _query_filtered(
        self,
        gsi1pk: str,
        limit: int,
        position: Position | None,
        condition: str,
        values: Mapping[str, Any],
        names: Mapping[str, str],
    ) -> tuple[list[Item], Position | None]:
        """One page of an index partition, newest first. A filter reads a bounded stretch: a page may be short."""
        given: dict[str, Any] = {":pk": gsi1pk, **values}
        extra: dict[str, Any] = {"FilterExpression": condition} if condition else {}
        if names:
            extra["ExpressionAttributeNames"] = dict(names)
        if position:
            extra["ExclusiveStartKey"] = to_item(position)
        kept: list[Item] = []
        for _ in range(10):
            page = self._client.query(
                TableName=self._table,
                IndexName="gsi1",
                KeyConditionExpression="gsi1pk = :pk",
                ExpressionAttributeValues=to_item(given),
                ScanIndexForward=False,
                Limit=max(limit - len(kept), 1) if not condition else 200,
                **extra,
            )
            kept += [from_item(raw) for raw in page["Items"]]
            last = page.get("LastEvaluatedKey")
            if len(kept) >= limit or not last:
                break
            extra["ExclusiveStartKey"] = last
        if len(kept) > limit or (len(kept) == limit and last):
            return kept[:limit], {name: kept[limit - 1][name] for name in sorted(KEYS)}
        return kept, {name: from_attr(attr) for name, attr in last.items()} if last else None

    def _put(self, item: Item, *, absent: bool) -> dict[str, Any]:
        put: dict[str, Any] = {"TableName": self._table, "Item": to_item(item)}
        if absent:
            put["ConditionExpression"] = "attribute_not_exists(pk)"
        return {"Put": put}

    def _count(
        self, tenant_id: TenantId, members: int, owners: int, most_members: int | None = None, frozen: int = 0
    ) -> dict[str, Any]:
        """Move META's counters; a team keeps an owner and stays within `most_members`. Frozen owners don't count."""
        condition, values = "attribute_exists(pk)", {":members": members, ":owners": owners, ":frozen": frozen}
        if owners < 0:
            condition, values[":least"] = f"{condition} AND owners > :least", -owners
        if most_members is not None:
            condition, values[":most"] = f"{condition} AND members < :most", most_members
        return {
            "Update": {
                "TableName": self._table,
                "Key": to_item({"pk": tenant_key(tenant_id, "TEN"), "sk": META}),
                "UpdateExpression": "ADD members :members, owners :owners, frozen :frozen",
                "ConditionExpression": condition,
                "ExpressionAttributeValues": to_item(values),
            }
        }

    def _transact(self, writes: Sequence[Any]) -> None:
        transact(self._client, writes)


def as_read(member: Membership) -> str:
    """The condition that a membership is as it was read; `:old` is its role."""
    return "#role = :old AND " + ("attribute_exists(frozen)" if member.frozen else "attribute_not_exists(frozen)")


def transact(client: DynamoDBClient, writes: Sequence[Any]) -> None:
    """All or nothing. Conflicts with other transactions are tried again; raises Refused for failed conditions."""
    for attempt in range(TRIES):
        try:
            client.transact_write_items(TransactItems=writes)
            return
        except client.exceptions.TransactionCanceledException as error:
            reasons = [each.get("Code") for each in error.response.get("CancellationReasons", [])]
            failed = [index for index, code in enumerate(reasons) if code == "ConditionalCheckFailed"]
            if failed:
                raise Refused(failed) from None
            if attempt == TRIES - 1 or "ValidationError" in reasons:
                raise
            time.sleep(random.uniform(0, 0.02 * 2**attempt))  # noqa: S311
