"""Numbers on log lines, from which CloudWatch makes metrics (its embedded metric format): measuring costs no call.

No metric knows a tenant: each value of a dimension is priced by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NAMESPACE = "Noren"

UNITS = {
    "ChatLatency": "Milliseconds",
    "FirstToken": "Milliseconds",
    "FailedChats": "Count",
    "Refused": "Count",
    "BreakerOpened": "Count",
    "LateSettlements": "Count",
    "AuditLost": "Count",
    "BooksDiffer": "Count",
    "PaymentsDiffer": "Count",
    "IndexUnavailable": "Count",
}
"""Every metric there is. `Refused` also by `reason`, `BreakerOpened` by `model`; all by stage."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one line measures; `by` names the field that splits it, "" for none."""

    values: Mapping[str, float]
    by: str = ""


def measured(fields: Mapping[str, Any], by: str = "", /, **values: float | None) -> dict[str, Any]:
    """The `extra` of a log line with these fields and metrics (None: not measured)."""
    given = {name: value for name, value in values.items() if value is not None}
    return {"fields": dict(fields), "metrics": Measured(given, by)}


def embedded(measured: Measured, stage: str, at: float) -> dict[str, Any]:
    """The members of a JSON log line (made at `at`, epoch seconds) that make its numbers metrics."""
    directive = {
        "Namespace": NAMESPACE,
        "Dimensions": [["stage"], ["stage", measured.by]] if measured.by else [["stage"]],
        "Metrics": [{"Name": name, "Unit": UNITS[name]} for name in measured.values],
    }
    return {**measured.values, "stage": stage, "_aws": {"Timestamp": int(at * 1000), "CloudWatchMetrics": [directive]}}
