"""A ledger on the emulator, with a clock that the test moves."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from noren import ids, tables
from noren.ids import TenantId
from noren.ledger.account import Account
from noren.ledger.models import Ask
from noren.ledger.service import Ledger
from noren.ledger.store import LedgerStore
from noren.plans.models import Limits
from noren.tenants.models import Tenant
from noren.usage.models import Call, UsageRecord
from noren.usage.service import Usage
from noren.usage.store import UsageStore
from tests.faults import Faulty, make_table

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
        self.usage = Usage(UsageStore(client, "usage"))

    def container(self, client: Any, skew: float = 0.0) -> Ledger:
        """Another process's ledger over the same tables."""
        stores = LedgerStore(client, "quotas"), UsageStore(client, "usage")
        return Ledger(*stores, clock=lambda: self.now + skew, sleep=lambda _: None)

    @property
    def account(self) -> Account:
        account = LedgerStore(self.client, "quotas").get(self.tenant.tenant_id)
        assert account is not None
        return account

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

    def abandon(self, ledger: Ledger | None = None, **changes: Any) -> Ask:
        """A chat whose process is killed while it holds."""
        ask = self.ask(**changes)
        (ledger or self.ledger).reserve(ask, self.record(ask)).__enter__()
        return ask

    def give_credits(self, amount: int) -> None:
        """Credits come with a later chapter: until then they are put there by hand."""
        self.client.update_item(
            TableName="quotas",
            Key=tables.to_item({"pk": tables.tenant_key(self.tenant.tenant_id, "ACC"), "sk": "0"}),
            UpdateExpression="SET av = av + :n",
            ExpressionAttributeValues={":n": {"N": str(amount)}},
        )


def call(**changes: Any) -> Call:
    values: dict[str, Any] = {"tokens_input": 10, "tokens_output": 20}
    return Call("answer", "offline", "offline-extractive", "p", "p@1", "ok", **(values | changes))


@pytest.fixture
def client(aws: str) -> Iterator[Faulty]:
    """A client of fresh tables, whose calls a test may count and break."""
    faulty = Faulty(tables.dynamodb(single_attempt=True))
    make_table(faulty, "quotas")
    make_table(faulty, "usage", index=True)
    faulty.calls.clear()
    yield faulty
    faulty.close()


@pytest.fixture
def world(client: Faulty) -> World:
    """A tenant with an account, opened on the first day of a month."""
    world = World(client)
    world.ledger.open_account(world.tenant, LIMITS)
    client.calls.clear()
    return world
