"""Every storage call of a whole chat, broken in every way: books agree, nothing is paid twice, and the caller is told.

`CALLS` lists what a chat does to storage, call by call. A change there fails the first test; each of these calls is
then killed, throttled, lost, delayed and doubled in turn.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

import pytest

from noren.chat.models import Answer, Asker, ChatEvent, Delta, Done, Meta
from noren.edge.respond import told
from noren.errors import NorenError
from noren.ids import new_id
from noren.knowledge.index_format import VectorSpace
from noren.knowledge.vectors import compact
from noren.ledger.fold import Gift
from noren.ledger.lots import NEVER
from noren.ledger.store import LedgerStore
from noren.llm.models import ProviderFault
from noren.usage.models import UsageRecord
from tests.aws import shared
from tests.faults import Crash, Fault, Faulty
from tests.unit.chat.rig import Clock, Container, Inline, Rig, make_tables
from tests.unit.chat.web import events_of, served
from tests.unit.knowledge.indexes import page
from tests.unit.llm.vectors import SMALL, Vectors

CaseFault = Fault | Literal["down"]
"""`down`: storage gives in at this call and stays so."""
READ_FAULTS: tuple[CaseFault, ...] = ("crash_before", "throttle", "timeout_before", "down")
WRITE_FAULTS: tuple[CaseFault, ...] = (*READ_FAULTS, "conflict", "timeout_after", "late_copy", "twice")
LAST_FAULT: CaseFault = "crash_after"
"""To die after a call is to die before the next one: the last call alone needs a case of its own."""
KEY = "key-1"


class Stopped(Clock):
    """Time that passes only when somebody sleeps or the test says so. It begins with a month, whose grant is whole."""

    def __call__(self) -> float:
        return datetime(2026, 12, 1, 9, tzinfo=ZoneInfo("Asia/Tokyo")).timestamp() + self.ahead


@dataclass(frozen=True)
class Outcome:
    """What the caller of a request came to see: an answer, an error, or nothing more (`answer`, `error` None)."""

    answer: Answer | None = None
    error: NorenError | None = None
    crashed: bool = False


def table_of(options: dict[str, Any]) -> str:
    """The table of a call, be it one of several items."""
    return str(options["TableName"] if "TableName" in options else next(iter(options["RequestItems"])))


class World:
    """A tenant of its own on tables that all cases share."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.rig = Rig(client=client, clock=Stopped())
        # A case that fails upstream must not open another's circuit.
        endpoint = new_id("case")
        self.rig.catalogue.models = tuple(replace(each, endpoint=endpoint) for each in self.rig.catalogue.models)
        self.device = replace(self.rig.device(new_id("dev"), new_id("adr")), tenant_id=self.rig.tenant.tenant_id)
        self.session_key = ""
        self.vectors = Vectors()
        self.vectors.billed = lambda _: 5
        self.other: Generator[ChatEvent, None, None] | None = None
        """An answer that another process has under way, and its request."""
        self.running = ""
        self.credits = 0
        """Given to the tenant."""
        self.calls: list[str] = []
        self._before = (0, 0)

    @property
    def asker(self) -> Asker:
        return self.rig.member()

    def process(self, client: Any) -> Container:
        """A fresh process: nothing cached, and no time lost by waiting."""
        providers = {"offline": self.rig.script, "openai": self.vectors}
        return Container(client, self.rig, sleep=self.rig.clock.skip, pool=Inline(), providers=providers)  # type: ignore[arg-type]

    def train(self) -> None:
        """The site has documents, with vectors that questions are compared with."""
        rig = self.rig
        rig.catalogue.limits = replace(rig.catalogue.limits, embedding_tokens_per_month=1000)
        rig.catalogue.embeddings = (replace(SMALL, endpoint=new_id("case")),)
        rig.tenant = rig.add_tenant()
        space = VectorSpace(SMALL.id, 3, weight=0.5, sure_cosine=0.9)
        text = page("Hours", "The shop opens from nine to six.", "https://shop.example/hours")
        rig.train(text, embedding_model=SMALL.id, space=(space, lambda _: compact([1.0, 1.0, 1.0])))

    def faulty(self, number: int | None = None, fault: CaseFault | None = None) -> Faulty:
        """A client that notes its calls and breaks one of them."""
        client = Faulty(self.client, before=lambda name, options: self.calls.append(f"{name} {table_of(options)}"))
        if number is not None and fault is not None:
            client.plan = dict.fromkeys(range(number, 1000), "throttle") if fault == "down" else {number: fault}
        return client

    def play(self, scenario: Scenario, client: Faulty) -> Outcome:
        """The scenario in a process of its own, and what its caller saw. Fails for what has no defined answer."""
        try:
            return Outcome(answer=scenario(self, self.process(client)))
        except Crash:
            return Outcome(crashed=True)
        except Exception as error:
            if told(error).status == 500:
                raise
            return Outcome(error=told(error))

    def records(self) -> list[UsageRecord]:
        return self.rig.records()

    def start(self) -> None:
        """All is prepared: calls, charges and upstream calls are counted from here."""
        self._before = (0, 0)
        self._before = self.charged(), self.asked()
        self.calls.clear()

    def charged(self) -> int:
        """Requests that were charged, a chat or credits."""
        return sum(bool(record.chats or record.credits) for record in self.records()) - self._before[0]

    def asked(self) -> int:
        """Calls that reached the model."""
        return len(self.rig.script.prompts) - self._before[1]

    def spend_the_plan(self) -> None:
        """The month's chats are spent; credits pay from now on."""
        rig, self.credits = self.rig, 100
        rig.tenant = replace(rig.tenant, overage=True, overrides={"chats_per_month": 0})
        rig.registry.tenants[rig.tenant.tenant_id] = rig.tenant
        rig.ledger.change_limits(rig.tenant, replace(rig.catalogue.limits, chats_per_month=0))
        rig.credits.give(rig.tenant.tenant_id, Gift("BON#given", "BONUS", "bonus", self.credits, NEVER))

    def begin_other(self) -> None:
        """Another process begins an answer and has passed on a piece of it."""
        self.rig.script.before = lambda _: self.rig.clock.skip(1.5)
        self.other = self.rig.chats.stream(self.asker, self.rig.ask(), self.rig.run())
        meta = next(self.other)
        assert isinstance(meta, Meta)
        self.running = meta.id
        next(self.other)

    def come_to_rest(self) -> None:
        """Let every hold die and sweep it; then counters and records must say the same."""
        rig = self.rig
        for _ in self.other or ():
            pass
        rig.clock.skip(3600)
        rig.ledger.sweep(rig.tenant.tenant_id)
        account = LedgerStore(self.client, "quotas").get(rig.tenant.tenant_id)
        assert account is not None
        assert not account.holds
        records = self.records()
        used = [record for record in records if record.decision == "USAGE"]
        assert account.chats_used == sum(record.chats for record in records) == sum(record.chats for record in used)
        assert sum(account.site_counts.values()) == len(used)
        charged = sum(record.embedding_charged for record in used)
        assert account.embedding_left == account.embedding_grant.limit - charged
        assert account.credits_used == sum(record.credits for record in used)
        assert account.credits == self.credits - account.credits_used
        assert all(record.chats + bool(record.credits) == 1 for record in used)
        assert len({record.request_id for record in records}) == len(records)
        assert rig.script.closed == len(rig.script.prompts), "an upstream call was left open"


