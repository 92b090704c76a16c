"""Admission: what is asked for, what is held."""

from __future__ import annotations

from dataclasses import dataclass, field

from noren.ids import TenantId
from noren.usage.models import UsageRecord


@dataclass(frozen=True, slots=True)
class Ask:
    """What a request wants admitted, at its upper bound.

    `credits` is 0 while the plan's chats last. `deadline` is the epoch second by which the request's process is
    surely gone (the invocation's deadline); the hold expires 60 s after it.
    """

    tenant_id: TenantId
    request_id: str
    site_id: str
    deadline: float
    chats: int = 1
    credits: int = 0
    embedding_tokens: int = 0
    site_daily_limit: int | None = None
    """The site's own limit where it overrides the plan's."""


@dataclass(slots=True)
class Hold:
    """An admitted request. Its `record` is filled in as the request goes on and decided when the hold is left.

    `record.chats` and `record.credits` say what is charged: a request that produced nothing for a reason that is ours
    or the provider's sets `release` and costs the tenant nothing.
    """

    ask: Ask
    nonce: str
    amounts: str
    """`<chats>,<credits>,<embedding tokens>` held."""
    record: UsageRecord
    release: bool = False
    chats_used: int = 0
    chats_limit: int = 0
    resets_at: float = 0.0
    adopted: bool = False
    """Found already in place (an earlier attempt's answer was lost)."""
    decided: UsageRecord | None = field(default=None)
    """The record that won, once left."""
