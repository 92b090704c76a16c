"""A chat from question to settled record: order, accounting, refusals, and every way that it can end."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from noren.chat.models import Answer, Delta, Done, Meta
from noren.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    NorenError,
    NotFound,
    QuotaExceeded,
    RateLimited,
    TimedOut,
    Unprocessable,
    UpstreamFailed,
)
from noren.llm.models import Message, ProviderFault
from noren.tenants.models import PLATFORM_TENANT
from tests.unit.chat.rig import LIMITS, MODEL, Rig


def test_events_come_in_order_and_the_first_before_the_last_is_made(rig: Rig) -> None:
    seen = []
    for event in rig.chats.stream(rig.member(), rig.ask(), rig.run()):
        seen.append((type(event), rig.script.made))
    assert seen == [(Meta, 0), (Delta, 1), (Delta, 2), (Delta, 3), (Done, 3)]


def test_an_answer_accounts_for_everything(rig: Rig) -> None:
    events = list(rig.chats.stream(rig.member(), rig.ask(metadata={"page": "/"}), rig.run()))
    meta, done = events[0], events[-1]
    assert isinstance(meta, Meta)
    assert isinstance(done, Done)
    answer = done.answer
    assert answer.answer == "Open from nine."
    assert (answer.id, answer.session_key, answer.trace_id) == (meta.id, meta.session_key, "a" * 32)
    assert (answer.model_used, answer.provider, answer.finish_reason) == (MODEL, "offline", "stop")
    assert (answer.route.tier, answer.route.reason, answer.route.fallbacks_tried) == ("free", "default", ())
    tokens = answer.tokens_consumed
    assert (tokens.input, tokens.output, tokens.chat, tokens.cached, tokens.embedding) == (50, 3, 53, 0, 0)
    assert answer.cost_usd == Decimal("0.000056")
    assert (answer.cost_local.amount, answer.cost_local.currency, answer.cost_local.rate) == (
        Decimal("0.0084"),
        "JPY",
        Decimal(150),
    )
    assert answer.quota
    assert (answer.quota.chats_used, answer.quota.chats_limit) == (1, 100)
    assert answer.quota.resets_at > time.time()
    assert (answer.credits.used, answer.credits.remaining, answer.sources) == (0, 0, ())
    (record,) = rig.records()
    assert (record.request_id, record.decision, record.chats, record.status) == (answer.id, "USAGE", 1, "ok")
    assert (record.caller, record.session_key, record.source) == ("user:mika", answer.session_key, "chat")
    assert (record.provider, record.model, record.tier) == ("offline", MODEL, "free")
    assert (record.prompt_profile, record.prompt_version) == (rig.sites.create_default(rig.tenant).prompt_profile, 1)
    assert (record.address_prefix, record.user_agent, record.trace_id) == ("203.0.113.0/24", "pytest", "a" * 32)
    assert record.first_token_ms is not None
    assert 0 <= record.first_token_ms <= record.total_ms
    assert record.admission_ms >= 0
    assert record.extra["metadata"] == {"page": "/"}
    assert (record.cost_usd, record.cost_local, record.rate) == (
        answer.cost_usd,
        answer.cost_local.amount,
        Decimal(150),
    )
    assert rig.open_holds() == 0


def test_the_request_is_settled_before_the_last_event(rig: Rig) -> None:
    for event in rig.chats.stream(rig.member(), rig.ask(), rig.run()):
        if isinstance(event, Done):
            assert (len(rig.records()), rig.open_holds()) == (1, 0)
            return
        assert (len(rig.records()), rig.open_holds()) == (0, 1)


def test_a_stream_that_is_closed_pays_for_what_was_produced(rig: Rig) -> None:
    events = rig.chats.stream(rig.member(), rig.ask(), rig.run())
    while not isinstance(next(events), Delta):
        pass
    events.close()
    (record,) = rig.records()
    assert (record.decision, record.status, record.chats) == ("USAGE", "cancelled", 1)
    assert record.tokens_output > 0
    assert (rig.open_holds(), rig.script.closed, rig.script.made) == (0, 1, 1)


def test_a_stream_closed_before_the_model_was_asked_costs_nothing(rig: Rig) -> None:
    events = rig.chats.stream(rig.member(), rig.ask(), rig.run())
    next(events)
    events.close()
    assert [record.decision for record in rig.records()] == ["RELEASE"]
    assert (rig.chats_used(), rig.open_holds(), rig.script.prompts) == (0, 0, [])


def test_cancel_ends_a_running_answer_within_seconds(rig: Rig) -> None:
    rig.script.pieces = ["word "] * 1000
    rig.script.before = lambda _: time.sleep(0.02)
    events = rig.chats.stream(rig.member(), rig.ask(), rig.run())
    meta = next(events)
    assert isinstance(meta, Meta)
    for other in (rig.member("other"), rig.member(tenant=rig.add_tenant())):
        if other.tenant_id != rig.tenant.tenant_id:
            with pytest.raises(NotFound):
                rig.chats.cancel(other, meta.id)
        else:
            rig.chats.cancel(other, meta.id)  # of the same tenant: the flag is never found by the runner
    next(events)
    rig.chats.cancel(rig.member(), meta.id)
    began = time.monotonic()
    *_, done = events
    assert time.monotonic() - began < 10  # the whole answer takes twice that
    assert isinstance(done, Done)
    assert done.answer.finish_reason == "cancelled"
    assert 0 < len(done.answer.answer) < 1000 * 5
    assert [(record.decision, record.status, record.chats) for record in rig.records()] == [("USAGE", "cancelled", 1)]


def test_a_colleague_cannot_cancel_it(rig: Rig) -> None:
    rig.script.pieces = ["word "] * 60
    rig.script.before = lambda _: time.sleep(0.05)
    events = rig.chats.stream(rig.member(), rig.ask(), rig.run())
    meta = next(events)
    assert isinstance(meta, Meta)
    rig.chats.cancel(rig.member("other"), meta.id)
    *_, done = events
    assert isinstance(done, Done)
    assert done.answer.finish_reason == "stop"


def test_what_is_not_running_cannot_be_cancelled(rig: Rig) -> None:
    answer, _ = rig.chats.reply(rig.member(), rig.ask(), rig.run())
    for request_id in (answer.id, "req_" + "0" * 32, "nonsense"):
        with pytest.raises(NotFound):
            rig.chats.cancel(rig.member(), request_id)


def test_a_client_that_left_ends_the_answer(rig: Rig) -> None:
    left = threading.Event()
    rig.script.pieces = ["word "] * 50
    rig.script.before = lambda index: left.set() if index == 3 else None
    answer, _ = rig.chats.reply(rig.member(), rig.ask(), rig.run(gone=left.is_set))
    assert (answer.finish_reason, answer.answer) == ("cancelled", "word word word ")


def test_the_deadline_ends_an_answer_cleanly(rig: Rig) -> None:
    def tick(index: int) -> None:
        if index == 2:
            rig.clock.ahead += 116

    rig.script.before = tick
    answer, _ = rig.chats.reply(rig.member(), rig.ask(), rig.run())
    assert (answer.finish_reason, answer.answer) == ("deadline", "Open from ")
    assert [(record.decision, record.status) for record in rig.records()] == [("USAGE", "partial")]


def test_a_deadline_with_nothing_produced_costs_nothing(rig: Rig) -> None:
    rig.script.before = lambda _: setattr(rig.clock, "ahead", 116.0)
    with pytest.raises(TimedOut):
        rig.chats.reply(rig.member(), rig.ask(), rig.run())
    assert [record.decision for record in rig.records()] == ["RELEASE"]
    assert (rig.chats_used(), rig.open_holds()) == (0, 0)


def test_a_provider_that_fails_at_once_costs_nothing(rig: Rig) -> None:
    rig.script.fails_at, rig.script.fault = 0, ProviderFault("unauthorized", "bad key")
    with pytest.raises(NorenError) as caught:
        rig.chats.reply(rig.member(), rig.ask(), rig.run())
    assert caught.value.status in (502, 503)
    assert caught.value.extra["retry_after"] >= 1
    (record,) = rig.records()
    assert (record.decision, record.status, record.chats) == ("RELEASE", "failed", 0)
    assert (rig.chats_used(), rig.open_holds()) == (0, 0)
    assert rig.sessions.page(rig.member(), 10, None) == ([], None)


def test_an_empty_answer_costs_nothing(rig: Rig) -> None:
    rig.script.pieces = []
    with pytest.raises(UpstreamFailed):
        rig.chats.reply(rig.member(), rig.ask(), rig.run())
    assert ([record.decision for record in rig.records()], rig.chats_used()) == (["RELEASE"], 0)


def test_an_answer_that_breaks_off_is_told_and_paid(rig: Rig) -> None:
    rig.script.fails_at, rig.script.fault = 2, ProviderFault("cut", "gone", produced=True)
    with pytest.raises(UpstreamFailed) as caught:
        rig.chats.reply(rig.member(), rig.ask(), rig.run())
    (record,) = rig.records()
    assert (record.decision, record.status, record.chats) == ("USAGE", "partial", 1)
    assert caught.value.extra["id"] == record.request_id
    assert caught.value.extra["answer"] == "Open from "
    (turn,) = rig.sessions.turns(rig.member(), record.session_key)
    assert (turn.answer, turn.finish_reason) == ("Open from ", "interrupted")


def test_a_bug_of_ours_costs_nothing(rig: Rig) -> None:
    rig.script.fails_at, rig.script.fault = 0, ZeroDivisionError("ours")
    with pytest.raises(ZeroDivisionError):
        rig.chats.reply(rig.member(), rig.ask(), rig.run())
    assert ([record.decision for record in rig.records()], rig.chats_used(), rig.open_holds()) == (["RELEASE"], 0, 0)


def test_of_64_at_once_with_quota_for_10_exactly_10_are_answered(aws: str) -> None:
    rig = Rig(replace(LIMITS, chats_per_month=10, concurrent_chats=64))
    rig.script.pieces = ["long "] * 600  # an upstream that overruns
    gate = threading.Barrier(64)

    def chat(number: int) -> str:
        gate.wait()
        bounds: list[int | None] = [None, 4000, 1, 64]
        try:
            rig.chats.reply(rig.member(f"u{number}"), rig.ask(max_tokens=bounds[number % 4]), rig.run())
        except QuotaExceeded:
            return "quota"
        return "answered"

    with ThreadPoolExecutor(64) as pool:
        outcomes = list(pool.map(chat, range(64)))
    assert (outcomes.count("answered"), outcomes.count("quota")) == (10, 54)
    assert len(rig.script.prompts) == 10
    assert [(record.decision, record.chats) for record in rig.records()] == [("USAGE", 1)] * 10
    assert all(record.tokens_output <= 512 for record in rig.records())
    assert (rig.open_holds(), rig.chats_used()) == (0, 10)


def test_a_spent_quota_names_the_plan_that_would_fit(aws: str) -> None:
    rig = Rig(replace(LIMITS, chats_per_month=1))
    rig.chats.reply(rig.member(), rig.ask(), rig.run())
    with pytest.raises(QuotaExceeded) as caught:
        rig.chats.reply(rig.member(), rig.ask(), rig.run())
    extra = caught.value.extra
    assert (caught.value.status, caught.value.code) == (402, "quota_exceeded")
    assert (extra["plan"], extra["price"]) == ("starter", {"amount": 7800, "currency": "JPY"})
    assert extra["upgrade_url"].startswith("https://console.example/")
    assert extra["resets_at"].endswith("Z")
    assert len(rig.script.prompts) == 1
    visitor = replace(rig.member(), kind="visitor", principal="visitor:1")
    with pytest.raises(QuotaExceeded) as caught:
        rig.chats.reply(visitor, rig.ask(), rig.run())
    assert not {"plan", "price", "upgrade_url"} & set(caught.value.extra)


def test_a_sites_own_ceiling_is_not_cured_by_a_plan(rig: Rig) -> None:
    rig.sites.save_site(replace(rig.sites.create_default(rig.tenant), daily_quota=1))
    rig.chats.reply(rig.member(), rig.ask(), rig.run())
    with pytest.raises(QuotaExceeded) as caught:
        rig.chats.reply(rig.member(), rig.ask(), rig.run())
    assert "plan" not in caught.value.extra


def test_too_many_at_once_are_told_to_wait(aws: str) -> None:
    rig = Rig(replace(LIMITS, concurrent_chats=1))
    first = rig.chats.stream(rig.member(), rig.ask(), rig.run())
    next(first)
    with pytest.raises(RateLimited) as caught:
        rig.chats.reply(rig.member(), rig.ask(), rig.run())
    assert caught.value.extra["retry_after"] >= 1
    first.close()


def test_the_plans_requests_per_minute_hold(aws: str) -> None:
    rig = Rig(replace(LIMITS, requests_per_minute=2))
    rig.clock.to_next_minute()
    for _ in range(2):
        rig.chats.reply(rig.member(), rig.ask(), rig.run())
    with pytest.raises(RateLimited):
        rig.chats.reply(rig.member(), rig.ask(), rig.run())
    assert len(rig.records()) == 2


@pytest.mark.parametrize(
    "changes", [{"plan_status": "suspended"}, {"stops": frozenset({"security"})}, {"stops": frozenset({"billing"})}]
)
def test_a_suspended_tenant_is_refused_before_anything_is_spent(rig: Rig, changes: dict[str, Any]) -> None:
    rig.registry.tenants[rig.tenant.tenant_id] = replace(rig.tenant, **changes)
    with pytest.raises(Forbidden) as caught:
        rig.chats.reply(rig.member(), rig.ask(), rig.run())
    assert (caught.value.code, rig.records(), rig.script.prompts) == ("suspended", [], [])


def test_a_stopped_account_is_refused_as_suspended(rig: Rig) -> None:
    rig.ledger.set_active(rig.tenant.tenant_id, False)
    with pytest.raises(Forbidden) as caught:
        rig.chats.reply(rig.member(), rig.ask(), rig.run())
    assert caught.value.code == "suspended"


def test_models_are_those_of_the_plan(rig: Rig) -> None:
    rig.chats.reply(rig.member(), rig.ask(model="large"), rig.run())
    assert rig.records()[0].calls[0].policy_id == "large"
    with pytest.raises(Forbidden) as caught:
        rig.chats.reply(rig.member(), rig.ask(model="gpt-9"), rig.run())
    assert caught.value.code == "model_not_in_plan"
    site = rig.sites.create_default(rig.tenant)
    site = rig.sites.save_site(replace(site, default_model="large"))
    rig.chats.reply(rig.member(), rig.ask(), rig.run())
    assert rig.records()[1].calls[0].policy_id == "large"
    rig.sites.save_site(replace(site, default_model="gone-with-the-downgrade"))
    rig.chats.reply(rig.member(), rig.ask(), rig.run())
    assert rig.records()[2].calls[0].policy_id == "small"


def test_a_message_that_cannot_fit_is_refused_and_free(rig: Rig) -> None:
    rig.catalogue.models = (replace(rig.catalogue.models[0], context_window=2000),)
    with pytest.raises(BadRequest) as caught:
        rig.chats.reply(rig.member(), rig.ask("漢" * 3000), rig.run())
    assert (caught.value.code, rig.chats_used(), rig.open_holds()) == ("message_too_long", 0, 0)


def test_wanted_bounds_are_clamped_to_the_plan(rig: Rig) -> None:
    for wanted in (None, 4000, 7):
        rig.chats.reply(rig.member(), rig.ask(max_tokens=wanted, temperature=0.0), rig.run())
    assert [prompt.max_tokens for prompt in rig.script.prompts] == [512, 512, 7]
    assert rig.script.prompts[0].temperature == 0.0


def test_a_client_that_keeps_the_conversation_needs_no_session(rig: Rig) -> None:
    history = (Message("system", "Speak like a sailor."), Message("user", "Hi"), Message("assistant", "Ahoy"))
    answer, _ = rig.chats.reply(rig.member(), rig.ask("And now?", history=history, source="openai"), rig.run())
    assert answer.session_key == ""
    assert rig.sessions.page(rig.member(), 10, None)[0] == []
    assert [message.role for message in rig.script.prompts[0].messages] == ["system", "user", "assistant", "user"]
    assert rig.records()[0].source == "openai"


def chat_as(rig: Rig, device: str, address: str) -> Answer:
    return rig.chats.reply(rig.device(device, address), rig.ask(), rig.run())[0]


def test_anonymous_devices_and_addresses_have_daily_limits(aws: str) -> None:
    rig = Rig(tenant_id=PLATFORM_TENANT)
    for _ in range(10):
        chat_as(rig, "d1", "203.0.113.1")
    with pytest.raises(RateLimited) as caught:
        chat_as(rig, "d1", "203.0.113.1")
    assert caught.value.extra["retry_after"] >= 1
    assert "sign in" in caught.value.detail
    for number in range(19):
        chat_as(rig, f"e{number}", "203.0.113.1")
    chat_as(rig, "f1", "203.0.113.1")  # the 30th: the refused eleventh of d1 never counted for its address
    with pytest.raises(RateLimited):
        chat_as(rig, "f2", "203.0.113.1")
    chat_as(rig, "g1", "203.0.113.2")
    assert len(rig.script.prompts) == 31


def test_an_anonymous_device_chats_one_at_a_time(aws: str) -> None:
    rig = Rig(tenant_id=PLATFORM_TENANT)
    first = rig.chats.stream(rig.device("d1"), rig.ask(), rig.run())
    next(first)
    with pytest.raises(RateLimited):
        chat_as(rig, "d1", "203.0.113.1")
    chat_as(rig, "d2", "203.0.113.1")
    first.close()
    chat_as(rig, "d1", "203.0.113.1")


def test_the_platforms_daily_ceiling_holds_for_all_devices(aws: str) -> None:
    rig = Rig(replace(LIMITS, requests_per_day_per_site=2), tenant_id=PLATFORM_TENANT)
    chat_as(rig, "d1", "203.0.113.1")
    chat_as(rig, "d2", "203.0.113.2")
    with pytest.raises(QuotaExceeded) as caught:
        chat_as(rig, "d3", "203.0.113.3")
    assert not {"plan", "price", "upgrade_url"} & set(caught.value.extra)


def test_one_key_is_answered_once_in_parallel_and_later(rig: Rig) -> None:
    rig.script.before = lambda _: time.sleep(0.1)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: rig.chats.reply(rig.member(), rig.ask(), rig.run("k1")), range(4)))
    answers.append(rig.chats.reply(rig.member(), rig.ask(), rig.run("k1")))
    assert len({answer.id for answer, _ in answers}) == 1
    assert all(answer == answers[0][0] for answer, _ in answers)
    assert sorted(replayed for _, replayed in answers) == [False, True, True, True, True]
    assert (len(rig.script.prompts), len(rig.records()), rig.chats_used()) == (1, 1, 1)


def test_a_replayed_stream_has_the_events_of_any_stream(rig: Rig) -> None:
    first, _ = rig.chats.reply(rig.member(), rig.ask(), rig.run("k1"))
    meta, delta, done = rig.chats.stream(rig.member(), rig.ask(), rig.run("k1"))
    assert isinstance(meta, Meta)
    assert (meta.id, meta.session_key, meta.replayed) == (first.id, first.session_key, True)
    assert delta == Delta("Open from nine.")
    assert done == Done(first)


def test_another_body_under_a_key_is_refused(rig: Rig) -> None:
    rig.chats.reply(rig.member(), rig.ask(), rig.run("k1", b"one"))
    with pytest.raises(Unprocessable) as caught:
        rig.chats.reply(rig.member(), rig.ask(), rig.run("k1", b"two"))
    assert caught.value.code == "idempotency_key_reused"


def test_keys_are_told_apart_by_tenant_and_by_person(rig: Rig) -> None:
    other = rig.add_tenant()
    askers = [rig.member(), rig.member("other"), rig.member(tenant=other)]
    ids = {rig.chats.reply(asker, rig.ask(), rig.run("k1"))[0].id for asker in askers}
    assert (len(ids), len(rig.script.prompts), len(rig.records()), len(rig.records(other))) == (3, 3, 2, 1)


def test_past_its_time_a_duplicate_is_told_that_the_first_is_running(rig: Rig) -> None:
    first = rig.chats.stream(rig.member(), rig.ask(), rig.run("k1"))
    next(first)
    with pytest.raises(Conflict) as caught:
        rig.chats.reply(rig.member(), rig.ask(), rig.run("k1", deadline=rig.clock() + 6))
    assert caught.value.code == "in_progress"
    first.close()


def test_a_request_that_cost_nothing_frees_its_key(rig: Rig) -> None:
    rig.script.fails_at, rig.script.fault = 0, ProviderFault("unauthorized", "bad key")
    with pytest.raises(NorenError):
        rig.chats.reply(rig.member(), rig.ask(), rig.run("k1"))
    with pytest.raises(Forbidden):
        rig.chats.reply(rig.member(), rig.ask(model="gpt-9"), rig.run("k2"))
    rig.script.fault = None
    for key in ("k1", "k2"):
        assert rig.chats.reply(rig.member(), rig.ask(), rig.run(key))[1] is False
    assert [record.decision for record in rig.records()] == ["RELEASE", "USAGE", "USAGE"]


def test_a_broken_off_answer_is_not_bought_twice(rig: Rig) -> None:
    rig.script.fails_at, rig.script.fault = 2, ProviderFault("cut", "gone", produced=True)
    with pytest.raises(UpstreamFailed):
        rig.chats.reply(rig.member(), rig.ask(), rig.run("k1"))
    rig.script.fault = None
    with pytest.raises(UpstreamFailed) as caught:
        rig.chats.reply(rig.member(), rig.ask(), rig.run("k1"))
    assert caught.value.extra["answer"] == "Open from "
    assert len(rig.script.prompts) == 1


def test_an_openai_answer_is_replayed_too(rig: Rig) -> None:
    ask = rig.ask(history=(), source="openai")
    first, _ = rig.chats.reply(rig.member(), ask, rig.run("k1"))
    again, replayed = rig.chats.reply(rig.member(), ask, rig.run("k1"))
    assert (again, replayed) == (first, True)
