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
    "fetch",
    "train",
    "uploads",
    "quotes_of_host",
    "visitor_tokens_of_address",
    "visitor_tokens_of_site",
    "canned_hits_of_site",
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
    "fetch": Rate(30, 60),  # has us call what the tenant names
    "train": Rate(30, 60),  # each is a job, or a look at a site
    "uploads": Rate(150, 60),  # each is a place for a file: one job takes up to 50
    # of a host that is looked over, for all tenants together: some 45 requests each, 95 at most
    "quotes_of_host": Rate(4, 60),
    # of visitors, whatever origin they claim
    "visitor_tokens_of_address": Rate(60, 3600),  # at one site
    "visitor_tokens_of_site": Rate(120, 60),
    "canned_hits_of_site": Rate(300, 60),
}

VISITOR_CHATS = {"site": 600, "address": 30, "device": 10}
"""A minute: of a site's visitors together (at most `VISITOR_SHARE`), of an address and of a device there."""
VISITOR_SHARE = 0.8
"""Of the plan's requests a minute, what a site's visitors may take: the rest is left to the owner's own."""
VISITOR_CALLS_OF_ADDRESS = 120
"""A minute, besides chats, at one site; a site's visitors together may make as many as the plan's requests."""
VISITOR_CHATS_AT_ONCE = 2
"""Of a device: who has stopped an answer may ask again before it has ended."""


def check(limiter: Limiter, name: RateName, who: str) -> None:
    """Count one call of `who` (a tenant's id; `tenant#principal` where the rate is per user). Raises RateLimited."""
    rate = RATES[name]
    limiter.check(f"{name}#{who}", rate.calls, rate.seconds)


def check_known(limiter: Limiter, name: RateName, who: str) -> None:
    """Refuse, at no cost, what this container knows that `check` would refuse. Counts nothing."""
    rate = RATES[name]
    limiter.check_known(f"{name}#{who}", rate.calls, rate.seconds)
