"""Customers and tax ids."""

from __future__ import annotations

from typing import Any

from local.stripe import cards
from local.stripe.errors import missing
from local.stripe.render import includes, listed, matching, page
from local.stripe.routes import Route
from local.stripe.world import Obj, World, merge_metadata

_UNVERIFIED = {"status": "unavailable", "verified_address": None, "verified_name": None}
_PLAIN: tuple[str, ...] = (
    "address",
    "description",
    "email",
    "name",
    "phone",
    "preferred_locales",
    "shipping",
    "tax_exempt",
    "balance",
)
_PLAIN += ("business_name", "individual_name")


def create(world: World, given: Obj) -> Obj:
    """`POST /v1/customers`."""
    customer: Obj = {
        "id": world.id("cus"),
        "object": "customer",
        "address": None,
        "balance": 0,
        "business_name": None,
        "created": world.now(),
        "currency": None,
        "customer_account": None,
        "default_source": None,
        "delinquent": False,
        "description": None,
        "discount": None,
        "email": None,
        "individual_name": None,
        "invoice_prefix": world.token(8).upper(),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": {},
        "name": None,
        "next_invoice_sequence": 1,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }
    _put(world, customer, given)
    if "payment_method" in given:
        method = cards.take(world, given["payment_method"])
        if decline := cards.behind(method).attach:
            raise cards.card_error(decline)
        world.add(customer)
        world.emit("customer.created", customer)
        cards.own(world, method, customer)
    else:
        world.add(customer)
        world.emit("customer.created", customer)
    for each in given.get("tax_id_data", []):
        create_tax_id(world, each, customer["id"])
    return customer


def _put(world: World, customer: Obj, given: Obj) -> None:
    for name in _PLAIN:
        if name in given:
            customer[name] = None if given[name] == "" else given[name]
    for name, value in (given.get("invoice_settings") or {}).items():
        if name == "default_payment_method" and value:
            method = world.get("payment_method", value, "invoice_settings[default_payment_method]")
            if method["customer"] != customer["id"]:
                param = "invoice_settings[default_payment_method]"
                refusal = missing("payment_method", value, param)
                refusal.error["message"] += (
                    "; It's possible that this PaymentMethod is not attached to the customer, or belongs to another."
                )
                raise refusal
        customer["invoice_settings"][name] = None if value == "" else value
    merge_metadata(customer, given.get("metadata"))


def retrieve(world: World, given: Obj, customer: str) -> Obj:
    """`GET /v1/customers/{id}`: of a deleted one only that it was."""
    if customer in world.kinds.get("_deleted_customer", {}):
        return deleted("customer", customer)
    return world.get("customer", customer)


def update(world: World, given: Obj, customer: str) -> Obj:
    """`POST /v1/customers/{id}`."""
    found = world.get("customer", customer)
    with world.changing("customer.updated", found):
        _put(world, found, given)
    return found


def delete(world: World, given: Obj, customer: str) -> Obj:
    """`DELETE /v1/customers/{id}`: subscriptions end at once, cards are detached."""
    from local.stripe import billing

    found = world.get("customer", customer)
    for each in world.find("subscription", customer=customer):
        if each["status"] not in billing.OVER:
            billing.end(world, each, reason="cancellation_requested")
    for each in world.find("payment_method", customer=customer):
        each["customer"], each["_spent"] = None, True
    world.emit("customer.deleted", found)
    world.remove(found)
    world.kinds.setdefault("_deleted_customer", {})[customer] = found
    return deleted("customer", customer)


def deleted(kind: str, identifier: str) -> Obj:
    """What remains of a deleted object."""
    return {"id": identifier, "object": kind, "deleted": True}


def search(world: World, given: Obj) -> Obj:
    """`GET /v1/customers`."""
    return page(world, "/v1/customers", matching(world.all("customer"), given, "email"), given)


