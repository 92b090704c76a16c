"""Batches, retries, the breaker and the bill of calls that make vectors."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noren.errors import BadRequest, Busy, NorenError, UpstreamFailed
from noren.llm import tokens
from noren.llm.breaker import Breaker
from noren.llm.embedder import BATCH_TEXTS, BATCH_TOKENS, Embedder, batches
from noren.llm.models import FaultKind, ProviderFault, TokenUsage
from noren.llm.store import Health
from noren.plans.models import ExchangeRate
from noren.usage.models import UsageRecord
from tests.unit.llm.scripted import Clock, record
from tests.unit.llm.vectors import LOCAL, SMALL, Vectors

YEN = ExchangeRate("JPY", Decimal(150), "2026-11-01")


class Memory:
    """Stands for the breaker's table."""

    def __init__(self) -> None:
        self.health: dict[str, Health] = {}
        self.probes_given_back = 0

    def load(self, key: str) -> Health:
        return self.health.get(key, Health())

    def count(self, key: str, window: int, *, good: int, bad: int, streak: int | None, now: float) -> Health:
        before = self.load(key)
        self.health[key] = Health(before.streak + bad if streak is None else streak, window, good, bad)
        return self.health[key]

    def open(self, key: str, until: float, now: float) -> None:
        self.health[key] = Health(3, 0, 0, 0, until)

    def claim_probe(self, key: str, seen: Health, until: float, now: float) -> bool:
        return True

    def release_probe(self, key: str) -> None:
        self.probes_given_back += 1

    def close(self, key: str) -> None:
        self.health.pop(key, None)


class Bench:
    """An embedder over one fake."""

    def __init__(self, *faults: ProviderFault | None) -> None:
        self.clock, self.memory = Clock(), Memory()
        self.vectors = Vectors(*faults)
        breaker = Breaker(self.memory, self.clock)  # type: ignore[arg-type]
        providers: dict[str, Any] = {"openai": self.vectors, "offline": object()}
        self.embedder = Embedder(providers, breaker, clock=self.clock, sleep=self.clock.sleep)
        self.record: UsageRecord = record()
        self.slept = self.clock.now

    def embed(self, *texts: str, seconds: float = 50, **changes: Any) -> Any:
        options: dict[str, Any] = {"until": self.clock.now + seconds} | changes
        return self.embedder.embed(options.pop("policy", SMALL), texts, self.record, YEN, **options)


@given(st.lists(st.sampled_from(["a word", "営業時間", "字" * 5_000]), max_size=130))
def test_batches_are_the_texts_in_order_within_both_bounds(texts: list[str]) -> None:
    parts = list(batches(texts))
    assert [text for part in parts for text in part] == texts
    for part, following in zip(parts, [*parts[1:], None], strict=False):
        weight = sum(map(tokens.estimate, part))
        assert 1 <= len(part) <= BATCH_TEXTS
        assert weight <= BATCH_TOKENS
        if following:
            assert len(part) == BATCH_TEXTS or weight + tokens.estimate(following[0]) > BATCH_TOKENS


def test_all_vectors_in_order_and_one_call_a_batch() -> None:
    bench = Bench()
    texts = ["x" * (1 + number % 7) for number in range(250)]
    made = bench.embed(*texts)
    assert [len(call) for call in bench.vectors.calls] == [100, 100, 50]
    assert [vector[:4] for vector in made.vectors] == [vector[:4] for each in texts for vector in [_vector(each)]]
    assert (made.tokens, made.model, made.dimensions) == (sum(map(len, texts)), "reported-e1", 3)


def _vector(text: str) -> bytes:
    return Vectors().embed(SMALL, [text], None, None).vectors[0]  # type: ignore[arg-type]


def test_each_call_is_priced_by_what_was_billed() -> None:
    bench = Bench()
    bench.embed(*(["four"] * 150))
    first, second = bench.record.calls
    assert (first.purpose, first.status, first.policy_id) == ("embedding", "ok", "embedding_3_small")
    assert (first.model, first.price_version) == ("reported-e1", "embedding_3_small@2026-11-01")
    assert (first.tokens_embedding, first.tokens_input, first.tokens_output) == (400, 0, 0)
    assert first.cost_usd == Decimal("0.000008")
    assert bench.record.tokens_embedding == first.tokens_embedding + second.tokens_embedding == 600
    assert bench.record.cost_usd == Decimal("0.000012")
    assert bench.record.cost_local == Decimal("0.0018")


