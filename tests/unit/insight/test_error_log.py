"""The error log: one row for what is alike, few writes in any flood, one event an hour; never a failed call."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from noren.ids import TenantId
from noren.insight.error_log import MOST_AT_ONCE, MOST_KINDS, ErrorLog
from noren.insight.error_store import KEPT_SECONDS, ErrorStore
from noren.insight.events import Events
from noren.insight.models import LoggedError
from noren.insight.store import InsightStore
from noren.tables import from_item
from tests.faults import emulator_client, make_table

NOW = 1_795_000_020.0  # a minute's beginning
TENANT, OTHER = TenantId(f"ten_{1:032x}"), TenantId(f"ten_{2:032x}")
SITE, SECOND = f"site_{1:032x}", f"site_{2:032x}"


class Ticks:
    """A clock that stands still until told."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@dataclass
class Writes:
    """Stands for the store and the events; counts what is written."""

    errors: list[LoggedError] = field(default_factory=list)
    events: list[tuple[str, str, str]] = field(default_factory=list)
    broken: bool = False

    def add(self, error: LoggedError) -> None:
        """Meets `ErrorStore.add`."""
        if self.broken:
            raise OSError
        self.errors.append(error)

    def emit(self, tenant_id: str, kind: str, key: str, data: dict[str, Any]) -> bool:
        """Meets `Events.emit`."""
        if self.broken:
            raise OSError
        self.events.append((tenant_id, kind, key))
        return True


def logged(writes: Writes) -> tuple[ErrorLog, Ticks]:
    clock = Ticks()
    return ErrorLog(cast(ErrorStore, writes), cast(Events, writes), clock), clock


def note(log: ErrorLog, code: str = "busy", site: str = SITE, tenant: TenantId = TENANT, status: int = 503) -> None:
    log.note(tenant, site, status, code, "Busy just now.", "t" * 32)


def test_a_flood_of_one_kind_is_two_writes_a_minute_and_loses_no_number() -> None:
    writes = Writes()
    log, clock = logged(writes)
    for _ in range(1000):
        note(log)
    assert [each.count for each in writes.errors] == [1]
    clock.now += 60
    log.flush()
    log.flush()
    assert [each.count for each in writes.errors] == [1, 999]
    assert {each.occurred_at for each in writes.errors} == {NOW}  # it is counted for the minute that it was in
    note(log)
    assert sum(each.count for each in writes.errors) == 1001


def test_a_flood_of_many_kinds_is_bounded_in_writes_and_memory() -> None:
    writes = Writes()
    log, clock = logged(writes)
    for number in range(5000):
        note(log, code=f"code_{number}")
    assert len(writes.errors) == MOST_AT_ONCE
    clock.now += 60
    log.flush()
    assert len(writes.errors) == MOST_AT_ONCE + MOST_KINDS
    assert len(writes.events) <= MOST_AT_ONCE + MOST_KINDS


def test_tenants_and_sites_are_told_apart() -> None:
    writes = Writes()
    log, _ = logged(writes)
    for tenant in (TENANT, OTHER):
        for site in (SITE, SECOND):
            note(log, site=site, tenant=tenant)
    assert {(each.tenant_id, each.site_id) for each in writes.errors} == {
        (tenant, site) for tenant in (TENANT, OTHER) for site in (SITE, SECOND)
    }


@pytest.mark.parametrize(
    ("status", "kept"),
    [(400, 0), (401, 0), (402, 1), (403, 1), (404, 0), (409, 0), (413, 0), (422, 0), (429, 1), (500, 1), (502, 1)],
)
def test_what_an_owner_can_use_is_kept(status: int, kept: int) -> None:
    writes = Writes()
    log, _ = logged(writes)
    note(log, status=status)
    assert len(writes.errors) == kept


def test_an_event_goes_out_once_per_code_and_hour() -> None:
    writes = Writes()
    log, clock = logged(writes)
    for _ in range(3):
        for site in (SITE, SECOND):
            note(log, site=site)
        note(log, code="timed_out")
        clock.now += 61
    assert [key for _, _, key in writes.events] == ["busy#2026-11-18T11", "timed_out#2026-11-18T11"]
    clock.now += 3600
    note(log)
    assert writes.events[-1] == (TENANT, "error", "busy#2026-11-18T12")


def test_logging_never_fails_a_request() -> None:
    writes = Writes(broken=True)
    log, clock = logged(writes)
    note(log)
    note(log)
    clock.now += 60
    log.flush()


def test_messages_are_bounded() -> None:
    writes = Writes()
    log, _ = logged(writes)
    log.note(TENANT, SITE, 502, "upstream_failed", "x" * 5000, "t" * 32)
    assert len(writes.errors[0].message) == 300


class Log:
    """Two containers that log into one table."""

    def __init__(self) -> None:
        self.client, self.clock = emulator_client(), Ticks()
        make_table(self.client, "events")
        store = ErrorStore(self.client, "events")
        events = Events(InsightStore(self.client, "events"), self.clock)
        self.here, self.there = (ErrorLog(store, events, self.clock) for _ in range(2))

    def page(self, limit: int = 100, position: Any = None, **filters: Any) -> Any:
        return self.here.page(TENANT, NOW - 86400, self.clock() + 86400, limit, position, **filters)

    def items(self, prefix: str) -> list[dict[str, Any]]:
        found = map(from_item, self.client.scan(TableName="events")["Items"])
        return [item for item in found if item["pk"].startswith(prefix)]


def test_containers_add_up_in_one_row_and_tell_one_event(aws: str) -> None:
    log = Log()
    for _ in range(3):
        note(log.here)
        note(log.there)
    note(log.there, tenant=OTHER)
    log.clock.now += 60
    log.here.flush()
    log.there.flush()
    ((error,), following) = log.page()
    assert (error.count, error.code, error.status, error.site_id, error.occurred_at) == (6, "busy", 503, SITE, NOW)
    assert (error.message, error.trace_id, following) == ("Busy just now.", "t" * 32, None)
    (row,) = log.items(f"ERR#{TENANT}")
    assert row["expires_at"] == NOW + KEPT_SECONDS
    (event,) = log.items(f"EVT#{TENANT}")
    assert (event["kind"], event["data"]["code"], event["data"]["site_id"]) == ("error", "busy", SITE)


def test_errors_are_paged_and_filtered(aws: str) -> None:
    log = Log()
    for minute in range(6):
        log.clock.now = NOW + 60 * minute
        note(log.here, site=SITE if minute % 2 else SECOND, code="busy" if minute < 4 else "timed_out")
    log.clock.now += 60
    seen, position = [], None
    while True:
        errors, position = log.page(4, position)
        seen += [each.occurred_at for each in errors]
        if position is None:
            break
    assert seen == [NOW + 60 * minute for minute in range(5, -1, -1)]
    assert [each.occurred_at for each in log.page(site_id=SITE, code="busy")[0]] == [NOW + 180, NOW + 60]
    (newest,), following = log.page(1, site_id=SITE)
    assert (newest.code, bool(following)) == ("timed_out", True)
    (next_one,), _ = log.page(1, following, site_id=SITE)
    assert next_one.occurred_at == NOW + 180
    assert log.here.page(TENANT, NOW + 60, NOW + 120, 10, None)[0][-1].occurred_at == NOW + 60
    assert log.here.page(OTHER, NOW - 60, NOW + 3600, 10, None) == ([], None)
