"""Admission: what is asked for, what is held."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from noren.clock import iso
from noren.errors import NorenError
from noren.ids import TenantId
from noren.usage.models import UsageRecord

if TYPE_CHECKING:
    from noren.ledger.holds import Held

Reason = Literal["chats", "site_day", "concurrency", "credits", "debt", "embedding", "stopped", "contention"]

_ANSWERS: dict[Reason, tuple[int, str, str]] = {
    "chats": (402, "quota_exceeded", "This month's chats are used up"),
    "credits": (402, "quota_exceeded", "There are not enough credits"),
    "debt": (402, "quota_exceeded", "A payment was taken back after its credits had been spent; buy credits to go on"),
    "site_day": (402, "quota_exceeded", "The site's requests for today are used up"),
    "embedding": (402, "quota_exceeded", "This month's embedding tokens are used up"),
    "concurrency": (429, "rate_limited", "Too many chats at once: wait for one to end"),
    "stopped": (403, "stopped", "This account is stopped"),
    "contention": (503, "busy", "Busy just now, please try again"),
}


class Denied(NorenError):
    """Not admitted: nothing is held. `resets_at` (epoch seconds) or `retry_after` (seconds) says when to come again."""

    def __init__(self, reason: Reason, *, resets_at: float | None = None, retry_after: int | None = None) -> None:
        status, code, detail = _ANSWERS[reason]
        when = None if resets_at is None else iso(resets_at)
        super().__init__(detail, code=code, resets_at=when, retry_after=retry_after)
        self.status = status
        self.reason: Reason = reason
        self.resets_at = resets_at
        self.retry_after = retry_after
        self.credits = 0
        """What might have been spent: where it were enough for less, less may be asked for."""
        self.overage = False
        """Whether credits may pay instead of the plan's chats."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a tenant has used and may use, as of now."""

    active: bool
    chats_used: int
    """Settled chats of this month and those under way."""
    chats_limit: int
    embedding_tokens_used: int
    embedding_tokens_limit: int
    resets_at: float
    site_daily_limit: int
    day_resets_at: float
    open_holds: int
    concurrency: int
    credits: int
    """Spendable now."""
    counts_by_slot: Mapping[str, int]

    def requests_today(self, site_id: str) -> int:
        """How many of today's requests the site has used."""
        from noren.ledger.holds import slot_of

        return self.counts_by_slot.get(slot_of(site_id), 0)


@dataclass(frozen=True, slots=True)
class SweepReport:
    """What `Ledger.sweep_all` did. `finished` is False where the time ran out: the next run goes on from there."""

    accounts: int
    holds: int
    failures: int
    finished: bool


@dataclass(frozen=True, slots=True)
class Ask:
    """What a request wants admitted, at its upper bound.

    `credits` is 0 while the plan's chats last. `deadline` is the epoch second by which the request's process is
    surely gone (the invocation's deadline); the hold expires 60 s after it.
    """

    tenant_id: TenantId
    request_id: str
    site_id: str
    deadline: float
    chats: int = 1
    credits: int = 0
    embedding_tokens: int = 0
    site_daily_limit: int | None = None
    """The site's own limit where it overrides the plan's."""


@dataclass(slots=True)
class Hold:
    """An admitted request. Its `record` is filled in as the request goes on and decided when the hold is left.

    `record.chats` and `record.credits` say what is charged: a request that produced nothing for a reason that is ours
    or the provider's sets `release` and costs the tenant nothing.
    """

    ask: Ask
    nonce: str
    amounts: str
    """`<site's slot>,<chats>,<credits>,<embedding tokens>` held, zeros left blank."""
    record: UsageRecord
    held: Held
    release: bool = False
    fee: int = 0
    """Credits that the request costs though it gave nothing."""
    max_tokens: int | None = None
    """The answer's bound where credits pay for no more than that."""
    credits_left: int = 0
    """Spendable while this one is held."""
    chats_used: int = 0
    chats_limit: int = 0
    resets_at: float = 0.0
    adopted: bool = False
    """Found already in place (an earlier attempt's answer was lost)."""
    decided: UsageRecord | None = field(default=None)
    """The record that won, once left."""
