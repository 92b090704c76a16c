"""Subscriptions: the API's operations on them."""

from __future__ import annotations

import contextlib
from typing import Any

from local.stripe import billing, cards, changes, drafts, invoice_items, invoices, setups
from local.stripe.billing import OVER, end
from local.stripe.catalog import coupon_of, line_price
from local.stripe.errors import Refusal, unexpected_state, unsupported
from local.stripe.lines import item_amount, line, product_name
from local.stripe.render import listed, page
from local.stripe.routes import Route
from local.stripe.world import Obj, World, clone, merge_metadata


def create(world: World, given: Obj) -> Obj:
    """`POST /v1/subscriptions`."""
    customer = world.get("customer", given.get("customer", ""), "customer")
    if not given.get("items"):
        raise Refusal("Missing required param: items.", code="parameter_missing", param="items")
    for name in ("billing_cycle_anchor", "billing_cycle_anchor_config", "backdate_start_date", "billing_schedules"):
        if name in given:
            raise unsupported(f"{name} of a new subscription")
    subscription = new(world, customer, given)
    return start(world, subscription, given)


def new(world: World, customer: Obj, given: Obj) -> Obj:
    """A subscription that has not begun: parameters checked, nothing stored or announced."""
    now = world.now()
    drafts.needs_location(world, customer, given.get("automatic_tax"))
    sent = given.get("collection_method") == "send_invoice"
    if sent and "days_until_due" not in given:
        raise Refusal(
            "You must pass in `days_until_due` when `collection_method` is `send_invoice`.", param="days_until_due"
        )
    identifier = world.id("sub")
    first = line_price(world, given["items"][0], "items[0]")
    trial_end = changes.trial_until(given, now)
    trial_end = trial_end if trial_end and trial_end > now else None
    coupon = coupon_of(world, given.get("discounts") or None)
    settings = given.get("payment_settings") or {}
    looks = given.get("invoice_settings") or {}
    ends = (given.get("trial_settings") or {}).get("end_behavior") or {"missing_payment_method": "create_invoice"}
    subscription: Obj = {
        "id": identifier,
        "object": "subscription",
        "application": None,
        "application_fee_percent": None,
        "automatic_tax": drafts.automatic_tax(given.get("automatic_tax")),
        "billing_cycle_anchor": trial_end or now,
        "billing_cycle_anchor_config": None,
        "billing_mode": {"flexible": {"proration_discounts": "included"}, "type": "flexible"}
        | (given.get("billing_mode") or {}),
        "billing_schedules": [],
        "billing_thresholds": None,
        "cancel_at": given.get("cancel_at"),
        "cancel_at_period_end": given.get("cancel_at_period_end", False),
        "canceled_at": None,
        "cancellation_details": {"comment": None, "feedback": None, "reason": None},
        "collection_method": given.get("collection_method", "charge_automatically"),
        "created": now,
        "currency": first["currency"],
        "customer": customer["id"],
        "customer_account": None,
        "days_until_due": given.get("days_until_due"),
        "default_payment_method": None,
        "default_source": None,
        "default_tax_rates": _rates(world, given),
        "description": given.get("description"),
        "discounts": [],
        "ended_at": None,
        "invoice_settings": {
            "account_tax_ids": looks.get("account_tax_ids") or None,
            "custom_fields": looks.get("custom_fields") or None,
            "description": looks.get("description"),
            "footer": looks.get("footer"),
            "issuer": {"type": "self"},
        },
        "items": listed(f"/v1/subscription_items?subscription={identifier}", []),
        "latest_invoice": None,
        "livemode": False,
        "metadata": given.get("metadata") or {},
        "next_pending_invoice_item_invoice": None,
        "on_behalf_of": None,
        "pause_collection": None,
        "payment_settings": {
            "payment_method_options": settings.get("payment_method_options"),
            "payment_method_types": settings.get("payment_method_types") or None,
            "save_default_payment_method": settings.get("save_default_payment_method", "off"),
        },
        "pending_invoice_item_interval": None,
        "pending_setup_intent": None,
        "pending_update": None,
        "schedule": None,
        "start_date": now,
        "status": "incomplete",
        "test_clock": None,
        "transfer_data": None,
        "trial_end": trial_end,
        "trial_settings": {"end_behavior": ends},
        "trial_start": now if trial_end else None,
        "_invoices": [],
        "_coupon": coupon["id"] if coupon else None,
        "_coupon_used": 1,
    }
    if method := given.get("default_payment_method"):
        subscription["default_payment_method"] = _own_card(world, method, customer)["id"]
    items = [changes.new_item(world, subscription, each, f"items[{at}]") for at, each in enumerate(given["items"])]
    changes.one_rhythm(items)
    subscription["items"]["data"] = items
    subscription["items"]["total_count"] = len(items)
    billing.set_period(subscription, now, trial_end or billing.turn_after(subscription, now))
    return subscription


