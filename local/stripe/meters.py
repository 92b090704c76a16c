"""Billing meters, their events and summaries."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from local.stripe.errors import Refusal
from local.stripe.render import listed, matching, page
from local.stripe.routes import Route
from local.stripe.world import DAY, Obj, World

_OLDEST = 35 * DAY
_AHEAD = 300
_UNIQUE = DAY
"""Stripe promises at least 24 hours, so nobody may count on more."""


def create(world: World, given: Obj) -> Obj:
    """`POST /v1/billing/meters`."""
    taken = next(
        (
            each
            for each in world.all("billing.meter")
            if each["event_name"] == given["event_name"] and each["status"] == "active"
        ),
        None,
    )
    if taken:
        raise Refusal(
            f"An active meter ({taken['id']}) with event_name `{given['event_name']}` exists already.",
            param="event_name",
        )
    meter = {
        "id": world.id("mtr_test"),
        "object": "billing.meter",
        "created": world.now(),
        "customer_mapping": {"event_payload_key": "stripe_customer_id", "type": "by_id"}
        | given.get("customer_mapping", {}),
        "default_aggregation": given["default_aggregation"],
        "display_name": given["display_name"],
        "event_name": given["event_name"],
        "event_time_window": given.get("event_time_window"),
        "livemode": False,
        "status": "active",
        "status_transitions": {"deactivated_at": None},
        "updated": world.now(),
        "value_settings": {"event_payload_key": "value"} | given.get("value_settings", {}),
        "_events": [],
    }
    world.add(meter)
    world.emit("billing.meter.created", meter)
    return meter


def retrieve(world: World, given: Obj, meter: str) -> Obj:
    """`GET /v1/billing/meters/{id}`."""
    return world.get("billing.meter", meter)


def update(world: World, given: Obj, meter: str) -> Obj:
    """`POST /v1/billing/meters/{id}`."""
    found = world.get("billing.meter", meter)
    with world.changing("billing.meter.updated", found):
        found["display_name"] = given.get("display_name", found["display_name"])
    return found


def search(world: World, given: Obj) -> Obj:
    """`GET /v1/billing/meters`."""
    return page(world, "/v1/billing/meters", matching(world.all("billing.meter"), given, "status"), given)


def deactivate(world: World, given: Obj, meter: str) -> Obj:
    """`POST /v1/billing/meters/{id}/deactivate`."""
    found = world.get("billing.meter", meter)
    with world.changing("billing.meter.deactivated", found):
        found["status"] = "inactive"
        found["status_transitions"]["deactivated_at"] = world.now()
    return found


def record(world: World, given: Obj) -> Obj:
    """`POST /v1/billing/meter_events`: refused when too old, too far ahead, or seen before."""
    now, name = world.now(), given["event_name"]
    meters = [each for each in world.all("billing.meter") if each["event_name"] == name and each["status"] == "active"]
    if not meters:
        raise Refusal(f"No active meter found for event name `{name}`.", code="no_meter", param="event_name")
    meter = meters[0]
    moment = given.get("timestamp", now)
    if moment < now - _OLDEST:
        raise Refusal(
            "The timestamp must be within the past 35 calendar days.",
            code="timestamp_too_far_in_past",
            param="timestamp",
        )
    if moment > now + _AHEAD:
        raise Refusal(
            "The timestamp must not be more than 5 minutes in the future.",
            code="timestamp_in_future",
            param="timestamp",
        )
    customer = _payload(meter, given["payload"], "customer_mapping")
    value = _payload(meter, given["payload"], "value_settings")
    world.get("customer", customer, f"payload[{meter['customer_mapping']['event_payload_key']}]")
    try:
        amount = Decimal(value)
    except InvalidOperation:
        raise Refusal(f"Invalid value: {value}", code="meter_event_invalid_value", param="payload") from None
    identifier = given.get("identifier") or world.id("mevt")
    seen: Obj = world.settings.setdefault("_identifiers", {})
    if now - seen.get(identifier, now - _UNIQUE) < _UNIQUE:
        # Without a code: this is how Stripe answers.
        raise Refusal(f"An event already exists with identifier {identifier}.")
    seen[identifier] = now
    meter["_events"].append((moment, customer, amount))
    return {
        "object": "billing.meter_event",
        "created": now,
        "event_name": name,
        "identifier": identifier,
        "livemode": False,
        "payload": given["payload"],
        "timestamp": moment,
    }


def _payload(meter: Obj, payload: Obj, what: str) -> str:
    key = meter[what]["event_payload_key"]
    if key not in payload:
        raise Refusal(f"Missing required payload key: {key}.", code="meter_event_invalid_payload", param="payload")
    return str(payload[key])


def total(world: World, meter: str, customer: str, start: int, end: int) -> int:
    """What a customer used from `start` until before `end`, as the meter aggregates."""
    found = world.objects[meter]
    return int(_aggregate(found, _amounts(found, customer, start, end)))


def _amounts(meter: Obj, customer: str, start: int, end: int) -> list[Decimal]:
    return [amount for at, who, amount in meter["_events"] if who == customer and start <= at < end]


def _aggregate(meter: Obj, amounts: list[Decimal]) -> Decimal:
    formula = meter["default_aggregation"]["formula"]
    if formula == "count":
        return Decimal(len(amounts))
    if formula == "last":
        return amounts[-1] if amounts else Decimal(0)
    return sum(amounts, Decimal(0))


def summaries(world: World, given: Obj, meter: str) -> Obj:
    """`GET /v1/billing/meters/{id}/event_summaries`: of the whole time, or by hour or day."""
    found = world.get("billing.meter", meter)
    start, end = given["start_time"], given["end_time"]
    if start % 60 or end % 60:
        raise Refusal("The start_time and end_time must be aligned with minute boundaries.", param="start_time")
    step = {"hour": 3600, "day": DAY}.get(given.get("value_grouping_window", ""), max(1, end - start))
    data: list[Obj] = []
    for begin in range(start, end, step):
        until = min(begin + step, end)
        amounts = _amounts(found, given["customer"], begin, until)
        if amounts:
            data.append(
                {
                    "id": f"{meter}_{begin}",
                    "object": "billing.meter_event_summary",
                    "aggregated_value": float(_aggregate(found, amounts)),
                    "end_time": until,
                    "livemode": False,
                    "meter": meter,
                    "start_time": begin,
                }
            )
    limit = given.get("limit", 10)
    data.reverse()
    if after := given.get("starting_after"):
        data = data[[each["id"] for each in data].index(after) + 1 :]
    return listed(f"/v1/billing/meters/{meter}/event_summaries", data[:limit], has_more=len(data) > limit)


ROUTES = [
    Route("POST", "/v1/billing/meters", create, "billing.MeterCreateParams"),
    Route("GET", "/v1/billing/meters", search, "billing.MeterListParams"),
    Route("GET", "/v1/billing/meters/{meter}", retrieve, "billing.MeterRetrieveParams"),
    Route("POST", "/v1/billing/meters/{meter}", update, "billing.MeterUpdateParams"),
    Route("POST", "/v1/billing/meters/{meter}/deactivate", deactivate, "billing.MeterDeactivateParams"),
    Route("GET", "/v1/billing/meters/{meter}/event_summaries", summaries, "billing.MeterEventSummaryListParams"),
    Route("POST", "/v1/billing/meter_events", record, "billing.MeterEventCreateParams"),
]
