"""What runs by the clock: an EventBridge schedule calls it every few minutes."""

from __future__ import annotations

from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from noren.wiring import Services

MARGIN_SECONDS = 10.0
"""Kept for the page that is under way when the time runs out."""


@cache
def services() -> Services:
    """This container's services."""
    from noren import wiring
    from noren.settings import Settings

    return wiring.build(Settings.from_env())


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Settle or release what killed processes left behind. What doesn't fit in the time is the next run's.

    Accounts that could not be swept are logged one by one; the run then counts as failed, for the alarm.
    """
    report = services().ledger.sweep_all(seconds=context.get_remaining_time_in_millis() / 1000 - MARGIN_SECONDS)
    if report.failures:
        raise RuntimeError(f"{report.failures} of {report.accounts} accounts could not be swept")
    return asdict(report)