Scenario = Callable[[World, Container], Answer | None]


def plain(world: World, process: Container) -> Answer:
    return process.chats.reply(world.asker, world.rig.ask(), world.rig.run())[0]


def under_a_key(world: World, process: Container) -> Answer:
    return process.chats.reply(world.asker, world.rig.ask(), world.rig.run(KEY))[0]


def on_credits(world: World, process: Container) -> Answer:
    return under_a_key(world, process)


def in_a_session(world: World, process: Container) -> Answer:
    return process.chats.reply(world.asker, world.rig.ask(session_key=world.session_key), world.rig.run())[0]


def with_a_vector(world: World, process: Container) -> Answer:
    """Of a site with documents, whose index has vectors."""
    return under_a_key(world, process)


def anonymous(world: World, process: Container) -> Answer:
    return process.chats.reply(world.device, world.rig.ask(), world.rig.run())[0]


def cancelled(world: World, process: Container) -> Answer:
    """Streamed; the stop button is pressed (another process takes that) after the first piece."""
    rig = world.rig
    rig.script.pieces = ["word "] * 9
    rig.script.before = lambda _: rig.clock.skip(1.5)
    events = process.chats.stream(world.asker, rig.ask(), rig.run(KEY))
    with closing(events):
        meta = next(events)
        assert isinstance(meta, Meta)
        for event in events:
            if isinstance(event, Delta) and rig.script.made == 1:
                rig.chats.cancel(world.asker, meta.id)
            if isinstance(event, Done):
                assert rig.script.made < 9
                return event.answer
    raise AssertionError("a stream ends in Done or raises")


