"""What the inference API takes and gives. Strict: a number that is a string, negative, huge or NaN is refused."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr, field_validator

from noren.chat.models import Answer, Feedback, Meta, Quota, RouteTaken, Session, Source, Suggestion, Turn
from noren.clock import iso
from noren.edge.numbers import PlainDecimal
from noren.edge.paging import PageQuery


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Out(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class ChatBody(_In):
    """A question."""

    message: Annotated[StrictStr, Field(min_length=1, max_length=8000)]
    site_id: Annotated[StrictStr, Field(max_length=64)] | None = None
    session_key: Annotated[StrictStr, Field(max_length=64)] | None = None
    model: Annotated[StrictStr, Field(max_length=100)] | None = None
    stream: StrictBool = False
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    max_tokens: Annotated[StrictInt, Field(ge=1, le=1_000_000)] | None = None
    """Of the answer; default 1,000. More than 4,000, or than the plan allows, counts as that."""
    metadata: Annotated[
        dict[Annotated[StrictStr, Field(max_length=64)], Annotated[StrictStr, Field(max_length=512)]],
        Field(max_length=16),
    ] = {}

    @field_validator("message")
    @classmethod
    def _says_something(cls, message: str) -> str:
        if not message.strip():
            raise ValueError("must not be blank")
        return message


class SourceOut(_Out):
    """A passage that the answer rests on."""

    title: str
    url: str
    document_id: str
    version: int
    score: float
    snippet: str


class SuggestionOut(_Out):
    """A canned response to a question much like the one asked: to be offered beside the answer, never in its place."""

    canned_id: str
    question: str
    answer: str


class RouteOut(_Out):
    """Which route answered, and why."""

    tier: str
    reason: str
    fallbacks_tried: list[str]


class TokensOut(_Out):
    """Tokens of all model calls of the request."""

    embedding: int
    chat: int
    input: int
    output: int
    cached: int


class CostOut(_Out):
    """A cost in the tenant's currency, with the rate used (units per USD)."""

    amount: PlainDecimal
    currency: str
    rate: PlainDecimal


class QuotaOut(BaseModel):
    """The month's chats, this one included."""

    chats_used: int
    chats_limit: int
    resets_at: str


class CreditsOut(_Out):
    """Credits that the request took, and what is left (null without a credit account)."""

    used: int
    remaining: int | None


class ChatAnswer(BaseModel):
    """An answer with all its accounting. A canned one (`canned_id`) names no model and counts against no quota."""

    id: str
    session_key: str
    answer: str
    sources: list[SourceOut]
    model_used: str
    provider: str
    route: RouteOut
    tokens_consumed: TokensOut
    cost_usd: PlainDecimal
    cost_local: CostOut
    quota: QuotaOut | None
    credits: CreditsOut
    latency_ms: int
    trace_id: str
    finish_reason: Literal["stop", "length", "content_filter", "cancelled", "deadline"]
    suggestions: list[SuggestionOut]
    canned_id: str | None

    @classmethod
    def of(cls, answer: Answer) -> ChatAnswer:
        """The answer as it goes out."""
        return cls(
            id=answer.id,
            session_key=answer.session_key,
            answer=answer.answer,
            sources=sources_out(answer.sources),
            model_used=answer.model_used,
            provider=answer.provider,
            route=_route(answer.route),
            tokens_consumed=TokensOut.model_validate(answer.tokens_consumed),
            cost_usd=answer.cost_usd,
            cost_local=CostOut.model_validate(answer.cost_local),
            quota=_quota(answer.quota),
            credits=CreditsOut.model_validate(answer.credits),
            latency_ms=answer.latency_ms,
            trace_id=answer.trace_id,
            finish_reason=answer.finish_reason,
            suggestions=offered(answer.suggestions),
            canned_id=answer.canned_id or None,
        )


