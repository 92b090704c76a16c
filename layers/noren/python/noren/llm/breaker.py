"""A circuit breaker per provider, model and endpoint, shared by all instances.

It opens after three failures in a row, or when at least half of a 30 s window's calls failed, or at once where the
router says so (a silent model whose stand-in can answer: nobody else shall wait for it); after a rest one request
claims the probe and its outcome closes or reopens it. While all is well it costs one small read per instance and two
seconds, and no write: successes are counted here and written only when there are failures to weigh them against.
If the table can't be reached, calls go through: the breaker is a courtesy, never a reason to fail.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from noren.clock import Clock
from noren.llm.store import BreakerStore, Health
from noren.metrics import measured
from noren.plans.models import ModelPolicy

IN_A_ROW = 3
WINDOW_SECONDS = 30
MIN_CALLS = 10
"""Calls of a window below which a share of failures says nothing."""
REST_SECONDS = 15.0
PROBE_SECONDS = 30.0
"""A probe that has not reported by then is given up for lost."""
CACHE_SECONDS = 2.0

T = TypeVar("T")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pass:
    """Whether a model may be called now; if not, seconds until it is worth asking again."""

    allowed: bool
    probe: bool = False
    retry_after: float = 0.0


@dataclass(slots=True)
class _Known:
    """What this instance knows of one model."""

    health: Health
    read_at: float
    good: int = 0
    """Successes of `window` not written yet."""
    window: int = 0


class Breaker:
    """One per container."""

    def __init__(self, store: BreakerStore, clock: Clock = time.time) -> None:
        self._store = store
        self._clock = clock
        self._known: dict[str, _Known] = {}

    def stale(self, policies: Iterable[ModelPolicy]) -> list[ModelPolicy]:
        """Of a route's models, those that `ask` will read the state of: up to the first that does not seem to rest."""
        now, found = self._clock(), []
        for policy in policies:
            known = self._here(breaker_key(policy), now)
            if self._is_stale(known, now):
                found.append(policy)
            if not known.health.open_until:
                break
        return found

    def refresh(self, policies: Iterable[ModelPolicy]) -> None:
        """Read their states ahead of `ask`, where it suits the caller better."""
        now = self._clock()
        for policy in policies:
            self._fresh(breaker_key(policy), now)

    def ask(self, policy: ModelPolicy) -> Pass:
        """May this model be called now? A `probe` must be reported back by one of the methods below."""
        key, now = breaker_key(policy), self._clock()
        known = self._fresh(key, now)
        health = known.health
        if not health.open_until:
            return Pass(True)
        if now < health.open_until:
            return Pass(False, retry_after=health.open_until - now)
        claimed = self._try(lambda: self._store.claim_probe(key, health, now + PROBE_SECONDS, now), True)
        known.read_at = 0.0  # the next question looks again: the probe may be over
        return Pass(True, probe=True) if claimed else Pass(False, retry_after=1.0)

    def succeeded(self, policy: ModelPolicy, probe: bool = False) -> None:
        """A call went well. Writes only if failures are on record, or to close after a probe."""
        key, now = breaker_key(policy), self._clock()
        known = self._here(key, now)
        if probe:
            self._try(lambda: self._store.close(key), None)
            known.health, known.read_at, known.good = Health(), now, 0
            return
        known.good += 1
        if known.health.streak or (known.health.bad and known.health.window == known.window):
            self._write(key, known, bad=0, now=now)

    def failed(self, policy: ModelPolicy, probe: bool = False, at_once: bool = False) -> None:
        """A call failed through the provider's fault. Opens if that is one too many, or `at_once`."""
        key, now = breaker_key(policy), self._clock()
        known = self._here(key, now)
        health = self._write(key, known, bad=1, now=now)
        calls = health.good + health.bad
        half = health.window == known.window and calls >= MIN_CALLS and health.bad * 2 >= calls
        if probe or at_once or health.streak >= IN_A_ROW or half:
            until = now + REST_SECONDS
            self._try(lambda: self._store.open(key, until, now), None)
            known.health = Health(health.streak, health.window, health.good, health.bad, until)
            known.read_at = now
            _log.warning("a model rests", extra=measured({"model": policy.id}, "model", BreakerOpened=1))

    def dropped(self, policy: ModelPolicy) -> None:
        """A probe ended without telling anything about the model."""
        key = breaker_key(policy)
        self._try(lambda: self._store.release_probe(key), None)

    def _fresh(self, key: str, now: float) -> _Known:
        known = self._here(key, now)
        if self._is_stale(known, now):
            known.health = self._try(lambda: self._store.load(key), known.health)
            known.read_at = now
        return known

    @staticmethod
    def _is_stale(known: _Known, now: float) -> bool:
        return now - known.read_at >= CACHE_SECONDS

    def _here(self, key: str, now: float) -> _Known:
        known = self._known.setdefault(key, _Known(Health(), 0.0))
        window = int(now // WINDOW_SECONDS)
        if known.window != window:
            known.window, known.good = window, 0
        return known

    def _write(self, key: str, known: _Known, bad: int, now: float) -> Health:
        good, window = known.good, known.window
        # A success breaks the row by being written, as it is when it follows a failure. One that this instance saw
        # before does not: the others' failures may be later, and a warm fleet would never come to three.
        streak = None if bad else 0
        changed = self._try(
            lambda: self._store.count(key, window, good=good, bad=bad, streak=streak, now=now), known.health
        )
        known.health, known.read_at, known.good = changed, now, 0
        return changed

    def _try(self, call: Callable[[], T], otherwise: T) -> T:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return call()
        except (BotoCoreError, ClientError):
            return otherwise


def breaker_key(policy: ModelPolicy) -> str:
    """What fails together: the provider's model behind one endpoint."""
    return f"{policy.provider}#{policy.model}#{policy.endpoint or policy.id}"
