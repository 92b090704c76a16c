"""Reports as CSV: for spreadsheets, which take some texts for formulas."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from noren.edge.http import Call, Response
from noren.money import plain

MOST_ROWS = 10_000
"""In one answer: two megabytes, of the six that a function may send."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def is_wanted(call: Call) -> bool:
    """Whether the caller asks for CSV, by `format` or by `Accept`."""
    accept = call.request.headers.get("accept", "")
    return bool((call.query.format or ("csv" if "text/csv" in accept and "json" not in accept else "json")) == "csv")


def answer(call: Call, name: str, head: Sequence[str], rows: Iterable[Sequence[Any]], cursor: str | None) -> Response:
    """A file; where there is more, its `Link` header leads to the rest."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(head)
    writer.writerows([cell(value) for value in row] for row in rows)
    headers = {
        "content-type": "text/csv; charset=utf-8",
        "content-disposition": f'attachment; filename="{name}.csv"',
    }
    if cursor:
        asked = call.query.model_dump(by_alias=True, exclude_none=True) | {"format": "csv", "cursor": cursor}
        headers["link"] = f'<{call.request.path}?{urlencode(asked)}>; rel="next"'
    return Response(text.getvalue().encode(), headers=headers)


def cell(value: Any) -> str:
    """A value as a cell. A text that a spreadsheet would calculate gets a `'` before it; our own numbers don't."""
    match value:
        case None:
            return ""
        case Decimal():
            return plain(value)
        case str() if value.startswith(_FORMULA):
            return "'" + value
    return str(value)
