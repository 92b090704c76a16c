"""What is asked of an assistant, by whom, and what comes back: typed events that end in one `Answer`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from noren.ids import TenantId
from noren.llm.models import Message
from noren.money import CostSnapshot

FinishReason = Literal["stop", "length", "content_filter", "cancelled", "deadline"]


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks, as the edge has verified it, and from where."""

    tenant_id: TenantId
    principal: str
    """`user:<sub>`, `key:<id>`, `visitor:<device>` or `anonymous:<device>`: sessions and answers belong to it."""
    kind: Literal["member", "api_key", "visitor", "anonymous"]
    address: str = ""
    """What limits count by: an IPv4 address or an IPv6 /56. Never stored as it is."""
    address_prefix: str = ""
    user_agent: str = ""
    trace_id: str = ""

    @property
    def sees_prices(self) -> bool:
        """Visitors never see a price, an upgrade link or what is the matter with an account."""
        return self.kind in ("member", "api_key")


@dataclass(frozen=True, slots=True)
class ChatAsk:
    """One question. What is left out comes from the site's profile."""

    message: str
    site_id: str = ""
    session_key: str = ""
    model: str = ""
    temperature: float | None = None
    max_tokens: int | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    source: Literal["chat", "openai"] = "chat"
    history: tuple[Message, ...] | None = None
    """Set where the client itself keeps the conversation: all of it before `message`; no session is used."""


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """The caller's `Idempotency-Key` with the raw body that it stands for."""

    route: str
    key: str
    body: bytes


def _here() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Run:
    """The circumstances of one run: `deadline` (epoch s) is when its process is surely stopped from outside."""

    deadline: float
    gone: Callable[[], bool] = _here
    """Whether the client is known to have left."""
    once: IdempotencyKey | None = None
    whole: bool = False
    """The answer goes out in one piece."""


@dataclass(frozen=True, slots=True)
class Source:
    """A place in a document that an answer rests on."""

    title: str
    url: str
    """With the anchor; "" where the document is no page."""
    document_id: str
    version: int
    """Of the index."""
    score: float
    """How sure it is that it answers, 0 to 1."""
    snippet: str


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A canned response to a question much like the one that was asked: offered, not given."""

    canned_id: str
    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class RouteTaken:
    """Which route answered, why, and what had been tried before."""

    tier: str
    reason: str
    fallbacks_tried: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of all model calls of a request."""

    embedding: int = 0
    chat: int = 0
    input: int = 0
    output: int = 0
    cached: int = 0


@dataclass(frozen=True, slots=True)
class Quota:
    """The month's chats after this one. `resets_at` is epoch seconds."""

    chats_used: int
    chats_limit: int
    resets_at: float


@dataclass(frozen=True, slots=True)
class Credits:
    """Credits that the request took and what is left; None where the tenant has no credit account."""

    used: int = 0
    remaining: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A finished answer with all its accounting."""

    id: str
    session_key: str
    answer: str
    model_used: str
    provider: str
    route: RouteTaken
    tokens_consumed: Tokens
    cost_usd: Decimal
    cost_local: CostSnapshot
    quota: Quota | None
    """None for a canned answer, which counts against none."""
    latency_ms: int
    trace_id: str
    finish_reason: FinishReason
    sources: tuple[Source, ...] = ()
    credits: Credits = Credits()
    suggestions: tuple[Suggestion, ...] = ()
    canned_id: str = ""
    """The canned response that this is; "" for a model's answer."""


@dataclass(frozen=True, slots=True)
class Meta:
    """The first event: admitted, and by which ids to cancel, rate or go on."""

    id: str
    session_key: str
    route: RouteTaken
    model: str
    """The first choice's name; `Answer.model_used` is what the upstream reports."""
    trace_id: str
    sources: tuple[Source, ...] = ()
    suggestions: tuple[Suggestion, ...] = ()
    canned_id: str = ""
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of the answer, passed on as it arrives."""

    text: str


@dataclass(frozen=True, slots=True)
class Done:
    """The last event, after the request has been settled."""

    answer: Answer


ChatEvent = Meta | Delta | Done


@dataclass(frozen=True, slots=True)
class Turn:
    """A question with its answer, as kept in a session."""

    request_id: str
    session_key: str
    message: str
    answer: str
    at: float
    model: str = ""
    finish_reason: str = "stop"
    complete: Answer | None = None
    """The whole answer, for replays; None where it broke off."""

    @property
    def sources(self) -> tuple[Source, ...]:
        """What the answer rests on."""
        return self.complete.sources if self.complete else ()


@dataclass(frozen=True, slots=True)
class Session:
    """A conversation of one principal at one site."""

    session_key: str
    site_id: str
    title: str
    created_at: float
    last_prompt_at: float
    turns: int = 0
    summarized: int = 0
    """How many of the oldest turns `summary_text` covers; `summary_upto` is the last one's request id."""
    summary_text: str = ""
    summary_upto: str = ""


@dataclass(frozen=True, slots=True)
class Feedback:
    """What a person thinks of an answer: 1 (bad) to 5 (good)."""

    request_id: str
    rating: int
    comment: str
    created_at: float
    updated_at: float
    site_id: str = ""
    session_key: str = ""
    owner: str = ""
    """The hash of who asked."""
    revision: int = 1
    """Of rating and comment: one more with each change."""