@includes("customer", "subscriptions")
def _subscriptions(world: World, customer: Obj) -> Any:
    found = world.find("subscription", customer=customer["id"])
    alive = [each for each in reversed(found) if each["status"] not in ("canceled", "incomplete_expired")]
    return listed(f"/v1/customers/{customer['id']}/subscriptions", alive)


@includes("customer", "tax_ids")
def _tax_ids(world: World, customer: Obj) -> Any:
    found = [each for each in world.all("tax_id") if each["customer"] == customer["id"]]
    return listed(f"/v1/customers/{customer['id']}/tax_ids", found)


@includes("customer", "tax")
def _tax(world: World, customer: Obj) -> Any:
    located = bool((customer["address"] or {}).get("country"))
    return {
        "automatic_tax": "supported" if located else "unrecognized_location",
        "ip_address": None,
        "location": None,
        "provider": "stripe",
    }


def create_tax_id(world: World, given: Obj, customer: str | None = None) -> Obj:
    """`POST /v1/customers/{id}/tax_ids`, and `POST /v1/tax_ids` for the account's own."""
    owner = given.get("owner") or {"type": "customer" if customer else "self"}
    customer = customer or owner.get("customer")
    if customer:
        world.get("customer", customer)
    tax_id = {
        "id": world.id("txi"),
        "object": "tax_id",
        "country": given["type"][:2].upper(),
        "created": world.now(),
        "customer": customer,
        "customer_account": None,
        "livemode": False,
        "owner": {"account": None, "application": None, "customer": customer, "type": owner["type"]},
        "type": given["type"],
        "value": given["value"],
        "verification": _UNVERIFIED if customer else None,
    }
    world.add(tax_id)
    if customer:
        world.emit("customer.tax_id.created", tax_id)
    return tax_id


def search_tax_ids(world: World, given: Obj, customer: str | None = None) -> Obj:
    """`GET /v1/customers/{id}/tax_ids` and `GET /v1/tax_ids`."""
    url = f"/v1/customers/{customer}/tax_ids" if customer else "/v1/tax_ids"
    return page(world, url, matching(world.all("tax_id"), {"customer": customer}, "customer"), given)


def delete_tax_id(world: World, given: Obj, tax_id: str, customer: str | None = None) -> Obj:
    """`DELETE /v1/tax_ids/{id}` and below a customer."""
    found = world.get("tax_id", tax_id)
    world.remove(found)
    if found["customer"]:
        world.emit("customer.tax_id.deleted", found)
    return deleted("tax_id", tax_id)


def retrieve_tax_id(world: World, given: Obj, tax_id: str) -> Obj:
    """`GET /v1/tax_ids/{id}`."""
    return world.get("tax_id", tax_id)


ROUTES = [
    Route("POST", "/v1/customers", create, "CustomerCreateParams"),
    Route("GET", "/v1/customers", search, "CustomerListParams"),
    Route("GET", "/v1/customers/{customer}", retrieve, "CustomerRetrieveParams"),
    Route("POST", "/v1/customers/{customer}", update, "CustomerUpdateParams"),
    Route("DELETE", "/v1/customers/{customer}", delete, "CustomerDeleteParams"),
    Route("POST", "/v1/customers/{customer}/tax_ids", create_tax_id, "CustomerTaxIdCreateParams"),
    Route("GET", "/v1/customers/{customer}/tax_ids", search_tax_ids, "CustomerTaxIdListParams"),
    Route("DELETE", "/v1/customers/{customer}/tax_ids/{tax_id}", delete_tax_id, "CustomerTaxIdDeleteParams"),
    Route("POST", "/v1/tax_ids", create_tax_id, "TaxIdCreateParams"),
    Route("GET", "/v1/tax_ids", search_tax_ids, "TaxIdListParams"),
    Route("GET", "/v1/tax_ids/{tax_id}", retrieve_tax_id, "TaxIdRetrieveParams"),
    Route("DELETE", "/v1/tax_ids/{tax_id}", delete_tax_id, "TaxIdDeleteParams"),
]
