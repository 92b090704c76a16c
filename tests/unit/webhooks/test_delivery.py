"""Deliveries: each event to each endpoint, in order, under one id, whatever fails in between."""

from __future__ import annotations

import json
from collections import deque
from contextlib import suppress
from typing import Any

import pytest

from noren.ids import TenantId, new_id
from noren.ratelimit import Limiter
from noren.runtime.store import RuntimeStore
from noren.webhooks.models import EVENT_TYPES, TYPE_OF
from noren.webhooks.sender import AT_ONCE
from tests.faults import FAULTS, Crash, Fault, Faulty
from tests.unit.webhooks.world import DAY, HOUR, NOW, Got, World


def test_a_subscriber_gets_what_it_subscribed_to(world: World) -> None:
    endpoint, secret, subscriber = world.subscribe("limit_near", "limit_reached")
    site = new_id("site")
    (near,) = world.happen("chats#2026-11")
    (day,) = world.happen(f"{site}#2026-11-20", kind="site_limit_reached")
    world.happen("x", kind="feedback")
    world.happen("ord_1", kind="purchase_failed")  # is told by mail alone
    world.settle()
    assert [got.id for got in subscriber.got] == [near.event_id, day.event_id]
    first = subscriber.got[0]
    assert first.is_signed_by(secret)
    assert first.timestamp == int(world.now)
    assert first.headers["content-type"] == "application/json; charset=utf-8"
    assert first.data == {
        "type": "limit_near",
        "id": near.event_id,
        "timestamp": "2026-11-18T05:20:00Z"[:10] + first.data["timestamp"][10:],
        "trace_id": near.event_id.partition("_")[2],
        "data": {"used": 8, "tenant_id": world.tenant_id, "kind": "limit_near"},
    }
    assert subscriber.got[1].data["type"] == "limit_reached"
    (one, two) = world.log(endpoint)
    assert {one.status, two.status} == {"delivered"}
    assert (one.attempts, one.last_status, one.last_error) == (1, 200, "")


def test_the_site_and_the_trace_of_an_event_are_named(world: World) -> None:
    _, _, subscriber = world.subscribe("limit_reached", "feedback")
    site = new_id("site")
    for event in (
        world.event(kind="site_limit_reached", what=site),
        world.event(kind="feedback", site_id=site, trace_id="t" * 32, comment="</script>\u2028「良い」"),
    ):
        world.fanout.hint(world.fanout.spread(event, world.now))
    world.settle()
    one, two = (got.data for got in subscriber.got)
    assert one["data"]["site_id"] == two["data"]["site_id"] == site
    assert two["trace_id"] == "t" * 32
    assert "trace_id" not in two["data"]
    assert two["data"]["comment"] == "</script>\u2028「良い」"


def test_every_kind_that_is_sent_has_a_documented_type() -> None:
    assert set(TYPE_OF.values()) == set(EVENT_TYPES)
    assert "webhook_disabled" not in TYPE_OF  # it would be sent to what has just failed


# Each event once


def test_an_event_seen_often_is_one_delivery(world: World) -> None:
    endpoint, _, subscriber = world.subscribe()
    event = world.event()
    for _ in range(3):
        world.fanout.hint(world.fanout.spread(event, world.now))
    world.settle()
    world.fanout.hint(world.fanout.spread(event, world.now))  # long after
    world.settle()
    assert len(subscriber.got) == len(world.log(endpoint)) == 1


def test_each_endpoint_gets_its_own(world: World) -> None:
    _, first_secret, first = world.subscribe()
    _, second_secret, second = world.subscribe()
    first.answer = lambda _: 500
    (event,) = world.happen("chats")
    world.settle()
    assert [got.id for got in first.got] == [got.id for got in second.got] == [event.event_id]
    assert first.got[0].is_signed_by(first_secret)
    assert not first.got[0].is_signed_by(second_secret)


def test_messages_of_the_queue_are_only_hints(world: World) -> None:
    endpoint, _, subscriber = world.subscribe()
    world.post.dies = True
    world.happen("a", "b")
    assert not world.post.messages
    world.post.dies = False
    assert world.sender.sweep() >= 1  # lost ones are found
    world.settle()
    assert len(subscriber.got) == 2
    for _ in range(3):  # doubled, late and strange ones do nothing
        world.sender.work(world.tenant_id, endpoint.webhook_id)
    world.sender.work(world.tenant_id, new_id("whk"))
    world.sender.work(TenantId("ten_" + "f" * 32), endpoint.webhook_id)
    assert len(subscriber.got) == 2


