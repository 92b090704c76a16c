"""Subscriptions to a tenant's events, and what has become of each event at each of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args
from urllib.parse import urlsplit

from noren.ids import TenantId
from noren.mail import WebhookReason

EventType = Literal[
    "limit_reached",
    "limit_near",
    "error",
    "feedback",
    "training_completed",
    "training_failed",
    "credits_low",
    "credits_added",
    "call_completed",
    "subscription_changed",
]
EVENT_TYPES: tuple[EventType, ...] = get_args(EventType)
TEST = "test"
"""Sent on demand; not subscribed to."""

TYPE_OF: dict[str, EventType] = {
    **{each: each for each in EVENT_TYPES},
    "site_limit_reached": "limit_reached",
    "credits_bought": "credits_added",
    "auto_purchase_paid": "credits_added",
    "plan_changed": "subscription_changed",
    "plan_ended": "subscription_changed",
    "plan_past_due": "subscription_changed",
}
"""Kinds of events (`noren.insight`) to what they are called outside; other kinds are told by mail alone."""

Status = Literal["pending", "delivered", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a tenant wants its events sent. Times are epoch seconds."""

    webhook_id: str
    tenant_id: TenantId
    callback_url: str
    event_types: tuple[EventType, ...]
    sealed_secret: bytes
    """By the vault: what deliveries are signed with."""
    enabled: bool = True
    description: str = ""
    previous_secret: bytes = b""
    """Signs as well until `previous_until`, so that a subscriber can change over."""
    previous_until: float = 0.0
    created_at: float = 0.0
    created_by: str = ""
    updated_at: float = 0.0
    updated_by: str = ""
    version: int = 1
    failures: int = 0
    """Attempts that failed since one last succeeded, of whatever delivery."""
    failing_since: float | None = None
    disabled_reason: WebhookReason | Literal[""] = ""
    """Why we disabled it ourselves."""

    @property
    def host(self) -> str:
        """Of its URL: all that may stand in a log or mail, since a path can be a secret."""
        return urlsplit(self.callback_url).hostname or ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to one endpoint: the same `delivery_id` however often the event is seen."""

    delivery_id: str
    """`dlv_…`, of the event's id: sorts as the events do, and is its own only within an endpoint."""
    tenant_id: TenantId
    webhook_id: str
    event_id: str
    event_type: str
    entity: str
    """What the event is about. Of one entity nothing overtakes."""
    body: str
    """As it is sent at each attempt."""
    created_at: float
    since: float
    """When its attempts began: at creation, or at the last replay."""
    status: Status = "pending"
    attempts: int = 0
    """Since then."""
    next_at: float = 0.0
    """Of a pending one: not before then."""
    last_status: int | None = None
    """HTTP status of the last attempt that was answered at all."""
    last_error: str = ""
    """`bad_status`, or a code of `noren.fetching.errors`; of a cancelled one `deleted` or `disabled`."""
    last_ms: int | None = None
    finished_at: float | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A pending delivery as the queue of its endpoint knows it."""

    delivery_id: str
    entity: str
    next_at: float
