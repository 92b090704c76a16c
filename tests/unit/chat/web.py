"""The chat function's application under a real uvicorn on the loopback, and a client that sees bytes as they come."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import requests
import uvicorn

from chat.asgi import Application
from noren.edge.authenticate import Authenticator, issue_device
from noren.edge.http import Caller, Request
from noren.settings import Settings
from noren.sites.models import Site
from noren.tenants.models import Role
from noren.wiring import Services
from tests.unit.chat.rig import Container, Rig


class Doors:
    """Stands for the authenticator: tokens that the test has handed out. It reads those itself that we have signed."""

    def __init__(self, rig: Rig, services: Services) -> None:
        parts = cast("Any", rig.registry), cast("Any", None), services.signer, services.visitors
        self._signed = Authenticator(services.settings, *parts, rig.clock)
        self.other = rig.add_tenant()
        self.callers = {
            "mika": Caller("member", rig.tenant.tenant_id, user_id="mika", role=Role.VIEWER),
            "colleague": Caller("member", rig.tenant.tenant_id, user_id="colleague", role=Role.OWNER),
            "stranger": Caller("member", self.other.tenant_id, user_id="stranger", role=Role.OWNER),
            "key": Caller("api_key", rig.tenant.tenant_id, key_id="k1", scopes=frozenset({"chat"})),
            "editor": Caller("member", rig.tenant.tenant_id, user_id="emi", role=Role.EDITOR),
            "reader": Caller("api_key", rig.tenant.tenant_id, key_id="k2", scopes=frozenset({"read"})),
        }

    def authenticate(self, request: Request) -> Caller:
        """Meets `Authenticator.authenticate`."""
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not token:
            return Caller("public")
        if token in self.callers:
            return self.callers[token]
        return self._signed.authenticate(request)


class Counts:
    """Stands for the security events."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()

    def count(self, reason: str, actor: str) -> None:
        """Meets `SecurityEvents.count`."""
        self.seen[reason] += 1

    note = count

    def flush(self) -> None:
        """Meets `SecurityEvents.flush`."""


class Notes:
    """Stands for the error log."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, int, str, str, str]] = []

    def note(self, tenant_id: str, site_id: str, status: int, code: str, message: str, trace_id: str) -> None:
        """Meets `ErrorLog.note`."""
        self.seen.append((tenant_id, site_id, status, code, message, trace_id))

    def flush(self) -> None:
        """Meets `ErrorLog.flush`."""


class FixedSecrets:
    """Stands for Secrets Manager."""

    def signing_secret(self) -> str:
        """Meets `Secrets.signing_secret`."""
        return "0123456789abcdef0123456789abcdef"


class Web:
    """A running application and a client of it."""

    def __init__(self, rig: Rig, services: Services, base: str) -> None:
        self.rig, self.services, self.base = rig, services, base
        self.session = requests.Session()
        self.session.trust_env = False

    def call(self, method: str, path: str, body: Any = None, token: str = "mika", **options: Any) -> requests.Response:
        """One request; `body` is JSON unless it is bytes."""
        headers = {"authorization": f"Bearer {token}"} if token else {}
        headers |= options.pop("headers", {})
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        return self.session.request(method, self.base + path, data=data, headers=headers, timeout=60, **options)

    def device(self) -> str:
        """A device token."""
        return issue_device(self.services.signer)

    def visit(self, site: Site, origin: str, old: str = "") -> Visit:
        """A visitor of the site on a page of that origin."""
        body = {"embed_id": site.embed_script_id} | ({"token": old} if old else {})
        headers = {"origin": origin} if origin else {}
        made = self.call("POST", f"/api/v1/embed/visitor?site_key={site.site_key}", body, token="", headers=headers)
        assert made.status_code == 201, made.text
        return Visit(self, site.site_key, origin, made.json()["token"])


@dataclass
class Visit:
    """What a page's widget sends."""

    web: Web
    site_key: str
    origin: str
    token: str

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> requests.Response:
        """One request with the visitor's token and the page's origin."""
        where = f"{path}{'&' if '?' in path else '?'}site_key={self.site_key}"
        options["headers"] = {"origin": self.origin} | options.get("headers", {}) if self.origin else {}
        return self.web.call(method, where, body, self.token, **options)


def events_of(response: requests.Response) -> Iterator[tuple[str, Any]]:
    """(event, data) of a stream of ours; (`:`, comment) for comments."""
    name = ""
    for line in response.iter_lines(chunk_size=1, decode_unicode=True):
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))
        elif line.startswith(":"):
            yield ":", line


@contextmanager
def served(rig: Rig, chat_seconds: str = "120", process: Container | None = None) -> Iterator[Web]:
    """The application over the rig's services, or over those of another process beside it."""
    process = process or rig
    settings = Settings(stage="local", console_url="https://console.example", chat_seconds=chat_seconds)
    services = Services(settings, rig.clock)
    parts = services.__dict__
    parts |= {"secrets": FixedSecrets(), "security": Counts(), "chats": process.chats}
    parts |= {"canned": process.canned, "feedback": process.feedback, "sessions": process.sessions}
    parts |= {"embeddings": process.embeddings, "idempotency": process.idempotency, "research": process.research}
    parts |= {"limiter": process.limiter, "usage": process.usage, "error_log": Notes()}
    parts |= {"tenants": rig.registry, "plans": rig.catalogue, "sites": process.sites}
    parts["authenticator"] = Doors(rig, services)
    config = uvicorn.Config(Application(services), host="127.0.0.1", port=0, log_level="warning", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield Web(rig, services, f"http://127.0.0.1:{port}")
    finally:
        server.should_exit = True
        thread.join(60)
        assert not thread.is_alive(), "a call is held open though its client has left"
