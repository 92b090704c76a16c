"""What visitors give and get: nothing of prices, quota, credits, providers or models."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictStr

from chat.schemas import SessionRow, SourceOut, SuggestionOut, offered, sources_out
from noren.chat.models import Answer, FinishReason, Meta, Session, Turn
from noren.clock import iso


class VisitBody(BaseModel):
    """Which loader asks, and for whom."""

    model_config = ConfigDict(extra="forbid", strict=True)

    embed_id: Annotated[StrictStr, Field(max_length=100)]
    """As the loader carries it (`/api/v1/embed/config`); for servers, the site's `embed_script_id`."""
    token: Annotated[StrictStr, Field(max_length=2000)] | None = None
    """The visitor token that the page had before, if any; good or expired, it says which device this is."""


class VisitToken(BaseModel):
    """A bearer token for the page that asked, at the site of its key."""

    token: str
    token_type: Literal["Bearer"] = "Bearer"
    expires_in: int


class VisitorAnswer(BaseModel):
    """An answer as visitors get it."""

    id: str
    session_key: str
    answer: str
    sources: list[SourceOut]
    suggestions: list[SuggestionOut]
    canned_id: str | None
    finish_reason: FinishReason
    trace_id: str

    @classmethod
    def of(cls, answer: Answer) -> VisitorAnswer:
        """The answer as it goes out."""
        return cls(
            id=answer.id,
            session_key=answer.session_key,
            answer=answer.answer,
            sources=sources_out(answer.sources),
            suggestions=offered(answer.suggestions),
            canned_id=answer.canned_id or None,
            finish_reason=answer.finish_reason,
            trace_id=answer.trace_id,
        )


class VisitorMeta(BaseModel):
    """The first event of a stream as visitors get it."""

    id: str
    session_key: str
    sources: list[SourceOut]
    suggestions: list[SuggestionOut]
    canned_id: str | None
    trace_id: str

    @classmethod
    def of(cls, meta: Meta) -> VisitorMeta:
        """The event as it goes out."""
        return cls(
            id=meta.id,
            session_key=meta.session_key,
            sources=sources_out(meta.sources),
            suggestions=offered(meta.suggestions),
            canned_id=meta.canned_id or None,
            trace_id=meta.trace_id,
        )


class VisitorTurn(BaseModel):
    """A question and its answer, with what it rests on."""

    id: str
    message: str
    answer: str
    sources: list[SourceOut]
    finish_reason: str
    at: str


class VisitorSession(SessionRow):
    """A visitor's session with its newest turns, oldest first."""

    messages: list[VisitorTurn]

    @classmethod
    def with_turns(cls, session: Session, turns: list[Turn]) -> VisitorSession:
        """The session as it goes out."""
        return cls(
            **SessionRow.of(session).model_dump(),
            messages=[
                VisitorTurn(
                    id=turn.request_id,
                    message=turn.message,
                    answer=turn.answer,
                    sources=sources_out(turn.sources),
                    finish_reason=turn.finish_reason,
                    at=iso(turn.at),
                )
                for turn in turns
            ],
        )
