"""The stand-in in its own process with somebody who takes its webhooks, and one in memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
import stripe

from local import emulator
from local import stripe as stand_in
from local.stripe.inprocess import InProcess, in_process

SECRET = "whsec_of_the_contract_tests"  # pragma: allowlist secret
START = 1_800_000_000


@dataclass
class Receiver:
    """A webhook: keeps what it is sent, and answers as it is told."""

    status: int = 200
    got: list[tuple[str, str]] = field(default_factory=list)

    def events(self) -> list[Any]:
        """What came, with its signature verified by the SDK."""
        return [stripe.Webhook.construct_event(body, signature, SECRET) for body, signature in list(self.got)]

    def types(self) -> list[str]:
        return [each.type for each in self.events()]


@dataclass(frozen=True)
class Server:
    """The server's address, a client for it, and what a test asks of it."""

    url: str
    client: stripe.StripeClient
    receiver: Receiver

    @property
    def v1(self) -> Any:
        return self.client.v1

    def control(self, name: str, **given: Any) -> Any:
        answer = requests.post(f"{self.url}/_control/{name}", json=given, timeout=10)
        assert answer.ok, answer.text
        return answer.json()

    def stats(self) -> Any:
        return requests.get(f"{self.url}/_stats", timeout=5).json()

    def settled(self) -> None:
        """Wait until nothing is left to be delivered."""
        until(lambda: not self.stats()["deliveries"]["waiting"])


def until(holds: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.02)


@pytest.fixture(scope="session")
def received() -> Iterator[tuple[str, Receiver]]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            receiver.got.append((body, self.headers["Stripe-Signature"]))
            self.send_response(receiver.status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/webhook/stripe", receiver
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="session")
def served(received: tuple[str, Receiver], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    port = emulator.free_port()
    log = Path(tmp_path_factory.mktemp("stripe")) / "stripe.log"
    process = stand_in.start(port, log=log, webhook_url=received[0], webhook_secret=SECRET)
    url = f"http://127.0.0.1:{port}"
    http: Any = stripe.RequestsClient(timeout=10)
    client = stripe.StripeClient(stand_in.API_KEY, base_addresses={"api": url}, http_client=http, max_network_retries=0)
    yield Server(url, client, received[1])
    http.close()
    emulator.stop(process)


@pytest.fixture
def server(served: Server) -> Server:
    """An account as new, and a webhook that takes everything."""
    served.control("webhooks", pause=True)
    served.control("reset")
    served.receiver.status = 200
    served.receiver.got.clear()
    return served


@pytest.fixture
def account() -> InProcess:
    """An account in memory; its clock stands still."""
    return in_process(now=START)


def customer_with_card(v1: Any, card: str = "pm_card_visa") -> Any:
    """A customer whose default is that card."""
    customer = v1.customers.create({"email": "tanaka@example.jp"})
    method = v1.payment_methods.attach(card, {"customer": customer.id})
    return v1.customers.update(customer.id, {"invoice_settings": {"default_payment_method": method.id}})


def price(v1: Any, amount: int = 7800, **more: Any) -> Any:
    """A monthly price."""
    product = v1.products.create({"name": f"Plan {amount}"})
    return v1.prices.create(
        {
            "product": product.id,
            "unit_amount": amount,
            "currency": "jpy",
            "recurring": {"interval": "month"},
            **more,
        }
    )


def line(amount: int = 5000) -> dict[str, Any]:
    """A line of a Checkout Session."""
    return {
        "price_data": {"currency": "jpy", "unit_amount": amount, "product_data": {"name": "Credits"}},
        "quantity": 1,
    }


def types(account: InProcess) -> list[str]:
    """The types of the events since the last look."""
    return [event["type"] for event in account.world.take_events()]
