"""A tenant's credits: what there is, what comes, what is taken back, and the line for each.

Every change is a fold (`fold.py`): worked out on what was read, committed as one transaction over the admission item,
the lots and the entries, and worked out anew where somebody else came first. An entry's id says what it is about, so
booking it twice is impossible, whatever is repeated.
"""

from __future__ import annotations

import logging
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from noren.clock import Clock
from noren.errors import Busy, Conflict, NotFound
from noren.ids import TenantId
from noren.ledger import fold as folding
from noren.ledger import lots
from noren.ledger.account import Account
from noren.ledger.book_store import BookStore
from noren.ledger.fold import Fold, Folded, Gift, Withdrawal
from noren.ledger.lots import Books, Entry
from noren.ledger.patience import Patience
from noren.ledger.store import LedgerStore, Refused
from noren.tables import is_retryable

_log = logging.getLogger(__name__)

ROUNDS = 12
"""Tries of a fold that each found somebody else's."""

Change = Callable[[Fold], None]
MostUsed = Callable[[TenantId, str, str], str | None]
"""Of a tenant, a month and its zone: see `fold.MostUsed`."""


@dataclass(frozen=True, slots=True)
class Balance:
    """A tenant's credits as of now. `current` = granted + bonus + purchased - held - debt."""

    granted: int
    bonus: int
    purchased: int
    held: int
    debt: int
    spendable: int
    monthly_free: int
    """What a full month's grant is."""
    used_this_month: int
    total_used: int
    total_purchased: int
    resets_at: float
    next_expiry: float | None
    """When the next lot expires, None where nothing does."""

    @property
    def current(self) -> int:
        """What may be spent now; negative where credits are owed."""
        return self.granted + self.bonus + self.purchased - self.held - self.debt


@dataclass(frozen=True, slots=True)
class Correction:
    """A platform admin's decision: a bonus, credits given back, or a balance put right."""

    correction_id: str
    """Makes it one: the same decision sent twice is booked once."""
    type: Literal["BONUS", "REFUND", "ADJUSTMENT"]
    credits: int
    """Signed; only an adjustment takes away."""
    reason: str
    actor: str
    valid_days: int
    """0: for ever."""


@dataclass(frozen=True, slots=True)
class Split:
    """What one USAGE entry was paid with. `paid` by currency, in minor units to ten places."""

    by_kind: dict[str, int]
    paid: dict[str, Decimal]


