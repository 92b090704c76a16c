"""Trainings that come again: `SCHED#<tenant>` / `sch_…`, and `TRAINDUE` / time, tenant and id, for whoever begins them.

Both rows move together, from the time that was read to the next: so each time comes once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from noren.ids import TenantId, is_id
from noren.knowledge.items import made_of
from noren.knowledge.models import Schedule
from noren.knowledge.row_store import Position, RowStore
from noren.tables import Item, platform_key, tenant_key
from noren.tenants.store import Refused, transact

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class ScheduleStore:
    """Reads and writes; decides nothing."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client, self._rows = client, RowStore(client, table)

    def get(self, tenant_id: TenantId, schedule_id: str) -> Schedule | None:
        """The schedule as it is now, or None."""
        item = self._rows.get(_key(tenant_id, schedule_id)) if is_id(schedule_id, "sch") else None
        return made_of(Schedule, item) if item else None

    def some(
        self, tenant_id: TenantId, site_id: str | None, limit: int, position: Position | None
    ) -> tuple[list[Schedule], Position | None]:
        """Some schedules, of a site or of all, and where to go on."""
        only = {"site_id": site_id} if site_id else None
        items, following = self._rows.page(_pk(tenant_id), limit, position, only=only)
        return [made_of(Schedule, each) for each in items], following

    def due(self, now: float) -> Iterator[tuple[TenantId, str, int]]:
        """Whose schedules' time has come, and which time that is; the longest due first."""
        for item in self._rows.until(_due_pk(), f"{int(now) + 1:012d}"):
            yield TenantId(item["tenant_id"]), item["schedule_id"], item["due_at"]

    def forget(self, tenant_id: TenantId, schedule_id: str, due_at: int) -> None:
        """Remove a time at which nothing is to begin any more."""
        key = _due_key(tenant_id, schedule_id, due_at)
        transact(self._client, [self._rows.delete(key, "", {})])

    def delete(self, schedule: Schedule) -> bool:
        """Remove a schedule as it was read; False where it has moved on."""
        removing = self._rows.delete(_key_of(schedule), "due_at = :read", {":read": int(schedule.due_at)})
        try:
            transact(self._client, [removing, self._not_due(schedule)])
        except Refused:
            return False
        return True

    def move(self, old: Schedule, due_at: float) -> bool:
        """Set the next time; False where somebody else has."""
        try:
            transact(self._client, self.moving(old, replace(old, due_at=due_at)))
        except Refused:
            return False
        return True

    # Parts of transactions

    def making(self, new: Schedule) -> list[Any]:
        """The writes of a schedule that is not there yet."""
        return [self._rows.new(_item(new)), self._rows.put(_due_item(new))]

    def moving(self, old: Schedule, new: Schedule) -> list[Any]:
        """The writes of a schedule in place of the one that was read."""
        put = self._rows.put(_item(new), "due_at = :read", {":read": int(old.due_at)})
        if int(old.due_at) == int(new.due_at):
            return [put]
        return [put, self._not_due(old), self._rows.put(_due_item(new))]

    def _not_due(self, schedule: Schedule) -> Any:
        return self._rows.delete(_due_key_of(schedule), "", {})


def _pk(tenant_id: TenantId) -> str:
    return tenant_key(tenant_id, "SCHED")


def _due_pk() -> str:
    return platform_key("TRAINDUE")


def _key(tenant_id: TenantId, schedule_id: str) -> Item:
    return {"pk": _pk(tenant_id), "sk": schedule_id}


def _key_of(schedule: Schedule) -> Item:
    return _key(schedule.tenant_id, schedule.schedule_id)


def _due_key(tenant_id: TenantId, schedule_id: str, due_at: int) -> Item:
    return {"pk": _due_pk(), "sk": f"{due_at:012d}#{tenant_id}#{schedule_id}"}


def _due_key_of(schedule: Schedule) -> Item:
    return _due_key(schedule.tenant_id, schedule.schedule_id, int(schedule.due_at))


def _item(schedule: Schedule) -> Item:
    times = {name: int(getattr(schedule, name)) for name in ("due_at", "created_at")}
    return _key_of(schedule) | asdict(schedule) | times


def _due_item(schedule: Schedule) -> Item:
    names = {"tenant_id": schedule.tenant_id, "schedule_id": schedule.schedule_id, "due_at": int(schedule.due_at)}
    return _due_key_of(schedule) | names
