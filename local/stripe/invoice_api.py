"""The API's operations on invoices, previews among them."""

from __future__ import annotations

from typing import Any

from local.stripe import billing, cards, changes, drafts, invoice_items, invoices, subscriptions
from local.stripe.customers import deleted
from local.stripe.errors import Refusal, unexpected_state, unsupported
from local.stripe.render import listed, page
from local.stripe.routes import Route
from local.stripe.world import DAY, Obj, World, clone


def create(world: World, given: Obj) -> Obj:
    """`POST /v1/invoices`: a draft; pending items are left alone unless they are asked for."""
    customer = world.get("customer", given.get("customer", ""), "customer")
    if "subscription" in given:
        raise unsupported("invoices created for a subscription")
    due = drafts.due(world, given)
    drafts.needs_location(world, customer, given.get("automatic_tax"))
    take = given.get("pending_invoice_items_behavior", "exclude") == "include"
    lines = invoice_items.pending_lines(world, customer["id"], None) if take else []
    currency = given.get("currency") or (lines[0]["currency"] if lines else "jpy")
    rates = [clone(world.get("tax_rate", each, "default_tax_rates")) for each in given.get("default_tax_rates", [])]
    for each in given.get("account_tax_ids") or []:
        world.get("tax_id", each, "account_tax_ids")
    automatic = given.get("auto_advance", False)
    invoice = drafts.new(
        world,
        customer,
        currency.lower(),
        lines,
        auto_advance=automatic,
        automatic_tax=drafts.automatic_tax(given.get("automatic_tax")),
        collection_method=given.get("collection_method", "charge_automatically"),
        default_tax_rates=rates,
        due_date=due,
    )
    drafts.put(invoice, given)
    if automatic:
        invoice["automatically_finalizes_at"] = world.now() + invoices.DRAFT_SECONDS
        world.at(world.now() + invoices.DRAFT_SECONDS, billing.advance_invoice, invoice["id"])
    return invoices.open_draft(world, invoice)


def update(world: World, given: Obj, invoice: str) -> Obj:
    """`POST /v1/invoices/{id}`: of a draft everything, later only how it is kept."""
    found = world.get("invoice", invoice)
    if found["status"] != "draft" and given.keys() - {"metadata", "auto_advance", "default_payment_method"}:
        raise unexpected_state("This invoice is no longer editable.", "invoice_not_editable")
    with world.changing("invoice.updated", found):
        drafts.put(found, given)
        found["auto_advance"] = given.get("auto_advance", found["auto_advance"])
        found["collection_method"] = given.get("collection_method", found["collection_method"])
        if given.keys() & {"days_until_due", "due_date"}:
            found["due_date"] = drafts.due(world, {**given, "collection_method": found["collection_method"]})
        if "default_tax_rates" in given:
            found["default_tax_rates"] = [
                clone(world.get("tax_rate", each)) for each in given["default_tax_rates"] or []
            ]
        if "automatic_tax" in given:
            found["automatic_tax"] = drafts.automatic_tax(given["automatic_tax"])
        if found["status"] == "draft":
            drafts.recompute(world, found)
    return found


def finalize(world: World, given: Obj, invoice: str) -> Obj:
    """`POST /v1/invoices/{id}/finalize`."""
    found = world.get("invoice", invoice)
    found["auto_advance"] = given.get("auto_advance", found["auto_advance"])
    invoices.finalize(world, found)
    if found["auto_advance"] and found["status"] == "open" and found["collection_method"] == "charge_automatically":
        world.at(world.now() + invoices.DRAFT_SECONDS, _collect, found["id"])
    return found


def _collect(world: World, identifier: str) -> None:
    found = world.objects[identifier]
    if found["status"] == "open" and not found["attempted"]:
        billing.collect_or_send(world, found)


def send(world: World, given: Obj, invoice: str) -> Obj:
    """`POST /v1/invoices/{id}/send`: finalizes a draft first."""
    found = world.get("invoice", invoice)
    if found["collection_method"] != "send_invoice":
        raise Refusal(
            "You can only manually send an invoice if its collection method is 'send_invoice'.",
            code="invoice_not_editable",
        )
    if found["status"] == "draft":
        invoices.finalize(world, found)
    elif found["status"] not in ("open", "paid", "uncollectible"):
        raise unexpected_state(f"You can't send an invoice that is {found['status']}.", "invoice_not_editable")
    world.emit("invoice.sent", found)
    return found


