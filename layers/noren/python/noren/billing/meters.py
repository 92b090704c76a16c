"""Metered minutes: reported to Stripe by the call's own id, so that a retry never bills twice; our ledger is the truth.

Call seconds come with voice (chapter 7); this is what it reports by and compares with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from noren.billing.order_store import OrderStore
from noren.billing.stripe import Stripe
from noren.clock import Clock
from noren.errors import Conflict, Unprocessable

EVENT_NAME = "noren_call_seconds"
OLDEST_SECONDS = 35 * 86_400
"""Stripe takes no event older than this."""
UNIQUE_SECONDS = 82_800
"""For a day Stripe knows an identifier again; an hour is kept for what is under way."""


@dataclass(frozen=True, slots=True)
class Metered:
    """One thing that was used. `identifier` names it for ever."""

    identifier: str
    customer: str
    value: int
    at: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """What we logged and what Stripe has counted."""

    logged: int
    reported: int

    @property
    def is_equal(self) -> bool:
        """Whether nothing is missing and nothing is counted twice."""
        return self.logged == self.reported


class Meters:
    """Reports and compares."""

    def __init__(self, stripe: Stripe, store: OrderStore, clock: Clock) -> None:
        self._stripe, self._store, self._clock = stripe, store, clock

    def report(self, used: Metered) -> None:
        """Report one use; repeating it is safe. Raises Unprocessable for what Stripe no longer takes.

        Raises Conflict where nobody knows whether an earlier report arrived and Stripe can't tell any more: then the
        nightly comparison has the last word.
        """
        if used.at < self._clock() - OLDEST_SECONDS:
            raise Unprocessable("This is older than 35 days: bill it by an invoice.", code="too_old_to_report")
        if used.value < 0:
            raise Unprocessable("Nobody uses less than nothing.", code="negative_usage")
        now = int(self._clock())
        begun, done = self._store.begin_report(used.identifier, now)
        if done:
            return
        if now - begun > UNIQUE_SECONDS:
            raise Conflict("Whether this has been reported is not known: compare.", code="report_unclear")
        self._stripe.report(EVENT_NAME, used.customer, used.value, used.identifier, used.at)
        self._store.end_report(used.identifier)

    def compare(self, meter: str, customer: str, logged: Iterable[Metered], start: int, end: int) -> Comparison:
        """What was logged in [start, end) (whole minutes) against what Stripe has counted."""
        ours = {each.identifier: each.value for each in logged if start <= each.at < end}
        return Comparison(sum(ours.values()), self._stripe.reported(meter, customer, start, end))

    def compare_all(
        self, meter: str, customers: Iterable[str], logged: Callable[[str], Iterable[Metered]], start: int, end: int
    ) -> dict[str, Comparison]:
        """Every customer whose counts differ."""
        compared = {each: self.compare(meter, each, logged(each), start, end) for each in customers}
        return {customer: found for customer, found in compared.items() if not found.is_equal}