def client_gone(world: World, process: Container) -> None:
    """Streamed; the connection breaks after the first piece."""
    events = process.chats.stream(world.asker, world.rig.ask(), world.rig.run(KEY))
    with closing(events):
        for event in events:
            if isinstance(event, Delta):
                return


def stop_button(world: World, process: Container) -> None:
    """The call of `cancel` itself; the answer is under way in another process."""
    process.chats.cancel(world.asker, world.running)


def model_down(world: World, process: Container) -> Answer:
    world.rig.script.fails_at, world.rig.script.fault = 0, ProviderFault("unauthorized", "scripted")
    try:
        return under_a_key(world, process)
    finally:
        world.rig.script.fails_at = None


def model_breaks_off(world: World, process: Container) -> Answer:
    world.rig.script.fails_at, world.rig.script.fault = 2, ProviderFault("cut", "scripted", produced=True)
    try:
        return under_a_key(world, process)
    finally:
        world.rig.script.fails_at = None


def answered_before(world: World, process: Container) -> Answer:
    return under_a_key(world, process)


def prepare(world: World, scenario: Scenario) -> None:
    """Bring about what the scenario starts from."""
    if scenario is in_a_session:
        world.session_key = plain(world, world.rig).session_key
    elif scenario is answered_before:
        under_a_key(world, world.rig)
    elif scenario is on_credits:
        world.spend_the_plan()
    elif scenario is with_a_vector:
        world.train()
    elif scenario is stop_button:
        world.begin_other()
    world.start()


CLAIM = ("put_item runtime",)
SITE = ("get_item sites", "get_item sites")  # and its profile
LOOK = ("get_item knowledge",)  # which index is current; from here to the hold's all at once, but here one by one
CANNED = (*LOOK, "query sites")
BREAKER = ("get_item runtime",)
RATE = ("update_item runtime", "update_item runtime")  # a tenant's first request begins a window
HOLD = ("update_item quotas",)
FAILURE = ("update_item runtime", "update_item runtime")  # noted by the breaker, which begins a window
TURN = ("put_item sites", "batch_write_item sites")  # and its session, in its site's list too
SETTLE = ("put_item usage", "update_item quotas")
FREE_KEY = ("delete_item runtime",)

