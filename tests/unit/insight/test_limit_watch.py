"""Owners are told of a limit when it is passed, once, and a site's day is kept when it is over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from noren import ids
from noren.errors import NotFound
from noren.ids import TenantId
from noren.insight.day_store import DayStore, SiteDay
from noren.insight.limit_watch import LimitWatch
from noren.insight.notices import Notices
from noren.ledger import account as rules
from noren.ledger.account import Account
from noren.ledger.holds import Held, key_of, slot_of
from noren.ledger.models import Ask
from noren.sites.models import Site
from noren.tenants.models import Tenant
from tests.faults import emulator_client, make_table
from tests.unit.ledger.conftest import LIMITS, at

NOW = int(at("2026-11-01T10:00:00"))
TENANT = Tenant(TenantId(ids.new_id("ten")), "Ichiban", "free", NOW)
SITE = Site(ids.new_id("site"), TENANT.tenant_id, "Shop", "", NOW)
QUIET = Site(ids.new_id("site"), TENANT.tenant_id, "Quiet", "", NOW, daily_quota=5)
SLOT, QUIET_SLOT = slot_of(SITE.site_id), slot_of(QUIET.site_id)


@dataclass
class Rig:
    """A watch whose notices and days are noted."""

    told: list[tuple[Any, ...]] = field(default_factory=list)
    days: list[SiteDay] = field(default_factory=list)
    bought: list[TenantId] = field(default_factory=list)
    sites: list[Site] = field(default_factory=lambda: [SITE, QUIET])
    tenant: Callable[[TenantId], Tenant] = lambda _: TENANT

    def limit(self, tenant: Tenant, kind: str, what: str, period: str, used: int, limit: int, *_: object) -> bool:
        self.told.append((kind, what, period, used, limit))
        return True

    def put(self, _: TenantId, day: SiteDay) -> None:
        self.days.append(day)

    def watch(self) -> LimitWatch:
        notices, days = cast(Notices, self), cast(DayStore, self)
        return LimitWatch(
            notices, days, self.tenant, lambda _: self.sites, lambda _: 50, self.bought.append, lambda: NOW
        )


def account(**changes: Any) -> Account:
    return replace(rules.opened(TENANT.tenant_id, "Asia/Tokyo", LIMITS, NOW), **changes)


CASES: list[tuple[dict[str, Any], dict[str, Any], list[tuple[Any, ...]]]] = [
    ({"chats_used": 79}, {"chats_used": 80}, [("limit_near", "chats", "2026-11", 80, 100)]),
    ({"chats_used": 78}, {"chats_used": 79}, []),
    ({"chats_used": 80}, {"chats_used": 81}, []),
    ({"chats_used": 99}, {"chats_used": 100}, [("limit_reached", "chats", "2026-11", 100, 100)]),
    ({"chats_used": 70}, {"chats_used": 100}, [("limit_reached", "chats", "2026-11", 100, 100)]),
    ({"chats_used": 99}, {"chats_used": 100, "period": "2026-12"}, []),
    ({"embedding_left": 201}, {"embedding_left": 200}, [("limit_near", "embedding_tokens", "2026-11", 800, 1000)]),
    ({"embedding_left": 1}, {"embedding_left": 0}, [("limit_reached", "embedding_tokens", "2026-11", 1000, 1000)]),
    ({"credits": 50}, {"credits": 49}, [("credits_low", "credits", "2026-11", 49, 50)]),
    ({"credits": 49}, {"credits": 48}, []),
    ({"credits": 40}, {"credits": 60}, []),
    ({"credits": 60}, {"credits": 0, "debt": 9}, [("credits_low", "credits", "2026-11", 0, 50)]),
    (
        {"site_counts": {SLOT: 29}},
        {"site_counts": {SLOT: 30}},
        [("site_limit_reached", SITE.site_id, "2026-11-01", 30, 30)],
    ),
    (
        {"site_counts": {QUIET_SLOT: 4}},
        {"site_counts": {QUIET_SLOT: 5}},
        [("site_limit_reached", QUIET.site_id, "2026-11-01", 5, 5)],
    ),
    ({"site_counts": {SLOT: 30}}, {"site_counts": {SLOT: 29}}, []),
]


@pytest.mark.parametrize(("was", "now", "told"), CASES)
def test_a_limit_is_told_when_it_is_passed(was: dict[str, Any], now: dict[str, Any], told: list[Any]) -> None:
    rig = Rig()
    rig.watch().note(account(**was), account(**now))
    assert rig.told == told


def test_a_chat_under_way_is_not_yet_used() -> None:
    rig = Rig()
    ask = Ask(TENANT.tenant_id, ids.new_id("req"), SITE.site_id, NOW + 60)
    holding = account(chats_used=80, holds={key_of(ask.request_id): str(Held.of(ask, NOW))})
    rig.watch().note(account(chats_used=79), holding)
    assert rig.told == []
    rig.watch().note(holding, account(chats_used=80))
    assert [kind for kind, *_ in rig.told] == ["limit_near"]


def test_a_day_that_is_over_is_kept_for_each_site() -> None:
    rig = Rig()
    rig.watch().note(account(site_counts={SLOT: 12, QUIET_SLOT: 5}), account(day="2026-11-02", site_counts={}))
    assert rig.days == [
        SiteDay(SITE.site_id, "2026-11-01", 12, 30, overflow_flag=False),
        SiteDay(QUIET.site_id, "2026-11-01", 5, 5, overflow_flag=True),
    ]


def test_a_site_made_since_is_found_and_an_unknown_one_is_left_out() -> None:
    rig = Rig(sites=[SITE])
    watch = rig.watch()
    watch.note(account(site_counts={SLOT: 1}), account(site_counts={SLOT: 2}))
    rig.sites = [SITE, QUIET]
    watch.note(account(site_counts={QUIET_SLOT: 4}), account(site_counts={QUIET_SLOT: 5, "nobody": 1}))
    assert [what for _, what, *_ in rig.told] == [QUIET.site_id]


def test_a_tenant_that_is_gone_is_told_nothing() -> None:
    def gone(_: TenantId) -> Tenant:
        raise NotFound

    rig = Rig(tenant=gone)
    rig.watch().note(account(chats_used=99), account(chats_used=100))
    assert rig.told == []


def test_days_are_unique_by_site_and_date(aws: str) -> None:
    client = emulator_client()
    make_table(client, "usage")
    store = DayStore(client, "usage")
    for number, date in enumerate(["2026-11-01", "2026-11-02", "2026-11-02"]):
        store.put(TENANT.tenant_id, SiteDay(SITE.site_id, date, number, 30, overflow_flag=False))
    store.put(TENANT.tenant_id, SiteDay(QUIET.site_id, "2026-11-02", 5, 5, overflow_flag=True))
    days = store.of(TENANT.tenant_id, SITE.site_id, "2026-11-01", "2026-11-30")
    assert [(day.date, day.used_count) for day in days] == [("2026-11-02", 2), ("2026-11-01", 0)]


@pytest.mark.parametrize(("was", "now", "asked"), [(51, 50, 1), (50, 49, 1), (52, 51, 0), (40, 60, 0)])
def test_a_settle_that_leaves_the_threshold_or_less_asks_for_more(was: int, now: int, asked: int) -> None:
    rig = Rig()
    rig.watch().note(account(credits=was), account(credits=now))
    assert rig.bought == [TENANT.tenant_id] * asked
