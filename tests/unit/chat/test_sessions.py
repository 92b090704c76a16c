"""Sessions: whose they are, what they remember, how they are summarised; feedback."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from noren.chat.models import Asker, Turn
from noren.chat.sessions import WINDOW
from noren.chat.store import SESSION_SECONDS, owner_hash
from noren.chat.summary import KEEP
from noren.errors import NorenError, NotFound
from noren.llm.models import ProviderFault
from noren.sites.models import Site
from tests.unit.chat.rig import Rig


def talk(rig: Rig, asker: Asker, turns: int, session_key: str = "") -> str:
    for number in range(turns):
        answer, _ = rig.chats.reply(asker, rig.ask(f"Question {number}", session_key=session_key), rig.run())
        session_key = answer.session_key
    return session_key


def test_a_session_is_remembered_in_the_next_prompt(rig: Rig) -> None:
    talk(rig, rig.member(), 2)
    assert [(message.role, message.content) for message in rig.script.prompts[1].messages[1:]] == [
        ("user", "Question 0"),
        ("assistant", "Open from nine."),
        ("user", "Question 1"),
    ]


def test_a_key_may_be_written_in_capitals(rig: Rig) -> None:
    key = talk(rig, rig.member(), 1)
    assert talk(rig, rig.member(), 1, key.upper()) == key
    assert len(rig.script.prompts[1].messages) == 4
    assert len(rig.sessions.turns(rig.member(), key)) == 2


def test_a_session_belongs_to_its_principal_and_site(rig: Rig) -> None:
    key = talk(rig, rig.member(), 1)
    elsewhere: Site = rig.sites.new(rig.tenant, "Second", rig.sites.create_default(rig.tenant).prompt_profile)
    rig.sites.add(elsewhere, room=2)
    strangers = [rig.member("other"), rig.member(tenant=rig.add_tenant())]
    for stranger in strangers:
        for attempt in (rig.sessions.get, rig.sessions.turns, rig.sessions.delete):
            with pytest.raises(NotFound):
                attempt(stranger, key)
        with pytest.raises(NotFound):
            talk(rig, stranger, 1, key)
        assert rig.sessions.page(stranger, 10, None) == ([], None)
    with pytest.raises(NotFound):
        rig.chats.reply(rig.member(), rig.ask(session_key=key, site_id=elsewhere.site_id), rig.run())
    for key_of_none in ("no-uuid", "00000000-0000-7000-8000-000000000000"):
        with pytest.raises(NotFound):
            talk(rig, rig.member(), 1, key_of_none)
    assert len(rig.script.prompts) == 1
    assert rig.sessions.get(rig.member(), key).turns == 1


def test_sessions_are_listed_page_by_page_the_latest_first(rig: Rig) -> None:
    keys = [talk(rig, rig.member(), 1) for _ in range(5)]
    seen: list[str] = []
    before: str | None = None
    while True:
        sessions, before = rig.sessions.page(rig.member(), 2, before)
        seen += [session.session_key for session in sessions]
        if before is None:
            break
    assert seen == keys[::-1]


def test_a_deleted_session_is_gone_with_its_turns(rig: Rig) -> None:
    kept, key = talk(rig, rig.member(), 1), talk(rig, rig.member(), 30)
    rig.sessions.delete(rig.member(), key)
    with pytest.raises(NotFound):
        rig.sessions.get(rig.member(), key)
    owner = owner_hash(rig.member().principal)
    assert rig.session_store.turns(rig.tenant.tenant_id, owner, key, 100) == []
    assert len(rig.sessions.turns(rig.member(), kept)) == 1


def test_a_session_deleted_during_an_answer_stays_deleted(rig: Rig) -> None:
    key = talk(rig, rig.member(), 1)
    rig.script.before = lambda index: rig.sessions.delete(rig.member(), key) if index == 1 else None
    talk(rig, rig.member(), 1, key)
    with pytest.raises(NotFound):
        rig.sessions.get(rig.member(), key)


def test_a_session_ends_30_days_after_its_last_question(rig: Rig) -> None:
    key = talk(rig, rig.member(), 1)
    rig.clock.ahead += SESSION_SECONDS - 60
    assert rig.sessions.get(rig.member(), key).session_key == key
    rig.clock.ahead += 120
    with pytest.raises(NotFound):
        rig.sessions.get(rig.member(), key)


def test_a_long_session_asks_for_a_summary_and_uses_it(rig: Rig) -> None:
    key = talk(rig, rig.member(), WINDOW)
    assert rig.queue.put_messages == []
    talk(rig, rig.member(), 1, key)
    (message,) = rig.queue.put_messages
    rig.script.pieces = ["They asked", " nine things."]
    assert rig.summaries.renew(*message) is True
    session = rig.sessions.get(rig.member(), key)
    assert (session.summary_text, session.summarized) == ("They asked nine things.", WINDOW + 1 - KEEP)
    asked = rig.script.prompts[-1].messages
    assert "Question 4" in asked[0].content
    assert "Question 5" not in asked[0].content
    (record,) = [record for record in rig.records() if record.source == "summary"]
    assert (record.chats, record.caller, record.session_key) == (0, "summary", key)
    assert record.calls[0].purpose == "summary"
    assert record.cost_usd > 0
    assert rig.chats_used() == WINDOW + 1
    rig.chats.reply(rig.member(), rig.ask("And then?", session_key=key), rig.run())
    prompt = rig.script.prompts[-1].messages
    assert "<summary>\nThey asked nine things.\n</summary>" in prompt[0].content
    assert [message.content for message in prompt if message.role == "user"][:-1] == [
        f"Question {number}" for number in (5, 6, 7, 0)
    ]


def test_a_summary_asked_for_twice_is_made_once(rig: Rig) -> None:
    talk(rig, rig.member(), WINDOW + 1)
    (message,) = rig.queue.put_messages
    assert rig.summaries.renew(*message) is True
    asked = len(rig.script.prompts)
    assert rig.summaries.renew(*message) is False
    assert len(rig.script.prompts) == asked


def test_of_two_summaries_under_way_the_first_stands(rig: Rig) -> None:
    key = talk(rig, rig.member(), WINDOW + 1)
    (message,) = rig.queue.put_messages
    nested: list[bool] = []

    def overtaken(index: int) -> None:
        if index == 0 and not nested:
            nested.append(True)
            nested.append(rig.summaries.renew(*message))

    rig.script.before = overtaken
    assert rig.summaries.renew(*message) is False
    assert nested == [True, True]
    assert rig.sessions.get(rig.member(), key).summarized == WINDOW + 1 - KEEP
    assert len([record for record in rig.records() if record.source == "summary"]) == 2


def test_a_summary_that_fails_changes_nothing_and_is_recorded(rig: Rig) -> None:
    key = talk(rig, rig.member(), WINDOW + 1)
    (message,) = rig.queue.put_messages
    rig.script.fails_at, rig.script.fault = 0, ProviderFault("unauthorized", "bad key")
    with pytest.raises(NorenError):
        rig.summaries.renew(*message)
    assert rig.sessions.get(rig.member(), key).summary_text == ""
    assert [record.status for record in rig.records() if record.source == "summary"] == ["failed"]


def test_nothing_is_summarised_for_who_is_stopped_or_gone(rig: Rig) -> None:
    talk(rig, rig.member(), WINDOW + 1)
    (message,) = rig.queue.put_messages
    asked = len(rig.script.prompts)
    rig.registry.tenants[rig.tenant.tenant_id] = replace(rig.tenant, stops=frozenset({"manual"}))
    assert rig.summaries.renew(*message) is False
    del rig.registry.tenants[rig.tenant.tenant_id]
    assert rig.summaries.renew(*message) is False
    assert len(rig.script.prompts) == asked


def test_the_worker_reports_only_what_failed(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAGE", "local")
    from summary_worker import main

    key = talk(rig, rig.member(), WINDOW + 1)
    (tenant_id, owner, session_key, trace_id) = rig.queue.put_messages[0]
    monkeypatch.setattr(main, "SERVICES", type("Services", (), {"summaries": rig.summaries})())
    good = {"tenant_id": tenant_id, "owner": owner, "session_key": session_key, "trace_id": trace_id}
    bodies = {"good": json.dumps(good), "bad": "not json"}
    event = {"Records": [sqs_record(message_id, body) for message_id, body in bodies.items()]}
    asked = len(rig.script.prompts)
    late = main.handler(event, Context(12.0))
    assert [each["itemIdentifier"] for each in late["batchItemFailures"]] == ["good", "bad"]
    assert len(rig.script.prompts) == asked
    assert main.handler(event, Context(60.0)) == {"batchItemFailures": [{"itemIdentifier": "bad"}]}
    assert rig.sessions.get(rig.member(), key).summarized == WINDOW + 1 - KEEP


class Context:
    """An invocation with so many seconds left."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def get_remaining_time_in_millis(self) -> int:
        return int(self._seconds * 1000)


