"""Reports: the right rows in the right order, resumed where they stopped; proofs that find what is wrong."""

from __future__ import annotations

import random
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from noren import ids
from noren.clock import day_of
from noren.ids import TenantId
from noren.usage.proof import Prover
from noren.usage.reports import UsageReports, Wanted
from noren.usage.summary_store import Summary, SummaryStore
from noren.usage.tally import Tally
from tests.faults import Faulty
from tests.unit.usage.world import NOW, World, expected


@pytest.fixture
def busy(world: World) -> World:
    """Forty days of records on two sites."""
    rng = random.Random(7)
    world.add(*(world.some(NOW - rng.uniform(0, 40 * 86400), rng) for _ in range(60)))
    return world


def grouped(world: World, group_by: str | None, letters: int = 10) -> dict[tuple[str, str], int]:
    index = {"site": 1, "model": 2, "function": 3}
    rows: dict[tuple[str, str], int] = {}
    for key, each in expected(world.made, world.zone, letters).items():
        row = (key[0], key[index[group_by]] if group_by else "")
        rows[row] = rows.get(row, 0) + each["requests"]
    return rows


@pytest.mark.parametrize("group_by", [None, "site", "model", "function"])
@pytest.mark.parametrize("granularity", ["day", "month"])
def test_rows_by_group_newest_period_first(busy: World, group_by: str | None, granularity: str) -> None:
    rows = busy.rows(group_by=group_by, granularity=granularity)
    assert {(row.period, row.group): row.tally.requests for row in rows} == grouped(
        busy, group_by, 10 if granularity == "day" else 7
    )
    order = [(row.period, row.group) for row in rows]
    assert order == sorted(sorted(order, key=lambda each: each[1]), key=lambda each: each[0], reverse=True)


@pytest.mark.parametrize("granularity", ["day", "month"])
def test_rows_go_on_where_they_stopped(busy: World, granularity: Any) -> None:
    wanted = Wanted(busy.tenant, busy.zone, granularity, "2026-01-01", "2026-12-31", "model")
    whole = list(busy.reports.rows(wanted))
    for number in range(0, len(whole), 7):
        row = whole[number]
        assert list(busy.reports.rows(wanted, (row.period, row.group))) == whole[number + 1 :]


def test_a_range_and_a_site_are_kept(busy: World) -> None:
    rows = busy.rows(first="2026-11-05", last="2026-11-20", site_id=busy.sites[1], group_by="site")
    assert {row.group for row in rows} == {busy.sites[1]}
    assert rows[-1].period >= "2026-11-05"
    assert rows[0].period <= "2026-11-20"
    wanted = {key: each for key, each in grouped(busy, "site").items() if key[1] == busy.sites[1]}
    assert {(row.period, row.group): row.tally.requests for row in rows} == {
        key: each for key, each in wanted.items() if "2026-11-05" <= key[0] <= "2026-11-20"
    }


def test_reading_stops_with_the_reader(busy: World) -> None:
    """A page reads the months that it shows, not the whole range."""
    client = Faulty(busy.client)
    busy.reports = UsageReports(SummaryStore(client, "usage"))  # type: ignore[arg-type]
    wanted = Wanted(busy.tenant, busy.zone, "day", "2026-01-01", "2026-12-31")
    next(busy.reports.rows(wanted))
    few = len(client.calls)
    list(busy.reports.rows(wanted))
    assert few < (len(client.calls) - few) / 2


def test_nobody_sees_another_tenants_rows(busy: World) -> None:
    other = TenantId(ids.new_id("ten"))
    assert list(busy.reports.rows(Wanted(other, "UTC", "day", "2026-01-01", "2026-12-31"))) == []
    assert busy.reports.month("2026-11", {other: "UTC"}) == {other: Tally()}


def test_every_tenants_month_in_its_own_zone(busy: World) -> None:
    busy.add(busy.record(NOW + 1800))  # December in Tokyo, November in UTC
    for zone in ("Asia/Tokyo", "UTC"):
        for month in ("2026-10", "2026-11", "2026-12"):
            found = busy.reports.month(month, {busy.tenant: zone})[busy.tenant]
            wanted = [each for key, each in expected(busy.made, zone, 7).items() if key[0] == month]
            assert found.requests == sum(each["requests"] for each in wanted), (zone, month)
            assert found.cost_usd == sum(each["cost_usd"] for each in wanted)


def test_a_proof_of_what_is_right_finds_nothing_and_writes_nothing(busy: World) -> None:
    client = Faulty(busy.client)
    store = SummaryStore(client, "usage")  # type: ignore[arg-type]
    prover = Prover(store, busy.consumer(client), lambda: busy.now)
    first, last = prover.kept_days(busy.tenant)
    assert first < "2025-12-01" < last == day_of(busy.now, "Asia/Tokyo")
    proof = prover.prove(busy.tenant, first, last)
    assert proof.equal
    assert proof.differences == []
    assert proof.checked["day"] > 20
    assert proof.checked["month"] == 4
    assert proof.checked["total"] == 2
    assert set(client.calls) == {"get_item", "query"}


def test_a_proof_finds_and_mends_what_the_stream_never_told(busy: World) -> None:
    lost = [busy.record(NOW - 3600 * number) for number in range(3)]
    busy.put(*lost)
    proof = busy.prover.prove(busy.tenant, "2026-11-01", "2026-12-01")
    assert not proof.equal
    assert {each.kind for each in proof.differences} == {"quarter-hour", "day", "month", "total"}
    assert all(each.mended for each in proof.differences)
    assert busy.prover.prove(busy.tenant, "2026-11-01", "2026-12-01").differences == []
    assert sum(row.tally.requests for row in busy.rows()) == 63


def test_a_proof_finds_what_was_tampered_with(busy: World) -> None:
    (day, *_) = busy.store.days(busy.tenant, busy.zoning, busy.sites[0], "2026-11-01", "2026-11-30")
    forged = replace(day, cells={("phi", "chatbot"): Tally(requests=1, cost_usd=Decimal(1))})
    assert busy.store.put_day(busy.tenant, busy.zoning, forged)
    proof = busy.prover.prove(busy.tenant, "2026-11-01", "2026-11-30")
    (difference,) = proof.differences
    assert (difference.kind, difference.period, difference.stored, difference.made) == ("day", day.period, forged, day)
    assert difference.mended
    assert busy.prover.prove(busy.tenant, "2026-11-01", "2026-11-30").equal


def test_a_summary_of_more_than_there_is_is_told_and_kept(busy: World) -> None:
    """Records are gone, or somebody made them up: nothing repairs that silently."""
    quarters = busy.store.all_quarters(busy.tenant)
    some = next(each for each in quarters if int(each.period) * 900 > NOW - 20 * 86400)
    more = replace(some, revisions=some.revisions + 5)
    assert busy.store.put_quarter(busy.tenant, more)
    day = day_of(int(some.period) * 900, "Asia/Tokyo")
    proof = busy.prover.prove(busy.tenant, day, day)
    first = proof.differences[0]
    assert (first.kind, first.stored, first.made, first.mended) == ("quarter-hour", more, some, False)
    assert not proof.equal


def test_what_is_under_way_is_no_failure(busy: World) -> None:
    busy.put(busy.record(busy.now - 30))
    proof = busy.prover.prove(busy.tenant, *(day_of(busy.now, "Asia/Tokyo"),) * 2)
    assert proof.differences
    assert proof.equal
    busy.now += 3600
    assert isinstance(proof.differences[0].made, Summary)
