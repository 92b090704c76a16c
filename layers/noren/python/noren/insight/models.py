"""What is kept about changes and happenings: audit records, events, notifications."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from noren.ids import TenantId


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One change by a person or a key: who did what to which thing, when, from where."""

    audit_id: str
    """`aud_…`, sorts by time."""
    occurred_at: float
    actor: str
    """`user:<sub>`, `key:<id>`, `cli:<name>`."""
    action: str
    """The route, `PATCH /api/v1/members/{user_id}`, or the operator's command."""
    entity_type: str
    entity_id: str
    tenant_id: TenantId | None = None
    """Whose thing was changed; None: the platform's own (plans, models, rates, packages)."""
    by_platform: bool = False
    """A platform admin or operator did it: tenants are not told who."""
    outcome: Literal["done", "failed"] = "done"
    """`failed`: we broke down in the middle, part of the change may stand."""
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    """Of what was changed alone; one of the two is None where a thing was made or removed."""
    trace_id: str = ""
    address_prefix: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a tenant, once per `kind` and `key`."""

    event_id: str
    """`evt_…`, sorts by time."""
    tenant_id: TenantId
    kind: str
    key: str
    """Names the thing and the period: `chats#2026-11`."""
    data: dict[str, Any]
    occurred_at: float
    told: bool = False
    """Whether the notification and the mail have gone out."""
    is_new: bool = True


@dataclass(frozen=True, slots=True)
class Note:
    """A notification in the console. All members see the same ones, read by one is read by all."""

    notification_id: str
    """`note_…`, sorts by time."""
    tenant_id: TenantId
    kind: str
    data: dict[str, Any] = field(default_factory=dict)
    occurred_at: float = 0.0
    read_at: float | None = None
    read_by: str = ""


@dataclass(frozen=True, slots=True)
class LoggedError:
    """Requests of a tenant's callers that failed or were refused alike within a minute. Holds nothing that was sent."""

    tenant_id: TenantId
    site_id: str
    """The empty string where the request was for none."""
    status: int
    code: str
    message: str
    """What the caller was told; like the trace id and the time, that of the first."""
    trace_id: str
    occurred_at: float
    count: int = 1
