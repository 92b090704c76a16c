"""Quarter-hours, and the days and months that they make in a time zone.

A quarter-hour is a number: epoch seconds // 900. Every zone's offset is a multiple of 15 minutes, so that days and
months of any zone are whole quarter-hours, also where clocks are moved.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import date, datetime, timedelta

from noren.clock import day_end, day_of, zone

SECONDS = 900

_REQUEST = re.compile(r"req_[0-9a-f]{32}\Z")


def quarter_of(request_id: str) -> int | None:
    """The quarter-hour in which a request began: its id says when. None for what is no request's id."""
    return int(request_id[4:16], 16) // (SECONDS * 1000) if _REQUEST.match(request_id) else None


def id_range(quarters: range) -> tuple[str, str]:
    """The least and the greatest id that a request of these (adjoining) quarter-hours can have."""
    first, after = (number * SECONDS * 1000 for number in (quarters.start, quarters.stop))
    return f"req_{first:012x}", f"req_{after - 1:012x}~"


def day_of_quarter(number: int, tz: str) -> str:
    """`2026-11-26`: the day in the zone that a quarter-hour belongs to."""
    return day_of(number * SECONDS, tz)


def quarters_of_day(day: str, tz: str) -> range:
    """The quarter-hours of a day in the zone: 96, or 92, 94, 98, 100 where clocks are moved."""
    start = datetime.fromisoformat(day).replace(tzinfo=zone(tz)).timestamp()
    return range(math.ceil(start / SECONDS), math.ceil(day_end(start, tz) / SECONDS))


def quarters_of_days(first: str, last: str, tz: str) -> range:
    """The quarter-hours of the days from `first` to `last`."""
    return range(quarters_of_day(first, tz).start, quarters_of_day(last, tz).stop)


def days_of_month(month: str) -> tuple[str, str]:
    """`2026-11` -> its first and last day."""
    first = date.fromisoformat(f"{month}-01")
    following = (first + timedelta(days=31)).replace(day=1)
    return first.isoformat(), (following - timedelta(days=1)).isoformat()


def month_after(month: str, number: int) -> str:
    """The month `number` months later (earlier, if negative)."""
    count = int(month[:4]) * 12 + int(month[5:]) - 1 + number
    return f"{count // 12:04d}-{count % 12 + 1:02d}"


def months_back(first: str, last: str) -> Iterator[str]:
    """The months from `last` back to `first`."""
    while last >= first:
        yield last
        last = month_after(last, -1)
