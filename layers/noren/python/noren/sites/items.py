"""How a site looks as an item of the `sites` table."""

from __future__ import annotations

from dataclasses import asdict
from decimal import Decimal

from noren.ids import TenantId
from noren.sites.models import Site
from noren.tables import Item, tenant_key

_TIMES = ("created_at", "updated_at", "deleted_at", "last_trained_at", "previous_key_until")
_TUPLES = ("domains", "allowed_domains")


def site_key(tenant: TenantId, site_id: str) -> Item:
    """Where a site lies."""
    return {"pk": tenant_key(tenant, "TEN"), "sk": f"SITE#{site_id}"}


def site_item(site: Site) -> Item:
    """A site as an item; what it does not have is left out."""
    fields = {name: value for name, value in asdict(site).items() if value is not None}
    fields |= {name: Decimal(repr(fields[name])) for name in _TIMES if name in fields}
    fields |= {name: list(fields[name]) for name in _TUPLES}
    return site_key(site.tenant_id, site.site_id) | fields


def site_of(item: Item) -> Site:
    """The reverse of `site_item`."""
    fields = {name: item[name] for name in Site.__slots__ if name in item}
    fields |= {name: float(fields[name]) for name in _TIMES if name in fields}
    fields |= {name: tuple(fields[name]) for name in _TUPLES if name in fields}
    return Site(**fields)