def _own_card(world: World, identifier: str, customer: Obj) -> Obj:
    method = cards.take(world, identifier, "default_payment_method")
    if method["customer"] != customer["id"]:
        raise Refusal(
            f"The customer does not have a payment method with the ID {identifier}. The payment method must be attached"
            " to the customer.",
            code="resource_missing",
            param="default_payment_method",
        )
    return method


def _rates(world: World, given: Obj) -> list[Obj]:
    return [clone(world.get("tax_rate", each, "default_tax_rates")) for each in given.get("default_tax_rates") or []]


def first_invoice(world: World, subscription: Obj, given: Obj) -> Obj:
    """The draft of the first invoice: a trial's zero line or the first period, and what is added to it."""
    now, until = world.now(), billing.period_end(subscription)
    trial = subscription["trial_end"]
    coupon_used, subscription["_coupon_used"] = subscription["_coupon_used"], 0
    lines = billing.trial_lines(world, subscription, until) if trial else []
    lines += [] if trial else billing.period_lines(world, subscription, now, until)
    for at, each in enumerate(given.get("add_invoice_items") or []):
        price, quantity = line_price(world, each, f"add_invoice_items[{at}]"), each.get("quantity", 1)
        amount = item_amount(price, quantity)
        words = product_name(world, price)
        lines.append(line(world, amount, price["currency"], words, (now, now), price=price, quantity=quantity))
    lines += invoice_items.pending_lines(world, subscription["customer"], subscription["id"])
    invoice = billing.invoice_for(world, subscription, lines, "subscription_create")
    subscription["_coupon_used"] = coupon_used
    return invoice


def start(world: World, subscription: Obj, given: Obj) -> Obj:
    """Begin it: announce, bill the first period, collect as `payment_behavior` says.

    Raises Refusal (402) with `error_if_incomplete` where the card would be declined; then nothing has happened.
    """
    invoice = first_invoice(world, subscription, given)
    subscription["latest_invoice"] = invoice["id"]
    sent = subscription["collection_method"] == "send_invoice"
    behavior = given.get("payment_behavior", "allow_incomplete")
    if behavior == "error_if_incomplete" and invoice["amount_due"] and not sent:
        world.objects[subscription["id"]] = subscription
        decline = changes.would_decline(world, invoice)
        del world.objects[subscription["id"]]
        if decline:
            raise decline
    if sent or not invoice["amount_due"]:
        subscription["status"] = "trialing" if subscription["trial_end"] else "active"
    world.add(subscription)
    _wants_card(world, subscription, behavior)
    world.emit("customer.subscription.created", subscription)
    billing.begin(world, subscription)
    invoices.open_draft(world, invoice)
    if sent and invoice["amount_due"]:
        world.at(world.now() + invoices.DRAFT_SECONDS, billing.advance_invoice, invoice["id"])
        return subscription
    invoices.finalize(world, invoice)
    if behavior != "default_incomplete" and invoice["status"] == "open":
        with contextlib.suppress(Refusal):
            invoices.collect(world, invoice)
    return subscription


def _wants_card(world: World, subscription: Obj, behavior: str) -> None:
    """A trial with `default_incomplete` and without a card asks for one by a setup intent."""
    if behavior == "default_incomplete" and subscription["trial_end"] and not subscription["default_payment_method"]:
        intent = setups.make(world, customer=subscription["customer"], _subscription=subscription["id"])
        subscription["pending_setup_intent"] = intent["id"]


