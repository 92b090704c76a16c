"""The usage record: one per request, with every model call it made."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from noren.ids import TenantId

Outcome = Literal["ok", "canned", "degraded", "cancelled", "partial", "failed", "denied"]


@dataclass(slots=True)
class Call:
    """One model call: first attempt, retry, fallback, draft, summary or embedding."""

    purpose: Literal["answer", "draft", "summary", "embedding"]
    provider: str
    model: str
    """As the upstream reported it; the configured name where it reported none."""
    policy_id: str
    price_version: str
    status: str
    """`ok`, `cancelled` or the fault's kind."""
    tokens_input: int = 0
    tokens_output: int = 0
    tokens_cached: int = 0
    tokens_embedding: int = 0
    gpu_seconds: Decimal = Decimal(0)
    estimated: bool = False
    cost_usd: Decimal = Decimal(0)
    first_token_ms: int | None = None
    total_ms: int = 0


@dataclass(slots=True)
class UsageRecord:
    """What one request used. Written once by the ledger's decision; the first writer wins."""

    request_id: str
    tenant_id: TenantId
    site_id: str
    occurred_at: float
    source: Literal["chat", "openai", "canned", "summary", "training", "query"] = "chat"
    function: str = "chatbot"
    """The AI function that was asked (`function_type`); chats are `chatbot`, vectors `embedding`."""
    decision: Literal["USAGE", "RELEASE"] = "USAGE"
    nonce: str = ""
    """Of the hold that this record settles."""
    chats: int = 1
    credits: int = 0
    embedding_charged: int = 0
    """Embedding tokens charged to the quota: those used, but never more than were held."""
    caller: str = ""
    """`user:<id>`, `key:<id>`, `visitor:<hash>` or `anonymous:<hash>`."""
    session_key: str = ""
    tier: str = ""
    route_reason: str = ""
    provider: str = ""
    model: str = ""
    calls: list[Call] = field(default_factory=list)
    admission_ms: int = 0
    retrieval_ms: int = 0
    first_token_ms: int | None = None
    total_ms: int = 0
    cost_usd: Decimal = Decimal(0)
    cost_local: Decimal = Decimal(0)
    currency: str = "JPY"
    rate: Decimal = Decimal(0)
    status: Outcome = "ok"
    error_code: str = ""
    prompt_profile: str = ""
    prompt_version: int = 0
    experiment_id: str = ""
    """The experiment that the request took part in, with `prompt_arm`."""
    prompt_arm: str = ""
    is_new_session: bool = False
    """The first one of its session."""
    address_prefix: str = ""
    user_agent: str = ""
    trace_id: str = ""
    late: bool = False
    """The settler lost to a RELEASE: the cost is the platform's loss."""
    revision: int = 1
    extra: dict[str, Any] = field(default_factory=dict)
    """What the caller sent along: JSON values."""

    @property
    def tokens_input(self) -> int:
        return sum(call.tokens_input for call in self.calls)

    @property
    def tokens_output(self) -> int:
        return sum(call.tokens_output for call in self.calls)

    @property
    def tokens_cached(self) -> int:
        return sum(call.tokens_cached for call in self.calls)

    @property
    def tokens_embedding(self) -> int:
        return sum(call.tokens_embedding for call in self.calls)
