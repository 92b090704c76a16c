"""Sends what is due at an endpoint, one worker at a time, nothing before what is older of the same entity."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from random import random
from typing import Literal

from noren.clock import Clock
from noren.errors import RateLimited
from noren.fetching.client import Fetcher, Limits
from noren.fetching.errors import FetchFailed
from noren.ids import TenantId
from noren.mail import WebhookReason
from noren.ratelimit import Limiter
from noren.vault import Vault
from noren.webhooks import signing
from noren.webhooks.delivery_store import SHARDS, DeliveryStore
from noren.webhooks.fanout import Fanout
from noren.webhooks.models import Delivery, Endpoint, Waiting
from noren.webhooks.schedule import is_dead, next_attempt, pause
from noren.webhooks.store import EndpointStore

ATTEMPT = Limits(seconds=10.0)
RUN_SECONDS = 25.0
"""After that no attempt begins: other endpoints have their turn."""
LEASE_SECONDS = 90.0
"""More than a run takes with its last attempt; who dies keeps others out for so long."""
AT_ONCE = 2
"""Workers that one tenant's endpoints may keep busy, however slow they answer."""
DOWN_AFTER = 3
"""So many failures one after the other, and the endpoint is left alone for a while after each further one.

Then it is asked whether it is back: by what is due, else by what is oldest.
"""
SOON = 60
"""Seconds for which a message is put on the queue; what is due later is found by the sweep."""

Outcome = Literal["delivered", "again", "failed", "gone"]

_log = logging.getLogger("noren.webhooks")


Told = Callable[[TenantId, str, WebhookReason, str], None]
"""Tells the owner that the endpoint at that host was disabled, once per key."""


@dataclass
class _Run:
    """One stay in a lane."""

    ends: float
    tried: set[str] = field(default_factory=set)
    failures: int = 0
    """Of the endpoint, one after the other, up to now."""
    is_back: bool = False
    """It took one after it had been down: what waits for a later attempt needn't."""


@dataclass(frozen=True)
class _Left:
    """How a lane is left: when it is due again (None: it is empty)."""

    due_at: float | None
    whatever: bool = False
    """Also if something was added meanwhile."""
    closed: bool = False
    """Nobody is let in before."""


