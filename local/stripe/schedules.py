"""Subscription schedules: phases of a running subscription, as a downgrade at the period's end wants them."""

from __future__ import annotations

from local.stripe import billing, changes
from local.stripe.errors import Refusal, unsupported
from local.stripe.lines import next_turn
from local.stripe.render import matching, page
from local.stripe.routes import Route
from local.stripe.world import Obj, World, merge_metadata


def create(world: World, given: Obj) -> Obj:
    """`POST /v1/subscription_schedules`, `from_subscription` only: its first phase is the current period."""
    if "from_subscription" not in given:
        raise unsupported("schedules that are not made from a subscription")
    if "phases" in given:
        raise Refusal("You cannot set `phases` if `from_subscription` is set.", param="phases")
    subscription = world.get("subscription", given["from_subscription"], "from_subscription")
    if subscription["schedule"]:
        raise Refusal(
            f"You cannot migrate a subscription that is already attached to a schedule: {subscription['schedule']}."
        )
    if subscription["status"] in (*billing.OVER, "incomplete"):
        raise Refusal(f"You can not create a schedule for a subscription that is {subscription['status']}.")
    items = billing.items_of(subscription)
    start, end = items[0]["current_period_start"], billing.period_end(subscription)
    phase = _phase(start, end, [_phase_item(each["price"]["id"], each["quantity"]) for each in items], {})
    schedule: Obj = {
        "id": world.id("sub_sched"),
        "object": "subscription_schedule",
        "application": None,
        "billing_mode": dict(subscription["billing_mode"]),
        "canceled_at": None,
        "completed_at": None,
        "created": world.now(),
        "current_phase": {"end_date": end, "start_date": start},
        "customer": subscription["customer"],
        "customer_account": None,
        "default_settings": {
            "billing_cycle_anchor": "automatic",
            "collection_method": subscription["collection_method"],
            "default_payment_method": subscription["default_payment_method"],
            "description": None,
            "invoice_settings": {"account_tax_ids": None, "days_until_due": None, "issuer": {"type": "self"}},
        },
        "end_behavior": "release",
        "livemode": False,
        "metadata": given.get("metadata") or {},
        "pause_schedules": [],
        "phases": [phase],
        "released_at": None,
        "released_subscription": None,
        "status": "active",
        "subscription": subscription["id"],
        "test_clock": None,
    }
    world.add(schedule)
    with world.changing("customer.subscription.updated", subscription):
        subscription["schedule"] = schedule["id"]
    world.emit("subscription_schedule.created", schedule)
    world.at(end, _turn, schedule["id"], rank=2)
    return schedule


def _phase_item(price: str, quantity: int | None) -> Obj:
    return {
        "billing_thresholds": None,
        "discounts": [],
        "metadata": {},
        "plan": price,
        "price": price,
        "quantity": quantity,
        "tax_rates": [],
    }


def _phase(start: int, end: int, items: list[Obj], given: Obj) -> Obj:
    return {
        "add_invoice_items": [],
        "billing_cycle_anchor": None,
        "collection_method": given.get("collection_method"),
        "currency": "jpy",
        "default_payment_method": given.get("default_payment_method"),
        "description": None,
        "discounts": [],
        "end_date": end,
        "items": items,
        "metadata": given.get("metadata", {}),
        "proration_behavior": given.get("proration_behavior", "create_prorations"),
        "start_date": start,
        "trial_end": None,
    }


def update(world: World, given: Obj, schedule: str) -> Obj:
    """`POST /v1/subscription_schedules/{id}`: new phases; the current one has to be among them."""
    found = world.get("subscription_schedule", schedule)
    _must_run(found, "update")
    with world.changing("subscription_schedule.updated", found):
        merge_metadata(found, given.get("metadata"))
        found["end_behavior"] = given.get("end_behavior", found["end_behavior"])
        if found["end_behavior"] not in ("release", "cancel"):
            raise unsupported(f"end_behavior {found['end_behavior']}")
        if "phases" in given:
            found["phases"] = _phases(world, found, given["phases"])
            current = _current(world, found)
            found["current_phase"] = {"end_date": current["end_date"], "start_date": current["start_date"]}
            subscription = world.objects[found["subscription"]]
            _take(world, subscription, current)
            world.at(current["end_date"], _turn, found["id"], rank=2)
    return found


def _phases(world: World, schedule: Obj, given: list[Obj]) -> list[Obj]:
    built: list[Obj] = []
    for at, each in enumerate(given):
        start = each.get("start_date")
        if at == 0 and start is None:
            raise Refusal(
                "The subscription schedule update is missing at least one phase with a `start_date` to anchor"
                " end dates to.",
                param="phases",
            )
        start = built[-1]["end_date"] if start is None else world.now() if start == "now" else int(start)
        if built and start != built[-1]["end_date"]:
            raise Refusal("Phases must follow each other without gaps.", param=f"phases[{at}][start_date]")
        if at == 0 and start != schedule["current_phase"]["start_date"]:
            raise Refusal("You can not modify the start date of the current phase.", param="phases[0][start_date]")
        items = []
        for place, item in enumerate(each["items"]):
            if "price" not in item:
                raise unsupported("phase items without price")
            price = world.get("price", item["price"], f"phases[{at}][items][{place}][price]")
            metered = price["recurring"]["usage_type"] == "metered"
            items.append(_phase_item(price["id"], None if metered else item.get("quantity", 1)))
        built.append(_phase(start, _end(world, each, start, items), items, each))
    return built


