"""The first route goes down and comes back, with two instances of the chat application on the same tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from local.models import MISTRAL
from noren.llm import breaker as rules
from noren.llm.models import TimeLimits
from noren.plans.models import Tier
from noren.usage.models import UsageRecord
from tests.contract.chat.conftest import Models
from tests.contract.chat.test_settlement import FACT, tell
from tests.unit.chat.rig import Container, Rig
from tests.unit.chat.web import Web, served

LIMIT = 2.5
"""Seconds to the first word."""
LIMITS = TimeLimits(connect=1, first_token=LIMIT, total=10)


@dataclass(frozen=True)
class Outage:
    """How a tier's first model goes down, and how often it was called."""

    tier: Tier
    first: str
    second: str
    breaks: Callable[[Models], None]
    reached: Callable[[Models], int]
    kind: str
    """The fault that is felt."""


def jobs(models: Models) -> int:
    stats = requests.get(f"{models.stack.runpod_url}/_stats", timeout=5).json()[MISTRAL]
    return int(stats["looks"].get("run", 0))


def claude(models: Models) -> int:
    return models.calls("anthropic")


OUTAGES = {
    "VIP: Claude hangs": Outage(
        "vip", "claude", "gpt", lambda m: m.served("anthropic", fault="hang"), claude, "timeout"
    ),
    "VIP: Claude answers 500": Outage(
        "vip", "claude", "gpt", lambda m: m.served("anthropic", fault="500"), claude, "server"
    ),
    "paid: Mistral has no worker": Outage(
        "paid", "mistral-7b", "phi-3-mini", lambda m: m.plane(MISTRAL, cold_ms=600_000), jobs, "timeout"
    ),
    "paid: Mistral's endpoint drops connections": Outage(
        "paid", "mistral-7b", "phi-3-mini", lambda m: m.plane(MISTRAL, fault="cut", on="run"), jobs, "connection"
    ),
}


class Instances:
    """Two chat applications over the same tables, and one user who is sent to them in turn."""

    def __init__(self, rig: Rig, webs: list[Web]) -> None:
        self.rig, self.webs = rig, webs
        self.asked = 0

    def ask(self, number: int | None = None, **more: str) -> UsageRecord:
        """An answered question; its record."""
        self.asked += 1
        web = self.webs[(self.asked if number is None else number) % len(self.webs)]
        response = web.call("POST", "/api/v1/chat", {"message": "営業時間は?", **more})
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        assert answer["answer"] == FACT
        record = self.rig.usage.record_of(self.rig.tenant.tenant_id, answer["id"])
        assert record
        assert (record.decision, record.chats) == ("USAGE", 1)
        assert answer["route"]["reason"] == record.route_reason
        return record


@pytest.fixture
def instances(aws: str, models: Models) -> Iterator[Instances]:
    rig = Rig(providers=models.providers, time_limits=LIMITS)
    tell(rig, FACT)
    other = Container(rig.client, rig, providers=models.providers, time_limits=LIMITS)
    with ExitStack() as stack:
        yield Instances(rig, [stack.enter_context(served(rig, process=each)) for each in (rig, other)])


@pytest.mark.parametrize("name", OUTAGES)
def test_one_user_waits_once_and_the_end_is_noticed(instances: Instances, models: Models, name: str) -> None:
    outage = OUTAGES[name]
    rig = instances.rig
    rig.catalogue.tier = outage.tier
    vips, paid = (models.claude, models.gpt, models.mistral, models.phi3), (models.mistral, models.phi3)
    rig.catalogue.models = vips if outage.tier == "vip" else paid
    for _ in instances.webs:
        assert [call.policy_id for call in instances.ask().calls] == [outage.first]
    instances.ask(model=outage.second)  # its SDK is imported
    rig.clock.skip(rules.CACHE_SECONDS)  # what an instance knows of the others' troubles may be so old

    outage.breaks(models)
    felt: list[UsageRecord] = []
    while (record := instances.ask()).calls[0].policy_id == outage.first:
        felt.append(record)
    attempts = [call.status for record in felt for call in record.calls if call.policy_id == outage.first]
    assert set(attempts) == {outage.kind}
    # Silence is felt once. What fails at once costs nobody any time: it takes three failures in a row, and another
    # instance may meet one more before it looks again.
    assert len(attempts) in ((1,) if outage.kind == "timeout" else (rules.IN_A_ROW, rules.IN_A_ROW + 1))
    for record in felt:
        waited = sum(call.total_ms for call in record.calls if call.policy_id == outage.first)
        assert waited < (LIMIT + 1.5) * 1000, "more than one time limit"
        assert record.route_reason == f"default; {outage.first} {outage.kind}"

    reached = outage.reached(models)
    for _ in range(4):
        record = instances.ask()
        assert [call.policy_id for call in record.calls] == [outage.second]
        assert record.route_reason == f"default; {outage.first} resting"
        assert record.status == ("ok" if outage.tier == "vip" else "degraded")
    assert outage.reached(models) == reached, "somebody has waited for a model that is known to be down"

    rig.clock.skip(rules.REST_SECONDS)
    with ThreadPoolExecutor(4) as pool:
        probed = [record.calls[0].policy_id for record in pool.map(instances.ask, range(4))]
    assert probed.count(outage.first) == 1, "one request tries again, the others don't wait"

    models.heal()
    rig.clock.skip(rules.REST_SECONDS)
    assert instances.ask().calls[0].policy_id == outage.first, "the recovery was not noticed"
    rig.clock.skip(rules.CACHE_SECONDS)
    for _ in range(4):
        record = instances.ask()
        assert [call.policy_id for call in record.calls] == [outage.first]
        assert (record.status, record.route_reason) == ("ok", "default")
    assert (rig.open_holds(), rig.chats_used()) == (0, len(rig.records()))
