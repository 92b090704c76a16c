"""The front door: who answers which path, what passes through, what a client may claim, what breaks how."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import threading
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from yarl import URL

from local import emulator, frontdoor, mailbox, signup

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
HOSTED = "http://127.0.0.1:9"


@asynccontextmanager
async def door(handler: Handler) -> AsyncIterator[tuple[aiohttp.ClientSession, str, list[web.Request]]]:
    """A front door before one upstream that serves as both APIs (told apart by a prefix) and as the emulator."""
    seen: list[web.Request] = []

    async def upstream(request: web.Request) -> web.StreamResponse:
        seen.append(request)
        return await handler(request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", upstream)
    async with TestServer(app, handler_cancellation=True) as behind:
        base = str(behind.make_url("")).rstrip("/")
        config = frontdoor.Config(f"{base}/_aws/execute-api/abc/v1", base + "/inference", base, "pool", "client")
        async with (
            TestServer(frontdoor.application(config), handler_cancellation=True) as front,
            aiohttp.ClientSession(auto_decompress=False) as client,
        ):
            yield client, str(front.make_url("")).rstrip("/"), seen


async def ok(request: web.Request) -> web.StreamResponse:
    return web.json_response({"path": request.raw_path})


@pytest.mark.parametrize(
    ("path", "goes"),
    [
        ("/v1/chat/completions", "inference"),
        ("/v1/models", "inference"),
        ("/api/v1/chat", "inference"),
        ("/api/chat", "inference"),
        ("/api/v1/chat/chat_1/cancel", "inference"),
        ("/api/v1/chat/chat_1/feedback", "inference"),
        ("/api/v1/canned", "inference"),
        ("/api/v1/canned/can_1/hits", "inference"),
        ("/api/v1/sites/site_1/canned", "platform"),
        ("/api/v1/feedback", "platform"),
        ("/api/v1/conversations", "platform"),
        ("/api/v1/sessions", "inference"),
        ("/api/v1/visitor-tokens", "inference"),
        ("/api/v1/ai/execute", "inference"),
        ("/api/v1/embed/visitor", "inference"),
        ("/api/v1/builder/x", "inference"),
        ("/api/v1/me", "platform"),
        ("/api/v1/chats", "platform"),
        ("/api/v1/embed/script", "platform"),
        ("/api/train/url", "platform"),
        ("/api/admin/usage", "platform"),
        ("/webhook/stripe", "platform"),
        ("/health", "platform"),
        ("/", None),
        ("/app.js", None),
        ("/v10", None),
        ("/healthy", None),
    ],
)
def test_each_path_has_its_upstream(path: str, goes: str | None) -> None:
    config = frontdoor.Config("platform", "inference", HOSTED, "", "")
    assert frontdoor.upstream(path, config) == goes


def test_path_query_and_body_reach_the_upstream_as_they_are() -> None:
    async def echo(request: web.Request) -> web.StreamResponse:
        return web.Response(
            body=await request.read(), status=201, headers={"x-trace-id": "t", "Connection": "x-hop", "x-hop": "1"}
        )

    async def run() -> None:
        async with door(echo) as (client, url, seen):
            raw = "/api/v1/members/a%2Fb?q=%E6%9A%96%20x&empty="
            async with client.patch(URL(url + raw, encoded=True), data=b"\x00raw") as answer:
                assert (answer.status, await answer.read()) == (201, b"\x00raw")
                assert answer.headers["x-trace-id"] == "t"
                assert "x-hop" not in answer.headers
            assert seen[0].raw_path == "/_aws/execute-api/abc/v1" + raw

    asyncio.run(run())


def test_a_clients_claims_of_where_it_comes_from_are_dropped() -> None:
    async def run() -> None:
        async with door(ok) as (client, url, seen):
            headers = {
                "X-Forwarded-For": "6.6.6.6",
                "Forwarded": "for=6.6.6.6",
                "X-Real-IP": "6.6.6.6",
                "X-Forwarded-Host": "evil.example",
                "Connection": "X-Secret",
                "X-Secret": "hop",
                "Authorization": "Bearer t",
            }
            await client.get(f"{url}/api/v1/me", headers=headers)
            got = seen[0].headers
            assert got["X-Forwarded-For"] == "127.0.0.1"
            assert got["X-Forwarded-Host"] == url.removeprefix("http://")
            assert got["Authorization"] == "Bearer t"
            assert not {"Forwarded", "X-Real-IP", "X-Secret"} & set(got)
            assert got["Host"] != url.removeprefix("http://")

    asyncio.run(run())


def test_an_answer_streams_before_it_is_whole() -> None:
    go_on = asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"first")
        await go_on.wait()
        await response.write(b"last")
        return response

    async def run() -> None:
        async with door(slow) as (client, url, _), client.post(f"{url}/api/v1/chat", json={}) as answer:
            assert await asyncio.wait_for(answer.content.readany(), 30) == b"first"
            go_on.set()
            assert await answer.read() == b"last"

    asyncio.run(run())


def test_a_body_streams_before_it_is_whole() -> None:
    first_seen = asyncio.Event()

    async def sink(request: web.Request) -> web.StreamResponse:
        assert await request.content.readany() == b"first"
        first_seen.set()
        return web.Response(body=await request.read())

    async def parts() -> AsyncIterator[bytes]:
        yield b"first"
        await asyncio.wait_for(first_seen.wait(), 30)
        yield b"last"

    async def run() -> None:
        async with door(sink) as (client, url, _), client.post(f"{url}/api/v1/documents", data=parts()) as answer:
            assert await answer.read() == b"last"

    asyncio.run(run())


def test_a_client_that_leaves_ends_the_upstream_request() -> None:
    ended = asyncio.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.set()
            raise
        return response

    async def run() -> None:
        async with door(endless) as (client, url, _):
            answer = await client.post(f"{url}/v1/chat/completions", json={})
            assert await answer.content.readany() == b"first"
            answer.close()
            await asyncio.wait_for(ended.wait(), 30)

    asyncio.run(run())


def test_an_answer_cut_short_does_not_look_whole() -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"half")
        await asyncio.sleep(0.05)
        assert request.transport
        request.transport.abort()
        return response

    async def run() -> None:
        async with door(cut) as (client, url, _):
            with pytest.raises(aiohttp.ClientError):
                async with client.get(f"{url}/api/v1/sessions") as answer:
                    await answer.read()

    asyncio.run(run())


def test_compressed_answers_and_redirects_pass_untouched() -> None:
    async def packed(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/away"):
            return web.Response(status=302, headers={"Location": "https://elsewhere.example/"})
        return web.Response(body=gzip.compress(b"{}"), headers={"Content-Encoding": "gzip"})

    async def run() -> None:
        async with door(packed) as (client, url, _):
            async with client.get(f"{url}/api/v1/me") as answer:
                assert gzip.decompress(await answer.read()) == b"{}"
            async with client.get(f"{url}/api/away", allow_redirects=False) as answer:
                assert (answer.status, answer.headers["Location"]) == (302, "https://elsewhere.example/")

    asyncio.run(run())


def test_a_part_that_is_down_is_a_502_that_says_what_to_do() -> None:
    async def run() -> None:
        config = frontdoor.Config(HOSTED, HOSTED, HOSTED, "", "")
        async with (
            TestServer(frontdoor.application(config)) as front,
            aiohttp.ClientSession() as client,
            client.get(front.make_url("/v1/models"), headers={"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}) as answer,
        ):
            assert answer.status == 502
            assert answer.content_type == "application/problem+json"
            problem = await answer.json(content_type=None)
            assert problem["code"] == problem["error"]["code"] == "bad_gateway"
            assert problem["trace_id"] == answer.headers["x-trace-id"] == "a" * 32

    asyncio.run(run())


@pytest.mark.parametrize(
    "path",
    [
        "/../headers.json",
        "/%2e%2e/headers.json",
        "/..%2fheaders.json",
        "/%2fetc/passwd",
        "/nothing.js",
        "/.gitignore",
        "/a%00.js",
        "/widget/",
        "/widget/loader.js",
        "/widget/..%2f..%2fweb%2fpage%2fapp.js",
        "/widget/a%00.js",
    ],
)
def test_nothing_but_the_page_is_served(path: str) -> None:
    async def run() -> None:
        async with door(ok) as (client, url, _), client.get(URL(url + path, encoded=True)) as answer:
            assert answer.status == 404
            assert "content-security-policy" in answer.headers

    asyncio.run(run())


def test_the_page_and_its_headers() -> None:
    async def run() -> None:
        async with door(ok) as (client, url, seen):
            for path in ("/", "/invite?token=t", "/app.js", "/style.css"):
                async with client.get(url + path) as answer:
                    assert answer.status == 200
                    policy = answer.headers["Content-Security-Policy"]
                    assert "unsafe" not in policy
                    assert "{" not in policy
                    assert "default-src 'none'" in policy
                    assert answer.headers["X-Content-Type-Options"] == "nosniff"
            async with client.post(url + "/app.js") as answer:
                assert answer.status == 405
            async with client.get(url + "/config.json") as answer:
                config = json.loads(await answer.read())
            assert config["client_id"] == "client"
            assert config["token_url"].endswith("/oauth2/token")
            assert seen == []

    asyncio.run(run())


def test_the_widgets_scripts_load_into_any_page_and_stay() -> None:
    async def run() -> None:
        async with door(ok) as (client, url, _):
            for script in frontdoor.WIDGET.glob("*.js"):
                async with client.get(f"{url}/widget/{script.name}") as answer:
                    assert await answer.read() == script.read_bytes()
                    assert answer.headers["Access-Control-Allow-Origin"] == "*"
                    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
                    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
            async with client.get(url + "/app.js") as answer:
                assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"

    asyncio.run(run())


def test_the_mailbox_lists_newest_first_and_is_inert() -> None:
    mails: list[dict[str, Any]] = [
        {"Timestamp": 1.0, "Subject": "old", "BodyText": "first"},
        {"Timestamp": 2.0, "Subject": "<b>new</b>", "BodyText": 'Join: http://localhost/invite?token=a&x=1 <script>"'},
        {"Timestamp": 3.0, "Subject": "", "BodyText": "", "BodyHtml": "<i>html</i>"},
    ]

    async def store(request: web.Request) -> web.StreamResponse:
        assert request.path == mailbox.STORE
        common = {"Source": "noren@example.com", "To": ["<mei>@example.com"], "CC": [], "BCC": [], "BodyHtml": None}
        return web.json_response({"messages": {"000000000000": [common | mail for mail in mails]}})

    async def run() -> str:
        async with door(store) as (client, url, _), client.get(f"{url}/mailbox") as answer:
            assert answer.status == 200
            assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
            return (await answer.read()).decode()

    page = asyncio.run(run())
    assert page.index("&lt;i&gt;html") < page.index("&lt;b&gt;new") < page.index("old")
    assert '<a href="http://localhost/invite?token=a&amp;x=1"' in page
    assert "<script" not in page
    assert "<mei>" not in page


def test_a_form_from_elsewhere_makes_no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def create(self: signup.Pool, email: str, password: str) -> str:
        made.append(email)
        return ""

    monkeypatch.setattr(signup.Pool, "create", create)

    async def run() -> None:
        async with door(ok) as (client, url, _):
            form = {"email": "a@example.com", "password": "x"}
            async with client.post(f"{url}/signup", data=form, headers={"Origin": "https://evil.example"}) as answer:
                assert answer.status == 403
            assert made == []
            again = f"{url}/signup?state=s%26t"
            async with client.post(again, data=form, headers={"Origin": url}, allow_redirects=False) as answer:
                assert answer.status == 303
                assert answer.headers["Location"].endswith("/oauth2/authorize?state=s%26t")
            assert made == ["a@example.com"]

    asyncio.run(run())


def test_an_answer_under_way_does_not_keep_it_from_stopping(tmp_path: Path) -> None:
    class Endless(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                while True:
                    self.wfile.write(b"data: .\n\n")
                    time.sleep(0.05)

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    behind = ThreadingHTTPServer(("127.0.0.1", 0), Endless)
    threading.Thread(target=behind.serve_forever, args=(0.02,), daemon=True).start()
    base = f"http://127.0.0.1:{behind.server_port}"
    config = tmp_path / "frontdoor.json"
    config.write_text(json.dumps(vars(frontdoor.Config(base, base, base, "pool", "client"))))
    port = emulator.free_port()
    front = frontdoor.start(port, config=config, log=tmp_path / "log")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=60) as answer:
        assert answer.read(4) == b"data"
        front.terminate()
        assert front.wait(30) == 0
    behind.shutdown()
    behind.server_close()