class ChatMeta(BaseModel):
    """The first event of a stream."""

    id: str
    session_key: str
    route: RouteOut
    model: str
    sources: list[SourceOut]
    suggestions: list[SuggestionOut]
    canned_id: str | None
    trace_id: str

    @classmethod
    def of(cls, meta: Meta) -> ChatMeta:
        """The event as it goes out."""
        return cls(
            id=meta.id,
            session_key=meta.session_key,
            route=_route(meta.route),
            model=meta.model,
            sources=sources_out(meta.sources),
            suggestions=offered(meta.suggestions),
            canned_id=meta.canned_id or None,
            trace_id=meta.trace_id,
        )


class Cancelling(BaseModel):
    """The answer will end within seconds."""

    id: str
    status: Literal["cancelling"] = "cancelling"


class FeedbackBody(_In):
    """What a person thinks of an answer."""

    rating: Annotated[StrictInt, Field(ge=1, le=5)]
    comment: Annotated[StrictStr, Field(max_length=2000)] = ""


class FeedbackOut(BaseModel):
    """The feedback as it stands."""

    id: str
    rating: int
    comment: str
    created_at: str
    updated_at: str

    @classmethod
    def of(cls, given: Feedback) -> FeedbackOut:
        """The feedback as it goes out."""
        return cls(
            id=given.request_id,
            rating=given.rating,
            comment=given.comment,
            created_at=iso(given.created_at),
            updated_at=iso(given.updated_at),
        )


class SessionsQuery(PageQuery):
    """Paging of one's own sessions."""


class SessionRow(BaseModel):
    """A session in a list."""

    session_key: str
    site_id: str
    title: str
    turns: int
    created_at: str
    last_prompt_at: str

    @classmethod
    def of(cls, session: Session) -> SessionRow:
        """The session as it goes out."""
        return cls(
            session_key=session.session_key,
            site_id=session.site_id,
            title=session.title,
            turns=session.turns,
            created_at=iso(session.created_at),
            last_prompt_at=iso(session.last_prompt_at),
        )


class SessionPage(BaseModel):
    """One page of sessions, the latest begun first."""

    items: list[SessionRow]
    next_cursor: str | None = None


class TurnOut(BaseModel):
    """A question and its answer, with what it rests on."""

    id: str
    message: str
    answer: str
    sources: list[SourceOut]
    model: str
    finish_reason: str
    at: str


class SessionOut(SessionRow):
    """A session with its summary and its newest turns, oldest first."""

    summary_text: str
    messages: list[TurnOut]

    @classmethod
    def with_turns(cls, session: Session, turns: list[Turn]) -> SessionOut:
        """The session as it goes out."""
        return cls(
            **SessionRow.of(session).model_dump(),
            summary_text=session.summary_text,
            messages=[
                TurnOut(
                    id=turn.request_id,
                    message=turn.message,
                    answer=turn.answer,
                    sources=sources_out(turn.sources),
                    model=turn.model,
                    finish_reason=turn.finish_reason,
                    at=iso(turn.at),
                )
                for turn in turns
            ],
        )


class VisitorToken(BaseModel):
    """A bearer token that names an anonymous device."""

    token: str
    token_type: Literal["Bearer"] = "Bearer"
    expires_in: int


class Health(BaseModel):
    """The function is up."""

    status: Literal["ok"] = "ok"


def offered(suggestions: tuple[Suggestion, ...]) -> list[SuggestionOut]:
    """Suggestions as they go out."""
    return [SuggestionOut.model_validate(each) for each in suggestions]


def _quota(quota: Quota | None) -> QuotaOut | None:
    if quota is None:
        return None
    return QuotaOut(chats_used=quota.chats_used, chats_limit=quota.chats_limit, resets_at=iso(quota.resets_at))


def _route(route: RouteTaken) -> RouteOut:
    return RouteOut(tier=route.tier, reason=route.reason, fallbacks_tried=list(route.fallbacks_tried))


def sources_out(sources: tuple[Source, ...]) -> list[SourceOut]:
    """Sources as they go out."""
    return [SourceOut.model_validate(source) for source in sources]
