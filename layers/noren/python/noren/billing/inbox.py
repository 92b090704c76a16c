"""Stripe's webhook: verified, noted once, queued, answered. What an event says is looked up when it is worked on."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

from noren.billing.order_store import OrderStore
from noren.billing.stripe import signed_at
from noren.clock import Clock
from noren.errors import BadRequest
from noren.queues import Queue

TOLERANCE_SECONDS = 300
"""How far a signature's time may be from ours, in the past or in the future."""
HANDLED = frozenset(
    {
        *(f"checkout.session.{each}" for each in ("completed", "async_payment_succeeded", "async_payment_failed")),
        "checkout.session.expired",
        *(f"customer.subscription.{each}" for each in ("created", "updated", "deleted", "trial_will_end")),
        *(f"customer.subscription.{each}" for each in ("paused", "resumed")),
        *(f"invoice.{each}" for each in ("paid", "payment_failed", "payment_action_required", "finalized", "voided")),
        *(f"payment_intent.{each}" for each in ("succeeded", "payment_failed", "requires_action")),
        "setup_intent.succeeded",
        "payment_method.detached",
        "charge.refunded",
        *(f"charge.dispute.{each}" for each in ("created", "closed")),
        "customer.deleted",
    }
)
"""Types that mean something here; others are acknowledged and passed over."""

_log = logging.getLogger("noren.billing")


class Inbox:
    """Takes events in. Raises RuntimeError at once where there is no secret: without one anybody could write."""

    def __init__(self, secret: str, is_live: Callable[[], bool], store: OrderStore, queue: Queue, clock: Clock) -> None:
        if not secret.strip():
            raise RuntimeError("There is no webhook secret: `noren secrets set stripe_webhook_secret`.")
        self._secret, self._is_live, self._store, self._queue, self._clock = secret, is_live, store, queue, clock

    def take(self, body: bytes, signature: str) -> str:
        """One delivery: `queued`, `known` or `ignored`. Raises BadRequest where it isn't Stripe's or of our mode."""
        event = self._verified(body, signature)
        if event.get("livemode") is not self._is_live():
            raise BadRequest("This event is of the other mode.", code="wrong_mode")
        event_id, type = event.get("id"), event.get("type")
        thing = (event.get("data") or {}).get("object")
        if not isinstance(event_id, str) or not isinstance(type, str) or not isinstance(thing, dict):
            raise BadRequest("This is no event.", code="not_an_event")
        if type not in HANDLED:
            return "ignored"
        if not self._store.put_event(event_id, type, int(self._clock())):
            return "known"
        self._queue.send({"event": event_id, "type": type, "refs": _refs(thing)})
        self._store.mark_queued(event_id)
        return "queued"

    def _verified(self, body: bytes, signature: str) -> dict[str, Any]:
        try:
            if abs(self._clock() - signed_at(body, signature, self._secret)) > TOLERANCE_SECONDS:
                raise ValueError("too old, or of the future")
            event = json.loads(body)
        except ValueError as error:
            raise BadRequest("The signature does not fit.", code="invalid_signature") from error
        if not isinstance(event, dict):
            raise BadRequest("This is no event.", code="not_an_event")
        return event


def _refs(thing: dict[str, Any]) -> dict[str, str]:
    """What an event's object is and points to: ids alone."""
    refs = {"id": thing.get("id"), "object": thing.get("object"), "mode": thing.get("mode")}
    for name in ("customer", "payment_intent", "charge", "subscription", "setup_intent", "invoice"):
        value = thing.get(name)
        refs[name] = value.get("id") if isinstance(value, dict) else value
    return {name: value for name, value in refs.items() if isinstance(value, str)}
