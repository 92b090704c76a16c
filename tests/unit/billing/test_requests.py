"""What we ask of Stripe: checked against the SDK's own types, in whole minor units, each creation by a key of ours."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from bench.stripe_flows import (
    BY_CARD,
    FLOWS,
    IN_APP,
    Step,
    buy,
    days,
    page_for,
    pay_invoice,
    pay_page,
    subscribe,
)
from bench.stripe_orders import orderly
from bench.stripe_rig import TENANT, Rig
from local.stripe import contract
from local.stripe.api import ROUTES, Request, decode
from noren.billing.stripe import API_VERSION
from noren.settings import Settings

NUMBER = "T1234567890123"
KEYLESS = {
    "POST /v1/billing_portal/sessions",  # a link for minutes
    "POST /v1/customers/{customer}",  # which card is the default
    "POST /v1/invoices/create_preview",
    "POST /v1/payment_methods/{method}/detach",
    "POST /v1/subscription_schedules/{schedule}",
    "POST /v1/subscription_schedules/{schedule}/release",
    "POST /v1/subscriptions/{subscription}",  # cancel, resume
}
"""Writes that make neither money nor anything else, and are the same when they are repeated."""
EXTRA: tuple[Step, ...] = (
    lambda rig: rig.billing.portal(rig.tenant),
    lambda rig: rig.billing.preview(rig.tenant, "pro"),
    lambda rig: rig.billing.change_plan(rig.tenant, "pro"),
    lambda rig: rig.billing.change_plan(rig.tenant, "starter"),
    lambda rig: rig.billing.resume_plan(rig.tenant),
    lambda rig: rig.billing.cards(rig.tenant),
    lambda rig: rig.billing.set_default_card(rig.tenant, rig.billing.cards(rig.tenant)[0][0].id),
)
OURS = re.compile(r"(customer|price|plan|order|subscribe|change|card|meter|schedule)-")
"""How our keys begin. The SDK's own are of one call: no repetition of ours has the same."""


def operation(request: Request) -> tuple[str, Any]:
    path = request.target.partition("?")[0]
    route = next(each for each in ROUTES if each.method == request.method and each.pattern.fullmatch(path))
    return f"{route.method} {route.path}", route.type


@cache
def asked() -> list[tuple[Request, int, str]]:
    """Every request of every flow."""
    found = []
    for steps in [*((*flow.given, *flow.steps) for flow in FLOWS), IN_APP + EXTRA]:
        rig = Rig()
        orderly(rig, steps)
        found += rig.line.requests
    return found


def test_every_request_is_one_that_the_sdks_types_know() -> None:
    operations = set()
    for request, status, answer in asked():
        name, params = operation(request)
        operations.add(name)
        query = request.target.partition("?")[2]
        contract.read(params, decode(request.body if request.method == "POST" else query))  # raises Refusal
        assert status in (200, 402), (name, answer)
        assert request.headers["Stripe-Version"] == API_VERSION
    assert len(operations) >= 33, sorted(operations)


def test_what_the_types_do_not_know_would_be_found() -> None:
    rig = Rig()
    rig.billing.customer_of(rig.tenant)
    request, _, _ = rig.line.requests[-1]
    with pytest.raises(Exception, match="unknown parameter: surname"):
        contract.read(operation(request)[1], decode(request.body + "&surname=Aya"))


def test_every_write_that_makes_something_carries_a_key_of_ours() -> None:
    keyless = set()
    for request, _, _ in asked():
        if request.method == "POST" and not OURS.match(request.headers.get("Idempotency-Key", "")):
            billed = "items" in decode(request.body)
            keyless.add(operation(request)[0] + (" (items)" if billed else ""))
    assert keyless == KEYLESS


@pytest.mark.parametrize(
    ("currency", "plan", "package"), [("JPY", 7_800, 1_500), ("KRW", 73_000, 14_000), ("USD", 5_200, 1_000)]
)
def test_amounts_are_minor_units_and_never_multiplied(currency: str, plan: int, package: int) -> None:
    rig = Rig(tenant=replace(TENANT, currency=currency))
    orderly(rig, (page_for("starter"), BY_CARD, buy(key="page"), buy("invoice", key="invoice")))
    sent: dict[str, Any] = {}
    for request, _, _ in rig.line.requests:
        if request.method == "POST":
            sent.setdefault(request.target, []).append(decode(request.body))
    code = currency.lower()
    (price,) = sent["/v1/prices"]
    assert (price["unit_amount"], price["currency"], price["tax_behavior"]) == (str(plan), code, "inclusive")
    (payment,) = sent["/v1/payment_intents"]
    assert (payment["amount"], payment["currency"]) == (str(package), code)
    page = sent["/v1/checkout/sessions"][1]["line_items"]["0"]["price_data"]
    assert (page["unit_amount"], page["currency"]) == (str(package), code)
    (line,) = sent["/v1/invoiceitems"]
    assert (line["amount"], line["currency"]) == (str(package), code)
    assert rig.last("invoice")["amount_due"] == package


PAID_BY_INVOICE: dict[str, tuple[Step, ...]] = {
    "plan by Checkout and its renewal": (page_for("enterprise"), pay_page(), days(32)),
    "plan in the app": IN_APP,
    "credits by Checkout": (buy(), pay_page()),
    "company invoice": (buy("invoice"), pay_invoice("pm_card_visa")),
}


@pytest.mark.parametrize("steps", PAID_BY_INVOICE.values(), ids=PAID_BY_INVOICE)
@pytest.mark.parametrize("on", [True, False])
def test_tax_and_the_qualified_number_stand_on_every_invoice_or_on_none(steps: tuple[Step, ...], on: bool) -> None:
    switched = {"stripe_tax": "true", "invoice_registration_number": NUMBER} if on else {}
    rig = Rig(settings=Settings(console_url="https://console.example", **switched))
    orderly(rig, steps)
    invoices = rig.stripe.world.all("invoice")
    assert invoices
    for invoice in invoices:
        taxes = invoice["total_taxes"] or []
        shown = f"{invoice['custom_fields']} {invoice['footer']}"
        assert invoice["status"] == "paid"
        if on:
            (tax,) = taxes
            assert (tax["tax_behavior"], tax["amount"]) == ("inclusive", round(invoice["total"] * 10 / 110))
            assert shown.count(NUMBER) == 2
        else:
            assert taxes == []
            assert NUMBER not in shown


def test_where_nobody_knows_the_address_the_owner_is_told_what_to_do() -> None:
    rig = Rig(
        tenant=replace(TENANT, currency="USD"),
        settings=Settings(console_url="https://console.example", stripe_tax="true"),
    )
    with pytest.raises(Exception, match="address") as refused:
        subscribe()(rig)
    assert getattr(refused.value, "code", "") == "address_needed"
