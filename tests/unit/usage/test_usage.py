"""Usage records: stored exactly, read newest first, never across tenants."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from decimal import Decimal
from typing import Any

import pytest

from noren import ids, tables
from noren.ids import TenantId
from noren.usage.models import Call, UsageRecord
from noren.usage.service import Usage
from noren.usage.store import UsageStore
from tests.faults import Faulty, emulator_client, make_table

TENANT, OTHER = (TenantId(ids.new_id("ten")) for _ in range(2))
SITE, SECOND_SITE = (ids.new_id("site") for _ in range(2))


@pytest.fixture
def client(aws: str) -> Iterator[Faulty]:
    faulty = Faulty(emulator_client())
    make_table(faulty, "usage")
    yield faulty
    faulty.close()


@pytest.fixture
def store(client: Any) -> UsageStore:
    return UsageStore(client, "usage")


@pytest.fixture
def usage(store: UsageStore) -> Usage:
    return Usage(store)


def record(number: int = 0, tenant: TenantId = TENANT, site: str = SITE) -> UsageRecord:
    now = 1_795_000_000.125 + number
    return UsageRecord(ids.new_id("req", now), tenant, site, now)


def full() -> UsageRecord:
    """A record without a single default."""
    call = Call(
        purpose="draft",
        provider="anthropic",
        model="claude-haiku-4-5",
        policy_id="claude_haiku",
        price_version="claude_haiku@2026-10-01",
        status="cancelled",
        tokens_input=1234,
        tokens_output=56,
        tokens_cached=1000,
        tokens_embedding=7,
        gpu_seconds=Decimal("1.250"),
        estimated=True,
        cost_usd=Decimal("0.0012345678"),
        first_token_ms=321,
        total_ms=4321,
    )
    return UsageRecord(
        request_id=ids.new_id("req"),
        tenant_id=TENANT,
        site_id=SITE,
        occurred_at=1_795_000_000.123456,
        source="openai",
        function="analysis",
        decision="RELEASE",
        nonce="tqpwxsabcd",
        chats=0,
        credits=3,
        embedding_charged=5,
        caller="visitor:3f2a",
        session_key="2f0c",
        tier="vip",
        route_reason="fallback: timeout",
        provider="anthropic",
        model="claude-haiku-4-5",
        calls=[call, replace(call, purpose="answer", first_token_ms=None, cost_usd=Decimal(0))],
        admission_ms=5,
        retrieval_ms=6,
        first_token_ms=7,
        total_ms=8,
        cost_usd=Decimal("12345678901234567890.0123456789"),
        cost_local=Decimal("0.1"),
        currency="KRW",
        rate=Decimal("1391.25"),
        status="degraded",
        error_code="timed_out",
        prompt_profile="prof",
        prompt_version=3,
        prompt_arm="b",
        experiment_id="exp_1",
        is_new_session=True,
        address_prefix="203.0.113.0/24",
        user_agent="Mozilla/5.0 (暖簾)",
        trace_id="0af7651916cd43dd8448eb211c80319c",
        late=True,
        revision=2,
        extra={"ratio": 0.25, "tags": ["a"], "nested": {"none": None, "yes": True}},
    )


def test_every_field_comes_back_exactly(usage: Usage, store: UsageStore) -> None:
    original = full()
    defaults = record()
    same = [
        each.name
        for each in fields(UsageRecord)
        if each.name not in ("tenant_id", "site_id") and getattr(original, each.name) == getattr(defaults, each.name)
    ]
    assert same == []  # a new field belongs into `full`
    store.put_first(original)
    found = usage.record_of(TENANT, original.request_id)
    assert found == original
    assert found is not None
    assert isinstance(found.calls[1].cost_usd, Decimal)
    assert isinstance(found.rate, Decimal)
    assert isinstance(found.occurred_at, float)


def test_numbers_that_storage_would_refuse_are_still_recorded(usage: Usage, store: UsageStore) -> None:
    """A record that can't be put would leave its request undecided."""
    deep: list[Any] = []
    for _ in range(100):
        deep = [deep]
    strange = replace(
        record(),
        cost_usd=Decimal(1) / Decimal(3) + Decimal(10) ** 20,
        rate=Decimal("1." + "1" * 60),
        model="lone \ud800 surrogate",
        extra={"float": 1e308, "long": 10**60, "": "\ud800\0", "deep": deep},
    )
    store.put_first(strange)
    found = usage.record_of(TENANT, strange.request_id)
    assert found is not None
    assert found.extra == strange.extra
    assert found.model == "lone ? surrogate"
    assert abs(found.rate - strange.rate) < Decimal("1e-36")


