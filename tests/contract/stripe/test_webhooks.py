"""Events are signed, delivered until somebody takes them, and can go wrong in every way that Stripe's do."""

from __future__ import annotations

import json

import pytest
import stripe

from tests.contract.stripe.conftest import SECRET, Server, until


def customers(server: Server, count: int) -> list[str]:
    return [server.v1.customers.create({"name": str(number)}).id for number in range(count)]


def test_an_event_is_signed_as_the_sdk_verifies(server: Server) -> None:
    (made,) = customers(server, 1)
    server.settled()
    (body, signature), (event,) = server.receiver.got[0], server.receiver.events()
    assert (event.type, event.data.object.id, event.pending_webhooks) == ("customer.created", made, 1)
    assert json.loads(body).keys() == {
        *("id", "object", "api_version", "created", "data", "livemode", "pending_webhooks", "request", "type")
    }
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(body.replace(made, "cus_forged"), signature, SECRET)
    assert server.v1.events.retrieve(event.id).pending_webhooks == 0


def test_it_is_tried_again_until_somebody_takes_it(server: Server) -> None:
    server.receiver.status = 404
    customers(server, 1)
    until(lambda: len(server.receiver.got) >= 2)
    server.receiver.status = 200
    server.control("webhooks", retry=True)
    server.settled()
    assert {each.id for each in server.receiver.events()} == {server.receiver.events()[0].id}
    outcomes = server.stats()["deliveries"]["outcomes"]
    assert outcomes["404"] >= 2
    assert outcomes["200"] == 1


def test_pause_and_resume(server: Server) -> None:
    server.control("webhooks", pause=True)
    customers(server, 2)
    assert server.stats()["deliveries"]["waiting"] == 2
    assert not server.receiver.got
    server.control("webhooks", resume=True)
    server.settled()
    assert server.receiver.types() == ["customer.created"] * 2


def test_duplicates_lost_and_late_ones(server: Server) -> None:
    server.control("webhooks", duplicate=1)
    first = customers(server, 2)
    server.settled()
    assert sorted(each.data.object.id for each in server.receiver.events()) == sorted([first[0], *first])
    server.receiver.got.clear()
    server.control("webhooks", drop=1)
    dropped, kept = customers(server, 2)
    server.settled()
    assert [each.data.object.id for each in server.receiver.events()] == [kept]
    assert dropped in {each.data.object.id for each in server.v1.events.list().data}
    server.receiver.got.clear()
    server.control("webhooks", delay=0.6)
    customers(server, 1)
    assert not server.receiver.got
    server.settled()
    assert len(server.receiver.got) == 1


def test_out_of_order(server: Server) -> None:
    server.control("webhooks", reorder=3)
    made = customers(server, 3)
    server.settled()
    # Several are under way at once, so that only the start of each is in order.
    assert {each.data.object.id for each in server.receiver.events()} == set(made)
    started = [entry["event"] for entry in server.stats()["deliveries"]["log"]]
    assert len(started) == 3