CALLS: dict[Scenario, tuple[str, ...]] = {
    plain: (*SITE, *CANNED, *BREAKER, *RATE, *HOLD, *TURN, *SETTLE),
    under_a_key: (*CLAIM, *SITE, *CANNED, *BREAKER, *RATE, *HOLD, *TURN, *SETTLE),
    on_credits: (
        *(*CLAIM, *SITE, *CANNED, *BREAKER, *RATE, *HOLD),  # there is no chat of the plan's
        *(*RATE, *HOLD, *TURN, *SETTLE),
    ),
    in_a_session: (
        *(*SITE, "get_item sites", "query sites", *CANNED, *BREAKER, "update_item runtime"),  # the session, its turns
        *(*HOLD, "put_item sites", "update_item sites", *SETTLE),
    ),
    with_a_vector: (*CLAIM, *SITE, *CANNED, *BREAKER, *RATE, *HOLD, *BREAKER, *TURN, *SETTLE),
    anonymous: (
        *(*SITE, *CANNED, *BREAKER, *RATE),
        *("update_item runtime", "update_item runtime", "update_item runtime"),  # lease, device's day, address' day
        *(*HOLD, *TURN, *SETTLE),
        "delete_item runtime",  # the lease
    ),
    cancelled: (*CLAIM, *SITE, *CANNED, *BREAKER, *RATE, *HOLD, "get_item runtime", *TURN, *SETTLE),
    client_gone: (*CLAIM, *SITE, *CANNED, *BREAKER, *RATE, *HOLD, *TURN, *SETTLE),
    stop_button: ("get_item quotas", "put_item runtime"),
    model_down: (*CLAIM, *SITE, *CANNED, *BREAKER, *RATE, *HOLD, *FAILURE, *SETTLE, *FREE_KEY),
    model_breaks_off: (*CLAIM, *SITE, *CANNED, *BREAKER, *RATE, *HOLD, *FAILURE, *TURN, *SETTLE),
    answered_before: ("put_item runtime", "get_item usage", "get_item sites"),
}
KEYED = (under_a_key, on_credits, with_a_vector, cancelled, client_gone, model_down, model_breaks_off, answered_before)
BEGUN = len((*CLAIM, *SITE, *CANNED, *BREAKER, *RATE, *HOLD))
"""Calls up to the model's answer: these are broken in `under_a_key` for all scenarios that begin like it."""
ALIKE: tuple[Scenario, ...] = (client_gone, model_down, model_breaks_off)
FROM: dict[Scenario, int] = dict.fromkeys(ALIKE, BEGUN) | {with_a_vector: BEGUN - 1}
"""The first call that is broken in a scenario; `with_a_vector` holds otherwise than the rest."""


def cases() -> Iterator[tuple[Scenario, int, CaseFault]]:
    for scenario, calls in CALLS.items():
        for number in range(FROM.get(scenario, 0), len(calls)):
            for fault in READ_FAULTS if is_read(calls[number]) else WRITE_FAULTS:
                yield scenario, number, fault
        yield scenario, len(calls) - 1, LAST_FAULT


def is_read(call: str) -> bool:
    return call.startswith(("get_item", "query"))


MATRIX = [
    pytest.param(*case, id=f"{case[0].__name__}-{case[1]}-{CALLS[case[0]][case[1]].replace(' ', '-')}-{case[2]}")
    for case in cases()
]


def test_the_matrix_is_complete() -> None:
    """So many calls, so many cases: who changes one of them has to look at the other."""
    calls = [call for scenario, calls in CALLS.items() for call in calls[FROM.get(scenario, 0) :]]
    reads = sum(map(is_read, calls))
    assert (reads, len(calls) - reads) == (37, 73)
    assert len(MATRIX) == reads * len(READ_FAULTS) + (len(calls) - reads) * len(WRITE_FAULTS) + len(CALLS)


@pytest.mark.parametrize("scenario", CALLS)
def test_a_clean_run(world: World, scenario: Scenario) -> None:
    prepare(world, scenario)
    outcome = world.play(scenario, world.faulty())
    assert tuple(world.calls) == CALLS[scenario]
    world.come_to_rest()
    if scenario in (model_down, model_breaks_off):
        assert outcome.error
        assert outcome.error.status == 502
    else:
        assert outcome.error is None
        assert (outcome.answer is None) == (scenario in (client_gone, stop_button))
    assert len(world.vectors.calls) == (scenario is with_a_vector)
    assert sum(each.embedding_charged for each in world.records()) == (5 if scenario is with_a_vector else 0)
    assert world.asked() == (scenario not in (answered_before, stop_button))
    assert world.charged() == (scenario not in (answered_before, model_down))


