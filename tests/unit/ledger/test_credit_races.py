"""Folds against everything else: what comes between a fold's read and its commit, and what comes twice or late."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noren.errors import Conflict
from noren.ledger.credits import Credits
from noren.ledger.fold import Gift, Withdrawal
from noren.ledger.lots import NEVER, EntryType, Lot, price_paid
from noren.ledger.models import Denied
from noren.money import MINOR_DIGITS, to_minor
from tests.faults import Fault, Faulty
from tests.unit.ledger.conftest import LIMITS, World, at, call
from tests.unit.ledger.steps import Task

FREE = replace(LIMITS, free_credits_per_month=40, carry_over_cap=10, requests_per_day_per_site=500)


@pytest.fixture
def world(client: Faulty) -> World:
    """A tenant with 40 free credits and 50 that it bought as `PUR#first`."""
    world = World(client)
    world.ledger.open_account(world.tenant, FREE)
    world.credits.give(world.tenant.tenant_id, purchase("PUR#first"))
    return world


def purchase(entry_id: str, credits: int = 50, expires_at: int = NEVER) -> Gift:
    return Gift(entry_id, "PURCHASE", "purchased", credits, expires_at, paid=credits * 10, currency="JPY")


def taken_back(entry_id: str, credits: int, kind: EntryType = "CHARGEBACK", lot: str = "PUR#first") -> Withdrawal:
    return Withdrawal(entry_id, kind, credits, lot)


def in_office(world: World, run: Callable[[Credits], object]) -> Task:
    return Task(world.client, lambda client: run(world.credit_office(client)))


def up_to_its_commit(task: Task) -> Task:
    """The fold has been worked out on what was read, and is not written."""
    while task.at != "transact_write_items":
        task.step()
    return task


def booked(world: World) -> int:
    return sum(entry.credits for entry in world.entries().values())


# -- between a fold's read and its commit

FOLDS: dict[str, Callable[[World], Callable[[Credits], object]]] = {
    "a purchase": lambda w: lambda office: office.give(w.tenant.tenant_id, purchase("PUR#fold", 30)),
    "a chargeback": lambda w: lambda office: office.withdraw(w.tenant.tenant_id, taken_back("CHB#fold", 30)),
    "a chargeback of all": lambda w: lambda office: office.withdraw(w.tenant.tenant_id, taken_back("CHB#fold", 90)),
    "a refund": lambda w: lambda office: office.withdraw(w.tenant.tenant_id, taken_back("REF#fold", 50, "REFUND")),
    "a month's end": lambda w: lambda office: office.turn(w.tenant.tenant_id),
}
COMMITTED = {
    "a purchase": "PUR#fold",
    "a chargeback": "CHB#fold",
    "a chargeback of all": "CHB#fold",
    "a refund": "REF#fold",
    "a month's end": "RESET#2026-12",
}


def reserves(world: World, stack: ExitStack) -> None:
    ask = world.ask(chats=0, credits=25)
    stack.enter_context(world.ledger.reserve(ask, world.record(ask, credits=20))).record.calls.append(call())


def settles(world: World, stack: ExitStack) -> None:
    world.chat(chats=0, credits=25)


def releases(world: World, stack: ExitStack) -> None:
    world.chat(chats=0, credits=25, release=True)


def buys(world: World, stack: ExitStack) -> None:
    world.credits.give(world.tenant.tenant_id, purchase("PUR#between", 7))


def is_charged_back(world: World, stack: ExitStack) -> None:
    world.credits.withdraw(world.tenant.tenant_id, taken_back("CHB#between", 60))


def does_two_things(world: World, stack: ExitStack) -> None:
    buys(world, stack)
    reserves(world, stack)


@pytest.mark.parametrize("between", [reserves, settles, releases, buys, is_charged_back, does_two_things])
@pytest.mark.parametrize("name", FOLDS)
def test_what_comes_between_a_folds_read_and_its_commit(
    world: World, name: str, between: Callable[[World, ExitStack], None]
) -> None:
    before = world.account
    lag = 3610 if name == "a month's end" else 0  # of the others' clocks: for them November goes on
    if lag:
        world.now = at("2026-11-30T23:00:00")
        world.ledger.change_limits(world.tenant, FREE)  # turns the day
    world.now += lag
    fold = up_to_its_commit(in_office(world, FOLDS[name](world)))
    world.now -= lag
    with ExitStack() as stack:
        between(world, stack)
        world.now += lag
        fold.finish()
        world.check_books()
    world.check_books()
    assert list(world.entries()).count(COMMITTED[name]) == 1
    assert world.account.version > before.version
    world.come_to_rest()


@pytest.mark.parametrize("day_turns", [False, True])
def test_a_chat_of_a_new_day_is_counted_though_another_turns_the_day_or_folds(world: World, day_turns: bool) -> None:
    """Both have read the day before, and would begin the new one with nothing."""
    world.chat()
    world.now += 86_400
    slow: Callable[[Faulty], object] = (
        (lambda client: world.chat(ledger=world.container(client)))
        if day_turns
        else (lambda client: world.credit_office(client).give(world.tenant.tenant_id, purchase("PUR#slow", 5)))
    )
    task = Task(world.client, slow)
    if day_turns:
        task.step()  # refused: it will turn the day
        assert task.at == "update_item"
    else:
        up_to_its_commit(task)
    world.chat()
    task.finish()
    assert sum(world.account.site_counts.values()) == (2 if day_turns else 1)
    world.check_books()


@pytest.mark.parametrize("release", [False, True])
def test_a_hold_that_ends_between_a_folds_read_and_its_commit(world: World, release: bool) -> None:
    """The fold saw it back a lot; what it took is spent from the lots that the fold leaves."""
    ask = world.ask(chats=0, credits=60)
    with world.ledger.reserve(ask, world.record(ask, credits=45)) as hold:
        hold.record.calls.append(call())
        hold.release = release
        fold = in_office(world, lambda office: office.withdraw(world.tenant.tenant_id, taken_back("CHB#1", 50)))
        up_to_its_commit(fold)
    fold.finish()
    world.check_books()
    account = world.account
    # 90 there, 60 held: the chargeback found 30, and owes 20 until what was held comes back
    assert (account.debt, account.credits) == (20, 60 if release else 15)
    world.credits.turn(world.tenant.tenant_id)
    account = world.account
    assert (account.debt, account.credits) == ((0, 40) if release else (5, 0))
    world.come_to_rest(90 - 50)


def test_nothing_that_a_fold_takes_may_be_reserved_meanwhile(world: World) -> None:
    """`av >= removed`: the fold is worked out anew, and what is held by then is owed."""
    fold = in_office(world, lambda office: office.withdraw(world.tenant.tenant_id, taken_back("CHB#1", 90)))
    up_to_its_commit(fold)
    ask = world.ask(chats=0, credits=70)
    with world.ledger.reserve(ask, world.record(ask, credits=70)) as hold:
        hold.record.calls.append(call())
        fold.finish()
        account = world.account
        assert (account.credits, account.debt, account.credits_held) == (0, 70, 70)
        world.check_books(0)
    assert (world.account.credits, world.account.debt) == (0, 70)
    world.check_books(0)


def test_nothing_is_spent_while_something_is_owed(world: World) -> None:
    """What a hold gives back pays the debt, before anybody may have it."""
    ask = world.ask(chats=0, credits=80)
    with world.ledger.reserve(ask, world.record(ask)) as hold:
        hold.release = True
        world.credits.withdraw(world.tenant.tenant_id, taken_back("CHB#1", 60))
        assert (world.account.credits, world.account.debt) == (0, 50)
    assert (world.account.credits, world.account.debt) == (80, 50)
    with pytest.raises(Denied) as denied:
        world.chat(chats=0, credits=40)
    assert denied.value.credits == 30
    assert world.chat(chats=0, credits=30).credits == 30
    world.check_books(30)


def test_a_refund_of_what_is_not_booked_takes_nothing(world: World) -> None:
    """Payments are granted before their refunds are looked at (`billing/settlement.py`)."""
    world.credits.withdraw(world.tenant.tenant_id, taken_back("REF#1", 50, "REFUND", "PUR#unknown"))
    assert (world.account.credits, world.account.debt) == (90, 0)
    world.check_books(90)


# -- twice, at once, late, lost


ORDERS = sorted({"".join(order) for order in itertools.permutations("aaaabbbb")})


@pytest.mark.parametrize("order", sorted({*ORDERS[::6], "abbbbaaa"}))
def test_a_purchase_delivered_twice_at_once_is_booked_once(world: World, order: str) -> None:
    deliver: Callable[[Credits], object] = lambda office: office.give(  # noqa: E731
        world.tenant.tenant_id, purchase("PUR#twice", 30)
    )
    tasks = {name: in_office(world, deliver) for name in "ab"}
    for name in order:
        if not tasks[name].done:
            tasks[name].step()
    results = [task.finish() for task in tasks.values()]
    assert [entry.entry_id for entry in results] == ["PUR#twice"] * 2
    assert (world.account.credits, booked(world)) == (120, 120)
    assert world.credits.balance(world.tenant.tenant_id).total_purchased == 80
    world.check_books()


def test_a_purchase_told_again_after_other_folds_is_still_booked_once(world: World) -> None:
    for _ in range(3):
        world.give_credits(1)
        world.credits.give(world.tenant.tenant_id, purchase("PUR#first"))
    world.now = at("2026-12-01T00:00:10")
    world.credits.give(world.tenant.tenant_id, purchase("PUR#first", credits=99))
    assert world.entries()["PUR#first"].credits == 50
    world.check_books()


@pytest.mark.parametrize("spent", [0, 20, 60])
def test_a_chargeback_before_its_purchase_is_known_ends_like_one_after_it(world: World, spent: int) -> None:
    late = purchase("PUR#late", 50)
    back = taken_back("CHB#late", 50, lot="PUR#late")
    if spent:
        world.chat(chats=0, credits=spent)
    tenant = world.tenant.tenant_id
    world.credits.withdraw(tenant, back)
    world.credits.give(tenant, late)
    world.credits.withdraw(tenant, back)
    account = world.account
    assert (account.balance, account.credits, account.debt) == (90 - spent, 90 - spent, 0)
    world.check_books(90)


def test_two_adjustments_at_once_take_no_more_than_there_is(world: World) -> None:
    tasks = [
        up_to_its_commit(
            in_office(
                world,
                lambda office, name=name: office.withdraw(  # type: ignore[misc]
                    world.tenant.tenant_id, Withdrawal(f"ADM#{name}", "ADJUSTMENT", 60)
                ),
            )
        )
        for name in "ab"
    ]
    tasks[1].finish()
    with pytest.raises(Conflict):
        tasks[0].finish()
    assert (world.account.credits, world.account.debt, booked(world)) == (30, 0, 30)
    world.check_books()


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("fault", ["late_copy", "timeout_after", "timeout_before", "twice", "conflict", "server"])
def test_a_fold_whose_call_is_lost_late_or_doubled_books_once(world: World, number: int, fault: Fault) -> None:
    process = Faulty(world.client)
    process.plan = {number: fault}
    entry = world.credit_office(process).give(world.tenant.tenant_id, purchase("PUR#once", 30))
    assert entry.credits == 30
    process.deliver()
    assert (world.account.credits, booked(world)) == (120, 120)
    world.check_books()


@pytest.mark.parametrize("meanwhile", [reserves, settles, buys])
def test_a_late_copy_of_a_folds_transaction_has_no_effect(
    world: World, meanwhile: Callable[[World, ExitStack], None]
) -> None:
    process = Faulty(world.client)
    process.plan = {3: "late_copy"}
    world.credit_office(process).withdraw(world.tenant.tenant_id, taken_back("CHB#1", 20))
    with ExitStack() as stack:
        meanwhile(world, stack)
        before = world.account
        assert process.deliver() == 0
        assert world.account == before
    world.check_books()


def test_a_late_copy_that_is_the_only_one_to_arrive_counts(world: World) -> None:
    """Its process died waiting: then the transaction comes, whole, and its repetition finds it."""
    process = Faulty(world.client)
    process.plan = {3: "late_copy"}
    task = Task(process, lambda client: world.credit_office(client).give(world.tenant.tenant_id, purchase("PUR#1", 5)))
    up_to_its_commit(task)
    task.step()
    task.kill()
    assert process.deliver() == 1
    world.credits.give(world.tenant.tenant_id, purchase("PUR#1", 5))
    assert world.account.credits == 95
    world.check_books(95)


def test_a_month_turned_by_the_job_and_16_requests_is_reset_once(world: World) -> None:
    world.ledger.change_limits(world.tenant, replace(FREE, concurrent_chats=64))
    world.chat(chats=0, credits=30)
    world.now = at("2026-12-01T00:00:00")
    gate = threading.Barrier(18)

    def one_of_many(number: int) -> str:
        ledger, office = world.container(world.client), world.credit_office(world.client)
        gate.wait()
        try:
            if number < 16:
                world.chat(ledger=ledger, chats=0, credits=3)
            elif number == 16:
                office.turn(world.tenant.tenant_id)
            else:
                ledger.sweep_all()
        except Denied as denied:
            return denied.reason
        return "admitted"

    with ThreadPoolExecutor(18) as pool:
        outcomes = list(pool.map(one_of_many, range(18)))
    assert outcomes == ["admitted"] * 18
    entries = world.entries()
    assert [entry_id for entry_id in entries if entry_id.startswith("RESET#")].count("RESET#2026-12") == 1
    # 10 of 40 were left and are carried over, 50 were bought
    assert world.account.credits == 40 + 10 + 50 - 16 * 3
    world.check_books()


# -- money

currencies = st.sampled_from(sorted(MINOR_DIGITS))


@given(currencies, st.integers(1, 10_000_000), st.integers(1, 5_000), st.data())
def test_a_lot_costs_what_was_paid_for_it_however_it_is_consumed(
    currency: str, paid: int, credits: int, data: st.DataObject
) -> None:
    """In any parts, in any currency: nothing is multiplied by its digits, and nothing is rounded but each part once."""
    lot = Lot("PUR#1", "purchased", credits, NEVER, credits, paid, currency)
    cuts = sorted(data.draw(st.lists(st.integers(0, credits), max_size=6)))
    counts = [end - start for start, end in itertools.pairwise([0, *cuts, credits]) if end > start]
    parts: list[Decimal] = [price_paid([(lot, count)])[currency] for count in counts]
    assert abs(sum(parts, Decimal(0)) - paid) <= Decimal("0.00000000005") * len(parts)
    assert price_paid([(lot, credits)]) == {currency: Decimal(paid)}
    assert price_paid([(lot, count) for count in counts]) == {currency: sum(parts, Decimal(0))}


@given(st.lists(st.tuples(currencies, st.integers(1, 99_999), st.integers(1, 500)), min_size=1, max_size=6))
def test_currencies_are_never_added_up(bought: list[tuple[str, int, int]]) -> None:
    lots = [
        Lot(f"PUR#{n}", "purchased", count, NEVER, count, paid, code) for n, (code, paid, count) in enumerate(bought)
    ]
    told = price_paid([(lot, lot.credits) for lot in lots])
    expected: dict[str, int] = {}
    for code, paid, _ in bought:
        expected[code] = expected.get(code, 0) + paid
    assert told == expected


@given(currencies, st.integers(0, 10**9))
def test_minor_units_are_those_of_the_currency_once(currency: str, minor: int) -> None:
    major = Decimal(minor).scaleb(-MINOR_DIGITS[currency])
    assert to_minor(major, currency) == minor


def test_7800_yen_are_7800() -> None:
    assert (to_minor(Decimal(7800), "JPY"), to_minor(Decimal(7800), "KRW"), to_minor(Decimal(78), "USD")) == (7800,) * 3
    lot = Lot("PUR#1", "purchased", 1_000, NEVER, 1_000, 7_800, "JPY")
    assert price_paid([(lot, 1)]) == {"JPY": Decimal("7.8")}
    assert price_paid([(lot, 1_000)]) == {"JPY": Decimal(7_800)}
