"""The life of a subscription in time: its periods, renewals, dunning, its end, and what invoices do to it."""

from __future__ import annotations

import contextlib

from local.stripe import drafts, invoices
from local.stripe.errors import Refusal
from local.stripe.lines import item_line, line, next_turn, product_name
from local.stripe.world import DAY, Obj, World, clone

OVER = ("canceled", "incomplete_expired")
_FIRST_INVOICE_SECONDS = 23 * 3600
_TRIAL_NOTICE = 3 * DAY


def items_of(subscription: Obj) -> list[Obj]:
    """Its items."""
    found: list[Obj] = subscription["items"]["data"]
    return found


def period_end(subscription: Obj) -> int:
    """When the current period ends (all items share it here)."""
    return int(items_of(subscription)[0]["current_period_end"])


def set_period(subscription: Obj, start: int, end: int) -> None:
    """Put the current period on every item."""
    for item in items_of(subscription):
        item |= {"current_period_start": start, "current_period_end": end}


def turn_after(subscription: Obj, moment: int) -> int:
    """The next turn of the subscription's rhythm."""
    every = items_of(subscription)[0]["price"]["recurring"]
    return next_turn(subscription["billing_cycle_anchor"], moment, every["interval"], every["interval_count"])


def parent(subscription: Obj, proration_date: int | None = None) -> Obj:
    """What an invoice says about its subscription."""
    details = {"metadata": dict(subscription["metadata"]), "subscription": subscription["id"]}
    if proration_date:
        details["subscription_proration_date"] = proration_date
    return {"quote_details": None, "subscription_details": details, "type": "subscription_details"}


def invoice_for(world: World, subscription: Obj, lines: list[Obj], reason: str, **members: object) -> Obj:
    """A draft for a subscription's lines, with what the subscription says about tax, card and looks; not stored."""
    looks = subscription["invoice_settings"]
    sent = subscription["collection_method"] == "send_invoice"
    return drafts.new(
        world,
        world.objects.get(subscription["customer"]),
        subscription["currency"],
        lines,
        **{
            "automatic_tax": drafts.automatic_tax(subscription["automatic_tax"]),
            "billing_reason": reason,
            "collection_method": subscription["collection_method"],
            "default_tax_rates": subscription["default_tax_rates"],
            "due_date": world.now() + subscription["days_until_due"] * DAY if sent else None,
            "parent": parent(subscription),
            "account_tax_ids": looks["account_tax_ids"],
            "metadata": {},
            "_coupon": _coupon_for(world, subscription),
            # What the subscription says nothing about is as the customer has it
            **{name: looks[name] for name in ("custom_fields", "footer") if looks.get(name)},
            **members,
        },
    )


def _coupon_for(world: World, subscription: Obj) -> str | None:
    """The coupon of the next invoice: once, so many months, or for ever."""
    coupon = world.objects.get(subscription.get("_coupon") or "")
    if coupon is None:
        return None
    months = {"once": 0, "repeating": coupon["duration_in_months"] or 0}.get(coupon["duration"])
    if months is None:
        return str(coupon["id"])
    used: int = subscription["_coupon_used"]
    return str(coupon["id"]) if used < max(1, months) else None


def period_lines(world: World, subscription: Obj, start: int, end: int, before: int | None = None) -> list[Obj]:
    """A period's lines: fixed prices in advance, metered ones for the period that began at `before`."""
    from local.stripe import meters

    found: list[Obj] = []
    for item in items_of(subscription):
        if item["price"]["recurring"]["usage_type"] != "metered":
            found.append(item_line(world, subscription, item, (start, end)))
        elif before is not None:
            used = meters.total(world, item["price"]["recurring"]["meter"], subscription["customer"], before, start)
            found.append(item_line(world, subscription, item, (before, start), usage=used))
    return found


def trial_lines(world: World, subscription: Obj, end: int) -> list[Obj]:
    """A trial costs nothing and says so."""
    return [
        line(
            world,
            0,
            subscription["currency"],
            f"Trial period for {product_name(world, item['price'])}",
            (world.now(), end),
            price=item["price"],
            subscription=subscription["id"],
        )
        for item in items_of(subscription)
    ]


# Timers


def begin(world: World, subscription: Obj) -> None:
    """Set the timers of a new subscription."""
    identifier = subscription["id"]
    world.at(period_end(subscription), turn, identifier)
    if subscription["status"] == "incomplete":
        world.at(world.now() + _FIRST_INVOICE_SECONDS, _expire, identifier)
    if subscription["trial_end"]:
        world.at(max(world.now(), subscription["trial_end"] - _TRIAL_NOTICE), _trial_will_end, identifier)
    if subscription["cancel_at"]:
        world.at(subscription["cancel_at"], cancel_due, identifier, rank=3)


