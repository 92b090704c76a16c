"""Canned answers: at once, without model, quota or admission, and yet kept, replayed and rated like any other."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from noren.chat.models import Answer, Delta, Done, Meta
from noren.edge.respond import told
from noren.errors import Forbidden, NotFound, RateLimited, Unprocessable
from noren.limits import RATES, Rate
from noren.llm.models import Message, ProviderFault
from noren.money import CostSnapshot
from noren.sites.canned_models import CannedResponse, Pattern
from tests.faults import FAULTS, Crash, Fault, Faulty
from tests.unit.chat.rig import LIMITS, Container, Inline, Rig
from tests.unit.chat.web import events_of, served

SHOP = "https://shop.example"

QUESTION, ANSWER = "営業時間は？", "9時から17時までです。"


def canned(rig: Rig, text: str = QUESTION, **fields: Any) -> CannedResponse:
    """A response of the default site."""
    site_id = rig.sites.default_id(rig.tenant)
    pattern = Pattern(fields.pop("kind", "normalized"), text)
    return rig.canned.create(rig.tenant.tenant_id, site_id, [pattern], ANSWER, "user:owner", **fields)


def ledger_calls(client: Faulty) -> list[str]:
    return [each for each in client.calls if each.startswith("quotas") or each.endswith("quotas")]


def hits(rig: Rig, made: CannedResponse) -> int:
    return rig.canned.get(made.tenant_id, made.site_id, made.canned_id).hit_count


def test_a_canned_answer_costs_nothing_and_is_recorded(rig: Rig) -> None:
    made = canned(rig)
    meta, delta, done = rig.chats.stream(rig.member(), rig.ask(" 営業時間は?? "), rig.run())
    assert isinstance(meta, Meta)
    assert isinstance(done, Done)
    assert delta == Delta(ANSWER)
    answer = done.answer
    assert (meta.id, meta.session_key, meta.canned_id) == (answer.id, answer.session_key, made.canned_id)
    assert (answer.answer, answer.canned_id, answer.finish_reason) == (ANSWER, made.canned_id, "stop")
    assert (answer.model_used, answer.provider, answer.quota, answer.route.reason) == ("", "", None, "canned")
    assert (answer.cost_usd, answer.tokens_consumed.chat) == (Decimal(0), 0)
    assert answer.cost_local == CostSnapshot(Decimal(0), "JPY", Decimal(150))
    assert (answer.credits.used, answer.credits.remaining) == (0, None)
    (record,) = rig.records()
    assert (record.request_id, record.source, record.status, record.decision) == (
        answer.id,
        "canned",
        "canned",
        "USAGE",
    )
    assert (record.chats, record.credits, len(record.calls), record.cost_usd) == (0, 0, 0, Decimal(0))
    assert (record.prompt_profile, record.prompt_version, record.first_token_ms) == ("", 0, None)
    assert (record.session_key, record.caller, record.trace_id) == (answer.session_key, "user:mika", "a" * 32)
    assert (rig.chats_used(), rig.open_holds(), rig.script.prompts, hits(rig, made)) == (0, 0, [], 1)


def test_the_ledger_is_never_asked(rig: Rig) -> None:
    canned(rig)

    def refuse(name: str, options: dict[str, Any]) -> None:
        assert options.get("TableName") != "quotas", f"{name} of the admission item"

    process = Container(Faulty(rig.client, before=refuse), rig)
    assert process.chats.reply(rig.member(), rig.ask(QUESTION), rig.run())[0].answer == ANSWER


def test_it_is_there_though_the_plans_chats_are_spent(aws: str) -> None:
    rig = Rig(replace(LIMITS, chats_per_month=0))
    canned(rig)
    assert rig.chats.reply(rig.member(), rig.ask(QUESTION), rig.run())[0].answer == ANSWER


def test_who_is_stopped_or_too_fast_gets_none(aws: str) -> None:
    rig = Rig(replace(LIMITS, requests_per_minute=2))
    made = canned(rig)
    rig.clock.to_next_minute()
    for _ in range(2):
        rig.chats.reply(rig.member(), rig.ask(QUESTION), rig.run())
    with pytest.raises(RateLimited):
        rig.chats.reply(rig.member(), rig.ask(QUESTION), rig.run())
    rig.registry.tenants[rig.tenant.tenant_id] = replace(rig.tenant, stops=frozenset({"manual"}))
    with pytest.raises(Forbidden):
        rig.chats.reply(rig.member(), rig.ask(QUESTION), rig.run())
    assert (len(rig.records()), hits(rig, made)) == (2, 2)


def test_the_turn_is_part_of_the_conversation(rig: Rig) -> None:
    canned(rig)
    member = rig.member()
    first, _ = rig.chats.reply(member, rig.ask("Hello"), rig.run())
    second, _ = rig.chats.reply(member, rig.ask(QUESTION, session_key=first.session_key), rig.run())
    assert second.session_key == first.session_key
    turns = rig.sessions.turns(member, first.session_key)
    assert [(turn.message, turn.answer) for turn in turns] == [("Hello", "Open from nine."), (QUESTION, ANSWER)]
    rig.chats.reply(member, rig.ask("Thanks", session_key=first.session_key), rig.run())
    assert [each.content for each in rig.script.prompts[-1].messages[1:]][-3:] == [QUESTION, ANSWER, "Thanks"]
    with pytest.raises(NotFound):
        rig.chats.reply(rig.member("other"), rig.ask(QUESTION, session_key=first.session_key), rig.run())


def test_disabled_deleted_and_other_sites_responses_are_not_given(rig: Rig) -> None:
    site_id = rig.sites.default_id(rig.tenant)
    off, gone = canned(rig, enabled=False), canned(rig)
    rig.canned.delete(gone.tenant_id, site_id, gone.canned_id, "user:owner")
    elsewhere = rig.add_tenant()
    pattern = [Pattern("normalized", QUESTION)]
    rig.canned.create(rig.tenant.tenant_id, f"site_{'9' * 32}", pattern, "Another site's", "user:owner")
    rig.canned.create(elsewhere.tenant_id, rig.sites.default_id(elsewhere), pattern, "Another tenant's", "user:x")
    answer, _ = rig.chats.reply(rig.member(), rig.ask(QUESTION), rig.run())
    assert (answer.answer, answer.canned_id, answer.suggestions) == ("Open from nine.", "", ())
    assert hits(rig, off) == 0


def test_a_near_miss_is_offered_beside_the_models_answer(rig: Rig) -> None:
    made = canned(rig, "営業時間を教えてください", questions=["何時に開きますか？"])
    meta, *_, done = rig.chats.stream(rig.member(), rig.ask("営業時間を教えて下さい"), rig.run("key"))
    assert isinstance(meta, Meta)
    assert isinstance(done, Done)
    assert (done.answer.answer, done.answer.canned_id) == ("Open from nine.", "")
    (offer,) = meta.suggestions
    assert (offer.canned_id, offer.question, offer.answer) == (made.canned_id, "何時に開きますか？", ANSWER)
    assert done.answer.suggestions == meta.suggestions
    assert (rig.chats_used(), hits(rig, made)) == (1, 0)
    again, replayed = rig.chats.reply(rig.member(), rig.ask("営業時間を教えて下さい"), rig.run("key"))
    assert (again, replayed) == (done.answer, True)


def test_openai_format_is_always_a_models(rig: Rig) -> None:
    canned(rig)
    client = Faulty(rig.client)
    asks = [
        rig.ask(QUESTION, history=(), source="openai"),
        rig.ask(QUESTION, history=(Message("user", "Hi"),), source="openai"),
    ]
    process = Container(client, rig)
    for ask in asks:
        assert process.chats.reply(rig.member(), ask, rig.run())[0].answer == "Open from nine."
    assert rig.chats_used() == 2


def test_a_key_gets_the_first_answer_again(rig: Rig) -> None:
    made = canned(rig)
    first, replayed = rig.chats.reply(rig.member(), rig.ask(QUESTION), rig.run("key"))
    assert not replayed
    rig.canned.delete(made.tenant_id, made.site_id, made.canned_id, "user:owner")
    second, replayed = rig.chats.reply(rig.member(), rig.ask(QUESTION), rig.run("key"))
    assert (second, replayed) == (first, True)
    meta, *_ = rig.chats.stream(rig.member(), rig.ask(QUESTION), rig.run("key"))
    assert isinstance(meta, Meta)
    assert (meta.replayed, meta.canned_id) == (True, made.canned_id)
    with pytest.raises(Unprocessable):
        rig.chats.reply(rig.member(), rig.ask("else"), rig.run("key", body=b"else"))
    assert (len(rig.records()), rig.script.prompts) == (1, [])


def test_it_can_be_rated(rig: Rig) -> None:
    canned(rig)
    answer, _ = rig.chats.reply(rig.member(), rig.ask(QUESTION), rig.run())
    assert rig.feedback.rate(rig.member(), answer.id, 1, "old").rating == 1


def test_who_leaves_after_the_answer_has_been_given_it(rig: Rig) -> None:
    canned(rig)
    with closing(rig.chats.stream(rig.member(), rig.ask(QUESTION), rig.run())) as events:
        next(events)
        next(events)
    assert [record.status for record in rig.records()] == ["canned"]


def test_a_warm_process_asks_for_no_responses(rig: Rig) -> None:
    """Also where there are none: what is remembered is that."""
    client = Faulty(rig.client)
    process = Container(client, rig)
    process.chats.reply(rig.member(), rig.ask(), rig.run())
    assert client.calls.count("query") == 1
    client.calls.clear()
    process.chats.reply(rig.member(), rig.ask(), rig.run())
    assert "query" not in client.calls


def test_hits_that_can_not_be_counted_cost_nobody_an_answer(rig: Rig) -> None:
    made = canned(rig)
    process = Container(rig.client, rig)
    process.chats.reply(rig.member(), rig.ask(QUESTION), rig.run())
    rig.canned.delete(made.tenant_id, made.site_id, made.canned_id, "user:owner")  # not known there yet
    assert process.chats.reply(rig.member(), rig.ask(QUESTION), rig.run())[0].answer == ANSWER


CALLS = (
    # as any chat's
    *("put_item", "get_item", "get_item", "get_item", "query", "get_item", "update_item", "update_item"),
    *("update_item", "put_item", "batch_write_item", "put_item"),  # hit, turn, session, record
)


@pytest.mark.parametrize("number", range(len(CALLS)))
def test_whatever_fails_a_repetition_under_the_key_has_one_answer(rig: Rig, number: int) -> None:
    made = canned(rig)

    def ask(client: Any) -> Answer | None:
        process = Container(client, rig, sleep=rig.clock.skip, pool=Inline())
        try:
            return process.chats.reply(rig.member(), rig.ask(QUESTION), rig.run(key))[0]
        except Crash:
            return None
        except Exception as error:
            if told(error).status not in (503, 409, 429):
                raise
            return None

    kinds: tuple[Fault, ...] = ("crash_before", "crash_after", "throttle", "timeout_after", "twice")
    assert set(kinds) <= set(FAULTS)
    for kind in kinds:
        key = f"{kind}-{number}"
        before = len(rig.records())
        client = Faulty(rig.client)
        client.plan = {number: kind}
        first = ask(client)
        rig.clock.skip(600)  # the lease of a dead process has run out
        second = ask(rig.client)
        assert second
        assert (second.answer, second.canned_id) == (ANSWER, made.canned_id)
        assert first in (None, second)
        new = rig.records()[before:]
        assert {record.status for record in new} == {"canned"}
        assert len(new) <= (1 if first else 2)
    assert (rig.chats_used(), rig.script.prompts) == (0, [])


def test_a_clean_run_makes_the_calls_that_are_broken_above(rig: Rig) -> None:
    canned(rig)
    client = Faulty(rig.client)
    process = Container(client, rig, pool=Inline())
    process.chats.reply(rig.member(), rig.ask(QUESTION), rig.run("key"))
    assert tuple(client.calls) == CALLS


def test_over_http_plain_and_streamed(rig: Rig) -> None:
    made = canned(rig)
    near = canned(rig, "駐車場はありますか")
    with served(rig) as web:
        body = {"message": "営業時間は"}
        plain = web.call("POST", "/api/v1/chat", body, "key").json()
        assert (plain["answer"], plain["canned_id"], plain["quota"]) == (ANSWER, made.canned_id, None)
        assert (plain["suggestions"], plain["route"]["reason"], plain["model_used"]) == ([], "canned", "")
        events = dict(events_of(web.call("POST", "/api/v1/chat", body | {"stream": True}, "mika", stream=True)))
        assert list(events) == ["meta", "delta", "done"]
        assert (events["meta"]["canned_id"], events["delta"]["text"]) == (made.canned_id, ANSWER)
        offered = web.call("POST", "/api/v1/chat", {"message": "駐輪場はありますか"}, "mika").json()
        assert (offered["answer"], offered["canned_id"]) == ("Open from nine.", None)
        assert offered["suggestions"] == [
            {"canned_id": near.canned_id, "question": "駐車場はありますか", "answer": ANSWER}
        ]
        openai = {"model": "small", "messages": [{"role": "user", "content": QUESTION}]}
        answer = web.call("POST", "/v1/chat/completions", openai, "key").json()
        assert answer["choices"][0]["message"]["content"] == "Open from nine."


def test_front_ends_get_what_they_can_match(rig: Rig) -> None:
    made = canned(rig, questions=["いつ開きますか？"])
    exact, regex = canned(rig, "Ask", kind="exact"), canned(rig, "^open", kind="regex")
    canned(rig, "off", enabled=False)
    mixed = canned(rig, "^parking", kind="regex", questions=["駐車場は？"])
    answer = {"answer": ANSWER}
    expected = [
        {
            "canned_id": made.canned_id,
            "questions": ["いつ開きますか？"],
            "patterns": [{"kind": "normalized", "text": QUESTION}],
        }
        | answer,
        {"canned_id": exact.canned_id, "questions": [], "patterns": [{"kind": "exact", "text": "Ask"}]} | answer,
        {"canned_id": mixed.canned_id, "questions": ["駐車場は？"], "patterns": []} | answer,
    ]
    site = rig.sites.save_site(replace(rig.sites.create_default(rig.tenant), allowed_domains=(SHOP,)))
    with served(rig) as web:
        visit = web.visit(site, SHOP)
        for shown, kept in (
            (visit.call("GET", "/api/v1/canned"), "private, max-age=30"),
            (web.call("GET", "/api/v1/canned"), "no-store"),
            (web.call("GET", f"/api/v1/canned?site_id={site.site_id}", token="key"), "no-store"),
        ):
            assert shown.json() == {"items": expected}
            assert shown.headers["cache-control"] == kept
            assert regex.canned_id not in shown.text
        foreign = rig.sites.default_id(web.services.authenticator.other)  # type: ignore[attr-defined]
        missing = f"site_{'9' * 32}"
        for token in ("mika", "key"):
            answers = [web.call("GET", f"/api/v1/canned?site_id={each}", token=token) for each in (foreign, missing)]
            assert [each.status_code for each in answers] == [404, 404]
        assert visit.call("GET", f"/api/v1/canned?site_id={foreign}").status_code == 404
        assert web.call("GET", "/api/v1/canned", token="reader").status_code == 403
        assert web.call("GET", "/api/v1/canned", token="").status_code == 401


def test_a_page_says_that_it_has_given_one(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    made = canned(rig)
    other = rig.canned.create(rig.tenant.tenant_id, f"site_{'9' * 32}", made.patterns, ANSWER, "user:owner")
    site = rig.sites.save_site(replace(rig.sites.create_default(rig.tenant), allowed_domains=(SHOP,)))
    rig.clock.to_next_minute()
    with served(rig) as web:
        visit = web.visit(site, SHOP)
        for _ in range(2):
            assert visit.call("POST", f"/api/v1/canned/{made.canned_id}/hits").status_code == 204
        for missing in (other.canned_id, f"can_{'0' * 32}", "COUNT", "x"):
            assert visit.call("POST", f"/api/v1/canned/{missing}/hits").status_code == 404
        for token in ("mika", "key", ""):
            refused = web.call("POST", f"/api/v1/canned/{made.canned_id}/hits", token=token)
            assert refused.status_code in (401, 403)
        assert (hits(rig, made), hits(rig, other)) == (2, 0)
        monkeypatch.setitem(RATES, "canned_hits_of_site", Rate(6, 60))
        assert visit.call("POST", f"/api/v1/canned/{made.canned_id}/hits").status_code == 429
    assert hits(rig, made) == 2


def test_what_breaks_or_is_refused_is_noted_for_the_owner(rig: Rig) -> None:
    """Whole and in a stream, by whom it is asked and at which site; nothing of the question."""
    site = rig.sites.save_site(replace(rig.sites.create_default(rig.tenant), allowed_domains=(SHOP,)))
    rig.script.fails_at, rig.script.fault = 1, ProviderFault("cut", "sk-hidden", produced=True)
    with served(rig) as web:
        notes = web.services.error_log.seen  # type: ignore[attr-defined]
        body = {"message": "my private question"}
        visit = web.visit(site, SHOP)
        visit.call("POST", "/api/v1/chat", body)
        list(events_of(web.call("POST", "/api/v1/chat", body | {"stream": True}, "mika", stream=True)))
        missing = {"site_id": f"site_{'9' * 32}", "stream": True}
        assert web.call("POST", "/api/v1/chat", body | missing, "key").status_code == 404
        web.call("POST", "/api/v1/chat", body, "reader")
        web.call("POST", "/api/v1/chat", body, "nobody")
    assert [each[:4] for each in notes] == [
        (rig.tenant.tenant_id, site.site_id, 502, "upstream_cut"),
        (rig.tenant.tenant_id, site.site_id, 502, "upstream_cut"),
        (rig.tenant.tenant_id, "", 403, "forbidden"),
    ]
    assert "private" not in str(notes)
    assert "sk-hidden" not in str(notes)
