"""Usage and margins as the platform API tells them."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from noren.edge.numbers import PlainDecimal
from noren.edge.paging import PageQuery
from platform_api.schemas import Answer, CurrencyName


def _day(text: str) -> str:
    return date.fromisoformat(text).isoformat()


Day = Annotated[str, StringConstraints(pattern=r"^2[0-9]{3}-[0-9]{2}-[0-9]{2}$"), AfterValidator(_day)]
Month = Annotated[str, StringConstraints(pattern=r"^2[0-9]{3}-(0[1-9]|1[0-2])$")]
Format = Literal["json", "csv"]


class UsageQuery(PageQuery):
    """Days of the tenant's time zone, both included; by month, the whole months that they lie in.

    Without `from` and `to`: the last 30 days, or 12 months.
    """

    granularity: Literal["day", "month"] = "day"
    from_: Day | None = Field(default=None, alias="from")
    to: Day | None = None
    group_by: Literal["site", "model", "function"] | None = None
    site_id: Annotated[str, StringConstraints(max_length=80)] | None = None
    format: Format | None = None


class Latency(Answer):
    """Percentiles in ms, within 5 %; null where nothing was measured."""

    p50: int | None
    p95: int | None
    p99: int | None


class UsageRowOut(Answer):
    """The requests of one period, or of one site, model or function in it (`group`; null where nothing is grouped)."""

    period: str
    group: str | None
    requests: int
    """All of them, also canned answers, background work and refusals."""
    chats: int
    credits: int
    errors: int
    """Requests that failed, broke off or were refused."""
    tokens_input: int
    tokens_output: int
    tokens_cached: int
    tokens_embedding: int
    cost_usd: PlainDecimal
    first_token_ms: Latency
    total_ms: Latency
    """Of requests without an error."""


class UsageReportOut(Answer):
    """Usage, the newest period first; periods without requests are left out. Some seconds behind the records."""

    granularity: str
    group_by: str | None
    timezone: str
    from_: str = Field(serialization_alias="from")
    to: str
    items: list[UsageRowOut]
    next_cursor: str | None


class MarginsQuery(PageQuery):
    """`month`: of each tenant's own time zone; this one (UTC) if left out."""

    month: Month | None = None
    format: Format | None = None


class MarginOut(Answer):
    """One tenant's month. `revenue` is the plan's price in the currency's minor unit; costs are not rounded."""

    tenant_id: str
    name: str
    plan: str
    requests: int
    chats: int
    tokens_embedding: int
    credits: int
    cost_usd: PlainDecimal
    late_cost_usd: PlainDecimal
    """The part of the cost that came in after the request had been released."""
    revenue: int
    currency: CurrencyName
    revenue_usd: PlainDecimal
    margin_usd: PlainDecimal


class TotalsOut(Answer):
    """All tenants together; USD rounded to cents."""

    tenants: int
    requests: int
    chats: int
    tokens_embedding: int
    credits: int
    revenue: dict[str, int]
    """Minor units by currency."""
    revenue_usd: PlainDecimal
    cost_usd: PlainDecimal
    margin_usd: PlainDecimal


class MarginsOut(Answer):
    """Every tenant's month, the newest tenants first. `totals` are of all pages, and on the first one only."""

    month: str
    items: list[MarginOut]
    totals: TotalsOut | None
    next_cursor: str | None