@pytest.mark.parametrize("kind", ["connection", "rate_limited", "server"])
def test_what_nobody_has_taken_is_tried_once_more_after_a_pause(kind: FaultKind) -> None:
    bench = Bench(ProviderFault(kind, "passing"))
    assert bench.embed("hello").tokens == 5
    assert 0.1 <= bench.clock.now - bench.slept <= 0.4
    assert [call.status for call in bench.record.calls] == [kind, "ok"]


@pytest.mark.parametrize(
    ("fault", "calls", "error"),
    [
        (ProviderFault("server", "x"), 2, UpstreamFailed),
        (ProviderFault("rate_limited", "x", retry_after=7), 1, Busy),
        (ProviderFault("timeout", "x"), 1, Busy),
        (ProviderFault("out_of_quota", "x"), 1, UpstreamFailed),
        (ProviderFault("unauthorized", "x"), 1, UpstreamFailed),
        (ProviderFault("rejected", "x"), 1, BadRequest),
        (ProviderFault("cut", "x", produced=True, usage=TokenUsage(5)), 1, UpstreamFailed),
        (ProviderFault("garbage", "x", produced=True, usage=TokenUsage(5)), 1, UpstreamFailed),
    ],
)
def test_what_is_not_repeated(fault: ProviderFault, calls: int, error: type[NorenError]) -> None:
    bench = Bench(fault, fault)
    with pytest.raises(error) as raised:
        bench.embed("hello")
    assert len(bench.vectors.calls) == calls
    if fault.retry_after:
        assert raised.value.extra["retry_after"] == 7
    assert bench.record.tokens_embedding == 0, "nobody's quota pays for what never came"
    assert bench.record.cost_usd == Decimal("0.0000001") * (1 if fault.produced else 0), "but it cost us"


def test_a_failure_in_a_later_batch_fails_all() -> None:
    bench = Bench(None, ProviderFault("unauthorized", "x"))
    with pytest.raises(UpstreamFailed):
        bench.embed(*(["four"] * 250))
    assert len(bench.vectors.calls) == 2


def test_three_failures_open_the_breaker_and_nobody_calls() -> None:
    bench = Bench(*[ProviderFault("server", "x")] * 9)
    for _ in range(2):
        with pytest.raises(UpstreamFailed):
            bench.embed("hello")
    assert len(bench.vectors.calls) == 3, "the fourth try found it open"
    with pytest.raises(Busy) as raised:
        bench.embed("hello")
    assert len(bench.vectors.calls) == 3
    assert 1 <= raised.value.extra["retry_after"] <= 15
    bench.clock.sleep(16)
    bench.vectors.faults.clear()
    assert bench.embed("hello").tokens == 5
    assert not bench.memory.health, "the probe has closed it"


def test_a_probe_that_says_nothing_of_the_model_is_given_back() -> None:
    bench = Bench(*[ProviderFault("server", "x")] * 3)
    for _ in range(2):
        with pytest.raises(UpstreamFailed):
            bench.embed("hello")
    bench.clock.sleep(16)
    bench.vectors.faults = [ProviderFault("rejected", "x")]
    with pytest.raises(BadRequest):
        bench.embed("hello")
    assert bench.memory.probes_given_back == 1


def test_time_that_is_up_begins_no_call() -> None:
    bench = Bench()
    with pytest.raises(Busy):
        bench.embed("hello", seconds=0.5)
    assert bench.vectors.calls == []
    bench.embed("hello", seconds=12)
    assert bench.vectors.limits[-1].total == pytest.approx(12, abs=0.01)
    bench.embed("hello", seconds=1_000)
    assert bench.vectors.limits[-1].total == 30


def test_a_provider_without_vectors_gives_none() -> None:
    bench = Bench()
    with pytest.raises(UpstreamFailed):
        bench.embed("hello", policy=LOCAL)
    assert bench.record.calls == []


def test_batches_of_different_sizes_are_no_answer() -> None:
    bench = Bench()
    sizes = iter([3, 4])
    bench.vectors.before = lambda: setattr(bench.vectors, "size", next(sizes))
    with pytest.raises(UpstreamFailed):
        bench.embed(*(["x"] * 101))
