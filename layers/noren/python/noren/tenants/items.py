"""How tenants, members, invitations and keys look as items of the `tenants` table."""

from __future__ import annotations

from dataclasses import fields

from noren.clock import iso
from noren.ids import TenantId
from noren.tables import Item, platform_key, tenant_key
from noren.tenants.models import ApiKey, Invitation, Membership, Role, Tenant

META = "META"
KEYS = frozenset({"pk", "sk", "gsi1pk", "gsi1sk"})
CORE = frozenset(each.name for each in fields(Tenant)) - {"stops", "extra"}


def meta_item(tenant: Tenant, *, members: int, owners: int) -> Item:
    """A tenant as a new META item with its team counters."""
    item = {name: getattr(tenant, name) for name in CORE}
    created = iso(tenant.created_at)
    return {
        "pk": tenant_key(tenant.tenant_id, "TEN"),
        "sk": META,
        "gsi1pk": platform_key("TENANTS"),
        "gsi1sk": f"{created}#{tenant.tenant_id}",
        **item,
        "created_at": int(tenant.created_at),
        "search": search_text(tenant),
        "stops": {},
        "members": members,
        "owners": owners,
        **tenant.extra,
    }


def search_text(tenant: Tenant) -> str:
    """What the platform admin's search looks into."""
    return f"{tenant.name} {tenant.billing_email} {tenant.tenant_id}".casefold()


def tenant_of(item: Item) -> Tenant:
    """The tenant of a META item; what later chapters keep there goes along in `extra`."""
    known = {name: item[name] for name in CORE if name in item}
    extra = {name: value for name, value in item.items() if name not in CORE | KEYS | {"stops"}}
    return Tenant(**known, stops=frozenset(item.get("stops", {})), extra=extra | {"stop_causes": item.get("stops", {})})


def member_item(member: Membership) -> Item:
    """A membership as an item."""
    return {
        "pk": tenant_key(member.tenant_id, "TEN"),
        "sk": f"MEM#{member.user_id}",
        "gsi1pk": platform_key("USR", member.user_id),
        "gsi1sk": tenant_key(member.tenant_id, "TEN"),
        "tenant_id": member.tenant_id,
        "user_id": member.user_id,
        "role": int(member.role),
        "email": member.email,
        "created_at": int(member.created_at),
    }


def membership_of(item: Item) -> Membership:
    """The reverse of `member_item`."""
    return Membership(
        tenant_id=TenantId(item["tenant_id"]),
        user_id=item["user_id"],
        role=Role(item["role"]),
        email=item["email"],
        created_at=item["created_at"],
        frozen=item.get("frozen", False),
    )


def invitation_item(invitation: Invitation) -> Item:
    """An invitation as an item."""
    item = {each.name: value for each in fields(Invitation) if (value := getattr(invitation, each.name)) is not None}
    return {
        "pk": tenant_key(invitation.tenant_id, "TEN"),
        "sk": f"INV#{invitation.invitation_id}",
        "gsi1pk": platform_key("INVHASH", invitation.token_hash),
        "gsi1sk": "INV",
        **item,
        "role": int(invitation.role),
        "created_at": int(invitation.created_at),
        "expires_at": int(invitation.expires_at),
    }


def invitation_of(item: Item) -> Invitation:
    """The reverse of `invitation_item`."""
    known = {each.name: item[each.name] for each in fields(Invitation) if each.name in item}
    return Invitation(**known | {"role": Role(item["role"])})


def key_sort(key_id: str) -> str:
    """The sort key of an API key's item, below its tenant's partition."""
    return f"KEY#{key_id}"


def key_item(key: ApiKey) -> Item:
    """An API key as an item."""
    item = {each.name: value for each in fields(ApiKey) if (value := getattr(key, each.name)) is not None}
    return {
        "pk": tenant_key(key.tenant_id, "TEN"),
        "sk": key_sort(key.key_id),
        "gsi1pk": platform_key("KEYHASH", key.key_hash),
        "gsi1sk": "KEY",
        **item,
        "scopes": sorted(key.scopes),
        "created_at": int(key.created_at),
    }


def key_of(item: Item) -> ApiKey:
    """The reverse of `key_item`."""
    known = {each.name: item[each.name] for each in fields(ApiKey) if each.name in item}
    return ApiKey(**known | {"scopes": frozenset(item["scopes"])})
