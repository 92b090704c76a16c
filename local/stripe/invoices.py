"""Invoices: draft, open, then paid, void or uncollectible; and how they are collected."""

from __future__ import annotations

from typing import Any

from local.stripe import drafts, payments
from local.stripe.errors import Refusal, unexpected_state
from local.stripe.render import includes, listed
from local.stripe.world import MINIMUM, Obj, World, clone

DRAFT_SECONDS = 3600
"""So long is a renewal's invoice left in draft before it is charged."""


def open_draft(world: World, invoice: Obj) -> Obj:
    """Store and announce a draft."""
    from local.stripe import invoice_items

    world.add(invoice)
    invoice_items.taken(world, invoice)
    subscription = world.objects.get(subscription_of(invoice) or "")
    if subscription:
        subscription["_invoices"].append(invoice["id"])
    world.emit("invoice.created", invoice)
    return invoice


def finalize(world: World, invoice: Obj) -> Obj:
    """Draft to open: number, payment intent, due date; with nothing to pay it is paid at once.

    Raises Refusal if it is no draft.
    """
    if invoice["status"] != "draft":
        raise unexpected_state(
            "This invoice is already finalized, you can't re-finalize a non-draft invoice.", "invoice_not_editable"
        )
    customer = world.objects.get(invoice["customer"] or "")
    drafts.recompute(world, invoice)
    _use_balance(world, invoice, customer)
    now = world.now()
    if customer:
        invoice["number"] = invoice["number"] or f"{customer['invoice_prefix']}-{customer['next_invoice_sequence']:04d}"
        customer["next_invoice_sequence"] += 1
    else:
        invoice["number"] = f"{world.token(8).upper()}-0001"
    token = world.token(40)
    invoice |= {
        "status": "open",
        "effective_at": invoice["effective_at"] or now,
        "automatically_finalizes_at": None,
        "hosted_invoice_url": f"{world.url}/i/{invoice['id']}/{token}",
        "invoice_pdf": f"{world.url}/i/{invoice['id']}/{token}/print",
        "_token": token,
    }
    invoice["status_transitions"]["finalized_at"] = now
    world.emit("invoice.finalized", invoice)
    if invoice["amount_due"] == 0:
        return settle(world, invoice)
    if not invoice.get("_paid_already"):
        _ask_for_payment(world, invoice)
    if invoice["due_date"]:
        world.at(invoice["due_date"], _overdue, invoice["id"])
    return invoice


def _use_balance(world: World, invoice: Obj, customer: Obj | None) -> None:
    """A credit pays first; what is negative or too little to be charged is carried to the customer's balance."""
    if customer is None or invoice.get("_paid_already"):
        return
    with world.changing("customer.updated", customer):
        before, total = customer["balance"], invoice["total"]
        if total < 0 or 0 < invoice["amount_due"] < MINIMUM.get(invoice["currency"], 50):
            customer["balance"] = before + total
            invoice |= {"amount_due": 0, "amount_remaining": 0}
        elif before < 0:
            customer["balance"] = min(0, before + total)
        elif before > 0 and total > 0:
            customer["balance"] = 0
        invoice |= {"starting_balance": before, "ending_balance": customer["balance"]}


def _ask_for_payment(world: World, invoice: Obj) -> None:
    keep = bool(invoice["parent"])  # a subscription's card is kept for its renewals
    intent = payments.make(
        world,
        invoice["amount_due"],
        invoice["currency"],
        customer=invoice["customer"],
        description="Subscription creation" if invoice["billing_reason"] == "subscription_create" else None,
        setup_future_usage="off_session" if keep else None,
        _invoice=invoice["id"],
    )
    link(world, invoice, intent)


def link(world: World, invoice: Obj, intent: Obj) -> None:
    """Note that an intent pays an invoice."""
    payment = world.id("inpay")
    invoice |= {"_intent": intent["id"], "_payment": payment}
    intent["_invoice"] = invoice["id"]
    world.add(
        {
            "id": payment,
            "object": "invoice_payment",
            "amount_paid": None,
            "amount_requested": invoice["amount_due"],
            "created": world.now(),
            "currency": invoice["currency"],
            "invoice": invoice["id"],
            "_intent": intent["id"],
            "is_default": True,
            "livemode": False,
            "payment": {"payment_intent": intent["id"], "type": "payment_intent"},
            "status": "open",
            "status_transitions": {"canceled_at": None, "paid_at": None},
        }
    )


def intent_of(world: World, invoice: Obj) -> Obj | None:
    """The payment intent of an open invoice."""
    return world.objects.get(invoice.get("_intent") or "")


def settle(world: World, invoice: Obj, *, amount: int | None = None, outside: bool = False) -> Obj:
    """The invoice is paid, by what it asked for or outside Stripe."""
    from local.stripe import billing

    if invoice["status"] == "paid":
        return invoice
    paid = invoice["amount_due"] if amount is None else amount
    with world.changing("invoice.updated", invoice):
        invoice |= {
            "status": "paid",
            "attempted": True,
            "amount_paid": paid,
            "amount_paid_off_stripe": paid if outside else 0,
            "amount_remaining": 0,
            "next_payment_attempt": None,
            "auto_advance": False,
        }
        invoice["status_transitions"]["paid_at"] = world.now()
    world.emit("invoice.paid", invoice)
    world.emit("invoice.payment_succeeded", invoice)
    billing.invoice_paid(world, invoice)
    return invoice