def _trial_will_end(world: World, identifier: str) -> None:
    subscription = world.objects[identifier]
    if subscription["status"] == "trialing":
        world.emit("customer.subscription.trial_will_end", subscription)


def _expire(world: World, identifier: str) -> None:
    """The first invoice was not paid within 23 hours."""
    subscription = world.objects[identifier]
    if subscription["status"] == "incomplete":
        for each in invoices.open_of(world, subscription):
            invoices.void(world, each)


def cancel_due(world: World, identifier: str) -> None:
    """`cancel_at` has come."""
    subscription = world.objects[identifier]
    due = subscription["cancel_at"]
    if subscription["status"] not in OVER and due and due <= world.now():
        end(world, subscription, reason="cancellation_requested")


def turn(world: World, identifier: str) -> None:
    """A period has ended: end the subscription, or begin the next period and bill it."""
    subscription = world.objects[identifier]
    now = world.now()
    if subscription["status"] in (*OVER, "incomplete", "paused") or period_end(subscription) > now:
        return
    if subscription["cancel_at_period_end"]:
        _final_usage(world, subscription)
        end(world, subscription, reason="cancellation_requested")
        return
    trial_over = subscription["status"] == "trialing"
    if trial_over and not _has_card(world, subscription):
        ends = subscription["trial_settings"]["end_behavior"]["missing_payment_method"]
        if ends == "cancel":
            end(world, subscription, reason="payment_failed")
            return
        if ends == "pause":
            pause(world, subscription)
            return
    before = int(items_of(subscription)[0]["current_period_start"])
    with world.changing("customer.subscription.updated", subscription):
        if trial_over:
            subscription |= {"status": "active", "billing_cycle_anchor": now}
        set_period(subscription, now, turn_after(subscription, now))
        invoice = renewal(world, subscription, before)
        subscription["latest_invoice"] = invoice["id"]
    world.at(period_end(subscription), turn, identifier)
    invoices.open_draft(world, invoice)
    if subscription["status"] == "unpaid":
        invoice["auto_advance"] = False
    else:
        invoice["automatically_finalizes_at"] = now + invoices.DRAFT_SECONDS
        world.at(now + invoices.DRAFT_SECONDS, advance_invoice, invoice["id"])


def renewal(world: World, subscription: Obj, before: int) -> Obj:
    """The invoice of the period that has just begun; what was pending is billed with it."""
    from local.stripe import invoice_items

    start, until = world.now(), period_end(subscription)
    lines = invoice_items.pending_lines(world, subscription["customer"], subscription["id"])
    lines += period_lines(world, subscription, start, until, before)
    invoice = invoice_for(world, subscription, lines, "subscription_cycle", period_start=before, period_end=start)
    subscription["_coupon_used"] += 1
    return invoice


def _final_usage(world: World, subscription: Obj) -> None:
    start, until = items_of(subscription)[0]["current_period_start"], period_end(subscription)
    lines = [
        each for each in period_lines(world, subscription, until, until, start) if each["period"]["start"] == start
    ]
    if any(each["amount"] for each in lines):
        invoice = invoices.open_draft(world, invoice_for(world, subscription, lines, "subscription_cycle"))
        subscription["latest_invoice"] = invoice["id"]
        world.at(world.now() + invoices.DRAFT_SECONDS, advance_invoice, invoice["id"])


def _has_card(world: World, subscription: Obj) -> bool:
    customer = world.objects[subscription["customer"]]
    return bool(subscription["default_payment_method"] or customer["invoice_settings"]["default_payment_method"])


def advance_invoice(world: World, identifier: str) -> None:
    """Finalize a draft by itself, then charge or send it."""
    invoice = world.objects[identifier]
    if invoice["status"] == "draft" and invoice["auto_advance"]:
        invoices.finalize(world, invoice)
        collect_or_send(world, invoice)


def collect_or_send(world: World, invoice: Obj) -> None:
    """What follows a finalized invoice. A declined card is no error here."""
    if invoice["collection_method"] == "send_invoice":
        world.emit("invoice.sent", invoice)
    elif invoice["status"] == "open":
        with contextlib.suppress(Refusal):
            invoices.collect(world, invoice)


# Dunning


def plan_retry(world: World, invoice: Obj) -> None:
    """Set the next attempt, or note that there is none left. A first invoice is never retried."""
    if invoice["billing_reason"] == "subscription_create" or not invoice["parent"] or not invoice["auto_advance"]:
        return
    done: int = invoice.get("_retries", 0)
    days = world.settings["dunning_days"]
    if done >= len(days):
        invoice |= {"next_payment_attempt": None, "_exhausted": True}
        return
    due = world.now() + days[done] * DAY
    invoice |= {"_retries": done + 1, "next_payment_attempt": due}
    world.at(due, _retry, invoice["id"])