def test_one_worker_at_a_time(world: World) -> None:
    endpoint, _, subscriber = world.subscribe()

    def another_one_comes(_: Got) -> int:
        world.sender.work(world.tenant_id, endpoint.webhook_id)
        return 200

    subscriber.answer = another_one_comes
    world.happen("a", "b")
    world.settle()
    assert len(subscriber.got) == 2


def test_what_happens_while_one_is_sent_is_not_left_lying(world: World) -> None:
    """Its message finds the lane taken and goes away: whoever has it must see what was added."""
    endpoint, _, subscriber = world.subscribe()
    others = [world.event(f"later{n}") for n in range(3)]

    def more(_: Got) -> int:
        if others:
            world.fanout.spread(others.pop(), world.now)
            world.sender.work(world.tenant_id, endpoint.webhook_id)
        return 200

    subscriber.answer = more
    world.happen("a")
    world.post.messages.rotate()
    world.settle()
    assert len(subscriber.got) == 4
    due = world.deliveries.due(int(endpoint.webhook_id[-1], 16), world.now + DAY)
    assert world.tenant_id not in {tenant_id for tenant_id, _ in due}


def test_more_than_is_looked_at_together_is_all_sent(world: World) -> None:
    _, _, subscriber = world.subscribe()
    world.most_waiting = 3
    events = world.happen(*(f"e{n}" for n in range(7)))
    world.post.messages = deque(list(world.post.messages)[:1])
    world.settle()
    assert [got.id for got in subscriber.got] == [each.event_id for each in events]


# Others' turn


def test_a_tenant_keeps_few_workers_busy_however_slow_its_subscribers_are(world: World) -> None:
    hooks = [world.subscribe() for _ in range(5)]
    at_once: list[int] = []

    def slow(_: Got) -> int:
        """While this one waits for its answer, the others' workers come."""
        at_once.append(at_once[-1] + 1 if at_once else 1)
        for endpoint, *_rest in hooks:
            world.sender.work(world.tenant_id, endpoint.webhook_id)
        at_once.append(at_once[-1] - 1)
        return 200

    for _, _, subscriber in hooks:
        subscriber.answer = slow
    events = world.happen("a", "b", "c")
    world.settle()
    assert max(at_once) == AT_ONCE
    for _, _, subscriber in hooks:
        assert [got.id for got in subscriber.got] == [each.event_id for each in events]


def test_who_is_sent_away_is_stood_in_for(world: World) -> None:
    """By those who are at work for the tenant, not only by the next sweep."""
    hooks = [world.subscribe() for _ in range(4)]
    world.happen("a")
    limiter = Limiter(RuntimeStore(world.client, "runtime"), world.clock)
    with limiter.few_at_a_time(f"webhooks#{world.tenant_id}", AT_ONCE - 1, 90):
        world.post.messages = deque(list(world.post.messages)[:1])
        world.settle()
    assert [len(subscriber.got) for _, _, subscriber in hooks] == [1] * 4


# Failures


@pytest.mark.parametrize("status", [0, 301, 302, 400, 401, 404, 429, 500, 503])
def test_what_is_not_taken_is_tried_again_under_the_same_id(world: World, status: int) -> None:
    endpoint, secret, subscriber = world.subscribe()
    subscriber.answer = lambda _: status
    (event,) = world.happen("chats")
    world.settle()
    (pending,) = world.log(endpoint)
    assert (pending.status, pending.attempts) == ("pending", 1)
    assert (pending.last_status, pending.last_error) == ((status, "bad_status") if status else (None, "bad_response"))
    assert world.now < pending.next_at < world.now + 10
    subscriber.answer = lambda _: 204
    world.pass_time(10)
    first, second = subscriber.got
    assert first.id == second.id == event.event_id
    assert first.body == second.body
    assert second.timestamp > first.timestamp
    assert second.is_signed_by(secret)
    assert world.log(endpoint)[0].status == "delivered"


def test_a_subscriber_that_is_down_for_an_hour_gets_everything_once_it_is_back(world: World) -> None:
    endpoint, secret, subscriber = world.subscribe()
    subscriber.answer = lambda _: 0
    events = []
    for part in range(4):
        events += world.happen("chats", "tokens", f"site{part}")
        events += world.happen("chats", kind="limit_reached")
        world.pass_time(HOUR / 4)
    taken: list[Got] = []

    def take(got: Got) -> int:
        taken.append(got)
        return 200

    subscriber.answer = take
    events += world.happen("late")
    world.pass_time(600)
    assert sorted(got.id for got in taken) == sorted(event.event_id for event in events)  # each exactly once
    keys = {event.event_id: event.key for event in events}
    for entity in ("chats", "tokens"):
        order = [got.id for got in taken if keys[got.id] == entity]
        assert order == [event.event_id for event in events if event.key == entity]
    assert all(got.is_signed_by(secret) and got.timestamp >= NOW + HOUR for got in taken)
    assert {each.status for each in world.log(endpoint)} == {"delivered"}
    assert world.webhooks.get(world.tenant_id, endpoint.webhook_id).failures == 0


