"""This month's usage in Prometheus' text format, for a tenant's own scraper: names and units as that world has them.

Counters begin anew with each month, as counters may.
"""

from __future__ import annotations

from collections.abc import Iterable

from noren.money import plain
from noren.usage.reports import Row

TOKENS = ("input", "output", "cached", "embedding")
QUANTILES = (50, 95, 99)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def exposition(rows: Iterable[Row]) -> str:
    """The text of one month's rows, one a model."""
    found = list(rows)
    lines: list[str] = []

    def counter(name: str, text: str, values: Iterable[tuple[str, str]]) -> None:
        lines.extend([f"# HELP {name} {text}", f"# TYPE {name} counter"])
        lines.extend(f"{name}{{{labels}}} {value}" for labels, value in values)

    def per_model(name: str, text: str, field: str) -> None:
        counter(name, text, ((_model(row), str(getattr(row.tally, field))) for row in found))

    per_model("noren_requests_total", "Requests, refused ones too.", "requests")
    per_model("noren_chats_total", "Chats that the plan paid for.", "chats")
    per_model("noren_errors_total", "Requests that failed, broke off or were refused.", "errors")
    per_model("noren_credits_total", "Credits spent.", "credits")
    tokens = (
        (f'{_model(row)},kind="{kind}"', str(getattr(row.tally, f"tokens_{kind}"))) for row in found for kind in TOKENS
    )
    counter("noren_tokens_total", "Tokens by kind; cached ones are among the input.", tokens)
    costs = ((_model(row), plain(row.tally.cost_usd)) for row in found)
    counter("noren_cost_usd_total", "What the models cost, in USD.", costs)
    for name, field in (("noren_first_token_seconds", "first_token"), ("noren_answer_seconds", "total")):
        lines += [f"# HELP {name} Latency, within 5 %.", f"# TYPE {name} summary"]
        for row in found:
            for each in QUANTILES:
                millis = getattr(row.tally, field).percentile(each)
                if millis is not None:
                    lines.append(f'{name}{{{_model(row)},quantile="{each / 100}"}} {millis / 1000}')
    return "\n".join(lines) + "\n"


def _model(row: Row) -> str:
    """The model as a label; what a label may not hold is escaped."""
    value = row.group.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'model="{value}"'
