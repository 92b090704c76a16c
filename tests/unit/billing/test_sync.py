"""What events that never came have left different is found, told, and put right."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from bench.stripe_flows import (
    BY_CARD,
    IN_APP,
    Step,
    buy,
    decided,
    dispute,
    pay_invoice,
    pay_page,
    refund,
)
from bench.stripe_orders import orderly
from bench.stripe_rig import DAY, TENANT, Rig
from noren.billing.settlement import Settlement
from noren.billing.sync import Sync
from noren.ids import TenantId
from noren.metrics import Measured


def sync(rig: Rig, *more: TenantId) -> Sync:
    def tenants() -> Iterator[TenantId]:
        yield from (*more, rig.tenant_id)

    return Sync(rig.process.settlement, rig.process.store, tenants, rig.stripe.world.now)


UNHEARD: dict[str, tuple[tuple[Step, ...], tuple[Step, ...], list[str]]] = {
    "a plan": ((), IN_APP, ["subscription", "plan", "status", "period_end"]),
    "an end": (IN_APP, (lambda rig: rig.api.subscriptions.cancel(rig.last("subscription")["id"]),), ["status"]),
    "a page": ((), (buy(), pay_page()), ["order"]),
    "a page left": ((), (buy(), lambda rig: rig.stripe.advance(2 * DAY)), ["order"]),
    "a card": ((), (BY_CARD,), ["order"]),
    "an invoice": ((), (buy("invoice"), pay_invoice("pm_card_visa")), ["order"]),
    "a refund": ((BY_CARD,), (refund(500),), ["order"]),
    "a dispute": ((BY_CARD,), (dispute,), ["dispute"]),
    "a dispute's end": ((BY_CARD, dispute), (decided("won"),), ["dispute"]),
    "the end of one about a plan": ((*IN_APP, dispute), (decided("won"),), ["dispute"]),
}


@pytest.mark.parametrize(("given", "steps", "told"), UNHEARD.values(), ids=UNHEARD)
def test_what_was_not_heard_is_found_told_and_put_right(
    given: tuple[Step, ...], steps: tuple[Step, ...], told: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    heard = Rig()
    orderly(heard, given)
    orderly(heard, steps)
    rig = Rig()
    orderly(rig, given)
    rig.process = rig.new_process(deaf=True)
    for step in steps:
        step(rig)
    rig.process = rig.new_process()
    assert rig.state() != heard.state()
    with caplog.at_level(logging.ERROR, "noren.billing"):
        found = sync(rig).one(rig.tenant_id)
    assert rig.state() == heard.state()
    assert [each.split()[0].rstrip(":") for each in found] == told
    counted = [record for record in caplog.records if isinstance(getattr(record, "metrics", None), Measured)]
    assert len(counted) == len(told)
    assert sync(rig).one(rig.tenant_id) == []


def test_a_tenant_without_a_customer_is_passed_over() -> None:
    assert sync(Rig()).one(TENANT.tenant_id) == []


def test_one_tenants_trouble_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig()
    rig.process = rig.new_process(deaf=True)
    BY_CARD(rig)
    rig.process = rig.new_process()
    other = TenantId("ten_" + "8" * 32)
    subscribed = rig.process.store.subscribed

    def fails(tenant_id: TenantId) -> object:
        if tenant_id == other:
            raise OSError
        return subscribed(tenant_id)

    monkeypatch.setattr(rig.process.store, "subscribed", fails)
    report = sync(rig, other).all()
    assert (report.tenants, report.failures, report.finished, len(report.differences)) == (2, 1, True, 1)
    with pytest.raises(RuntimeError, match="1 of 2"):
        report.told()


def test_a_run_that_has_no_time_left_says_so() -> None:
    report = sync(Rig()).all(seconds=0)
    assert (report.finished, report.tenants) == (False, 0)


def test_orders_that_can_come_to_nothing_any_more_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig()
    orderly(rig, (BY_CARD, buy("invoice", key="k2")))
    rig.stripe.advance(41 * DAY)
    looked: list[str] = []
    order = Settlement.order

    def noted(self: Settlement, each: object) -> object:
        looked.append(getattr(each, "method", ""))
        return order(self, each)  # type: ignore[arg-type]

    monkeypatch.setattr(Settlement, "order", noted)
    sync(rig).one(rig.tenant_id)
    assert looked == ["invoice"]  # it may still be paid
