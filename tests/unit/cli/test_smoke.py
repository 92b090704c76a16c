"""What `noren smoke` must not be fooled by."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from noren.cli import smoke
from noren.cli.deployment import Deployment

DONE = {
    "id": "req_1",
    "route": {"tier": "free"},
    "model_used": "m",
    "provider": "runpod",
    "tokens_consumed": {"chat": 3},
}
EVENTS = [("meta", {"id": "req_1"}), ("delta", {"text": "Open "}), ("delta", {"text": "now."}), ("done", DONE)]


class Inference(BaseHTTPRequestHandler):
    """Streams `events` with `pause` between them."""

    pause = 0.0
    events: Any = EVENTS

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        for name, data in self.events:
            self.wfile.write(f"event: {name}\ndata: {json.dumps(data)}\n\n".encode())
            time.sleep(self.pause)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> Iterator[smoke.Smoke]:
    monkeypatch.setattr(smoke, "run_contract", lambda: {"platform_url": "http://127.0.0.1:9"})
    server = HTTPServer(("127.0.0.1", 0), Inference)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    me = {"inference_url": f"http://127.0.0.1:{server.server_port}"}
    yield smoke.Smoke(Deployment("local", "ap-northeast-1", {}), lambda _: None, me=me)
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_stream_that_comes_in_pieces_is_one(checks: smoke.Smoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Inference, "pause", 0.3)
    assert "2 pieces, 3 tokens" in checks.chat()
    assert checks.first == DONE


def test_a_stream_that_was_buffered_on_the_way_is_none(checks: smoke.Smoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoke, "SPREAD_SECONDS", 5.0)  # a busy machine reads at once what was written at once
    with pytest.raises(smoke.Failed, match="buffers the stream"):
        checks.chat()


@pytest.mark.parametrize("events", [EVENTS[:-1], EVENTS[1:], [EVENTS[0], EVENTS[-1]], []])
def test_an_answer_that_lacks_something_fails(
    checks: smoke.Smoke, monkeypatch: pytest.MonkeyPatch, events: Any
) -> None:
    monkeypatch.setattr(Inference, "events", events)
    with pytest.raises(smoke.Failed, match="these events came"):
        checks.chat()


def test_no_token_is_sent_over_plain_http_to_elsewhere() -> None:
    with pytest.raises(smoke.Failed, match="no https address"):
        smoke.Http(direct=True, token="secret").call("GET", "http://platform.example/health")