def pay(world: World, given: Obj, invoice: str) -> Obj:
    """`POST /v1/invoices/{id}/pay`: by a saved card, or noted as paid elsewhere."""
    found = world.get("invoice", invoice)
    if found["status"] == "draft":
        invoices.finalize(world, found)
    if found["status"] == "paid":
        raise unexpected_state("Invoice is already paid", "invoice_already_paid")
    if found["status"] not in ("open", "uncollectible"):
        raise unexpected_state(f"This invoice can't be paid: it is {found['status']}.", "invoice_not_editable")
    if given.get("paid_out_of_band"):
        intent = invoices.intent_of(world, found)
        if intent:
            from local.stripe import payments

            payments.give_up(world, intent, "automatic")
        return invoices.settle(world, found, outside=True)
    method = cards.keep(world, cards.take(world, given["payment_method"])) if "payment_method" in given else None
    invoices.collect(world, found, method, alone=False)
    if found["status"] == "open":
        intent = invoices.intent_of(world, found)
        raise Refusal(
            "Invoice payment requires additional user action before completing successfully.",
            status=402,
            kind="card_error",
            code="invoice_payment_intent_requires_action",
            payment_intent=clone(intent),
        )
    return found


def void(world: World, given: Obj, invoice: str) -> Obj:
    """`POST /v1/invoices/{id}/void`."""
    return invoices.void(world, world.get("invoice", invoice))


def mark_uncollectible(world: World, given: Obj, invoice: str) -> Obj:
    """`POST /v1/invoices/{id}/mark_uncollectible`."""
    return invoices.uncollectible(world, world.get("invoice", invoice))


def delete(world: World, given: Obj, invoice: str) -> Obj:
    """`DELETE /v1/invoices/{id}`: a draft only."""
    found = world.get("invoice", invoice)
    if found["status"] != "draft":
        raise unexpected_state("You can only delete draft invoices.", "invoice_not_editable")
    world.remove(found)
    world.emit("invoice.deleted", found)
    return deleted("invoice", invoice)


def retrieve(world: World, given: Obj, invoice: str) -> Obj:
    """`GET /v1/invoices/{id}`."""
    return world.get("invoice", invoice)


def search(world: World, given: Obj) -> Obj:
    """`GET /v1/invoices`."""
    found = world.find("invoice", **{name: given.get(name) for name in ("customer", "status", "collection_method")})
    if "subscription" in given:
        found = [each for each in found if invoices.subscription_of(each) == given["subscription"]]
    return page(world, "/v1/invoices", found, given)


def lines(world: World, given: Obj, invoice: str) -> Obj:
    """`GET /v1/invoices/{id}/lines`."""
    found = world.get("invoice", invoice)["lines"]["data"]
    limit = given.get("limit", 10)
    return listed(f"/v1/invoices/{invoice}/lines", found[:limit], has_more=len(found) > limit)


def search_payments(world: World, given: Obj) -> Obj:
    """`GET /v1/invoice_payments`, by invoice or by payment intent."""
    wanted = (given.get("payment") or {}).get("payment_intent")
    found = world.find("invoice_payment", invoice=given.get("invoice"), status=given.get("status"), _intent=wanted)
    return page(world, "/v1/invoice_payments", found, given)


def retrieve_payment(world: World, given: Obj, payment: str) -> Obj:
    """`GET /v1/invoice_payments/{id}`."""
    return world.get("invoice_payment", payment)


# Previews


def preview(world: World, given: Obj) -> Obj:
    """`POST /v1/invoices/create_preview`: what would be billed; nothing changes."""
    for name in ("schedule", "schedule_details", "customer_details"):
        if name in given:
            raise unsupported(f"a preview by {name}")
    details = given.get("subscription_details") or {}
    if "subscription" in given:
        found = world.get("subscription", given["subscription"], "subscription")
        if found["status"] in billing.OVER:
            raise Refusal("No upcoming invoices for a canceled subscription.", code="invoice_upcoming_none")
        return _upcoming(_preview_of(world, found, details, given))
    customer = world.get("customer", given.get("customer", ""), "customer")
    if details.get("items"):
        asked = {**given, **details, "discounts": given.get("discounts")}
        subscription = subscriptions.new(world, customer, asked)
        return _upcoming(subscriptions.first_invoice(world, subscription, {}))
    items = [invoice_items.described(world, each, customer["id"]) for each in given.get("invoice_items") or []]
    items += invoice_items.pending_lines(world, customer["id"], None)
    if not items:
        raise Refusal(f"No upcoming invoices for customer: {customer['id']}", status=404, code="invoice_upcoming_none")
    automatic = drafts.automatic_tax(given.get("automatic_tax"))
    return _upcoming(drafts.new(world, customer, items[0]["currency"], items, automatic_tax=automatic))


