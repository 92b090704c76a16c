"""Stripe's webhook: only what Stripe has signed for this mode is taken, each event once, and nothing is lost."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from noren.billing.inbox import HANDLED, Inbox
from noren.billing.order_store import OrderStore
from noren.errors import BadRequest
from noren.queues import Queue
from tests.faults import FAULTS, Crash, Fault, Faulty, emulator_client, make_table

SECRET = "whsec_of_this_test_alone"


@dataclass
class Post:
    """A queue that may fail."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    fails: str = ""

    def send(self, message: dict[str, Any]) -> None:
        fails, self.fails = self.fails, ""
        if fails == "before":
            raise OSError
        self.messages.append(message)
        if fails == "after":
            raise OSError


@dataclass
class Rig:
    client: Any
    post: Post = field(default_factory=Post)
    live: bool = False

    def inbox(self, secret: str = SECRET, client: Any = None) -> Inbox:
        store = OrderStore(client or self.client, "billing")
        return Inbox(secret, lambda: self.live, store, cast(Queue, self.post), time.time)


@pytest.fixture
def rig(aws: str) -> Rig:
    client = emulator_client()
    make_table(client, "billing")
    return Rig(client)


def event(**changes: Any) -> dict[str, Any]:
    thing = {"id": "pi_1", "object": "payment_intent", "customer": "cus_1", "amount": 1}
    values = {"id": "evt_1", "object": "event", "type": "payment_intent.succeeded", "livemode": False}
    return values | {"data": {"object": thing}} | changes


def signed(body: bytes, *, secret: str = SECRET, at: float | None = None) -> str:
    stamp = int(time.time() if at is None else at)
    mac = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={stamp},v1={mac}"


def take(rig: Rig, given: dict[str, Any]) -> str:
    body = json.dumps(given).encode()
    return rig.inbox().take(body, signed(body))


def test_an_event_is_queued_by_its_ids_alone(rig: Rig) -> None:
    assert take(rig, event()) == "queued"
    refs = {"id": "pi_1", "object": "payment_intent", "customer": "cus_1"}
    assert rig.post.messages == [{"event": "evt_1", "type": "payment_intent.succeeded", "refs": refs}]


def test_a_replay_is_known_and_queued_no_second_time(rig: Rig) -> None:
    assert [take(rig, event()) for _ in range(5)] == ["queued", *["known"] * 4]
    assert len(rig.post.messages) == 1


def test_many_deliveries_at_once_are_worked_off_by_whoever_comes(rig: Rig) -> None:
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda _: take(rig, event()), range(8)))
    assert outcomes.count("queued") >= 1
    assert len(rig.post.messages) == outcomes.count("queued")
    assert take(rig, event()) == "known"


@pytest.mark.parametrize("secret", ["", " ", "\n"])
def test_without_a_secret_it_does_not_start(rig: Rig, secret: str) -> None:
    with pytest.raises(RuntimeError, match="webhook secret"):
        rig.inbox(secret)


GOOD = json.dumps(event()).encode()


@pytest.mark.parametrize("signature", ["", "v1=abc", "t=abc,v1=abc", "nonsense"])
def test_what_stripe_has_not_signed_is_refused(rig: Rig, signature: str) -> None:
    with pytest.raises(BadRequest):
        rig.inbox().take(GOOD, signature)
    assert rig.post.messages == []


@pytest.mark.parametrize(
    ("body", "signed_body", "secret"),
    [
        (GOOD, GOOD, "whsec_wrong"),
        (GOOD, GOOD, ""),
        (json.dumps(event(), indent=1).encode(), GOOD, SECRET),
        (json.dumps(event(), sort_keys=True).encode(), GOOD, SECRET),
        (GOOD + b" ", GOOD, SECRET),
        *((body, body, SECRET) for body in (b"\xff\xfe", b"[]", b"{}", b"not json")),
    ],
)
def test_what_stripe_has_signed_otherwise_or_is_no_event_is_refused(
    rig: Rig, body: bytes, signed_body: bytes, secret: str
) -> None:
    with pytest.raises(BadRequest):
        rig.inbox().take(body, signed(signed_body, secret=secret))
    assert rig.post.messages == []


@pytest.mark.parametrize("seconds", [-305, -86_400, 305, 86_400])
def test_a_signature_of_another_time_is_refused(rig: Rig, seconds: int) -> None:
    with pytest.raises(BadRequest):
        rig.inbox().take(GOOD, signed(GOOD, at=time.time() + seconds))
    assert rig.post.messages == []


@pytest.mark.parametrize("livemode", [True, None, "false", 0])
def test_an_event_of_the_other_mode_is_refused(rig: Rig, livemode: Any) -> None:
    with pytest.raises(BadRequest) as refused:
        take(rig, event(livemode=livemode))
    assert refused.value.code == "wrong_mode"
    rig.live = True
    with pytest.raises(BadRequest):
        take(rig, event(livemode=False))
    assert rig.post.messages == []


def test_unknown_types_are_acknowledged_and_passed_over(rig: Rig) -> None:
    assert take(rig, event(type="account.updated")) == "ignored"
    assert rig.post.messages == []
    assert len(HANDLED) == 24


def test_ids_of_expanded_objects_are_found(rig: Rig) -> None:
    thing = {"id": "ch_1", "object": "charge", "payment_intent": {"id": "pi_9", "object": "payment_intent"}}
    take(rig, event(type="charge.refunded", data={"object": thing}))
    assert rig.post.messages[0]["refs"]["payment_intent"] == "pi_9"


@pytest.mark.parametrize("fails", ["before", "after"])
def test_a_queue_that_fails_leaves_the_event_to_its_repetition(rig: Rig, fails: str) -> None:
    rig.post.fails = fails
    with pytest.raises(OSError):
        take(rig, event())
    assert take(rig, event()) == "queued"
    assert len(rig.post.messages) >= 1
    assert take(rig, event()) == "known"


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_death_or_a_fault_at_each_storage_call_loses_nothing(rig: Rig, number: int, fault: Fault) -> None:
    process = Faulty(rig.client)
    process.plan = {number: fault}
    body = json.dumps(event()).encode()
    with suppress(Crash, Exception):  # Stripe sends it again
        rig.inbox(client=process).take(body, signed(body))
    process.deliver()
    take(rig, event())
    assert len(rig.post.messages) >= 1
    assert take(rig, event()) == "known"
