"""Small real HTTP servers behind the page in its own tests: both APIs, answering as the test says."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from local import frontdoor
from local.emulator import free_port

Script = Callable[["Api", web.Request, "Stream"], Awaitable[web.StreamResponse | None]]
META = {"id": "chat_1", "session_key": "sess-1", "route": {"tier": "free", "reason": "plan"}, "sources": []}
DONE = {
    "id": "chat_1",
    "session_key": "sess-1",
    "model_used": "phi-3-mini-x7f3",
    "provider": "runpod",
    "route": {"tier": "free", "reason": "plan", "fallbacks_tried": []},
    "tokens_consumed": {"embedding": 0, "chat": 1250, "input": 1200, "output": 50, "cached": 0},
    "cost_usd": "0.00042",
    "cost_local": {"amount": "0.063", "currency": "JPY", "rate": "150"},
    "quota": {"chats_used": 4, "chats_limit": 100, "resets_at": "2026-11-30T15:00:00Z"},
    "latency_ms": 1234,
    "trace_id": "0123456789abcdef0123456789abcdef",
}

LIMITS = {
    "chats_per_month": 2000,
    "requests_per_day_per_site": 200,
    "concurrent_chats": 10,
    "max_tokens": 1024,
    "members": 5,
}
PLANS = [
    {
        "plan": "free",
        "prices": {"JPY": 0, "KRW": 0, "USD": 0},
        "limits": LIMITS | {"chats_per_month": 100, "members": 2},
    },
    {"plan": "starter", "prices": {"JPY": 7800, "KRW": 78000, "USD": 5200}, "limits": LIMITS},
    {
        "plan": "pro",
        "prices": {"JPY": 19800, "KRW": 198000, "USD": 13200},
        "limits": LIMITS | {"chats_per_month": 8000},
    },
]


class Stream:
    """A server-sent-event answer under way."""

    def __init__(self, request: web.Request) -> None:
        self.request = request
        self.response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})

    async def event(self, name: str, data: dict[str, Any]) -> None:
        if not self.response.prepared:
            await self.response.prepare(self.request)
        await self.response.write(f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode())

    async def deltas(self, *texts: str) -> None:
        for text in texts:
            await self.event("delta", {"text": text})


def problem(status: int, code: str, **extra: Any) -> web.Response:
    body = {"type": "about:blank", "title": code, "status": status, "code": code, "detail": code} | extra
    return web.json_response(body, status=status, content_type="application/problem+json")


@dataclass
class Api:
    """Both APIs. `scripts` answers a chat by its message; every request is kept in `seen`."""

    me: dict[str, Any] = field(default_factory=dict)
    scripts: dict[str, Script] = field(default_factory=dict)
    seen: list[tuple[str, str, dict[str, str], Any]] = field(default_factory=list)
    told: dict[str, Any] = field(default_factory=dict)
    """`GET /api/v1/…`: what it answers, or (status, problem's code, detail[, more members]); a list answers one after
    the other; a function answers by the request.
    """
    released: threading.Event = field(default_factory=threading.Event)
    cancelled: threading.Event = field(default_factory=threading.Event)

    def bodies(self, path: str) -> list[Any]:
        return [body for _, seen, _, body in self.seen if seen == path]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body: Any = await request.json() if request.content_type == "application/json" else None
        self.seen.append((request.method, request.path, dict(request.headers), body))
        told = self.told.get(f"{request.method} {request.path}")
        if told is not None:
            answer = told.pop(0) if isinstance(told, list) and len(told) > 1 else told
            answer = answer[0] if isinstance(answer, list) else answer
            if callable(answer):
                answer = await answer(request)
            if isinstance(answer, tuple):
                status, code, detail, more = (*answer, {}) if len(answer) == 3 else answer
                return problem(status, code, detail=detail, **more)
            return web.json_response(answer)
        match request.path:
            case "/api/v1/me":
                token = request.headers.get("Authorization", "").removeprefix("Bearer ").split(".")
                assert len(token) == 3
                claims = json.loads(base64.urlsafe_b64decode(token[1] + "=="))
                assert claims["token_use"] == "access"
                return web.json_response(self.me)
            case "/api/v1/sessions/sess-1":
                turn = {"id": "chat_1", "message": "<b>hello</b>", "answer": "**Hi.**", "model": "phi-3-mini"}
                return web.json_response({"session_key": "sess-1", "messages": [turn]})
            case "/api/v1/plans":
                return web.json_response({"items": PLANS})
            case "/api/v1/visitor-tokens":
                return web.json_response({"token": "guest-token"}, status=201)
            case "/api/v1/invitations/accept":
                return web.json_response({"tenant_id": "ten_2", "role": "viewer"})
            case "/api/v1/chat":
                return await self.scripts[body["message"]](self, request, stream := Stream(request)) or stream.response
        if request.path.endswith("/cancel"):
            self.cancelled.set()
            return web.Response(status=202)
        if request.path.endswith("/feedback"):
            return web.Response(status=204)
        return problem(404, "not_found")


async def wait(event: threading.Event, seconds: float = 20) -> bool:
    """Wait for a thread's event without holding up the loop."""
    return await asyncio.to_thread(event.wait, seconds)


@contextmanager
def serve(app: web.Application, port: int) -> Iterator[str]:
    """Serve an application from a thread of its own; yields its base URL."""
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.2)

    async def up() -> None:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        ready.set()

    def run() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(up())
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


@contextmanager
def front(api: Api, emulator: str, port: int, user_pool_id: str = "", client_id: str = "") -> Iterator[str]:
    """The real front door before the stand-in APIs and the emulator's hosted login; yields its base URL."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", api.handle)
    with serve(app, free_port()) as base:
        config = frontdoor.Config(base, base, emulator, user_pool_id, client_id)
        with serve(frontdoor.application(config), port) as url:
            yield url
