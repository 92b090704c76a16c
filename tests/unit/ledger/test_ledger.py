"""The ledger, case by case."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

import pytest

from noren import ids, tables
from noren.errors import Conflict, NorenError, NotFound
from noren.ids import TenantId
from noren.ledger.models import Denied, Reason
from noren.usage.models import Call, UsageRecord
from tests.faults import Faulty
from tests.unit.ledger.conftest import LIMITS, World, at, call


def denial(world: World, **ask: Any) -> Denied:
    with pytest.raises(Denied) as denied:
        world.chat(**ask)
    return denied.value


# -- settle and release


def test_a_chat_is_three_writes_and_no_read(world: World) -> None:
    stands = world.chat()
    assert world.client.calls == ["update_item", "put_item", "update_item"]
    assert (stands.decision, stands.chats) == ("USAGE", 1)
    standing = world.ledger.standing(world.tenant.tenant_id)
    assert (standing.chats_used, standing.chats_limit, standing.open_holds) == (1, 100, 0)
    assert standing.requests_today(world.site_id) == 1
    assert standing.requests_today(ids.new_id("site")) == 0
    assert standing.resets_at == at("2026-12-01T00:00:00")
    assert world.usage.record_of(world.tenant.tenant_id, stands.request_id) == stands


def test_a_hold_says_where_the_quota_stands(world: World) -> None:
    world.chat()
    ask = world.ask()
    with world.ledger.reserve(ask, world.record(ask)) as hold:
        assert (hold.chats_used, hold.chats_limit, hold.resets_at) == (2, 100, at("2026-12-01T00:00:00"))
        assert world.ledger.is_open(ask.tenant_id, ask.request_id)
        assert not world.ledger.is_open(ask.tenant_id, ids.new_id("req"))
    assert not world.ledger.is_open(ask.tenant_id, ask.request_id)


def test_a_release_gives_everything_back(world: World) -> None:
    world.give_credits(10)
    before = world.account
    stands = world.chat(release=True, credits=4, embedding_tokens=30)
    assert (stands.decision, stands.chats, stands.credits) == ("RELEASE", 0, 0)
    after = world.account
    assert (after.chats_used, after.credits, after.embedding_left) == (0, 10, before.embedding_left)
    assert set(after.site_counts.values()) == {0}
    world.check_books(10)


def test_what_was_held_and_not_used_goes_back_and_an_overrun_is_not_charged(world: World) -> None:
    world.give_credits(100)
    for used, charged in ((3, 3), (9, 7), (-5, 0)):
        ask = world.ask(credits=7, embedding_tokens=50)
        with world.ledger.reserve(ask, world.record(ask)) as hold:
            hold.record.credits = used
            hold.record.calls.append(call(tokens_embedding=max(0, used * 10)))
        assert hold.decided is not None
        assert hold.decided.credits == charged
    assert world.account.credits == 90
    assert world.account.embedding_left == 1000 - 30 - 50
    world.check_books(100)


def test_a_settled_request_whose_record_charges_no_chat_gives_it_back(world: World) -> None:
    ask = world.ask()
    with world.ledger.reserve(ask, world.record(ask, chats=0)):
        pass
    assert world.account.chats_used == 0
    assert world.ledger.standing(world.tenant.tenant_id).requests_today(world.site_id) == 1


def left_by_an_exception(world: World, made: Call) -> UsageRecord:
    ask = world.ask()

    def chat() -> None:
        with world.ledger.reserve(ask, world.record(ask)) as hold:
            hold.record.calls.append(made)
            raise KeyError

    with pytest.raises(KeyError):
        chat()
    return world.records()[ask.request_id]


def test_an_exception_before_anything_was_produced_releases(world: World) -> None:
    stands = left_by_an_exception(world, call(tokens_output=0))
    assert (stands.decision, stands.status, len(stands.calls)) == ("RELEASE", "failed", 1)
    assert world.account.chats_used == 0


def test_an_exception_after_something_was_produced_settles(world: World) -> None:
    stands = left_by_an_exception(world, call())
    assert (stands.decision, stands.status) == ("USAGE", "partial")


@pytest.mark.parametrize(("called", "decision"), [(True, "USAGE"), (False, "RELEASE")])
def test_a_client_that_goes_away_pays_for_a_call_that_was_begun(world: World, called: bool, decision: str) -> None:
    ask = world.ask()

    def stream() -> Generator[str, None, None]:
        with world.ledger.reserve(ask, world.record(ask)) as hold:
            if called:
                hold.record.calls.append(call(tokens_output=0))
            yield "first"
            yield "second"

    chat = stream()
    assert next(chat) == "first"
    chat.close()
    stands = world.records()[ask.request_id]
    assert (stands.decision, stands.status) == (decision, "cancelled")
    assert not world.account.holds


# -- denials


def test_the_chats_of_the_month_run_out(world: World) -> None:
    world.ledger.change_limits(world.tenant, replace(LIMITS, chats_per_month=2))
    world.chat()
    world.chat()
    denied = denial(world)
    assert (denied.reason, denied.status, denied.code) == ("chats", 402, "quota_exceeded")
    assert denied.resets_at == at("2026-12-01T00:00:00")
    assert denied.extra == {"resets_at": "2026-11-30T15:00:00Z"}
    assert len(world.records()) == 2


def test_the_sites_day_runs_out_for_that_site_and_that_day(world: World) -> None:
    other = ids.new_id("site")
    world.chat(site_daily_limit=1)
    denied = denial(world, site_daily_limit=1)
    assert (denied.reason, denied.resets_at) == ("site_day", at("2026-11-02T00:00:00"))
    world.chat(site_id=other, site_daily_limit=1)
    world.now = at("2026-11-02T00:00:00")
    world.chat(site_daily_limit=1)
    assert denial(world, site_daily_limit=0).reason == "site_day"


def test_the_plans_site_day_counts_where_the_site_has_no_own(world: World) -> None:
    world.ledger.change_limits(world.tenant, replace(LIMITS, requests_per_day_per_site=1))
    world.chat()
    assert denial(world).reason == "site_day"
    world.ledger.change_limits(world.tenant, replace(LIMITS, requests_per_day_per_site=0))
    assert denial(world, site_id=ids.new_id("site")).reason == "site_day"


def test_no_more_at_once_than_the_plan_allows(world: World) -> None:
    world.ledger.change_limits(world.tenant, replace(LIMITS, concurrent_chats=1))
    ask = world.ask()
    with world.ledger.reserve(ask, world.record(ask)):
        denied = denial(world)
        assert (denied.reason, denied.status, denied.retry_after) == ("concurrency", 429, 2)
    world.chat()  # the hold is left: the denial is forgotten in this container


def test_credits_and_embedding_tokens_run_out(world: World) -> None:
    world.give_credits(5)
    assert denial(world, chats=0, credits=6).reason == "credits"
    assert denial(world, embedding_tokens=1001).reason == "embedding"
    world.chat(chats=0, credits=5, embedding_tokens=1000)
    assert world.account.chats_used == 0
    world.check_books(5)


def test_a_stopped_account_admits_nothing_but_settles_what_is_open(world: World) -> None:
    ask = world.ask()
    with world.ledger.reserve(ask, world.record(ask)):
        world.ledger.set_active(world.tenant.tenant_id, False)
        denied = denial(world)
        assert (denied.reason, denied.status) == ("stopped", 403)
    assert world.account.chats_used == 1
    assert not world.ledger.standing(world.tenant.tenant_id).active
    world.ledger.set_active(world.tenant.tenant_id, True)
    world.chat()


def test_a_denial_is_remembered_for_a_moment_by_its_container_alone(world: World) -> None:
    world.ledger.change_limits(world.tenant, replace(LIMITS, chats_per_month=0))
    denial(world)
    world.client.calls.clear()
    for _ in range(20):
        denial(world)
    assert world.client.calls == []
    other = world.container(world.client)
    other.change_limits(world.tenant, LIMITS)
    world.chat(ledger=other)
    world.now += 2.1
    world.chat()


@pytest.mark.parametrize(
    ("reason", "status"),
    [("chats", 402), ("site_day", 402), ("concurrency", 429), ("stopped", 403), ("contention", 503)],
)
def test_a_denial_is_an_answer_by_itself(reason: Reason, status: int) -> None:
    denied = Denied(reason, retry_after=2)
    assert isinstance(denied, NorenError)
    assert (denied.status, denied.extra) == (status, {"retry_after": 2})


# -- accounts


def test_opening_again_changes_nothing(world: World) -> None:
    world.chat()
    before = world.account
    world.ledger.open_account(world.tenant, replace(LIMITS, chats_per_month=9))
    assert world.account == before


def test_an_unknown_tenant_is_not_found(world: World) -> None:
    stranger = TenantId(ids.new_id("ten"))
    with pytest.raises(NotFound):
        world.chat(tenant_id=stranger)
    with pytest.raises(NotFound):
        world.ledger.set_active(stranger, True)
    with pytest.raises(NotFound):
        world.ledger.standing(stranger)


def test_an_upgrade_shows_at_once(world: World) -> None:
    world.now = at("2026-11-16T00:00:00")
    world.ledger.change_limits(world.tenant, replace(LIMITS, chats_per_month=2000))
    assert world.ledger.standing(world.tenant.tenant_id).chats_limit == 1050


def test_the_month_turns_lazily_and_shows_at_once(world: World) -> None:
    world.chat()
    world.now = at("2026-12-01T00:00:00")
    standing = world.ledger.standing(world.tenant.tenant_id)
    assert (standing.chats_used, standing.resets_at) == (0, at("2027-01-01T00:00:00"))
    assert standing.requests_today(world.site_id) == 0
    assert world.account.period == "2026-11"
    world.chat()
    assert (world.account.period, world.account.chats_used) == ("2026-12", 1)


# -- sweeps


def test_a_hold_that_never_came_back_is_released_after_its_grace(world: World) -> None:
    ask = world.abandon(embedding_tokens=9)
    world.now = ask.deadline + 59
    assert world.ledger.sweep(ask.tenant_id) == 0
    world.now += 1
    assert world.ledger.sweep(ask.tenant_id) == 1
    stands = world.records()[ask.request_id]
    assert (stands.decision, stands.status, stands.error_code, stands.chats) == ("RELEASE", "failed", "abandoned", 0)
    assert (world.account.chats_used, world.account.embedding_left) == (0, 1000)
    world.check_books()


def test_a_reserve_that_finds_no_room_sweeps_for_itself(world: World) -> None:
    world.ledger.change_limits(world.tenant, replace(LIMITS, concurrent_chats=2))
    world.abandon()
    world.abandon()
    assert denial(world).reason == "concurrency"
    world.now += 181
    world.chat()
    assert not world.account.holds


def test_a_swept_hold_of_last_month_gives_nothing_to_this_one(world: World) -> None:
    world.now = at("2026-11-30T23:59:00")
    world.abandon()
    world.now = at("2026-12-01T00:05:00")
    world.chat()
    world.ledger.sweep(world.tenant.tenant_id)
    assert world.account.chats_used == 1
    world.check_books()


def test_a_settler_that_comes_after_the_sweep_costs_the_tenant_nothing(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.give_credits(10)
    ask = world.ask(credits=4)
    with world.ledger.reserve(ask, world.record(ask)) as hold:
        world.now += 300
        world.ledger.sweep(ask.tenant_id)
        hold.record.calls.append(call())
    stands = world.records()[ask.request_id]
    assert stands == hold.decided
    (line,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert line.__dict__["metrics"].values == {"LateSettlements": 1}
    assert (stands.decision, stands.late, stands.chats, stands.credits, stands.revision) == ("RELEASE", True, 0, 0, 2)
    assert stands.tokens_output == 20
    assert stands.site_id == world.site_id
    assert (world.account.chats_used, world.account.credits) == (0, 10)


def test_a_request_whose_own_hold_has_died_is_not_run_again(world: World) -> None:
    ask = world.abandon()
    world.now += 300
    with pytest.raises(Conflict):
        world.chat(request_id=ask.request_id)
    assert not world.account.holds


def test_a_request_that_is_under_way_is_adopted_and_charged_once(world: World) -> None:
    ask = world.ask()
    with world.ledger.reserve(ask, world.record(ask)) as first:
        other = world.container(world.client)
        with other.reserve(ask, world.record(ask)) as second:
            assert (first.adopted, second.adopted) == (False, True)
            assert first.nonce == second.nonce
    assert world.account.chats_used == 1
    assert len(world.records()) == 1
    world.check_books()


def test_one_accounts_trouble_stops_no_other_and_the_sweep_goes_on_where_it_stopped(world: World) -> None:
    world.now += 300
    others = [World(world.client) for _ in range(3)]
    for other in others:
        other.ledger.open_account(other.tenant, LIMITS)
        other.abandon()
    process = Faulty(world.client)
    broken = others[1].tenant.tenant_id

    def breaks(name: str, options: dict[str, object]) -> None:
        if name == "put_item" and broken in str(options):
            raise RuntimeError("broken")

    process.before = breaks
    report = world.container(process).sweep_all()
    assert (report.accounts, report.holds, report.failures, report.finished) == (3, 2, 1, True)
    assert [len(other.account.holds) for other in others] == [0, 1, 0]
    assert world.container(world.client).sweep_all().holds == 1


def test_a_sweep_that_runs_out_of_time_is_carried_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    others = [World(world.client) for _ in range(4)]
    for other in others:
        other.ledger.open_account(other.tenant, LIMITS)
        other.abandon()
    world.now += 300
    process = Faulty(world.client)
    scan = world.client.scan
    monkeypatch.setattr(process, "scan", lambda **options: scan(**options, Limit=1), raising=False)
    ledger = world.container(process)
    runs = 0
    finished = False
    while not finished:
        finished = ledger.sweep_all(seconds=0).finished
        runs += 1
        assert runs < 1000
    assert runs >= 4
    assert not any(other.account.holds for other in others)


def test_an_account_from_before_there_were_credits_gets_its_first_when_limits_are_applied(world: World) -> None:
    world.chat()
    world.client.update_item(
        TableName="quotas",
        Key=tables.to_item({"pk": tables.tenant_key(world.tenant.tenant_id, "ACC"), "sk": "0"}),
        UpdateExpression="REMOVE cap, lx, ov, gr.f",
    )
    world.chat()
    world.ledger.change_limits(world.tenant, replace(LIMITS, free_credits_per_month=30))
    assert world.account.credits == 30
    world.check_books(30)
    world.chat(chats=0, credits=5)
    world.now = at("2026-12-01T00:00:05")
    world.chat(chats=0, credits=5)
    world.come_to_rest()
