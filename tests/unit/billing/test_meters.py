"""Metered use: counted once by its identifier, however often it is reported; what is missing or doubled is found."""

from __future__ import annotations

import pytest

from bench.stripe_rig import DAY, Rig, customer_of
from noren.billing.meters import EVENT_NAME, OLDEST_SECONDS, Metered, Meters
from noren.billing.stripe import Stripe
from noren.errors import Conflict, NorenError, Unprocessable


class Calls:
    """A meter, and the calls that were logged."""

    def __init__(self) -> None:
        self.rig = Rig()
        self.rig.billing.customer_of(self.rig.tenant)
        self.customer = customer_of(self.rig)
        aggregation = {"default_aggregation": {"formula": "sum"}, "display_name": "Calls", "event_name": EVENT_NAME}
        self.meter = self.rig.api.billing.meters.create(aggregation).id
        self.stripe = self.rig.process.billing._stripe
        assert isinstance(self.stripe, Stripe)
        self.meters = Meters(self.stripe, self.rig.process.store, self.rig.stripe.world.now)
        self.start = self.rig.stripe.world.now() // 60 * 60 - 3600
        self.end = self.start + 7200

    def call(self, number: int, seconds: int = 100) -> Metered:
        return Metered(f"call_{number}", self.customer, seconds, self.rig.stripe.world.now())

    def compared(self, *logged: Metered) -> tuple[int, int]:
        found = self.meters.compare(self.meter, self.customer, logged, self.start, self.end)
        assert found.is_equal == (found.logged == found.reported)
        return found.logged, found.reported


@pytest.mark.parametrize("later", [0, 2 * DAY])
def test_a_call_counts_once_however_often_and_late_it_is_reported(later: int) -> None:
    calls = Calls()
    call = calls.call(1)
    calls.meters.report(call)
    calls.rig.stripe.advance(later)  # Stripe has forgotten key and identifier by then
    for _ in range(3):
        calls.meters.report(call)
    assert calls.compared(call) == (100, 100)


def test_an_answer_that_is_lost_bills_nothing_twice() -> None:
    calls = Calls()
    calls.rig.stripe.faults.plan(after=True, path="/v1/billing/meter_events", times=3)
    with pytest.raises(NorenError):
        calls.meters.report(calls.call(1))
    calls.meters.report(calls.call(1))
    assert calls.compared(calls.call(1)) == (100, 100)


def test_a_report_of_which_nobody_knows_any_more_is_left_to_the_comparison() -> None:
    calls = Calls()
    call = calls.call(1)
    calls.rig.stripe.faults.plan(after=True, path="/v1/billing/meter_events", times=3)
    with pytest.raises(NorenError):
        calls.meters.report(call)
    calls.rig.stripe.advance(2 * DAY)
    with pytest.raises(Conflict) as refused:
        calls.meters.report(call)
    assert refused.value.code == "report_unclear"
    assert calls.compared(call) == (100, 100)


def test_what_stripe_refuses_for_another_reason_is_not_taken_for_reported() -> None:
    calls = Calls()
    with pytest.raises(NorenError):
        calls.stripe.report("no_such_meter", calls.customer, 1, "call_1", calls.rig.stripe.world.now())
    with pytest.raises(NorenError):
        calls.stripe.report(EVENT_NAME, calls.customer, 1, "call_2", calls.rig.stripe.world.now() + DAY)
    calls.meters.report(calls.call(3))
    with pytest.raises(NorenError):  # another use under an identifier that is taken
        calls.stripe.report(EVENT_NAME, calls.customer, 7, "call_3", calls.rig.stripe.world.now())


def test_older_than_35_days_is_not_reported() -> None:
    calls = Calls()
    call = calls.call(1)
    calls.rig.stripe.advance(OLDEST_SECONDS)
    calls.meters.report(call)
    calls.rig.stripe.advance(1)
    with pytest.raises(Unprocessable) as refused:
        calls.meters.report(Metered("call_2", calls.customer, 1, call.at))
    assert refused.value.code == "too_old_to_report"
    with pytest.raises(Unprocessable):
        calls.meters.report(calls.call(3, -1))


def test_a_lost_and_a_doubled_report_are_found() -> None:
    calls = Calls()
    first, second = calls.call(1), calls.call(2, 50)
    calls.meters.report(first)
    assert calls.compared(first, second) == (150, 100)
    calls.meters.report(second)
    assert calls.compared(first, second, first) == (150, 150)
    calls.stripe.report(EVENT_NAME, calls.customer, 100, "call_1 once more", first.at)
    assert calls.compared(first, second) == (150, 250)
    every = calls.meters.compare_all(calls.meter, [calls.customer], lambda _: [first, second], calls.start, calls.end)
    assert list(every) == [calls.customer]
    assert calls.compared(first, second, calls.call(3)) == (250, 250)  # sums can hide: that is why calls are logged
