"""The SDK without a network: its requests go straight into the world, so that thousands of flows run in memory.

stripe = in_process()                         # deterministic with a seed
customer = stripe.client.v1.customers.create({"email": "a@example.com"})
stripe.advance(86_400)
for event in stripe.world.take_events(): ...
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import stripe

from local.stripe import API_KEY
from local.stripe.api import Api, Request
from local.stripe.faults import Faults, Lost
from local.stripe.webhooks import body, signature
from local.stripe.world import Obj, World

WEBHOOK_SECRET = "whsec_noren_in_process"  # pragma: allowlist secret


class WorldClient(stripe.HTTPClient):
    """An HTTP client of the SDK that has no HTTP. Safe to share between threads: requests are taken one by one."""

    name = "in-process"

    def __init__(self, api: Api, faults: Faults) -> None:
        super().__init__()
        self._api = api
        self._faults = faults
        self._lock = threading.Lock()

    def request(
        self, method: str, url: str, headers: Mapping[str, str] | None, post_data: Any = None, **_: Any
    ) -> tuple[str, int, Mapping[str, str]]:
        """Answer at once. Raises stripe.APIConnectionError where a fault cuts the line."""
        parts = urlsplit(url)
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        request = Request(method.upper(), target, headers or {}, post_data or "")
        with self._lock:
            try:
                response = self._faults.through(self._api, request)
            except Lost as lost:
                raise _connection_error(str(lost)) from None
        return response.body, response.status, {name.lower(): value for name, value in response.headers.items()}

    def close(self) -> None:
        """Nothing to close."""


def _connection_error(message: str) -> Exception:
    error: Any = stripe.APIConnectionError
    made: Exception = error(message, should_retry=True)
    return made


@dataclass(slots=True)
class Clock:
    """A clock that only moves when it is told to."""

    seconds: float

    def __call__(self) -> float:
        return self.seconds


@dataclass(frozen=True, slots=True)
class InProcess:
    """A stand-in in memory and a client for it."""

    world: World
    api: Api
    faults: Faults
    client: stripe.StripeClient

    def advance(self, seconds: int) -> None:
        """Move time on; what falls due happens."""
        self.world.advance(seconds)

    def deliver(self) -> list[tuple[str, str]]:
        """The new events as a webhook would get them: bodies and `Stripe-Signature` headers, oldest first."""
        return [self.signed(event) for event in self.world.take_events()]

    def signed(self, event: Obj, secret: str = WEBHOOK_SECRET) -> tuple[str, str]:
        """One event's body and signature."""
        payload = body(event)
        return payload, signature(payload, secret, self.world.now())


def in_process(*, seed: int = 0, now: float | None = None, max_network_retries: int = 0) -> InProcess:
    """A fresh account. Without `now` it begins at the real time, and stands still until it is advanced."""
    clock = Clock(time.time() if now is None else now)
    world = World(clock, seed=seed)
    api, faults = Api(world, API_KEY), Faults()
    client = stripe.StripeClient(API_KEY, http_client=WorldClient(api, faults), max_network_retries=max_network_retries)
    return InProcess(world, api, faults, client)
