"""One `Idempotency-Key`, one answer: who comes second waits for the first, then gets what it got."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from noren.chat.models import Answer, Asker, IdempotencyKey, Run
from noren.chat.sessions import Sessions
from noren.chat.store import owner_hash
from noren.clock import Clock
from noren.errors import Conflict, UpstreamFailed
from noren.idempotency import Idempotency
from noren.ids import created_at
from noren.ledger.service import Ledger
from noren.usage.models import UsageRecord
from noren.usage.service import Usage

WAIT_SECONDS = 25.0
PAUSE_SECONDS = 0.25
GRACE_SECONDS = 30.0
"""A key whose request neither holds nor has settled anything by then is free again: its process died."""


@dataclass(slots=True)
class Claim:
    """A key that is ours, or the answer of the request that had it first."""

    first: Answer | None = None
    admitted: bool = False
    """Set once the ledger holds the request: from then on its record tells how it ended."""


class Replays:
    """Decides by the ledger's hold and the usage record, which are there for every admitted request anyway."""

    def __init__(
        self, idempotency: Idempotency, ledger: Ledger, usage: Usage, sessions: Sessions, clock: Clock
    ) -> None:
        self._idempotency, self._ledger, self._usage = idempotency, ledger, usage
        self._sessions, self._clock = sessions, clock

    @contextmanager
    def claim(self, asker: Asker, run: Run, request_id: str) -> Iterator[Claim]:
        """Enter with the key or with the first answer. Leaving without admission gives the key back.

        Raises Conflict(in_progress) past the waiting time, Unprocessable for another body under the same key.
        """
        if run.once is None:
            yield Claim()
            return
        claim = Claim(self._first_answer(asker, run, run.once, request_id))
        try:
            yield claim
        finally:
            if claim.first is None and not claim.admitted:
                self._forget(asker, run.once, request_id)

    def _first_answer(self, asker: Asker, run: Run, once: IdempotencyKey, request_id: str) -> Answer | None:
        patience = min(self._clock() + WAIT_SECONDS, run.deadline - 1)
        while True:
            begun = self._idempotency.begin(asker.tenant_id, _scope(asker, once), once.key, once.body, request_id)
            if begun.is_new:
                return None
            is_open = self._ledger.is_open(asker.tenant_id, begun.request_id)
            # After the hold: a record is written before its hold goes, so neither means that neither ever was.
            record = None if is_open else self._usage.record_of(asker.tenant_id, begun.request_id)
            if record and record.decision == "USAGE":
                return self._stored(asker, record)
            is_dead = not is_open and self._clock() - created_at(begun.request_id) > GRACE_SECONDS
            if record or is_dead:  # it failed without cost, or never came to anything
                self._forget(asker, once, begun.request_id)
                continue
            if run.gone() or self._clock() >= patience:
                raise Conflict("The first request with this key is still running.", code="in_progress", retry_after=5)
            time.sleep(PAUSE_SECONDS)

    def _stored(self, asker: Asker, record: UsageRecord) -> Answer:
        turn = self._sessions.stored_turn(asker, record)
        if turn is None:
            raise Conflict("The first answer to this key is no longer stored.", code="answer_gone")
        if turn.complete is None:
            raise UpstreamFailed("The model broke off.", code="upstream_cut", id=record.request_id, answer=turn.answer)
        return turn.complete

    def _forget(self, asker: Asker, once: IdempotencyKey, request_id: str) -> None:
        self._idempotency.forget(asker.tenant_id, _scope(asker, once), once.key, request_id)


def _scope(asker: Asker, once: IdempotencyKey) -> str:
    """Keys are told apart by who uses them, so that no one reads another's answer."""
    return f"{once.route}#{owner_hash(asker.principal)}"
