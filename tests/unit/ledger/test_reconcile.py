"""Reconciliation finds each kind of difference, and none where all is well, however busy the tenant is."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from noren import tables
from noren.ledger.book_store import BookStore
from noren.ledger.reconcile import LAG_SECONDS, Reconciler
from noren.ledger.store import LedgerStore
from noren.usage.store import UsageStore
from tests.faults import Faulty
from tests.unit.ledger.conftest import LIMITS, World, at
from tests.unit.ledger.test_journal import Stream, journal

MANY = replace(
    LIMITS,
    chats_per_month=100_000,
    free_credits_per_month=200,
    concurrent_chats=50,
    requests_per_day_per_site=100_000,
)


@pytest.fixture
def world(client: Faulty) -> World:
    """A tenant that has used plan chats and credits over a month's end, with a chat under way."""
    world = World(client)
    world.ledger.open_account(world.tenant, MANY)
    stream = Stream(world)
    for number in range(8):
        world.chat(embedding_tokens=20)
        stream.chat(credits=6, taken=number % 6 + 1)
        if number == 4:
            world.now = at("2026-12-01T00:00:05")
            world.credits.turn(world.tenant.tenant_id)
            stream.look()
    world.give_credits(40)
    world.abandon()
    stream.look()
    for image in stream.images:
        journal(world).note(*image)
    return world


def reconciler(world: World) -> Reconciler:
    client = world.client
    stores = LedgerStore(client, "quotas"), BookStore(client, "quotas", "credits"), UsageStore(client, "usage")
    return Reconciler(*stores, clock=lambda: world.now, sleep=lambda _: None)


def differing(world: World) -> set[str]:
    return {each.what for each in reconciler(world).examine(world.tenant.tenant_id)}


def spoil(world: World, table: str, key: dict[str, str], change: str, value: int) -> None:
    world.client.update_item(
        TableName=table,
        Key=tables.to_item(key),
        UpdateExpression=change,
        ExpressionAttributeValues={":n": {"N": str(value)}},
    )


def account(world: World, change: str, value: int = 1) -> None:
    key = {"pk": tables.tenant_key(world.tenant.tenant_id, "ACC"), "sk": "0"}
    spoil(world, "quotas", key, change, value)


def forget_a_line(world: World) -> None:
    page = world.client.query(
        TableName="credits",
        KeyConditionExpression="pk = :p",
        ExpressionAttributeValues={":p": {"S": tables.tenant_key(world.tenant.tenant_id, "TX")}},
    )["Items"]
    line = next(item for item in page if "start" in item)
    world.client.delete_item(TableName="credits", Key={"pk": line["pk"], "sk": line["sk"]})


def lose_a_lot(world: World) -> None:
    key = {
        "pk": tables.tenant_key(world.tenant.tenant_id, "LOTS"),
        "sk": f"V#{world.books.version:012d}",
    }
    spoil(world, "credits", key, "SET lots[0].remaining = lots[0].remaining - :n", 3)


def wait(world: World) -> None:
    world.now += LAG_SECONDS + 1000


CASES: list[tuple[Callable[[World], Any], set[str]]] = [
    (lambda world: account(world, "SET qc = qc + :n"), {"chats used"}),
    (lambda world: account(world, "SET et = et - :n"), {"embedding tokens used"}),
    (lambda world: account(world, "SET av = av + :n"), {"credits in lots", "balance by entries"}),
    (
        lambda world: account(world, "SET u = u + :n"),
        {"credits in lots", "balance by entries"},
    ),
    (lambda world: account(world, "SET dbt = dbt + :n"), {"balance by entries"}),
    (lose_a_lot, {"credits in lots"}),
    (wait, {"hold of a request that is gone"}),
    (forget_a_line, {"position of an entry"}),
]


def test_nothing_differs_where_all_is_well(world: World) -> None:
    assert differing(world) == set()


@pytest.mark.parametrize(("broken", "found"), CASES)
def test_each_kind_of_difference_is_found(world: World, broken: Callable[[World], Any], found: set[str]) -> None:
    broken(world)
    assert differing(world) == found


def test_a_missing_line_of_an_old_request_is_named(world: World) -> None:
    forget_a_line(world)
    world.ledger.sweep(world.tenant.tenant_id)
    wait(world)
    world.ledger.sweep(world.tenant.tenant_id)
    assert "position of an entry" in differing(world)


def test_a_busy_tenant_shows_no_difference(world: World) -> None:
    world.now += 1
    stop = threading.Event()

    def chats() -> None:
        dice = random.Random(3)
        while not stop.is_set():
            world.chat(release=dice.random() < 0.2)

    busy = threading.Thread(target=chats)
    busy.start()
    try:
        assert all(not reconciler(world).examine(world.tenant.tenant_id) for _ in range(5))
    finally:
        stop.set()
        busy.join()


def test_all_accounts_once_a_day(world: World) -> None:
    first = reconciler(world).examine_all(day="2026-12-02")
    assert first.finished
    assert first.accounts >= 1
    assert reconciler(world).examine_all(day="2026-12-02").accounts == 0
    assert reconciler(world).examine_all(day="2026-12-03").accounts == first.accounts
