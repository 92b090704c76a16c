"""Invoice items: lines that wait for the customer's next invoice, or that are put on a draft."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from local.stripe import catalog, drafts
from local.stripe.customers import deleted
from local.stripe.errors import Refusal, unexpected_state
from local.stripe.lines import item_amount, line, product_name
from local.stripe.render import matching, page
from local.stripe.routes import Route
from local.stripe.world import Obj, World, clone, merge_metadata


def create(world: World, given: Obj) -> Obj:
    """`POST /v1/invoiceitems`."""
    invoice = world.get("invoice", given["invoice"], "invoice") if "invoice" in given else None
    if "customer" not in given and not invoice:
        raise Refusal("Missing required param: customer.", code="parameter_missing", param="customer")
    customer = world.get("customer", given.get("customer") or (invoice or {}).get("customer") or "", "customer")
    if invoice and invoice["status"] != "draft":
        raise unexpected_state("This invoice is no longer editable.", "invoice_not_editable")
    built = described(world, given, customer["id"])
    item = item_of(world, built, customer["id"], invoice["id"] if invoice else None)
    world.add(item)
    world.emit("invoiceitem.created", item)
    if invoice:
        invoice["lines"]["data"].append(built)
        drafts.recompute(world, invoice)
    return item


def described(world: World, given: Obj, customer: str) -> Obj:
    """The line for the parameters of an item."""
    quantity = given.get("quantity", 1)
    period = given.get("period") or {"start": world.now(), "end": world.now()}
    price = None
    if "pricing" in given or "price_data" in given or "price" in given:
        wanted: Obj = {"price": given["pricing"].get("price")} if "pricing" in given else given
        price = catalog.line_price(world, wanted, "pricing")
        amount, currency = item_amount(price, quantity), price["currency"]
    else:
        unit = given.get("unit_amount_decimal", given.get("unit_amount"))
        if "amount" not in given and unit is None:
            raise Refusal("You must pass either `amount`, `unit_amount_decimal` or `pricing`.", param="amount")
        amount = given["amount"] if "amount" in given else int(Decimal(str(unit)) * quantity)
        currency = given.get("currency", "jpy").lower()
    found = line(
        world,
        amount,
        currency,
        given.get("description") or (product_name(world, price) if price else ""),
        (period["start"], period["end"]),
        price=price,
        quantity=quantity,
        metadata=given.get("metadata") or {},
        tax_rates=given.get("tax_rates") or None,
        discountable=given.get("discountable", amount > 0),
    )
    details = {
        "invoice_item": world.id("ii"),
        "proration": False,
        "proration_details": {"credited_items": None},
        "subscription": given.get("subscription"),
    }
    found["parent"] = {
        "invoice_item_details": details,
        "subscription_item_details": None,
        "type": "invoice_item_details",
    }
    if "tax_behavior" in given:
        found["_tax_behavior"] = given["tax_behavior"]
    return found


def item_of(world: World, built: Obj, customer: str, invoice: str | None) -> Obj:
    """The invoice item behind a line; it keeps the line until an invoice takes it."""
    parent = built["parent"] or {}
    details = parent.get("invoice_item_details") or parent.get("subscription_item_details") or {}
    subscription = details.get("subscription")
    shown: Any = {"subscription": subscription, "subscription_item": details.get("subscription_item")}
    return {
        "id": details.get("invoice_item") or world.id("ii"),
        "object": "invoiceitem",
        "amount": built["amount"],
        "currency": built["currency"],
        "customer": customer,
        "customer_account": None,
        "date": world.now(),
        "description": built["description"],
        "discountable": built["discountable"],
        "discounts": [],
        "invoice": invoice,
        "livemode": False,
        "metadata": dict(built["metadata"]),
        "net_amount": built["amount"],
        "parent": {"subscription_details": shown, "type": "subscription_details"} if subscription else None,
        "period": dict(built["period"]),
        "pricing": clone(built["pricing"]),
        "proration": bool(details.get("proration")),
        "quantity": built["quantity"],
        "quantity_decimal": built["quantity_decimal"],
        "tax_rates": [world.objects[each] for each in built["_tax_rates"] or []],
        "test_clock": None,
        "_line": built,
    }


def keep_pending(world: World, subscription: Obj, lines: list[Obj]) -> None:
    """Leave prorations for the next invoice."""
    for each in lines:
        item = item_of(world, each, subscription["customer"], None)
        world.add(item)
        world.emit("invoiceitem.created", item)


def pending(world: World, customer: str, subscription: str | None) -> list[Obj]:
    """Items that the next invoice of a subscription would take: its own, and those of no subscription."""
    found = [each for each in world.find("invoiceitem", customer=customer) if not each["invoice"]]
    return [each for each in found if _subscription(each) in (None, subscription)]


def _subscription(item: Obj) -> str | None:
    details = (item["parent"] or {}).get("subscription_details") or {}
    return details.get("subscription")


def pending_lines(world: World, customer: str, subscription: str | None) -> list[Obj]:
    """Their lines. They stay pending until an invoice with them is opened."""
    return [each["_line"] for each in pending(world, customer, subscription)]


def taken(world: World, invoice: Obj) -> None:
    """The invoice has been opened: its items are pending no more."""
    for each in invoice["lines"]["data"]:
        parent = each["parent"] or {}
        details = parent.get("invoice_item_details") or parent.get("subscription_item_details") or {}
        item = world.objects.get(details.get("invoice_item") or "")
        if item:
            item["invoice"] = invoice["id"]


def update(world: World, given: Obj, item: str) -> Obj:
    """`POST /v1/invoiceitems/{id}`: what it says, while no invoice has taken it."""
    found = world.get("invoiceitem", item)
    for name in ("description", "amount"):
        if name in given:
            found[name] = found["_line"][name] = given[name]
            found["_line"]["subtotal"] = found["_line"]["amount"]
    merge_metadata(found, given.get("metadata"))
    if found["invoice"]:
        drafts.recompute(world, world.objects[found["invoice"]])
    return found


def delete(world: World, given: Obj, item: str) -> Obj:
    """`DELETE /v1/invoiceitems/{id}`."""
    found = world.get("invoiceitem", item)
    invoice = world.objects.get(found["invoice"] or "")
    if invoice:
        if invoice["status"] != "draft":
            raise unexpected_state("This invoice is no longer editable.", "invoice_not_editable")
        invoice["lines"]["data"].remove(found["_line"])
        drafts.recompute(world, invoice)
    world.remove(found)
    world.emit("invoiceitem.deleted", found)
    return deleted("invoiceitem", item)


def retrieve(world: World, given: Obj, item: str) -> Obj:
    """`GET /v1/invoiceitems/{id}`."""
    return world.get("invoiceitem", item)


def search(world: World, given: Obj) -> Obj:
    """`GET /v1/invoiceitems`."""
    found = matching(world.all("invoiceitem"), given, "customer", "invoice")
    if given.get("pending"):
        found = [each for each in found if not each["invoice"]]
    return page(world, "/v1/invoiceitems", found, {name: value for name, value in given.items() if name != "created"})


ROUTES = [
    Route("POST", "/v1/invoiceitems", create, "InvoiceItemCreateParams"),
    Route("GET", "/v1/invoiceitems", search, "InvoiceItemListParams"),
    Route("GET", "/v1/invoiceitems/{item}", retrieve, "InvoiceItemRetrieveParams"),
    Route("POST", "/v1/invoiceitems/{item}", update, "InvoiceItemUpdateParams"),
    Route("DELETE", "/v1/invoiceitems/{item}", delete, "InvoiceItemDeleteParams"),
]
