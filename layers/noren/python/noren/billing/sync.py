"""Derives tenants from Stripe anew: what lost or late events have left different is found, told, and put right.

Stripe is the source of truth for payments, so bringing us in line with it is no silent repair of our own books: each
difference is logged and counted for the alarm.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from noren.billing.order_store import OrderStore
from noren.billing.orders import Order, Subscribed
from noren.billing.settlement import Settlement
from noren.clock import Clock
from noren.ids import TenantId
from noren.metrics import measured

PAGE = 100
LOOKED_BACK = 40 * 86_400
"""Orders older than this have been looked at often enough."""
OPEN = ("open", "requires_action")

_log = logging.getLogger("noren.billing")


@dataclass(slots=True)
class Report:
    """What a run found. `finished` is False where the time ran out."""

    tenants: int = 0
    differences: list[str] = field(default_factory=list)
    failures: int = 0
    finished: bool = True

    def told(self) -> dict[str, Any]:
        """As a function's answer. Raises RuntimeError where tenants failed, so that the run counts as failed."""
        if self.failures:
            raise RuntimeError(f"{self.failures} of {self.tenants} tenants could not be compared")
        return asdict(self)


class Sync:
    """`tenants` lists all tenants; each is looked at by itself."""

    def __init__(
        self, settlement: Settlement, store: OrderStore, tenants: Callable[[], Iterator[TenantId]], clock: Clock
    ) -> None:
        self._settlement, self._store, self._tenants, self._clock = settlement, store, tenants, clock

    def one(self, tenant_id: TenantId) -> list[str]:
        """Bring one tenant in line; what was different. Paid orders are looked at again: for refunds."""
        before = self._store.subscribed(tenant_id)
        if before is None or not before.customer:
            return []
        known = {each.dispute_id: each.status for each in self._store.contests(tenant_id)}
        found = _changed(before, self._settlement.customer(before.customer))
        for order in self._orders(tenant_id):
            after = self._settlement.order(order)
            if after.status != order.status:
                found.append(f"order {order.order_id}: {order.status}, at Stripe {after.status}")
            if after.refunded != order.refunded:
                found.append(f"order {order.order_id}: {order.refunded} refunded, at Stripe {after.refunded}")
        found += self._disputes(tenant_id, known)
        for each in found:
            fields = {"tenant": tenant_id, "what": each}
            _log.error("Stripe says otherwise", extra=measured(fields, PaymentsDiffer=1))
        return found

    def _disputes(self, tenant_id: TenantId, known: dict[str, str]) -> list[str]:
        """How disputes differ from what was known of them; an order's have been looked at with it."""
        for each in self._store.contests(tenant_id):
            if each.is_open:
                self._settlement.dispute(each.dispute_id)
        now = {each.dispute_id: each.status for each in self._store.contests(tenant_id)}
        changed = [(each, status) for each, status in now.items() if status != known.get(each)]
        return [f"dispute {each}: {known.get(each)}, at Stripe {status}" for each, status in changed]

    def all(self, seconds: float | None = None) -> Report:
        """Bring every tenant that has a customer in line. One tenant's trouble stops no other's."""
        ends = None if seconds is None else self._clock() + seconds
        report = Report()
        for tenant_id in self._tenants():
            if ends is not None and self._clock() >= ends:
                report.finished = False
                break
            report.tenants += 1
            try:
                report.differences += [f"{tenant_id} {each}" for each in self.one(tenant_id)]
            except Exception:
                report.failures += 1
                _log.exception("%s could not be compared with Stripe", tenant_id)
        return report

    def _orders(self, tenant_id: TenantId) -> Iterator[Order]:
        since = self._clock() - LOOKED_BACK
        position: str | None = None
        while True:
            page, position = self._store.orders(tenant_id, PAGE, position)
            yield from (each for each in page if each.created_at >= since or _may_be_paid(each))
            if position is None:
                return


def _may_be_paid(order: Order) -> bool:
    return order.status in OPEN and bool(order.payment_intent or order.session or order.invoice)


def _changed(before: Subscribed, after: Subscribed | None) -> list[str]:
    """In which of its facts a subscription was not as Stripe has it."""
    if after is None:
        return []
    names = ("subscription", "plan", "status", "period_end", "cancel_at_period_end", "next_plan")
    differing = [name for name in names if getattr(before, name) != getattr(after, name)]
    return [f"{name}: {getattr(before, name)!r}, at Stripe {getattr(after, name)!r}" for name in differing]
