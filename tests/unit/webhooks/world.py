"""A tenant with webhooks: real tables, a clock that can be moved, real subscribers on 127.0.0.1."""

from __future__ import annotations

import itertools
import json
import math
import socket
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

from standardwebhooks.webhooks import Webhook

from noren.fetching.client import Fetcher
from noren.fetching.wire import Network
from noren.ids import TenantId, new_id
from noren.insight.models import Event
from noren.mail import WebhookReason
from noren.queues import Queue
from noren.ratelimit import Limiter
from noren.runtime.store import RuntimeStore
from noren.tables import from_item, to_item
from noren.vault import Vault
from noren.webhooks.delivery_store import MOST_WAITING, DeliveryStore
from noren.webhooks.fanout import Fanout
from noren.webhooks.models import Delivery, Endpoint
from noren.webhooks.sender import Sender
from noren.webhooks.service import Webhooks
from noren.webhooks.store import EndpointStore

NOW = 1_795_000_000.0
HOUR, DAY = 3600.0, 86400.0


@dataclass
class Got:
    """One request as a subscriber saw it."""

    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def timestamp(self) -> int:
        return int(self.headers["webhook-timestamp"])

    @property
    def data(self) -> dict[str, Any]:
        whole: dict[str, Any] = json.loads(self.body)
        return whole

    def is_signed_by(self, secret: str) -> bool:
        """By the reference library, at the time that the headers claim."""
        at = datetime.fromtimestamp(self.timestamp, UTC)
        return Webhook(secret).sign(self.id, at, self.body.decode()) in self.headers["webhook-signature"].split()


class Subscriber:
    """A real HTTP server. `answer` says what comes of a request: a status, or 0 for a connection that breaks off."""

    def __init__(self, port: int = 0) -> None:
        self.got: list[Got] = []
        self.answer: Callable[[Got], int] = lambda _: 200
        subscriber = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                got = Got({name.lower(): value for name, value in self.headers.items()}, body)
                status = subscriber.answer(got)
                subscriber.got.append(got)
                if status == 0:
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                self.send_response(status)
                self.send_header("location", "http://127.0.0.1:1/")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}/hook"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Chest:
    """A vault in memory: opens what it has sealed, for whom it was sealed."""

    def __init__(self) -> None:
        self._held: dict[bytes, tuple[bytes, dict[str, str]]] = {}

    def seal(self, value: bytes, **whose: str) -> bytes:
        sealed = f"sealed {len(self._held)}".encode()
        self._held[sealed] = value, whose
        return sealed

    def open(self, sealed: bytes, **whose: str) -> bytes:
        value, bound = self._held[sealed]
        assert whose == bound
        return value


@dataclass
class Post:
    """A queue in memory: what is on it and from when. `dies` refuses everything."""

    clock: Callable[[], float]
    messages: deque[tuple[float, dict[str, Any]]] = field(default_factory=deque)
    dies: bool = False

    def send(self, message: dict[str, Any], *, delay: int = 0) -> None:
        if self.dies:
            raise OSError
        assert 0 <= delay <= 900
        self.messages.append((self.clock() + delay, message))

    def due(self) -> list[dict[str, Any]]:
        """Take what may be seen now."""
        now = self.clock()
        taken = [message for at, message in self.messages if at <= now]
        self.messages = deque((at, message) for at, message in self.messages if at > now)
        return taken


_TENANTS = itertools.count(1)


