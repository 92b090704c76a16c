"""The application over real HTTP: streams as they come, clients that leave, hostile bodies, both wire formats."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.client import HTTPConnection
from typing import Any

import pytest

from chat import outlet
from noren.llm.models import ProviderFault
from noren.tenants.models import PLATFORM_TENANT
from tests.unit.chat.rig import LIMITS, MODEL, Rig
from tests.unit.chat.web import Web, events_of, served

ASK = {"message": "When do you open?"}


@pytest.fixture
def web(rig: Rig) -> Iterator[Web]:
    with served(rig) as running:
        yield running


def until(condition: Any, seconds: float = 30.0) -> float:
    """Wait for a condition; returns how long it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "it never came true"
        time.sleep(0.01)
    return time.monotonic() - began


def test_a_buffered_answer_has_every_field(web: Web) -> None:
    response = web.call("POST", "/api/v1/chat", ASK)
    assert response.status_code == 200
    answer = response.json()
    assert set(answer) == set(
        "id session_key answer sources model_used provider route tokens_consumed cost_usd cost_local quota credits "
        "latency_ms trace_id finish_reason suggestions canned_id".split()
    )
    assert (answer["answer"], answer["model_used"]) == ("Open from nine.", MODEL)
    assert str(uuid.UUID(answer["session_key"])) == answer["session_key"]
    assert answer["cost_usd"] == "0.000056"
    assert answer["cost_local"] == {"amount": "0.0084", "currency": "JPY", "rate": "150"}
    assert answer["quota"]["resets_at"].endswith("Z")
    assert answer["credits"] == {"used": 0, "remaining": 0}
    assert response.headers["x-trace-id"] == answer["trace_id"]
    assert response.headers["cache-control"] == "no-store"
    assert web.call("POST", "/api/chat", ASK).json()["answer"] == "Open from nine."


def test_the_first_token_arrives_before_the_last_is_made(web: Web) -> None:
    go_on = threading.Event()
    web.rig.script.before = lambda index: None if index == 0 else assert_(go_on.wait(60))
    seen = []
    with web.call("POST", "/api/v1/chat", ASK | {"stream": True}, stream=True) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        for name, data in events_of(response):
            seen.append(name)
            if name == "delta" and not go_on.is_set():
                assert (web.rig.script.made, data) == (1, {"text": "Open "})
                go_on.set()
            if name == "done":
                assert data["answer"] == "Open from nine."
                assert web.rig.open_holds() == 0
    assert seen == ["meta", "delta", "delta", "delta", "done"]


def assert_(value: object) -> None:
    assert value


def test_a_client_that_disconnects_ends_and_settles_promptly(web: Web) -> None:
    web.rig.script.pieces = ["word "] * 1000
    web.rig.script.before = lambda _: time.sleep(0.02)
    response = web.call("POST", "/api/v1/chat", ASK | {"stream": True}, stream=True)
    events = events_of(response)
    assert [next(events)[0] for _ in range(3)] == ["meta", "delta", "delta"]
    response.close()
    web.session.close()
    assert until(web.rig.records) < 10  # the whole answer takes twice that
    (record,) = web.rig.records()
    assert (record.decision, record.status, record.chats) == ("USAGE", "cancelled", 1)
    until(lambda: web.rig.open_holds() == 0)
    assert web.rig.script.made < 900


def test_a_buffered_client_that_disconnects_ends_it_too(web: Web) -> None:
    web.rig.script.pieces = ["word "] * 1000
    started = threading.Event()

    def slow(_: int) -> None:
        started.set()
        time.sleep(0.02)

    web.rig.script.before = slow
    client = HTTPConnection(web.base.removeprefix("http://"), timeout=60)
    client.request("POST", "/api/v1/chat", json.dumps(ASK), {"authorization": "Bearer mika"})
    assert started.wait(60)
    client.close()
    until(web.rig.records)
    assert web.rig.records()[0].status == "cancelled"
    assert web.rig.script.made < 900


