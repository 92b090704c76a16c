"""The error log: what went wrong for a tenant's callers."""

from __future__ import annotations

from functools import partial
from typing import Any

from noren.edge.http import Access, Call, Response, Route
from noren.edge.paging import Page, paged
from noren.insight.error_store import KEPT_SECONDS
from noren.insight.models import LoggedError
from noren.tenants.models import Role
from platform_api import csv_table
from platform_api import schemas_errors as e
from platform_api.span import sites, span

MOST_CSV_ROWS = 900
"""What one read looks at."""


def errors(call: Call) -> Page[e.ErrorOut] | Response:
    """The tenant's errors, or one site's."""
    query: e.ErrorsQuery = call.query
    now, as_csv = call.services.clock(), csv_table.is_wanted(call)
    site_id = sites(call)[0] if query.site_id else None
    read = partial(call.services.error_log.page, call.tenant_id, *span(call, now - KEPT_SECONDS, now + 86400))

    def page(limit: int, at: dict[str, str] | None) -> tuple[list[LoggedError], dict[str, str] | None]:
        return read(MOST_CSV_ROWS if as_csv else limit, at, site_id=site_id, code=query.code)

    rows, cursor = paged(call, "/api/v1/errors", page)
    items = [e.ErrorOut.of(each) for each in rows]
    if as_csv:
        fields = tuple(e.ErrorOut.model_fields)
        cells: list[list[Any]] = [[getattr(item, name) for name in fields] for item in items]
        return csv_table.answer(call, "errors", fields, cells, cursor)
    return Page(items=items, next_cursor=cursor)


ROUTES = (
    Route(
        "GET",
        "/api/v1/errors",
        errors,
        Access(role=Role.VIEWER, scope="read"),
        "What failed or was refused, newest first",
        answer=Page[e.ErrorOut],
        query=e.ErrorsQuery,
        csv=True,
    ),
)
