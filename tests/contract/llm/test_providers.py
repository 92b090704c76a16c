"""The OpenAI and Anthropic providers against the stand-in in its own process: answers, faults, limits, cancel."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from local import emulator, llm
from noren.llm.models import Delta, Event, FaultKind, Finish, Provider, ProviderFault, TimeLimits
from noren.llm.providers.anthropic import AnthropicProvider
from noren.llm.providers.openai import OpenAIProvider
from noren.plans.models import ProviderName
from tests.contract.llm.conftest import FACT, PROMPT, StandIn, policy

LIMITS = TimeLimits(connect=1, first_token=1.5, total=4)
NAMES: tuple[ProviderName, ...] = ("openai", "anthropic", "local_llm")
ENDPOINT = {"openai": "openai", "anthropic": "anthropic", "local_llm": "local"}


Make = Callable[..., Provider]


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[AnthropicProvider | OpenAIProvider] = []

    def provider(name: ProviderName, url: str, key: str = llm.API_KEY) -> Provider:
        if name == "anthropic":
            made.append(AnthropicProvider(f"{url}/anthropic", lambda: key))
        else:
            made.append(OpenAIProvider(f"{url}/{ENDPOINT[name]}/v1", lambda: key, name))
        return made[-1]

    yield provider
    for each in made:
        each.close()


def never() -> bool:
    return False


def run(provider: Provider, limits: TimeLimits = LIMITS, cancel: Callable[[], bool] = never) -> list[Event]:
    return list(provider.stream(policy("openai"), PROMPT, limits, cancel))


def fails(provider: Provider, limits: TimeLimits = LIMITS) -> ProviderFault:
    with pytest.raises(ProviderFault) as failed:
        run(provider, limits)
    return failed.value


def text(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Delta))


def end(events: list[Event]) -> Finish:
    finish = events[-1]
    assert isinstance(finish, Finish)
    return finish


def outcome(standin: StandIn, name: str, seconds: float = 3) -> str:
    """How the upstream saw the last call end."""
    until = time.monotonic() + seconds
    while (seen := standin.stats(ENDPOINT[name])["log"][-1])["outcome"] == "open" and time.monotonic() < until:
        time.sleep(0.02)
    return str(seen["outcome"])


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_with_the_upstreams_counts_and_name(make: Make, standin: StandIn, name: ProviderName) -> None:
    events = run(make(name, standin.url))
    assert text(events) == FACT
    stats = standin.stats(ENDPOINT[name])
    finish = end(events)
    assert (finish.reason, finish.model) == ("stop", stats["model"])
    assert finish.usage.output == len(events) - 1 == stats["log"][-1]["tokens"]
    assert finish.usage.input > 0
    assert not finish.usage.estimated
    assert stats["log"][-1]["max_tokens"] == PROMPT.max_tokens


@pytest.mark.parametrize("name", NAMES)
def test_pieces_are_passed_on_before_the_last_is_made(make: Make, standin: StandIn, name: ProviderName) -> None:
    standin.set(ENDPOINT[name], pace_ms=120)
    stream = make(name, standin.url).stream(policy("openai"), PROMPT, LIMITS, never)
    next(iter(stream))
    first_here = time.time()
    list(stream)
    assert first_here < standin.stats(ENDPOINT[name])["log"][-1]["last_token_at"] - 0.2


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("fault", "kind", "retry_after"),
    [
        ("401", "unauthorized", None),
        ("429", "rate_limited", 7),
        ("quota", "out_of_quota", None),
        ("500", "server", None),
        ("garbage", "garbage", None),
        ("hang", "timeout", None),
    ],
)
def test_faults_before_anything_was_produced(
    make: Make, standin: StandIn, name: ProviderName, fault: str, kind: FaultKind, retry_after: float | None
) -> None:
    standin.set(ENDPOINT[name], fault=fault)
    failed = fails(make(name, standin.url))
    assert (failed.kind, failed.retry_after, failed.produced) == (kind, retry_after, False)
    assert failed.usage.output == 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("fault", "kind"), [("cut", "cut"), ("error", "server"), ("stall", "timeout")])
def test_faults_in_the_middle_tell_what_was_produced(
    make: Make, standin: StandIn, name: ProviderName, fault: str, kind: FaultKind
) -> None:
    standin.set(ENDPOINT[name], fault=fault)
    failed = fails(make(name, standin.url), TimeLimits(1, 1.5, 2))
    assert (failed.kind, failed.produced) == (kind, True)
    assert failed.usage.input > 0
    assert failed.usage.output > 0
    assert failed.usage.estimated


@pytest.mark.parametrize("name", NAMES)
def test_the_time_limits_are_kept(make: Make, standin: StandIn, name: ProviderName) -> None:
    standin.set(ENDPOINT[name], fault="hang")
    begun = time.monotonic()
    fails(make(name, standin.url))
    assert 1.4 < time.monotonic() - begun < 5
    assert outcome(standin, name) == "disconnected"
    standin.set(ENDPOINT[name], fault="slow")  # 0.4 s a token
    begun = time.monotonic()
    assert fails(make(name, standin.url), TimeLimits(1, 1.5, 2)).produced
    assert time.monotonic() - begun < 6


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fault", ["hang", "stall", None])
def test_cancel_ends_the_upstream_call_wherever_it_waits(
    make: Make, standin: StandIn, name: ProviderName, fault: str | None
) -> None:
    standin.set(ENDPOINT[name], fault=fault, pace_ms=200)
    asked: list[float] = []

    def cancel() -> bool:
        asked.append(time.monotonic())
        is_late = asked[-1] - asked[0] > 0.4  # counted from the call's start, not from the client's making
        return is_late and (bool(events) or fault == "hang")

    events: list[Event] = []
    for event in make(name, standin.url).stream(policy("openai"), PROMPT, TimeLimits(1, 10, 20), cancel):
        events.append(event)  # `cancel` looks at them meanwhile
    finish = end(events)
    assert time.monotonic() - asked[0] < 5
    assert finish.reason == "cancelled"
    assert outcome(standin, name) == "disconnected"
    assert (finish.usage.output > 0) == (fault != "hang")


@pytest.mark.parametrize("name", NAMES)
def test_closing_the_generator_ends_the_upstream_call(make: Make, standin: StandIn, name: ProviderName) -> None:
    standin.set(ENDPOINT[name], pace_ms=250)
    stream = make(name, standin.url).stream(policy("openai"), PROMPT, LIMITS, never)
    next(iter(stream))
    stream.close()  # type: ignore[attr-defined]
    assert outcome(standin, name) == "disconnected"


@pytest.mark.parametrize("name", NAMES)
def test_nobody_there(make: Make, name: ProviderName) -> None:
    failed = fails(make(name, f"http://127.0.0.1:{emulator.free_port()}"))
    assert (failed.kind, failed.produced) == ("connection", False)


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_key_and_what_the_fault_says_of_it(make: Make, standin: StandIn, name: ProviderName) -> None:
    failed = fails(make(name, standin.url, "sk-secret-key-that-must-not-show"))
    assert failed.kind == "unauthorized"
    assert "secret" not in f"{failed} {failed.detail}"


@pytest.mark.parametrize("name", ["openai", "anthropic"])
def test_without_a_key_nobody_is_called(make: Make, standin: StandIn, name: ProviderName) -> None:
    failed = fails(make(name, f"http://127.0.0.1:{emulator.free_port()}", ""))
    assert failed.kind == "unauthorized"


@pytest.mark.parametrize("name", NAMES)
def test_a_new_key_needs_no_new_provider(standin: StandIn, name: ProviderName) -> None:
    key = ["sk-old"]
    provider: AnthropicProvider | OpenAIProvider
    if name == "anthropic":
        provider = AnthropicProvider(f"{standin.url}/anthropic", lambda: key[0])
    else:
        provider = OpenAIProvider(f"{standin.url}/{ENDPOINT[name]}/v1", lambda: key[0], name)
    assert fails(provider).kind == "unauthorized"
    key[0] = llm.API_KEY
    assert text(run(provider)) == FACT
    provider.close()


@pytest.mark.parametrize("name", NAMES)
def test_the_answer_may_be_cut_by_its_bound(make: Make, standin: StandIn, name: ProviderName) -> None:
    short = type(PROMPT)(PROMPT.messages, 3, 0.7)
    events = list(make(name, standin.url).stream(policy("openai"), short, LIMITS, never))
    assert (end(events).reason, end(events).usage.output, len(events)) == ("length", 3, 4)


@pytest.mark.parametrize("name", NAMES)
def test_one_provider_serves_many_at_once_and_a_cancel_ends_only_its_own(
    make: Make, standin: StandIn, name: ProviderName
) -> None:
    standin.set(ENDPOINT[name], pace_ms=100)
    provider = make(name, standin.url)

    def one(number: int) -> Finish:
        begun = time.monotonic()
        return end(run(provider, cancel=lambda: number % 4 == 0 and time.monotonic() - begun > 0.1))

    with ThreadPoolExecutor(12) as pool:
        reasons = [finish.reason for finish in pool.map(one, range(12))]
    assert reasons == ["cancelled" if number % 4 == 0 else "stop" for number in range(12)]
    assert text(run(provider)) == FACT  # pooled connections are as good as new


def test_a_compatible_service_without_a_url_is_no_route() -> None:
    assert fails(OpenAIProvider("", lambda: "", "local_llm")).kind == "not_found"


@pytest.mark.parametrize("name", NAMES)
def test_a_model_that_refuses_sampling_is_asked_without_and_remembered(
    make: Make, standin: StandIn, name: ProviderName
) -> None:
    standin.set(ENDPOINT[name], fault="no_sampling")
    provider = make(name, standin.url)
    before = standin.stats(ENDPOINT[name])["calls"]
    assert text(run(provider)) == FACT
    assert text(run(provider)) == FACT
    assert standin.stats(ENDPOINT[name])["calls"] == before + 3
