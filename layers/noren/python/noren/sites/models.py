"""Sites."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from noren.ids import TenantId

SiteStatus = Literal["active", "disabled", "frozen", "deleted"]
"""`disabled`: switched off by its owner. `frozen`: beyond what the plan has room for."""


@dataclass(frozen=True, slots=True)
class Site:
    """A place where a tenant's assistant answers. Every tenant has a default one. Times are epoch seconds."""

    site_id: str
    tenant_id: TenantId
    name: str
    prompt_profile: str
    """Id of the prompt profile that it answers by."""
    created_at: float
    status: SiteStatus = "active"
    default_model: str = ""
    """Policy id of the model to use when a request names none; "" is the plan's default."""
    daily_quota: int | None = None
    """Requests a day, where it replaces the plan's number."""
    site_key: str = ""
    """Public: names the site to visitors' browsers (`pk_<site>_<random>`)."""
    previous_key: str = ""
    """The key before the last rotation; good until `previous_key_until`."""
    previous_key_until: float = 0.0
    domains: tuple[str, ...] = ()
    """Where its pages are: what may be crawled for training."""
    allowed_domains: tuple[str, ...] = ()
    """Origins whose pages may carry the widget (`noren.sites.origins`)."""
    allow_server_calls: bool = False
    """Visitor calls without an `Origin` are let in too: a server makes them."""
    is_embed_enabled: bool = True
    is_enrichment_enabled: bool = False
    """VIP routes: a model of ours drafts notes on the passages before the vendor's answers (`noren.chat.drafts`)."""
    embed_script_id: str = ""
    """Part of every loader and visitor token; a new one voids them all."""
    widget_config: Mapping[str, Any] = field(default_factory=dict)
    """What differs from the widget's defaults (`noren.sites.widget`)."""
    last_trained_at: float | None = None
    created_by: str = ""
    updated_at: float | None = None
    updated_by: str = ""
    deleted_at: float | None = None
    deleted_by: str = ""
    status_before: SiteStatus = "active"
    """What a deleted site was, and is again when it is restored."""
    version: int = 1
    """Of this record: two people who change it at once are told apart by it."""

    def daily_ceiling(self, allowed: int) -> int:
        """Requests a day where the plan allows so many: an override from a larger plan reaches no further."""
        return allowed if self.daily_quota is None else min(self.daily_quota, allowed)


@dataclass(frozen=True, slots=True)
class Roster:
    """How many sites a tenant has: those that are not deleted, and of these the active ones."""

    live: int
    active: int
