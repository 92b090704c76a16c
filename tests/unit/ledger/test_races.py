"""Targeted interleavings, and many at once."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from noren import tables
from noren.ledger.models import Denied
from noren.ledger.service import Ledger
from tests.faults import Faulty
from tests.unit.ledger.conftest import LIMITS, World, at, call
from tests.unit.ledger.steps import Task


@pytest.mark.parametrize("wave", range(3))
def test_64_at_once_with_quota_left_for_10(world: World, wave: int) -> None:
    world.ledger.change_limits(world.tenant, replace(LIMITS, chats_per_month=10, concurrent_chats=64))
    gate, everybody_in = threading.Barrier(64), threading.Event()

    def chat(_: int) -> str:
        ask = world.ask()
        ledger = world.container(world.client)  # a container each: nobody's memory of a denial helps
        gate.wait()
        try:
            with ledger.reserve(ask, world.record(ask)) as hold:
                everybody_in.wait(30)
                hold.record.calls.append(call(tokens_output=10**9))
        except Denied as denied:
            return denied.reason
        return "admitted"

    with ThreadPoolExecutor(64) as pool:
        answers = pool.map(chat, range(64))
        while len(world.account.holds) < 10:
            time.sleep(0.02)
        everybody_in.set()
        outcomes = list(answers)
    assert (outcomes.count("admitted"), outcomes.count("chats")) == (10, 54)
    assert len(world.records()) == 10
    assert not world.account.holds
    world.check_books()


def test_64_at_once_with_10_places(world: World) -> None:
    gate, everybody_in = threading.Barrier(64), threading.Event()

    def chat(_: int) -> str:
        ask = world.ask(site_daily_limit=1000)
        ledger = world.container(world.client)
        gate.wait()
        try:
            with ledger.reserve(ask, world.record(ask)):
                everybody_in.wait(30)
        except Denied as denied:
            return denied.reason
        return "admitted"

    with ThreadPoolExecutor(64) as pool:
        answers = [pool.submit(chat, number) for number in range(64)]
        while sum(answer.done() for answer in answers) < 54:
            time.sleep(0.02)
        everybody_in.set()
        outcomes = [answer.result() for answer in answers]
    assert (outcomes.count("admitted"), outcomes.count("concurrency")) == (10, 54)
    assert world.account.chats_used == 10
    world.come_to_rest()


def test_64_at_once_on_a_new_month(world: World) -> None:
    """All of them find the month over: it turns once, and nobody is counted in both."""
    many = replace(LIMITS, chats_per_month=40, concurrent_chats=64, requests_per_day_per_site=1000)
    world.ledger.change_limits(world.tenant, many)
    world.chat()
    world.now = at("2026-12-01T00:00:00")
    gate = threading.Barrier(64)

    def chat(_: int) -> str:
        ledger = world.container(world.client)
        gate.wait()
        try:
            world.chat(ledger=ledger)
        except Denied as denied:
            return denied.reason
        return "admitted"

    with ThreadPoolExecutor(64) as pool:
        outcomes = list(pool.map(chat, range(64)))
    assert outcomes.count("admitted") == 40
    assert world.account.chats_used == 40
    world.come_to_rest()


def _reserving(world: World, client: Faulty, **changes: Any) -> Task:
    ask = world.ask(**changes)

    def run(faulty: Faulty) -> Any:
        ledger = world.container(faulty)
        with ledger.reserve(ask, world.record(ask)) as hold:
            return hold

    return Task(client, run)


def test_a_chat_between_the_turns_read_and_its_write_is_counted(world: World) -> None:
    world.chat()
    world.now = at("2026-12-01T00:00:00")
    slow = _reserving(world, world.client)
    slow.step()  # refused: it has seen the old month, and will fold it
    slow.step()
    assert slow.at == "transact_write_items"
    world.chat()  # turns it first, and is counted in the new month
    slow.finish()
    assert world.account.chats_used == 2
    world.check_books()


def test_a_late_chat_of_the_old_month_between_the_turns_read_and_its_write(world: World) -> None:
    """A container whose clock lags behind is admitted in the old month while another turns it."""
    world.now = at("2026-11-30T23:59:50")
    world.ledger.change_limits(world.tenant, LIMITS)  # turns the day: nothing is counted in what the slow one will see
    world.now += 15
    slow = _reserving(world, world.client)
    slow.step()
    lagging = world.container(world.client, skew=-10)
    ask = world.ask()
    with lagging.reserve(ask, world.record(ask)) as hold:
        slow.finish()  # the month turns under the open hold
        hold.release = True
    assert world.account.chats_used == 1  # the slow one's: nothing of the old month's came back into the new one
    world.check_books()


def test_a_clock_that_lags_behind_the_turn_is_admitted_in_the_new_month(world: World) -> None:
    world.now = at("2026-12-01T00:00:01")
    world.chat()
    lagging = world.container(world.client, skew=-5)
    world.chat(ledger=lagging, release=True)
    assert world.account.chats_used == 1
    world.check_books()


def test_a_settle_between_a_change_of_limits_read_and_write_is_kept(world: World) -> None:
    ask = world.ask(embedding_tokens=50)
    tenant, higher = world.tenant, replace(LIMITS, embedding_tokens_per_month=2000)
    with world.ledger.reserve(ask, world.record(ask)) as hold:
        change = Task(world.client, lambda client: world.container(client).change_limits(tenant, higher))
        change.step()  # read
        hold.record.calls.append(call(tokens_embedding=20))
    change.finish()
    assert world.account.embedding_left == 1980
    world.check_books()


def test_a_late_copy_of_a_reserve_after_the_settle_is_released_whole(world: World) -> None:
    world.give_credits(50)
    process = Faulty(world.client)
    process.plan = {0: "late_copy"}
    stands = world.chat(ledger=world.container(process), credits=9)
    assert stands.decision == "USAGE"
    assert process.deliver() == 1
    assert len(world.account.holds) == 1  # under another nonce: it settles nothing
    assert world.account.credits == 50 - 9 - 9
    world.now += 300
    assert world.ledger.sweep(world.tenant.tenant_id) == 1
    assert (world.account.chats_used, world.account.credits, world.account.credits_used) == (1, 41, 9)
    world.check_books(50)


def test_a_late_copy_of_a_reserve_in_the_next_day_or_month_is_refused(world: World) -> None:
    process = Faulty(world.client)
    process.plan = {0: "late_copy", 3: "late_copy"}
    world.chat(ledger=world.container(process))
    world.now += 86_400
    world.chat()
    assert process.deliver() == 0
    assert world.account.chats_used == 2


def test_a_lost_answer_is_adopted_and_not_reserved_twice(world: World) -> None:
    process = Faulty(world.client)
    process.plan = {0: "timeout_after"}
    ask = world.ask()
    with world.container(process).reserve(ask, world.record(ask)) as hold:
        assert hold.adopted
        assert len(world.account.holds) == 1
    assert world.account.chats_used == 1


def test_settle_and_sweep_at_once_decide_once(world: World) -> None:
    """Every order of the settler's and the sweeper's two calls each."""
    for order in ("ssww", "swsw", "swws", "wssw", "wsws", "wwss"):
        ask = world.ask()

        def chat(client: Faulty, ask: Any = ask) -> None:
            with world.container(client).reserve(ask, world.record(ask)) as hold:
                hold.record.calls.append(call())

        settler = Task(world.client, chat)
        settler.step()
        world.now += 300
        sweeper = Task(world.client, lambda client: world.container(client).sweep(world.tenant.tenant_id))
        sweeper.step()  # its read
        for each in order:
            (settler if each == "s" else sweeper).step()
        settler.finish()
        sweeper.finish()
        stands = world.records()[ask.request_id]
        assert (stands.decision, stands.late) == (("USAGE", False) if order[0] == "s" else ("RELEASE", True))
        assert not world.account.holds
        world.check_books()
        world.now -= 300


def test_two_sweeps_at_once_give_back_once(world: World) -> None:
    world.abandon()
    world.now += 300
    sweepers = [
        Task(world.client, lambda client: world.container(client).sweep(world.tenant.tenant_id)) for _ in range(2)
    ]
    for _ in range(3):
        for sweeper in sweepers:
            sweeper.step()
    assert all(sweeper.done for sweeper in sweepers)
    assert world.account.chats_used == 0
    world.check_books()


def test_opening_an_account_from_many_places(client: Faulty) -> None:
    world = World(client)

    def open_it(_: int) -> None:
        ledger: Ledger = world.container(client)
        ledger.open_account(world.tenant, LIMITS)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(open_it, range(8)))
    assert world.account.version == 1
    assert client.calls.count("transact_write_items") == 8
    world.check_books()


def test_the_item_stays_small(world: World) -> None:
    """Two writes a chat are paid by the item's size: a unit for each started KB."""
    world.ledger.change_limits(world.tenant, replace(LIMITS, concurrent_chats=200))
    units = {}
    for count in range(1, 101):
        world.abandon(site_daily_limit=1000)
        if count in (10, 35, 100):
            key = tables.to_item({"pk": tables.tenant_key(world.tenant.tenant_id, "ACC"), "sk": "0"})
            item = world.client.get_item(TableName="quotas", Key=key)["Item"]
            units[count] = -(-_size(item) // 1024)
    assert units == {10: 1, 35: 2, 100: 5}


def _size(item: dict[str, Any]) -> int:
    """An item's size as DynamoDB reckons it."""

    def value(attribute: dict[str, Any]) -> int:
        ((kind, held),) = attribute.items()
        match kind:
            case "S":
                return len(held.encode())
            case "N":
                return len(held.lstrip("-")) // 2 + 2
            case "M":
                return 3 + sum(1 + len(name) + value(each) for name, each in held.items())
            case "L":
                return 3 + sum(1 + value(each) for each in held)
        return 1

    return sum(len(name) + value(each) for name, each in item.items())
