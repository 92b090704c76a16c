"""A fold: the one way in which lots change. Months end, lots expire, credits come and are taken back.

A `Fold` is worked out on an account and its books as they were read, and committed only if nobody else has folded or
turned the account since. Meanwhile holds may be made and settled: credits that open holds back are left alone, and
what was settled is a position (`lots.py`), so a fold commutes with both. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from noren.ledger import account as rules
from noren.ledger import lots
from noren.ledger.account import Account
from noren.ledger.holds import Held
from noren.ledger.lots import Books, Entry, EntryType, Lot, LotKind

GRACE_SECONDS = 600
"""How long an expired lot is kept for the open holds that it backs: longer than a hold lives."""

MOST_ENTRIES = 30
"""After which a fold is committed and another one goes on: a transaction holds a hundred items."""

MostUsed = Callable[[str], str | None]
"""Which function a month's (`2026-11`) credits were mostly used for, None where none was."""


@dataclass(frozen=True, slots=True)
class Gift:
    """Credits that come: bought, given, put right. `expires_at` in epoch seconds (`lots.NEVER`)."""

    entry_id: str
    type: EntryType
    kind: LotKind
    credits: int
    expires_at: int
    paid: int = 0
    currency: str = ""
    description: str = ""
    reference_id: str = ""
    user_id: str = ""


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """Credits that are taken back. What a CHARGEBACK doesn't find in lot `lot_id` it takes from the others in order,
    and what is gone is owed; a REFUND takes what is left in its own lot and no more."""

    entry_id: str
    type: EntryType
    credits: int
    """Positive."""
    lot_id: str = ""
    paid: int = 0
    """Minor units that were paid back, positive."""
    currency: str = ""
    description: str = ""
    reference_id: str = ""
    user_id: str = ""


@dataclass(frozen=True, slots=True)
class Folded:
    """What is to be committed. `delta` moves what is spendable; it needs `removed` of it to be there still."""

    before: Account
    after: Account
    books: Books
    entries: tuple[Entry, ...]
    delta: int
    removed: int


def opening(account: Account) -> Folded:
    """The first books of a new account: its first month's free credits."""
    fold = Fold(replace(account, version=0), Books(), account.period_since)
    fold.grant_month()
    return fold.close()


