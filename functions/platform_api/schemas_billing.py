"""Buying, as the platform API takes and tells it. Amounts are minor units; JPY and KRW have none."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from noren.edge.numbers import PlainDecimal
from platform_api.schemas import Answer, Body, Email

PlanName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,62}$")]
StripeId = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,8}_[A-Za-z0-9_]{1,250}$")]


class PlanChoice(Body):
    """A plan, by its name or alias."""

    plan: PlanName


class PlanQuery(BaseModel):
    """Which plan a preview is for."""

    model_config = ConfigDict(extra="forbid")

    plan: PlanName


class PageOut(Answer):
    """A page of Stripe's to go to."""

    url: str


class SubscriptionOut(Answer):
    """The subscription. `client_secret` is there where the buyer's bank has to be asked."""

    subscription_id: str | None
    plan: str | None
    status: str
    amount: int
    currency: str | None
    current_period_end: str | None
    cancel_at_period_end: bool
    next_plan: str | None
    grace_until: str | None
    client_secret: str | None = None


class PreviewLine(Answer):
    """One line of what a change costs."""

    description: str
    amount: int


class PreviewOut(Answer):
    """What changing now would cost: `amount_due` at once."""

    plan: str
    amount_due: int
    tax: int
    currency: str
    lines: list[PreviewLine]
    """At most 20."""


class PaymentDetails(Body):
    """How it is paid: a new card by its id at Stripe, a payment to look at again, or where the invoice goes."""

    stripe_payment_method_id: StripeId | None = None
    stripe_payment_intent_id: StripeId | None = None
    invoice_email: Email | None = None


class PurchaseMetadata(Body):
    """Where the buyer came from."""

    source: Literal["dashboard", "auto_purchase", "low_balance_prompt"] = "dashboard"
    user_agent: Annotated[str, StringConstraints(max_length=500)] | None = None


class PurchaseIn(Body):
    """A package to buy. The price is the server's."""

    package_id: Annotated[str, StringConstraints(pattern=r"^pkg_[0-9a-z_-]{1,60}$")]
    payment_method: Literal["stripe", "invoice", "stored_card"]
    payment_details: PaymentDetails = Field(default_factory=PaymentDetails)
    metadata: PurchaseMetadata = Field(default_factory=PurchaseMetadata)


class DiscountOut(Answer):
    """What the price has already taken off."""

    type: Literal["package"]
    percentage: PlainDecimal


class PurchaseOut(Answer):
    """What was ordered."""

    transaction_id: str
    package_id: str
    credits_added: int
    """0 until it is paid."""
    total_cost: int
    currency: str
    discount: DiscountOut | None


class PaymentOut(Answer):
    """How its payment stands."""

    status: Literal["completed", "pending", "failed", "requires_action"]
    payment_intent_id: str | None
    client_secret: str | None
    error_message: str | None
    url: str | None
    """A page of Stripe's to go on at: Checkout, the invoice's own, or the bank's question."""


class BuyerAccount(Answer):
    """The credits afterwards."""

    new_balance: int
    estimated_days_left: int | None


class PurchaseAnswer(Answer):
    """An order, its payment, and the balance."""

    purchase: PurchaseOut
    payment: PaymentOut
    account: BuyerAccount


class CardOut(Answer):
    """A saved card, as far as it may be shown."""

    payment_method_id: str
    brand: str
    last4: str
    exp_month: int
    exp_year: int
    is_default: bool


class CardsOut(Answer):
    """The saved cards."""

    items: list[CardOut]


class CardSetupOut(Answer):
    """With this secret a browser saves a card at Stripe; the card never comes here."""

    client_secret: str


class CardPatch(Body):
    """Pay what comes by this card."""

    is_default: Literal[True]