@pytest.mark.parametrize(("scenario", "number", "fault"), MATRIX)
def test_books_agree_after(world: World, scenario: Scenario, number: int, fault: CaseFault) -> None:
    prepare(world, scenario)
    process = world.faulty(number, fault)
    outcome = world.play(scenario, process)
    assert len(world.calls) > number, "the fault was never met"
    assert outcome.crashed == fault.startswith("crash")
    process.deliver()
    asked, charged = world.asked(), world.charged()
    assert asked <= 1
    assert charged <= asked or scenario is stop_button
    if outcome.answer and scenario is not answered_before:
        assert (asked, charged) == (1, 1)
        record = world.rig.usage.record_of(world.asker.tenant_id, outcome.answer.id)
        assert record
        assert (record.decision, record.cost_usd) == ("USAGE", outcome.answer.cost_usd)
    elif outcome.error:
        assert charged == (outcome.error.code == "upstream_cut"), "an error was charged"
    if scenario in KEYED:
        repeat(world, outcome, is_paid=bool(charged) or scenario is answered_before)
    else:
        world.come_to_rest()
        assert world.charged() == (1 if scenario is stop_button else charged)


def repeat(world: World, first: Outcome, is_paid: bool) -> None:
    """The client repeats its request under the key: at once, and when all has come to rest.

    A first request that was paid for is the only one that the model ever sees. Another one is made good, once.
    """
    asked = world.asked()
    script = world.rig.script
    script.before = lambda _: None
    at_once = world.play(at_once_under_the_key, world.faulty())
    world.come_to_rest()
    later = world.play(under_a_key, world.faulty())
    world.come_to_rest()
    if is_paid:
        assert world.asked() == asked, "the model was asked again for an answer that was paid for"
        for outcome in (at_once, later):
            if first.answer:
                assert outcome.answer == first.answer
            else:
                assert outcome.answer or (outcome.error and outcome.error.code in ("upstream_cut", "answer_gone"))
    else:
        assert at_once.answer or (at_once.error and at_once.error.code == "in_progress")
        assert later.answer
        assert world.asked() == asked + 1
    records = [record for record in world.records() if record.decision == "USAGE"]
    assert len(records) == 1
    assert (records[0].chats, bool(records[0].credits)) == ((0, True) if world.credits else (1, False))


def at_once_under_the_key(world: World, process: Container) -> Answer:
    run = world.rig.run(KEY, deadline=world.rig.clock() + 6)  # a duplicate waits no longer than that
    return process.chats.reply(world.asker, world.rig.ask(), run)[0]


def test_over_http_storage_that_gives_in_is_a_503(world: World) -> None:
    """Before the first byte as a status, after it as the stream's last event; never as a 500."""
    client = world.faulty(0, "down")
    with served(world.rig, process=world.process(client)) as web:
        refused = web.call("POST", "/api/v1/chat", {"message": "Hello?"})
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.json()["code"] == "busy"
        settles = CALLS[plain].index("put_item usage") + len(client.calls)
        client.plan = dict.fromkeys(range(settles, 1000), "throttle")
        events = list(events_of(web.call("POST", "/api/v1/chat", {"message": "Hello?", "stream": True}, stream=True)))
    assert [name for name, _ in events] == ["meta", "delta", "delta", "delta", "error"]
    assert events[-1][1]["code"] == "busy"
    assert "Traceback" not in str(events)
    world.come_to_rest()
    assert world.charged() == 0


@pytest.fixture(scope="session")
def chat_tables(ministack: str) -> Iterator[Any]:
    """A client of tables that all cases share: each has a tenant of its own."""
    with shared(ministack, f"3{os.getpid():011d}") as client:
        make_tables(client)
        yield client


@pytest.fixture
def world(chat_tables: Any) -> World:
    return World(chat_tables)
