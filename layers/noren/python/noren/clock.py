"""Time as the product sees it: epoch seconds inside, ISO 8601 UTC outside, months and days in the tenant's zone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

Clock = Callable[[], float]
"""Returns epoch seconds. `time.time` in production; tests pass their own."""


def iso(epoch: float) -> str:
    """`2026-11-20T03:04:05Z` (whole seconds)."""
    return datetime.fromtimestamp(int(epoch), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def from_iso(text: str) -> float:
    """Epoch seconds of an ISO 8601 time. Raises ValueError."""
    return datetime.fromisoformat(text).timestamp()


@lru_cache(maxsize=64)
def zone(name: str) -> ZoneInfo:
    """The IANA zone. Raises `zoneinfo.ZoneInfoNotFoundError` (a KeyError) or ValueError for an unknown name."""
    return ZoneInfo(name)


def day_of(epoch: float, tz: str) -> str:
    """`2026-11-20`: the calendar day in the zone."""
    return datetime.fromtimestamp(epoch, zone(tz)).strftime("%Y-%m-%d")


def day_before(day: str) -> str:
    """`2026-11-19` before `2026-11-20`."""
    return (date.fromisoformat(day) - timedelta(days=1)).isoformat()


def month_of(epoch: float, tz: str) -> str:
    """`2026-11`: the calendar month in the zone."""
    return datetime.fromtimestamp(epoch, zone(tz)).strftime("%Y-%m")


def month_end(epoch: float, tz: str) -> int:
    """Epoch seconds of the first instant of the next month in the zone."""
    local = datetime.fromtimestamp(epoch, zone(tz))
    year, month = (local.year + 1, 1) if local.month == 12 else (local.year, local.month + 1)
    return int(datetime(year, month, 1, tzinfo=zone(tz)).timestamp())


def day_end(epoch: float, tz: str) -> int:
    """Epoch seconds of the first instant of the next day in the zone."""
    local = datetime.fromtimestamp(epoch, zone(tz))
    following = local.date() + timedelta(days=1)
    return int(datetime(following.year, following.month, following.day, tzinfo=zone(tz)).timestamp())


def days_left(epoch: float, tz: str) -> tuple[int, int]:
    """(days left in the month with today included, days in the month), for pro-rata grants."""
    local = datetime.fromtimestamp(epoch, zone(tz))
    last = (datetime.fromtimestamp(month_end(epoch, tz), zone(tz)) - timedelta(hours=12)).day
    return last - local.day + 1, last
