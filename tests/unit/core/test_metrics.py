"""Metrics: what CloudWatch reads from a log line."""

from __future__ import annotations

import json
import logging

import pytest

from noren.edge.log import JsonFormatter
from noren.metrics import UNITS, measured


def line_of(extra: dict[str, object]) -> dict[str, object]:
    record = logging.makeLogRecord({"msg": "x", "name": "n", "levelname": "INFO", "created": 1795269330.5, **extra})
    line: dict[str, object] = json.loads(JsonFormatter("prod").format(record))
    return line


def test_a_line_names_its_metrics_by_stage_and_by_the_field_that_splits_them() -> None:
    line = line_of(measured({"reason": "chats", "tenant": "ten_1"}, "reason", Refused=1))
    assert (line["Refused"], line["reason"], line["stage"]) == (1, "chats", "prod")
    assert line["_aws"] == {
        "Timestamp": 1795269330500,
        "CloudWatchMetrics": [
            {
                "Namespace": "Noren",
                "Dimensions": [["stage"], ["stage", "reason"]],
                "Metrics": [{"Name": "Refused", "Unit": "Count"}],
            }
        ],
    }


def test_what_was_not_measured_is_left_out_and_plain_lines_are_no_metrics() -> None:
    line = line_of(measured({}, ChatLatency=812, FirstToken=None))
    assert line["ChatLatency"] == 812
    assert "FirstToken" not in json.dumps(line)
    assert "_aws" not in line_of({"fields": {"trace_id": "t"}})


def test_an_unknown_metric_is_a_bug_that_shows() -> None:
    with pytest.raises(KeyError):
        line_of(measured({}, Misspelt=1))
    assert set(UNITS.values()) <= {"Count", "Milliseconds"}
