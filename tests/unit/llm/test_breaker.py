"""The shared breaker, against real conditional writes; two instances stand for two containers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from noren.llm import breaker as rules
from noren.llm.breaker import Breaker, breaker_key
from noren.llm.store import BreakerStore
from noren.tables import dynamodb
from tests.unit.llm.scripted import MISTRAL, PHI3, Clock


@dataclass
class Fleet:
    """Instances that share a table; `calls` are the storage operations, by name."""

    store: BreakerStore
    clock: Clock
    calls: list[str] = field(default_factory=list)

    def container(self) -> Breaker:
        return Breaker(self.store, self.clock)

    def writes(self) -> int:
        return sum(call != "GetItem" for call in self.calls)


@pytest.fixture
def fleet(aws: str) -> Fleet:
    client = dynamodb()
    client.create_table(
        TableName="runtime",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "S"},
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    made = Fleet(BreakerStore("runtime", client), Clock())
    client.meta.events.register("before-call.dynamodb", lambda model, **_: made.calls.append(model.name))
    return made


def test_health_costs_one_read_in_two_seconds_and_no_write(fleet: Fleet) -> None:
    one = fleet.container()
    for _ in range(20):
        assert one.ask(PHI3).allowed
        one.succeeded(PHI3)
        fleet.clock.sleep(0.19)
    assert fleet.calls == ["GetItem"] * 2


def test_a_state_read_ahead_is_not_read_again(fleet: Fleet) -> None:
    one = fleet.container()
    assert one.stale([PHI3, MISTRAL]) == [PHI3]  # the second is asked only where the first rests
    one.refresh([PHI3])
    assert one.stale([PHI3, MISTRAL]) == []
    assert one.ask(PHI3).allowed
    assert fleet.calls == ["GetItem"]
    fleet.clock.sleep(rules.CACHE_SECONDS)
    assert one.stale([PHI3, MISTRAL]) == [PHI3]


def test_behind_a_model_that_rests_the_next_one_is_looked_at_too(fleet: Fleet) -> None:
    one = fleet.container()
    one.failed(PHI3, at_once=True)
    assert one.stale([PHI3, MISTRAL]) == [MISTRAL]
    fleet.clock.sleep(rules.CACHE_SECONDS)
    assert one.stale([PHI3, MISTRAL]) == [PHI3, MISTRAL]
    one.refresh([PHI3, MISTRAL])
    fleet.calls.clear()
    assert not one.ask(PHI3).allowed
    assert one.ask(MISTRAL).allowed
    assert fleet.calls == []


def test_one_failure_opens_it_where_the_router_says_so(fleet: Fleet) -> None:
    one, other = fleet.container(), fleet.container()
    one.failed(PHI3, at_once=True)
    assert not one.ask(PHI3).allowed
    assert not other.ask(PHI3).allowed
    fleet.clock.sleep(rules.REST_SECONDS)
    assert other.ask(PHI3).probe


def test_three_failures_in_a_row_open_it_for_everybody(fleet: Fleet) -> None:
    one, other = fleet.container(), fleet.container()
    one.failed(PHI3)
    other.failed(PHI3)
    assert one.ask(PHI3).allowed
    one.failed(PHI3)
    assert not one.ask(PHI3).allowed
    fleet.clock.sleep(rules.CACHE_SECONDS)
    shut = other.ask(PHI3)
    assert not shut.allowed
    assert 0 < shut.retry_after <= rules.REST_SECONDS
    assert other.ask(MISTRAL).allowed  # another model is another matter


def test_a_success_breaks_the_row_wherever_it_happens(fleet: Fleet) -> None:
    one, other = fleet.container(), fleet.container()
    one.failed(PHI3)
    one.failed(PHI3)
    assert other.ask(PHI3).allowed
    other.succeeded(PHI3)
    one.failed(PHI3)
    one.failed(PHI3)
    assert one.ask(PHI3).allowed


def test_successes_not_written_yet_break_the_row_too(fleet: Fleet) -> None:
    one = fleet.container()
    for _ in range(6):
        one.succeeded(PHI3)
        one.failed(PHI3)
        one.succeeded(PHI3)
    assert one.ask(PHI3).allowed


def test_three_failures_open_it_in_a_fleet_that_was_well_a_moment_ago(fleet: Fleet) -> None:
    containers = [fleet.container() for _ in range(4)]
    for each in containers:
        assert each.ask(PHI3).allowed
        each.succeeded(PHI3)
    for each in containers[:3]:
        each.failed(PHI3)
    fleet.clock.sleep(rules.CACHE_SECONDS)
    assert not containers[3].ask(PHI3).allowed


def test_half_of_a_windows_calls_open_it(fleet: Fleet) -> None:
    one = fleet.container()
    fleet.clock.now -= fleet.clock.now % rules.WINDOW_SECONDS
    for _ in range(4):
        one.succeeded(PHI3)
        one.failed(PHI3)
        assert one.ask(PHI3).allowed
    one.succeeded(PHI3)
    one.failed(PHI3)
    assert not one.ask(PHI3).allowed


def test_failures_of_another_window_do_not_add_up(fleet: Fleet) -> None:
    one = fleet.container()
    fleet.clock.now -= fleet.clock.now % rules.WINDOW_SECONDS
    for _ in range(8):
        one.succeeded(PHI3)
        one.failed(PHI3)
        fleet.clock.sleep(rules.WINDOW_SECONDS)
    assert one.ask(PHI3).allowed


def opened(fleet: Fleet) -> None:
    one = fleet.container()
    for _ in range(rules.IN_A_ROW):
        one.failed(PHI3)
    fleet.clock.sleep(rules.REST_SECONDS + 0.1)


def test_one_probe_among_many_after_the_rest(fleet: Fleet) -> None:
    opened(fleet)
    containers = [fleet.container() for _ in range(12)]
    with ThreadPoolExecutor(12) as pool:
        passes = list(pool.map(lambda each: each.ask(PHI3), containers))
    assert [each.probe for each in passes if each.allowed] == [True]


def test_a_good_probe_closes_it_and_the_others_notice(fleet: Fleet) -> None:
    opened(fleet)
    one, other = fleet.container(), fleet.container()
    assert one.ask(PHI3).probe
    assert not other.ask(PHI3).allowed
    one.succeeded(PHI3, probe=True)
    assert one.ask(PHI3) == rules.Pass(True)
    fleet.clock.sleep(rules.CACHE_SECONDS)
    assert other.ask(PHI3) == rules.Pass(True)
    assert fleet.store.load(breaker_key(PHI3)).streak == 0


def test_a_bad_probe_means_another_rest(fleet: Fleet) -> None:
    opened(fleet)
    one = fleet.container()
    assert one.ask(PHI3).probe
    one.failed(PHI3, probe=True)
    assert not one.ask(PHI3).allowed
    fleet.clock.sleep(rules.REST_SECONDS + 0.1)
    assert one.ask(PHI3).probe


def test_a_dropped_or_lost_probe_lets_another_try(fleet: Fleet) -> None:
    opened(fleet)
    one, other = fleet.container(), fleet.container()
    assert one.ask(PHI3).probe
    one.dropped(PHI3)
    assert other.ask(PHI3).probe
    fleet.clock.sleep(rules.PROBE_SECONDS + 0.1)  # that container was killed
    assert fleet.container().ask(PHI3).probe


def test_failures_at_once_lose_no_count(fleet: Fleet) -> None:
    containers = [fleet.container() for _ in range(16)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda each: each.failed(PHI3), containers))
    health = fleet.store.load(breaker_key(PHI3))
    assert (health.streak, health.bad) == (16, 16)


def test_an_unreachable_table_lets_calls_through(fleet: Fleet) -> None:
    def refuse(**_: Any) -> None:
        raise EndpointConnectionError(endpoint_url="x")

    client = dynamodb()
    client.meta.events.register("before-call.dynamodb", refuse)
    one = Breaker(BreakerStore("runtime", client), fleet.clock)
    for _ in range(5):
        assert one.ask(PHI3).allowed
        one.failed(PHI3)
        one.succeeded(PHI3)
        one.dropped(PHI3)
