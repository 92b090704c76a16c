"""Walks through all accounts, page by page, and remembers where it stopped: what no one run has the time for."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from noren.clock import Clock
from noren.ids import TenantId
from noren.ledger.store import Job, LedgerStore

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Walked:
    """What one run did. `finished` is False where the time ran out: the next run goes on."""

    accounts: int
    failures: int
    finished: bool


def walk(
    store: LedgerStore,
    clock: Clock,
    job: Job,
    work: Callable[[TenantId], None],
    *,
    seconds: float | None = None,
    day: str = "",
) -> Walked:
    """Call `work` for every tenant, for at most about `seconds`; on one `day` (any name) for no tenant twice.

    One tenant's trouble stops no other's: it is logged and counted.
    """
    ends = None if seconds is None else clock() + seconds
    accounts = failures = 0
    position, was_on = store.position(job)
    if day and was_on == day and not position:
        return Walked(0, 0, finished=True)
    for page, following in store.every(position if was_on == day else ""):
        for account in page:
            accounts += 1
            try:
                work(account.tenant_id)
            except Exception:
                failures += 1
                _log.exception("%s of %s failed", job.lower(), account.tenant_id)
        store.keep_position(job, following, day)
        if following and ends is not None and clock() >= ends:
            return Walked(accounts, failures, finished=False)
    return Walked(accounts, failures, finished=True)