def test_a_reader_too_slow_for_the_deadline_is_left_and_settled(rig: Rig) -> None:
    rig.script.pieces = ["word", *[" " * 100_000] * 400]  # more bytes than sockets hold, in few tokens
    with served(rig, chat_seconds="10") as web:
        response = web.call("POST", "/api/v1/chat", ASK | {"stream": True}, stream=True)
        events = events_of(response)
        assert next(events)[0] == "meta"
        until(rig.records)
        (record,) = rig.records()
        assert (record.decision, record.chats) == ("USAGE", 1)
        assert record.total_ms > 1_000  # nor was it left much before the five seconds that there were
        until(lambda: rig.open_holds() == 0)
        assert rig.script.made < 400
        response.close()
        web.session.close()


def test_the_stop_button_ends_the_stream_with_its_accounting(web: Web) -> None:
    web.rig.script.pieces = ["word "] * 1000
    web.rig.script.before = lambda _: time.sleep(0.02)
    with web.call("POST", "/api/v1/chat", ASK | {"stream": True}, stream=True) as response:
        events = events_of(response)
        meta = next(events)[1]
        path = f"/api/v1/chat/{meta['id']}/cancel"
        other = Web(web.rig, web.services, web.base)
        assert other.call("POST", path, token="stranger").status_code == 404
        cancelled = other.call("POST", path)
        assert (cancelled.status_code, cancelled.json()) == (202, {"id": meta["id"], "status": "cancelling"})
        began = time.monotonic()
        *_, (name, done) = events
        assert time.monotonic() - began < 10  # the whole answer takes twice that
    assert (name, done["finish_reason"], done["id"]) == ("done", "cancelled", meta["id"])
    assert other.call("POST", path).status_code == 404


def test_a_waiting_stream_is_kept_alive(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlet, "KEEP_ALIVE_SECONDS", 0.1)
    web.rig.script.before = lambda index: time.sleep(2) if index == 0 else None
    with web.call("POST", "/api/v1/chat", ASK | {"stream": True}, stream=True) as response:
        names = [name for name, _ in events_of(response)]
    assert names[0] == "meta"
    assert names.count(":") >= 2
    assert names[-1] == "done"


def test_a_failure_before_the_model_is_an_http_error_and_after_it_an_event(web: Web) -> None:
    refused = web.call("POST", "/api/v1/chat", ASK | {"stream": True, "model": "gpt-9"})
    assert (refused.status_code, refused.json()["code"]) == (403, "model_not_in_plan")
    assert refused.headers["content-type"] == "application/problem+json"
    web.rig.script.fails_at, web.rig.script.fault = 2, ProviderFault("cut", "gone", produced=True)
    with web.call("POST", "/api/v1/chat", ASK | {"stream": True}, stream=True) as response:
        events = list(events_of(response))
    assert [name for name, _ in events] == ["meta", "delta", "delta", "error"]
    error = events[-1][1]
    assert (error["status"], error["code"], error["answer"], error["id"]) == (
        502,
        "upstream_cut",
        "Open from ",
        events[0][1]["id"],
    )
    assert error["trace_id"] == response.headers["x-trace-id"]
    buffered = web.call("POST", "/api/v1/chat", ASK)
    assert (buffered.status_code, buffered.json()["answer"]) == (502, "Open from ")


def test_an_error_of_ours_tells_nothing_of_itself(web: Web) -> None:
    web.rig.script.fails_at, web.rig.script.fault = 1, ZeroDivisionError("secret-in-a-message")
    with web.call("POST", "/api/v1/chat", ASK | {"stream": True}, stream=True) as response:
        events = list(events_of(response))
    assert events[-1][0] == "error"
    assert events[-1][1]["code"] == "internal_error"
    assert "secret" not in json.dumps(events[-1][1])
    assert web.call("POST", "/api/v1/chat", ASK).status_code == 500


