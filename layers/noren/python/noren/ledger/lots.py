"""Lots: what a tenant's credits consist of, and the order in which they are spent.

Positions: credits that are spent are counted from the account's first one on (`Account.credits_used`). Books say from
which position on their lots are spent, in order, so that every spent credit belongs to one lot. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Literal

from noren.money import cost_places

LotKind = Literal["granted", "bonus", "purchased"]
EntryType = Literal["USAGE", "PURCHASE", "MONTHLY_RESET", "BONUS", "REFUND", "EXPIRE", "CHARGEBACK", "ADJUSTMENT"]

KINDS: tuple[LotKind, ...] = ("granted", "bonus", "purchased")
"""In the order in which they are spent; within a kind the earliest expiry first."""
NEVER = 253_402_300_799
"""Expiry (epoch seconds) of what doesn't expire: the end of the year 9999."""


@dataclass(frozen=True, slots=True)
class Lot:
    """Credits that came together. `paid` is what `credits` of them cost, in minor units of `currency`."""

    lot_id: str
    """That of the entry that brought them."""
    kind: LotKind
    remaining: int
    expires_at: int
    credits: int
    paid: int = 0
    currency: str = ""


@dataclass(frozen=True, slots=True)
class Books:
    """A tenant's lots as a fold left them: `lots` are spent from position `base` on."""

    version: int = 0
    """The account's version that they belong to; they stay in force until a fold writes newer ones."""
    base: int = 0
    month_base: int = 0
    """Position at this month's start: what lies beyond was spent this month."""
    purchased: int = 0
    """All credits that were ever bought."""
    lots: tuple[Lot, ...] = ()
    entries: tuple[str, ...] = ()
    """Sort keys of the entries that the fold wrote."""

    @property
    def total(self) -> int:
        """All that the lots held at `base`."""
        return sum(lot.remaining for lot in self.lots)

    def left(self, used: int) -> tuple[Lot, ...]:
        """The lots as they are when `used` credits have been spent in all."""
        return remaining(self.lots, used - self.base)

    def spent(self, start: int, count: int) -> list[tuple[Lot, int]]:
        """Which lots the `count` credits from position `start` on came from. Raises ValueError if not from these."""
        parts = []
        skip = start - self.base
        if skip < 0:
            raise ValueError("these credits were spent from older books")
        for lot in self.lots:
            here = max(0, min(lot.remaining - skip, count))
            skip = max(0, skip - lot.remaining)
            if here:
                parts.append((lot, here))
                count -= here
        if count:
            raise ValueError("more was spent than these books hold")
        return parts


@dataclass(slots=True)
class Entry:
    """One line of a tenant's credit account. Written once; `balance_after` is added when its fold or settle shows."""

    entry_id: str
    """Says what it is about: `RESET#2026-12`, `PUR#<payment>`. A second one with the same id is never written."""
    type: EntryType
    credits: int
    """Signed."""
    at: float
    lot_id: str = ""
    description: str = ""
    reference_id: str = ""
    user_id: str = ""
    """Who made it: a principal, "" for the ledger itself."""
    paid: int = 0
    """Minor units of `currency`: what was paid for the credits, negative for what was paid back."""
    currency: str = ""
    balance_after: int | None = None
    function_type: str = ""
    start: int | None = None
    """Of USAGE: the position of its first credit."""
    details: dict[str, Any] = field(default_factory=dict)


def order(lots: Iterable[Lot]) -> tuple[Lot, ...]:
    """Lots that hold something, in the order in which they are spent."""
    held = (lot for lot in lots if lot.remaining > 0)
    return tuple(sorted(held, key=lambda lot: (KINDS.index(lot.kind), lot.expires_at, lot.lot_id)))


def remaining(lots: Sequence[Lot], spent: int) -> tuple[Lot, ...]:
    """What is left of the lots when `spent` credits have been taken in order. Raises ValueError if there were fewer."""
    left = []
    for lot in lots:
        taken = min(lot.remaining, spent)
        spent -= taken
        if lot.remaining > taken:
            left.append(replace(lot, remaining=lot.remaining - taken))
    if spent:
        raise ValueError("more was spent than there was")
    return tuple(left)


def price_paid(parts: Iterable[tuple[Lot, int]]) -> dict[str, Decimal]:
    """What was paid for consumed credits, by currency, in minor units to ten places: each lot's price by its share.

    Granted and bonus credits cost nothing. Lots of different currencies are never added up.
    """
    paid: dict[str, Decimal] = {}
    for lot, count in parts:
        if lot.paid and lot.credits:
            share = cost_places(Decimal(lot.paid) * count / lot.credits)
            paid[lot.currency] = paid.get(lot.currency, Decimal(0)) + share
    return paid
