"""Tenants, people, keys and invitations."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Literal

from noren.ids import TenantId

Scope = Literal["chat", "train", "read", "admin"]
Stop = Literal["quota", "billing", "security", "manual"]

SCOPES: tuple[Scope, ...] = ("chat", "train", "read", "admin")
STOPS: tuple[Stop, ...] = ("security", "manual", "billing", "quota")
"""Independent causes, the weightiest first: that one shows as `stop_mode`."""


class Role(IntEnum):
    """Roles in a tenant; each includes the ones before it."""

    VIEWER = 1
    EDITOR = 2
    ADMIN = 3
    OWNER = 4


@dataclass(frozen=True, slots=True)
class Tenant:
    """The unit of isolation and billing."""

    tenant_id: TenantId
    name: str
    plan: str
    created_at: float
    plan_status: str = "active"
    grace_until: int = 0
    """While the plan is past due: until when it goes on all the same (epoch seconds)."""
    timezone: str = "Asia/Tokyo"
    currency: str = "JPY"
    locale: str = "ja"
    billing_email: str = ""
    default_site_id: str = ""
    overage: bool = False
    """Whether chats beyond the plan's are paid by credits."""
    stops: frozenset[Stop] = frozenset()
    overrides: dict[str, int] = field(default_factory=dict)
    """Per-tenant limits that replace the plan's (names of `plans.models.Limits`)."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Attributes of later chapters and audit fields, carried but not interpreted here."""

    @property
    def stop_mode(self) -> Stop | None:
        """The weightiest stop in force, or None."""
        return next((stop for stop in STOPS if stop in self.stops), None)

    @property
    def is_suspended(self) -> bool:
        """Whether somebody has stopped the tenant; a spent quota alone is not a suspension."""
        return self.plan_status == "suspended" or bool(self.stops - {"quota"})


@dataclass(frozen=True, slots=True)
class Membership:
    """A person's role in a tenant."""

    tenant_id: TenantId
    user_id: str
    role: Role
    email: str = ""
    created_at: float = 0.0
    frozen: bool = False
    """Beyond what the plan has room for: kept, but without access."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A server's key. The secret itself is never stored: `key_hash` is its SHA-256."""

    key_id: str
    tenant_id: TenantId
    name: str
    prefix: str
    key_hash: str
    scopes: frozenset[Scope]
    created_at: float
    created_by: str
    expires_at: float | None = None
    revoked_at: float | None = None
    last_used_at: float | None = None


@dataclass(frozen=True, slots=True)
class Invitation:
    """An offer of membership by mail; `token_hash` is the SHA-256 of the link's token."""

    invitation_id: str
    tenant_id: TenantId
    email: str
    role: Role
    token_hash: str
    created_at: float
    created_by: str
    expires_at: float
    accepted_at: float | None = None
    accepted_by: str = ""
    revoked_at: float | None = None


PLATFORM_TENANT = TenantId("ten_" + "0" * 32)
"""The operator's own tenant: anonymous visitors chat under it."""
