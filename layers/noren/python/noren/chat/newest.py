"""Lists that go over several of a tenant's sites: the newest first, page by page, whichever site a row is of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from heapq import merge

from noren.tables import Item

LOOKED_AT = 1000
"""Rows that one page looks at; where few of them are wanted, it is shorter and says where to go on."""

Read = Callable[[str], tuple[list[Item], str | None]]
"""Gives a site's rows whose `sk` is below the given one, in falling order, and where to go on (None at the end)."""


def newest(sites: Iterable[Read], below: str) -> Iterator[Item]:
    """The sites' rows whose `sk` is below `below`, in falling order. What is read is read as it is needed."""
    return merge(*(_rows(read, below) for read in sites), key=lambda row: str(row["sk"]), reverse=True)


def page(rows: Iterator[Item], limit: int, is_wanted: Callable[[Item], bool]) -> tuple[list[Item], str | None]:
    """The next wanted rows, and the `sk` below which to go on (None at the end)."""
    wanted: list[Item] = []
    last: str | None = None
    for number, row in enumerate(rows):
        if len(wanted) == limit or number == LOOKED_AT:
            return wanted, last
        last = row["sk"]
        if is_wanted(row):
            wanted.append(row)
    return wanted, None


def _rows(read: Read, below: str) -> Iterator[Item]:
    position: str | None = below
    while position is not None:
        rows, position = read(position)
        yield from rows