class World:
    """One tenant. Deliveries go through the very parts that the functions use."""

    def __init__(self, client: Any) -> None:
        self.now = NOW
        self.tenant_id = TenantId(f"ten_{next(_TENANTS):032x}")
        self.client = client
        self.post = Post(self.clock)
        self.told: list[tuple[str, str, str]] = []
        self.subscribers: list[Subscriber] = []
        self.allow: set[tuple[str, int]] = set()
        self.vault = Chest()
        self.network = Network()
        self.most_waiting = MOST_WAITING
        self._webhook_ids: list[str] = []

    def clock(self) -> float:
        return self.now

    @property
    def endpoints(self) -> EndpointStore:
        return EndpointStore(self.client, "webhooks")

    @property
    def deliveries(self) -> DeliveryStore:
        return DeliveryStore(self.client, "webhooks", self.most_waiting)

    @property
    def fanout(self) -> Fanout:
        return Fanout(self.endpoints, self.deliveries, cast(Queue, self.post))

    @property
    def fetcher(self) -> Fetcher:
        return Fetcher(allow=frozenset(self.allow), network=self.network)

    @property
    def webhooks(self) -> Webhooks:
        parts = self.fanout, self.fetcher, cast(Vault, self.vault)
        return Webhooks(self.endpoints, self.deliveries, *parts, self.clock)

    @property
    def sender(self) -> Sender:
        def told(_: TenantId, host: str, reason: WebhookReason, key: str) -> None:
            self.told.append((host, reason, key))

        limiter = Limiter(RuntimeStore(self.client, "runtime"), self.clock)
        parts = self.fanout, self.fetcher, cast(Vault, self.vault), limiter
        return Sender(self.endpoints, self.deliveries, *parts, told, self.clock, lambda: 0.5)

    def subscriber(self) -> Subscriber:
        made = Subscriber()
        self.subscribers.append(made)
        self.allow.add(("127.0.0.1", made.port))
        return made

    def subscribe(self, *types: str, url: str = "") -> tuple[Endpoint, str, Subscriber]:
        """An endpoint of those types (all that tests use if none), its secret, and who listens there."""
        listening = self.subscriber()
        given = {
            "callback_url": url or listening.url,
            "event_types": types or ("limit_near", "limit_reached", "feedback"),
        }
        endpoint, secret = self.webhooks.create(self.tenant_id, given, "user:owner")
        self._webhook_ids.append(endpoint.webhook_id)
        return endpoint, secret, listening

    def event(self, key: str = "chats#2026-11", kind: str = "limit_near", **data: Any) -> Event:
        """Something happens now; a moment passes."""
        event = Event(new_id("evt", self.now), self.tenant_id, kind, key, {"used": 8} | data, self.now)
        self.now += 0.01
        return event

    def happen(self, *keys: str, kind: str = "limit_near") -> list[Event]:
        """Events, and what the function on the stream makes of them."""
        events = [self.event(key, kind) for key in keys]
        for each in events:
            self.fanout.hint(self.fanout.spread(each, self.now))
        return events

    def settle(self) -> None:
        """Work off what is on the queue, and what that puts there for now."""
        while messages := self.post.due():
            for each in messages:
                if each["tenant_id"] == self.tenant_id:  # a sweep finds other tests' tenants too
                    self.sender.work(self.tenant_id, each["webhook_id"])

    def pass_time(self, seconds: float) -> None:
        """Let time go by as the product spends it: a sweep a minute, and what is on the queue.

        Jumps to when something is due; of the sweep's shards only those of this tenant are looked at.
        """
        until = self.now + seconds
        while True:
            self.settle()
            sweeps = [60 * math.ceil(at / 60) for at in self._due()]
            following = min([*sweeps, *(at for at, _ in self.post.messages)], default=math.inf)
            if following > until:
                self.now = until
                return
            self.now = max(self.now, following)
            for shard in {int(each[-1], 16) for each in self._webhook_ids}:
                self.fanout.hint(self.deliveries.due(shard, self.now))

    def _due(self) -> list[float]:
        """When each of the tenant's lanes is due."""
        times = []
        for each in self._webhook_ids:
            key = to_item({"pk": f"DUE#{each[-1]}", "sk": f"{self.tenant_id}#{each}"})
            item = self.client.get_item(TableName="webhooks", Key=key, ConsistentRead=True).get("Item")
            if item:
                lane = from_item(item)
                times.append(max(lane["due_at"], lane.get("busy_until", 0), self.now))
        return times

    def log(self, endpoint: Endpoint) -> list[Delivery]:
        """An endpoint's deliveries, oldest first."""
        return self.deliveries.page(self.tenant_id, endpoint.webhook_id, 100, None)[0][::-1]

    def close(self) -> None:
        for each in self.subscribers:
            each.close()