def paid_by(world: World, invoice: Obj, intent: Obj) -> None:
    """The intent has succeeded."""
    payment = world.objects[invoice["_payment"]]
    payment |= {"status": "paid", "amount_paid": intent["amount"]}
    payment["status_transitions"]["paid_at"] = world.now()
    world.emit("invoice_payment.paid", payment)
    if invoice["status"] in ("open", "uncollectible"):
        invoice["attempt_count"] += 1
        settle(world, invoice, amount=intent["amount"])


def collect(world: World, invoice: Obj, method: Obj | None = None, *, alone: bool = True) -> Obj:
    """Try to take the money. Raises Refusal where the card declines.

    `alone`: nobody is present. Where 3-D Secure is wanted the intent waits for it, the invoice counts as failed for
    now, and the next attempt is planned.
    """
    method = method or payment_method_of(world, invoice)
    intent = intent_of(world, invoice)
    if intent is None:
        raise unexpected_state("There is nothing to pay on this invoice.", "invoice_not_editable")
    if method is None:
        attempt_failed(world, invoice, alone=alone)
        raise Refusal(
            "This customer has no attached payment source or default payment method. Please consider adding a default"
            " payment method. For more information, visit https://stripe.com/docs/billing/subscriptions/payment.",
            code="resource_missing",
        )
    intent["_alone"] = alone
    try:
        payments.attempt(world, intent, method)
    finally:
        intent["_alone"] = False
    return invoice


def payment_method_of(world: World, invoice: Obj) -> Obj | None:
    """The card that is charged: the invoice's own, the subscription's, the customer's default."""
    subscription = world.objects.get(subscription_of(invoice) or "", {})
    customer = world.objects.get(invoice["customer"] or "", {"invoice_settings": {}})
    for name in (
        invoice["default_payment_method"],
        subscription.get("default_payment_method"),
        customer["invoice_settings"].get("default_payment_method"),
    ):
        if name and name in world.objects:
            return world.objects[name]
    return None


def subscription_of(invoice: Obj) -> str | None:
    """The id of the subscription that an invoice belongs to."""
    found = ((invoice["parent"] or {}).get("subscription_details") or {}).get("subscription")
    return found if isinstance(found, str) else None


def attempt_failed(world: World, invoice: Obj, *, alone: bool) -> None:
    """An attempt has come to nothing; Stripe's own are repeated."""
    from local.stripe import billing

    if invoice["status"] not in ("open", "uncollectible"):
        return
    invoice |= {"attempted": True, "attempt_count": invoice["attempt_count"] + 1}
    if alone:
        billing.plan_retry(world, invoice)
    world.emit("invoice.payment_failed", invoice)
    billing.invoice_failed(world, invoice)


def action_required(world: World, invoice: Obj) -> None:
    """3-D Secure is wanted; with nobody there this counts as a failure too."""
    world.emit("invoice.payment_action_required", invoice)
    intent = intent_of(world, invoice)
    if intent and intent.get("_alone"):
        attempt_failed(world, invoice, alone=True)


def void(world: World, invoice: Obj) -> Obj:
    """Open to void. Raises Refusal in another state."""
    if invoice["status"] not in ("open", "uncollectible"):
        raise unexpected_state(
            f"You can only pass in open invoices. This invoice isn't open (it is {invoice['status']}).",
            "invoice_not_editable",
        )
    from local.stripe import billing

    invoice |= {"status": "void", "next_payment_attempt": None, "auto_advance": False}
    invoice["status_transitions"]["voided_at"] = world.now()
    intent = intent_of(world, invoice)
    if intent and intent["status"] in payments.OPEN:
        payments.give_up(world, intent, "void_invoice")
        payment = world.objects[invoice["_payment"]]
        payment["status"] = "canceled"
        payment["status_transitions"]["canceled_at"] = world.now()
    world.emit("invoice.voided", invoice)
    billing.invoice_gone(world, invoice)
    return invoice


def uncollectible(world: World, invoice: Obj) -> Obj:
    """Open to uncollectible. Raises Refusal in another state."""
    if invoice["status"] != "open":
        raise unexpected_state("You can only mark an open invoice as uncollectible.", "invoice_not_editable")
    invoice |= {"status": "uncollectible", "next_payment_attempt": None, "auto_advance": False}
    invoice["status_transitions"]["marked_uncollectible_at"] = world.now()
    world.emit("invoice.marked_uncollectible", invoice)
    return invoice


def _overdue(world: World, invoice: str) -> None:
    from local.stripe import billing

    found = world.objects[invoice]
    if found["status"] == "open":
        world.emit("invoice.overdue", found)
        billing.invoice_failed(world, found)


@includes("invoice", "confirmation_secret")
def _confirmation_secret(world: World, invoice: Obj) -> Any:
    intent = intent_of(world, world.objects.get(invoice["id"], invoice))
    return {"client_secret": intent["client_secret"], "type": "payment_intent"} if intent else None


@includes("invoice", "payments")
def _payments(world: World, invoice: Obj) -> Any:
    payment = world.objects.get(world.objects.get(invoice["id"], invoice).get("_payment") or "")
    return listed(f"/v1/invoices/{invoice['id']}/payments", [clone(payment)] if payment else [])


def open_of(world: World, subscription: Obj) -> list[Obj]:
    """A subscription's open invoices."""
    found = [world.objects[each] for each in subscription["_invoices"] if each in world.objects]
    return [each for each in found if each["status"] == "open"]
