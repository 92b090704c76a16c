"""The journal: what the account item's own history adds to the credit entries.

A settle moves the account's position by what it took, and a fold moves its version; the images before and after say by
which request, and what the balance was then. They come at least once, in any batches, in order for each account:
whatever is written here is the same however often it is.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from noren.ledger.account import Account
from noren.ledger.book_store import BookStore
from noren.ledger.holds import request_of
from noren.ledger.lots import Entry
from noren.tables import insistently
from noren.usage.store import UsageStore

_log = logging.getLogger(__name__)


class Journal:
    """Writes USAGE entries, and each entry's balance."""

    def __init__(self, books: BookStore, usage: UsageStore, sleep: Callable[[float], None] = time.sleep) -> None:
        self._books, self._usage, self._sleep = books, usage, sleep

    def note(self, before: Account | None, after: Account, at: float) -> None:
        """Take in one change of an account, made at `at` (epoch seconds)."""
        if before and after.credits_used != before.credits_used:
            self._settled(before, after, at)
        if before is None or after.version != before.version:
            insistently(lambda: self._folded(after), sleep=self._sleep)

    def _settled(self, before: Account, after: Account, at: float) -> None:
        gone = before.holds.keys() - after.holds.keys()
        if len(gone) != 1:
            _log.error("a settle of %s shows %d holds gone", after.tenant_id, len(gone))
            return
        request_id = request_of(gone.pop())
        record = insistently(lambda: self._usage.get(after.tenant_id, request_id), sleep=self._sleep)
        entry = Entry(
            entry_id=f"USE#{request_id}",
            type="USAGE",
            credits=before.credits_used - after.credits_used,
            at=at,
            reference_id=request_id,
            start=before.credits_used,
            balance_after=after.balance,
        )
        if record:
            entry.function_type, entry.user_id = record.function, record.caller
            entry.details = {"execution_time_ms": record.total_ms, "status": record.status, "site_id": record.site_id}
        insistently(lambda: self._books.put_usage(after.tenant_id, entry, after.version), sleep=self._sleep)

    def _folded(self, after: Account) -> None:
        """The fold's last entry left the balance of the image, each one before it what the next one started from."""
        books = self._books.at(after.tenant_id, after.version)
        if books is None:
            return  # a day has turned
        balance = after.balance
        entries = self._books.entries_at(after.tenant_id, books.entries)
        for sort_key, entry in reversed(list(zip(books.entries, entries, strict=True))):
            self._books.tell_balance(after.tenant_id, sort_key, balance)
            balance -= entry.credits
