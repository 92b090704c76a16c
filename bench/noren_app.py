"""The chat function as `chat.main` makes it, with storage metered: `GET /_bench` tells what it has taken."""

from __future__ import annotations

import json

from bench.storage import MeteredServices
from chat.asgi import Application
from chat.outlet import Receive, Scope, Send
from noren.edge import log
from noren.settings import Settings

log.configure("local")
_services = MeteredServices(Settings.from_env())
_chat = Application(_services)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """The ASGI callable."""
    if scope.get("path") != "/_bench":
        await _chat(scope, receive, send)
        return
    meter = _services.meter
    body = json.dumps({"calls": meter.calls, "cpu": meter.cpu, "wall": meter.wall}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})
