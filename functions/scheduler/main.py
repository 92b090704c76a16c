"""What runs by the clock: an EventBridge schedule calls it every few minutes."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from noren import wiring
from noren.clock import day_of
from noren.edge import log
from noren.edge.events import Context
from noren.ledger.models import SweepReport
from noren.ledger.reconcile import Report
from noren.settings import Settings

SERVICES = wiring.build(Settings.from_env())
log.configure(SERVICES.settings.stage)

MARGIN_SECONDS = 10.0
"""Kept for the page that is under way when the time runs out."""


def handler(event: dict[str, Any], context: Context) -> dict[str, Any]:
    """Run the job that the rule names: `sweep` or `reconcile`. What doesn't fit in the time is the next run's.

    Accounts that could not be worked on are logged one by one; the run then counts as failed, for the alarm.
    """
    seconds = context.get_remaining_time_in_millis() / 1000 - MARGIN_SECONDS
    report: SweepReport | Report
    if event.get("job") == "reconcile":
        report = SERVICES.reconciler.examine_all(seconds, day=day_of(SERVICES.clock(), "UTC"))
    else:
        report = SERVICES.ledger.sweep_all(seconds)
    if report.failures:
        raise RuntimeError(f"{report.failures} of {report.accounts} accounts failed")
    return asdict(report)