def test_a_record_lives_thirteen_months(client: Faulty, store: UsageStore) -> None:
    store.put_first(record())
    item = tables.from_item(client.scan(TableName="usage")["Items"][0])
    assert 395 <= (item["expires_at"] - 1_795_000_000) / 86_400 <= 397


def test_the_first_writer_wins(usage: Usage, store: UsageStore) -> None:
    first = record()
    assert store.put_first(first) is first
    assert store.put_first(replace(first, credits=99)) == first
    assert usage.record_of(TENANT, first.request_id) == first


def test_a_late_account_replaces_a_release_once_and_a_usage_never(store: UsageStore) -> None:
    released = store.put_first(replace(record(), decision="RELEASE"))
    late = replace(released, late=True, revision=2)
    assert store.put_late(late)
    assert not store.put_late(replace(late, revision=3))
    used = store.put_first(record(1))
    assert not store.put_late(replace(used, late=True))
    assert not store.put_late(record(2))


def test_what_is_uncharged_is_never_charged(usage: Usage) -> None:
    canned = usage.put_uncharged(replace(record(), source="canned", chats=1, credits=5, nonce="n"))
    assert (canned.chats, canned.credits, canned.nonce) == (0, 0, "")
    assert usage.put_uncharged(replace(canned, status="failed")) == canned


def test_pages_newest_first_by_tenant_and_by_site(usage: Usage, store: UsageStore) -> None:
    ours = [store.put_first(record(number, site=(SITE, SECOND_SITE)[number % 2])) for number in range(7)]
    store.put_first(record(3, tenant=OTHER))
    store.put_first(record(3, tenant=OTHER, site=SECOND_SITE))

    def everything(site_id: str | None, limit: int) -> list[UsageRecord]:
        found: list[UsageRecord] = []
        position: str | None = None
        while True:
            page, position = usage.records(TENANT, site_id, limit, position)
            assert len(page) <= limit
            found += page
            if position is None:
                return found

    for limit in (1, 2, 3, 7, 50):
        assert everything(None, limit) == ours[::-1]
        assert everything(SITE, limit) == ours[::2][::-1]
        assert everything(SECOND_SITE, limit) == ours[1::2][::-1]
    assert everything(ids.new_id("site"), 2) == []


def test_a_rare_sites_list_is_whole_though_each_page_looks_at_few_records(
    client: Faulty, usage: Usage, store: UsageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("noren.usage.store.STRIDE", 4)
    monkeypatch.setattr("noren.usage.store.STRIDES", 3)
    for number in range(60):
        store.put_first(record(number, site=SECOND_SITE if number in (3, 4, 5, 31, 58) else SITE))
    client.calls.clear()
    found: list[UsageRecord] = []
    pages = empty = 0
    position: str | None = None
    while True:
        page, position = usage.records(TENANT, SECOND_SITE, 2, position)
        found += page
        pages += 1
        empty += not page
        assert client.calls.count("query") <= 3 * pages
        if position is None:
            break
    assert [round(each.occurred_at - 1_795_000_000.125) for each in found] == [58, 31, 5, 4, 3]
    assert empty, "the pages between rare records come empty, and lead on"


def test_a_record_is_in_no_index(client: Faulty, store: UsageStore) -> None:
    """An index would double what each chat writes."""
    store.put_first(record())
    assert not [name for name in client.scan(TableName="usage")["Items"][0] if name.startswith("gsi")]


def test_a_foreign_request_is_not_found(usage: Usage, store: UsageStore) -> None:
    theirs = store.put_first(record(tenant=OTHER))
    assert usage.record_of(TENANT, theirs.request_id) is None
