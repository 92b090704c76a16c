"""The journal: each settle becomes one line with its balance, however often and in whatever batches its image comes."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from decimal import Decimal

import pytest

from noren.ledger.account import Account
from noren.ledger.book_store import BookStore
from noren.ledger.fold import Withdrawal
from noren.ledger.journal import Journal
from noren.usage.store import UsageStore
from tests.faults import Crash, Faulty
from tests.unit.ledger.conftest import LIMITS, World, at, call


class Stream:
    """The images of the account's changes, as a stream would bring them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.images: list[tuple[Account | None, Account, float]] = []
        self.last: Account | None = None
        self.look()

    def look(self) -> None:
        """Note the account's present image: called after each write."""
        now = self.world.account
        if now != self.last:
            self.images.append((self.last, now, float(len(self.images) + int(self.world.now))))
            self.last = now

    def chat(self, credits: int, taken: int) -> str:
        """One settled request on credits."""
        ask = self.world.ask(chats=0, credits=credits)
        with self.world.ledger.reserve(ask, self.world.record(ask, credits=taken)) as hold:
            self.look()
            hold.record.calls.append(call())
        self.look()
        return ask.request_id


def journal(world: World, client: object = None) -> Journal:
    client = client or world.client
    stores = BookStore(client, "quotas", "credits"), UsageStore(client, "usage")  # type: ignore[arg-type]
    return Journal(*stores, sleep=lambda _: None)


@pytest.fixture
def stream(client: Faulty) -> Stream:
    world = World(client)
    world.ledger.open_account(world.tenant, replace(LIMITS, free_credits_per_month=100, requests_per_day_per_site=500))
    return Stream(world)


def test_lines_say_what_was_taken_from_what_and_what_is_left(stream: Stream) -> None:
    world = stream.world
    bought = world.give_credits(50, type="PURCHASE", kind="purchased", paid=1_000, currency="JPY", entry_id="PUR#1")
    stream.look()
    first = stream.chat(credits=20, taken=15)
    second = stream.chat(credits=90, taken=90)
    world.credits.withdraw(world.tenant.tenant_id, Withdrawal("REF#1", "REFUND", 10, bought.entry_id, paid=200))
    stream.look()
    for image in stream.images:
        journal(world).note(*image)
    entries = world.entries()
    told = {entry_id: (entry.credits, entry.balance_after) for entry_id, entry in entries.items()}
    assert told == {
        "RESET#2026-11": (100, 100),
        "PUR#1": (50, 150),
        f"USE#{first}": (-15, 135),
        f"USE#{second}": (-90, 45),
        "REF#1": (-10, 35),
    }
    assert sum(entry.credits for entry in entries.values()) == world.account.balance
    splits = world.credits.splits(world.tenant.tenant_id, list(entries.values()))
    assert splits[f"USE#{first}"].by_kind == {"granted": 15}
    assert splits[f"USE#{second}"].by_kind == {"granted": 85, "purchased": 5}
    assert splits[f"USE#{second}"].paid == {"JPY": Decimal(100)}
    assert entries[f"USE#{first}"].function_type == "chatbot"


def test_repeats_in_any_batches_change_nothing(stream: Stream) -> None:
    world, dice = stream.world, random.Random(7)
    for number in range(12):
        stream.chat(credits=6, taken=dice.randint(1, 6))
        if number == 5:
            world.now = at("2026-12-01T00:00:05")
            world.credits.turn(world.tenant.tenant_id)
            stream.look()
    for image in stream.images:
        journal(world).note(*image)
    once = world.entries()
    for _ in range(5):
        start = dice.randrange(len(stream.images))
        for image in stream.images[start:]:
            journal(world).note(*image)
    assert world.entries() == once
    assert sum(entry.credits for entry in once.values()) == world.account.balance
    ordered = sorted((entry for entry in once.values() if entry.start is not None), key=lambda entry: entry.start or 0)
    for entry, following in itertools.pairwise(ordered):
        assert (entry.start or 0) - entry.credits == following.start


def test_a_consumer_that_dies_anywhere_is_finished_by_the_next(stream: Stream) -> None:
    world = stream.world
    world.give_credits(30)
    stream.look()
    stream.chat(credits=5, taken=5)
    for image in stream.images:
        for number in range(8):
            process = Faulty(world.client)
            process.plan = {number: "crash_after"}
            try:
                journal(world, process).note(*image)
            except Crash:
                continue
            break
        journal(world).note(*image)
    balances = [entry.balance_after for entry in world.entries().values()]
    assert sorted(balances) == [100, 125, 130]  # type: ignore[type-var]


def test_a_settle_during_a_fold_belongs_to_the_lots_that_the_fold_left(stream: Stream) -> None:
    """The images name positions, so the split is right whichever of the two came first."""
    world = stream.world
    stream.chat(credits=10, taken=10)
    ask = world.ask(chats=0, credits=10)
    with world.ledger.reserve(ask, world.record(ask, credits=10)) as hold:
        stream.look()
        hold.record.calls.append(call())
        world.give_credits(5, kind="granted", expires_at=int(world.now) + 60)
        stream.look()
    stream.look()
    for image in stream.images:
        journal(world).note(*image)
    splits = world.credits.splits(world.tenant.tenant_id, list(world.entries().values()))
    assert splits[f"USE#{ask.request_id}"].by_kind == {"granted": 10}
    assert world.books.left(world.account.credits_used)[0].remaining == 85
