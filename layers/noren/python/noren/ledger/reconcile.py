"""Reconciliation: every figure of an account against what it was made from. It reports, and repairs nothing.

Counters against records, holds against requests, the spendable balance against the lots, the lots against the entries,
the entries against the records. A tenant may be busy while it is read, so a difference counts only if it is found again
after a pause.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from noren.clock import Clock
from noren.errors import NotFound
from noren.ids import TenantId
from noren.ledger.account import Account
from noren.ledger.book_store import BookStore
from noren.ledger.holds import Held, request_of, time_of
from noren.ledger.lots import Books, Entry
from noren.ledger.store import LedgerStore
from noren.ledger.walk import walk
from noren.metrics import measured
from noren.tables import insistently
from noren.usage.models import UsageRecord
from noren.usage.store import UsageStore

_log = logging.getLogger(__name__)

LAG_SECONDS = 900.0
"""What a sweep and the journal's stream may be behind."""
LOOKS = 3
PAUSE_SECONDS = 2.0
PAGE = 500


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure that is not what it was made from."""

    tenant_id: TenantId
    what: str
    expected: int
    found: int
    detail: str = ""

    def __str__(self) -> str:
        more = f" ({self.detail})" if self.detail else ""
        return f"{self.tenant_id} {self.what}: expected {self.expected}, found {self.found}{more}"


@dataclass(frozen=True, slots=True)
class _Seen:
    """Everything about one account, as of one look."""

    account: Account
    books: Books
    entries: list[Entry]
    records: list[UsageRecord]
    """Those of requests made since this month's start."""
    now: float


@dataclass(frozen=True, slots=True)
class Report:
    """What one run over all accounts found. `finished` is False where the time ran out: the next run goes on."""

    accounts: int
    differences: tuple[Difference, ...]
    failures: int
    finished: bool


