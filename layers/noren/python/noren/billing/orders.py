"""What has been ordered and what stands of it: orders of credits, subscriptions, disputes. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from noren.ids import TenantId

OrderStatus = Literal["open", "requires_action", "paid", "failed", "expired", "mismatch"]
Method = Literal["checkout", "card", "stored_card", "invoice", "auto"]


@dataclass(frozen=True, slots=True)
class Order:
    """One order of credits. Amount and credits are ours, fixed before Stripe hears of it."""

    order_id: str
    tenant_id: TenantId
    package_id: str
    credits: int
    amount: int
    """Minor units, tax in it."""
    currency: str
    customer: str
    live: bool
    method: Method
    valid_days: int
    """0: for ever."""
    created_at: int
    created_by: str
    source: str = "dashboard"
    discount_rate: str = "0"
    status: OrderStatus = "open"
    error: str = ""
    """Why it failed, in words for the buyer."""
    payment_intent: str = ""
    session: str = ""
    invoice: str = ""
    refunded: int = 0
    """Minor units that have been paid back, as last seen."""
    version: int = 0

    @property
    def entry_id(self) -> str:
        """Of the line that grants its credits."""
        return f"PUR#{self.order_id}"


@dataclass(frozen=True, slots=True)
class Subscribed:
    """A tenant's subscription as it was last read from Stripe."""

    tenant_id: TenantId
    customer: str
    is_gone: bool = False
    """Whether the customer has been deleted at Stripe: another one is made when one is needed."""
    subscription: str = ""
    plan: str = ""
    status: str = ""
    """Stripe's."""
    amount: int = 0
    currency: str = ""
    period_end: int = 0
    cancel_at_period_end: bool = False
    next_plan: str = ""
    """The plan that it changes to at the period's end."""
    grace_until: int = 0
    """While past due: until when everything goes on."""
    version: int = 0

    @property
    def plan_status(self) -> str:
        """The tenant's: trialing, active, past_due or canceled."""
        match self.status:
            case "trialing" | "active" | "past_due":
                return self.status
            case "unpaid":
                return "past_due"
        return "canceled" if self.subscription else "active"


@dataclass(frozen=True, slots=True)
class Contest:
    """A dispute about one payment."""

    dispute_id: str
    tenant_id: TenantId
    order_id: str
    """"" where the payment was for a plan."""
    status: str
    """Stripe's."""
    version: int = 0

    @property
    def is_open(self) -> bool:
        """Whether it is not decided yet; an inquiry has moved no money."""
        return self.status in ("needs_response", "under_review")


@dataclass(frozen=True, slots=True)
class Buyer:
    """The state of one tenant's automatic purchases."""

    number: int = 0
    """Of the last purchase that was begun."""
    order_id: str = ""
    paying_until: int = 0
    """The purchase is under way until then, 0: none is."""
    claim: str = ""
    """Of whoever makes it: no two claims are alike, so that none is taken for the repetition of another."""
    failures: int = 0
    not_before: int = 0
    month: str = ""
    bought: int = 0
    """Credits bought in that month."""
    version: int = 0
