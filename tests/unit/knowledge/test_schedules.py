"""When a training comes again, and that it does so once, whoever dies over it or races for it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noren.knowledge.models import Recurrence
from noren.knowledge.schedule_store import ScheduleStore
from noren.knowledge.schedules import Schedules, following
from noren.knowledge.survey.models import Reach
from noren.plans.models import Entitlement
from noren.plans.seed import PLANS, RATES
from noren.sites.models import Site
from noren.tenants.store import transact
from tests.faults import Crash
from tests.unit.knowledge.training_world import Desk, World
from tests.unit.knowledge.web import HOME

DAY = 86_400
ENTERPRISE = next(each for each in PLANS if each.plan == "enterprise")


def at(text: str) -> float:
    return datetime.fromisoformat(f"{text}+00:00").timestamp()


@pytest.mark.parametrize(
    ("since", "recurrence", "now", "due"),
    [
        ("2026-11-26T09:30", "daily", "2026-11-26T09:30", "2026-11-27T09:30"),
        ("2026-11-26T09:30", "daily", "2026-11-27T09:29", "2026-11-27T09:30"),
        ("2026-11-26T09:30", "daily", "2026-11-27T09:30", "2026-11-28T09:30"),
        ("2026-11-26T09:30", "daily", "2026-12-05T12:00", "2026-12-06T09:30"),
        ("2026-11-26T09:30", "weekly", "2026-11-26T09:31", "2026-12-03T09:30"),
        ("2026-11-26T09:30", "weekly", "2027-01-01T00:00", "2027-01-07T09:30"),
        ("2026-11-26T09:30", "monthly", "2026-11-26T09:30", "2026-12-26T09:30"),
        ("2026-11-26T09:30", "monthly", "2026-12-26T09:29", "2026-12-26T09:30"),
        ("2026-11-26T09:30", "monthly", "2026-12-31T00:00", "2027-01-26T09:30"),
        ("2027-01-31T09:30", "monthly", "2027-02-01T00:00", "2027-02-28T09:30"),
        ("2027-01-31T09:30", "monthly", "2027-02-28T09:30", "2027-03-31T09:30"),
        ("2027-12-31T09:30", "monthly", "2028-02-01T00:00", "2028-02-29T09:30"),
    ],
)
def test_it_comes_at_its_time(since: str, recurrence: Recurrence, now: str, due: str) -> None:
    assert following(at(since), recurrence, at(now)) == at(due)


@given(
    st.integers(1_790_000_000, 1_900_000_000),
    st.integers(0, 300_000_000),
    st.sampled_from(["daily", "weekly", "monthly"]),
)
def test_it_is_always_the_next_time_and_never_the_present(since: int, later: int, recurrence: Recurrence) -> None:
    now = since + later
    due = following(since, recurrence, now)
    longest = {"daily": 1, "weekly": 7, "monthly": 31}[recurrence] * 86_400
    assert now < due <= now + longest
    assert following(since, recurrence, due - 1) == due


class OwnDesk(Desk):
    def get(self, tenant_id: Any, site_id: str) -> Site:
        return self.now(tenant_id, site_id)


def scheduled(client: Any) -> tuple[World, Schedules]:
    """A site that is to be trained daily, a day ago."""
    world = World(client)
    store = ScheduleStore(world.fuse.wrap(client), "knowledge")
    every = store.due
    # The tests share a table: others' are not begun here.
    store.due = lambda now: (each for each in every(now) if each[0] == world.tenant)  # type: ignore[method-assign]
    entitled = Entitlement(ENTERPRISE, ENTERPRISE.limits, (), RATES[0])
    schedules = Schedules(store, world.crawling, OwnDesk(world), lambda _: world.owner, lambda _: entitled, world.clock)  # type: ignore[arg-type]
    transact(client, schedules.setting(world.site, HOME, Reach(max_pages=7), "daily", "user:1"))
    world.now += DAY + 1
    return world, schedules


def begun(world: World) -> int:
    return len(world.jobs.some(world.tenant, world.site.site_id, 10, None)[0])


def test_two_sweeps_at_once_begin_it_once(knowledge_table: Any) -> None:
    at, has_come = 0, True
    while has_come:
        world, schedules = scheduled(knowledge_table)
        came = list[int]()

        def meanwhile(schedules: Schedules = schedules, came: list[int] = came) -> None:
            came.append(schedules.run())

        world.fuse.burn(at, "before")
        world.fuse.meanwhile = meanwhile
        first = schedules.run()
        world.fuse.at = world.fuse.meanwhile = None
        has_come = bool(came)
        assert (first + sum(came), begun(world)) == (1, 1), at
        world.now += DAY
        world.training.cancel(world.tenant, world.jobs.some(world.tenant, None, 1, None)[0][0].job_id)
        assert (schedules.run(), begun(world)) == (1, 2), at
        at += 1
    assert at > 5


@pytest.mark.parametrize("mode", ["before", "after"])
def test_a_sweep_may_die_at_any_call(knowledge_table: Any, mode: Literal["before", "after"]) -> None:
    at, has_died = 0, True
    while has_died:
        world, schedules = scheduled(knowledge_table)
        has_died = False
        world.fuse.burn(at, mode)
        try:
            schedules.run()
        except Crash:
            has_died = True
        world.fuse.at = None
        schedules.run()
        assert (begun(world), schedules.run()) == (1, 0), at
        at += 1
    assert at > 5
