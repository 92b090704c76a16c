"""Invoices before anybody has seen them, and what parameters put on them."""

from __future__ import annotations

from typing import Any

from local.stripe.errors import Refusal
from local.stripe.lines import total_up
from local.stripe.render import listed
from local.stripe.world import DAY, Obj, World, merge_metadata


def new(world: World, customer: Obj | None, currency: str, lines: list[Obj], **members: Any) -> Obj:
    """An invoice that nobody has seen yet; `invoices.open_draft` stores it. Its totals are up to date."""
    identifier = world.id("in")
    customer = customer or {}
    now = world.now()
    invoice: Obj = {
        "id": identifier,
        "object": "invoice",
        "account_country": "JP",
        "account_name": world.settings["account_name"],
        "account_tax_ids": None,
        "amount_due": 0,
        "amount_overpaid": 0,
        "amount_paid": 0,
        "amount_remaining": 0,
        "amount_shipping": 0,
        "application": None,
        "attempt_count": 0,
        "attempted": False,
        "auto_advance": True,
        "automatic_tax": automatic_tax(None),
        "automatically_finalizes_at": None,
        "billing_reason": "manual",
        "collection_method": "charge_automatically",
        "created": now,
        "currency": currency,
        "custom_fields": (customer.get("invoice_settings") or {}).get("custom_fields"),
        "customer": customer.get("id"),
        "customer_account": None,
        "customer_address": customer.get("address"),
        "customer_email": customer.get("email"),
        "customer_name": customer.get("name"),
        "customer_phone": customer.get("phone"),
        "customer_shipping": customer.get("shipping"),
        "customer_tax_exempt": customer.get("tax_exempt"),
        "customer_tax_ids": [
            {"type": each["type"], "value": each["value"]}
            for each in world.all("tax_id")
            if each["customer"] and each["customer"] == customer.get("id")
        ],
        "default_payment_method": None,
        "default_source": None,
        "default_tax_rates": [],
        "description": None,
        "discounts": [],
        "due_date": None,
        "effective_at": None,
        "ending_balance": None,
        "footer": (customer.get("invoice_settings") or {}).get("footer"),
        "from_invoice": None,
        "hosted_invoice_url": None,
        "invoice_pdf": None,
        "issuer": {"type": "self"},
        "last_finalization_error": None,
        "latest_revision": None,
        "lines": listed(f"/v1/invoices/{identifier}/lines", lines),
        "livemode": False,
        "metadata": {},
        "next_payment_attempt": None,
        "number": None,
        "on_behalf_of": None,
        "parent": None,
        "payment_settings": {"default_mandate": None, "payment_method_options": None, "payment_method_types": None},
        "period_end": now,
        "period_start": now,
        "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0,
        "receipt_number": None,
        "rendering": None,
        "shipping_cost": None,
        "shipping_details": None,
        "starting_balance": 0,
        "statement_descriptor": None,
        "status": "draft",
        "status_transitions": {
            "finalized_at": None,
            "marked_uncollectible_at": None,
            "paid_at": None,
            "voided_at": None,
        },
        "test_clock": None,
        "webhooks_delivered_at": None,
        **members,
    }
    total_up(world, invoice, _coupon(world, invoice))
    return invoice


def automatic_tax(given: Obj | None) -> Obj:
    """The `automatic_tax` member for a parameter of that name."""
    on = bool((given or {}).get("enabled"))
    return {
        "disabled_reason": None,
        "enabled": on,
        "liability": {"type": "self"} if on else None,
        "provider": "stripe" if on else None,
        "status": "complete" if on else None,
    }


def needs_location(world: World, customer: Obj | None, given: Obj | None) -> None:
    """Raises Refusal where automatic tax is asked for and nobody knows where the customer is."""
    if (given or {}).get("enabled") and not ((customer or {}).get("address") or {}).get("country"):
        raise Refusal(
            "The customer's location isn't recognized. Set a valid customer address in order to automatically calculate"
            " tax.",
            code="customer_tax_location_invalid",
        )


def _coupon(world: World, invoice: Obj) -> Obj | None:
    return world.objects.get(invoice.get("_coupon") or "")


def recompute(world: World, invoice: Obj) -> None:
    """After a change of lines."""
    total_up(world, invoice, _coupon(world, invoice))


def due(world: World, given: Obj) -> int | None:
    """The due date that parameters ask for. Raises Refusal where they contradict the way of collection."""
    days, date = given.get("days_until_due"), given.get("due_date")
    if given.get("collection_method") == "send_invoice":
        if days is None and date is None:
            raise Refusal(
                "Invoices with `collection_method` set to `send_invoice` must have a `due_date` or"
                " `days_until_due` set.",
                param="days_until_due",
            )
        return int(date) if date is not None else world.now() + int(days or 0) * DAY
    if days is not None or date is not None:
        raise Refusal("You can only set `days_until_due` or `due_date` if `collection_method` is `send_invoice`.")
    return None


def put(invoice: Obj, given: Obj) -> None:
    """Members that parameters set as they are."""
    for name in (
        "account_tax_ids",
        "custom_fields",
        "description",
        "footer",
        "default_payment_method",
        "number",
        "effective_at",
        "statement_descriptor",
        "rendering",
    ):
        if name in given:
            invoice[name] = None if given[name] == "" else given[name]
    merge_metadata(invoice, given.get("metadata"))
