"""Trainings that come again by themselves, as often as the plan lets them."""

from __future__ import annotations

import calendar
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, get_args

from noren.clock import Clock
from noren.errors import Conflict, Forbidden, NotFound, Unprocessable
from noren.ids import TenantId
from noren.knowledge.crawls import Crawls
from noren.knowledge.models import Recurrence, Schedule, schedule_id
from noren.knowledge.row_store import Position
from noren.knowledge.schedule_store import ScheduleStore
from noren.knowledge.standing import check_may_train
from noren.knowledge.survey.models import Reach
from noren.plans.models import Entitlement, Resync
from noren.sites.models import Site
from noren.sites.service import Sites
from noren.tenants.models import Tenant
from noren.tenants.store import Refused

AT_ONCE = 200
"""Begun in one sweep; the rest is the next one's."""
_OFTEN: tuple[Resync, ...] = get_args(Resync)

_log = logging.getLogger("noren.knowledge")


class Schedules:
    """A tenant's schedules, and what begins them."""

    def __init__(
        self,
        store: ScheduleStore,
        crawls: Crawls,
        sites: Sites,
        tenant_of: Callable[[TenantId], Tenant],
        entitlement: Callable[[Tenant], Entitlement],
        clock: Clock,
    ) -> None:
        self._store, self._crawls, self._sites = store, crawls, sites
        self._tenant_of, self._entitlement, self._clock = tenant_of, entitlement, clock

    def check(self, entitlement: Entitlement, recurrence: Recurrence) -> None:
        """Raises Forbidden where the plan does not let a site be trained so often."""
        if allows(entitlement, recurrence):
            return
        above = (each for each in entitlement.fitting_plans if _OFTEN.index(each.resync) >= _OFTEN.index(recurrence))
        plan = next((each.plan for each in above), None)
        has = entitlement.plan.resync
        own = "can't repeat trainings" if has == "none" else f"repeats trainings {has} at most"
        other = f" The plan {plan} repeats them {recurrence}." if plan else ""
        raise Forbidden(
            f"The plan {entitlement.plan.plan} {own}.{other}",
            code="schedule_not_in_plan",
            upgrade_to=plan,
        )

    def setting(self, site: Site, url: str, reach: Reach, recurrence: Recurrence, actor: str) -> list[Any]:
        """The writes that have a training come again, counted from now; in place of what there was for this address."""
        now = self._clock()
        old = self._store.get(site.tenant_id, schedule_id(site.site_id, url))
        new = Schedule(
            schedule_id=schedule_id(site.site_id, url),
            tenant_id=site.tenant_id,
            site_id=site.site_id,
            url=url,
            schedule=recurrence,
            max_pages=reach.max_pages,
            max_depth=reach.max_depth,
            include=reach.include,
            exclude=reach.exclude,
            created_at=now,
            created_by=actor,
            due_at=following(now, recurrence, now),
        )
        return self._store.moving(old, new) if old else self._store.making(new)

    def some(
        self, tenant_id: TenantId, site_id: str | None, limit: int, position: Position | None
    ) -> tuple[list[Schedule], Position | None]:
        """Schedules, of a site or of all."""
        return self._store.some(tenant_id, site_id, limit, position)

    def get(self, tenant_id: TenantId, schedule_id: str) -> Schedule:
        """The schedule as it is now. Raises NotFound."""
        found = self._store.get(tenant_id, schedule_id)
        if found is None:
            raise NotFound("There is no such schedule")
        return found

    def delete(self, tenant_id: TenantId, schedule_id: str) -> None:
        """End a schedule; a training that runs goes on. Raises NotFound, Conflict."""
        if not self._store.delete(self.get(tenant_id, schedule_id)):
            raise Conflict("This schedule has just begun a training. Load it again, then repeat your request.")

    def run(self) -> int:
        """Begin the trainings whose time has come, each once; how many were begun."""
        begun = 0
        for tenant_id, of, due_at in islice(self._store.due(self._clock()), AT_ONCE):
            try:
                begun += self._run(tenant_id, of, due_at)
            except Exception as error:
                _log.error("a training did not begin", exc_info=error, extra={"fields": {"schedule": of}})
        return begun

    def _run(self, tenant_id: TenantId, of: str, due_at: int) -> bool:
        schedule = self._store.get(tenant_id, of)
        if schedule is None or int(schedule.due_at) != due_at:
            self._store.forget(tenant_id, of, due_at)
            return False
        again = replace(schedule, due_at=following(schedule.created_at, schedule.schedule, self._clock()))
        try:
            tenant = self._tenant_of(tenant_id)
            entitlement = self._entitlement(tenant)
            site = self._sites.get(tenant_id, schedule.site_id)
            check_may_train(tenant, site)
            if not allows(entitlement, schedule.schedule):
                raise Unprocessable("the plan does not let it")
            self._crawls.start(
                site,
                schedule.url,
                Reach(schedule.max_pages, schedule.max_depth, schedule.include, schedule.exclude),
                entitlement.limits.pages_per_site,
                schedule.created_by,
                schedule=schedule.schedule,
                also=self._store.moving(schedule, again),
            )
        except Refused:
            return False  # somebody else has begun it
        except (Conflict, Forbidden, NotFound, Unprocessable) as error:
            # A crawl of the site is open, or its owner, its address or its plan are not what they were: next time.
            _log.info("a training is passed over: %s", error.code, extra={"fields": {"schedule": of}})
            self._store.move(schedule, again.due_at)
            return False
        return True


def allows(entitlement: Entitlement, recurrence: Recurrence) -> bool:
    """Whether the plan lets a site be trained so often by itself."""
    return _OFTEN.index(entitlement.plan.resync) >= _OFTEN.index(recurrence)


def following(since: float, recurrence: Recurrence, now: float) -> float:
    """The first time after `now` of those that recur from `since` on; monthly on its day, or on the month's last."""
    if recurrence == "monthly":
        first, at = datetime.fromtimestamp(since, UTC), datetime.fromtimestamp(now, UTC)
        months = (at.year - first.year) * 12 + at.month - first.month
        times = (_months_after(first, months + more) for more in (0, 1))
        return next(each for each in times if each > now)
    step = timedelta(days=7 if recurrence == "weekly" else 1).total_seconds()
    return since + ((now - since) // step + 1) * step


def _months_after(first: datetime, months: int) -> float:
    year, month = divmod(first.year * 12 + first.month - 1 + months, 12)
    day = min(first.day, calendar.monthrange(year, month + 1)[1])
    return first.replace(year=year, month=month + 1, day=day).timestamp()
