"""What paying for a Checkout Session leads to: intents, customers, subscriptions, receipts, its end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from local.stripe import cards, customers, drafts, invoices, payments, setups, subscriptions
from local.stripe.checkout import reckon
from local.stripe.errors import Refusal
from local.stripe.lines import line
from local.stripe.world import Obj, World


@dataclass(frozen=True, slots=True)
class Person:
    """What is typed on the page beside the card."""

    email: str | None = None
    name: str | None = None
    country: str | None = "JP"
    tax_id: Obj | None = field(default=None)


def submit(world: World, session: Obj, method: Obj, person: Person) -> str | None:
    """Pay. Returns the page to go to for 3-D Secure, None when it is done. Raises Refusal where the card declines."""
    if session["status"] != "open":
        raise Refusal("This Checkout Session is no longer open.")
    customer = _customer(world, session, person)
    if session["automatic_tax"]["enabled"]:
        session["automatic_tax"]["status"] = "complete"
        reckon(world, session)
    cards.keep(world, method)
    if session["mode"] == "setup":
        return _next_page(setups.attempt(world, _setup_intent(world, session), method, return_url=session["url"]))
    if session["mode"] == "payment":
        return _next_page(payments.attempt(world, _intent(world, session), method, return_url=session["url"]))
    assert customer is not None
    if session["amount_total"]:
        decline = cards.refusal(method, "charge", off_session=False, authenticated=False)
        if decline == "authentication_required":
            challenge = world.add(
                {"id": world.id("3ds"), "object": "_challenge", "intent": session["id"], "return_url": session["url"]}
            )
            session["_method"] = method["id"]
            return f"{world.url}/3ds/{challenge['id']}"
        if decline:
            # No subscription comes of it: the attempt shows as a payment of its own.
            intent = payments.make(world, session["amount_total"], session["currency"], customer=customer["id"])
            payments.attempt(world, intent, method)
    _subscribe(world, session, customer, method)
    return None


def submit_later(world: World, session: Obj, person: Person) -> None:
    """Choose to pay at a convenience store. Raises Refusal where that is not offered."""
    if session["mode"] != "payment" or "konbini" not in session["payment_method_types"] or session["status"] != "open":
        raise Refusal("This payment method is not available.")
    _customer(world, session, person)
    payments.start_konbini(world, _intent(world, session), cards.konbini(world, person.email))
    _complete(world, session, "unpaid")


def authenticated(world: World, session: Obj, *, passed: bool) -> Obj:
    """Back from 3-D Secure with a subscription's card."""
    method = world.objects[session.get("_method") or ""]
    if session["status"] == "open" and passed:
        method["_set_up"] = True
        _subscribe(world, session, world.objects[session["customer"]], method)
    elif session["status"] == "open":
        session["_error"] = "payment_intent_authentication_failure"
    return session


def _next_page(intent: Obj) -> str | None:
    if intent["status"] != "requires_action":
        return None
    return str(intent["next_action"]["redirect_to_url"]["url"])


def _customer(world: World, session: Obj, person: Person) -> Obj | None:
    """The session's customer, made now where one is needed, with what was typed."""
    future = session["_payment_intent_data"].get("setup_future_usage")
    if not session["customer"] and (session["mode"] != "payment" or future or session["customer_creation"] == "always"):
        made = customers.create(world, {"email": person.email, "name": person.name})
        made["address"] = _address(person)
        session["customer"] = made["id"]
    customer = world.objects.get(session["customer"] or "")
    if customer:
        with world.changing("customer.updated", customer):
            if session["_customer_update"].get("address") == "auto":
                customer["address"] = customer["address"] or _address(person)
            if session["_customer_update"].get("name") == "auto" and person.name:
                customer["name"] = person.name
        if person.tax_id and session["tax_id_collection"]["enabled"]:
            customers.create_tax_id(world, person.tax_id, customer["id"])
    session["customer_details"] = {
        "address": _address(person),
        "business_name": None,
        "email": person.email or (customer or {}).get("email"),
        "individual_name": None,
        "name": person.name or (customer or {}).get("name"),
        "phone": None,
        "tax_exempt": "none",
        "tax_ids": [person.tax_id] if person.tax_id else [],
    }
    return customer


def _address(person: Person) -> Obj:
    return {**dict.fromkeys(("city", "line1", "line2", "postal_code", "state")), "country": person.country}


def _intent(world: World, session: Obj) -> Obj:
    data = session["_payment_intent_data"]
    found = world.objects.get(session["payment_intent"] or "")
    if found is None:
        found = payments.make(
            world,
            session["amount_total"],
            session["currency"],
            customer=session["customer"],
            description=data.get("description"),
            metadata=data.get("metadata", {}),
            payment_method_types=session["payment_method_types"],
            receipt_email=data.get("receipt_email"),
            setup_future_usage=data.get("setup_future_usage"),
            _session=session["id"],
        )
        session["payment_intent"] = found["id"]
    found["amount"] = session["amount_total"]
    return found


