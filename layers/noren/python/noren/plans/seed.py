"""The catalogue that a new platform starts with. An operator edits the tables afterwards, not this file."""

from __future__ import annotations

import csv
import re
from decimal import Decimal
from importlib.resources import files

from noren.plans.models import ExchangeRate, Limits, ModelPolicy, Plan

SINCE = "2026-11-01"

ANONYMOUS = "anonymous"
"""The internal plan of the platform tenant, under which visitors of the operator's own page chat."""

PLANS: tuple[Plan, ...] = (
    Plan(
        plan="free",
        aliases=(),
        tier="free",
        prices={"JPY": 0, "KRW": 0, "USD": 0},
        limits=Limits(
            chats_per_month=100,
            embedding_tokens_per_month=200_000,
            requests_per_day_per_site=30,
            concurrent_chats=2,
            requests_per_minute=60,
            max_tokens=512,
            sites=1,
            members=2,
            free_credits_per_month=20,
        ),
        embedding_model="local_llm",
        resync="none",
        effective_date=SINCE,
    ),
    Plan(
        plan="starter",
        aliases=("ESSENTIAL", "paid"),
        tier="paid",
        prices={"JPY": 7_800, "KRW": 73_000, "USD": 5_200},
        limits=Limits(
            chats_per_month=2_000,
            embedding_tokens_per_month=2_000_000,
            requests_per_day_per_site=200,
            concurrent_chats=10,
            requests_per_minute=300,
            max_tokens=1_024,
            sites=3,
            members=5,
            free_credits_per_month=200,
            voice_minutes=60,
            concurrent_calls=1,
            trial_days=14,
            pages_per_site=2_000,
        ),
        embedding_model="embedding_3_small",
        resync="monthly",
        effective_date=SINCE,
    ),
    Plan(
        plan="pro",
        aliases=("PROFESSIONAL",),
        tier="paid",
        prices={"JPY": 19_800, "KRW": 185_000, "USD": 13_200},
        limits=Limits(
            chats_per_month=10_000,
            embedding_tokens_per_month=10_000_000,
            requests_per_day_per_site=1_000,
            concurrent_chats=40,
            requests_per_minute=1_000,
            max_tokens=2_048,
            sites=10,
            members=20,
            free_credits_per_month=1_000,
            carry_over_cap=200,
            voice_minutes=300,
            concurrent_calls=3,
            trial_days=14,
            pages_per_site=10_000,
        ),
        embedding_model="embedding_3_small",
        resync="weekly",
        effective_date=SINCE,
    ),
    Plan(
        plan="enterprise",
        aliases=("ENTERPRISE", "VIP"),
        tier="vip",
        prices={"JPY": 49_800, "KRW": 465_000, "USD": 33_200},
        limits=Limits(
            chats_per_month=100_000,
            embedding_tokens_per_month=100_000_000,
            requests_per_day_per_site=10_000,
            concurrent_chats=200,
            requests_per_minute=6_000,
            max_tokens=4_096,
            sites=100,
            members=100,
            free_credits_per_month=5_000,
            carry_over_cap=2_000,
            voice_minutes=2_000,
            concurrent_calls=20,
            pages_per_site=20_000,
        ),
        embedding_model="embedding_3_large",
        resync="daily",
        effective_date=SINCE,
    ),
    Plan(
        plan=ANONYMOUS,
        aliases=(),
        tier="free",
        prices={"JPY": 0, "KRW": 0, "USD": 0},
        limits=Limits(
            chats_per_month=31_000,
            embedding_tokens_per_month=0,
            requests_per_day_per_site=1_000,  # the platform-wide daily ceiling: visitors share one site
            concurrent_chats=20,
            requests_per_minute=300,
            max_tokens=512,
            sites=1,
            members=1,
        ),
        embedding_model="",
        resync="none",
        effective_date=SINCE,
        public=False,
    ),
)

