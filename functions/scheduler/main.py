"""What runs by the clock: an EventBridge schedule calls it every few minutes."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from noren import wiring
from noren.edge import log
from noren.edge.events import Context
from noren.settings import Settings

SERVICES = wiring.build(Settings.from_env())
log.configure(SERVICES.settings.stage)

MARGIN_SECONDS = 10.0
"""Kept for the page that is under way when the time runs out."""


def handler(event: dict[str, Any], context: Context) -> dict[str, Any]:
    """Settle or release what killed processes left behind. What doesn't fit in the time is the next run's.

    Accounts that could not be swept are logged one by one; the run then counts as failed, for the alarm.
    """
    report = SERVICES.ledger.sweep_all(seconds=context.get_remaining_time_in_millis() / 1000 - MARGIN_SECONDS)
    if report.failures:
        raise RuntimeError(f"{report.failures} of {report.accounts} accounts could not be swept")
    return asdict(report)
