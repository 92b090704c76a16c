"""The pure rules: hold strings, pro rata, turns of the day and the month, limits, reasons."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noren import ids
from noren.ids import TenantId
from noren.ledger import account as rules
from noren.ledger.account import Account, Grant, pro_rata, turned, why_not, with_limits
from noren.ledger.holds import Held, key_of, request_of, slot_of
from noren.ledger.models import Ask, Reason
from tests.unit.ledger.conftest import LIMITS, at

TENANT = TenantId(ids.new_id("ten"))
SITE = ids.new_id("site")


def opened(when: str = "2026-11-20T12:00:00", tz: str = "Asia/Tokyo") -> Account:
    return rules.opened(TENANT, tz, LIMITS, int(at(when, tz)))


# -- holds


@given(st.sampled_from(["req", "job", "chat"]), st.integers(0, 2**128 - 1))
def test_a_key_leads_back_to_its_request(prefix: str, number: int) -> None:
    request_id = f"{prefix}_{number:032x}"
    assert request_of(key_of(request_id)) == request_id


@pytest.mark.parametrize("bad", ["", "req", "req_12", "req_" + "g" * 32, "0" * 32])
def test_what_is_no_id_is_no_key(bad: str) -> None:
    with pytest.raises(ValueError):
        key_of(bad)


@given(
    st.integers(0, 1),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.integers(1_700_000_000, 2_100_000_000),
    st.floats(1_700_000_000, 2_100_000_000),
)
def test_a_hold_survives_being_written(chats: int, credits: int, tokens: int, now: int, deadline: float) -> None:
    ask = Ask(TENANT, ids.new_id("req"), SITE, deadline, chats, credits, tokens)
    held = Held.of(ask, now)
    assert Held.parse(str(held)) == held
    assert held.made_at == now
    assert held.expires_at == max(now, int(deadline) + 60)
    assert held.slot == (slot_of(SITE) if chats or credits else "")


def test_a_hold_is_short_and_each_attempt_has_its_nonce() -> None:
    ask = Ask(TENANT, ids.new_id("req"), SITE, 1_795_000_180.0)
    assert len(key_of(ask.request_id)) + len(str(Held.of(ask, 1_795_000_000))) <= 44
    assert len({Held.of(ask, 1_795_000_000).nonce for _ in range(100)}) == 100


def test_sites_have_slots_of_their_own() -> None:
    slots = {slot_of(ids.new_id("site")) for _ in range(1000)}
    assert len(slots) == 1000
    assert {len(slot) for slot in slots} == {6}


# -- grants


@pytest.mark.parametrize(
    ("amount", "share", "granted"), [(100, (30, 30), 100), (100, (11, 30), 37), (100, (1, 31), 4), (0, (3, 30), 0)]
)
def test_pro_rata_counts_today_and_rounds_up(amount: int, share: tuple[int, int], granted: int) -> None:
    assert pro_rata(amount, share) == granted


def test_the_first_month_is_pro_rata_and_the_next_is_full() -> None:
    account = opened("2026-11-20T23:59:59")
    assert account.chat_grant.limit == 37  # 11 of 30 days
    assert account.embedding_left == account.embedding_grant.limit == 367
    after = turned(account, account.resets_at)
    assert (after.chat_grant.limit, after.embedding_left) == (100, 1000)


def test_an_upgrade_adds_pro_rata_and_repeating_it_adds_nothing() -> None:
    limits = replace(LIMITS, chats_per_month=2000, concurrent_chats=40)
    account = opened("2026-11-01T00:00:00")
    half = int(at("2026-11-16T00:00:00"))
    once = with_limits(turned(account, half), limits, "Asia/Tokyo", frozenset(), half)
    twice = with_limits(once, limits, "Asia/Tokyo", frozenset(), half)
    assert once.chat_grant.limit == twice.chat_grant.limit == 100 + 950
    assert once.concurrency == 40
    assert turned(once, once.resets_at).chat_grant.limit == 2000


def test_a_plan_that_falls_counts_at_once_and_comes_back_at_once_without_a_second_grant() -> None:
    now = int(at("2026-11-16T00:00:00"))
    high = replace(LIMITS, chats_per_month=2000)
    account = turned(opened("2026-11-01T00:00:00"), now)
    limits = []
    for each in (high, LIMITS, high, LIMITS, high):
        account = with_limits(account, each, "Asia/Tokyo", frozenset(), now)
        limits.append(account.chat_grant.limit)
    assert limits == [1050, 100, 1050, 100, 1050]


def test_an_override_counts_at_once_and_in_full() -> None:
    account = opened("2026-11-20T12:00:00")
    now = account.day_since
    raised = with_limits(account, replace(LIMITS, chats_per_month=500), "UTC", frozenset({"chats_per_month"}), now)
    assert raised.chat_grant.limit == 500
    lowered = with_limits(raised, replace(LIMITS, chats_per_month=5), "UTC", frozenset({"chats_per_month"}), now)
    assert lowered.chat_grant.limit == 5
    assert raised.embedding_grant.limit == account.embedding_grant.limit


def test_embedding_tokens_that_were_used_stay_used_when_limits_change() -> None:
    account = replace(opened("2026-11-01T00:00:00"), embedding_left=600)
    changed = with_limits(
        account, replace(LIMITS, embedding_tokens_per_month=5000), "UTC", frozenset(), account.day_since
    )
    assert changed.embedding_left == 4600


@given(st.lists(st.tuples(st.integers(0, 5000), st.integers(1, 30), st.booleans()), max_size=8))
def test_no_order_of_changes_grants_more_than_the_highest_plan(changes: list[tuple[int, int, bool]]) -> None:
    grant, top = Grant(100, 100, 100), 100
    for full, left, at_once in changes:
        grant = grant.changed(full, (left, 30), at_once=at_once)
        top = max(top, full)
        assert grant.limit <= full
        assert grant.granted <= top
    assert grant.renewed().limit == grant.full


# -- turns


def test_nothing_turns_before_its_time() -> None:
    account = opened()
    assert turned(account, account.next_turn - 1) is account


def test_a_day_turns_without_touching_the_month() -> None:
    account = replace(opened(), chats_used=7, site_counts={"a": 3})
    after = turned(account, account.next_turn)
    assert (after.day, after.site_counts, after.chats_used, after.period) == ("2026-11-21", {}, 7, "2026-11")
    assert after.day_since == account.next_turn
    assert after.period_since == account.period_since


def test_a_month_turns_once_and_its_day_with_it() -> None:
    account = replace(opened(), chats_used=7, embedding_left=1, site_counts={"a": 3})
    after = turned(account, int(at("2026-12-01T00:00:00")))
    assert (after.period, after.day, after.chats_used, after.embedding_left) == ("2026-12", "2026-12-01", 0, 1000)
    assert after.next_turn == at("2026-12-02T00:00:00")
    assert after.resets_at == at("2027-01-01T00:00:00")
    assert turned(after, int(at("2026-12-01T23:59:59"))) is after


def test_missed_months_are_caught_up_with_at_once() -> None:
    after = turned(opened(), int(at("2027-03-15T08:00:00")))
    assert (after.period, after.day) == ("2027-03", "2027-03-15")
    assert after.resets_at == at("2027-04-01T00:00:00")


@pytest.mark.parametrize(
    ("old", "new", "end"),
    [
        ("Asia/Tokyo", "America/New_York", "2027-01-01T00:00:00"),  # where it still is November
        ("America/New_York", "Asia/Tokyo", "2027-01-01T00:00:00"),
        ("Pacific/Kiritimati", "Pacific/Niue", "2027-01-01T00:00:00"),  # 25 hours apart
    ],
)
def test_a_changed_zone_counts_from_the_next_month_and_makes_no_month_come_twice(old: str, new: str, end: str) -> None:
    account = opened("2026-11-20T12:00:00", old)
    account = with_limits(account, LIMITS, new, frozenset(), account.day_since)
    assert account.resets_at == at("2026-12-01T00:00:00", old)
    after = turned(account, account.resets_at)
    assert (after.period, after.timezone) == ("2026-12", new)
    assert after.resets_at == at(end, new)
    assert after.next_turn > account.resets_at


@given(st.lists(st.integers(1, 90 * 86_400), min_size=1, max_size=12), st.sampled_from(["Asia/Tokyo", "Europe/Paris"]))
def test_turning_step_by_step_or_at_once_ends_alike(steps: list[int], tz: str) -> None:
    start = opened("2026-10-20T12:00:00", tz)
    now = int(at("2026-10-20T12:00:00", tz))
    account = start
    for step in steps:
        now += step
        account = turned(account, now)
        assert account.day_since <= now < account.next_turn
        assert account.period_since <= account.day_since
    direct = turned(start, now)
    assert (account.period, account.day, account.next_turn) == (direct.period, direct.day, direct.next_turn)
    assert account.chat_grant == direct.chat_grant


# -- reasons

ASK = Ask(TENANT, ids.new_id("req"), SITE, 0.0)


@pytest.mark.parametrize(
    ("state", "ask", "reason"),
    [
        ({}, {}, None),
        ({"active": False, "chats_used": 37}, {}, "stopped"),
        ({"chats_used": 37}, {}, "chats"),
        ({"chats_used": 37}, {"chats": 0, "credits": 2}, "credits"),
        ({"chats_used": 37, "credits": 2}, {"chats": 0, "credits": 2}, None),
        ({"site_counts": {slot_of(SITE): 30}}, {}, "site_day"),
        ({"site_counts": {slot_of(SITE): 30}}, {"site_daily_limit": 31}, None),
        ({"site_counts": {slot_of(SITE): 5}}, {"site_daily_limit": 5}, "site_day"),
        ({}, {"site_daily_limit": 0}, "site_day"),
        ({"site_counts": {slot_of(SITE): 30}}, {"chats": 0, "embedding_tokens": 1}, None),
        ({"embedding_left": 49}, {"embedding_tokens": 50}, "embedding"),
        ({"embedding_left": -5}, {}, None),
        ({"concurrency": 1, "holds": {"k": "s,1.0.0nonc"}}, {}, "concurrency"),
    ],
)
def test_the_reason_of_a_denial(state: dict[str, Any], ask: dict[str, Any], reason: Reason | None) -> None:
    assert why_not(replace(opened(), **state), replace(ASK, **ask)) == reason