@pytest.mark.parametrize("down", [600, HOUR, 3 * HOUR])
def test_a_lone_event_is_taken_soon_after_its_subscriber_is_back(world: World, down: float) -> None:
    """Nothing else happens that would show that it is."""
    endpoint, _, subscriber = world.subscribe()
    subscriber.answer = lambda _: 0
    (event,) = world.happen("a")
    world.pass_time(down)
    subscriber.got.clear()
    subscriber.answer = lambda _: 200
    world.pass_time(360)
    assert [got.id for got in subscriber.got] == [event.event_id]
    assert world.log(endpoint)[0].status == "delivered"


def test_what_can_t_be_taken_keeps_nothing_else_out(world: World) -> None:
    """Though it has failed so often that the endpoint counts as down."""
    _, _, subscriber = world.subscribe()
    (bad,) = world.happen("a")
    subscriber.answer = lambda got: 500 if got.id == bad.event_id else 200
    world.pass_time(HOUR)
    good = world.happen("b", "c")
    world.pass_time(360)
    assert {got.id for got in subscriber.got} == {bad.event_id, *(each.event_id for each in good)}


def test_what_is_older_of_the_same_entity_goes_first_and_others_go_on(world: World) -> None:
    _, _, subscriber = world.subscribe()
    bad, *rest = world.happen("a", "a", "b", "a", "b")
    subscriber.answer = lambda got: 500 if got.id == bad.event_id else 200
    world.settle()
    world.pass_time(HOUR)
    ok = [got.id for got in subscriber.got if got.id != bad.event_id]
    assert ok == [rest[1].event_id, rest[3].event_id]
    subscriber.answer = lambda _: 200
    world.pass_time(3 * HOUR)
    assert [got.id for got in subscriber.got][-3:] == [bad.event_id, rest[0].event_id, rest[2].event_id]


def test_a_comment_follows_the_thumb_it_explains(world: World) -> None:
    _, _, subscriber = world.subscribe("feedback")
    subscriber.answer = lambda _: 500
    events = world.happen("req_1#1", kind="feedback")
    world.settle()
    subscriber.answer = lambda _: 200
    events += world.happen("req_1#2", kind="feedback")
    world.settle()
    assert len(subscriber.got) == 1  # what it explains has not been taken yet
    world.pass_time(10)
    assert [got.id for got in subscriber.got[1:]] == [each.event_id for each in events]


def test_after_a_day_a_delivery_has_failed_and_holds_up_nobody(world: World) -> None:
    endpoint, _, subscriber = world.subscribe()
    bad, good = world.happen("a", "a")
    subscriber.answer = lambda got: 500 if got.id == bad.event_id else 200
    world.pass_time(HOUR)
    world.now += 22.5 * HOUR  # at this pace
    world.pass_time(HOUR)
    first, second = world.log(endpoint)
    assert (first.status, second.status) == ("failed", "delivered")
    assert first.finished_at is not None
    assert DAY <= first.finished_at - first.created_at <= DAY + 360
    assert first.attempts >= 7
    assert subscriber.got[-1].id == good.event_id
    world.pass_time(DAY)
    assert subscriber.got[-1].id == good.event_id


def test_an_endpoint_that_is_down_costs_little(world: World) -> None:
    """However much happens, it is tried a few times at each look, and looked at less and less often."""
    _, _, subscriber = world.subscribe()
    subscriber.answer = lambda _: 503
    for n in range(20):
        world.happen(f"e{n}")
        world.settle()
    assert len(subscriber.got) == 3
    world.pass_time(HOUR)
    assert len(subscriber.got) <= 25


# Death in the middle