def _setup_intent(world: World, session: Obj) -> Obj:
    found = world.objects.get(session["setup_intent"] or "")
    if found is None:
        data = session["_setup_intent_data"]
        members: Any = {"description": data.get("description"), "metadata": data.get("metadata", {})}
        found = setups.make(world, customer=session["customer"], _session=session["id"], **members)
        session["setup_intent"] = found["id"]
    return found


def _subscribe(world: World, session: Obj, customer: Obj, method: Obj) -> None:
    cards.own(world, method, customer)
    data = session["_subscription_data"]
    recurring = [each for each in session["_lines"] if each["price"]["recurring"]]
    given: Obj = {
        **{name: value for name, value in data.items() if name != "proration_behavior"},
        "items": [_item(each) for each in recurring],
        "add_invoice_items": [_item(each) for each in session["_lines"] if not each["price"]["recurring"]],
        "default_payment_method": method["id"],
        "automatic_tax": {"enabled": session["automatic_tax"]["enabled"]},
        "discounts": [{"coupon": session["_coupon"]}] if session["_coupon"] else None,
        "payment_behavior": "default_incomplete",
        "metadata": data.get("metadata", {}),
    }
    for each in recurring:
        # A price_data of the session is a price by now, though not an active one.
        world.objects[each["price"]["id"]]["active"] = True
    subscription = subscriptions.start(world, subscriptions.new(world, customer, given), given)
    invoice = world.objects[subscription["latest_invoice"]]
    session |= {"subscription": subscription["id"], "invoice": invoice["id"]}
    intent = invoices.intent_of(world, invoice)
    if intent is None:
        _complete(world, session, "no_payment_required")
        return
    intent["_session"] = session["id"]
    payments.attempt(world, intent, method, authenticated=True)


def _item(line: Obj) -> Obj:
    shown = {"price": line["price"]["id"], "tax_rates": line["_rates"]}
    return shown if line["quantity"] is None else {**shown, "quantity": line["quantity"]}


def paid(world: World, session: Obj, intent: Obj) -> None:
    """The session's payment has come, now or later."""
    _count_code(world, session)
    if (session["invoice_creation"] or {}).get("enabled"):
        _receipt(world, session, intent)
    if session["status"] == "open":
        _complete(world, session, "paid")
    elif session["payment_status"] == "unpaid":
        session["payment_status"] = "paid"
        world.emit("checkout.session.async_payment_succeeded", session)


def _count_code(world: World, session: Obj) -> None:
    for each in session["discounts"]:
        for identifier in (each.get("promotion_code"), session["_coupon"]):
            if identifier in world.objects:
                world.objects[identifier]["times_redeemed"] += 1


def _receipt(world: World, session: Obj, intent: Obj) -> None:
    """The paid invoice that `invoice_creation` asks for."""
    data = session["invoice_creation"]["invoice_data"]
    now = world.now()
    lines = [
        line(
            world,
            each["amount_subtotal"],
            each["currency"],
            each["description"],
            (now, now),
            price=each["price"],
            quantity=each["quantity"],
            tax_rates=each["_rates"] or None,
        )
        for each in session["_lines"]
    ]
    customer = world.objects.get(session["customer"] or "")
    invoice = drafts.new(
        world,
        customer,
        session["currency"],
        lines,
        automatic_tax=drafts.automatic_tax(session["automatic_tax"]),
        auto_advance=False,
        _coupon=session["_coupon"],
        _paid_already=True,
    )
    if customer is None:
        invoice["customer_email"] = session["customer_details"]["email"]
        invoice["customer_name"] = session["customer_details"]["name"]
    drafts.put(invoice, data)
    invoices.open_draft(world, invoice)
    invoices.finalize(world, invoice)
    if invoice["status"] == "open":
        invoices.link(world, invoice, intent)
        invoices.paid_by(world, invoice, intent)
    session["invoice"] = invoice["id"]


def payment_failed(world: World, session: Obj) -> None:
    """A payment that was to come later never will."""
    if session["status"] == "complete" and session["payment_status"] == "unpaid":
        world.emit("checkout.session.async_payment_failed", session)


def set_up(world: World, session: Obj, intent: Obj) -> None:
    """The card of a session in setup mode is saved."""
    _complete(world, session, "no_payment_required")


def _complete(world: World, session: Obj, payment_status: str) -> None:
    session |= {"status": "complete", "payment_status": payment_status, "url": None}
    world.emit("checkout.session.completed", session)
