"""What a model call cost: tokens or GPU seconds, at the price in force when it was made."""

from __future__ import annotations

from decimal import Decimal

from noren.llm.models import TokenUsage
from noren.money import convert, cost_places
from noren.plans.models import ExchangeRate, ModelPolicy
from noren.usage.models import Call, UsageRecord

_PER = Decimal(1000)


def gpu_seconds(usage: TokenUsage) -> Decimal:
    """GPU seconds to the millisecond, as RunPod reports them."""
    return Decimal(f"{max(0.0, usage.gpu_seconds):.3f}")


def cost(policy: ModelPolicy, usage: TokenUsage) -> Decimal:
    """USD of one call, to ten places.

    Token prices are per 1,000; cached input without a price of its own costs as much as any input. A policy priced by
    GPU seconds has no token prices.
    """
    cached = min(max(0, usage.cached), max(0, usage.input))
    fresh = max(0, usage.input) - cached
    input_usd = policy.input_usd or Decimal(0)
    cached_usd = policy.cached_input_usd if policy.cached_input_usd is not None else input_usd
    tokens = fresh * input_usd + cached * cached_usd + max(0, usage.output) * (policy.output_usd or Decimal(0))
    return cost_places(tokens / _PER + gpu_seconds(usage) * (policy.gpu_second_usd or Decimal(0)))


def price(call: Call, policy: ModelPolicy, usage: TokenUsage) -> None:
    """Write a call's counts, its cost and the version of the price it was computed with."""
    call.tokens_input, call.tokens_output, call.tokens_cached = usage.input, usage.output, usage.cached
    call.gpu_seconds, call.estimated = gpu_seconds(usage), usage.estimated
    call.price_version, call.cost_usd = policy.price_version, cost(policy, usage)


def price_embedding(call: Call, policy: ModelPolicy, usage: TokenUsage) -> None:
    """The same for a call that made vectors: what went in are embedding tokens, and nothing came out."""
    price(call, policy, usage)
    call.tokens_embedding, call.tokens_input = usage.input, 0


def settle_cost(record: UsageRecord, rate: ExchangeRate) -> None:
    """Sum the calls' costs onto the record, with a snapshot in the tenant's currency."""
    record.cost_usd = sum((call.cost_usd for call in record.calls), Decimal(0))
    record.cost_local, record.currency, record.rate = convert(record.cost_usd, rate.currency, rate.rate)