@pytest.mark.parametrize(
    "body",
    [
        b'{"message": "x", "temperature": NaN}',
        b'{"message": "x", "temperature": 1e308}',
        b'{"message": "x", "temperature": -0.1}',
        b'{"message": "x", "temperature": "1"}',
        b'{"message": "x", "temperature": true}',
        b'{"message": "x", "max_tokens": 0}',
        b'{"message": "x", "max_tokens": -5}',
        b'{"message": "x", "max_tokens": 1000001}',
        b'{"message": "x", "max_tokens": 1.5}',
        b'{"message": "x", "max_tokens": "10"}',
        b'{"message": "x", "max_tokens": 999999999999999999999999999999999999999}',
        b'{"message": "x", "stream": "yes"}',
        b'{"message": "x", "message": "y"}',
        b'{"message": "x", "tenant_id": "ten_1"}',
        b'{"message": "a\\u0000b"}',
        b'{"message": "\\ud800"}',
        b'{"message": "  "}',
        b'{"message": 5}',
        b"{}",
        b"[" * 100,
        b"\xff",
        json.dumps({"message": "x" * 8001}).encode(),
        json.dumps({"message": "x", "metadata": {"k": "v" * 513}}).encode(),
    ],
)
def test_hostile_bodies_are_refused_and_cost_nothing(web: Web, body: bytes) -> None:
    response = web.call("POST", "/api/v1/chat", body)
    assert (response.status_code, response.json()["status"]) == (400, 400)
    assert web.rig.script.prompts == []
    assert web.rig.records() == []


def test_a_body_over_64_kib_is_refused(web: Web) -> None:
    response = web.call("POST", "/api/v1/chat", b'{"message": "' + b"x" * 70_000 + b'"}')
    assert response.status_code == 413


def test_the_largest_message_is_taken(web: Web) -> None:
    web.rig.catalogue.models = (replace(web.rig.catalogue.models[0], context_window=128_000),)
    assert web.call("POST", "/api/v1/chat", {"message": "暖" * 8000}).status_code == 200


def test_64_streams_run_at_once(aws: str) -> None:
    rig = Rig(replace(LIMITS, concurrent_chats=100))
    together = threading.Barrier(64, timeout=120)
    rig.script.before = lambda index: assert_(together.wait() < 64) if index == 1 else None
    with served(rig, chat_seconds="300") as web:

        def chat(_: int) -> str:
            client = Web(rig, web.services, web.base)
            with client.call("POST", "/api/v1/chat", ASK | {"stream": True}, stream=True) as response:
                names = [name for name, _ in events_of(response)]
            client.session.close()
            return names[-1]

        with ThreadPoolExecutor(64) as pool:
            assert list(pool.map(chat, range(64))) == ["done"] * 64
    assert rig.open_holds() == 0


def test_one_key_three_times_is_one_answer(web: Web) -> None:
    headers = {"idempotency-key": "k-1"}
    first, second = (web.call("POST", "/api/v1/chat", ASK, headers=headers) for _ in range(2))
    assert first.content == second.content
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    alias = web.call("POST", "/api/chat", ASK, headers=headers)
    assert alias.json()["id"] == first.json()["id"]
    reused = web.call("POST", "/api/v1/chat", {"message": "Other"}, headers=headers)
    assert (reused.status_code, reused.json()["code"]) == (422, "idempotency_key_reused")
    foreign = web.call("POST", "/api/v1/chat", ASK, token="stranger", headers=headers)
    assert foreign.json()["id"] != first.json()["id"]
    assert web.call("POST", "/api/v1/chat", ASK, headers={"idempotency-key": "k" * 256}).status_code == 400
    assert len(web.rig.script.prompts) == 2


def test_a_replayed_stream_sends_meta_one_delta_and_done(web: Web) -> None:
    headers, body = {"idempotency-key": "k-2"}, ASK | {"stream": True}
    runs = []
    for _ in range(2):
        with web.call("POST", "/api/v1/chat", body, headers=headers, stream=True) as response:
            runs.append(list(events_of(response)))
    assert [name for name, _ in runs[1]] == ["meta", "delta", "done"]
    assert runs[1][-1] == runs[0][-1]
    assert len(web.rig.script.prompts) == 1


