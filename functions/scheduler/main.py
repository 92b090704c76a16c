"""What runs by the clock: an EventBridge schedule calls it every few minutes."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Any

from noren import wiring
from noren.clock import day_before, day_of
from noren.edge import log
from noren.edge.events import Context
from noren.ids import TenantId
from noren.ledger.models import SweepReport
from noren.ledger.reconcile import Report
from noren.ledger.walk import Walked, walk
from noren.settings import Settings

SERVICES = wiring.build(Settings.from_env())
log.configure(SERVICES.settings.stage)

_log = logging.getLogger("noren.scheduler")

MARGIN_SECONDS = 10.0
"""Kept for the page that is under way when the time runs out."""


def handler(event: dict[str, Any], context: Context) -> dict[str, Any]:
    """Run the job that the rule names: `sweep`, `reconcile`, `summaries`, `purge`. What is left over is the next run's.

    Accounts and sites that could not be worked on are logged one by one; the run then counts as failed, for the alarm.
    """
    seconds = context.get_remaining_time_in_millis() / 1000 - MARGIN_SECONDS
    report: SweepReport | Report | Walked
    match event.get("job"):
        case "reconcile":
            report = SERVICES.reconciler.examine_all(seconds, day=day_of(SERVICES.clock(), "UTC"))
        case "summaries":
            report = _summaries(seconds)
        case "purge":
            return _purged(seconds)
        case _:
            report = SERVICES.ledger.sweep_all(seconds)
    if report.failures:
        raise RuntimeError(f"{report.failures} of {report.accounts} accounts failed")
    return asdict(report)


def _purged(seconds: float) -> dict[str, Any]:
    """Remove what was deleted 30 days ago for good."""
    purged = SERVICES.site_purge.run(seconds)
    if purged.failures:
        raise RuntimeError(f"{purged.failures} of {purged.sites} sites failed")
    return asdict(purged)


def _summaries(seconds: float) -> Walked:
    """Count the last two days' usage anew: what a lost stream has left out of the summaries is put in."""
    services = SERVICES
    now = services.clock()

    def prove(tenant_id: TenantId) -> None:
        _, today = services.usage_prover.kept_days(tenant_id)
        proof = services.usage_prover.prove(tenant_id, day_before(today), today)
        if not proof.equal:
            _log.warning("summaries were behind", extra={"fields": {"tenant": tenant_id}})

    return walk(services.accounts, services.clock, "SUMMARIES", prove, seconds=seconds, day=day_of(now, "UTC"))