class Reconciler:
    """Looks accounts over."""

    def __init__(
        self,
        accounts: LedgerStore,
        books: BookStore,
        usage: UsageStore,
        clock: Clock,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._accounts, self._books, self._usage, self._clock, self._sleep = accounts, books, usage, clock, sleep

    def examine(self, tenant_id: TenantId) -> list[Difference]:
        """What doesn't agree, on each of several looks. Raises NotFound."""
        lasting: set[Difference] | None = None
        for look in range(LOOKS):
            if look:
                self._sleep(PAUSE_SECONDS)
            found = set(_differences(self._look(tenant_id)))
            lasting = found if lasting is None else lasting & found
            if not lasting:
                return []
        for each in sorted(lasting or (), key=str):
            fields = {"tenant": each.tenant_id, "what": each.what, "expected": each.expected, "found": each.found}
            _log.error("the books don't agree", extra=measured(fields, BooksDiffer=1))
        return sorted(lasting or (), key=str)

    def examine_all(self, seconds: float | None = None, day: str = "") -> Report:
        """Examine every account, for at most about `seconds`; on one `day` (any name) no account twice.

        One account's trouble stops no other's. Each difference is logged and counted for the alarm.
        """
        found: list[Difference] = []

        def work(tenant_id: TenantId) -> None:
            found.extend(self.examine(tenant_id))

        done = walk(self._accounts, self._clock, "RECONCILE", work, seconds=seconds, day=day)
        return Report(done.accounts, tuple(found), done.failures, done.finished)

    def _look(self, tenant_id: TenantId) -> _Seen:
        account = self._get(tenant_id)
        books = insistently(lambda: self._books.latest(tenant_id), sleep=self._sleep)
        return _Seen(account, books, self._entries(tenant_id), self._records(account), self._clock())

    def _get(self, tenant_id: TenantId) -> Account:
        account = insistently(lambda: self._accounts.get(tenant_id), sleep=self._sleep)
        if account is None:
            raise NotFound("This tenant has no account")
        return account

    def _entries(self, tenant_id: TenantId) -> list[Entry]:
        found: list[Entry] = []
        position: str | None = None
        while True:
            read = partial(self._books.page, tenant_id, PAGE, position)
            page, position = insistently(read, sleep=self._sleep)
            found += page
            if position is None:
                return found

    def _records(self, account: Account) -> list[UsageRecord]:
        """Records whose holds were made since this month's start; ids sort by the time of their requests."""
        found: list[UsageRecord] = []
        position: str | None = None
        since = account.period_since - 3600  # a request's id is made a little before its hold
        while True:
            read = partial(self._usage.page, account.tenant_id, None, PAGE, position)
            page, position = insistently(read, sleep=self._sleep)
            found += page
            if position is None or page[-1].occurred_at < since:
                return [record for record in found if record.nonce and time_of(record.nonce) >= account.period_since]


def _differences(seen: _Seen) -> Iterator[Difference]:
    """Every figure that doesn't agree."""
    account, tenant = seen.account, seen.account.tenant_id

    def differ(what: str, expected: int, found: int, detail: str = "") -> Iterator[Difference]:
        if expected != found:
            yield Difference(tenant, what, expected, found, detail)

    held = {request_of(key): Held.parse(text) for key, text in account.holds.items()}
    settled = [
        record
        for record in seen.records
        if record.decision == "USAGE" and getattr(held.get(record.request_id), "nonce", "") != record.nonce
    ]
    open_now = [each for each in held.values() if each.made_at >= account.period_since]
    yield from differ("chats used", sum(h.chats for h in open_now) + sum(r.chats for r in settled), account.chats_used)
    embedding = sum(h.embedding_tokens for h in open_now) + sum(r.embedding_charged for r in settled)
    yield from differ("embedding tokens used", embedding, account.embedding_grant.limit - account.embedding_left)
    today = [h for h in held.values() if h.slot and h.made_at >= account.day_since]
    counted = [record for record in settled if time_of(record.nonce) >= account.day_since]
    requests = sum(1 for record in counted if record.chats or record.credits)
    yield from differ("requests today", len(today) + requests, sum(account.site_counts.values()))
    for request_id, hold in held.items():
        if hold.expires_at + LAG_SECONDS < seen.now:
            yield Difference(tenant, "hold of a request that is gone", 0, 1, request_id)
    yield from _of_credits(seen, differ, settled)


def _of_credits(
    seen: _Seen, differ: Callable[..., Iterator[Difference]], settled: list[UsageRecord]
) -> Iterator[Difference]:
    account, books = seen.account, seen.books
    if books.version <= account.version:
        lots = books.total - (account.credits_used - books.base)
        yield from differ("credits in lots", account.credits + account.credits_held, lots)
    booked = sum(entry.credits for entry in seen.entries if entry.type != "USAGE")
    yield from differ("balance by entries", booked - account.credits_used, account.balance)
    yield from _of_journal(seen, differ)
    lines = {entry.reference_id: -entry.credits for entry in seen.entries if entry.type == "USAGE"}
    for record in settled:
        if record.credits and record.occurred_at + record.total_ms / 1000 + LAG_SECONDS < seen.now:
            line = lines.get(record.request_id, 0)
            yield from differ("credits of a request's entry", record.credits, line, record.request_id)


def _of_journal(seen: _Seen, differ: Callable[..., Iterator[Difference]]) -> Iterator[Difference]:
    """USAGE entries stand end to end from the first credit on, but for what the stream is still to bring."""
    position = 0
    used = sorted((entry for entry in seen.entries if entry.type == "USAGE"), key=lambda entry: entry.start or 0)
    for entry in used:
        yield from differ("position of an entry", position, entry.start or 0, entry.entry_id)
        position = (entry.start or 0) - entry.credits
    is_quiet = all(record.occurred_at + LAG_SECONDS < seen.now for record in seen.records if record.credits)
    if is_quiet:
        yield from differ("credits used by entries", seen.account.credits_used, position)