def test_sessions_and_feedback_are_ones_own(web: Web) -> None:
    answer = web.call("POST", "/api/v1/chat", ASK).json()
    web.call("POST", "/api/v1/chat", ASK | {"session_key": answer["session_key"]})
    session = f"/api/v1/sessions/{answer['session_key']}"
    shown = web.call("GET", session).json()
    assert [turn["answer"] for turn in shown["messages"]] == ["Open from nine."] * 2
    assert (shown["turns"], shown["title"], shown["summary_text"]) == (2, "When do you open?", "")
    feedback = f"/api/v1/chat/{answer['id']}/feedback"
    missing = web.call("GET", f"/api/v1/sessions/{uuid.uuid4()}").json() | {"trace_id": ""}
    for token in ("colleague", "stranger", "key"):
        for method in ("GET", "DELETE"):
            refused = web.call(method, session, token=token)
            assert (refused.status_code, refused.json() | {"trace_id": ""}) == (404, missing)
        assert web.call("GET", "/api/v1/sessions", token=token).json()["items"] == []
        assert web.call("POST", feedback, {"rating": 1}, token=token).status_code == 404
        body = ASK | {"session_key": answer["session_key"]}
        assert web.call("POST", "/api/v1/chat", body, token=token).status_code == 404
    assert web.call("POST", feedback, {"rating": 2, "comment": "meh"}).json()["rating"] == 2
    assert web.call("POST", feedback, {"rating": 5}).json()["rating"] == 5
    for rating in (0, 6, "5", 4.5, None):
        assert web.call("POST", feedback, {"rating": rating}).status_code == 400
    assert web.call("DELETE", session).status_code == 204
    assert web.call("GET", session).status_code == 404


def test_sessions_are_paged_with_signed_cursors(web: Web) -> None:
    keys = [web.call("POST", "/api/v1/chat", ASK).json()["session_key"] for _ in range(3)]
    first = web.call("GET", "/api/v1/sessions?limit=2").json()
    second = web.call("GET", f"/api/v1/sessions?limit=2&cursor={first['next_cursor']}").json()
    assert [row["session_key"] for row in first["items"] + second["items"]] == keys[::-1]
    assert second["next_cursor"] is None
    stolen = web.call("GET", f"/api/v1/sessions?cursor={first['next_cursor']}", token="colleague")
    assert (stolen.status_code, stolen.json()["code"]) == (400, "invalid_cursor")


def test_who_may_not_chat_is_refused(web: Web) -> None:
    for token, status in (("", 401), ("forged.token", 401), ("reader", 403)):
        assert web.call("POST", "/api/v1/chat", ASK, token=token).status_code == status
    assert web.call("POST", "/v1/chat/completions", {"messages": []}, token=web.device()).status_code == 403
    assert web.rig.script.prompts == []


def test_a_visitor_gets_a_token_and_a_free_chat(aws: str) -> None:
    rig = Rig(replace(LIMITS, requests_per_day_per_site=1), tenant_id=PLATFORM_TENANT)
    with served(rig) as web:
        made = web.call("POST", "/api/v1/visitor-tokens", {}, token="")
        assert (made.status_code, made.json()["token_type"]) == (201, "Bearer")
        token = made.json()["token"]
        answer = web.call("POST", "/api/v1/chat", ASK, token=token).json()
        assert answer["route"]["tier"] == "free"
        assert web.call("GET", f"/api/v1/sessions/{answer['session_key']}", token=token).status_code == 200
        assert web.call("GET", f"/api/v1/sessions/{answer['session_key']}", token=web.device()).status_code == 404
        spent = web.call("POST", "/api/v1/chat", ASK, token=token)
        assert spent.status_code == 402
        assert not {"plan", "price", "upgrade_url"} & set(spent.json())


def test_paths_and_verbs_that_are_not_there(web: Web) -> None:
    assert web.call("GET", "/health", token="").json() == {"status": "ok"}
    assert web.call("GET", "/api/v1/nothing").status_code == 404
    wrong = web.call("GET", "/api/v1/chat")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    origin = {"origin": "https://console.example", "access-control-request-method": "POST"}
    allowed = web.call("OPTIONS", "/api/v1/chat", token="", headers=origin)
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (204, "https://console.example")
    foreign = web.call("OPTIONS", "/api/v1/chat", token="", headers={"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in foreign.headers
    with web.call("POST", "/api/v1/chat", ASK | {"stream": True}, headers=origin, stream=True) as streamed:
        assert streamed.headers["access-control-allow-origin"] == "https://console.example"
