"""Money: charges are integers in the currency's minor unit, costs are decimals rounded once, on totals."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Literal, NamedTuple

Currency = Literal["JPY", "KRW", "USD"]

MINOR_DIGITS: dict[str, int] = {"JPY": 0, "KRW": 0, "USD": 2}
"""Digits of the minor unit (ISO 4217). ¥7,800 is 7800, at Stripe too."""

COST_PLACES = Decimal("0.0000000001")
"""Costs keep ten places: a single token of the cheapest model is still not lost."""


class CostSnapshot(NamedTuple):
    """A cost in the tenant's currency with the rate used (units of `currency` per USD)."""

    amount: Decimal
    currency: str
    rate: Decimal


def cost_places(value: Decimal) -> Decimal:
    """A cost rounded (half up) to the places that are stored."""
    return value.quantize(COST_PLACES, rounding=ROUND_HALF_UP)


def convert(cost_usd: Decimal, currency: str, rate: Decimal) -> CostSnapshot:
    """The cost in `currency`, not yet rounded to minor units: totals are rounded, parts are not."""
    return CostSnapshot(cost_places(cost_usd * rate), currency, rate)


def plain(value: Decimal) -> str:
    """A decimal as people write it: no exponent, no zeros at the end."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def to_minor(amount: Decimal, currency: str) -> int:
    """A total in major units as minor units, rounded half up once."""
    return int(amount.scaleb(MINOR_DIGITS[currency]).quantize(Decimal(1), rounding=ROUND_HALF_UP))


def shown(minor: int, currency: str) -> str:
    """An amount in minor units as people read it: `¥7,800`, `₩70,000`, `$52.00`."""
    sign = {"JPY": "¥", "KRW": "₩", "USD": "$"}[currency]
    digits = MINOR_DIGITS[currency]
    return f"{sign}{Decimal(minor).scaleb(-digits):,.{digits}f}"
