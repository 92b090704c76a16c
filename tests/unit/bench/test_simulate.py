"""Three hundred histories, and that a broken ledger would show in them."""

from __future__ import annotations

import os

import pytest

from bench import simulate
from bench.history import History
from bench.wire import Wire
from noren.ledger.store import LedgerStore, Refused

HISTORIES = 300


def test_the_invariants_hold_in_all_histories() -> None:
    result = simulate.simulate(1, HISTORIES, min(2, os.cpu_count() or 1))
    assert not result.failures, simulate.report(result, 0, story=False)
    assert result.histories == HISTORIES
    least = {"storage calls": 15_000, "faults": 900, "crashes": 300, "late requests": 80, "months turned": 100}
    assert {name: count for name, count in least.items() if result.did[name] < count} == {}


def test_a_seed_tells_its_history_again(wire: Wire) -> None:
    stories = []
    for _ in range(2):
        history = History(wire, 7)
        assert history.run() == []
        stories.append(history.story)
    assert stories[0] == stories[1]
    assert len(stories[0]) > 50


def found(wire: Wire) -> str:
    """What the first history that shows anything shows."""
    for seed in range(1, 60):
        if violations := History(wire, seed).run():
            return "; ".join(violations)
    return ""


def test_a_reserve_without_its_conditions_shows(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = LedgerStore._update

    def careless(self, tenant_id, update, conditions, *more, **named):  # type: ignore[no-untyped-def]
        kept = [each for each in conditions if each != "nx > :t"]
        return whole(self, tenant_id, update, kept, *more, **named)

    monkeypatch.setattr(LedgerStore, "_update", careless)
    assert "succeeded at or past" in found(wire)


def test_a_settle_that_forgets_what_it_took_shows(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = LedgerStore.apply

    def generous(self, tenant_id, key, held, used, **named):  # type: ignore[no-untyped-def]
        return whole(self, tenant_id, key, held, None, **named)

    monkeypatch.setattr(LedgerStore, "apply", generous)
    assert "decided" in found(wire)


def test_a_denial_for_nothing_shows(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = LedgerStore.reserve

    def mean(self, ask, key, held):  # type: ignore[no-untyped-def]
        account = self.get(ask.tenant_id)
        if account and account.holds:
            raise Refused(type(account)(**{n: getattr(account, n) for n in account.__slots__} | {"active": False}))
        return whole(self, ask, key, held)

    monkeypatch.setattr(LedgerStore, "reserve", mean)
    assert "that had what it needed" in found(wire)
