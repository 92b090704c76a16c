"""Every storage call of a chat, broken in every way: counters and records agree afterwards."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from botocore.exceptions import ClientError

from noren.errors import NorenError
from noren.ledger.service import Ledger
from noren.ledger.store import LedgerStore
from noren.plans.models import Limits
from noren.usage.store import UsageStore
from tests.faults import FAULTS, Crash, Fault, Faulty
from tests.unit.ledger.conftest import LIMITS, World, at, call

CREDITS = 100


def settles(world: World, ledger: Ledger) -> None:
    ask = world.ask(credits=7, embedding_tokens=50)
    with ledger.reserve(ask, world.record(ask, credits=5)) as hold:
        hold.record.calls += [call(), call(tokens_embedding=20)]


def releases(world: World, ledger: Ledger) -> None:
    ask = world.ask(credits=7, embedding_tokens=50)
    with ledger.reserve(ask, world.record(ask)) as hold:
        hold.release = True


def finds_a_dead_hold(world: World, ledger: Ledger) -> None:
    world.abandon(credits=CREDITS - 1)
    world.now += 200
    settles(world, ledger)


def finds_the_day_over(world: World, ledger: Ledger) -> None:
    world.chat()
    world.now += 86_400
    settles(world, ledger)


def finds_the_month_over(world: World, ledger: Ledger) -> None:
    world.chat(credits=2)
    world.now = at("2026-12-01T00:00:00")
    settles(world, ledger)


def settles_in_the_next_month(world: World, ledger: Ledger) -> None:
    world.now = at("2026-11-30T23:59:59")
    ask = world.ask(credits=7, embedding_tokens=50)
    world.chat()  # turns the day
    with ledger.reserve(ask, world.record(ask, credits=5)) as hold:
        world.now += 10
        world.chat()  # turns the month
        hold.record.calls.append(call())


def settles_after_it_was_swept(world: World, ledger: Ledger) -> None:
    ask = world.ask(credits=7)
    with ledger.reserve(ask, world.record(ask)) as hold:
        world.now += 200
        world.ledger.sweep(ask.tenant_id)
        hold.record.calls.append(call())


SCENARIOS: list[tuple[Callable[[World, Ledger], None], int]] = [
    (settles, 3),
    (releases, 3),
    (finds_a_dead_hold, 6),
    (finds_the_day_over, 5),
    (finds_the_month_over, 6),
    (settles_in_the_next_month, 4),
    (settles_after_it_was_swept, 4),
]
MATRIX = [
    pytest.param(scenario, number, fault, id=f"{scenario.__name__}-{number}-{fault}")
    for scenario, calls in SCENARIOS
    for number in range(calls)
    for fault in FAULTS
]


@pytest.mark.parametrize(("scenario", "calls"), SCENARIOS)
def test_the_matrix_covers_every_call(world: World, scenario: Callable[[World, Ledger], None], calls: int) -> None:
    world.give_credits(CREDITS)
    process = Faulty(world.client)
    scenario(world, world.container(process))
    assert len(process.calls) == calls
    world.come_to_rest(CREDITS)


@pytest.mark.parametrize(("scenario", "number", "fault"), MATRIX)
def test_books_agree_after(world: World, scenario: Callable[[World, Ledger], None], number: int, fault: Fault) -> None:
    world.give_credits(CREDITS)
    process = Faulty(world.client)
    process.plan = {number: fault}
    crashed = False
    try:
        scenario(world, world.container(process))
    except Crash:
        crashed = True
    assert crashed == fault.startswith("crash")
    world.check_books(CREDITS)
    process.deliver()
    world.check_books(CREDITS)
    world.come_to_rest(CREDITS)
    assert process.under_way == 0


@pytest.mark.parametrize("fault", ["throttle", "conflict", "server", "timeout_before", "timeout_after", "late_copy"])
def test_storage_that_stays_down_denies_and_charges_nothing(world: World, fault: Fault) -> None:
    process = Faulty(world.client)
    process.plan = dict.fromkeys(range(100), fault)
    with pytest.raises(NorenError) as busy:
        settles(world, world.container(process))
    assert busy.value.status == 503
    process.deliver()
    world.come_to_rest()
    assert all(record.decision == "RELEASE" for record in world.records().values())
    assert world.account.chats_used == 0


@pytest.mark.parametrize("leaves", ["normally", "by an exception"])
def test_a_decision_that_storage_does_not_take_is_left_to_the_sweep(world: World, leaves: str) -> None:
    process = Faulty(world.client)
    ask = world.ask()

    def chat() -> None:
        with world.container(process).reserve(ask, world.record(ask)):
            process.plan = dict.fromkeys(range(100), "throttle")
            if leaves == "by an exception":
                raise KeyError

    with pytest.raises(NorenError if leaves == "normally" else KeyError):
        chat()
    assert len(world.account.holds) == 1
    world.come_to_rest()
    assert world.records()[ask.request_id].error_code == "abandoned"


def test_changing_limits_twice_by_a_lost_answer_grants_once(world: World) -> None:
    higher = Limits(**{**{name: getattr(LIMITS, name) for name in LIMITS.__slots__}, "chats_per_month": 200})
    process = Faulty(world.client)
    process.plan = {1: "timeout_after"}
    world.container(process).change_limits(world.tenant, higher)
    assert world.account.chat_grant.limit == 200  # the month has just begun: pro rata is all of it


def test_opening_twice_by_a_lost_answer_opens_once(client: Faulty) -> None:
    world = World(client)
    process = Faulty(client)
    process.plan = {0: "timeout_after"}
    world.container(process).open_account(world.tenant, LIMITS)
    assert world.account.version == 1


def test_a_missing_grant_is_an_error_and_not_a_denial(world: World) -> None:
    """What no repetition cures (a wrong table, a denied action) must not look like a full quota."""
    store = LedgerStore(world.client, "no_such_table")
    ledger = Ledger(store, UsageStore(world.client, "usage"), world.credits, clock=lambda: world.now)
    with pytest.raises(ClientError, match="ResourceNotFound"):
        world.chat(ledger=ledger)
