"""Changes of a running subscription's items: prorations, at once or with the next invoice, or pending until paid."""

from __future__ import annotations

import contextlib

from local.stripe import billing, cards, catalog, invoice_items, invoices
from local.stripe.errors import Refusal
from local.stripe.lines import proration
from local.stripe.world import DAY, Obj, World, clone

_PENDING_SECONDS = 23 * 3600


def new_item(world: World, subscription: Obj, given: Obj, param: str) -> Obj:
    """An item for parameters that name a price."""
    price = catalog.line_price(world, given, param)
    if price["type"] != "recurring":
        raise Refusal(
            f"The price specified is set to `type=one_time` but this field only accepts prices with"
            f" `type=recurring`. ({price['id']})",
            param=f"{param}[price]",
        )
    if price["currency"] != subscription["currency"]:
        raise Refusal(f"The specified price is in {price['currency']}, the subscription in {subscription['currency']}.")
    metered = price["recurring"]["usage_type"] == "metered"
    if metered and "quantity" in given:
        raise Refusal("Quantity should not be specified where usage_type is `metered`.", param=f"{param}[quantity]")
    return {
        "id": world.id("si"),
        "object": "subscription_item",
        "billed_until": None,
        "billing_thresholds": None,
        "created": world.now(),
        "current_period_end": 0,
        "current_period_start": 0,
        "discounts": [],
        "metadata": given.get("metadata") or {},
        "plan": _plan(price),
        "price": clone(price),
        "quantity": None if metered else given.get("quantity", 1),
        "subscription": subscription["id"],
        "tax_rates": [clone(world.get("tax_rate", each, "tax_rates")) for each in given.get("tax_rates") or []],
    }


def _plan(price: Obj) -> Obj:
    """The price in the shape that plans had."""
    every = price["recurring"]
    return {
        "id": price["id"],
        "object": "plan",
        "active": price["active"],
        "amount": price["unit_amount"],
        "amount_decimal": price["unit_amount_decimal"],
        "billing_scheme": "per_unit",
        "created": price["created"],
        "currency": price["currency"],
        "interval": every["interval"],
        "interval_count": every["interval_count"],
        "livemode": False,
        "metadata": {},
        "meter": every["meter"],
        "nickname": price["nickname"],
        "product": price["product"],
        "usage_type": every["usage_type"],
    }


def changed_items(world: World, subscription: Obj, given: list[Obj]) -> list[Obj]:
    """The items as they would be after an update, as copies. An item without id is added, as with Stripe."""
    found = [clone(each) for each in billing.items_of(subscription)]
    for place, wanted in enumerate(given):
        param = f"items[{place}]"
        if "id" not in wanted:
            found.append(new_item(world, subscription, wanted, param))
            start, end = found[0]["current_period_start"], found[0]["current_period_end"]
            found[-1] |= {"current_period_start": start, "current_period_end": end}
            continue
        item = next((each for each in found if each["id"] == wanted["id"]), None)
        if item is None:
            raise Refusal(f"No such subscription item: '{wanted['id']}'", code="resource_missing", param=f"{param}[id]")
        if wanted.get("deleted"):
            found.remove(item)
            continue
        if "price" in wanted or "price_data" in wanted:
            fresh = new_item(world, subscription, {**wanted, "metadata": None}, param)
            item |= {name: fresh[name] for name in ("price", "plan")}
            item["quantity"] = fresh["quantity"] if item["quantity"] is None else item["quantity"]
        if "quantity" in wanted:
            item["quantity"] = wanted["quantity"]
        item["metadata"] |= wanted.get("metadata") or {}
    if not found:
        raise Refusal("A subscription must have at least one active plan. To remove the last plan, cancel instead.")
    one_rhythm(found)
    return found


def rhythm(item: Obj) -> tuple[str, int]:
    """How often an item is billed."""
    every = item["price"]["recurring"]
    return every["interval"], every["interval_count"]


def one_rhythm(items: list[Obj]) -> None:
    """Raises Refusal for prices of different intervals: Stripe can mix them, the stand-in can't."""
    if len({rhythm(each) for each in items}) > 1:
        raise Refusal("The local Stripe stand-in does not mix intervals.", code="local_not_supported", param="items")


def prorations(world: World, subscription: Obj, items: list[Obj], at: int, *, anew: bool = False) -> list[Obj]:
    """Lines for going from the current items to these at a moment; `anew` when a new period begins then."""
    if subscription["status"] == "trialing":
        return []
    old = {each["id"]: each for each in billing.items_of(subscription)}
    new = {each["id"]: each for each in items}
    found: list[Obj | None] = []
    for identifier in [*old, *(each for each in new if each not in old)]:
        before, after = old.get(identifier), new.get(identifier)
        if before and after and _same(before, after) and not anew:
            continue
        if before:
            found.append(proration(world, subscription, before, at, credit=True))
        if after and not anew:
            found.append(proration(world, subscription, after, at, credit=False))
    return [each for each in found if each is not None]


def _same(before: Obj, after: Obj) -> bool:
    return (before["price"]["id"], before["quantity"]) == (after["price"]["id"], after["quantity"])


