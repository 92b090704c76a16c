"""What must hold of one tenant's account, checked on every image that its item ever had, and on its books.

The images come from the table's stream, so that nothing which happened between two looks is missed. `Audit` knows the
rules and none of the ledger's code that keeps them.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple

from bench.wire import Images
from noren import tables
from noren.ids import TenantId
from noren.ledger.account import Account, following
from noren.ledger.book_store import BookStore, entry_of
from noren.ledger.credits import Split
from noren.ledger.holds import Held, request_of, slot_of
from noren.ledger.lots import Books, Entry
from noren.ledger.models import Ask, Reason
from noren.ledger.store import account_of

MEMORY_SECONDS = 3
"""A container may repeat a denial for so long (and its clock counts whole seconds)."""
OURS = ("RESET#", "GRT#", "EXP#", "USE#")
"""Entries that the ledger makes by itself."""


class Change(NamedTuple):
    """One image of the account, the one before it, and when it was written."""

    before: Account | None
    after: Account
    at: float


class Audit:
    """`violations` says what did not hold."""

    def __init__(self, client: Any, tenant_id: TenantId) -> None:
        self._client, self._tenant = client, tenant_id
        self._accounts, self._usage = Images(client, "quotas"), Images(client, "usage")
        self._books = BookStore(client, "quotas", "credits")
        self.changes: list[Change] = []
        self.violations: list[str] = []
        self.records: dict[str, dict[str, Any]] = {}
        self.asked: dict[str, range] = {}
        """What an entry that somebody wanted may book (a refund takes no more than is left)."""
        self.confirmed: set[str] = set()
        """Entries that were said to be booked."""
        self._denials: list[tuple[float, Ask, Reason]] = []
        self._checked = 0

    # -- what happens

    def look(self, now: float) -> None:
        """Take in what has been written since the last look, all of it at `now`."""
        for old, new in self._accounts.new():
            if new is None or not new["pk"]["S"].startswith("ACC#"):
                continue
            before = account_of(tables.from_item(old)) if old else None
            self.changes.append(Change(before, account_of(tables.from_item(new)), now + len(self.changes) / 1e3))
            self._note(_faults_of(self.changes[-1]))
        for denial in self._denials:
            self._note(self._faults_of_denial(*denial))
        self._denials.clear()

    def denied(self, now: float, ask: Ask, reason: Reason) -> None:
        """A request was told that it may not."""
        self._denials.append((now, ask, reason))

    def _note(self, found: Iterator[str]) -> None:
        self.violations += found

    def _faults_of_denial(self, now: float, ask: Ask, reason: Reason) -> Iterator[str]:
        if reason == "contention":
            return
        recent: list[Account] = []
        for change in reversed(self.changes):
            recent.append(change.after)
            if change.at < now - MEMORY_SECONDS:
                break
        if not any(_is_reason(reason, account, ask) for account in recent):
            yield f"a request was denied ({reason}) that had what it needed"

    # -- what the books say

    def check(self, now: float) -> tuple[list[Books], dict[str, Entry]]:
        """Compare every image since the last check with records, lots and entries (by sort key); returns those."""
        self.look(now)
        for old, new in self._usage.new():
            self._note(self._faults_of_record(tables.from_item(old) if old else None, tables.from_item(new or {})))
        history = self._books.since(self._tenant, -1)
        entries = self.entries()
        self._note(self._faults_of_books(history, entries))
        self._checked = len(self.changes)
        return history, entries

    def entries(self) -> dict[str, Entry]:
        """All of them, by sort key."""
        found: dict[str, Entry] = {}
        values = tables.to_item({":pk": tables.tenant_key(self._tenant, "TX")})
        given: dict[str, Any] = {"KeyConditionExpression": "pk = :pk", "ExpressionAttributeValues": values}
        while True:
            page = self._client.query(TableName="credits", ConsistentRead=True, **given)
            found |= {item["sk"]["S"]: entry_of(tables.from_item(item)) for item in page["Items"]}
            if "LastEvaluatedKey" not in page:
                return found
            given["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def _faults_of_record(self, old: dict[str, Any] | None, new: dict[str, Any]) -> Iterator[str]:
        request = new.get("request_id", "")
        if old is None:
            if request in self.records:
                yield f"{request} was decided twice"
        elif old["decision"] != "RELEASE" or new["decision"] != "RELEASE" or not new["late"] or old["late"]:
            yield f"{request}: a decision was changed"
        self.records[request] = new

    def _faults_of_books(self, history: list[Books], entries: dict[str, Entry]) -> Iterator[str]:
        by_version = {books.version: books for books in history}
        credits = {entry.entry_id: entry.credits for entry in entries.values()}
        if len(credits) != len(entries):
            yield "an entry was written twice"
        for entry_id, amount in credits.items():
            if not entry_id.startswith(OURS) and amount not in self.asked.get(entry_id, ()):
                yield f"{entry_id} books {amount}, asked for {self.asked.get(entry_id)}"
        yield from (f"{entry_id} was confirmed and is not booked" for entry_id in self.confirmed - credits.keys())

        booked = 0
        resets: list[str] = []
        books = Books()
        for number, (before, after, _) in enumerate(self.changes):
            if (before is None or before.version != after.version) and after.version in by_version:
                books = by_version[after.version]
                written = [entries[sort_key].entry_id for sort_key in books.entries]
                booked += sum(credits.get(entry_id, 0) for entry_id in written)
                resets += [entry_id for entry_id in written if entry_id.startswith("RESET#")]
            if number < self._checked:
                continue
            if any(lot.remaining <= 0 for lot in books.lots):
                yield "a lot holds nothing"
            if after.credits + after.credits_held != books.total - (after.credits_used - books.base):
                yield f"v{after.version}: {after.credits} + {after.credits_held} held are not what the lots hold"
            if booked - after.credits_used != after.credits + after.credits_held - after.debt:
                yield f"v{after.version}: entries of {booked} - {after.credits_used} used are not the balance"
            if before:
                yield from self._faults_of_settle(before, after)
            if resets != _periods(self.changes[0].after.period, after.period):
                yield f"v{after.version}: months are {resets} up to {after.period}"

    def _faults_of_settle(self, before: Account, after: Account) -> Iterator[str]:
        """A hold ends by its record, and by nothing else."""
        for key in before.holds.keys() - after.holds.keys():
            held, record = Held.parse(before.holds[key]), self.records.get(request_of(key))
            if record is None:
                yield f"{request_of(key)} ended without a decision"
                continue
            is_mine = record["decision"] == "USAGE" and record["nonce"] == held.nonce
            taken = min(record.get("credits", 0), held.credits) if is_mine else 0
            if after.credits_used - before.credits_used != taken:
                yield f"{request_of(key)} took {after.credits_used - before.credits_used}, decided {taken}"

    # -- at rest

    def at_rest(self, now: float, history: list[Books], entries: dict[str, Entry], splits: dict[str, Split]) -> None:
        """What must hold once nothing is under way and the journal has seen everything."""
        self._note(self._faults_at_rest(now, history, entries, splits))

    def _faults_at_rest(
        self, now: float, history: list[Books], by_key: dict[str, Entry], splits: dict[str, Split]
    ) -> Iterator[str]:
        account = self.changes[-1].after
        if account.holds:
            yield f"{len(account.holds)} holds are left"
        if account.debt and account.credits:
            yield f"{account.debt} are owed and {account.credits} are there"
        if min(account.resets_at, account.lots_end) <= now:
            yield "something has ended and was not folded"
        entries = {entry.entry_id: entry for entry in by_key.values()}
        by_version = {books.version: books for books in history}
        running, unseen = 0, set(entries)
        for before, after, _ in self.changes:
            ids: list[str] = []
            if before and before.credits_used != after.credits_used:
                (key,) = before.holds.keys() - after.holds.keys()
                ids = [f"USE#{request_of(key)}"]
                line = entries.get(ids[0])
                if line and (line.start, -line.credits) != (
                    before.credits_used,
                    after.credits_used - before.credits_used,
                ):
                    yield f"{ids[0]} stands at {line.start} with {line.credits}"
            elif (before is None or before.version != after.version) and after.version in by_version:
                ids = [by_key[sort_key].entry_id for sort_key in by_version[after.version].entries]
            for entry_id in ids:
                unseen.discard(entry_id)
                if entry_id not in entries:
                    yield f"{entry_id} is missing"
                    continue
                running += entries[entry_id].credits
                if entries[entry_id].balance_after != running:
                    yield f"{entry_id} says {entries[entry_id].balance_after} were left, not {running}"
        yield from (f"{entry_id} is of nothing that happened" for entry_id in unseen)
        if running != account.balance:
            yield f"entries add up to {running}, the balance is {account.balance}"
        yield from _faults_of_splits(entries, splits)


def _faults_of_splits(entries: dict[str, Entry], splits: dict[str, Split]) -> Iterator[str]:
    paid: dict[str, Decimal] = {}
    for entry_id, split in splits.items():
        if sum(split.by_kind.values()) != -entries[entry_id].credits:
            yield f"{entry_id} is split into {split.by_kind}"
        for currency, amount in split.paid.items():
            paid[currency] = paid.get(currency, Decimal(0)) + amount
    for currency, amount in paid.items():
        bought = sum(entry.paid for entry in entries.values() if entry.currency == currency and entry.paid > 0)
        if amount > bought + Decimal("0.000001"):
            yield f"{amount} {currency} were spent of the {bought} that were paid"


def _faults_of(change: Change) -> Iterator[str]:
    """What one write of the item may do, and under which conditions."""
    before, after, _ = change
    if after.credits < 0 or after.debt < 0:
        yield f"v{after.version}: {after.credits} credits, {after.debt} owed"
    if before is None:
        return
    made, gone = after.holds.keys() - before.holds.keys(), before.holds.keys() - after.holds.keys()
    if len(made) + len(gone) + (after.version != before.version) > 1:
        yield "one write did two things"
    for key in made:
        yield from _faults_of_reserve(before, after, Held.parse(after.holds[key]))
    for key in gone:
        held, used = Held.parse(before.holds[key]), after.credits_used - before.credits_used
        if not 0 <= used <= held.credits or after.credits - before.credits != held.credits - used:
            yield f"{request_of(key)} held {held.credits} and took {used}, {after.credits - before.credits} came back"
        if held.made_at < before.period_since and after.chats_used != before.chats_used:
            yield f"{request_of(key)} moved the count of a month that is not its own"
        if after.chats_used > before.chats_used or after.embedding_left < before.embedding_left:
            yield f"{request_of(key)} took more than it held"
    if not gone and after.credits_used != before.credits_used:
        yield "credits were used by nobody"
    if before.period != after.period and (after.chats_used or after.embedding_left != after.embedding_grant.limit):
        yield f"{after.period} does not begin anew"


def _faults_of_reserve(before: Account, after: Account, held: Held) -> Iterator[str]:
    name = f"v{before.version}: a reserve at {held.made_at}"
    if held.made_at >= before.next_turn:
        yield f"{name} succeeded at or past {before.next_turn}"
    if held.made_at < before.day_since:
        yield f"{name} succeeded in a day that it is not of"
    if not before.active:
        yield f"{name} succeeded on a stopped account"
    if len(after.holds) > before.concurrency:
        yield f"{name} is one too many at once"
    if held.chats and after.chats_used > before.chat_grant.limit:
        yield f"{name} is chat {after.chats_used} of {before.chat_grant.limit}"
    if held.credits and before.debt:
        yield f"{name} succeeded with {before.debt} owed"
    if held.slot and after.site_counts[held.slot] > before.site_daily_limit:
        yield f"{name} is one too many of its site's day"
    if held.embedding_tokens and after.embedding_left < 0:
        yield f"{name} took embedding tokens that were not there"
    counted = after.chats_used - before.chats_used, before.credits - after.credits
    if counted != (held.chats, held.credits) or after.credits_used != before.credits_used:
        yield f"{name} holds {held.chats, held.credits} and counted {counted}"


def _is_reason(reason: Reason, account: Account, ask: Ask) -> bool:
    match reason:
        case "stopped":
            return not account.active
        case "chats":
            return account.chats_used >= account.chat_grant.limit
        case "debt":
            return account.debt > 0
        case "credits":
            return account.credits < ask.credits
        case "site_day":
            return account.site_counts.get(slot_of(ask.site_id), 0) >= account.site_daily_limit
        case "embedding":
            return account.embedding_left < ask.embedding_tokens
        case "concurrency":
            return len(account.holds) >= account.concurrency
    return False


def _periods(first: str, last: str) -> list[str]:
    found = [first]
    while found[-1] < last:
        found.append(following(found[-1]))
    return [f"RESET#{each}" for each in found]
