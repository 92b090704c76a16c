"""A ledger on the emulator, with a clock that the test moves."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from noren import ids
from noren.ids import TenantId
from noren.ledger.account import Account
from noren.ledger.book_store import BookStore
from noren.ledger.credits import Credits
from noren.ledger.fold import Gift
from noren.ledger.holds import Held, request_of
from noren.ledger.lots import NEVER, Books, Entry
from noren.ledger.models import Ask
from noren.ledger.service import Ledger
from noren.ledger.store import LedgerStore
from noren.plans.models import Limits
from noren.tenants.models import Tenant
from noren.usage.models import Call, UsageRecord
from noren.usage.service import Usage
from noren.usage.store import UsageStore
from tests.aws import shared
from tests.faults import Crash, Faulty, make_table

LIMITS = Limits(
    chats_per_month=100,
    embedding_tokens_per_month=1000,
    requests_per_day_per_site=30,
    concurrent_chats=10,
    requests_per_minute=60,
    max_tokens=512,
    sites=1,
    members=2,
)


def at(text: str, tz: str = "Asia/Tokyo") -> float:
    """Epoch seconds of a local time."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(tz)).timestamp()


class World:
    """One tenant's ledger, its clock, and what is needed to look behind the scenes."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.now = at("2026-11-01T10:00:00")
        self.tenant = Tenant(TenantId(ids.new_id("ten")), "Ichiban", "free", self.now)
        self.site_id = ids.new_id("site")
        self.ledger = self.container(client)
        self.credits = self.credit_office(client)
        self.usage = Usage(UsageStore(client, "usage"))

    def container(self, client: Any, skew: float = 0.0) -> Ledger:
        """Another process's ledger over the same tables."""
        stores = LedgerStore(client, "quotas"), UsageStore(client, "usage"), self.credit_office(client, skew)
        return Ledger(*stores, clock=lambda: self.now + skew, sleep=lambda _: None)

    def credit_office(self, client: Any, skew: float = 0.0) -> Credits:
        """Another process's credits over the same tables."""
        stores = LedgerStore(client, "quotas"), BookStore(client, "quotas", "credits")
        return Credits(*stores, clock=lambda: self.now + skew, sleep=lambda _: None)

    @property
    def account(self) -> Account:
        account = LedgerStore(self.client, "quotas").get(self.tenant.tenant_id)
        assert account is not None
        return account

    @property
    def books(self) -> Books:
        return BookStore(self.client, "quotas", "credits").latest(self.tenant.tenant_id)

    def entries(self) -> dict[str, Entry]:
        """Every entry of the tenant by id."""
        found: dict[str, Entry] = {}
        position: str | None = None
        while True:
            page, position = self.credits.entries(self.tenant.tenant_id, 100, position)
            assert not found.keys() & {entry.entry_id for entry in page}
            found |= {entry.entry_id: entry for entry in page}
            if position is None:
                return found

    def ask(self, **changes: Any) -> Ask:
        values: dict[str, Any] = {
            "tenant_id": self.tenant.tenant_id,
            "request_id": ids.new_id("req"),
            "site_id": self.site_id,
            "deadline": self.now + 120,
        }
        return Ask(**(values | changes))

    def record(self, ask: Ask, **changes: Any) -> UsageRecord:
        values: dict[str, Any] = {"chats": ask.chats, "credits": ask.credits}
        return UsageRecord(ask.request_id, ask.tenant_id, ask.site_id, self.now, **(values | changes))

    def chat(self, *, release: bool = False, ledger: Ledger | None = None, **changes: Any) -> UsageRecord:
        """A whole chat; returns the record that stands."""
        ask = self.ask(**changes)
        with (ledger or self.ledger).reserve(ask, self.record(ask)) as hold:
            hold.record.calls.append(call())
            hold.release = release
        assert hold.decided is not None
        return hold.decided

    def abandon(self, **changes: Any) -> Ask:
        """A chat whose process is killed while it holds."""
        ask, process = self.ask(**changes), Faulty(self.client)
        with suppress(Crash), self.container(process).reserve(ask, self.record(ask)):
            process.dead = True
        return ask

    def records(self) -> dict[str, UsageRecord]:
        """Every record of the tenant by request id."""
        found: dict[str, UsageRecord] = {}
        position: str | None = None
        while True:
            page, position = self.usage.records(self.tenant.tenant_id, limit=100, position=position)
            assert not found.keys() & {record.request_id for record in page}
            found |= {record.request_id: record for record in page}
            if position is None:
                return found

    def check_books(self, credits: int | None = None) -> None:
        """What must hold at every instant, whatever is under way; `credits` is the sum of all entries, if known."""
        entries = self.entries()  # before the account: what is booked between the reads shows as a difference
        account, records = self.account, self.records()
        holds = {request_of(key): Held.parse(text) for key, text in account.holds.items()}
        settled = [
            record
            for record in records.values()
            if record.decision == "USAGE" and getattr(holds.get(record.request_id), "nonce", "") != record.nonce
        ]
        assert account.credits >= 0
        assert len(holds) <= account.concurrency
        assert account.chats_used <= account.chat_grant.limit
        assert account.embedding_left >= 0
        assert all(0 <= count <= account.site_daily_limit for count in account.site_counts.values())

        books = self.books
        assert account.credits_used == sum(record.credits for record in settled)
        assert account.credits + account.credits_held == books.total - (account.credits_used - books.base)
        booked = sum(entry.credits for entry in entries.values())
        assert booked - account.credits_used == account.balance
        assert credits is None or booked == credits
        assert all(lot.remaining > 0 for lot in books.lots)

        this_month = [held for held in holds.values() if held.made_at >= account.period_since]
        settled_now = [record for record in settled if made_at(record) >= account.period_since]
        assert account.chats_used == sum(h.chats for h in this_month) + sum(r.chats for r in settled_now)
        tokens = sum(h.embedding_tokens for h in this_month) + sum(r.embedding_charged for r in settled_now)
        assert account.embedding_grant.limit - account.embedding_left == tokens

        today = [held for held in holds.values() if held.made_at >= account.day_since and held.slot]
        settled_today = [record for record in settled if made_at(record) >= account.day_since]
        assert sum(account.site_counts.values()) == len(today) + len(settled_today)

    def come_to_rest(self, credits: int | None = None) -> None:
        """Let every hold die, sweep, and check that nothing is left but what was decided."""
        self.now += 3600
        report = self.container(self.client).sweep_all()
        assert (report.failures, report.finished) == (0, True)
        assert not self.account.holds
        self.check_books(credits)

    def give_credits(self, amount: int, **changes: Any) -> Entry:
        """A gift of bonus credits that never expire, unless said otherwise."""
        entry_id = f"BON#{ids.new_id('pay')}"
        gift: dict[str, Any] = {
            "entry_id": entry_id,
            "type": "BONUS",
            "kind": "bonus",
            "credits": amount,
            "expires_at": NEVER,
        }
        return self.credits.give(self.tenant.tenant_id, Gift(**(gift | changes)))


def made_at(record: UsageRecord) -> int:
    """When the hold was made that a record settles."""
    return int(record.nonce[:-4], 36)


def call(**changes: Any) -> Call:
    values: dict[str, Any] = {"tokens_input": 10, "tokens_output": 20}
    return Call("answer", "offline", "offline-extractive", "p", "p@1", "ok", **(values | changes))


@pytest.fixture(scope="session")
def storage(ministack: str) -> Iterator[Any]:
    """A client of an account for all tests of the ledger."""
    with shared(ministack, f"2{os.getpid():011d}") as client:
        yield client


@pytest.fixture
def client(storage: Any) -> Iterator[Faulty]:
    """A client whose calls a test may count and break, of tables that it has to itself: jobs look at all accounts."""
    tables = ("quotas", "credits", "usage")
    for name in tables:
        make_table(storage, name)
    yield Faulty(storage)
    for name in tables:
        storage.delete_table(TableName=name)


@pytest.fixture
def world(client: Faulty) -> World:
    """A tenant with an account, opened on the first day of a month."""
    world = World(client)
    world.ledger.open_account(world.tenant, LIMITS)
    client.calls.clear()
    return world
