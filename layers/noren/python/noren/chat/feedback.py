"""What people think of answers: given by who asked, read by the site's owner, made good by a canned response."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from noren.chat.feedback_store import FeedbackStore, feedback_of
from noren.chat.grounds import unnumbered
from noren.chat.models import Asker, Feedback, Turn
from noren.chat.newest import newest, page
from noren.chat.store import SessionStore, owner_hash
from noren.clock import Clock
from noren.errors import NotFound, Unprocessable
from noren.ids import TenantId
from noren.sites.canned import CannedResponses
from noren.sites.canned_models import LONGEST_ANSWER, LONGEST_PATTERN, CannedResponse, Pattern
from noren.usage.service import Usage

FIRST, LAST = "req_", "req_~"
"""All ids of requests lie between them."""
MOST_TOLD = 5
"""Revisions of one feedback that owners are told of: who clicks to and fro all day floods nobody."""

LONGEST_QUESTION, LONGEST_LEARNT = 300, 10_000
"""Characters of a pair that a site is trained on."""


@dataclass(frozen=True, slots=True)
class Rated:
    """Feedback with the answer that it is about; no `turn` where that is not stored any more."""

    feedback: Feedback
    turn: Turn | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which feedback: on answers between two request ids, with a rating between two."""

    above: str = FIRST
    below: str = LAST
    rating_min: int = 1
    rating_max: int = 5


class Feedbacks:
    """`tell` hears of what is given and of its first changes, more than once too: a revision is one thing."""

    def __init__(
        self,
        store: FeedbackStore,
        sessions: SessionStore,
        usage: Usage,
        canned: CannedResponses,
        tell: Callable[[TenantId, Feedback], object],
        clock: Clock,
    ) -> None:
        self._store, self._sessions, self._usage, self._canned = store, sessions, usage, canned
        self._tell, self._clock = tell, clock

    def rate(self, asker: Asker, request_id: str, rating: int, comment: str) -> Feedback:
        """Give or change the feedback on one's own answer. Raises NotFound for any other."""
        record = self._usage.record_of(asker.tenant_id, request_id)
        if record is None or record.caller != asker.principal or record.decision != "USAGE":
            raise NotFound("There is no such answer")
        now, arm = self._clock(), (record.experiment_id, record.prompt_arm) if record.experiment_id else None
        given = Feedback(
            request_id,
            rating,
            comment,
            created_at=now,
            updated_at=now,
            site_id=record.site_id,
            session_key=record.session_key,
            owner=owner_hash(asker.principal),
        )
        stored = self._store.put(asker.tenant_id, given, arm)
        if stored.revision <= MOST_TOLD:
            self._tell(asker.tenant_id, stored)
        return stored

    def page(
        self, tenant_id: TenantId, site_ids: Iterable[str], wanted: Wanted, limit: int, below: str | None
    ) -> tuple[list[Feedback], str | None]:
        """Feedback on the sites' answers, the latest answer first, and where to go on."""
        reads = [partial(self._store.rows, tenant_id, each, wanted.above) for each in site_ids]
        rows, following = page(
            newest(reads, below or wanted.below),
            limit,
            lambda row: wanted.rating_min <= row["rating"] <= wanted.rating_max,
        )
        return [feedback_of(row) for row in rows], following

    def get(self, tenant_id: TenantId, request_id: str) -> Rated:
        """The feedback on an answer, with the question and what was answered. Raises NotFound."""
        record = self._usage.record_of(tenant_id, request_id)
        feedback = self._store.get(tenant_id, record.site_id, request_id) if record else None
        if record is None or feedback is None:
            raise NotFound("There is no such feedback")
        return Rated(feedback, self._sessions.turn(tenant_id, feedback.owner, record.session_key, request_id))

    def answer_from_now_on(
        self, tenant_id: TenantId, request_id: str, patterns: Sequence[Pattern] | None, answer: str | None, actor: str
    ) -> CannedResponse:
        """Make a canned response of a rated answer: to its question, with the corrected `answer` if one is given.

        Raises NotFound, Unprocessable where nothing is left of the question or it is too long, and as `create` does.
        """
        rated = self.get(tenant_id, request_id)
        question, given = _said(rated)
        if patterns is None:
            patterns = [Pattern("normalized", _kept(question, LONGEST_PATTERN, "patterns"))]
        if answer is None:
            answer = _kept(given, LONGEST_ANSWER, "answer")
        return self._canned.create(tenant_id, rated.feedback.site_id, patterns, answer, actor)

    def pair(
        self, tenant_id: TenantId, request_id: str, question: str | None, answer: str | None
    ) -> tuple[str, str, str]:
        """A rated answer's site, question and answer, to be learnt; corrected where they are given.

        Raises NotFound, and Unprocessable where nothing is left of one that is not given, or it is too long.
        """
        rated = self.get(tenant_id, request_id)
        asked, given = _said(rated)
        question = question or _kept(asked, LONGEST_QUESTION, "question")
        return rated.feedback.site_id, question, answer or _kept(given, LONGEST_LEARNT, "answer")


def _said(rated: Rated) -> tuple[str, str]:
    """The question and its answer, fit to be given again: without the numbers of that answer's sources."""
    turn = rated.turn
    if turn is None:
        return "", ""
    return turn.message, unnumbered(turn.answer) if turn.sources else turn.answer


def _kept(text: str, longest: int, name: str) -> str:
    text = text.strip()
    if not text or len(text) > longest:
        why = f"is longer than {longest} characters" if text else "is not stored any more"
        raise Unprocessable(f"This text {why}: send `{name}` yourself.", code=f"{name}_needed")
    return text
