"""Summaries are exact, whatever the stream, the consumers and the clock's zone do."""

from __future__ import annotations

import itertools
import random
import threading
import time
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from noren.clock import from_iso as at
from noren.sites.experiments import MOST_ARMS, MOST_AT_ONCE
from noren.usage.arms import ArmTally, Moments
from noren.usage.models import UsageRecord
from noren.usage.summary_store import Summary
from noren.usage.tally import MOST_CELLS, OTHER, Tally, total
from tests.faults import Crash, Fault, Faulty
from tests.unit.usage.world import NOW, World, cells_of, expected, expected_arms

ACCIDENTS: tuple[Fault, ...] = (
    *("crash_before", "crash_after", "throttle", "server"),
    *("timeout_before", "timeout_after", "late_copy", "twice"),
)
DELIVERIES = 5
WINDOW = 300
"""Records that the stream waits for."""


class Stream:
    """Tells of each record five times, after it was written: in batches of any size and order."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._lock = threading.Lock()
        self._due: list[UsageRecord] = []
        self.open = True

    def tell(self, record: UsageRecord) -> None:
        with self._lock:
            for _ in range(DELIVERIES):
                self._due.insert(self._rng.randint(0, len(self._due)), record)

    def take(self) -> list[UsageRecord]:
        with self._lock:
            if self.open and len(self._due) < WINDOW:
                return []
            count = self._rng.randint(1, 2 * WINDOW)
            batch, self._due = self._due[:count], self._due[count:]
            return batch

    def over(self) -> bool:
        return not self.open and not self._due


def consume(world: World, stream: Stream, seed: int, trouble: list[str]) -> None:
    """One consumer: some of its deliveries die or fail at some call, and come again; some of its writes are slow."""
    rng = random.Random(seed)
    late: list[Faulty] = []

    def slow(name: str, _: dict[str, Any]) -> None:
        if name == "put_item" and rng.random() < 0.05:
            time.sleep(rng.random() * 0.1)

    while not stream.over():
        batch = stream.take()
        while batch:
            process = Faulty(world.client, before=slow)
            if rng.random() < 0.5 or not trouble:
                process.plan[rng.randint(0, 25)] = rng.choice(ACCIDENTS)
            late.append(process)
            try:
                world.told(*batch, summaries=world.consumer(process))
                break
            except (Crash, ClientError, ReadTimeoutError) as accident:
                trouble.append(type(accident).__name__)
        if rng.random() < 0.3 and late:
            late.pop(0).deliver()
        time.sleep(0.01)
    for process in late:
        process.deliver()


def test_a_thousand_records_told_five_times_amid_crashes_and_stale_writers(world: World) -> None:
    rng = random.Random(20261130)
    stream, trouble = Stream(rng), list[str]()
    made = [world.some(NOW + rng.uniform(0, 3000), rng) for _ in range(1000)]

    def write() -> None:
        for number, each in enumerate(made):
            world.put(each)
            stream.tell(each)
            if each.decision == "RELEASE" and rng.random() < 0.3:
                made[number] = replace(each, late=True, revision=2, cost_usd=each.cost_usd + 1)
                assert world.records.put_late(made[number])
                stream.tell(made[number])
        stream.open = False

    threads = [threading.Thread(target=write)]
    threads += [threading.Thread(target=consume, args=(world, stream, seed, trouble)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert trouble
    days, months = expected(made, "Asia/Tokyo"), expected(made, "Asia/Tokyo", 7)
    assert {key[0] for key in days} == {"2026-11-30", "2026-12-01"}
    assert world.stored_days() == days
    assert world.stored_months() == months
    for experiment_id in ("exp_1", "exp_2", "exp_of_nobody"):
        assert world.arms(experiment_id) == expected_arms(made, experiment_id)
    for month in ("2026-11", "2026-12"):
        of_all = world.store.total(world.tenant, world.zoning, month)
        assert of_all
        whole = total(of_all.cells)
        for name in ("requests", "chats", "errors", "cost_usd", "late_cost_usd", "tokens_embedding"):
            assert getattr(whole, name) == sum(each[name] for key, each in months.items() if key[0] == month)
    assert world.prover.prove(world.tenant, "2026-11-29", "2026-12-02").differences == []


@pytest.mark.parametrize("level", ["quarter", "day", "month", "total"])
def test_a_writer_who_knows_less_is_refused_at_every_level(world: World, level: str) -> None:
    first, second = world.record(NOW), world.record(NOW + 1)
    world.add(first)
    held: list[tuple[str, dict[str, Any]]] = []

    def hold(name: str, options: dict[str, Any]) -> None:
        """The process dies at the write of that level; its request is delivered late."""
        marks = {"quarter": "Q#", "day": "D#", "month": "M#", "total": world.tenant}
        if name == "put_item" and options["Item"]["sk"]["S"].startswith(marks[level]):
            held.append((name, options))
            raise Crash

    with suppress(Crash):
        world.told(first, summaries=world.consumer(Faulty(world.client, before=hold)))
    world.add(second)
    before = world.stored_days(), world.stored_months(), world.store.totals("2026-11")[world.tenant]
    (name, options) = held[0]
    with pytest.raises(ClientError, match="ConditionalCheckFailed"):
        getattr(world.client, name)(**options)
    assert (world.stored_days(), world.stored_months(), world.store.totals("2026-11")[world.tenant]) == before
    assert before[0] == expected([first, second], "Asia/Tokyo")


def test_two_quarter_hours_at_once_are_both_in_the_day(world: World) -> None:
    """A day is read after its quarter-hour was written: the other way round, two consumers lose one."""
    first, second = world.record(NOW), world.record(NOW - 1800)
    world.put(first, second)
    done = False

    def meanwhile(name: str, options: dict[str, Any]) -> None:
        nonlocal done
        if name == "put_item" and options["Item"]["sk"]["S"].startswith("Q#") and not done:
            done = True
            world.told(second)

    world.told(first, summaries=world.consumer(Faulty(world.client, before=meanwhile)))
    assert done
    assert world.stored_days() == expected([first, second], "Asia/Tokyo")


def test_what_one_chat_costs(world: World) -> None:
    """docs/summaries.md reckons with these calls."""
    world.add(world.record(NOW - 60))
    record = world.record(NOW)
    world.put(record)
    weak: list[str] = []

    def look(name: str, options: dict[str, Any]) -> None:
        if name != "put_item" and options.get("ConsistentRead") is not True:
            weak.append(name)

    client = Faulty(world.client, before=look)
    world.told(record, summaries=world.consumer(client))
    assert not weak, "a read that lags builds on what is not there yet; the emulator's never lag"
    reads = ["query", "put_item", "get_item"]  # the records, the quarter-hour, the zone (and the tenant's own)
    assert client.calls == [*reads, *["query", "put_item"] * 3]


def test_a_release_is_an_error_and_never_a_chat(world: World) -> None:
    released = replace(world.record(NOW), decision="RELEASE", chats=1, credits=7, cost_usd=Decimal("0.5"))
    world.add(released)
    late = replace(released, late=True, revision=2, cost_usd=Decimal("0.75"))
    world.records.put_late(late)
    world.told(late)
    (row,) = world.rows()
    assert (row.tally.requests, row.tally.errors, row.tally.chats, row.tally.credits) == (1, 1, 0, 0)
    assert (row.tally.cost_usd, row.tally.late_cost_usd) == (Decimal("0.75"), Decimal("0.75"))
    assert row.tally.total.counts == {}


def test_costs_add_up_to_the_last_digit(world: World) -> None:
    costs = [Decimal("12345678901234567890.0123456789"), Decimal("0.0000000001"), Decimal(1) / 3]
    for number, cost in enumerate(costs):
        world.add(world.record(NOW + number, cost_usd=cost))
    (row,) = world.rows()
    assert str(row.tally.cost_usd) == "12345678901234567890.3456790123333333333333333333"


@pytest.mark.parametrize("told_in_between", [True, False])
def test_another_time_zone_leaves_no_wrong_day(world: World, told_in_between: bool) -> None:
    rng = random.Random(3)
    records = [world.some(NOW - hours * 3600, rng) for hours in range(0, 80, 2)]
    world.add(*records)
    for zone in ("America/New_York", "Asia/Kathmandu", "Asia/Tokyo"):
        world.zone = zone
        assert by_day(world) == by_day_expected(records, zone), "right before any summary is in the new zone"
        more = world.some(NOW, rng)
        records.append(more)
        world.put(more)
        world.told(more) if told_in_between else world.summaries.zoning(world.tenant)
        if told_in_between:
            assert world.zoning.whole
            assert world.stored_days() == expected(records, zone)
            assert world.stored_months() == expected(records, zone, 7)
            assert by_day(world) == by_day_expected(records, zone)
        else:
            world.told(more)


def test_what_moves_to_another_day_and_month_is_gone_from_the_one_before(world: World) -> None:
    """Nothing overwrites the old day: there is no request left on it."""
    record = world.record(at("2026-11-01T03:00:00+09:00"))
    world.add(record)
    assert set(world.stored_days()) == {("2026-11-01", world.sites[0], "phi", "chatbot")}
    world.zone = "America/New_York"
    world.summaries.zoning(world.tenant)
    assert world.stored_days() == expected([record], "America/New_York")
    assert world.stored_months() == expected([record], "America/New_York", 7)
    assert by_day(world) == {"2026-10-31": 1}
    assert world.store.total(world.tenant, world.zoning, "2026-11") is None
    found = {month: world.reports.month(month, {world.tenant: world.zone}) for month in ("2026-10", "2026-11")}
    assert [found[month][world.tenant].requests for month in sorted(found)] == [1, 0]

    other = World(world.client)
    other.zone = "America/New_York"
    other.add(other.record(at("2026-11-01T03:00:00+09:00")))
    other.zone = "Asia/Tokyo"  # no consumer knows yet: the site is found by the month before
    assert by_day(other) == {"2026-11-01": 1}


def test_a_consumer_of_the_zone_before_changes_nothing_of_the_new_one(world: World) -> None:
    records = [world.record(NOW - number * 3600) for number in range(30)]
    world.add(*records)
    more = world.record(NOW + 60)
    world.put(more)

    def change(name: str, options: dict[str, Any]) -> None:
        if name == "put_item" and options["Item"]["sk"]["S"].startswith("D#") and world.zone == "Asia/Tokyo":
            world.zone = "UTC"
            world.summaries.zoning(world.tenant)

    world.told(more, summaries=world.consumer(Faulty(world.client, before=change)))
    assert world.zoning.zone == "UTC"
    assert world.stored_days() == expected([*records, more], "UTC")


def test_who_dies_while_changing_the_zone_is_followed_by_somebody_who_finishes(world: World) -> None:
    records = [world.record(NOW - number * 7200) for number in range(20)]
    world.add(*records)
    world.zone = "UTC"
    for number in range(60):
        process = Faulty(world.client)
        process.plan[number] = "crash_after"
        try:
            world.told(records[0], summaries=world.consumer(process))
        except Crash:
            assert by_day(world) == by_day_expected(records, "UTC"), number
            continue
        break
    assert number > 3
    assert world.zoning.whole
    assert world.stored_days() == expected(records, "UTC")


def test_many_models_stay_within_an_item_and_the_sums_stay_whole(world: World) -> None:
    names = [f"{number:03d}-{'x' * 300}" for number in range(150)]
    records = [world.record(NOW, model=name, total_ms=number * 7 + 1) for number, name in enumerate(names)]
    records += [world.record(NOW, model="favourite") for _ in range(3)]
    world.add(*records)
    world.add(*[world.record(NOW + 900, model="second") for _ in range(2)])
    (day,) = world.store.days(world.tenant, world.zoning, world.sites[0], "2026-11-30", "2026-11-30")
    assert len(day.cells) == MOST_CELLS + 1
    assert day.cells["favourite", "chatbot"].requests == 3
    assert total(day.cells).requests == 153
    (month,) = world.store.months(world.tenant, world.zoning, "2026-12", "2026-12")
    assert month.cells["second", "chatbot"].requests == 2
    assert day.cells[OTHER, OTHER].requests == 153 - 3 - (MOST_CELLS - 1)


def test_the_greatest_summary_fits_into_an_item(world: World) -> None:
    """Every bucket, every digit, every cell; twice as many experiments as can be started within a month."""
    from noren.usage.histogram import BOUNDS, LONGEST_MS

    full = Tally(*(10**12,) * 8, Decimal(10**12) + Decimal("0.0123456789"), Decimal(10**9))
    for bound in (*BOUNDS, LONGEST_MS + 1):
        full.first_token.count(bound)
        full.total.count(bound)
    for histogram in (full.first_token, full.total):
        histogram.counts = dict.fromkeys(histogram.counts, 10**9)
    cells = {(f"{number:02d}" + "暖" * 98, "廉" * 100): full for number in range(MOST_CELLS + 1)}
    digits = Moments(10**12, Decimal(10**15), Decimal(10**30) + Decimal("1e-20"))
    most_arms = itertools.product(range(2 * MOST_AT_ONCE), "ABCDE"[:MOST_ARMS])
    arms = {
        (f"exp_{number:032d}", arm * 20): ArmTally(*(10**12,) * 3, digits, digits, digits) for number, arm in most_arms
    }
    summary = Summary(world.sites[0], "2026-11-30", 1, cells, arms)
    seen: list[int] = []

    def measure(name: str, options: dict[str, Any]) -> None:
        seen.append(len(repr(options["Item"]).encode()))

    from noren.usage.summary_store import SummaryStore, Zoning

    store = SummaryStore(Faulty(world.client, before=measure), "usage")  # type: ignore[arg-type]
    assert store.put_day(world.tenant, Zoning("UTC", 1, 1), summary)
    assert seen[0] < 350_000, "as text even, which is longer than what is stored"
    (read,) = world.store.days(world.tenant, Zoning("UTC", 1, 1), world.sites[0], "2026-11-30", "2026-11-30")
    assert read == summary


def test_an_empty_quarter_hour_is_no_summary(world: World) -> None:
    """Expired records are taken away with an event, too; what was summed up stays."""
    record = world.record(NOW)
    world.add(record)
    before = world.stored_days()
    world.client.delete_item(
        TableName="usage",
        Key={"pk": {"S": f"USE#{world.tenant}"}, "sk": {"S": f"U#{record.request_id}"}},
    )
    world.told(record)
    assert world.stored_days() == before == expected([record], "Asia/Tokyo")


def test_cells_are_told_from_each_other(world: World) -> None:
    summary = Summary(world.sites[0], "1995611", 2, cells_of(Tally(requests=2)))
    assert world.store.put_quarter(world.tenant, summary)
    assert world.store.quarters(world.tenant, world.sites[0], range(1995611, 1995612)) == [summary]
    assert world.store.quarters(world.tenant, world.sites[1], range(1995611, 1995612)) == []
    assert not world.store.put_quarter(world.tenant, replace(summary, revisions=1))


def by_day(world: World) -> dict[str, int]:
    return {row.period: row.tally.requests for row in world.rows()}


def by_day_expected(records: list[UsageRecord], zone: str) -> dict[str, int]:
    days: dict[str, int] = {}
    for key, each in expected(records, zone).items():
        days[key[0]] = days.get(key[0], 0) + each["requests"]
    return days
