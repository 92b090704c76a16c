"""The function on the stream of admission items: order kept, the first failure and what follows come again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from noren import ids, tables
from noren.edge.events import Context
from noren.ids import TenantId
from noren.ledger import account as rules
from noren.ledger.account import Account
from noren.ledger.store import opening_item
from quota_stream import main
from tests.unit.ledger.conftest import LIMITS, at

NOW = int(at("2026-11-01T10:00:00"))
ITEM = tables.to_item(opening_item(rules.opened(TenantId(ids.new_id("ten")), "Asia/Tokyo", LIMITS, NOW)))
JOB = tables.to_item({"pk": "SWEEP", "sk": "0", "position": "", "day": ""})


class Desk:
    """Journal and watch; both fail at the change of that number."""

    def __init__(self, fails_at: int = -1) -> None:
        self.seen: list[tuple[bool, float]] = []
        self.watched = 0
        self.fails_at = fails_at

    @property
    def services(self) -> Any:
        return SimpleNamespace(journal=SimpleNamespace(note=self.note), limit_watch=SimpleNamespace(note=self.watch))

    def note(self, before: Account | None, after: Account, at: float) -> None:
        if len(self.seen) == self.fails_at:
            raise OSError
        self.seen.append((before is not None, at))

    def watch(self, before: Account, after: Account) -> None:
        self.watched += 1


def run(monkeypatch: pytest.MonkeyPatch, desk: Desk, images: list[tuple[Any, Any]]) -> dict[str, Any]:
    records = []
    for number, (old, new) in enumerate(images):
        change = {"SequenceNumber": str(number), "ApproximateCreationDateTime": NOW + number}
        change |= ({"OldImage": old} if old else {}) | ({"NewImage": new} if new else {})
        records.append({"dynamodb": change})
    monkeypatch.setattr(main, "SERVICES", desk.services)
    return main.handler({"Records": records}, cast(Context, None))


def test_accounts_are_noted_and_other_items_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk()
    result = run(monkeypatch, desk, [(None, ITEM), (ITEM, ITEM), (JOB, JOB), (ITEM, None)])
    assert result == {"batchItemFailures": []}
    assert desk.seen == [(False, NOW), (True, NOW + 1)]
    assert desk.watched == 1


def test_the_first_failure_comes_again_with_all_that_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(fails_at=1)
    result = run(monkeypatch, desk, [(None, ITEM), (ITEM, ITEM), (ITEM, ITEM)])
    assert result == {"batchItemFailures": [{"itemIdentifier": "1"}]}
    assert len(desk.seen) == 1