def sqs_record(message_id: str, body: str) -> dict[str, Any]:
    return {"messageId": message_id, "body": body, "attributes": {}, "messageAttributes": {}, "eventSource": "aws:sqs"}


def test_feedback_is_one_per_answer_and_changeable(rig: Rig) -> None:
    answer, _ = rig.chats.reply(rig.member(), rig.ask(), rig.run())
    first = rig.feedback.rate(rig.member(), answer.id, 2, "meh")
    rig.clock.ahead += 5
    second = rig.feedback.rate(rig.member(), answer.id, 5, "")
    assert (second.rating, second.comment, second.created_at) == (5, "", first.created_at)
    assert second.updated_at > first.updated_at


def test_feedback_is_for_ones_own_answers(rig: Rig) -> None:
    answer, _ = rig.chats.reply(rig.member(), rig.ask(), rig.run())
    for asker in (rig.member("other"), rig.member(tenant=rig.add_tenant())):
        with pytest.raises(NotFound):
            rig.feedback.rate(asker, answer.id, 1, "")
    with pytest.raises(NotFound):
        rig.feedback.rate(rig.member(), "req_" + "0" * 32, 1, "")
    rig.script.fails_at, rig.script.fault = 0, ProviderFault("unauthorized", "bad key")
    with pytest.raises(NorenError) as caught:
        rig.chats.reply(rig.member(), rig.ask(), rig.run())
    with pytest.raises(NotFound):
        rig.feedback.rate(rig.member(), caught.value.extra["id"], 1, "")


def test_a_store_that_fails_costs_the_history_not_the_answer(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise ConnectionError("down")

    monkeypatch.setattr(rig.session_store, "put_turn", broken)
    answer, _ = rig.chats.reply(rig.member(), rig.ask(), rig.run())
    assert answer.answer == "Open from nine."
    assert [record.decision for record in rig.records()] == ["USAGE"]


def test_a_turn_survives_storage_as_it_was(rig: Rig) -> None:
    answer, _ = rig.chats.reply(rig.member(), rig.ask(), rig.run())
    (turn,) = rig.sessions.turns(rig.member(), answer.session_key)
    assert turn == Turn(
        answer.id, answer.session_key, "When do you open?", answer.answer, turn.at, answer.model_used, "stop", answer
    )
    assert turn.complete is not None
    assert replace(turn.complete, latency_ms=0) == replace(answer, latency_ms=0)
