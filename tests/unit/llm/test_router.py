"""The router: fallback, retries, bounds, what is recorded and what is paid."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal

import pytest

from noren.errors import Busy, NorenError, UpstreamFailed
from noren.llm.breaker import Breaker, Pass
from noren.llm.models import Delta, Event, FaultKind, Finish, Message, Prompt, ProviderFault, TimeLimits, TokenUsage
from noren.llm.router import Router
from noren.llm.routes import Route, plan_route
from noren.plans.models import ModelPolicy
from noren.usage.models import UsageRecord
from tests.unit.llm.scripted import (
    PHI3,
    Clock,
    Scripted,
    entitlement,
    never,
    policy,
    prompt,
    record,
    says,
)

PAID = plan_route(entitlement("paid"))
FREE = plan_route(entitlement("free"))
VIP = plan_route(entitlement("vip"))


class Gates(Breaker):
    """A breaker whose answers are set, and that remembers what it was told."""

    def __init__(self, *shut: str, probing: str = "") -> None:
        self.shut, self.probing = set(shut), probing
        self.told: list[tuple[str, str, bool]] = []

    def ask(self, policy: ModelPolicy) -> Pass:
        if policy.id in self.shut:
            return Pass(False, retry_after=12.2)
        return Pass(True, probe=policy.id == self.probing)

    def succeeded(self, policy: ModelPolicy, probe: bool = False) -> None:
        self.told.append((policy.id, "succeeded", probe))

    def failed(self, policy: ModelPolicy, probe: bool = False, at_once: bool = False) -> None:
        self.told.append((policy.id, "silent" if at_once else "failed", probe))

    def dropped(self, policy: ModelPolicy) -> None:
        self.told.append((policy.id, "dropped", True))


def fault(kind: FaultKind, *, produced: bool = False, retry_after: float | None = None) -> ProviderFault:
    return ProviderFault(kind, "scripted", produced=produced, retry_after=retry_after)


class World:
    """A router over scripted providers, and the record of one request."""

    def __init__(self, gates: Gates | None = None, limits: TimeLimits | None = None, **providers: Scripted) -> None:
        self.clock = Clock()
        self.gates = gates or Gates()
        self.record: UsageRecord = record(self.clock())
        self.router = Router(providers, self.gates, limits=limits, clock=self.clock, sleep=self.clock.sleep)

    def run(
        self,
        route: Route = PAID,
        ask: Prompt | None = None,
        cancel: Callable[[], bool] = never,
        deadline: float | None = None,
    ) -> Iterator[Event]:
        return self.router.stream(route, ask or prompt(), self.record, cancel, deadline=deadline)

    def fails(self, route: Route = PAID, ask: Prompt | None = None) -> NorenError:
        with pytest.raises(NorenError) as failed:
            list(self.run(route, ask))
        return failed.value


def text(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Delta))


def test_the_first_choice_answers_and_everything_is_recorded() -> None:
    world = World(runpod=Scripted(says("Open ", "9-18.", usage=TokenUsage(40, 2, gpu_seconds=1.5))))
    events = list(world.run())
    assert text(events) == "Open 9-18."
    assert events[-1] == Finish("stop", TokenUsage(40, 2, gpu_seconds=1.5), "reported-1")
    kept = world.record
    assert (kept.tier, kept.provider, kept.model) == ("paid", "runpod", "reported-1")
    assert (kept.status, kept.route_reason) == ("ok", "default")
    [call] = kept.calls
    assert (call.policy_id, call.price_version, call.status) == ("mistral-7b", "mistral-7b@2026-11-01", "ok")
    assert (call.tokens_input, call.tokens_output, call.gpu_seconds) == (40, 2, Decimal("1.500"))
    assert call.cost_usd == kept.cost_usd == Decimal("0.000285")
    assert (kept.cost_local, kept.currency, kept.rate) == (Decimal("0.04275"), "JPY", Decimal("150"))
    assert world.gates.told == [("mistral-7b", "succeeded", False)]


def test_a_paid_request_falls_back_to_the_weaker_model_and_says_so() -> None:
    world = World(runpod=Scripted([fault("timeout")], says("yes")))
    assert text(list(world.run())) == "yes"
    assert world.record.status == "degraded"
    assert world.record.route_reason == "default; mistral-7b timeout"
    assert [(call.policy_id, call.status) for call in world.record.calls] == [
        ("mistral-7b", "timeout"),
        ("phi-3-mini", "ok"),
    ]
    assert world.gates.told == [("mistral-7b", "silent", False), ("phi-3-mini", "succeeded", False)]


def test_silence_opens_at_once_only_where_another_model_can_answer() -> None:
    paid = World(runpod=Scripted([fault("timeout")]))
    paid.fails()
    assert paid.gates.told == [("mistral-7b", "silent", False), ("phi-3-mini", "failed", False)]
    free = World(runpod=Scripted([fault("timeout")]))
    free.fails(FREE)
    assert free.gates.told == [("phi-3-mini", "failed", False)]
    begun = World(runpod=Scripted([Delta("It "), fault("timeout", produced=True)]))
    begun.fails()
    assert begun.gates.told == [("mistral-7b", "failed", False)]


def test_vip_goes_to_the_other_vendor_first() -> None:
    world = World(
        anthropic=Scripted([fault("unauthorized")]),
        openai=Scripted(says("yes", model="gpt")),
        runpod=Scripted(says("no")),
    )
    assert text(list(world.run(VIP))) == "yes"
    assert (world.record.status, world.record.provider, world.record.model) == ("ok", "openai", "gpt")


@pytest.mark.parametrize("kind", ["connection", "rate_limited", "server", "garbage", "cut"])
def test_passing_faults_are_tried_once_more(kind: FaultKind) -> None:
    provider = Scripted([fault(kind)], says("yes"))
    world = World(runpod=provider)
    assert text(list(world.run(FREE))) == "yes"
    assert [call.status for call in world.record.calls] == [kind, "ok"]
    assert 0.1 <= world.clock() - 1_800_000_000 <= 0.4


@pytest.mark.parametrize("kind", ["timeout", "out_of_quota", "unauthorized", "not_found", "rejected"])
def test_lasting_faults_are_not(kind: FaultKind) -> None:
    provider = Scripted([fault(kind)], says("no"))
    world = World(runpod=provider)
    world.fails(FREE)
    assert len(provider.calls) == 1
    assert world.gates.told == ([] if kind == "rejected" else [("phi-3-mini", "failed", False)])


def test_a_third_attempt_is_never_made() -> None:
    provider = Scripted([fault("server")])
    World(runpod=provider).fails(FREE)
    assert len(provider.calls) == 2


def test_a_provider_that_asks_for_a_long_rest_is_left_alone() -> None:
    provider = Scripted([fault("rate_limited", retry_after=7)])
    failed = World(runpod=provider).fails(FREE)
    assert len(provider.calls) == 1
    assert isinstance(failed, Busy)
    assert failed.extra["retry_after"] == 7


def test_nothing_is_tried_again_once_something_was_passed_on() -> None:
    provider = Scripted([Delta("half "), ProviderFault("cut", "x", produced=True, usage=TokenUsage(30, 1))], says("no"))
    world = World(runpod=provider)
    events: list[Event] = []
    with pytest.raises(UpstreamFailed) as failed:
        events.extend(world.run())  # what came before is passed on all the same
    assert failed.value.code == "upstream_cut"
    assert len(provider.calls) == 1
    kept = world.record
    assert (kept.status, kept.error_code, kept.provider) == ("partial", "cut", "runpod")
    assert (kept.tokens_input, kept.tokens_output) == (30, 1)


def test_a_free_request_is_told_to_try_again() -> None:
    world = World(runpod=Scripted([fault("timeout")]))
    failed = world.fails(FREE)
    assert isinstance(failed, Busy)
    assert failed.extra["retry_after"] == 10
    assert (world.record.status, world.record.error_code) == ("failed", "timeout")


def test_a_lasting_failure_is_the_upstreams() -> None:
    failed = World(runpod=Scripted([fault("unauthorized")])).fails(PAID)
    assert isinstance(failed, UpstreamFailed)
    assert failed.extra["retry_after"] == 10


def test_an_open_breaker_costs_no_call_and_no_time() -> None:
    provider = Scripted(says("yes"))
    world = World(Gates("mistral-7b"), runpod=provider)
    list(world.run())
    assert [called.id for called, _, _ in provider.calls] == ["phi-3-mini"]
    assert world.record.route_reason == "default; mistral-7b resting"
    both = World(Gates("mistral-7b", "phi-3-mini"), runpod=provider)
    assert both.fails().extra["retry_after"] == 13


def test_a_probe_reports_what_it_found() -> None:
    good = World(Gates(probing="phi-3-mini"), runpod=Scripted(says("yes")))
    list(good.run(FREE))
    assert good.gates.told == [("phi-3-mini", "succeeded", True)]
    refused = World(Gates(probing="phi-3-mini"), runpod=Scripted([fault("rejected")]))
    refused.fails(FREE)
    assert refused.gates.told == [("phi-3-mini", "dropped", True)]


def test_a_models_attempts_share_one_time_limit() -> None:
    clock_limits = TimeLimits(first_token=10, total=60)
    provider = Scripted([lambda: world.clock.sleep(9.5), fault("server")], says("no"))
    world = World(limits=clock_limits, runpod=provider)
    world.fails(FREE)
    assert len(provider.calls) == 1  # half a second is not worth another call
    late = Scripted([lambda: other.clock.sleep(5), fault("server")], says("yes"))
    other = World(limits=clock_limits, runpod=late)
    list(other.run(FREE))
    assert 4.5 < late.calls[1][2].first_token < 5


def test_the_deadline_bounds_every_call() -> None:
    provider = Scripted([lambda: world.clock.sleep(8), fault("timeout")], says("no"))
    world = World(runpod=provider)
    with pytest.raises(Busy):
        list(world.run(deadline=world.clock() + 8.5))
    assert provider.calls[0][2].total == 8.5
    assert len(provider.calls) == 1


def test_a_timeout_that_had_no_fair_time_is_not_held_against_the_model() -> None:
    world = World(runpod=Scripted([fault("timeout")]))
    with pytest.raises(Busy):
        list(world.run(FREE, deadline=world.clock() + 3))
    assert world.gates.told == []


@pytest.mark.parametrize("claimed", [3, 500])
def test_an_overrunning_upstream_is_stopped_and_charged_no_more_than_the_bound(claimed: int) -> None:
    endless = Scripted(says(*["word "] * 500, usage=TokenUsage(20, claimed)))
    world = World(runpod=endless)
    events = list(world.run(FREE, prompt(max_tokens=7)))
    finish = events[-1]
    assert isinstance(finish, Finish)
    assert finish.reason == "length"
    assert len(events) == 8
    assert world.record.tokens_output == 7
    assert (world.record.status, endless.closed) == ("ok", 1)


def test_an_upstream_that_packs_an_overrun_into_few_pieces_is_stopped_too() -> None:
    world = World(runpod=Scripted(says("漢字" * 40, "漢字" * 40)))
    events = list(world.run(FREE, prompt(max_tokens=30)))
    assert len(text(events)) == 0
    assert world.record.tokens_output <= 30


def test_counts_beyond_the_bound_are_the_platforms_loss() -> None:
    world = World(runpod=Scripted(says("a", usage=TokenUsage(5, 900))))
    [_, finish] = world.run(FREE, prompt(max_tokens=50))
    assert isinstance(finish, Finish)
    assert finish.usage.output == world.record.tokens_output == 50


def test_cancel_ends_the_call_and_what_was_produced_is_paid() -> None:
    world = World(runpod=Scripted(says(*["word "] * 50)))
    events: list[Event] = []
    for event in world.run(cancel=lambda: len(events) >= 3):
        events.append(event)
    finish = events[-1]
    assert isinstance(finish, Finish)
    assert finish.reason == "cancelled"
    assert (world.record.status, world.record.tokens_output) == ("cancelled", 3)
    assert [call.status for call in world.record.calls] == ["cancelled"]


def test_a_request_cancelled_before_it_began_calls_nobody() -> None:
    provider = Scripted(says("no"))
    world = World(runpod=provider)
    [finish] = world.run(cancel=lambda: True)
    assert isinstance(finish, Finish)
    assert (finish.reason, provider.calls, world.record.calls) == ("cancelled", [], [])


def test_closing_the_stream_closes_the_upstream_and_counts_what_was_sent() -> None:
    provider = Scripted(says(*["word "] * 50))
    world = World(runpod=provider)
    stream = world.run()
    next(stream)
    next(stream)
    world.clock.sleep(2)
    stream.close()  # type: ignore[attr-defined]
    kept = world.record
    assert provider.closed == 1
    assert (kept.status, kept.provider) == ("cancelled", "runpod")
    [call] = kept.calls
    assert (call.status, call.estimated, call.tokens_output) == ("cancelled", True, 2)  # 1.82, rounded up
    assert call.gpu_seconds == Decimal("2.000")
    assert kept.cost_usd == call.cost_usd > 0


def test_first_token_times_are_noted_once() -> None:
    world = World(runpod=Scripted([lambda: world.clock.sleep(0.25), *says("a", "b")]))
    world.clock.sleep(1)  # retrieval and admission
    list(world.run())
    assert world.record.calls[0].first_token_ms == 250
    assert world.record.first_token_ms == 1250


def test_a_provider_without_an_end_is_garbage() -> None:
    world = World(runpod=Scripted([]))
    world.fails(FREE)
    assert {call.status for call in world.record.calls} == {"garbage"}


def test_a_fallback_with_a_smaller_window_gets_a_smaller_prompt() -> None:
    small = policy("phi-3-mini", window=400)
    big = policy("mistral-7b", plans="starter enterprise", window=8192)
    provider = Scripted([fault("timeout")], says("yes"))
    turns = tuple(Message("user" if i % 2 == 0 else "assistant", "word " * 60) for i in range(10))
    long = Prompt((Message("system", "s"), *turns, Message("user", "q")), 50, 0.7)
    list(World(runpod=provider).run(plan_route(entitlement("paid", big, small)), long))
    first, second = (called for _, called, _ in provider.calls)
    assert first == long
    assert len(second.messages) < len(first.messages)
    tiny = World(runpod=Scripted([fault("timeout")]))
    tiny.fails(plan_route(entitlement("paid", big, policy("phi-3-mini", window=40))), long)
    assert tiny.record.route_reason == "default; mistral-7b timeout; phi-3-mini too_large"


def test_a_policy_without_a_provider_is_passed_over() -> None:
    world = World(runpod=Scripted(says("yes")))
    route = plan_route(entitlement("vip"))
    list(world.run(route))
    assert world.record.route_reason == "default; claude not_found; gpt not_found"
    assert PHI3.id not in [call.policy_id for call in world.record.calls]
