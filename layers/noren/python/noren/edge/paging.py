"""Lists: `limit` and `cursor` in, `items` and `next_cursor` out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from noren.edge.cursor import Cursors
from noren.edge.http import Call

T = TypeVar("T")
Position = dict[str, str]


class PageQuery(BaseModel):
    """The paging part of a list's query; subclasses add filters."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=100)] = 20
    cursor: Annotated[str, Field(max_length=2000)] | None = None


class Page(BaseModel, Generic[T]):
    """One page, newest first. `next_cursor` is null on the last."""

    items: list[T]
    next_cursor: str | None = None


def paged(
    call: Call, route: str, read: Callable[[int, Position | None], tuple[list[Any], Position | None]]
) -> tuple[list[Any], str | None]:
    """Run `read(limit, position)` for the call's query; (items, next cursor). The filter is the rest of the query."""
    cursors = Cursors(call.services.signer)
    query: PageQuery = call.query
    filter: Mapping[str, Any] = query.model_dump(exclude={"limit", "cursor"})
    position = cursors.decode(call.caller.tenant_id, route, filter, query.cursor) if query.cursor else None
    items, following = read(query.limit, position)
    return items, cursors.encode(call.caller.tenant_id, route, filter, following) if following else None


def listed(call: Call, route: str, rows: Sequence[T], view: Callable[[T], Any]) -> Page[Any]:
    """A page of rows that are in memory anyway (the catalogue is small)."""

    def read(limit: int, position: Position | None) -> tuple[list[T], Position | None]:
        start = int(position["after"]) if position else 0
        more = len(rows) > start + limit
        return list(rows[start : start + limit]), {"after": str(start + limit)} if more else None

    items, following = paged(call, route, read)
    return Page(items=[view(each) for each in items], next_cursor=following)
