"""`Idempotency-Key`: the same key and body get the first answer again, in parallel too.

A key belongs to a scope (the tenant) and a route and is kept for a day. Whoever claims it first does the work under a
lease; the others wait for the answer. A lease that ran out (its owner was killed) is taken over.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Generic, ParamSpec, TypeVar

from noren.clock import Clock
from noren.errors import BadRequest, Conflict, Unprocessable
from noren.runtime.store import Claim, RuntimeStore
from noren.tables import insistently

log = logging.getLogger(__name__)
T = TypeVar("T")
P = ParamSpec("P")

KEPT_SECONDS = 86400
LEASE_SECONDS = 60.0
"""Longer than any buffered route may take: vectors have 50 s, all else has 30."""
LARGEST_BODY = 350_000
"""Bytes of an answer that can be kept; of a longer one it is kept that it was given, so that nothing is paid twice."""


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """An answer as it can be kept and given again. `replayed`: it is the first one's."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Begin(Generic[T]):
    """The start of a chat under a key. If `is_new`, the caller does the work under `request_id`; else see `outcome`."""

    request_id: str
    is_new: bool
    claim: Claim
    outcome: T | None = None


class Idempotency:
    """Idempotency keys. Safe to share between threads."""

    def __init__(self, store: RuntimeStore, clock: Clock, sleep: Callable[[float], None] = time.sleep) -> None:
        self._store = store
        self._clock = clock
        self._sleep = sleep

    def run(
        self,
        scope: str,
        route: str,
        key: str | None,
        body: bytes,
        fn: Callable[[], StoredResponse],
        wait_s: float = 25.0,
    ) -> StoredResponse:
        """Answer by `fn`, once per key: a repetition gets the first answer. Without a key, simply `fn()`.

        Waits up to `wait_s` seconds for a parallel duplicate. Raises Conflict `in_progress` past that, or `answer_gone`
        where the first answer was too long to be kept; Unprocessable `idempotency_key_reused` for another body,
        BadRequest for a malformed key. What `fn` raises frees the key.
        """
        if key is None:
            return fn()

        def answered(claim: Claim) -> StoredResponse | None:
            if claim.done and not claim.status:
                raise Conflict(
                    "This request was carried out, but its answer was too long to be kept. Send it under another key.",
                    code="answer_gone",
                )
            return StoredResponse(claim.status, claim.body, claim.headers, replayed=True) if claim.done else None

        claim = self._new_claim(scope, route, key, body, LEASE_SECONDS)
        claim, answer = self._claim(claim, answered, lambda: "", wait_s)
        if answer is not None:
            return answer
        try:
            answer = fn()
        except Exception:
            self._free(claim)
            raise
        self._keep(claim, answer)
        return answer

    def begin(
        self,
        scope: str,
        route: str,
        key: str,
        body: bytes,
        new_id: Callable[[], str],
        outcome: Callable[[str], T | None],
        *,
        lease_s: float,
        wait_s: float,
    ) -> Begin[T]:
        """Begin a chat under a key: it keeps its own outcome (record and turn), the key only leads to its request id.

        `outcome(request_id)` gives what became of the first request, None while that is open; it is asked until
        `wait_s` seconds have passed. `lease_s` is how long the request's process and its hold may live. A request whose
        lease ran out without an outcome is begun anew under a new id: its hold is dead, so the old one is never paid.
        Raises as `run` does.
        """
        claim = replace(self._new_claim(scope, route, key, body, lease_s), request_id=new_id())
        claim, found = self._claim(claim, lambda other: outcome(other.request_id), new_id, wait_s)
        return Begin(claim.request_id, found is None, claim, found)

    def abandon(self, begin: Begin[T]) -> None:
        """Free the key of a chat that was begun but denied or failed: a repetition may try again."""
        self._free(begin.claim)

    def _new_claim(self, scope: str, route: str, key: str, body: bytes, lease_s: float) -> Claim:
        if not 1 <= len(key) <= 255 or not all("\x20" <= each <= "\x7e" for each in key):
            raise BadRequest(
                "Idempotency-Key must be 1 to 255 printable ASCII characters",
                errors=[{"field": "Idempotency-Key", "message": "1 to 255 printable ASCII characters"}],
            )
        now = self._clock()
        return Claim(
            scope=scope,
            route=route,
            key_hash=hashlib.sha256(key.encode()).hexdigest(),
            owner=secrets.token_hex(8),
            digest=hashlib.sha256(body).hexdigest(),
            leased_until=now + lease_s,
            expires_at=now + KEPT_SECONDS,
        )

    def _claim(
        self, claim: Claim, answered: Callable[[Claim], T | None], new_id: Callable[[], str], wait_s: float
    ) -> tuple[Claim, T | None]:
        """The claim in force and its answer; no answer means that the caller has to do the work under that claim."""
        lease_s = claim.leased_until - self._clock()
        gives_up = self._clock() + wait_s
        pause = 0.05
        while True:
            now = self._clock()
            claim = replace(claim, leased_until=now + lease_s)
            other = self._insist(self._store.claim, claim, now)
            if other is None:
                return claim, None
            if other.digest != claim.digest:
                raise Unprocessable("This Idempotency-Key was used with another request", code="idempotency_key_reused")
            answer = answered(other)
            if answer is not None:
                return other, answer
            if other.leased_until <= now:
                heir = replace(claim, request_id=new_id(), expires_at=other.expires_at)
                if self._insist(self._store.replace_claim, heir, other.owner):
                    return heir, None
            elif now >= gives_up:
                raise Conflict(
                    "The first request with this Idempotency-Key is still in progress",
                    code="in_progress",
                    retry_after=2,
                )
            else:
                self._sleep(pause)
                pause = min(1.0, pause * 1.5)

    def _free(self, claim: Claim) -> None:
        """Free the key. Failing to must not hide what the caller is to hear: the lease then runs out."""
        try:
            self._insist(self._store.drop_claim, claim)
        except Exception:
            log.exception("an idempotency key could not be freed")

    def _keep(self, claim: Claim, answer: StoredResponse) -> None:
        """Keep the answer. Failing to must not lose it for this caller: the work is done."""
        done = replace(claim, done=True)
        if len(answer.body) <= LARGEST_BODY:
            done = replace(done, status=answer.status, body=answer.body, headers=dict(answer.headers))
        try:
            kept = self._insist(self._store.replace_claim, done, claim.owner)
        except Exception:
            log.exception("an idempotent answer could not be kept")
        else:
            if not kept:
                log.warning("an idempotent request outlived its lease; another has taken it over")

    def _insist(self, call: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
        return insistently(lambda: call(*args, **options), attempts=4, sleep=self._sleep)
