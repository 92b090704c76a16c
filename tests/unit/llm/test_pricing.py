"""What a call costs, to the last token and never by float."""

from __future__ import annotations

import dataclasses
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from noren.llm import pricing
from noren.llm.models import TokenUsage
from noren.plans.models import ExchangeRate
from noren.usage.models import Call
from tests.unit.llm.scripted import CLAUDE, PHI3, record

counts = st.integers(0, 10_000_000)


def test_token_prices_are_per_thousand_and_cached_input_has_its_own() -> None:
    usage = TokenUsage(input=1500, output=200, cached=500)
    assert pricing.cost(CLAUDE, usage) == Decimal("0.0041")  # 1000·0.002 + 500·0.0002 + 200·0.01, per thousand


def test_self_hosted_models_cost_gpu_seconds_only() -> None:
    assert pricing.cost(PHI3, TokenUsage(10_000, 10_000, gpu_seconds=2.5)) == Decimal("0.000475")


def test_cached_input_without_a_price_costs_as_any_input() -> None:
    plain = dataclasses.replace(CLAUDE, cached_input_usd=None)
    assert pricing.cost(plain, TokenUsage(1000, 0, 1000)) == pricing.cost(plain, TokenUsage(1000, 0, 0))


def test_a_free_cached_price_is_free() -> None:
    free = dataclasses.replace(CLAUDE, cached_input_usd=Decimal(0))
    assert pricing.cost(free, TokenUsage(1000, 0, 1000)) == 0


@given(counts, counts, counts, counts)
def test_cost_is_exact_monotone_and_never_negative(tokens_in: int, out: int, cached: int, more: int) -> None:
    base = pricing.cost(CLAUDE, TokenUsage(tokens_in, out, cached))
    exact = (tokens_in - min(cached, tokens_in)) * Decimal("0.000002") + min(cached, tokens_in) * Decimal("0.0000002")
    assert base == exact + out * Decimal("0.00001")
    assert 0 <= base <= pricing.cost(CLAUDE, TokenUsage(tokens_in + more, out, cached))
    assert base <= pricing.cost(CLAUDE, TokenUsage(tokens_in, out + more, cached))


@given(st.integers(-(10**6), -1), st.integers(-(10**6), -1), st.integers(-(10**6), -1), st.floats(-1e6, -0.01))
def test_hostile_counts_earn_nothing(tokens_in: int, out: int, cached: int, seconds: float) -> None:
    assert pricing.cost(CLAUDE, TokenUsage(tokens_in, out, cached)) == 0
    assert pricing.cost(PHI3, TokenUsage(gpu_seconds=seconds)) == 0


@given(st.lists(st.tuples(counts, counts), max_size=5), st.decimals("0.0001", "2000", places=4))
def test_a_record_sums_its_calls_and_keeps_the_rate(usages: list[tuple[int, int]], rate: Decimal) -> None:
    kept = record()
    for tokens_in, out in usages:
        call = Call("answer", "anthropic", "m", CLAUDE.id, "", "ok")
        pricing.price(call, CLAUDE, TokenUsage(tokens_in, out))
        assert call.price_version == "claude@2026-11-01"
        kept.calls.append(call)
    pricing.settle_cost(kept, ExchangeRate("KRW", rate, "2026-11-01"))
    assert kept.cost_usd == sum(call.cost_usd for call in kept.calls)
    assert (kept.currency, kept.rate) == ("KRW", rate)
    assert abs(kept.cost_local - kept.cost_usd * rate) <= Decimal("0.00000000005")
