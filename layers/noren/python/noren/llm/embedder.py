"""Has a model make vectors: in batches, each tried twice at most, with the breaker and what it cost.

A failed call is repeated only where the upstream had not taken the texts: what it has taken, it bills.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from noren.clock import Clock
from noren.errors import BadRequest, UpstreamFailed
from noren.llm import pricing, tokens
from noren.llm.breaker import Breaker, Pass
from noren.llm.models import Embedded, Embedding, ProviderFault, TimeLimits, TokenUsage
from noren.llm.router import (
    ATTEMPTS,
    LEAST_SECONDS,
    LONGEST_PAUSE,
    NOT_ITS_FAULT,
    PAUSE_SECONDS,
    RETRIED,
    upstream_error,
)
from noren.plans.models import ExchangeRate, ModelPolicy
from noren.usage.models import Call, UsageRecord

BATCH_TEXTS = 100
BATCH_TOKENS = 100_000
"""Of one call, by our estimate: a third of what OpenAI takes."""
LIMITS = TimeLimits(connect=3, first_token=30, total=30)
"""Of one call."""


def batches(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """The texts, in their order, in parts that one call takes."""
    start = weight = 0
    for place, text in enumerate(texts):
        size = tokens.estimate(text)
        if place > start and (place - start == BATCH_TEXTS or weight + size > BATCH_TOKENS):
            yield texts[start:place]
            start, weight = place, 0
        weight += size
    if start < len(texts):
        yield texts[start:]


class Embedder:
    """`providers` by their names in the policies; some of them make vectors. One per container."""

    def __init__(
        self,
        providers: Mapping[str, object],
        breaker: Breaker,
        *,
        clock: Clock = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._providers = {name: each for name, each in providers.items() if isinstance(each, Embedding)}
        self._breaker, self._clock, self._sleep = breaker, clock, sleep

    def embed(
        self,
        policy: ModelPolicy,
        texts: Sequence[str],
        record: UsageRecord,
        rate: ExchangeRate,
        *,
        until: float,
        dimensions: int | None = None,
    ) -> Embedded:
        """The vectors of all texts (at least one), by `until` (epoch seconds). All or none.

        Adds its calls to the record, with their costs at `rate`. Raises Busy or UpstreamFailed (`retry_after`), or
        BadRequest `input_refused` where the model does not take these texts.
        """
        parts = [self._batch(policy, part, record, rate, until, dimensions) for part in batches(texts)]
        if len({each.dimensions for each in parts}) > 1:
            raise UpstreamFailed("The model gave vectors of different sizes.", retry_after=1)
        return Embedded(
            vectors=tuple(vector for each in parts for vector in each.vectors),
            tokens=sum(each.tokens for each in parts),
            model=parts[-1].model,
            estimated=any(each.estimated for each in parts),
        )

    def _batch(
        self,
        policy: ModelPolicy,
        texts: Sequence[str],
        record: UsageRecord,
        rate: ExchangeRate,
        until: float,
        dimensions: int | None,
    ) -> Embedded:
        provider = self._providers.get(policy.provider)
        kind: str = "timeout"
        retry_after: float | None = None
        for attempt in range(ATTEMPTS):
            if provider is None:
                kind = "not_found"
                break
            limits = replace(LIMITS, total=min(LIMITS.total, until - self._clock()))
            if limits.total < LEAST_SECONDS:
                break
            gate = self._breaker.ask(policy)
            if not gate.allowed:
                kind, retry_after = (kind, retry_after) if attempt else ("resting", gate.retry_after)
                break
            try:
                return self._call(provider, policy, texts, record, rate, limits, gate, dimensions)
            except ProviderFault as fault:
                kind, retry_after = fault.kind, fault.retry_after
                if fault.kind == "rejected":
                    raise BadRequest(
                        f"The model {policy.id} does not take this input; a text may be too long for it.",
                        code="input_refused",
                    ) from fault
                pause = max(retry_after or 0.0, random.uniform(*PAUSE_SECONDS))  # noqa: S311
                if fault.produced or kind not in RETRIED or pause > LONGEST_PAUSE or attempt + 1 == ATTEMPTS:
                    break
                self._sleep(pause)
        raise upstream_error(kind, retry_after)

    def _call(
        self,
        provider: Embedding,
        policy: ModelPolicy,
        texts: Sequence[str],
        record: UsageRecord,
        rate: ExchangeRate,
        limits: TimeLimits,
        gate: Pass,
        dimensions: int | None,
    ) -> Embedded:
        """One call, accounted for whatever happens. Raises its ProviderFault."""
        begun = self._clock()
        call = Call("embedding", policy.provider, policy.model, policy.id, policy.price_version, "failed")
        record.calls.append(call)
        usage, is_told = TokenUsage(), False
        try:
            made = provider.embed(policy, texts, dimensions, limits)
            usage = TokenUsage(input=made.tokens, estimated=made.estimated)
            call.status, call.model = "ok", made.model
            self._breaker.succeeded(policy, gate.probe)
            is_told = True
            return made
        except ProviderFault as fault:
            usage, call.status = fault.usage, fault.kind
            fair = fault.kind != "timeout" or limits.total * 2 >= LIMITS.total
            if fault.kind not in NOT_ITS_FAULT and fair:
                self._breaker.failed(policy, gate.probe)
                is_told = True
            raise
        finally:
            if gate.probe and not is_told:
                self._breaker.dropped(policy)
            call.total_ms = max(0, round((self._clock() - begun) * 1000))
            pricing.price_embedding(call, policy, usage)
            if call.status != "ok":
                call.tokens_embedding = 0  # it cost us, but nobody's quota pays for what never came
            pricing.settle_cost(record, rate)
