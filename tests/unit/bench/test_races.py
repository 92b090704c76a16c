"""The last credit, and the last chat, go to one of eight."""

from __future__ import annotations

from typing import Any

import pytest

from bench import races
from bench.containers import make_ledger_tables
from bench.wire import Wire
from noren.ledger.store import LedgerStore
from noren.usage.store import UsageStore


@pytest.fixture
def client(wire: Wire) -> Wire:
    """The ledger's tables, empty."""
    make_ledger_tables(wire)
    return wire


@pytest.mark.parametrize("kind", ["credits", "chats"])
def test_one_of_eight_gets_the_last_one(client: Wire, kind: str) -> None:
    outcome = races.race(client, kind, rounds=25, at_once=8)
    assert outcome.wrong == []
    assert outcome.answers == {"admitted": 25, kind: 175}


def test_a_ledger_that_oversells_is_seen(client: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read, think, write: what a reserve must not be."""
    whole = LedgerStore._update

    def without_a_count(self: Any, tenant_id: Any, update: str, conditions: list[str], *more: Any, **named: Any) -> Any:
        return whole(self, tenant_id, update, [each for each in conditions if each != "qc < ql"], *more, **named)

    monkeypatch.setattr(LedgerStore, "_update", without_a_count)
    outcome = races.race(client, "chats", rounds=2, at_once=4)
    assert outcome.answers["admitted"] > 2
    assert outcome.wrong


def test_a_request_that_is_charged_twice_is_seen(client: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    put = UsageStore.put_first

    def twice(self: UsageStore, record: Any) -> Any:
        record.chats *= 2
        return put(self, record)

    monkeypatch.setattr(UsageStore, "put_first", twice)
    assert races.race(client, "chats", rounds=1, at_once=2).wrong == ["2 requests are charged in 1 rounds"]
