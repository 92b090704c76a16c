"""Carries a prompt along its route: fallback, retries, breaker, what it cost, and how it ended.

Whatever was passed on is never taken back: a second attempt, with the same model or the next one, is made only while
the asker has seen nothing.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Literal, cast

from noren.clock import Clock
from noren.errors import Busy, NorenError, UpstreamFailed
from noren.llm import pricing, tokens
from noren.llm.breaker import Breaker, Pass
from noren.llm.models import (
    Cancel,
    Delta,
    Event,
    Finish,
    Prompt,
    Provider,
    ProviderFault,
    TimeLimits,
    TokenUsage,
)
from noren.llm.routes import Route, Step, fit, plan_route
from noren.usage.models import Call, UsageRecord

__all__ = ["Route", "Router", "Step", "plan_route"]

ATTEMPTS = 2
"""Calls of one model for one request."""
RETRIED = frozenset({"connection", "rate_limited", "server", "garbage", "cut"})
"""Faults that may be gone a moment later. A time-out is not: the asker has waited long enough for this model."""
BUSY = frozenset({"timeout", "rate_limited", "resting"})
"""Reasons that pass by themselves: the asker is told to try again."""
NOT_ITS_FAULT = frozenset({"rejected", "cancelled"})
"""Faults that say nothing about the model's health."""
PAUSE_SECONDS = (0.1, 0.4)
"""Jitter before a second attempt."""
LONGEST_PAUSE = 2.0
"""A provider that asks for a longer rest is left alone; the next model of the route is tried at once."""
LEAST_SECONDS = 1.0
"""With less time than this left, no further call is begun."""
RETRY_AFTER = 10.0

Purpose = Literal["answer", "draft", "summary"]


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why a model gave nothing, and seconds after which it may."""

    kind: str
    retry_after: float | None = None


class Router:
    """`providers` by their names in the policies. One per container."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        breaker: Breaker,
        *,
        limits: TimeLimits | None = None,
        clock: Clock = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.providers = providers
        self.breaker = breaker
        self.limits = limits or TimeLimits()
        self.clock = clock
        self.sleep = sleep

    def stream(
        self,
        route: Route,
        prompt: Prompt,
        record: UsageRecord,
        cancel: Cancel,
        *,
        deadline: float | None = None,
        purpose: Purpose = "answer",
    ) -> Iterator[Event]:
        """Deltas, then one Finish. Fills in the record's calls, costs, provider, model, route and status.

        `deadline` (epoch seconds) ends the upstream call. Where nothing was produced it raises Busy or UpstreamFailed
        with `retry_after` (status `failed`); where the answer broke off, UpstreamFailed `upstream_cut` (status
        `partial`): what was produced counts. Closing the generator ends the upstream call as `cancel` does.
        """
        until = self.clock() + self.limits.total
        yield from _Run(self, route, prompt, record, cancel, min(until, deadline or until), purpose).events()


