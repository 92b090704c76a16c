"""What visitors said, as a site's owner reads it: feedback and conversations."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from noren.chat.conversations import Conversation, Read
from noren.chat.feedback import Rated
from noren.chat.models import Feedback, Turn
from noren.clock import iso
from noren.edge.paging import PageQuery
from noren.sites.canned_models import Pattern
from platform_api.schemas import Answer, Body
from platform_api.schemas_canned import Given, Patterns
from platform_api.schemas_usage import Day, Format

SiteId = Annotated[str, StringConstraints(max_length=80)]


class FeedbackQuery(PageQuery):
    """Days (of the tenant's time zone, both included) are those of the answers."""

    site_id: SiteId | None = None
    rating_min: Annotated[int, Field(ge=1, le=5)] = 1
    rating_max: Annotated[int, Field(ge=1, le=5)] = 5
    from_: Day | None = Field(default=None, alias="from")
    to: Day | None = None
    format: Format | None = None

    @model_validator(mode="after")
    def _in_order(self) -> FeedbackQuery:
        if self.rating_min > self.rating_max:
            raise ValueError("rating_min is above rating_max")
        return self


class FeedbackOut(Answer):
    """What somebody thinks of an answer (`id`). `user_session_key` is the conversation that it was given in."""

    id: str
    site_id: str
    rating: int
    comment: str
    created_at: str
    updated_at: str
    user_session_key: str

    @classmethod
    def of(cls, each: Feedback) -> FeedbackOut:
        """The feedback as it goes out."""
        return cls(
            id=each.request_id,
            site_id=each.site_id,
            rating=each.rating,
            comment=each.comment,
            created_at=iso(each.created_at),
            updated_at=iso(each.updated_at),
            user_session_key=each.session_key,
        )


class SourceOut(Answer):
    """A passage that an answer rests on."""

    title: str
    url: str
    document_id: str
    version: int
    score: float
    snippet: str


class RatedOut(FeedbackOut):
    """Feedback with the answer that it is about: null where that is not stored any more (30 days, or deleted)."""

    question: str | None
    answer: str | None
    model: str | None
    """"" for a canned answer."""
    canned_id: str | None
    sources: list[SourceOut]

    @classmethod
    def whole(cls, rated: Rated) -> RatedOut:
        """The feedback and its answer as they go out."""
        turn = rated.turn
        return cls(
            **FeedbackOut.of(rated.feedback).model_dump(),
            question=turn.message if turn else None,
            answer=turn.answer if turn else None,
            model=turn.model if turn else None,
            canned_id=_canned_id(turn),
            sources=_sources(turn),
        )


class MakeCannedIn(Body):
    """A canned response made of a rated answer: to its question, unless `patterns` say otherwise, with the corrected
    `answer`, unless the given one is good."""

    patterns: Patterns | None = None
    answer: Given | None = None

    def given_patterns(self) -> list[Pattern] | None:
        """The patterns as the domain has them; None where the question itself is meant."""
        return None if self.patterns is None else [Pattern(each.kind, each.text) for each in self.patterns]


class ConversationsQuery(PageQuery):
    """Days (of the tenant's time zone, both included) are those on which conversations began."""

    site_id: SiteId | None = None
    from_: Day | None = Field(default=None, alias="from")
    to: Day | None = None


class ConversationRow(Answer):
    """A conversation: by a `visitor` of the widget, a `member`, a server (`api_key`) or an `anonymous` device."""

    session_key: str
    site_id: str
    kind: Literal["visitor", "member", "api_key", "anonymous"]
    title: str
    turns: int
    created_at: str
    last_prompt_at: str

    @classmethod
    def of(cls, each: Conversation) -> ConversationRow:
        """The conversation as it goes out."""
        session = each.session
        return cls(
            session_key=session.session_key,
            site_id=session.site_id,
            kind=each.kind,  # type: ignore[arg-type]
            title=session.title,
            turns=session.turns,
            created_at=iso(session.created_at),
            last_prompt_at=iso(session.last_prompt_at),
        )


class TurnOut(Answer):
    """A question and its answer, with the passages that it rests on and what its asker thinks of it."""

    id: str
    question: str
    answer: str
    model: str
    finish_reason: str
    at: str
    canned_id: str | None
    sources: list[SourceOut]
    rating: int | None
    comment: str | None


class ConversationOut(ConversationRow):
    """A conversation with its latest turns, or those before them by the cursor; oldest first."""

    summary_text: str
    messages: list[TurnOut]
    next_cursor: str | None
    """Leads to earlier turns."""

    @classmethod
    def whole(cls, read: Read, cursor: str | None) -> ConversationOut:
        """The conversation as it goes out."""
        return cls(
            **ConversationRow.of(read.conversation).model_dump(),
            summary_text=read.conversation.session.summary_text,
            messages=[_turn(turn, read.feedback.get(turn.request_id)) for turn in read.turns],
            next_cursor=cursor,
        )


def _turn(turn: Turn, feedback: Feedback | None) -> TurnOut:
    return TurnOut(
        id=turn.request_id,
        question=turn.message,
        answer=turn.answer,
        model=turn.model,
        finish_reason=turn.finish_reason,
        at=iso(turn.at),
        canned_id=_canned_id(turn),
        sources=_sources(turn),
        rating=feedback.rating if feedback else None,
        comment=feedback.comment if feedback else None,
    )


def _canned_id(turn: Turn | None) -> str | None:
    return (turn.complete.canned_id or None) if turn and turn.complete else None


def _sources(turn: Turn | None) -> list[SourceOut]:
    return [SourceOut.model_validate(each) for each in turn.sources] if turn else []
