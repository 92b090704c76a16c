"""The catalogue: plans, model policies, exchange rates. Data, not code, versioned by effective date."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

Tier = Literal["free", "paid", "vip"]
ProviderName = Literal["runpod", "openai", "anthropic", "local_llm", "offline"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a plan allows. Field names are also those of a tenant's overrides."""

    chats_per_month: int
    embedding_tokens_per_month: int
    requests_per_day_per_site: int
    concurrent_chats: int
    requests_per_minute: int
    max_tokens: int
    sites: int
    members: int
    free_credits_per_month: int = 0
    credits_per_overage_chat: int = 2
    carry_over_cap: int = 0
    voice_minutes: int = 0
    concurrent_calls: int = 0
    trial_days: int = 0
    pages_per_site: int = 200
    """Of the web: what a site may be trained on."""


Resync = Literal["none", "monthly", "weekly", "daily"]
"""How often a site may be trained again by itself, the seldomest first."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One row of the catalogue. `prices` are minor units by currency for one month."""

    plan: str
    aliases: tuple[str, ...]
    tier: Tier
    prices: dict[str, int]
    limits: Limits
    embedding_model: str
    resync: Resync
    effective_date: str
    public: bool = True
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class ModelPolicy:
    """A model that some plans may use, with its price from a date on.

    Token prices are USD per 1,000 tokens. Self-hosted models are priced by GPU seconds instead
    (`gpu_second_usd`), and their token prices are None.
    """

    id: str
    name: str
    type: Literal["chat", "embedding"]
    provider: ProviderName
    model: str
    """The name that the provider knows the model by."""
    endpoint: str
    """RunPod endpoint id, or "" where the provider has one base URL."""
    plans: frozenset[str]
    effective_date: str
    context_window: int
    input_usd: Decimal | None = None
    output_usd: Decimal | None = None
    cached_input_usd: Decimal | None = None
    gpu_second_usd: Decimal | None = None
    is_default: bool = False
    enabled: bool = True

    @property
    def price_version(self) -> str:
        """Names the price that a record was computed with: `<id>@<effective date>`."""
        return f"{self.id}@{self.effective_date}"


@dataclass(frozen=True, slots=True)
class ExchangeRate:
    """Units of `currency` per USD from a date on, set by a platform admin."""

    currency: str
    rate: Decimal
    effective_date: str


@dataclass(frozen=True, slots=True)
class Entitlement:
    """What a tenant may use now: plan with overrides applied, its chat models, its exchange rate."""

    plan: Plan
    limits: Limits
    models: tuple[ModelPolicy, ...]
    rate: ExchangeRate
    embeddings: tuple[ModelPolicy, ...] = ()
    """Its embedding models; the plan's own is `plan.embedding_model`, if it is among them."""
    fitting_plans: tuple[Plan, ...] = field(default=())
    """Public plans above this one, the cheapest first: candidates to offer when the quota is spent."""
