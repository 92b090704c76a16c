"""What must not come out: secrets, tokens, questions and addresses are planted, then every way to fail is taken.

The upstreams here are as talkative as can be: each of their failures quotes the request with its key and question.
"""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

import pytest

from noren.edge import log
from noren.llm.models import Provider, TimeLimits
from noren.llm.providers import build
from noren.settings import Settings
from tests.unit.chat.rig import Container, Rig
from tests.unit.chat.web import served

KEY, TOKEN, QUESTION, ADDRESS = "sk-canary-key", "canary-token", "canary question", "203.0.113.77"
CANARIES = ("canary", ADDRESS)
FAILURES = ("400", "401", "429", "500", "html", "no json", "error event", "cut", "hang up")


class Talkative(BaseHTTPRequestHandler):
    """Fails as told, and quotes the request while it does."""

    failure = ""
    asked = 0

    def do_POST(self) -> None:
        """OpenAI, Anthropic and RunPod's `/run`."""
        type(self).asked += 1
        body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
        quoted = json.loads(json.dumps(f"{self.headers} {body}"))
        error = {"error": {"code": "bad", "type": "api_error", "message": quoted}}
        match self.failure:
            case "html":
                self._answer(502, f"<html>{quoted}</html>", "text/html")
            case "no json":
                self._answer(200, f"data: {quoted}\n\n", "text/event-stream")
            case "error event":
                document = {"type": "error", **error}
                self._answer(200, f"event: error\ndata: {json.dumps(document)}\n\n", "text/event-stream")
            case "cut":
                self._answer(200, f"data: {json.dumps(quoted)[:40]}", "text/event-stream", missing=100)
            case "hang up":
                self.close_connection = True
            case status:
                self._answer(int(status), json.dumps(error), "application/json")

    do_GET = do_POST

    def _answer(self, status: int, text: str, kind: str, missing: int = 0) -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data) + missing))
        self.end_headers()
        self.wfile.write(data)
        self.close_connection = bool(missing)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: this server is no part of the product."""


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Talkative)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def logs(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """All that the process prints, logged as the function logs it."""
    printed = io.StringIO()
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(sys, stream, printed)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    log.configure("test")
    yield printed
    root.handlers[:] = handlers
    root.setLevel(level)


@contextmanager
def provider(name: str, upstream: str) -> Iterator[dict[str, Provider]]:
    """The real provider of that name under the rig's name, asking the talkative upstream."""
    settings = Settings(openai_base_url=upstream, anthropic_base_url=upstream, runpod_base_url=upstream)
    made = build(settings, lambda _: KEY)[name]
    if name == "runpod":
        cast("Any", made)._endpoints["small"] = "endpoint"
    yield {"offline": made}
    cast("Any", made).close()


def silent(*texts: str) -> None:
    """None of these texts sings."""
    for text in texts:
        for canary in CANARIES:
            assert canary not in text, text[max(0, text.index(canary) - 200) :][:400]


@pytest.mark.parametrize("name", ["openai", "anthropic", "runpod"])
def test_an_upstream_that_quotes_the_request_reaches_no_log_answer_or_record(
    rig: Rig, upstream: str, name: str, logs: io.StringIO
) -> None:
    limits = TimeLimits(connect=10, first_token=20, total=40)
    for failure in FAILURES:
        Talkative.failure, Talkative.asked = failure, 0
        with provider(name, upstream) as providers:
            process = Container(rig.client, rig, sleep=lambda _: None, providers=providers, time_limits=limits)
            process.router.breaker._known.clear()
            rig.clock.skip(120)  # whatever rests has rested
            with served(rig, process=process) as web:
                for stream in (False, True):
                    body = {"message": QUESTION, "stream": stream, "metadata": {"ref": "x"}}
                    answer = web.call("POST", "/api/v1/chat", body, headers={"x-forwarded-for": ADDRESS})
                    assert stream or answer.status_code >= 500, (failure, answer.text)
                    assert '"upstream_failed"' in answer.text or '"busy"' in answer.text
                    silent(answer.text, str(answer.headers))
                openai = {"model": "", "messages": [{"role": "user", "content": QUESTION}]}
                silent(web.call("POST", "/v1/chat/completions", openai).text)
        assert Talkative.asked, failure
    for record in rig.records():
        silent(repr(record))
    said = logs.getvalue()
    assert said.count('"FailedChats": 1') >= len(FAILURES)
    silent(said)


@pytest.mark.parametrize("operation", ["update_item", "put_item", "get_item", "query"])
def test_storage_that_quotes_what_it_refuses_reaches_no_log_or_answer(
    rig: Rig, operation: str, logs: io.StringIO
) -> None:
    from botocore.exceptions import ClientError

    class Quoting:
        def __getattr__(self, name: str) -> Any:
            return self.refuse if name == operation else getattr(rig.client, name)

        def refuse(self, **given: Any) -> Any:
            error = {"Code": "ValidationException", "Message": f"{TOKEN} {QUESTION} {given}"}
            raise ClientError(cast("Any", {"Error": error}), operation)

    with served(rig, process=Container(Quoting(), rig, sleep=lambda _: None)) as web:
        for path in ("/api/v1/chat", "/v1/chat/completions"):
            body = {"message": QUESTION, "model": "", "messages": [{"role": "user", "content": QUESTION}]}
            wanted = {"message"} if path == "/api/v1/chat" else {"model", "messages"}
            answer = web.call("POST", path, {name: body[name] for name in wanted})
            silent(answer.text)
        silent(web.call("GET", "/api/v1/sessions").text)
    said = logs.getvalue()
    assert '"logger": "noren.access"' in said
    silent(said)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"message": "canary question", "canary field": 1}', 400),
        (b'{"message": "canary question", "temperature": "canary"}', 400),
        (b'{"message": "canary question"', 400),
        (b'{"message": "canary question", "message": "canary twice"}', 400),
        (b'{"message": "canary question", "site_id": "site_canary"}', 404),
        (b'{"message": "canary question", "model": "canary-model"}', 403),
        (b'{"message": "' + b"canary" * 20_000 + b'"}', 413),
    ],
)
def test_a_refusal_logs_nothing_that_was_sent(rig: Rig, body: bytes, status: int, logs: io.StringIO) -> None:
    with served(rig) as web:
        answer = web.call("POST", "/api/v1/chat", body)
        assert answer.status_code == status, answer.text
        assert web.call("POST", "/api/v1/chat", {"message": QUESTION}, token=TOKEN).status_code == 401
        assert web.call("GET", "/api/v1/sessions?cursor=canary&x=canary").status_code == 400
    said = logs.getvalue()
    assert said.count('"logger": "noren.access"') == 3
    silent(said)
