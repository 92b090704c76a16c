"""The error log as the platform API tells it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from noren.clock import iso
from noren.edge.paging import PageQuery
from noren.insight.models import LoggedError
from platform_api.schemas import Answer
from platform_api.schemas_usage import Day, Format


class ErrorsQuery(PageQuery):
    """Days are those of the tenant's time zone, both included; errors are kept for 90 days."""

    site_id: Annotated[str, StringConstraints(max_length=80)] | None = None
    code: Annotated[str, StringConstraints(max_length=80)] | None = None
    from_: Day | None = Field(default=None, alias="from")
    to: Day | None = None
    format: Format | None = None


class ErrorOut(Answer):
    """What failed or was refused: `count` requests of one site that ended alike within a minute.

    `message` is what callers were told; it, `trace_id` and `occurred_at` are those of the first.
    """

    occurred_at: str
    status: int
    code: str
    message: str
    trace_id: str
    site_id: str | None
    count: int

    @classmethod
    def of(cls, each: LoggedError) -> ErrorOut:
        """The row as it goes out."""
        plain = {name: getattr(each, name) for name in cls.model_fields}
        return cls.model_validate(plain | {"occurred_at": iso(each.occurred_at), "site_id": each.site_id or None})