class Sender:
    """Works on the queues of endpoints."""

    def __init__(
        self,
        endpoints: EndpointStore,
        deliveries: DeliveryStore,
        fanout: Fanout,
        fetcher: Fetcher,
        vault: Vault,
        limiter: Limiter,
        told: Told,
        clock: Clock,
        chance: Callable[[], float] = random,
    ) -> None:
        self._endpoints, self._deliveries, self._fanout = endpoints, deliveries, fanout
        self._fetcher, self._vault, self._limiter = fetcher, vault, limiter
        self._told, self._clock, self._chance = told, clock, chance

    def sweep(self) -> int:
        """Have every endpoint looked at where something is due; how many."""
        now = self._clock()
        lanes = [lane for shard in range(SHARDS) for lane in self._deliveries.due(shard, now)]
        self._fanout.hint(lanes)
        return len(lanes)

    def work(self, tenant_id: TenantId, webhook_id: str) -> None:
        """Send what is due at an endpoint, unless somebody else is at it. Safe to call at any time.

        Who is sent away, because `AT_ONCE` are at work for the tenant, is stood in for by those, or the next sweep.
        Who is killed between sending and storing that sends once more after the lease, under the same id.
        """
        with ExitStack() as stay:
            try:
                stay.enter_context(self._limiter.few_at_a_time(f"webhooks#{tenant_id}", AT_ONCE, LEASE_SECONDS))
            except RateLimited:
                return
            ends = self._clock() + RUN_SECONDS
            others = self._others(tenant_id, webhook_id)
            self._stay(tenant_id, webhook_id, ends - (RUN_SECONDS / 2 if others else 0.0))
            for other in others:
                if self._clock() < ends:
                    self._stay(tenant_id, other, ends)

    def _others(self, tenant_id: TenantId, webhook_id: str) -> list[str]:
        """The tenant's other endpoints, in turn from this one, if they are so many that somebody may be sent away."""
        every = [each.webhook_id for each in self._endpoints.every(tenant_id)]
        if len(every) <= AT_ONCE:
            return []
        return [each for each in every if each > webhook_id] + [each for each in every if each < webhook_id]

    def _stay(self, tenant_id: TenantId, webhook_id: str, ends: float) -> None:
        worker, run = secrets.token_hex(8), _Run(ends)
        while (seq := self._take(tenant_id, webhook_id, worker)) is not None:
            left = self._round(tenant_id, webhook_id, run)
            if left is None:
                continue
            seen = None if left.whatever else seq
            if self._deliveries.leave(tenant_id, webhook_id, worker, left.due_at, seq=seen, closed=left.closed):
                wait = None if left.due_at is None else max(0.0, left.due_at - self._clock())
                if wait is not None and wait <= SOON:
                    self._fanout.hint([(tenant_id, webhook_id)], delay=int(wait) + 1)
                return

    def _take(self, tenant_id: TenantId, webhook_id: str, worker: str) -> int | None:
        now = self._clock()
        return self._deliveries.take(tenant_id, webhook_id, worker, now, now + LEASE_SECONDS)

    def _round(self, tenant_id: TenantId, webhook_id: str, run: _Run) -> _Left | None:
        """Send what can be sent now. How to leave; None: look again, things are no longer as they were."""
        endpoint = self._endpoints.get(tenant_id, webhook_id)
        waiting = self._deliveries.waiting(tenant_id, webhook_id)
        if endpoint is None or not endpoint.enabled:
            return self._cancel(tenant_id, webhook_id, waiting, "disabled" if endpoint else "deleted", run)
        run.failures = endpoint.failures
        later: list[float] = []
        held: set[str] = set()
        is_done_with_some = False
        for each in waiting:
            now = self._clock()
            if each.entity in held:
                continue
            if each.next_at > now and (not run.is_back or each.delivery_id in run.tried):
                held.add(each.entity)
                later.append(each.next_at)
                continue
            if now >= run.ends:
                return _Left(now, whatever=True)
            was_back = run.is_back
            outcome, next_at = self._attempt(endpoint, each, run)
            if outcome == "gone" or run.is_back != was_back:
                return None
            if run.failures >= DOWN_AFTER:
                return self._alone(run)
            if outcome == "again":
                held.add(each.entity)
                later.append(next_at)
            else:
                is_done_with_some = True
        if waiting and run.failures >= DOWN_AFTER:  # nothing was due: is it back?
            outcome, _ = self._attempt(endpoint, waiting[0], run)
            return None if outcome == "gone" or run.is_back else self._alone(run)
        if is_done_with_some and len(waiting) >= self._deliveries.most_waiting:
            return None  # there may be more than could be seen
        return _Left(min(later, default=None))

    def _alone(self, run: _Run) -> _Left:
        """Leave an endpoint that is down alone for a while."""
        return _Left(self._clock() + pause(run.failures), whatever=True, closed=True)

    def _attempt(self, endpoint: Endpoint, each: Waiting, run: _Run) -> tuple[Outcome, float]:
        """Send one delivery and store what came of it; of `again` also when."""
        delivery = self._deliveries.get(endpoint.tenant_id, endpoint.webhook_id, each.delivery_id)
        if delivery is None or delivery.status != "pending":
            self._deliveries.forget(endpoint.tenant_id, endpoint.webhook_id, each.delivery_id)
            return "delivered", 0.0
        run.tried.add(each.delivery_id)
        began = time.monotonic()
        status, error = self._post(endpoint, delivery)
        now = self._clock()
        result = replace(
            delivery,
            attempts=delivery.attempts + 1,
            last_status=status,
            last_error=error,
            last_ms=int((time.monotonic() - began) * 1000),
        )
        if not error:
            self._deliveries.advance(replace(result, status="delivered", finished_at=now), delivery.attempts)
            if run.failures:
                self._endpoints.clear_failures(endpoint)
            run.is_back = run.is_back or run.failures >= DOWN_AFTER
            run.failures = 0
            return "delivered", 0.0
        next_at = next_attempt(result.attempts, delivery.since, now, self._chance())
        if next_at is None:
            self._deliveries.advance(replace(result, status="failed", finished_at=now), delivery.attempts)
        else:
            self._deliveries.advance(replace(result, next_at=next_at), delivery.attempts)
        self._endpoints.count_failure(endpoint, now)
        run.failures += 1
        if status == 410 or (next_at is None and is_dead(endpoint.failing_since, now)):
            self._disable(endpoint, "gone" if status == 410 else "failing", run.failures, now)
            return "gone", 0.0
        return ("failed", 0.0) if next_at is None else ("again", next_at)

    def _post(self, endpoint: Endpoint, delivery: Delivery) -> tuple[int | None, str]:
        """One attempt: the status that was answered, and what was wrong ("" if nothing)."""
        now, body = self._clock(), delivery.body.encode()
        sealed = [endpoint.sealed_secret]
        if endpoint.previous_secret and now < endpoint.previous_until:
            sealed.append(endpoint.previous_secret)
        whose = {"tenant_id": endpoint.tenant_id, "webhook_id": endpoint.webhook_id}
        keys = [self._vault.open(each, **whose) for each in sealed]
        headers = {
            "content-type": "application/json; charset=utf-8",
            "user-agent": "Noren-Webhooks/1.0",
            **signing.headers(delivery.event_id, int(now), body, keys),
        }
        fields = {"tenant": endpoint.tenant_id, "webhook": endpoint.webhook_id, "event": delivery.event_id}
        try:
            status = self._fetcher.post(endpoint.callback_url, body, headers=headers, limits=ATTEMPT)
        except FetchFailed as failed:
            _log.info("a webhook was not sent", extra={"fields": fields | {"reason": failed.reason}})
            return None, failed.code
        _log.info("a webhook was answered", extra={"fields": fields | {"status": status}})
        return status, "" if 200 <= status < 300 else "bad_status"

    def _cancel(
        self, tenant_id: TenantId, webhook_id: str, waiting: list[Waiting], why: str, run: _Run
    ) -> _Left | None:
        """Nobody wants these now; the owner of an endpoint may replay them."""
        for each in waiting:
            now = self._clock()
            if now >= run.ends:
                return _Left(now, whatever=True)
            delivery = self._deliveries.get(tenant_id, webhook_id, each.delivery_id)
            if delivery is None or delivery.status != "pending":
                self._deliveries.forget(tenant_id, webhook_id, each.delivery_id)
                continue
            ended = replace(delivery, status="cancelled", last_error=why, finished_at=now)
            self._deliveries.advance(ended, delivery.attempts)
        return None if waiting else _Left(None)

    def _disable(self, endpoint: Endpoint, reason: WebhookReason, failures: int, now: float) -> None:
        """Tell the owner first: who dies in between is repeated by the next failure, and the note stays one."""
        key = f"{endpoint.webhook_id}#{endpoint.version}"
        self._told(endpoint.tenant_id, endpoint.host, reason, key)
        counted = replace(endpoint, failures=failures, failing_since=endpoint.failing_since or now)
        disabled = replace(counted, enabled=False, disabled_reason=reason, version=endpoint.version + 1)
        self._endpoints.save(replace(disabled, updated_at=now, updated_by="platform"))
