"""Sums that don't depend on how and in which order they are added; latencies within their promised error."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noren.usage.histogram import BOUNDS, LONGEST_MS, Histogram
from noren.usage.models import UsageRecord
from noren.usage.periods import day_of_quarter, id_range, month_after, months_back, quarter_of, quarters_of_day
from noren.usage.tally import MOST_CELLS, OTHER, Cells, Tally, counted, merged, total

LATENCIES = st.lists(st.integers(0, LONGEST_MS), min_size=1, max_size=200)
COSTS = st.decimals(0, 10**6, places=10, allow_nan=False)


@st.composite
def cells(draw: st.DrawFn) -> Cells:
    names = st.tuples(st.sampled_from("abc"), st.sampled_from("xy"))
    made: Cells = {}
    for key in draw(st.sets(names)):
        a, b, c, d, e, f, g, h = (draw(st.integers(0, 10**9)) for _ in range(8))
        tally = Tally(a, b, c, d, e, f, g, h, draw(COSTS), draw(COSTS))
        for histogram in (tally.first_token, tally.total):
            for ms in draw(st.lists(st.integers(0, LONGEST_MS), max_size=5)):
                histogram.count(ms)
        made[key] = tally
    return made


@given(cells(), cells(), cells())
def test_adding_up_is_associative_and_commutative(a: Cells, b: Cells, c: Cells) -> None:
    whole = merged([a, b, c])
    assert whole == merged([merged([a, b]), c]) == merged([a, merged([b, c])]) == merged([c, b, a])
    assert merged([a]) == merged([a, {}]) == a
    assert total(whole).requests == sum(total(each).requests for each in (a, b, c))
    assert total(whole).cost_usd == total(a).cost_usd + total(b).cost_usd + total(c).cost_usd


@given(st.lists(LATENCIES, min_size=1, max_size=4))
def test_histograms_of_parts_are_that_of_the_whole(parts: list[list[int]]) -> None:
    whole, added = Histogram(), Histogram()
    for part in parts:
        one = Histogram()
        for ms in part:
            one.count(ms)
            whole.count(ms)
        added.add(one)
    assert added == whole == Histogram.parse(str(whole))


@given(LATENCIES, st.sampled_from([50, 95, 99, 100]))
@settings(max_examples=300)
def test_percentiles_are_within_five_percent(latencies: list[int], percent: int) -> None:
    histogram = Histogram()
    for ms in latencies:
        histogram.count(ms)
    exact = sorted(latencies)[math.ceil(len(latencies) * percent / 100) - 1]
    found = histogram.percentile(percent)
    assert found is not None
    assert abs(found - exact) <= max(1, 0.05 * exact)


def test_every_bucket_keeps_the_promised_error() -> None:
    for bucket, high in enumerate(BOUNDS):
        low = BOUNDS[bucket - 1] + 1 if bucket else 1
        middle = Histogram({bucket: 1}).percentile(50)
        assert middle is not None
        assert abs(middle - low) <= 0.05 * low
        assert abs(middle - high) <= 0.05 * high


def test_the_buckets_stay_as_they_are() -> None:
    """Stored counts are by bucket number: moving a boundary would change what they mean."""
    assert (len(BOUNDS), BOUNDS[50], BOUNDS[100], BOUNDS[-1]) == (149, 199, 14_444, 900_000)
    assert Histogram().percentile(50) is None
    beyond = Histogram()
    beyond.count(10**9)
    assert beyond.percentile(99) == (BOUNDS[-2] + 1 + LONGEST_MS) // 2


def record(**changes: object) -> UsageRecord:
    return replace(UsageRecord("req_" + "0" * 32, "ten_x", "site_x", 0.0), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "errors", "chats"),
    [
        ({}, 0, 1),
        ({"status": "canned", "chats": 0}, 0, 0),
        ({"status": "degraded"}, 0, 1),
        ({"status": "cancelled"}, 0, 1),
        ({"status": "partial"}, 1, 1),
        ({"status": "denied", "chats": 0}, 1, 0),
        ({"status": "failed", "decision": "RELEASE"}, 1, 0),
        ({"status": "cancelled", "decision": "RELEASE"}, 1, 0),
    ],
)
def test_what_counts_as_an_error_and_as_a_chat(changes: dict[str, object], errors: int, chats: int) -> None:
    tally = total(counted([record(total_ms=5, **changes)]))
    assert (tally.requests, tally.errors, tally.chats) == (1, errors, chats)
    assert sum(tally.total.counts.values()) == 1 - errors
    assert tally.cost_usd == Decimal(0)


@given(st.lists(st.integers(0, 99), max_size=400))
def test_capping_loses_no_request(models: list[int]) -> None:
    made = counted(record(model=str(number)) for number in models)
    assert len(made) <= MOST_CELLS + 1
    assert total(made).requests == len(models)
    kept = [tally.requests for key, tally in made.items() if key != (OTHER, OTHER)]
    dropped = [models.count(each) for each in set(models) if (str(each), "chatbot") not in made]
    assert not dropped or min(kept) >= max(dropped)


@pytest.mark.parametrize(
    ("zone", "lengths"),
    [
        ("Asia/Tokyo", {96}),
        ("Asia/Kathmandu", {96}),
        ("America/New_York", {92, 96, 100}),
        ("America/Santiago", {92, 96, 100}),  # clocks move at midnight
        ("Australia/Lord_Howe", {94, 96, 98}),  # by half an hour
    ],
)
def test_days_are_whole_quarter_hours_without_gap_or_overlap(zone: str, lengths: set[int]) -> None:
    days = [f"2026-{month:02d}-{day:02d}" for month in (3, 4, 9, 10, 11) for day in range(1, 31)]
    found = set()
    for day in days:
        quarters = quarters_of_day(day, zone)
        found.add(len(quarters))
        assert {day_of_quarter(number, zone) for number in quarters} == {day}
        assert day_of_quarter(quarters.start - 1, zone) < day < day_of_quarter(quarters.stop, zone)
    assert found == lengths


def test_ids_tell_their_quarter_hour() -> None:
    first, last = id_range(range(1995611, 1995612))
    assert quarter_of(first + "0" * 20) == 1995611
    assert quarter_of(last.rstrip("~") + "f" * 20) == 1995611
    assert first + "0" * 20 >= first
    assert last.rstrip("~") + "f" * 20 <= last
    for odd in ("req_", "job_" + "0" * 32, "req_" + "g" * 32, "req_" + "0" * 31):
        assert quarter_of(odd) is None


def test_months_go_back_over_the_turn_of_the_year() -> None:
    assert list(months_back("2025-11", "2026-02")) == ["2026-02", "2026-01", "2025-12", "2025-11"]
    assert month_after("2026-12", 1) == "2027-01"
