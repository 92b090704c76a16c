"""One item takes what docs/scale.md says, and the page says what is computed."""

from __future__ import annotations

from typing import Any

import pytest

from bench import hot_tenant
from bench.hot_tenant import Sizes
from bench.wire import Wire
from noren.ledger.models import Denied
from noren.ledger.service import Ledger


def test_the_document_states_what_is_computed() -> None:
    stated = hot_tenant.DOCUMENT.read_text().partition(hot_tenant.BEGIN)[2].partition(hot_tenant.END)[0]
    assert hot_tenant.computed_part() in stated, "python -m bench.hot_tenant --write renews docs/scale.md"


def test_50_chats_a_second_of_2_seconds_are_within_the_budget() -> None:
    for credits in (False, True):
        assert hot_tenant.sizes_of(credits=credits).units_a_second(50, 2) <= hot_tenant.BUDGET


def test_units_follow_from_bytes_and_open_holds() -> None:
    sizes = Sizes(base=300, hold=50)
    assert [sizes.units(holds) for holds in (0, 14, 15, 100)] == [1, 1, 2, 6]
    assert sizes.units_a_second(50, 2) == 600
    assert sizes.units_a_second(sizes.most(2), 2) <= 800 < sizes.units_a_second(sizes.most(2) + 1, 2)


def test_a_hot_tenant_loses_none_and_is_denied_none(wire: Wire) -> None:
    done = hot_tenant.run(wire, rate=30, seconds=1.5, answer=0.5)
    assert done.wrong == []
    assert (done.begun, done.outcomes) == (45, {"settled": 45})
    assert len(done.sizes) == 90 <= done.writes_asked
    assert max(done.holds) >= 10
    assert 90 <= done.units <= 300
    assert "yes" in hot_tenant.report(done, 0.5)


def test_a_denial_and_a_lost_chat_are_seen(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    admit = Ledger._admit

    def sometimes(self: Ledger, ask: Any, record: Any) -> Any:
        if ask.request_id[-1] in "01234567":
            raise Denied("concurrency")
        return admit(self, ask, record)

    monkeypatch.setattr(Ledger, "_admit", sometimes)
    done = hot_tenant.run(wire, rate=40, seconds=1, answer=0)
    assert done.outcomes["concurrency"] > 0
    assert any(each.startswith("chats settled") for each in done.wrong)
