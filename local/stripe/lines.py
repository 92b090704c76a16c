"""The arithmetic of invoices: periods, lines, prorations by the second, discounts, consumption tax, totals."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from local.stripe.catalog import reduction
from local.stripe.world import Obj, World, clone, currency_symbol

CONSUMPTION_TAX = 10
"""Percent, of automatic tax: Japan's standard rate."""


def rounded(amount: Decimal) -> int:
    """To whole minor units, half away from zero."""
    return int(amount.quantize(Decimal(1), ROUND_HALF_UP))


# Periods


def next_turn(anchor: int, after: int, interval: str, count: int) -> int:
    """The first moment of the rhythm anchored at `anchor` that lies after `after`."""
    if interval in ("day", "week"):
        step = count * 86_400 * (7 if interval == "week" else 1)
        return anchor + ((after - anchor) // step + 1) * step
    months = count * (12 if interval == "year" else 1)
    start, now = datetime.fromtimestamp(anchor, UTC), datetime.fromtimestamp(after, UTC)
    turns = max(0, ((now.year - start.year) * 12 + now.month - start.month) // months)
    while (turn := _plus_months(start, turns * months)) <= after:
        turns += 1
    return turn


def _plus_months(start: datetime, months: int) -> int:
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    day = min(start.day, calendar.monthrange(year, month + 1)[1])
    return int(start.replace(year=year, month=month + 1, day=day).timestamp())


# Lines


def line(
    world: World,
    amount: int,
    currency: str,
    description: str,
    period: tuple[int, int],
    *,
    parent: Obj | None = None,
    price: Obj | None = None,
    quantity: int = 1,
    subscription: str | None = None,
    metadata: Obj | None = None,
    tax_rates: list[str] | None = None,
    discountable: bool = True,
) -> Obj:
    """One line of an invoice, without its taxes and discounts."""
    details = {"price": price["id"], "product": price["product"]} if price else None
    unit = price["unit_amount_decimal"] if price else str(amount)
    return {
        "id": world.id("il"),
        "object": "line_item",
        "amount": amount,
        "currency": currency,
        "description": description,
        "discount_amounts": [],
        "discountable": discountable,
        "discounts": [],
        "invoice": None,
        "livemode": False,
        "metadata": dict(metadata or {}),
        "parent": parent,
        "period": {"start": period[0], "end": period[1]},
        "pretax_credit_amounts": [],
        "pricing": {"price_details": details, "type": "price_details", "unit_amount_decimal": unit},
        "quantity": quantity,
        "quantity_decimal": str(quantity),
        "subscription": subscription,
        "subtotal": amount,
        "taxes": [],
        "_tax_rates": tax_rates,
        "_tax_behavior": price["tax_behavior"] if price else "unspecified",
    }


def item_amount(price: Obj, quantity: int) -> int:
    """What so many of a price cost."""
    return rounded(Decimal(price["unit_amount_decimal"]) * quantity)


def item_line(world: World, subscription: Obj, item: Obj, period: tuple[int, int], *, usage: int | None = None) -> Obj:
    """A subscription item for a whole period: in advance, or its `usage` in arrears."""
    price = item["price"]
    quantity = item["quantity"] if usage is None else usage
    each = currency_symbol(price["unit_amount"] or 0, price["currency"])
    every = price["recurring"]["interval"]
    return line(
        world,
        item_amount(price, quantity),
        price["currency"],
        f"{quantity} × {product_name(world, price)} (at {each} / {every})",
        period,
        parent=item_parent(subscription, item),
        price=price,
        quantity=quantity,
        subscription=subscription["id"],
        metadata=subscription["metadata"],
        tax_rates=[rate["id"] for rate in item["tax_rates"]] or None,
    )


def item_parent(subscription: Obj, item: Obj, *, proration: bool = False, invoice_item: str | None = None) -> Obj:
    """What a line of a subscription says about where it comes from."""
    details = {
        "invoice_item": invoice_item,
        "proration": proration,
        "proration_details": {"credited_items": None},
        "subscription": subscription["id"],
        "subscription_item": item["id"],
    }
    return {"invoice_item_details": None, "subscription_item_details": details, "type": "subscription_item_details"}


def proration(world: World, subscription: Obj, item: Obj, at: int, *, credit: bool) -> Obj | None:
    """The rest of the period from `at` on: given back for what was, charged for what will be."""
    start, end = item["current_period_start"], item["current_period_end"]
    price = item["price"]
    if price["recurring"]["usage_type"] == "metered" or not start <= at < end:
        return None
    full = Decimal(price["unit_amount_decimal"]) * item["quantity"]
    amount = rounded(full * (end - at) / (end - start))
    day = f"{datetime.fromtimestamp(at, UTC):%d %b %Y}"
    name = product_name(world, price)
    many = f"{item['quantity']} × " if item["quantity"] > 1 else ""
    words = f"{'Unused' if credit else 'Remaining'} time on {many}{name} after {day}"
    return line(
        world,
        -amount if credit else amount,
        price["currency"],
        words,
        (at, end),
        parent=item_parent(subscription, item, proration=True, invoice_item=world.id("ii")),
        price=price,
        quantity=item["quantity"],
        subscription=subscription["id"],
        metadata=subscription["metadata"],
        tax_rates=[rate["id"] for rate in item["tax_rates"]] or None,
        discountable=False,
    )


def product_name(world: World, price: Obj) -> str:
    """What a price is called on pages and invoices."""
    product = world.objects.get(price["product"])
    return str(product["name"]) if product else price["product"]


# Discounts, taxes, totals


def total_up(world: World, invoice: Obj, coupon: Obj | None = None) -> None:
    """Put discounts, taxes and totals on an invoice from its lines."""
    found: list[Obj] = invoice["lines"]["data"]
    positive = sum(each["subtotal"] for each in found if each["discountable"] and each["subtotal"] > 0)
    off = left = reduction(coupon, positive)
    for each in found:
        share = 0
        if off and each["discountable"] and each["subtotal"] > 0:
            share = min(left, rounded(Decimal(off * each["subtotal"]) / positive))
            share = left if each is _last_positive(found) else share
            left -= share
        each["discount_amounts"] = [{"amount": share, "discount": (coupon or {}).get("id")}] if share else []
        each["invoice"] = invoice["id"]
        each["taxes"] = _taxes(world, invoice, each, each["subtotal"] - share)
    invoice["lines"]["total_count"] = len(found)
    subtotal = sum(each["amount"] for each in found)
    taxes = [tax for each in found for tax in each["taxes"]]
    added = sum(tax["amount"] for tax in taxes if tax["tax_behavior"] == "exclusive")
    included = sum(tax["amount"] for tax in taxes if tax["tax_behavior"] == "inclusive")
    total = subtotal - off + added
    invoice |= {
        "subtotal": subtotal,
        "subtotal_excluding_tax": subtotal - included,
        "total": total,
        "total_excluding_tax": total - added - included,
        "total_discount_amounts": [{"amount": off, "discount": (coupon or {}).get("id")}] if off else [],
        "total_taxes": _summed(taxes),
    }
    _owe(world, invoice)


def _last_positive(found: list[Obj]) -> Obj:
    return [each for each in found if each["discountable"] and each["subtotal"] > 0][-1]


def _owe(world: World, invoice: Obj) -> None:
    """What is due once the customer's balance is taken into account (negative: a credit)."""
    customer = world.objects.get(invoice["customer"] or "")
    balance = customer["balance"] if customer and not invoice.get("_paid_already") else 0
    total = invoice["total"]
    due = max(0, total + balance) if total > 0 else 0
    invoice |= {"starting_balance": balance, "amount_due": due, "amount_remaining": due - invoice["amount_paid"]}


def automatic_rate(world: World) -> Obj:
    """The tax rate that automatic tax uses, made when it is first needed."""
    for rate in world.all("tax_rate"):
        if rate.get("_automatic"):
            return rate
    return world.add(
        {
            "id": world.id("txr"),
            "object": "tax_rate",
            "active": True,
            "country": "JP",
            "created": world.now(),
            "description": None,
            "display_name": "消費税",
            "effective_percentage": float(CONSUMPTION_TAX),
            "flat_amount": None,
            "inclusive": False,
            "jurisdiction": "Japan",
            "jurisdiction_level": "country",
            "livemode": False,
            "metadata": {},
            "percentage": float(CONSUMPTION_TAX),
            "rate_type": "percentage",
            "state": None,
            "tax_type": "jct",
            "_automatic": True,
        }
    )


def _taxes(world: World, invoice: Obj, each: Obj, taxable: int) -> list[Obj]:
    if invoice["automatic_tax"]["enabled"]:
        rate = automatic_rate(world)
        return [tax(rate, taxable, inclusive=each["_tax_behavior"] == "inclusive")]
    named = each["_tax_rates"]
    rates = [world.objects[name] for name in named] if named is not None else invoice["default_tax_rates"]
    return [tax(rate, taxable, inclusive=rate["inclusive"]) for rate in rates]


def tax(rate: Obj, taxable: int, *, inclusive: bool) -> Obj:
    """A tax on an amount: on top of it, or the part of it that is tax."""
    percent = Decimal(str(rate["percentage"]))
    amount = rounded(taxable * percent / (100 + percent) if inclusive else taxable * percent / 100)
    return {
        "amount": amount,
        "tax_behavior": "inclusive" if inclusive else "exclusive",
        "tax_rate_details": {"tax_rate": rate["id"]},
        "taxability_reason": "standard_rated",
        "taxable_amount": taxable - amount if inclusive else taxable,
        "type": "tax_rate_details",
    }


def _summed(taxes: list[Obj]) -> list[Obj]:
    by_rate: dict[Any, Obj] = {}
    for each in taxes:
        key = (each["tax_rate_details"]["tax_rate"], each["tax_behavior"])
        if key in by_rate:
            by_rate[key]["amount"] += each["amount"]
            by_rate[key]["taxable_amount"] += each["taxable_amount"]
        else:
            by_rate[key] = clone(each)
    return list(by_rate.values())