def update(world: World, given: Obj, subscription: str) -> Obj:
    """`POST /v1/subscriptions/{id}`."""
    found = world.get("subscription", subscription)
    if found["status"] in OVER:
        raise Refusal(
            f"A canceled subscription can only update its cancellation_details and metadata. ({subscription})",
            status=400,
        )
    if found["status"] == "incomplete" and given.keys() & {"items", "cancel_at_period_end", "trial_end"}:
        raise Refusal("You cannot update a subscription in `incomplete` status in this way.", param="items")
    if found["schedule"] and given.keys() & {"cancel_at_period_end", "cancel_at"}:
        raise Refusal(
            f"The subscription is managed by the subscription schedule `{found['schedule']}`, and updating any"
            " cancelation behavior directly is not allowed. Please update the schedule instead."
        )
    if found["pending_update"] and "items" in given:
        raise Refusal("This subscription has a pending update.", code="subscription_pending_update")
    with world.changing("customer.subscription.updated", found):
        if "items" in given or "billing_cycle_anchor" in given:
            changes.apply(world, found, changes.changed_items(world, found, given.get("items") or []), given)
        _put(world, found, given)
    return found


def _put(world: World, found: Obj, given: Obj) -> None:
    merge_metadata(found, given.get("metadata"))
    for name in ("description", "collection_method", "days_until_due", "pause_collection"):
        if name in given:
            found[name] = None if given[name] == "" else given[name]
    if "default_payment_method" in given:
        customer = world.objects[found["customer"]]
        found["default_payment_method"] = _own_card(world, given["default_payment_method"], customer)["id"]
    if "default_tax_rates" in given:
        found["default_tax_rates"] = _rates(world, given)
    if "automatic_tax" in given:
        drafts.needs_location(world, world.objects[found["customer"]], given["automatic_tax"])
        found["automatic_tax"] = drafts.automatic_tax(given["automatic_tax"])
    for name in ("payment_settings", "invoice_settings", "trial_settings", "cancellation_details"):
        found[name] |= given.get(name) or {}
    if "discounts" in given:
        coupon = coupon_of(world, given["discounts"] or None)
        found |= {"_coupon": coupon["id"] if coupon else None, "_coupon_used": 0}
    if "cancel_at_period_end" in given:
        asked = given["cancel_at_period_end"]
        found |= {"cancel_at_period_end": asked, "cancel_at": billing.period_end(found) if asked else None}
        found["canceled_at"] = world.now() if asked else None
        found["cancellation_details"]["reason"] = "cancellation_requested" if asked else None
    if "cancel_at" in given:
        at = given["cancel_at"]
        at = billing.period_end(found) if isinstance(at, str) and at else at or None
        found |= {"cancel_at": at, "canceled_at": world.now() if at else None}
        if at:
            world.at(at, billing.cancel_due, found["id"], rank=3)
    if "trial_end" in given:
        _move_trial(world, found, given)


def _move_trial(world: World, found: Obj, given: Obj) -> None:
    until = changes.trial_until(given, world.now())
    if until is None:
        return
    if until <= world.now() and found["status"] == "trialing":
        found["trial_end"] = world.now()
        billing.set_period(found, billing.items_of(found)[0]["current_period_start"], world.now())
        billing.turn(world, found["id"])
    elif until > world.now():
        found |= {"trial_end": until, "status": "trialing", "billing_cycle_anchor": until}
        billing.set_period(found, billing.items_of(found)[0]["current_period_start"], until)
        world.at(until, billing.turn, found["id"])


def cancel(world: World, given: Obj, subscription: str) -> Obj:
    """`DELETE /v1/subscriptions/{id}`: at once."""
    found = world.get("subscription", subscription)
    if found["status"] in OVER:
        raise Refusal(f"No such subscription: '{subscription}'", status=404, code="resource_missing", param="id")
    found["cancellation_details"] |= given.get("cancellation_details") or {}
    if given.get("prorate"):
        lines = changes.prorations(world, found, [], world.now())
        invoice_items.keep_pending(world, found, lines)
    if given.get("invoice_now"):
        lines = invoice_items.pending_lines(world, found["customer"], found["id"])
        if lines:
            invoice = invoices.open_draft(world, billing.invoice_for(world, found, lines, "subscription_update"))
            invoices.finalize(world, invoice)
            billing.collect_or_send(world, invoice)
    end(world, found, reason="cancellation_requested")
    return found


