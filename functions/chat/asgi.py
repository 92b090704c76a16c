"""The web application: one worker thread carries a call from its credential to its last byte.

That thread owns the answer's generator, so the request is settled in it, before the last byte goes out (Lambda freezes
afterwards). The event loop only passes bytes on, keeps idle streams alive and notices when the client leaves.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from chat.outlet import Outlet, Receive, Scope, Send
from chat.routes import ROUTES, answered, asker_of, run_of, site_asked, wire_of
from noren.chat.models import Meta
from noren.chat.service import CLOSING_SECONDS
from noren.edge.dispatch import RouteTable, authorise, dispatch, flush, identify, read_call, refuse, render
from noren.edge.http import Call, Caller, Request, Route
from noren.edge.log import log_call
from noren.edge.respond import edge_headers, told
from noren.edge.strict_json import MAX_BODY
from noren.edge.trace import trace_id_of
from noren.errors import NorenError

if TYPE_CHECKING:
    from noren.wiring import Services

THREADS = 256
"""Calls that run at once in one process; more wait."""

TABLE = RouteTable(ROUTES, unaudited=True)
"""What is changed here are conversations, which usage records tell of."""
LONG_BODIES = {route.path: route.max_body for route in ROUTES if route.max_body > MAX_BODY}
"""Bytes that the bodies of some paths may have."""

_log = logging.getLogger("noren.chat")


class Application:
    """The ASGI callable: every path, and the server's start and end.

    It speaks ASGI itself: a framework's middlewares and routing around one callable cost a tenth of a chat's CPU.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._threads = ThreadPoolExecutor(THREADS, "chat")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request, or the server's lifespan."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        body = await _body(receive, LONG_BODIES.get(scope["path"], MAX_BODY))
        if body is None:
            return
        request = _request(scope, body, self._services)
        deadline = self._deadline(request)
        outlet = Outlet(deadline - CLOSING_SECONDS, self._services.clock)
        worker = asyncio.get_running_loop().run_in_executor(self._threads, self._work, request, outlet, deadline)
        watcher = asyncio.create_task(_watch(receive, outlet))
        try:
            await outlet.pass_on(send)
        finally:
            outlet.leave()
            watcher.cancel()
            await asyncio.wait([worker])

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        """Make what every call needs before the first comes (a snapshot then has it); a missing secret shows here."""
        while True:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await send({"type": "lifespan.shutdown.complete"})
                return
            try:
                _ = self._services.authenticator, self._services.chats, self._services.security
                _ = self._services.error_log
            except Exception as error:
                await send({"type": "lifespan.startup.failed", "message": type(error).__name__})
                raise
            await send({"type": "lifespan.startup.complete"})

    def _work(self, request: Request, outlet: Outlet, deadline: float) -> None:
        try:
            self._serve(request, outlet, deadline)
        except BaseException:
            _log.exception("a call ended without an answer")
        finally:
            outlet.end()

    def _deadline(self, request: Request) -> float:
        """When this process is stopped: what Lambda says, at most the time that a chat may take."""
        services = self._services
        latest = services.clock() + float(services.settings.chat_seconds)
        told = _json_header(request.headers, "x-amzn-lambda-context").get("deadline")
        return min(latest, told / 1000) if isinstance(told, int) else latest

    def _serve(self, request: Request, outlet: Outlet, deadline: float) -> None:
        """The worker's whole way of one call. Always answers."""
        try:
            route, params = TABLE.match(request.method, request.path)
        except NorenError:
            route, params = None, {}
        if route is None or not route.streams:
            outlet.respond(dispatch(TABLE, request, self._services))
            return
        self._serve_chat(route, params, request, outlet, deadline)

    def _serve_chat(
        self, route: Route, params: dict[str, str], request: Request, outlet: Outlet, deadline: float
    ) -> None:
        started = time.monotonic()
        caller: Caller | None = None
        call: Call | None = None
        outcome, status = "", 200
        try:
            caller = identify(route, request, self._services)
            authorise(route.access, caller)
            call = read_call(route, params, request, self._services, caller)
            if call.body.stream:
                self._stream(call, route, outlet, deadline)
            else:
                answer = answered(call, run_of(call, route, deadline, outlet.gone.is_set))
                outlet.respond(render(route, answer, request, self._services))
        except _Broken as broken:
            outcome = broken.code
        except Exception as error:
            response = refuse(error, route, request, self._services, caller, site_asked(call) if call else "")
            status = response.status
            outlet.respond(response)
        log_call(request, route, caller, status, started, outcome=outcome)
        flush(self._services)

    def _stream(self, call: Call, route: Route, outlet: Outlet, deadline: float) -> None:
        """Send the events as they come. What fails before the first byte raises as it is."""
        wire = wire_of(call)
        run = run_of(call, route, deadline, outlet.gone.is_set)
        events = self._services.chats.stream(asker_of(call), wire.ask, run)
        headers: dict[str, str] = {}
        held, begun = b"", False
        with closing(events):
            try:
                for event in events:
                    held += wire.frames(event)
                    if isinstance(event, Meta):
                        headers = self._stream_headers(call.request, route, event)
                        if wire.waits_for_text:
                            continue
                    if not begun:
                        outlet.start(200, headers)
                        begun = True
                    outlet.write(held)
                    held = b""
            except Exception as error:
                if not begun:
                    raise
                refused = refuse(error, route, call.request, self._services, call.caller, site_asked(call))
                outlet.write(wire.failure(refused.body))
                raise _Broken(error) from error

    def _stream_headers(self, request: Request, route: Route, meta: Meta) -> dict[str, str]:
        headers = edge_headers(request, route, self._services)
        headers |= {"content-type": "text/event-stream; charset=utf-8", "x-accel-buffering": "no"}
        return headers | ({"idempotency-replayed": "true"} if meta.replayed else {})


class _Broken(Exception):
    """A stream that failed after its first byte: told to the client, left to be logged."""

    def __init__(self, error: Exception) -> None:
        super().__init__(type(error).__name__)
        self.code = told(error).code


async def _watch(receive: Receive, outlet: Outlet) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    outlet.leave()


async def _body(receive: Receive, limit: int) -> bytes | None:
    """The body, read no further than what shows that it is too large; None where the client left before its end."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if len(body) > limit or not message.get("more_body", False):
            return bytes(body)


def _request(scope: Scope, body: bytes, services: Services) -> Request:
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    return Request(
        method=scope["method"],
        path=scope["raw_path"].decode("latin-1"),
        headers=headers,
        query=dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)),
        body=body,
        source_ip=_source_ip(scope, headers, services),
        trace_id=trace_id_of(headers),
    )


def _source_ip(scope: Scope, headers: Mapping[str, str], services: Services) -> str:
    """The client's address as API Gateway saw it (the adapter overwrites that header); locally the connection's."""
    if services.settings.stage != "local":
        identity = _json_header(headers, "x-amzn-request-context").get("identity")
        if isinstance(identity, dict):
            return str(identity.get("sourceIp", ""))
    client = scope.get("client")
    return str(client[0]) if client else ""


def _json_header(headers: Mapping[str, str], name: str) -> dict[str, Any]:
    try:
        value = json.loads(headers.get(name, "{}"))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