def _end(world: World, given: Obj, start: int, items: list[Obj]) -> int:
    if "end_date" in given:
        end = world.now() if given["end_date"] == "now" else int(given["end_date"])
        if end <= start:
            raise Refusal("The phase's end date must be after its start date.", param="phases")
        return end
    every = world.objects[items[0]["price"]]["recurring"]
    length = given.get("duration") or {"interval": every["interval"], "interval_count": every["interval_count"]}
    return next_turn(start, start, length["interval"], length.get("interval_count", 1))


def _current(world: World, schedule: Obj) -> Obj:
    now = world.now()
    for phase in schedule["phases"]:
        if phase["start_date"] <= now < phase["end_date"]:
            found: Obj = phase
            return found
    raise Refusal("You must include the current phase.", param="phases")


def _turn(world: World, identifier: str) -> None:
    """A phase has ended: begin the next, or let the subscription go on by itself."""
    schedule = world.objects[identifier]
    now = world.now()
    if schedule["status"] != "active" or schedule["current_phase"]["end_date"] > now:
        return
    later = [phase for phase in schedule["phases"] if phase["end_date"] > now]
    subscription = world.objects[schedule["subscription"]]
    if not later:
        if schedule["end_behavior"] == "cancel":
            billing.end(world, subscription, reason="cancellation_requested")
        else:
            _let_go(world, schedule, completed=True)
        return
    with world.changing("subscription_schedule.updated", schedule):
        schedule["current_phase"] = {"end_date": later[0]["end_date"], "start_date": later[0]["start_date"]}
    with world.changing("customer.subscription.updated", subscription):
        _take(world, subscription, later[0])
    world.at(later[0]["end_date"], _turn, identifier, rank=2)


def _take(world: World, subscription: Obj, phase: Obj) -> None:
    """Put a phase's items on the subscription; items of the same price keep their ids."""
    wanted = [
        {"price": each["price"], **({} if each["quantity"] is None else {"quantity": each["quantity"]})}
        for each in phase["items"]
    ]
    old = billing.items_of(subscription)
    if [(each["price"]["id"], each["quantity"]) for each in old] == [(e["price"], e.get("quantity")) for e in wanted]:
        return
    given: list[Obj] = [{"id": have["id"], **want} for have, want in zip(old, wanted, strict=False)]
    given += wanted[len(old) :]
    given += [{"id": each["id"], "deleted": True} for each in old[len(wanted) :]]
    items = changes.changed_items(world, subscription, given)
    at_turn = world.now() >= billing.period_end(subscription)
    behavior = "none" if at_turn else phase["proration_behavior"]
    if at_turn:
        subscription["items"]["data"] = items
    else:
        changes.apply(world, subscription, items, {"proration_behavior": behavior})


def release(world: World, given: Obj, schedule: str) -> Obj:
    """`POST /v1/subscription_schedules/{id}/release`: the subscription stays as it is."""
    found = world.get("subscription_schedule", schedule)
    _must_run(found, "release")
    _let_go(world, found)
    return found


def _let_go(world: World, schedule: Obj, *, completed: bool = False) -> None:
    subscription = world.objects[schedule["subscription"]]
    with world.changing("customer.subscription.updated", subscription):
        subscription["schedule"] = None
    schedule |= {
        "status": "released",
        "released_at": world.now(),
        "released_subscription": subscription["id"],
        "subscription": None,
        "current_phase": None,
    }
    if completed:
        world.emit("subscription_schedule.completed", schedule)
    world.emit("subscription_schedule.released", schedule)


def cancel(world: World, given: Obj, schedule: str) -> Obj:
    """`POST /v1/subscription_schedules/{id}/cancel`: with its subscription."""
    found = world.get("subscription_schedule", schedule)
    _must_run(found, "cancel")
    billing.end(world, world.objects[found["subscription"]], reason="cancellation_requested")
    return found


def _must_run(schedule: Obj, what: str) -> None:
    if schedule["status"] not in ("active", "not_started"):
        raise Refusal(
            f"You cannot {what} a subscription schedule that is currently in the `{schedule['status']}` status. It must"
            " be in `not_started` or `active` status."
        )


def retrieve(world: World, given: Obj, schedule: str) -> Obj:
    """`GET /v1/subscription_schedules/{id}`."""
    return world.get("subscription_schedule", schedule)


def search(world: World, given: Obj) -> Obj:
    """`GET /v1/subscription_schedules`."""
    found = matching(world.all("subscription_schedule"), given, "customer")
    return page(world, "/v1/subscription_schedules", found, given)


ROUTES = [
    Route("POST", "/v1/subscription_schedules", create, "SubscriptionScheduleCreateParams"),
    Route("GET", "/v1/subscription_schedules", search, "SubscriptionScheduleListParams"),
    Route("GET", "/v1/subscription_schedules/{schedule}", retrieve, "SubscriptionScheduleRetrieveParams"),
    Route("POST", "/v1/subscription_schedules/{schedule}", update, "SubscriptionScheduleUpdateParams"),
    Route("POST", "/v1/subscription_schedules/{schedule}/release", release, "SubscriptionScheduleReleaseParams"),
    Route("POST", "/v1/subscription_schedules/{schedule}/cancel", cancel, "SubscriptionScheduleCancelParams"),
]