class _Run:
    """One request on its way along a route."""

    def __init__(
        self,
        router: Router,
        route: Route,
        prompt: Prompt,
        record: UsageRecord,
        cancel: Cancel,
        until: float,
        purpose: Purpose,
    ) -> None:
        self._router, self._breaker, self._clock = router, router.breaker, router.clock
        self._route, self._prompt, self._record = route, prompt, record
        self._cancel, self._until, self._purpose = cancel, until, purpose

    def events(self) -> Iterator[Event]:
        record, tried = self._record, [str(self._route.reason)]
        record.tier = self._route.tier
        failure = _Failure("not_found")
        for step in self._route.steps:
            record.route_reason = "; ".join(tried)
            outcome = yield from self._step(step)
            if outcome is None:
                return
            failure = outcome
            tried.append(f"{step.policy.id} {failure.kind}")
        record.route_reason = "; ".join(tried)
        record.status, record.error_code = "failed", failure.kind
        raise upstream_error(failure.kind, failure.retry_after)

    def _step(self, step: Step) -> Generator[Event, None, _Failure | None]:
        """One model, at most twice. None when the request is over, else why the next model has to try."""
        provider = self._router.providers.get(step.policy.provider)
        if provider is None:
            return _Failure("not_found")
        prompt = fit(self._prompt, step.policy.context_window)
        if prompt is None:
            return _Failure("too_large")
        failure, begun = _Failure("timeout"), self._clock()
        for attempt in range(ATTEMPTS):
            now = self._clock()
            # One limit for all attempts of a model: its outage costs an asker no more than that.
            first = min(self._router.limits.first_token - (now - begun), self._until - now)
            if first < LEAST_SECONDS:
                return failure
            gate = self._breaker.ask(step.policy)
            if not gate.allowed:
                return failure if attempt else _Failure("resting", gate.retry_after)
            limits = replace(self._router.limits, first_token=first, total=self._until - now)
            try:
                yield from self._call(step, provider, prompt, gate, limits)
                return None
            except ProviderFault as fault:
                if fault.produced:
                    self._record.status, self._record.error_code = "partial", fault.kind
                    raise UpstreamFailed("The answer broke off", code="upstream_cut", retry_after=1) from fault
                failure = _Failure(fault.kind, fault.retry_after)
            pause = max(failure.retry_after or 0.0, random.uniform(*PAUSE_SECONDS))  # noqa: S311
            if failure.kind not in RETRIED or pause > LONGEST_PAUSE or attempt + 1 == ATTEMPTS:
                break
            self._router.sleep(pause)
        return failure

    def _call(self, step: Step, provider: Provider, prompt: Prompt, gate: Pass, limits: TimeLimits) -> Iterator[Event]:
        """One call of one model. Raises its ProviderFault; accounts for it whatever happens."""
        policy, record, begun = step.policy, self._record, self._clock()
        call = Call(self._purpose, policy.provider, policy.model, policy.id, policy.price_version, "cancelled")
        answer = _Bounded(prompt.max_tokens, self._cancel)
        usage = TokenUsage()
        told = False
        try:
            if answer.cancelled():
                yield self._finish(step, call, Finish("cancelled", usage, policy.model))
                return
            record.calls.append(call)
            stream = cast(Generator[Event], provider.stream(policy, prompt, limits, answer.stop))
            with closing(stream):
                for event in stream:
                    if isinstance(event, Delta):
                        if answer.take(event.text):
                            self._note_first(call, begun)
                            yield event
                        continue
                    usage = answer.bounded(event.usage)
                    reason = "length" if answer.overrun else event.reason
                    call.status = "cancelled" if reason == "cancelled" else "ok"
                    self._tell(step, gate, call, produced=answer.produced)
                    told = True
                    yield self._finish(step, call, Finish(reason, usage, event.model))
                    return
            raise ProviderFault("garbage", "the provider ended without an end", produced=answer.produced)
        except ProviderFault as fault:
            usage = answer.bounded(fault.usage)
            fault.produced = answer.produced
            call.status = fault.kind
            self._tell(step, gate, call, produced=answer.produced, fair=self._fair(limits))
            told = True
            record.provider, record.model = policy.provider, call.model
            raise
        except GeneratorExit:
            if not told:  # the asker left: the upstream is closed and can't tell its counts any more
                seconds = self._clock() - begun if policy.gpu_second_usd is not None else 0.0
                usage = answer.reckoned(prompt, seconds)
                record.status, record.provider, record.model = "cancelled", policy.provider, call.model
                self._tell(step, gate, call, produced=answer.produced)
            raise
        finally:
            call.total_ms = _millis(self._clock() - begun)
            pricing.price(call, policy, usage)
            pricing.settle_cost(record, self._route.rate)

    def _finish(self, step: Step, call: Call, finish: Finish) -> Finish:
        record = self._record
        call.model = record.model = finish.model
        record.provider = step.policy.provider
        record.status = "cancelled" if finish.reason == "cancelled" else "degraded" if step.degraded else "ok"
        return finish

    def _note_first(self, call: Call, begun: float) -> None:
        if call.first_token_ms is None:
            now = self._clock()
            call.first_token_ms = _millis(now - begun)
            if self._record.first_token_ms is None:
                self._record.first_token_ms = _millis(now - self._record.occurred_at)

    def _tell(self, step: Step, gate: Pass, call: Call, *, produced: bool, fair: bool = True) -> None:
        """Tell the breaker what this call says about the model's health, if anything."""
        if call.status == "ok" or (call.status == "cancelled" and produced):
            self._breaker.succeeded(step.policy, gate.probe)
        elif call.status not in NOT_ITS_FAULT and (fair or call.status != "timeout"):
            # Silence is dear: the next asker would wait as long. Where another model can answer, nobody else does.
            silent = call.status == "timeout" and not produced and step is not self._route.steps[-1]
            self._breaker.failed(step.policy, gate.probe, at_once=silent)
        elif gate.probe:
            self._breaker.dropped(step.policy)

    def _fair(self, limits: TimeLimits) -> bool:
        """Whether a time-out had a fair part of the usual time, not just what a late request had left."""
        return limits.first_token * 2 >= self._router.limits.first_token


class _Bounded:
    """Counts an answer against the bound that was paid for, and ends it where the upstream overruns."""

    def __init__(self, max_tokens: int, cancel: Cancel) -> None:
        self.overrun = False
        self._max = max_tokens
        self._cancel = cancel
        self._deltas = 0
        self._text: list[str] = []
        self._estimate = 0.0

    @property
    def produced(self) -> bool:
        return bool(self._deltas)

    def cancelled(self) -> bool:
        return self._cancel()

    def stop(self) -> bool:
        """The `cancel` that the provider sees."""
        return self.overrun or self._cancel()

    def take(self, text: str) -> bool:
        """Whether a piece is within the bound.

        A piece holds a token or more, so more pieces than tokens are an overrun for sure; so is a text that even a
        vocabulary twice as thrifty as the estimator's could not write within the bound.
        """
        if not self.overrun:
            self._estimate += tokens.estimate(text) if len(text) > 8 else 1
            self.overrun = self._deltas >= self._max or self._estimate > 2 * self._max + 32
        if self.overrun:
            return False
        self._deltas += 1
        self._text.append(text)
        return True

    def bounded(self, usage: TokenUsage) -> TokenUsage:
        """What is charged: no more output than the bound, whatever the upstream says."""
        output = min(max(0, usage.output), self._max)
        return replace(usage, input=max(0, usage.input), output=output, cached=max(0, usage.cached))

    def reckoned(self, prompt: Prompt, seconds: float) -> TokenUsage:
        """Our own counts, where the upstream had no time to tell its."""
        if not self.produced:
            return TokenUsage()
        output = max(self._deltas, tokens.estimate("".join(self._text)))
        counted = TokenUsage(tokens.prompt_tokens(prompt.messages), output, gpu_seconds=seconds, estimated=True)
        return self.bounded(counted)


def upstream_error(kind: str, retry_after: float | None = None) -> NorenError:
    """What the asker hears where no model gave anything. `kind`: the last fault's, or why none was asked."""
    seconds = max(1, math.ceil(retry_after or RETRY_AFTER))
    if kind in BUSY:
        return Busy(retry_after=seconds)
    return UpstreamFailed(retry_after=seconds)


def _millis(seconds: float) -> int:
    return max(0, round(seconds * 1000))
