"""Rows that follow Stripe: whoever has read something older than what stands writes nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from bench.stripe_rig import TENANT
from noren.billing.order_store import OrderStore
from noren.billing.orders import Buyer, Contest, Order, Subscribed
from tests.faults import Faulty, emulator_client, make_table

ID = TENANT.tenant_id
ORDER = Order("ord_1", ID, "pkg_1", 500, 1_500, "JPY", "cus_1", False, "card", 180, 1, "user:aya")
ROWS: dict[str, tuple[Any, Callable[[OrderStore, Any], Any], Callable[[OrderStore], Any], str]] = {
    "order": (ORDER, OrderStore.put_order, lambda store: store.order(ID, "ord_1"), "error"),
    "subscribed": (Subscribed(ID, "cus_1"), OrderStore.put_subscribed, lambda store: store.subscribed(ID), "plan"),
    "contest": (Contest("dp_1", ID, "", ""), OrderStore.put_contest, lambda store: store.contest(ID, "dp_1"), "status"),
    "buyer": (Buyer(), lambda s, row: s.put_buyer(ID, row), lambda store: store.buyer(ID), "claim"),
}


@pytest.fixture
def client(aws: str) -> Any:
    client = emulator_client()
    make_table(client, "billing")
    return client


@pytest.mark.parametrize(("row", "put", "get", "field"), ROWS.values(), ids=ROWS)
def test_a_stale_reader_never_overwrites(client: Any, row: Any, put: Any, get: Any, field: str) -> None:
    store = OrderStore(client, "billing")
    first = put(store, replace(row, **{field: "first"}))
    second = put(store, replace(first, **{field: "second"}))
    assert (first.version, second.version) == (1, 2)
    for stale in (row, first):
        assert put(store, replace(stale, **{field: "stale"})) is None
    assert put(store, replace(second, version=7, **{field: "from nowhere"})) is None
    assert get(store) == second


@pytest.mark.parametrize(("row", "put", "get", "field"), ROWS.values(), ids=ROWS)
def test_of_many_that_have_read_the_same_one_writes(client: Any, row: Any, put: Any, get: Any, field: str) -> None:
    store, gate = OrderStore(client, "billing"), threading.Barrier(8)
    read = put(store, row)

    def write(number: int) -> Any:
        gate.wait(30)
        return put(store, replace(read, **{field: f"writer {number}"}))

    with ThreadPoolExecutor(8) as pool:
        written = [each for each in pool.map(write, range(8)) if each]
    assert len(written) == 1
    assert get(store) == written[0]


@pytest.mark.parametrize(("row", "put", "get", "field"), ROWS.values(), ids=ROWS)
def test_a_write_that_the_client_repeats_is_ones_own(client: Any, row: Any, put: Any, get: Any, field: str) -> None:
    faulty: Any = Faulty(client)
    faulty.plan = {0: "twice"}
    written = put(OrderStore(faulty, "billing"), replace(row, **{field: "mine"}))
    assert written
    assert get(OrderStore(client, "billing")) == written


def test_a_row_of_an_older_kind_is_read(client: Any) -> None:
    """Fields that came later have their defaults."""
    store = OrderStore(client, "billing")
    store.put_order(ORDER)
    client.update_item(
        TableName="billing",
        Key={"pk": {"S": f"ORDER#{ID}"}, "sk": {"S": "ord_1"}},
        UpdateExpression="REMOVE refunded SET something_else = :x",
        ExpressionAttributeValues={":x": {"S": "x"}},
    )
    assert store.order(ID, "ord_1") == replace(ORDER, version=1)