def _retry(world: World, identifier: str) -> None:
    invoice = world.objects[identifier]
    subscription = world.objects.get(invoices.subscription_of(invoice) or "", {"status": "canceled"})
    if invoice["next_payment_attempt"] == world.now() and subscription["status"] not in OVER:
        collect_or_send(world, invoice)


# What invoices do to their subscription


def invoice_failed(world: World, invoice: Obj) -> None:
    """Active to past due; when no attempt is left, what the account's settings say."""
    subscription = world.objects.get(invoices.subscription_of(invoice) or "")
    if subscription is None or subscription["status"] in (*OVER, "incomplete"):
        return
    if invoice.get("_exhausted") and world.settings["after_dunning"] == "cancel":
        end(world, subscription, reason="payment_failed")
        return
    with world.changing("customer.subscription.updated", subscription):
        unpaid = invoice.get("_exhausted") and world.settings["after_dunning"] == "unpaid"
        subscription["status"] = "unpaid" if unpaid else "past_due"


def invoice_paid(world: World, invoice: Obj) -> None:
    """The first payment makes a subscription active; a late one brings it back."""
    from local.stripe import changes

    subscription = world.objects.get(invoices.subscription_of(invoice) or "")
    if subscription is None or subscription["status"] in OVER:
        return
    intent = invoices.intent_of(world, invoice)
    with world.changing("customer.subscription.updated", subscription):
        keep = subscription["payment_settings"]["save_default_payment_method"] == "on_subscription"
        if keep and intent and intent["payment_method"] and not subscription["default_payment_method"]:
            subscription["default_payment_method"] = intent["payment_method"]
        if subscription["status"] in ("incomplete", "past_due", "unpaid") and not invoices.open_of(world, subscription):
            trial = subscription["trial_end"] and subscription["trial_end"] > world.now()
            subscription["status"] = "trialing" if trial else "active"
    if subscription.get("_pending_invoice") == invoice["id"]:
        changes.apply_pending(world, subscription)
    if subscription.get("_resume_invoice") == invoice["id"]:
        resumed(world, subscription)


def invoice_gone(world: World, invoice: Obj) -> None:
    """Voided: without its first invoice a subscription never was; otherwise nothing is owed any more."""
    subscription = world.objects.get(invoices.subscription_of(invoice) or "")
    if subscription is None:
        return
    with world.changing("customer.subscription.updated", subscription):
        if subscription["status"] == "incomplete":
            subscription |= {"status": "incomplete_expired", "ended_at": world.now()}
        elif subscription["status"] in ("past_due", "unpaid") and not invoices.open_of(world, subscription):
            subscription["status"] = "active"


# The end, a pause


def end(world: World, subscription: Obj, *, reason: str) -> None:
    """End it now. Open invoices of an incomplete one are voided, others stay open and are not retried."""
    incomplete = subscription["status"] == "incomplete"
    subscription |= {
        "status": "incomplete_expired" if incomplete else "canceled",
        "canceled_at": subscription["canceled_at"] or world.now(),
        "ended_at": world.now(),
        "_resume_invoice": None,
    }
    subscription["cancellation_details"]["reason"] = reason
    for each in invoices.open_of(world, subscription):
        if incomplete:
            invoices.void(world, each)
        else:
            each |= {"auto_advance": False, "next_payment_attempt": None}
    for identifier in subscription["_invoices"]:
        each = world.objects.get(identifier, {"status": "gone"})
        if each["status"] == "draft":
            each["auto_advance"] = False
    schedule = world.objects.get(subscription["schedule"] or "")
    if schedule and schedule["status"] in ("active", "not_started"):
        schedule |= {"status": "canceled", "canceled_at": world.now()}
        world.emit("subscription_schedule.canceled", schedule)
    world.emit("customer.subscription.deleted", subscription)


def pause(world: World, subscription: Obj) -> None:
    """Stop billing until it is resumed."""
    before = clone(subscription)
    subscription["status"] = "paused"
    world.emit("customer.subscription.paused", subscription)
    world.emit("customer.subscription.updated", subscription, {"status": before["status"]})


def resumed(world: World, subscription: Obj) -> None:
    """Billing goes on."""
    subscription |= {"status": "active", "_resume_invoice": None}
    world.emit("customer.subscription.resumed", subscription)
    world.emit("customer.subscription.updated", subscription, {"status": "paused"})
