"""Whatever comes when, and however often, a flow of billing ends in the same state (a sample of the bench)."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from bench.stripe_flows import FLOWS, Flow
from bench.stripe_orders import Effort, Outcome, in_the_cloud, measure, overtaken, run
from bench.stripe_rig import Rig
from noren.billing.settlement import Settlement
from noren.billing.stripe import Stripe

SAMPLE = Effort(exhaustive=3, orders=6, interleaved=2, stride=5)


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.name)
def test_events_come_to_the_same_in_any_order(flow: Flow) -> None:
    outcome = run(flow, SAMPLE)
    assert outcome.events >= 1
    assert outcome.tried["orders"] >= 1
    assert outcome.differences == []


def test_the_embedded_cloud_says_the_same() -> None:
    outcomes = {flow.name: Outcome(flow.name) for flow in FLOWS if "spent" in flow.name or "trial" in flow.name}
    in_the_cloud(outcomes, len(outcomes))
    assert [each.differences for each in outcomes.values()] == [[]] * len(outcomes)
    assert all(each.tried["in the cloud"] for each in outcomes.values())


def named(name: str) -> Flow:
    return next(flow for flow in FLOWS if flow.name == name)


def test_refunds_in_no_fixed_order_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    refunds = Stripe.refunds
    monkeypatch.setattr(Stripe, "refunds", lambda self, payment: refunds(self, payment)[::-1])
    assert run(named("refund of three odd parts"), SAMPLE).differences


def test_a_payment_that_outdoes_its_invoice_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def by_payment(self: Any, payment_intent: str) -> Any:
        order = self._order_of(payment_intent)
        payment = self._stripe.payment(payment_intent)
        return self._note(order, *self._status(order, payment)) if order else None

    monkeypatch.setattr(Settlement, "payment", by_payment)
    assert run(named("company invoice declined"), SAMPLE).differences


def test_what_is_old_by_the_time_it_is_written_does_not_stand() -> None:
    flow, outcome = named("cancel, resume"), Outcome("cancel, resume")
    overtaken(flow, measure(flow, Rig), Effort(), outcome)
    assert outcome.tried["overtaken"] >= 5
    assert outcome.differences == []


def test_who_writes_and_does_not_look_again_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def once(self: Any, customer: str, subscription: str = "") -> Any:
        read = self._store.subscribed(self._store.tenant_of(customer))
        now = self._subscription_now(read, subscription)
        written = read if now == read else self._store.put_subscribed(now)
        self._follow(written or read)
        return written or read

    monkeypatch.setattr(Settlement, "customer", once)
    flow, outcome = named("cancel, resume"), Outcome("cancel, resume")
    overtaken(flow, measure(flow, Rig), Effort(), outcome)
    assert outcome.differences