class Fold:
    """Works one fold out. `now` in epoch seconds."""

    def __init__(self, account: Account, books: Books, now: int, most_used: MostUsed = lambda _: None) -> None:
        self._before, self._account, self._books, self._now = account, account, books, now
        self._most_used = most_used
        self._used = account.credits_used
        self._month_base = books.month_base
        self._purchased = books.purchased
        self._lots = list(books.left(self._used))
        self._debt = account.debt
        self._entries: list[Entry] = []
        self._added = self._removed = 0

    @property
    def account(self) -> Account:
        """The account as it has become."""
        return self._account

    @property
    def owes(self) -> bool:
        """Whether more has been taken back than there was."""
        return self._debt > 0

    def turn(self, most_entries: int = MOST_ENTRIES) -> bool:
        """Everything that has ended by now, in the order of its ends: lots expire, months end one by one.

        False if so much has ended that another fold must go on from here.
        """
        while len(self._entries) < most_entries:
            ends = min((lot.expires_at for lot in self._lots), default=lots.NEVER)
            if min(ends, self._account.resets_at) > self._now:
                self._account = rules.turned(self._account, self._now)
                return True
            if ends < self._account.resets_at:
                self._expire(ends, carried=False)
            else:
                self._month()
        return False

    def allow(self, account: Account) -> None:
        """Take over the account with changed limits; a higher monthly grant counts at once, a lower one next month."""
        risen = account.free_grant.granted - self._account.free_grant.granted
        self._account = account
        if risen > 0:
            period = account.period
            entry_id = f"GRT#{period}#{account.version}"
            gift = Gift(entry_id, "MONTHLY_RESET", "granted", risen, account.resets_at, description="plan raised")
            self.give(gift)

    def give(self, gift: Gift) -> None:
        """Book credits that come. What is owed is paid from them first."""
        self._entries.append(
            Entry(
                entry_id=gift.entry_id,
                type=gift.type,
                credits=gift.credits,
                at=self._now,
                lot_id=gift.entry_id,
                description=gift.description,
                reference_id=gift.reference_id,
                user_id=gift.user_id,
                paid=gift.paid,
                currency=gift.currency,
            )
        )
        if gift.type == "PURCHASE":
            self._purchased += gift.credits
        self._add(Lot(gift.entry_id, gift.kind, gift.credits, gift.expires_at, gift.credits, gift.paid, gift.currency))

    def withdraw(self, wanted: Withdrawal) -> None:
        """Book credits that are taken back, spent and held ones as `Withdrawal` says."""
        refund = wanted.type == "REFUND"
        taken = self._take(wanted.credits, wanted.lot_id, others=not refund)
        credits = taken if refund else wanted.credits
        self._debt += credits - taken
        self._entries.append(
            Entry(
                entry_id=wanted.entry_id,
                type=wanted.type,
                credits=-credits,
                at=self._now,
                lot_id=wanted.lot_id,
                description=wanted.description,
                reference_id=wanted.reference_id,
                user_id=wanted.user_id,
                paid=-wanted.paid,
                currency=wanted.currency,
                details={} if credits == wanted.credits else {"wanted": wanted.credits},
            )
        )

    def close(self) -> Folded:
        """The finished fold. What is owed is taken from whatever no hold backs."""
        self._debt -= self._take(self._debt)
        kept = lots.order(self._lots)
        version = self._before.version + 1
        books = Books(version, self._used, self._month_base, self._purchased, kept)
        ends = min((lot.expires_at for lot in kept), default=lots.NEVER)
        delta = self._added - self._removed
        after = replace(
            self._account,
            credits=self._account.credits + delta,
            lots_end=ends,
            next_turn=min(self._account.day_resets_at, self._account.resets_at, ends),
            debt=self._debt,
            version=version,
        )
        return Folded(self._before, after, books, tuple(self._entries), delta, max(0, -delta))

    def grant_month(self) -> None:
        """This month's free credits, with what was carried over in one lot, and the month's line."""
        self._grant(0, {})

    def _month(self) -> None:
        """End the month that the account is in and begin the next one."""
        ended, cap = self._account.period, self._account.carry_over_cap
        previous = sum(lot.remaining for lot in self._lots) - self._debt
        spent = self._used - self._month_base
        lapsed_before = self._removed
        carried = self._expire(self._account.resets_at, carried=True, cap=cap)
        lapsed = self._removed - lapsed_before - carried
        self._account = rules.turned(self._account, self._account.resets_at)
        self._month_base = self._used
        self._grant(
            carried,
            {
                "previous_balance": previous,
                "free_credits_added": self._account.free_grant.limit,
                "carried_over_credits": carried,
                "total_usage_previous_month": spent,
                "most_used_function": self._most_used(ended) if spent else None,
                "efficiency_score": round(100 * spent / (spent + lapsed)) if spent + lapsed else None,
            },
        )

    def _grant(self, carried: int, statistics: dict[str, int | str | None]) -> None:
        account = self._account
        entry_id = f"RESET#{account.period}"
        free = account.free_grant.limit
        self._entries.append(
            Entry(entry_id, "MONTHLY_RESET", free, self._now, lot_id=entry_id, details=dict(statistics))
        )
        if free + carried:
            self._add(Lot(entry_id, "granted", free + carried, account.resets_at, free + carried))

    def _expire(self, at: int, *, carried: bool, cap: int = 0) -> int:
        """Take what expires by `at` and no hold backs out of the lots; returns how much of it is carried over.

        What is carried over is out of the lots but booked nowhere: it comes back in the new month's lot.
        """
        over = 0
        for number, backed in self._backed():
            lot = self._lots[number]
            if lot.expires_at > at:
                continue
            gone = lot.remaining - backed
            # Kept for its holds a while: then what they gave back expires too.
            self._lots[number] = replace(lot, remaining=backed, expires_at=max(at, self._now) + GRACE_SECONDS)
            self._removed += gone
            if carried and lot.kind == "granted":
                kept = min(cap - over, gone)
                over, gone = over + kept, gone - kept
            if gone:
                entry_id = f"EXP#{lot.lot_id}#{self._before.version}"
                self._entries.append(Entry(entry_id, "EXPIRE", -gone, self._now, lot_id=lot.lot_id))
        self._lots = [lot for lot in self._lots if lot.remaining]
        return over

    def _take(self, wanted: int, first: str = "", *, others: bool = True) -> int:
        """Take up to `wanted` credits that no hold backs, from lot `first` before the `others`; returns how many."""
        taken = 0
        rows = self._backed()
        for number, backed in sorted(rows, key=lambda row: self._lots[row[0]].lot_id != first):
            lot = self._lots[number]
            if lot.lot_id != first and not others:
                continue
            here = min(wanted - taken, lot.remaining - backed)
            self._lots[number] = replace(lot, remaining=lot.remaining - here)
            taken += here
        self._lots = [lot for lot in self._lots if lot.remaining]
        self._removed += taken
        return taken

    def _backed(self) -> list[tuple[int, int]]:
        """Each lot's number, and how much of it open holds may still spend: they back lots in the order of spending."""
        held = sum(Held.parse(text).credits for text in self._before.holds.values())
        rows = []
        for number, lot in enumerate(self._lots):
            here = min(lot.remaining, held)
            held -= here
            rows.append((number, here))
        return rows

    def _add(self, lot: Lot) -> None:
        self._lots = list(lots.order([*self._lots, lot]))
        self._added += lot.credits
