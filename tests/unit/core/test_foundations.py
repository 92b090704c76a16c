"""Ids, time, money and attribute conversion: small, and everything stands on them."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noren import clock, ids, money, settings, tables


def epoch(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0) -> float:
    return datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()


def test_ids_sort_by_time_and_never_repeat() -> None:
    made = [ids.new_id("req", 1_700_000_000 + step / 1000) for step in range(500)]
    assert made == sorted(made)
    assert len({ids.new_id("req", 1.0) for _ in range(2000)}) == 2000


@given(st.floats(min_value=0, max_value=2**40 / 1000))
def test_an_id_knows_when_it_was_made(now: float) -> None:
    made = ids.new_id("ten", now)
    assert ids.is_id(made, "ten")
    assert abs(ids.created_at(made) - now) <= 0.001


@pytest.mark.parametrize(
    "value", ["", "ten_", "ten_xyz", "ten_" + "0" * 31, "ten_" + "0" * 33, "ten_" + "A" * 32, "TEN_" + "0" * 32]
)
def test_what_is_no_id(value: str) -> None:
    assert not ids.is_id(value, "ten")


def test_uuid_version_and_variant() -> None:
    digits = ids.uuid7_hex()
    assert digits[12] == "7"
    assert digits[16] in "89ab"


@pytest.mark.parametrize(
    ("now", "zone", "end"),
    [
        (epoch(2026, 11, 20), "Asia/Tokyo", epoch(2026, 11, 30, 15)),
        (epoch(2026, 12, 31, 14, 59, 59), "Asia/Tokyo", epoch(2026, 12, 31, 15)),
        (epoch(2026, 12, 31, 15), "Asia/Tokyo", epoch(2027, 1, 31, 15)),
        (epoch(2026, 3, 10), "America/New_York", epoch(2026, 4, 1, 4)),
        (epoch(2026, 11, 1, 5), "America/New_York", epoch(2026, 12, 1, 5)),
    ],
)
def test_months_end_in_the_tenants_zone(now: float, zone: str, end: float) -> None:
    assert clock.month_end(now, zone) == end
    assert clock.month_of(end, zone) != clock.month_of(now, zone)
    assert clock.month_of(end - 1, zone) == clock.month_of(now, zone)


@given(
    st.integers(0, 4_000_000_000),
    st.sampled_from(["Asia/Tokyo", "UTC", "America/Sao_Paulo", "Pacific/Apia", "Europe/Berlin"]),
)
def test_day_and_month_ends_are_ahead_and_days_left_add_up(now: int, zone: str) -> None:
    assert now < clock.day_end(now, zone) <= now + 49 * 3600
    assert clock.day_end(now, zone) <= clock.month_end(now, zone)
    left, days = clock.days_left(now, zone)
    assert 1 <= left <= days
    assert 28 <= days <= 31


def test_iso_round_trip() -> None:
    assert clock.iso(clock.from_iso("2026-11-20T03:04:05Z")) == "2026-11-20T03:04:05Z"


def test_yen_has_no_minor_unit() -> None:
    assert money.to_minor(Decimal(7800), "JPY") == 7800
    assert money.to_minor(Decimal("7800.5"), "KRW") == 7801
    assert money.to_minor(Decimal("52.005"), "USD") == 5201


@given(st.decimals(0, 1_000_000, places=10), st.decimals("0.001", 2000, places=4))
def test_conversion_rounds_once(cost: Decimal, rate: Decimal) -> None:
    snapshot = money.convert(cost, "JPY", rate)
    assert abs(snapshot.amount - cost * rate) <= money.COST_PLACES / 2
    assert snapshot.rate == rate


@given(st.decimals(-1000, 1000, places=10))
def test_decimals_go_out_plainly(value: Decimal) -> None:
    text = money.plain(value)
    assert Decimal(text) == value
    assert "E" not in text
    assert text == "0" or not text.endswith(("0", ".")) or "." not in text


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**37), 10**37) | st.text() | st.decimals("-1e9", "1e9", places=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(min_size=1, max_size=8), values, max_size=6))
def test_items_survive_dynamodb(item: dict[str, object]) -> None:
    assert tables.from_item(tables.to_item(item)) == item


def test_binary_floats_are_refused() -> None:
    with pytest.raises(TypeError):
        tables.to_attr(0.1)


def test_settings_come_from_the_environment_only_by_name() -> None:
    read = settings.Settings.from_env({"TENANTS_TABLE": "t", "AWS_REGION": "eu-west-1", "SECRET": "x", "STAGE": ""})
    assert (read.tenants_table, read.region, read.stage) == ("t", "eu-west-1", "local")
