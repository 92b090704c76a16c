"""Slots for calls to hosts: the table and the fake that crawls are tried with hand them out alike."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from noren.pace import HORIZON_SECONDS, Pace
from noren.runtime.store import RuntimeStore
from tests.unit.knowledge.training_world import Slots
from tests.unit.runtime.conftest import Time


@pytest.fixture(params=["table", "fake"])
def pace(request: pytest.FixtureRequest, time: Time) -> Pace:
    slots = request.getfixturevalue("store") if request.param == "table" else Slots()
    return Pace(slots, time)  # type: ignore[arg-type]


def test_each_caller_has_its_own_time(pace: Pace, time: Time) -> None:
    now = time()
    assert [pace.slot("a.example", 2.5) for _ in range(3)] == [now, now + 2.5, now + 5]
    assert pace.slot("b.example", 2.5) == now
    time.sleep(60)
    assert pace.slot("a.example", 2.5) == now + 60


def test_slots_are_given_out_for_a_while_ahead_only(pace: Pace, time: Time) -> None:
    delay = HORIZON_SECONDS / 3
    slots = [pace.slot("a.example", delay) for _ in range(6)]
    assert slots[:4] == [time() + delay * each for each in range(4)]
    assert slots[4:] == [None, None]
    time.sleep(delay)
    assert pace.slot("a.example", delay) == time() + HORIZON_SECONDS


def test_a_host_that_wants_it_is_left_alone(pace: Pace, time: Time) -> None:
    now = time()
    pace.slot("a.example", 1)
    assert pace.held_until("a.example") == 0
    pace.hold("a.example", 60)
    pace.hold("a.example", 30)  # no less than was asked for before
    assert pace.held_until("a.example") == now + 60
    assert pace.slot("a.example", 1) == now + 60
    assert pace.slot("a.example", 0) == now + 60
    assert pace.slot("b.example", 0) == now
    pace.hold("a.example", 10**6)
    assert pace.held_until("a.example") == now + HORIZON_SECONDS


def test_those_who_have_slots_ahead_can_see_that_a_host_wants_to_be_left_alone(pace: Pace, time: Time) -> None:
    for _ in range(100):
        pace.slot("a.example", 1)
    pace.hold("a.example", 60)
    assert pace.held_until("a.example") == time() + 60
    assert pace.slot("a.example", 1) == time() + 100


def test_of_those_who_come_late_one_at_a_time_is_let_through(pace: Pace, time: Time) -> None:
    assert [pace.is_free_for_late("a.example", 5) for _ in range(3)] == [True, False, False]
    assert pace.is_free_for_late("b.example", 5)
    assert [pace.is_free_for_late("a.example", 0) for _ in range(2)] == [True, True]
    time.sleep(5)
    assert pace.is_free_for_late("a.example", 5)
    assert pace.slot("a.example", 5) == time() + 5


def test_no_two_get_one_time(store: RuntimeStore, time: Time) -> None:
    pace = Pace(store, time)
    with ThreadPoolExecutor(8) as pool:
        slots = list(pool.map(lambda _: pace.slot("a.example", 1), range(24)))
    assert sorted(slots, key=lambda each: each or 0) == [time() + each for each in range(24)]
