"""The scheduled function: it sweeps within its time, and a sweep that failed somewhere is a failed run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from noren.ledger.models import SweepReport
from noren.ledger.reconcile import Report
from noren.sites.purge import Purged
from scheduler import main


class Context:
    """The part of Lambda's context that the function uses."""

    def get_remaining_time_in_millis(self) -> int:
        return 240_000


class Ledger:
    """Sweeps on paper."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.seconds: float | None = None

    def sweep_all(self, seconds: float | None = None) -> SweepReport:
        self.seconds = seconds
        return SweepReport(accounts=5, holds=7, failures=self.failures, finished=True)


def run(monkeypatch: pytest.MonkeyPatch, ledger: Ledger) -> dict[str, Any]:
    monkeypatch.setattr(main, "SERVICES", SimpleNamespace(ledger=ledger))
    return main.handler({"job": "sweep"}, Context())


def test_it_sweeps_and_leaves_itself_time_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(failures=0)
    assert run(monkeypatch, ledger) == {"accounts": 5, "holds": 7, "failures": 0, "finished": True}
    assert ledger.seconds == 230


def test_a_run_with_failures_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError, match="1 of 5"):
        run(monkeypatch, Ledger(failures=1))


def test_the_nightly_job_reconciles_and_differences_are_its_result(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[float, str]] = []

    def examine_all(seconds: float, day: str) -> Report:
        asked.append((seconds, day))
        return Report(3, (), failures=0, finished=True)

    services = SimpleNamespace(reconciler=SimpleNamespace(examine_all=examine_all), clock=lambda: 1_795_000_000.0)
    monkeypatch.setattr(main, "SERVICES", services)
    assert main.handler({"job": "reconcile"}, Context())["accounts"] == 3
    assert asked == [(230.0, "2026-11-18")]


@pytest.mark.parametrize("failures", [0, 1])
def test_deleted_sites_are_purged_within_its_time(monkeypatch: pytest.MonkeyPatch, failures: int) -> None:
    asked: list[float] = []

    def run(seconds: float) -> Purged:
        asked.append(seconds)
        return Purged(4, failures, finished=True)

    monkeypatch.setattr(main, "SERVICES", SimpleNamespace(site_purge=SimpleNamespace(run=run)))
    if failures:
        with pytest.raises(RuntimeError, match="1 of 4 sites"):
            main.handler({"job": "purge"}, Context())
    else:
        assert main.handler({"job": "purge"}, Context()) == {"sites": 4, "failures": 0, "finished": True}
    assert asked == [230.0]


def test_summaries_are_proven_for_yesterday_and_today_of_each_tenant(monkeypatch: pytest.MonkeyPatch) -> None:
    proven: list[tuple[str, str, str]] = []

    def prove(tenant_id: str, first: str, last: str) -> Any:
        proven.append((tenant_id, first, last))
        return SimpleNamespace(equal=True)

    pages = [([SimpleNamespace(tenant_id="ten_a"), SimpleNamespace(tenant_id="ten_b")], "")]
    accounts = SimpleNamespace(
        position=lambda job: ("", ""), every=lambda position: iter(pages), keep_position=lambda *_: None
    )
    prover = SimpleNamespace(kept_days=lambda _: ("2025-10-20", "2026-12-01"), prove=prove)
    services = SimpleNamespace(accounts=accounts, usage_prover=prover, clock=lambda: 1_795_000_000.0)
    monkeypatch.setattr(main, "SERVICES", services)
    assert main.handler({"job": "summaries"}, Context()) == {"accounts": 2, "failures": 0, "finished": True}
    assert proven == [("ten_a", "2026-11-30", "2026-12-01"), ("ten_b", "2026-11-30", "2026-12-01")]
