"""From one event to a delivery for each endpoint that wants it: exactly one, however often the event is seen."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from noren.clock import iso
from noren.ids import TenantId, is_id
from noren.insight.models import Event
from noren.queues import Queue
from noren.webhooks.delivery_store import DeliveryStore
from noren.webhooks.models import TEST, TYPE_OF, Delivery, Endpoint
from noren.webhooks.store import EndpointStore

Lane = tuple[TenantId, str]

_log = logging.getLogger("noren.webhooks")


class Fanout:
    """Puts deliveries into the queues of endpoints. What is in the table is sent; a message only says it sooner."""

    def __init__(self, endpoints: EndpointStore, deliveries: DeliveryStore, queue: Queue) -> None:
        self._endpoints, self._deliveries, self._queue = endpoints, deliveries, queue

    def spread(self, event: Event, now: float) -> list[Lane]:
        """Add the event's deliveries; the endpoints that got one. Raises what storage raises: then repeat it."""
        event_type = TYPE_OF.get(event.kind)
        if event_type is None:
            return []
        lanes = []
        for endpoint in self._endpoints.every(event.tenant_id):
            wanted = endpoint.enabled and event_type in endpoint.event_types
            if not wanted or int(event.occurred_at) < endpoint.created_at:
                continue
            if self._deliveries.add(made(event, event_type, endpoint, now)):
                lanes.append((event.tenant_id, endpoint.webhook_id))
        return lanes

    def send_test(self, endpoint: Endpoint, event: Event, now: float) -> Delivery:
        """Add a delivery of an event that only this endpoint gets, and have it sent soon."""
        delivery = made(event, TEST, endpoint, now)
        self._deliveries.add(delivery)
        self.hint([(endpoint.tenant_id, endpoint.webhook_id)])
        return delivery

    def hint(self, lanes: Iterable[Lane], *, delay: int = 0) -> None:
        """Have somebody look at these queues. Where the message is lost, the sweep looks."""
        for tenant_id, webhook_id in dict.fromkeys(lanes):
            try:
                self._queue.send({"tenant_id": tenant_id, "webhook_id": webhook_id}, delay=delay)
            except Exception as error:
                _log.warning("a hint is left to the sweep: %s", type(error).__name__)


def made(event: Event, event_type: str, endpoint: Endpoint, now: float) -> Delivery:
    """The delivery of an event to an endpoint: made again, it has the same id."""
    number = event.event_id.partition("_")[2]
    return Delivery(
        delivery_id=f"dlv_{number}",
        tenant_id=event.tenant_id,
        webhook_id=endpoint.webhook_id,
        event_id=event.event_id,
        event_type=event_type,
        entity=event.key.partition("#")[0],
        body=_body(event, event_type, number),
        created_at=event.occurred_at,
        since=now,
        next_at=now,
    )


def _body(event: Event, event_type: str, number: str) -> str:
    """What subscribers get. An event that no request led to is traced by its own number."""
    data: dict[str, Any] = dict(event.data)
    trace_id = data.pop("trace_id", None) or number
    data |= {"tenant_id": event.tenant_id, "kind": event.kind}
    what = data.get("what")
    if isinstance(what, str) and is_id(what, "site"):
        data["site_id"] = what
    body = {
        "type": event_type,
        "id": event.event_id,
        "timestamp": iso(event.occurred_at),
        "trace_id": trace_id,
        "data": data,
    }
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), default=_number)


def _number(value: Any) -> float:
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(type(value).__name__)
