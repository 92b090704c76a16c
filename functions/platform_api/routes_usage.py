"""Reports: a tenant's usage, every tenant's margin."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from noren.clock import day_of, month_of
from noren.edge.http import Access, Call, Response, Route
from noren.edge.paging import paged
from noren.errors import BadRequest
from noren.insight.margins import Margin
from noren.tenants.models import Role
from noren.usage.histogram import Histogram
from noren.usage.periods import days_of_month, month_after
from noren.usage.reports import Row, Wanted
from platform_api import csv_table, prometheus
from platform_api import schemas_usage as u

MOST_DAYS = 400
PERCENTILES = (50, 95, 99)
FARTHEST_AHEAD = 14 * 3600
"""Where it is tomorrow already."""

USAGE_HEAD = (
    *("requests", "chats", "credits", "errors", "tokens_input", "tokens_output", "tokens_cached", "tokens_embedding"),
    "cost_usd",
    *(f"{name}_p{each}_ms" for name in ("first_token", "total") for each in PERCENTILES),
)


def usage(call: Call) -> u.UsageReportOut | Response:
    """The tenant's usage; a site that is not the tenant's is not found."""
    wanted, as_csv = _wanted(call), csv_table.is_wanted(call)

    def read(limit: int, at: dict[str, str] | None) -> tuple[list[Row], dict[str, str] | None]:
        start = (at["period"], at["group"]) if at else None
        rows, following = call.services.usage_reports.page(wanted, csv_table.MOST_ROWS if as_csv else limit, start)
        return rows, {"period": following[0], "group": following[1]} if following else None

    rows, cursor = paged(call, "/api/v1/usage", read)
    if as_csv:
        head = ("period", *((wanted.group_by,) if wanted.group_by else ()), *USAGE_HEAD)
        return csv_table.answer(call, "usage", head, (_cells(row, wanted) for row in rows), cursor)
    return u.UsageReportOut(
        granularity=wanted.granularity,
        group_by=wanted.group_by,
        timezone=wanted.zone,
        from_=wanted.first,
        to=wanted.last,
        items=[_row(row, wanted) for row in rows],
        next_cursor=cursor,
    )


def metrics(call: Call) -> Response:
    """This month's usage for a scraper."""
    services, tenant = call.services, call.services.tenants.get(call.tenant_id)
    first, last = days_of_month(month_of(services.clock(), tenant.timezone))
    rows = services.usage_reports.rows(Wanted(tenant.tenant_id, tenant.timezone, "month", first, last, "model"))
    text = prometheus.exposition(rows)
    return Response(text.encode(), headers={"content-type": prometheus.CONTENT_TYPE})


def margins(call: Call) -> u.MarginsOut | Response:
    """Every tenant's chats, cost, revenue and margin of a month."""
    services, as_csv = call.services, csv_table.is_wanted(call)
    month = call.query.month or month_of(services.clock(), "UTC")
    if month > month_of(services.clock() + FARTHEST_AHEAD, "UTC"):
        raise BadRequest(errors=[{"field": "month", "message": "this month has not begun"}])
    rows, cursor = paged(
        call,
        "/api/v1/admin/usage",
        lambda limit, at: services.margins.page(month, csv_table.MOST_ROWS if as_csv else limit, at),
    )
    items = [_margin(each) for each in rows]
    if as_csv:
        fields = tuple(u.MarginOut.model_fields)
        cells = ([getattr(item, name) for name in fields] for item in items)
        return csv_table.answer(call, f"usage-{month}", fields, cells, cursor)
    return u.MarginsOut(
        month=month, items=items, totals=None if call.query.cursor else _totals(call, month), next_cursor=cursor
    )


def _wanted(call: Call) -> Wanted:
    query: u.UsageQuery = call.query
    tenant = call.services.tenants.get(call.tenant_id)
    if query.site_id:
        call.services.sites.get(call.tenant_id, query.site_id)
    last = query.to or day_of(call.services.clock(), tenant.timezone)
    day = date.fromisoformat(last)
    usual = f"{month_after(last[:7], -11)}-01" if query.granularity == "month" else str(day - timedelta(days=29))
    first = query.from_ or usual
    if first > last:
        raise BadRequest(errors=[{"field": "from", "message": f"this is later than {last}"}])
    if (day - date.fromisoformat(first)).days >= MOST_DAYS:
        raise BadRequest(errors=[{"field": "from", "message": f"at most {MOST_DAYS} days at a time"}])
    return Wanted(call.tenant_id, tenant.timezone, query.granularity, first, last, query.group_by, query.site_id)


def _row(row: Row, wanted: Wanted) -> u.UsageRowOut:
    sums = {name: getattr(row.tally, name) for name in u.UsageRowOut.model_fields if hasattr(row.tally, name)}
    return u.UsageRowOut(
        period=row.period,
        group=row.group if wanted.group_by else None,
        first_token_ms=_latency(row.tally.first_token),
        total_ms=_latency(row.tally.total),
        **sums,
    )


def _cells(row: Row, wanted: Wanted) -> list[Any]:
    sums = [getattr(row.tally, name) for name in USAGE_HEAD if hasattr(row.tally, name)]
    waits = [each.percentile(percent) for each in (row.tally.first_token, row.tally.total) for percent in PERCENTILES]
    return [row.period, *([row.group] if wanted.group_by else []), *sums, *waits]


def _latency(histogram: Histogram) -> u.Latency:
    return u.Latency.model_validate({f"p{each}": histogram.percentile(each) for each in PERCENTILES})


def _margin(each: Margin) -> u.MarginOut:
    sums = {name: getattr(each.tally, name) for name in u.MarginOut.model_fields if hasattr(each.tally, name)}
    return u.MarginOut(
        tenant_id=each.tenant.tenant_id,
        name=each.tenant.name,
        plan=each.tenant.plan,
        revenue=each.revenue.amount,
        currency=each.revenue.currency,  # type: ignore[arg-type]
        revenue_usd=each.revenue_usd,
        margin_usd=each.margin_usd,
        **sums,
    )


def _totals(call: Call, month: str) -> u.TotalsOut:
    totals = call.services.margins.totals(month)
    names = ("requests", "chats", "tokens_embedding", "credits")
    return u.TotalsOut(
        **{name: getattr(totals.tally, name) for name in names},
        **{name: getattr(totals, name) for name in u.TotalsOut.model_fields if name not in names},
    )


ROUTES = (
    Route(
        "GET",
        "/api/v1/usage",
        usage,
        Access(role=Role.VIEWER, scope="read"),
        "Usage by day or month, by site, model or function, newest first",
        answer=u.UsageReportOut,
        query=u.UsageQuery,
        csv=True,
        rate="analytics",
    ),
    Route(
        "GET",
        "/api/v1/usage/metrics",
        metrics,
        Access(role=Role.VIEWER, scope="read"),
        "This month's usage in Prometheus' text format",
        media="text/plain",
        rate="analytics",
    ),
    Route(
        "GET",
        "/api/v1/admin/usage",
        margins,
        Access(platform_admin=True),
        "Every tenant's month: chats, cost, revenue, margin",
        answer=u.MarginsOut,
        query=u.MarginsQuery,
        aliases=("/api/admin/usage",),
        csv=True,
    ),
)
