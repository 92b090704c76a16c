"""How our plans are called at Stripe: each price has a lookup key that says plan, currency and amount."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from noren.plans.models import Plan

if TYPE_CHECKING:
    from noren.billing.stripe import Stripe

_PREFIX = "noren"


def lookup_key(plan: str, currency: str, amount: int) -> str:
    """`noren:starter:JPY:7800`: another amount is another price, so that old subscribers keep theirs."""
    return f"{_PREFIX}:{plan}:{currency}:{amount}"


def plan_of_price(price: Any) -> str | None:
    """The plan that a price is for, if it is one of ours and says what it costs. `price`: the SDK's object."""
    parts = str(getattr(price, "lookup_key", None) or "").split(":")
    if len(parts) != 4 or parts[0] != _PREFIX:
        return None
    _, plan, currency, amount = parts
    same = (price.currency.upper(), str(price.unit_amount)) == (currency, amount)
    return plan if same else None


def price_of(stripe: Stripe, plan: Plan, currency: str) -> str:
    """The id of a plan's monthly price at Stripe, made if there is none."""
    amount = plan.prices[currency]
    return stripe.price(lookup_key(plan.plan, currency, amount), f"Noren {plan.plan}", amount, currency)
