"""A tenant's credits as the platform API tells them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from noren.edge.numbers import PlainDecimal
from noren.ledger.lots import EntryType
from platform_api.schemas import Answer, Body
from platform_api.schemas_credits import AutoPurchaseOut

MOST = 10_000_000
"""Credits that one decision may move."""


class AccountOut(Answer):
    """Whose credits they are."""

    tenant_id: str
    plan: str
    overage: bool


class BalanceOut(Answer):
    """Credits now: `current` = granted + bonus + purchased - held - debt."""

    current: int
    granted: int
    bonus: int
    purchased: int
    held: int
    debt: int
    monthly_free: int
    used_this_month: int
    total_used: int
    total_purchased: int
    resets_at: str
    next_expiry: str | None
    estimated_days_left: int | None
    """By the last 30 days' use; null without any."""


class FunctionShare(Answer):
    """What a function took of the last 30 days' credits."""

    function_type: str
    credits: int
    share: float


class DayUse(Answer):
    """One day's credits."""

    day: str
    credits: int


class UseOut(Answer):
    """The last 30 days; days without use have no row."""

    top_functions: list[FunctionShare]
    daily: list[DayUse]


class CreditsOut(Answer):
    """A tenant's credits whole."""

    account: AccountOut
    balance: BalanceOut
    auto_purchase: AutoPurchaseOut
    usage: UseOut


class TransactionOut(Answer):
    """One line of the account. `balance_after` and the split follow within moments of the request."""

    entry_id: str
    type: EntryType
    credits: int
    occurred_at: str
    balance_after: int | None
    buckets: dict[str, int] | None
    """Of USAGE: from which credits it was paid."""
    total_cost: dict[str, PlainDecimal] | None
    """Of USAGE: what those credits had cost, by currency, in minor units."""
    cost_per_credit: dict[str, PlainDecimal] | None
    function_type: str | None
    execution_time_ms: int | None
    user_id: str | None
    description: str | None
    reference_id: str | None
    paid: int
    currency: str | None
    details: dict[str, Any]


class OveragePatch(Body):
    """Whether chats beyond the plan's are paid by credits."""

    enabled: bool


class OverageOut(Answer):
    """The same, as it is now, with its price."""

    tenant_id: str
    enabled: bool
    credits_per_chat: int


class CorrectionIn(Body):
    """A platform admin's decision. Only an adjustment may take credits away."""

    type: Literal["bonus", "refund", "adjustment"]
    credits: Annotated[int, Field(ge=-MOST, le=MOST, examples=[50])]
    reason: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=3, max_length=500), Field(examples=["A failed call"])
    ]
    valid_days: Annotated[int, Field(ge=0, le=3650)] | None = None

    @model_validator(mode="after")
    def _sign(self) -> CorrectionIn:
        if self.credits == 0 or (self.credits < 0 and self.type != "adjustment"):
            raise ValueError("credits must be above 0; an adjustment may also be below")
        return self
