"""Webhooks as owners manage them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from noren.errors import Conflict, NotFound
from noren.fetching.errors import FetchFailed
from noren.ids import TenantId, new_id
from noren.webhooks.service import MOST
from tests.unit.fetching.net import Net
from tests.unit.webhooks.world import World

HOOK: dict[str, Any] = {"callback_url": "https://shop.example/hook", "event_types": ("feedback",)}


@pytest.fixture
def net(world: World) -> Net:
    """Names of others, of whom nobody listens."""
    made = Net()
    made.names |= {"shop.example": [["93.184.216.34"]], "inner.example": [["10.0.0.1"]]}
    world.network = made
    return made


def test_ten_are_the_most_even_in_a_race(world: World, net: Net) -> None:
    def create(_: int) -> bool:
        try:
            world.webhooks.create(world.tenant_id, HOOK, "user:a")
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(create, range(MOST + 4)))
    assert made.count(True) <= MOST
    while len(world.webhooks.every(world.tenant_id)) < MOST:  # a race may refuse one too many
        world.webhooks.create(world.tenant_id, HOOK, "user:a")
    with pytest.raises(Conflict, match="Delete one first"):
        world.webhooks.create(world.tenant_id, HOOK, "user:a")
    newest, *rest = world.webhooks.every(world.tenant_id)
    assert newest.webhook_id > max(each.webhook_id for each in rest)
    world.webhooks.delete(world.tenant_id, newest.webhook_id)
    with pytest.raises(NotFound):
        world.webhooks.delete(world.tenant_id, newest.webhook_id)
    world.webhooks.create(world.tenant_id, HOOK, "user:a")


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://shop.example/", "blocked_scheme"),
        ("https://127.0.0.1/", "unreachable"),
        ("https://inner.example/", "unreachable"),
        ("https://nowhere.example/", "unreachable"),
        ("https://shop.example:6379/", "blocked_port"),
        ("https://a:b@shop.example/", "invalid_url"),
        ("https://2130706433/", "invalid_url"),
    ],
)
def test_addresses_are_checked_when_they_are_saved(world: World, net: Net, url: str, code: str) -> None:
    endpoint, _ = world.webhooks.create(world.tenant_id, HOOK, "user:a")
    with pytest.raises(FetchFailed) as refused:
        world.webhooks.create(world.tenant_id, HOOK | {"callback_url": url}, "user:a")
    assert refused.value.code == code
    with pytest.raises(FetchFailed):
        world.webhooks.change(world.tenant_id, endpoint.webhook_id, {"callback_url": url}, "user:a")
    assert world.webhooks.every(world.tenant_id) == [endpoint]
    assert not net.connected


def test_nothing_of_another_tenant_is_found(world: World, net: Net) -> None:
    endpoint, _ = world.webhooks.create(world.tenant_id, HOOK, "user:a")
    other = TenantId(new_id("ten"))
    hooks = world.webhooks
    for call in (
        lambda: hooks.get(other, endpoint.webhook_id),
        lambda: hooks.change(other, endpoint.webhook_id, {"enabled": False}, "user:b"),
        lambda: hooks.delete(other, endpoint.webhook_id),
        lambda: hooks.renew_secret(other, endpoint.webhook_id, "user:b"),
        lambda: hooks.send_test(other, endpoint.webhook_id),
        lambda: hooks.deliveries(other, endpoint.webhook_id, 10, None),
        lambda: hooks.replay(other, endpoint.webhook_id, new_id("dlv")),
        lambda: hooks.get(world.tenant_id, "COUNT"),
    ):
        with pytest.raises(NotFound):
            call()
    assert hooks.every(other) == []


def test_two_who_change_it_at_once_are_told_apart(world: World, net: Net) -> None:
    endpoint, _ = world.webhooks.create(world.tenant_id, HOOK, "user:a")
    changed = world.webhooks.change(world.tenant_id, endpoint.webhook_id, {"description": "orders"}, "user:b")
    assert (changed.version, changed.updated_by, changed.created_by) == (2, "user:b", "user:a")
    assert not world.endpoints.save(replace(endpoint, version=2, description="late"))
    assert world.webhooks.get(world.tenant_id, endpoint.webhook_id).description == "orders"


def test_a_test_event_goes_the_way_that_all_go(world: World) -> None:
    endpoint, secret, subscriber = world.subscribe("credits_low")
    other, _, silent = world.subscribe("credits_low")
    sent = world.webhooks.send_test(world.tenant_id, endpoint.webhook_id)
    world.settle()
    (got,) = subscriber.got
    assert got.is_signed_by(secret)
    assert got.data["type"] == "test"
    assert got.data["data"] == {
        "webhook_id": endpoint.webhook_id,
        "tenant_id": world.tenant_id,
        "kind": "test",
    }
    assert [each.delivery_id for each in world.log(endpoint)] == [sent.delivery_id]
    assert not silent.got
    world.webhooks.change(world.tenant_id, other.webhook_id, {"enabled": False}, "user:a")
    with pytest.raises(Conflict, match="Enable it first"):
        world.webhooks.send_test(world.tenant_id, other.webhook_id)


def test_a_replay_has_the_old_id_and_body_and_a_day_of_attempts(world: World) -> None:
    endpoint, _, subscriber = world.subscribe()
    world.happen("a")
    world.settle()
    (done,) = world.log(endpoint)
    subscriber.answer = lambda _: 500
    anew = world.webhooks.replay(world.tenant_id, endpoint.webhook_id, done.delivery_id)
    assert (anew.status, anew.attempts, anew.delivery_id) == ("pending", 0, done.delivery_id)
    with pytest.raises(Conflict, match="already"):
        world.webhooks.replay(world.tenant_id, endpoint.webhook_id, done.delivery_id)
    world.settle()
    world.now += 2 * 86400
    world.pass_time(60)
    (failed,) = world.log(endpoint)
    assert (failed.status, failed.attempts) == ("failed", 2)
    first, second, third = subscriber.got
    assert first.id == second.id == third.id
    assert first.body == second.body == third.body
    with pytest.raises(NotFound):
        world.webhooks.replay(world.tenant_id, endpoint.webhook_id, new_id("dlv"))


def test_the_log_is_paged_newest_first(world: World) -> None:
    endpoint, _, _ = world.subscribe()
    events = world.happen(*"abcde")
    seen, position = [], None
    while True:
        page, position = world.webhooks.deliveries(world.tenant_id, endpoint.webhook_id, 2, position)
        seen += [each.event_id for each in page]
        if position is None:
            break
    assert seen == [each.event_id for each in reversed(events)]
