"""Vectors over the real ledger on the emulator: held, made, charged by the bill, never beyond what was held."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noren.errors import BadRequest, Busy, Forbidden, NorenError, RateLimited, UpstreamFailed
from noren.knowledge.embeddings import EmbeddingQuotaSpent, NoEmbeddings, OnBehalf, to_hold
from noren.ledger.models import Ask
from noren.llm import tokens
from noren.llm.models import Embedded, ProviderFault, TokenUsage
from noren.sites.models import Site
from noren.tenants.models import Tenant
from noren.usage.models import UsageRecord
from tests.aws import account
from tests.faults import Crash, Faulty
from tests.unit.chat.rig import LIMITS, Container, Rig
from tests.unit.llm.vectors import LOCAL, SMALL, Vectors

QUOTA = 1_000
LARGE = replace(SMALL, id="embedding_3_large", name="Large", model="text-embedding-3-large")


class Bench:
    """A tenant with a quota of embedding tokens, and a model that bills what the test says."""

    def __init__(self) -> None:
        self.vectors = Vectors()
        self.rig = Rig(
            replace(LIMITS, embedding_tokens_per_month=QUOTA, concurrent_chats=64),
            providers={"openai": self.vectors, "local_llm": Vectors(name="local_llm")},  # type: ignore[dict-item]
        )
        self.rig.catalogue.embeddings = (SMALL, LOCAL)
        self.tenant = self.rig.tenant
        self.site = self.rig.sites.get(self.tenant.tenant_id, self.rig.sites.default_id(self.tenant))

    def embed(self, *texts: str, container: Container | None = None, **changes: Any) -> Embedded:
        options: dict[str, Any] = {"tenant": self.tenant, "site": self.site, "purpose": "training"} | changes
        tenant, site = options.pop("tenant"), options.pop("site")
        return (container or self.rig).embeddings.vectors(tenant, site, texts, **options)

    def container(self, client: Any = None) -> Container:
        """Another process, which remembers nothing."""
        providers: Any = {"openai": self.vectors}
        return Container(client or self.rig.client, self.rig, sleep=self.rig.clock.skip, providers=providers)

    @property
    def used(self) -> int:
        return self.rig.ledger.standing(self.tenant.tenant_id).embedding_tokens_used

    @property
    def records(self) -> list[UsageRecord]:
        return self.rig.records()


@pytest.fixture
def bench(aws: str) -> Bench:
    return Bench()


def test_a_request_is_charged_by_the_bill_and_recorded(bench: Bench) -> None:
    bench.vectors.billed = lambda text: 4
    by = OnBehalf("key:k1", "203.0.113.0/24", "pytest", "a" * 32)
    made = bench.embed("When do you open?", "営業時間は？", by=by)
    assert (len(made.vectors), made.tokens, made.model) == (2, 8, "reported-e1")
    assert bench.used == 8
    (record,) = bench.records
    assert (record.decision, record.status, record.chats, record.credits) == ("USAGE", "ok", 0, 0)
    assert (record.source, record.function, record.caller) == ("training", "embedding", "key:k1")
    assert (record.model, record.provider, record.site_id) == ("reported-e1", "openai", bench.site.site_id)
    assert (record.tokens_embedding, record.embedding_charged) == (8, 8)
    (call,) = record.calls
    assert (call.purpose, call.price_version) == ("embedding", "embedding_3_small@2026-11-01")
    assert made.cost_usd == record.cost_usd == call.cost_usd == Decimal("0.00000016")
    assert (record.cost_local, record.currency, record.rate) == (Decimal("0.000024"), "JPY", Decimal(150))
    assert (record.address_prefix, record.user_agent, record.trace_id) == ("203.0.113.0/24", "pytest", "a" * 32)
    standing = bench.rig.ledger.standing(bench.tenant.tenant_id)
    assert (standing.open_holds, standing.chats_used, standing.requests_today(bench.site.site_id)) == (0, 0, 0)


def test_a_job_knows_beforehand_whether_the_month_has_room_for_it(bench: Bench) -> None:
    bench.vectors.billed = lambda text: 4
    bench.embed("When do you open?")
    embeddings = bench.rig.embeddings
    assert embeddings.left(bench.tenant) == QUOTA - 4
    assert not embeddings.would_exceed(bench.tenant, QUOTA - 4)
    assert embeddings.would_exceed(bench.tenant, QUOTA - 3)
    bench.rig.catalogue.embeddings = ()
    assert not embeddings.would_exceed(bench.tenant, 10 * QUOTA), "what is never embedded exceeds nothing"


def test_a_bill_beyond_the_hold_is_the_platforms(bench: Bench) -> None:
    bench.vectors.billed = lambda text: 10_000
    assert bench.embed("hello").tokens == 10_000
    (record,) = bench.records
    assert (record.tokens_embedding, record.embedding_charged) == (10_000, to_hold(["hello"]))
    assert bench.used == to_hold(["hello"])


def test_what_is_spent_stops_before_any_call_and_says_what_would_fit(bench: Bench) -> None:
    with pytest.raises(EmbeddingQuotaSpent) as raised:
        bench.embed("漢" * 700)
    assert bench.vectors.calls == []
    assert bench.records == []
    spent = raised.value
    assert (spent.status, spent.code) == (402, "quota_exceeded")
    assert spent.extra["plan"] == "starter"
    assert spent.extra["price"] == {"amount": 7800, "currency": "JPY"}
    assert spent.extra["upgrade_url"] == "https://console.example/billing"
    assert spent.extra["resets_at"]
    bench.vectors.billed = tokens.estimate
    assert bench.embed("漢" * 300).tokens == bench.used, "a smaller request is still let in"


@pytest.mark.parametrize("produced", [True, False])
def test_who_gets_nothing_pays_nothing(bench: Bench, produced: bool) -> None:
    usage = TokenUsage(100 if produced else 0)
    bench.vectors.faults = [
        None,
        ProviderFault("cut" if produced else "unauthorized", "x", produced=produced, usage=usage),
    ]
    with pytest.raises(UpstreamFailed):
        bench.embed(*(["hey"] * 150))
    assert bench.used == 0
    (record,) = bench.records
    assert (record.decision, record.status, record.embedding_charged) == ("RELEASE", "failed", 0)
    assert record.error_code == ("cut" if produced else "unauthorized")
    assert len(record.calls) == 2
    assert record.cost_usd == Decimal("0.000006") + Decimal("0.000002") * produced, "the platform's loss is on record"


def test_a_process_that_dies_leaves_its_hold_to_the_sweep(bench: Bench) -> None:
    client = Faulty(bench.rig.client)
    dying = bench.container(client)
    bench.vectors.before = lambda: setattr(client, "dead", True)
    with pytest.raises(Crash):
        bench.embed("hello", container=dying)
    bench.vectors.before = lambda: None
    assert bench.rig.ledger.standing(bench.tenant.tenant_id).embedding_tokens_used == to_hold(["hello"])
    bench.rig.clock.skip(3600)
    assert bench.container().ledger.sweep_all().holds == 1
    assert bench.used == 0


@pytest.mark.parametrize("wave", range(2))
def test_64_at_once_with_tokens_for_10(bench: Bench, wave: int) -> None:
    text = "word " * 80
    each = to_hold([text])
    room = bench.rig.catalogue.limits = replace(bench.rig.catalogue.limits, embedding_tokens_per_month=each * 10 + 7)
    tenant = replace(bench.tenant, overrides={"embedding_tokens_per_month": room.embedding_tokens_per_month})
    bench.rig.ledger.change_limits(tenant, bench.rig.catalogue.entitlement(tenant).limits)
    gate, everybody_in = threading.Barrier(64), threading.Event()
    bench.vectors.billed = lambda text: 10**6  # a greedy upstream takes nobody beyond the hold

    def wait() -> None:
        everybody_in.wait(30)

    bench.vectors.before = wait

    def ask(_: int) -> str:
        container = bench.container()
        gate.wait()
        try:
            bench.embed(text, container=container)
        except NorenError as error:
            return type(error).__name__
        return "made"

    with ThreadPoolExecutor(64) as pool:
        waiting = [pool.submit(ask, number) for number in range(64)]
        while sum(each.done() for each in waiting) < 54:
            threading.Event().wait(0.02)
        everybody_in.set()
        outcomes = [each.result() for each in waiting]
    assert (outcomes.count("made"), outcomes.count("EmbeddingQuotaSpent")) == (10, 54)
    assert len(bench.vectors.calls) == 10
    standing = bench.rig.ledger.standing(bench.tenant.tenant_id)
    assert standing.embedding_tokens_used == 10 * each <= standing.embedding_tokens_limit
    assert sum(record.embedding_charged for record in bench.records) == 10 * each
    assert standing.open_holds == 0


def test_a_question_within_a_chats_own_hold(bench: Bench) -> None:
    bench.vectors.billed = lambda text: 3
    ask = Ask(
        tenant_id=bench.tenant.tenant_id,
        request_id="req_" + "1" * 32,
        site_id=bench.site.site_id,
        deadline=bench.rig.clock() + 60,
        embedding_tokens=to_hold(["When?"]),
    )
    record = UsageRecord(ask.request_id, ask.tenant_id, ask.site_id, bench.rig.clock())
    with bench.rig.ledger.reserve(ask, record) as hold:
        made = bench.rig.embeddings.within(hold, bench.tenant, ["When?"], until=bench.rig.clock() + 10)
        assert len(made.vectors) == 1
    (stands,) = bench.records
    assert (stands.chats, stands.tokens_embedding, stands.embedding_charged, bench.used) == (1, 3, 3, 3)


def test_a_question_that_failed_within_a_chat_costs_its_quota_nothing(bench: Bench) -> None:
    bench.vectors.faults = [ProviderFault("cut", "x", produced=True, usage=TokenUsage(3))]
    ask = Ask(bench.tenant.tenant_id, "req_" + "1" * 32, bench.site.site_id, bench.rig.clock() + 60, embedding_tokens=9)
    record = UsageRecord(ask.request_id, ask.tenant_id, ask.site_id, bench.rig.clock())
    with bench.rig.ledger.reserve(ask, record) as hold, pytest.raises(UpstreamFailed):
        bench.rig.embeddings.within(hold, bench.tenant, ["When?"], until=bench.rig.clock() + 10)
    (stands,) = bench.records
    assert (stands.decision, stands.status, stands.error_code, bench.used) == ("USAGE", "ok", "", 0)


def test_the_plans_model_by_any_of_its_names(bench: Bench) -> None:
    choose = bench.rig.embeddings.policy
    assert choose(bench.tenant) == choose(bench.tenant, "default") == SMALL
    for name in ("embedding_3_small", "text-embedding-3-small", SMALL.name):
        assert choose(bench.tenant, name) == SMALL
    assert choose(bench.tenant, "local_llm") == LOCAL
    for name in ("text-embedding-3-large", "text-embedding-ada-002", "small", " ", "x" * 100):
        with pytest.raises(Forbidden) as raised:
            choose(bench.tenant, name)
        assert raised.value.code == "model_not_in_plan"


def test_a_plan_without_vectors_says_so(bench: Bench) -> None:
    bench.rig.catalogue.embeddings = ()
    with pytest.raises(NoEmbeddings) as raised:
        bench.embed("hello")
    assert raised.value.code == "no_embeddings"
    assert bench.vectors.calls == []


def test_who_is_stopped_embeds_nothing(bench: Bench) -> None:
    stopped: list[tuple[Tenant, Site, str]] = [
        (replace(bench.tenant, plan_status="suspended"), bench.site, "suspended"),
        (replace(bench.tenant, stops=frozenset({"manual"})), bench.site, "suspended"),
        (bench.tenant, replace(bench.site, status="frozen"), "site_disabled"),
    ]
    for tenant, site, code in stopped:
        with pytest.raises(Forbidden) as raised:
            bench.embed("hello", tenant=tenant, site=site)
        assert raised.value.code == code
    bench.rig.ledger.set_active(bench.tenant.tenant_id, False)
    with pytest.raises(Forbidden):
        bench.embed("hello")
    assert bench.vectors.calls == []


def test_too_many_at_once_are_told_to_wait(bench: Bench) -> None:
    bench.rig.ledger.change_limits(bench.tenant, replace(bench.rig.catalogue.limits, concurrent_chats=0))
    with pytest.raises(RateLimited) as raised:
        bench.embed("hello")
    assert raised.value.extra["retry_after"]


def test_the_time_is_kept(bench: Bench) -> None:
    with pytest.raises(Busy):
        bench.embed("hello", deadline=bench.rig.clock() + 3)
    assert bench.vectors.calls == []
    bench.embed("hello", deadline=bench.rig.clock() + 10**6)
    assert bench.vectors.limits[-1].total <= 30


HOSTILE: dict[str, tuple[tuple[str, ...], dict[str, Any], str]] = {
    "none": ((), {}, "input"),
    "too many": (("x",) * 2_049, {}, "input"),
    "empty": (("x", ""), {}, "input.1"),
    "blank": ((" \n\t",), {}, "input.0"),
    "too long": (("漢" * 6_000,), {}, "input.0"),
    "spaces without end": (("x" + " \n" * 50_000,), {}, "input.0"),
    "too much": (("漢" * 3_000,) * 41, {}, "input"),
    "no size": (("x",), {"dimensions": 0}, "dimensions"),
    "beyond the model's size": (("x",), {"dimensions": 1_537}, "dimensions"),
    "a size where there is one alone": (("x",), {"dimensions": 8, "model": "local_llm"}, "dimensions"),
}


@pytest.fixture(scope="module")
def refusing(ministack: str) -> Iterator[Bench]:
    """One bench for what asks storage nothing."""
    with account(ministack, f"8{os.getpid():011d}"):
        yield Bench()


@pytest.mark.parametrize("case", HOSTILE)
def test_what_no_model_takes_is_refused_by_its_place(refusing: Bench, case: str) -> None:
    texts, changes, field = HOSTILE[case]
    with pytest.raises(BadRequest) as raised:
        refusing.embed(*texts, **changes)
    assert raised.value.extra["errors"][0]["field"] == field
    assert (refusing.vectors.calls, refusing.used) == ([], 0)


def test_shorter_vectors(refusing: Bench) -> None:
    assert refusing.embed("hello", dimensions=8).dimensions == 8


@given(st.text(min_size=1, max_size=200))
def test_a_hold_is_never_more_than_the_bytes_nor_less_than_the_estimate_where_these_allow(text: str) -> None:
    size = len(text.encode(errors="replace"))
    assert min(size, tokens.estimate(text)) <= to_hold([text]) <= size