@pytest.mark.parametrize("step", range(11))
def test_who_dies_is_followed_by_another(world: World, step: int) -> None:
    """At each storage call of a run: nothing is lost, and what may come twice has the same id."""
    endpoint, _, subscriber = world.subscribe()
    events = world.happen("a", "b")
    plain = world.client
    dying = world.client = Faulty(plain)
    dying.plan = {step: "crash_after" if step % 2 else "crash_before"}
    with suppress(Crash):
        world.sender.work(world.tenant_id, endpoint.webhook_id)
    world.client = plain
    world.post.messages.clear()
    world.pass_time(300)
    ids = [got.id for got in subscriber.got]
    assert set(ids) == {event.event_id for event in events}
    assert len(ids) <= 3
    assert {each.status for each in world.log(endpoint)} == {"delivered"}
    assert not world.deliveries.waiting(world.tenant_id, endpoint.webhook_id)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("step", range(2))
def test_an_event_that_fails_to_be_spread_comes_again_and_is_one(world: World, fault: Fault, step: int) -> None:
    endpoint, _, subscriber = world.subscribe()
    event = world.event()
    plain = world.client
    dying = world.client = Faulty(plain)
    dying.plan = {step: fault}
    try:
        world.fanout.spread(event, world.now)
    except (Exception, Crash):
        dying.deliver()
    world.client = plain
    world.fanout.hint(world.fanout.spread(event, world.now))
    world.pass_time(120)
    assert [got.id for got in subscriber.got] == [event.event_id]
    assert len(world.log(endpoint)) == 1


def test_a_worker_that_was_thought_dead_changes_nothing(world: World) -> None:
    """It wakes up after another has finished its work: the delivery stays delivered."""
    endpoint, _, subscriber = world.subscribe()

    def sleep(_: Got) -> int:
        subscriber.answer = lambda _: 200
        world.now += 120
        world.sender.work(world.tenant_id, endpoint.webhook_id)
        return 500

    subscriber.answer = sleep
    world.happen("a")
    world.settle()
    world.pass_time(600)
    assert world.log(endpoint)[0].status == "delivered"
    assert len(subscriber.got) == 2


# Endpoints that go away


def test_an_endpoint_deleted_meanwhile_gets_nothing_more(world: World) -> None:
    endpoint, _, subscriber = world.subscribe()
    subscriber.answer = lambda _: 500
    world.happen("a", "b")
    world.settle()
    tried = len(subscriber.got)
    world.webhooks.delete(world.tenant_id, endpoint.webhook_id)
    world.pass_time(HOUR)
    assert len(subscriber.got) == tried
    assert not world.deliveries.waiting(world.tenant_id, endpoint.webhook_id)
    assert {(each.status, each.last_error) for each in world.log(endpoint)} == {("cancelled", "deleted")}


def test_an_endpoint_disabled_meanwhile_gets_it_by_replay(world: World) -> None:
    endpoint, _, subscriber = world.subscribe()
    subscriber.answer = lambda _: 500
    (event,) = world.happen("a")
    world.settle()
    world.webhooks.change(world.tenant_id, endpoint.webhook_id, {"enabled": False}, "user:owner")
    subscriber.answer = lambda _: 200
    world.pass_time(HOUR)
    world.happen("b")  # nobody wants it
    (cancelled,) = world.log(endpoint)
    assert (cancelled.status, cancelled.last_error) == ("cancelled", "disabled")
    world.webhooks.change(world.tenant_id, endpoint.webhook_id, {"enabled": True}, "user:owner")
    world.webhooks.replay(world.tenant_id, endpoint.webhook_id, cancelled.delivery_id)
    world.settle()
    assert [got.id for got in subscriber.got] == [event.event_id] * 2
    assert world.log(endpoint)[0].status == "delivered"


def test_gone_means_gone(world: World) -> None:
    endpoint, _, subscriber = world.subscribe()
    subscriber.answer = lambda _: 410
    world.happen("a", "b")
    world.settle()
    now = world.webhooks.get(world.tenant_id, endpoint.webhook_id)
    assert (now.enabled, now.disabled_reason, now.updated_by) == (False, "gone", "platform")
    assert now.failures == 1
    assert now.failing_since is not None
    assert len(subscriber.got) == 1
    assert [(host, reason) for host, reason, _ in world.told] == [("127.0.0.1", "gone")]
    assert {each.status for each in world.log(endpoint)} == {"cancelled"}


def test_days_of_failures_disable_an_endpoint_and_tell_its_owner(world: World) -> None:
    endpoint, _, subscriber = world.subscribe()
    subscriber.answer = lambda _: 500
    for days in (2, 2, 0):
        world.happen("event")
        world.pass_time(600)
        world.now += DAY
        assert world.webhooks.get(world.tenant_id, endpoint.webhook_id).enabled
        world.pass_time(600)
        world.now += days * DAY
    now = world.webhooks.get(world.tenant_id, endpoint.webhook_id)
    assert (now.enabled, now.disabled_reason) == (False, "failing")
    assert len(world.told) == 1
    tried = len(subscriber.got)
    world.happen("more")
    world.pass_time(DAY)
    assert len(subscriber.got) == tried
    world.webhooks.change(world.tenant_id, endpoint.webhook_id, {"enabled": True}, "user:owner")
    now = world.webhooks.get(world.tenant_id, endpoint.webhook_id)
    assert (now.failures, now.failing_since, now.disabled_reason) == (0, None, "")