class Credits:
    """The tenants' credit accounts. Safe to share between threads; safe to run anywhere at once."""

    def __init__(
        self,
        accounts: LedgerStore,
        books: BookStore,
        clock: Clock,
        sleep: Callable[[float], None] = time.sleep,
        most_used: MostUsed = lambda *_: None,
    ) -> None:
        self._accounts, self._books, self._clock, self._sleep = accounts, books, clock, sleep
        self._insist = Patience(sleep)
        self._most_used = most_used

    def account(self, tenant_id: TenantId) -> Account:
        """The tenant's account as it stands: what has ended may not be folded yet. Raises NotFound."""
        account = self._insist(lambda: self._accounts.get(tenant_id))
        if account is None:
            raise NotFound("This tenant has no account")
        return account

    def open(self, account: Account) -> None:
        """Write a new account with its first month's free credits, if the tenant has none yet."""
        self._insist(lambda: self._books.open(folding.opening(account)))

    def give(self, tenant_id: TenantId, gift: Gift) -> Entry:
        """Book credits that come; the entry that stands for `gift.entry_id`, an earlier one's too. Raises NotFound."""
        return self._booked(tenant_id, gift.entry_id, lambda fold: fold.give(gift))

    def withdraw(self, tenant_id: TenantId, wanted: Withdrawal) -> Entry:
        """Take credits back. What is spent already is owed, but an ADJUSTMENT never makes a debt: it raises Conflict.

        Returns the entry that stands. Raises NotFound.
        """

        def change(fold: Fold) -> None:
            fold.withdraw(wanted)
            if wanted.type == "ADJUSTMENT" and fold.owes:
                raise Conflict("There are not that many credits to take away.", code="not_enough_credits")

        return self._booked(tenant_id, wanted.entry_id, change)

    def correct(self, tenant_id: TenantId, correction: Correction) -> Entry:
        """Book what a platform admin decides; the entry that stands for its id. Raises NotFound, Conflict."""
        each = correction
        entry_id = f"ADM#{each.correction_id}"
        if each.credits < 0:
            wanted = Withdrawal(entry_id, each.type, -each.credits, description=each.reason, user_id=each.actor)
            return self.withdraw(tenant_id, wanted)
        expires_at = int(self._clock()) + each.valid_days * 86_400 if each.valid_days else lots.NEVER
        gift = Gift(entry_id, each.type, "bonus", each.credits, expires_at, description=each.reason, user_id=each.actor)
        return self.give(tenant_id, gift)

    def turn(self, tenant_id: TenantId, account: Account | None = None) -> None:
        """Fold what has ended by now: months, lots. Nothing where somebody else has. Raises NotFound."""
        for _ in range(ROUNDS):
            read = account or self.account(tenant_id)
            account = None
            if not read.needs_fold(self._now(read)) and not (read.debt and read.credits):
                return
            if self._commit(read, lambda _: None):
                return
        raise Busy(retry_after=1)

    def change(self, tenant_id: TenantId, change: Callable[[Account, int], Account]) -> None:
        """Replace limits on the account by `change(account, now)`; a higher monthly grant is paid out with it."""
        for _ in range(ROUNDS):
            read = self.account(tenant_id)
            now = self._now(read)

            def allow(fold: Fold, now: int = now) -> None:
                fold.allow(change(fold.account, now))

            if self._commit(read, allow):
                return
        raise Busy(retry_after=1)

    def balance(self, tenant_id: TenantId) -> Balance:
        """What there is now, with everything that has ended taken into account. Raises NotFound."""
        account, books = self._read(tenant_id)
        fold = Fold(account, books, self._now(account))
        fold.turn(most_entries=sys.maxsize)
        folded = fold.close()
        after, left = folded.after, folded.books.lots
        kinds = {kind: sum(lot.remaining for lot in left if lot.kind == kind) for kind in lots.KINDS}
        return Balance(
            granted=kinds["granted"],
            bonus=kinds["bonus"],
            purchased=kinds["purchased"],
            held=after.credits_held,
            debt=after.debt,
            spendable=0 if after.debt else after.credits,
            monthly_free=after.free_grant.full,
            used_this_month=account.credits_used - folded.books.month_base,
            total_used=account.credits_used,
            total_purchased=folded.books.purchased,
            resets_at=after.resets_at,
            next_expiry=None if after.lots_end == lots.NEVER else after.lots_end,
        )

    def entries(self, tenant_id: TenantId, limit: int, position: str | None) -> tuple[list[Entry], str | None]:
        """A page of entries, newest first, and where the next one begins (None at the end)."""
        return self._insist(lambda: self._books.page(tenant_id, limit, position))

    def splits(self, tenant_id: TenantId, entries: list[Entry]) -> dict[str, Split]:
        """By entry id: which lots the USAGE entries among `entries` were paid from, and at which price."""
        used = [entry for entry in entries if entry.start is not None]
        if not used:
            return {}
        oldest = min(entry.start or 0 for entry in used)
        history = self._insist(lambda: self._books.since(tenant_id, oldest))
        return {entry.entry_id: _split(history, entry.start or 0, -entry.credits) for entry in used}

    def _booked(self, tenant_id: TenantId, entry_id: str, change: Change) -> Entry:
        for _ in range(ROUNDS):
            if found := self._insist(lambda: self._books.booked(tenant_id, entry_id)):
                return found
            self._commit(self.account(tenant_id), change)
        raise Busy(retry_after=1)

    def _commit(self, account: Account, change: Change) -> bool:
        """One try of a fold: what has ended, then `change`. Says whether `change` is surely committed."""
        books = self._insist(lambda: self._books.latest(account.tenant_id))
        if books.version > account.version:
            return False  # somebody has folded since the account was read
        fold = Fold(account, books, self._now(account), lambda month: self._statistic(account, month))
        finished = fold.turn()
        if finished:
            change(fold)
        folded: Folded = fold.close()
        try:
            self._books.commit(folded)
        except Refused:
            self._sleep(0.01 * random.random())  # noqa: S311
            return False
        except Exception as error:
            if not is_retryable(error):
                raise
            self._sleep(0.1 * random.random())  # noqa: S311
            return False
        return finished

    def _statistic(self, account: Account, month: str) -> str | None:
        """What a month was mostly used for. Not to know it must not keep the month from ending."""
        try:
            return self._most_used(account.tenant_id, month, account.timezone)
        except Exception:
            _log.warning("the most used function of %s is not known", account.tenant_id, exc_info=True)
            return None

    def _read(self, tenant_id: TenantId) -> tuple[Account, Books]:
        """The account and the books that belong to it."""
        for _ in range(ROUNDS):
            account = self.account(tenant_id)
            books = self._insist(lambda: self._books.latest(tenant_id))
            if books.version <= account.version:
                return account, books
        raise Busy(retry_after=1)

    def _now(self, account: Account) -> int:
        """Our clock may lag behind the one that turned the account last."""
        return max(int(self._clock()), account.day_since)


def _split(history: list[Books], start: int, count: int) -> Split:
    """Credits [start, start + count) by the books that were in force for each of them (`history`: newest first)."""
    parts = []
    end = start + count
    for number, books in enumerate(history):
        until = history[number - 1].base if number else end
        here = max(start, books.base), min(end, until)
        if here[0] < here[1]:
            parts += books.spent(here[0], here[1] - here[0])
    by_kind: dict[str, int] = {}
    for lot, spent in parts:
        by_kind[lot.kind] = by_kind.get(lot.kind, 0) + spent
    return Split(by_kind, lots.price_paid(parts))
