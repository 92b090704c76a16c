"""One `Idempotency-Key`, one answer: who comes second waits for the first, then gets what it got."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from noren.chat.models import Answer, Asker, ChatEvent, Delta, Done, Meta, Run
from noren.chat.sessions import Sessions
from noren.chat.store import owner_hash
from noren.clock import Clock
from noren.errors import Conflict, UpstreamFailed
from noren.idempotency import Idempotency
from noren.ledger.models import Hold
from noren.usage.service import Usage

HOLD_SECONDS = 60.0
"""A hold outlives its request's deadline by this much; so does the claim to a key."""
MARGIN_SECONDS = 5.0
"""A duplicate stops waiting this long before it is stopped from outside."""


@dataclass(slots=True)
class Claim:
    """The id to answer under, or the answer of the request that had the key first."""

    request_id: str
    first: Answer | None = None
    hold: Hold | None = None
    """Set once the ledger has admitted the request: its record then tells how it ended."""
    is_recorded: bool = False
    """Answered, and recorded without the ledger: a canned answer."""

    @property
    def leaves_nothing(self) -> bool:
        """Surely: it was never admitted, or it was released. An undecided one is left to the sweep."""
        if self.is_recorded:
            return False
        return self.hold is None or (self.hold.decided is not None and self.hold.decided.decision == "RELEASE")


class Replays:
    """The key leads to a request id; its usage record and its stored turn are the outcome."""

    def __init__(self, idempotency: Idempotency, usage: Usage, sessions: Sessions, clock: Clock) -> None:
        self._idempotency, self._usage, self._sessions, self._clock = idempotency, usage, sessions, clock

    @contextmanager
    def claim(self, asker: Asker, run: Run, new_id: Callable[[], str]) -> Iterator[Claim]:
        """Enter with an id of one's own or with the first answer. A request that left nothing frees its key.

        Raises Conflict(in_progress) past the waiting time, Unprocessable for another body under the same key.
        """
        if run.once is None:
            yield Claim(new_id())
            return
        left = run.deadline - self._clock()
        begun = self._idempotency.begin(
            asker.tenant_id,
            f"{run.once.route}#{owner_hash(asker.principal)}",  # nobody reads another's answer by guessing a key
            run.once.key,
            run.once.body,
            new_id,
            lambda request_id: self._outcome(asker, run, request_id),
            lease_s=left + HOLD_SECONDS,
            wait_s=max(0.0, left - MARGIN_SECONDS),
        )
        claim = Claim(begun.request_id, begun.outcome)
        try:
            yield claim
        finally:
            if begun.is_new and claim.leaves_nothing:
                self._idempotency.abandon(begun)

    def _outcome(self, asker: Asker, run: Run, request_id: str) -> Answer | None:
        """The first answer; None while there is none. A release is none: its request frees the key."""
        if run.gone():
            raise Conflict("The client has left.", code="in_progress")
        record = self._usage.record_of(asker.tenant_id, request_id)
        if record is None or record.decision != "USAGE":
            return None
        turn = self._sessions.stored_turn(asker, record)
        if turn is None:
            raise Conflict("The first answer to this key is no longer stored.", code="answer_gone")
        if turn.complete is None:
            raise UpstreamFailed("The model broke off.", code="upstream_cut", id=request_id, answer=turn.answer)
        return turn.complete


def replayed(answer: Answer) -> Iterator[ChatEvent]:
    """The events of an answer that was given before."""
    yield Meta(
        answer.id,
        answer.session_key,
        answer.route,
        answer.model_used,
        answer.trace_id,
        answer.sources,
        answer.suggestions,
        answer.canned_id,
        replayed=True,
    )
    if answer.answer:
        yield Delta(answer.answer)
    yield Done(answer)