def _preview_of(world: World, found: Obj, details: Obj, given: Obj) -> Obj:
    """Of a change, or of the next renewal. Works on a copy, so that nothing is left behind."""
    copy: Obj = {**found, "items": clone(found["items"])}
    behavior = details.get("proration_behavior", "create_prorations")
    at = int(details.get("proration_date") or world.now())
    lines: list[Obj] = []
    anew = False
    if details.get("items"):
        _without_products(details["items"])
        items = changes.changed_items(world, found, details["items"])
        anew = changes.begins_anew(found, items, details)
        lines = [] if behavior == "none" else changes.prorations(world, found, items, at, anew=anew)
        copy["items"]["data"] = items
    elif details.get("cancel_now"):
        lines = changes.prorations(world, found, [], at)
    pending = [
        clone(each) | _inner(each) for each in invoice_items.pending_lines(world, found["customer"], found["id"])
    ]
    if anew:
        copy["billing_cycle_anchor"] = at
        end = billing.turn_after(copy, at)
        billing.set_period(copy, at, end)
        lines = [*pending, *lines, *billing.period_lines(world, copy, at, end)]
        reason, start, until = "subscription_update", at, end
    elif (behavior == "always_invoice" and details.get("items")) or details.get("cancel_now"):
        lines = [*pending, *lines]
        reason, start, until = "subscription_update", at, at
    else:
        ends = billing.period_end(found)
        if found["cancel_at_period_end"] and not details.get("items"):
            raise Refusal(
                "No upcoming invoices: the subscription is set to be canceled.",
                status=404,
                code="invoice_upcoming_none",
            )
        until = billing.turn_after(copy, ends)
        before = int(billing.items_of(found)[0]["current_period_start"])
        lines = [*pending, *lines, *billing.period_lines(world, copy, ends, until, before)]
        reason, start, until = "upcoming", before, ends
    return billing.invoice_for(
        world,
        copy,
        lines,
        reason,
        parent=billing.parent(found, at if details.get("items") else None),
        period_start=start,
        period_end=until,
    )


def _inner(line: Obj) -> Obj:
    """The stand-in's own members of a line, which a clone loses."""
    return {name: value for name, value in line.items() if name[:1] == "_"}


def _without_products(items: list[Obj]) -> None:
    for each in items:
        if "product_data" in (each.get("price_data") or {}):
            raise unsupported("a preview with product_data")


def _upcoming(invoice: Obj) -> Obj:
    suffix = invoice["id"].removeprefix("in_")
    invoice |= {"id": f"upcoming_in_{suffix}", "next_payment_attempt": invoice["created"] + DAY // 24}
    for each in invoice["lines"]["data"]:
        each["invoice"] = invoice["id"]
    return invoice


_ACTIONS: list[tuple[str, Any, str]] = [
    ("finalize", finalize, "InvoiceFinalizeInvoiceParams"),
    ("send", send, "InvoiceSendInvoiceParams"),
    ("pay", pay, "InvoicePayParams"),
    ("void", void, "InvoiceVoidInvoiceParams"),
    ("mark_uncollectible", mark_uncollectible, "InvoiceMarkUncollectibleParams"),
]
ROUTES = [
    Route("POST", "/v1/invoices", create, "InvoiceCreateParams"),
    Route("GET", "/v1/invoices", search, "InvoiceListParams"),
    Route("POST", "/v1/invoices/create_preview", preview, "InvoiceCreatePreviewParams"),
    Route("GET", "/v1/invoices/{invoice}", retrieve, "InvoiceRetrieveParams"),
    Route("POST", "/v1/invoices/{invoice}", update, "InvoiceUpdateParams"),
    Route("DELETE", "/v1/invoices/{invoice}", delete, "InvoiceDeleteParams"),
    Route("GET", "/v1/invoices/{invoice}/lines", lines, "InvoiceLineItemListParams"),
    *(Route("POST", f"/v1/invoices/{{invoice}}/{name}", do, params) for name, do, params in _ACTIONS),
    Route("GET", "/v1/invoice_payments", search_payments, "InvoicePaymentListParams"),
    Route("GET", "/v1/invoice_payments/{payment}", retrieve_payment, "InvoicePaymentRetrieveParams"),
]