def pause(world: World, given: Obj, subscription: str) -> Obj:
    """`POST /v1/subscriptions/{id}/pause`."""
    found = world.get("subscription", subscription)
    if found["status"] not in ("active", "trialing", "past_due"):
        raise unexpected_state(f"You cannot pause a subscription that is {found['status']}.", "subscription_status")
    billing.pause(world, found)
    return found


def resume(world: World, given: Obj, subscription: str) -> Obj:
    """`POST /v1/subscriptions/{id}/resume`: of a paused one; a new period begins and is billed."""
    found = world.get("subscription", subscription)
    if found["status"] != "paused":
        raise Refusal("Cannot resume a subscription that is not paused.")
    now = world.now()
    found |= {"billing_cycle_anchor": now, "trial_end": min(found["trial_end"] or now, now)}
    billing.set_period(found, now, billing.turn_after(found, now))
    world.at(billing.period_end(found), billing.turn, found["id"])
    lines = billing.period_lines(world, found, now, billing.period_end(found))
    invoice = billing.invoice_for(world, found, lines, "subscription_update")
    found |= {"latest_invoice": invoice["id"], "_resume_invoice": invoice["id"]}
    invoices.open_draft(world, invoice)
    invoices.finalize(world, invoice)
    if invoice["status"] == "open":
        billing.collect_or_send(world, invoice)
    return found


def retrieve(world: World, given: Obj, subscription: str) -> Obj:
    """`GET /v1/subscriptions/{id}`."""
    return world.get("subscription", subscription)


def search(world: World, given: Obj) -> Obj:
    """`GET /v1/subscriptions`: without `status` those that are not canceled."""
    how = given.get("collection_method")
    found = world.find("subscription", customer=given.get("customer"), collection_method=how)
    status = given.get("status")
    if status == "ended":
        found = [each for each in found if each["status"] in OVER]
    elif status != "all":
        found = [each for each in found if (each["status"] == status if status else each["status"] != "canceled")]
    if "price" in given:
        found = [each for each in found if any(item["price"]["id"] == given["price"] for item in _items(each))]
    return page(world, "/v1/subscriptions", found, given)


def _items(subscription: Obj) -> list[Obj]:
    return billing.items_of(subscription)


def search_items(world: World, given: Obj) -> Obj:
    """`GET /v1/subscription_items`."""
    found = world.get("subscription", given["subscription"], "subscription")
    return page(world, "/v1/subscription_items", _items(found), given)


def retrieve_item(world: World, given: Obj, item: str) -> Obj:
    """`GET /v1/subscription_items/{id}`."""
    found: Any = (each for one in world.all("subscription") for each in _items(one) if each["id"] == item)
    for each in found:
        return dict(each)
    raise Refusal(f"No such subscription_item: '{item}'", status=404, code="resource_missing", param="id")


ROUTES = [
    Route("POST", "/v1/subscriptions", create, "SubscriptionCreateParams"),
    Route("GET", "/v1/subscriptions", search, "SubscriptionListParams"),
    Route("GET", "/v1/subscriptions/{subscription}", retrieve, "SubscriptionRetrieveParams"),
    Route("POST", "/v1/subscriptions/{subscription}", update, "SubscriptionUpdateParams"),
    Route("DELETE", "/v1/subscriptions/{subscription}", cancel, "SubscriptionCancelParams"),
    Route("POST", "/v1/subscriptions/{subscription}/pause", pause, "SubscriptionPauseParams"),
    Route("POST", "/v1/subscriptions/{subscription}/resume", resume, "SubscriptionResumeParams"),
    Route("GET", "/v1/subscription_items", search_items, "SubscriptionItemListParams"),
    Route("GET", "/v1/subscription_items/{item}", retrieve_item, "SubscriptionItemRetrieveParams"),
]