RATES: tuple[ExchangeRate, ...] = (
    ExchangeRate("JPY", Decimal("150"), SINCE),
    ExchangeRate("KRW", Decimal("1400"), SINCE),
    ExchangeRate("USD", Decimal("1"), SINCE),
)
"""Round figures to start with; the platform admin sets the real ones."""

GPU_SECOND_USD = {"phi-3-mini": Decimal("0.00016"), "mistral-7b": Decimal("0.00019")}
"""RunPod's list prices of a flex worker's second: 16 GB and 24 GB GPUs."""

_ALL = frozenset(plan.plan for plan in PLANS)
_PAYING = frozenset({"starter", "pro", "enterprise"})
_VIP = frozenset({"enterprise"})


def policies() -> tuple[ModelPolicy, ...]:
    """The model policies, priced by the table that ships with the package (its date is theirs)."""
    text = files("noren.plans").joinpath("model_prices.csv").read_text(encoding="utf-8")
    dated = re.search(r"as of (\d{4}-\d\d-\d\d)", text)
    assert dated
    day = dated[1]
    prices = {row["model"]: row for row in csv.DictReader(line for line in text.splitlines() if line[:1] != "#")}

    def priced(
        id: str, name: str, model: str, plans: frozenset[str], context: int, is_default: bool = False
    ) -> ModelPolicy:
        row = prices[model]
        return ModelPolicy(
            id=id,
            name=name,
            type="embedding" if row["type"] == "embedding" else "chat",
            provider="anthropic" if row["provider"] == "anthropic" else "openai",
            model=model,
            endpoint="",
            plans=plans,
            effective_date=day,
            context_window=context,
            input_usd=_per_thousand(row["input"]),
            output_usd=_per_thousand(row["output"] or "0"),
            cached_input_usd=_per_thousand(row["cached_input"] or row["input"]),
            is_default=is_default,
        )

    def hosted(id: str, name: str, model: str, plans: frozenset[str], context: int) -> ModelPolicy:
        return ModelPolicy(
            id=id,
            name=name,
            type="chat",
            provider="runpod",
            model=model,
            endpoint="",
            plans=plans,
            effective_date=day,
            context_window=context,
            gpu_second_usd=GPU_SECOND_USD[id],
            is_default=True,
        )

    return (
        hosted("phi-3-mini", "Phi-3 Mini", "microsoft/Phi-3-mini-4k-instruct", _ALL, 4_096),
        hosted("mistral-7b", "Mistral 7B", "mistralai/Mistral-7B-Instruct-v0.3", _PAYING, 32_768),
        priced("claude-haiku", "Claude Haiku", "claude-haiku-5-5", _VIP, 200_000, is_default=True),
        priced("gpt-mini", "GPT mini", "gpt-5-mini", _VIP, 400_000),
        priced("embedding_3_small", "Embedding 3 small", "text-embedding-3-small", _PAYING, 8_191, is_default=True),
        priced("embedding_3_large", "Embedding 3 large", "text-embedding-3-large", _VIP, 8_191, is_default=True),
        _own("local_llm", "The operator's own embeddings", "embedding", "local_llm", day, enabled=True),
        _own("local_llm_chat", "The operator's own model", "chat", "local_llm", day, enabled=False),
        _own("offline", "Extractive answers without a model", "chat", "offline", day, enabled=False),
    )


def _own(id: str, name: str, type: str, provider: str, day: str, *, enabled: bool) -> ModelPolicy:
    """What costs nothing per token; the chat models wait until an operator switches them on."""
    return ModelPolicy(
        id=id,
        name=name,
        type="embedding" if type == "embedding" else "chat",
        provider="offline" if provider == "offline" else "local_llm",
        model="extractive" if provider == "offline" else "default",
        endpoint="",
        plans=_ALL - {ANONYMOUS} if type == "embedding" else _ALL,
        effective_date=day,
        context_window=8_192,
        input_usd=Decimal(0),
        output_usd=Decimal(0),
        cached_input_usd=Decimal(0),
        enabled=enabled,
    )


def _per_thousand(per_million: str) -> Decimal:
    return Decimal(per_million).scaleb(-3)
