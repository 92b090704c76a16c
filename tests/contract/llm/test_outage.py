"""An outage from beginning to end: router, shared breaker and real providers over the stand-in."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from local import llm
from noren.llm import breaker as rules
from noren.llm.breaker import Breaker
from noren.llm.models import Delta, Provider, TimeLimits
from noren.llm.providers.anthropic import AnthropicProvider
from noren.llm.providers.openai import OpenAIProvider
from noren.llm.router import Router
from noren.llm.routes import plan_route
from noren.llm.store import BreakerStore
from noren.tables import dynamodb
from noren.usage.models import UsageRecord
from tests.contract.llm.conftest import FACT, PROMPT, StandIn
from tests.unit.llm.scripted import CLAUDE, GPT, entitlement, never, record

LIMIT = 1.5
REST = 2.0


@pytest.fixture
def routers(aws: str, standin: StandIn, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Router]]:
    """Two containers that share providers' health."""
    monkeypatch.setattr(rules, "REST_SECONDS", REST)
    client = dynamodb()
    client.create_table(
        TableName="runtime",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
        BillingMode="PAY_PER_REQUEST",
    )
    claude = AnthropicProvider(f"{standin.url}/anthropic", lambda: llm.API_KEY)
    gpt = OpenAIProvider(f"{standin.url}/openai/v1", lambda: llm.API_KEY)
    limits = TimeLimits(connect=1, first_token=LIMIT, total=10)
    providers: dict[str, Provider] = {"anthropic": claude, "openai": gpt}
    yield [Router(providers, Breaker(BreakerStore("runtime", client)), limits=limits) for _ in range(2)]
    claude.close()
    gpt.close()


def ask(router: Router) -> tuple[UsageRecord, float]:
    """An answered request: its record and how long it took."""
    kept = record(time.time())
    begun = time.monotonic()
    events = router.stream(plan_route(entitlement("vip", CLAUDE, GPT)), PROMPT, kept, never)
    assert "".join(event.text for event in events if isinstance(event, Delta)) == FACT
    return kept, time.monotonic() - begun


def test_an_outage_is_felt_once_and_its_end_is_noticed(routers: list[Router], standin: StandIn) -> None:
    one, other = routers
    assert ask(one)[0].provider == "anthropic"
    ask(other)
    list(one.stream(plan_route(entitlement("vip", CLAUDE, GPT), "gpt"), PROMPT, record(), never))  # the SDK is imported

    standin.set("anthropic", fault="hang")
    kept, seconds = ask(one)
    assert kept.route_reason == "default; claude timeout"
    assert LIMIT <= seconds < LIMIT + 1.5  # one time limit, whatever is down
    silent = standin.stats("anthropic")["calls"]

    kept, seconds = ask(one)
    assert (kept.provider, kept.route_reason) == ("openai", "default; claude resting")
    assert seconds < LIMIT
    assert standin.stats("anthropic")["calls"] == silent

    time.sleep(REST)
    assert ask(one)[0].route_reason == "default; claude timeout"  # the probe
    assert ask(other)[0].route_reason == "default; claude resting"  # the other container knows
    assert standin.stats("anthropic")["calls"] == silent + 1

    standin.set("anthropic", fault=None)
    time.sleep(REST)
    assert ask(other)[0].provider == "anthropic"  # a good probe
    time.sleep(rules.CACHE_SECONDS)
    assert ask(one)[0].provider == "anthropic"