def begins_anew(subscription: Obj, items: list[Obj], given: Obj) -> bool:
    """Whether the change starts a new period: another interval, from free to paid, or because it was asked for."""
    asked = given.get("billing_cycle_anchor") in ("now", {"type": "now"})

    def free(found: list[Obj]) -> bool:
        return all(not each["price"]["unit_amount"] for each in found)

    old = billing.items_of(subscription)
    running = subscription["status"] != "trialing"
    return bool(asked or (running and (rhythm(old[0]) != rhythm(items[0]) or (free(old) and not free(items)))))


def apply(world: World, subscription: Obj, items: list[Obj], given: Obj) -> None:
    """Change to these items as the parameters ask. Raises Refusal where payment is a condition and fails."""
    behavior = given.get("proration_behavior", "create_prorations")
    at = int(given.get("proration_date") or world.now())
    start, end = (billing.items_of(subscription)[0][f"current_period_{side}"] for side in ("start", "end"))
    if not start <= at <= end:
        raise Refusal("The `proration_date` must be within the current period.", param="proration_date")
    anew = begins_anew(subscription, items, given)
    lines = [] if behavior == "none" else prorations(world, subscription, items, at, anew=anew)
    if not anew and not (behavior == "always_invoice" and lines):
        subscription["items"]["data"] = items
        invoice_items.keep_pending(world, subscription, lines)
        return
    _billed_at_once(world, subscription, items, lines, given, anew=anew)


def _billed_at_once(
    world: World, subscription: Obj, items: list[Obj], lines: list[Obj], given: Obj, *, anew: bool
) -> None:
    old, old_anchor = billing.items_of(subscription), subscription["billing_cycle_anchor"]
    subscription["items"]["data"] = items
    if anew:
        now = world.now()
        subscription["billing_cycle_anchor"] = now
        end = billing.turn_after(subscription, now)
        billing.set_period(subscription, now, end)
        lines += billing.period_lines(world, subscription, now, end)
        world.at(end, billing.turn, subscription["id"])
    lines = invoice_items.pending_lines(world, subscription["customer"], subscription["id"]) + lines
    invoice = billing.invoice_for(world, subscription, lines, "subscription_update")
    behavior = given.get("payment_behavior", "allow_incomplete")
    automatic = subscription["collection_method"] == "charge_automatically"
    if automatic and invoice["amount_due"] and behavior in ("error_if_incomplete", "pending_if_incomplete"):
        decline = would_decline(world, invoice)
        if decline is not None:
            subscription["items"]["data"], subscription["billing_cycle_anchor"] = old, old_anchor
            if behavior == "error_if_incomplete":
                raise decline
            _make_pending(world, subscription, items, invoice)
            return
    subscription["latest_invoice"] = invoice["id"]
    invoices.open_draft(world, invoice)
    invoices.finalize(world, invoice)
    if behavior != "default_incomplete" or not automatic:
        billing.collect_or_send(world, invoice)
    elif invoice["status"] == "open":
        billing.invoice_failed(world, invoice)


def would_decline(world: World, invoice: Obj) -> Refusal | None:
    """What charging the invoice now would raise, without doing it."""
    method = invoices.payment_method_of(world, invoice)
    if method is None:
        return Refusal(
            "This customer has no attached payment source or default payment method.", code="resource_missing"
        )
    decline = cards.refusal(method, "charge", off_session=True, authenticated=False)
    return cards.card_error(decline) if decline else None


# Updates that wait for their payment


def _make_pending(world: World, subscription: Obj, items: list[Obj], invoice: Obj) -> None:
    expires = world.now() + _PENDING_SECONDS
    subscription["pending_update"] = {
        "billing_cycle_anchor": None,
        "expires_at": expires,
        "subscription_items": clone(items),
        "trial_end": None,
        "trial_from_plan": None,
    }
    subscription |= {"latest_invoice": invoice["id"], "_pending_invoice": invoice["id"]}
    world.at(expires, _pending_expired, subscription["id"])
    invoices.open_draft(world, invoice)
    invoices.finalize(world, invoice)
    intent = invoices.intent_of(world, invoice)
    method = invoices.payment_method_of(world, invoice)
    if intent and method:
        with contextlib.suppress(Refusal):
            invoices.collect(world, invoice, method, alone=False)


def apply_pending(world: World, subscription: Obj) -> None:
    """The invoice of a pending update has been paid."""
    pending = subscription["pending_update"]
    if pending:
        subscription["items"]["data"] = pending["subscription_items"]
        subscription |= {"pending_update": None, "_pending_invoice": None}
        world.emit("customer.subscription.pending_update_applied", subscription)
        world.emit("customer.subscription.updated", subscription, {"pending_update": pending})


def _pending_expired(world: World, identifier: str) -> None:
    subscription = world.objects[identifier]
    pending = subscription["pending_update"]
    if pending and pending["expires_at"] <= world.now():
        invoice = world.objects[subscription["_pending_invoice"]]
        subscription |= {"pending_update": None, "_pending_invoice": None}
        if invoice["status"] == "open":
            invoices.void(world, invoice)
        world.emit("customer.subscription.pending_update_expired", subscription)


def trial_until(given: Obj, now: int) -> int | None:
    """The end of the trial that parameters ask for."""
    if given.get("trial_end") == "now":
        return now
    if "trial_end" in given:
        return int(given["trial_end"])
    days = given.get("trial_period_days")
    return now + days * DAY if days else None