def test_one_success_lets_an_endpoint_begin_anew(world: World) -> None:
    endpoint, _, subscriber = world.subscribe()
    subscriber.answer = lambda _: 500
    world.happen("a")
    world.pass_time(HOUR)
    failing = world.webhooks.get(world.tenant_id, endpoint.webhook_id)
    assert failing.failures >= 5
    assert failing.failing_since == NOW
    subscriber.answer = lambda _: 200
    world.happen("b")
    world.pass_time(360)
    now = world.webhooks.get(world.tenant_id, endpoint.webhook_id)
    assert (now.failures, now.failing_since) == (0, None)
    assert {each.status for each in world.log(endpoint)} == {"delivered"}  # what waited for hours is sent at once


def test_days_later_one_failure_disables_nothing(world: World) -> None:
    """However often something failed before, and though nothing came in between."""
    endpoint, _, subscriber = world.subscribe()
    subscriber.answer = lambda _: 500
    world.happen("a")
    world.pass_time(HOUR)
    world.now += DAY
    world.pass_time(HOUR)
    assert world.log(endpoint)[0].status == "failed"
    world.now += 5 * DAY
    world.happen("b")
    world.settle()
    assert world.webhooks.get(world.tenant_id, endpoint.webhook_id).enabled
    subscriber.answer = lambda _: 200
    world.pass_time(600)
    assert world.log(endpoint)[1].status == "delivered"


def test_an_event_before_the_endpoint_is_not_for_it(world: World) -> None:
    event = world.event()
    world.now += 5
    endpoint, _, _ = world.subscribe()
    assert world.fanout.spread(event, world.now) == []
    assert not world.log(endpoint)


# What it is signed with


def test_both_secrets_sign_for_a_day_after_a_new_one(world: World) -> None:
    endpoint, old, subscriber = world.subscribe()
    changed, new = world.webhooks.renew_secret(world.tenant_id, endpoint.webhook_id, "user:owner")
    assert new != old
    assert changed.previous_until == world.now + DAY
    world.happen("a")
    world.settle()
    assert [subscriber.got[-1].is_signed_by(each) for each in (old, new)] == [True, True]
    world.now += DAY + 1
    world.happen("b")
    world.settle()
    assert [subscriber.got[-1].is_signed_by(each) for each in (old, new)] == [False, True]


def test_no_secret_is_in_the_table(world: World) -> None:
    endpoint, secret, _ = world.subscribe()
    _, newer = world.webhooks.renew_secret(world.tenant_id, endpoint.webhook_id, "user:owner")
    world.happen("a")
    world.settle()
    stored = json.dumps(world.client.scan(TableName="webhooks")["Items"], default=repr)
    assert endpoint.webhook_id in stored
    assert secret.removeprefix("whsec_") not in stored
    assert newer.removeprefix("whsec_") not in stored


# Nowhere else


@pytest.mark.parametrize("moved", ["http://10.0.0.1/", "https://169.254.169.254/", "https://[::1]/hook"])
def test_an_address_that_became_ours_is_not_called(world: World, moved: str) -> None:
    """The check at each attempt, not only when the URL was saved."""
    endpoint, _, subscriber = world.subscribe()
    stored = {":url": {"S": moved}}
    key: Any = {"pk": {"S": f"HOOK#{world.tenant_id}"}, "sk": {"S": endpoint.webhook_id}}
    update = "SET callback_url = :url"
    world.client.update_item(TableName="webhooks", Key=key, UpdateExpression=update, ExpressionAttributeValues=stored)
    world.happen("a")
    world.settle()
    (pending,) = world.log(endpoint)
    assert pending.last_status is None
    assert pending.last_error in ("unreachable", "blocked_scheme")
    assert not subscriber.got


def test_a_redirect_is_an_answer_like_any_other(world: World) -> None:
    endpoint, _, subscriber = world.subscribe()
    other = world.subscriber()
    subscriber.answer = lambda _: 307
    world.happen("a")
    world.settle()
    assert world.log(endpoint)[0].last_status == 307
    assert not other.got
