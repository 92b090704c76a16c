"""Chapter 3's rates as data: how often what costs us or our tenants something may be called, whatever the plan."""

from __future__ import annotations

from typing import Literal, NamedTuple

from noren.ratelimit import Limiter

RateName = Literal[
    "ai_chatbot",
    "ai_recommendation",
    "ai_prediction",
    "ai_analysis",
    "ai_custom",
    "spend",
    "purchase",
    "analytics",
]


class Rate(NamedTuple):
    """So many calls in any so many seconds."""

    calls: int
    seconds: int


RATES: dict[RateName, Rate] = {
    # per user
    "ai_chatbot": Rate(100, 3600),
    "ai_recommendation": Rate(50, 3600),
    "ai_prediction": Rate(20, 3600),
    "ai_analysis": Rate(10, 3600),
    "ai_custom": Rate(10, 3600),
    # per tenant
    "spend": Rate(100, 60),
    "purchase": Rate(10, 60),
    "analytics": Rate(50, 60),
}


def check(limiter: Limiter, name: RateName, who: str) -> None:
    """Count one call of `who` (a tenant's id; `tenant#principal` where the rate is per user). Raises RateLimited."""
    rate = RATES[name]
    limiter.check(f"{name}#{who}", rate.calls, rate.seconds)


def check_known(limiter: Limiter, name: RateName, who: str) -> None:
    """Refuse, at no cost, what this container knows that `check` would refuse. Counts nothing."""
    rate = RATES[name]
    limiter.check_known(f"{name}#{who}", rate.calls, rate.seconds)
