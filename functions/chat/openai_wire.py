"""OpenAI's Chat Completions wire format over our own pipeline: requests in, answers and chunks out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, StrictBool, StrictInt, StrictStr, Tag

from chat.schemas import SourceOut, sources_out
from noren.chat.models import Answer, ChatAsk, ChatEvent, Delta, Done, Meta
from noren.clock import from_iso
from noren.edge.respond import to_json
from noren.errors import BadRequest, NotFound
from noren.ids import created_at
from noren.llm.models import Message
from noren.plans.models import ModelPolicy

FINISH = {"cancelled": "stop", "deadline": "length"}
"""Reasons of ours that OpenAI does not know."""
REFUSED = (
    "audio",
    "function_call",
    "functions",
    "logprobs",
    "prediction",
    "response_format",
    "stop",
    "tool_choice",
    "tools",
    "top_logprobs",
    "web_search_options",
)
"""Parameters that change what an answer is; hints on sampling and the like are ignored, as other gateways do."""
HARMLESS: dict[str, tuple[Any, ...]] = {
    "response_format": ({"type": "text"},),
    "tool_choice": ("none", "auto"),
    "function_call": ("none", "auto"),
}


class TextPart(BaseModel):
    """A piece of a message. Images, sounds and files are not taken."""

    type: Literal["text"]
    text: StrictStr


class WireMessage(BaseModel):
    """One message of the client's conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[
        Annotated[StrictStr, Tag("text")] | Annotated[list[TextPart], Field(min_length=1), Tag("parts")],
        Discriminator(lambda value: "parts" if isinstance(value, list) else "text"),
    ]

    @property
    def text(self) -> str:
        """The content as one text."""
        return self.content if isinstance(self.content, str) else "\n".join(part.text for part in self.content)


class StreamOptions(BaseModel):
    """`include_usage`: a last chunk with the token counts."""

    include_usage: StrictBool = False


class Completion(BaseModel):
    """The request. What is not named here is refused where it would change the answer's form, else ignored."""

    model_config = ConfigDict(extra="allow")

    model: Annotated[StrictStr, Field(max_length=100)] = ""
    messages: Annotated[list[WireMessage], Field(min_length=1, max_length=500)]
    stream: StrictBool | None = None
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False, strict=True)] | None = None
    max_tokens: Annotated[StrictInt, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[StrictInt, Field(ge=1)] | None = None
    n: Annotated[StrictInt, Field(ge=1, le=1)] | None = None


class CompletionMessage(BaseModel):
    """The assistant's message."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class CompletionChoice(BaseModel):
    """The one choice."""

    index: int = 0
    message: CompletionMessage
    logprobs: None = None
    finish_reason: str


class CompletionUsage(BaseModel):
    """Token counts."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: dict[str, int]


class CompletionAnswer(BaseModel):
    """The answer."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: CompletionUsage
    system_fingerprint: None = None
    """Seeds are not honoured, so that nothing could be told by it."""
    sources: list[SourceOut]
    """An extension of OpenAI's format: the passages of the site's documents that went into the prompt."""


class ModelRow(BaseModel):
    """A model that the plan allows."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str


class ModelList(BaseModel):
    """The models that the plan allows."""

    object: Literal["list"] = "list"
    data: list[ModelRow]


def model_list(policies: Iterable[ModelPolicy]) -> ModelList:
    """The policies' models, by id."""
    rows = [
        ModelRow(id=each.id, created=int(from_iso(f"{each.effective_date}T00:00:00+00:00")), owned_by=each.provider)
        for each in policies
        if each.enabled
    ]
    return ModelList(data=sorted(rows, key=lambda row: row.id))


def model_row(policies: Iterable[ModelPolicy], model: str) -> ModelRow:
    """One of them. Raises NotFound for any other, whether it exists or not."""
    for row in model_list(policies).data:
        if row.id == model:
            return row
    raise NotFound("The plan has no model of that id.", code="model_not_found")


class OpenAiWire:
    """One request in OpenAI's format. Raises BadRequest for what can't be honoured."""

    media_type = "text/event-stream"
    waits_for_text = True
    """The status line is held back until the model speaks, so that a failure has a status that SDKs retry on."""

    def __init__(self, body: Completion) -> None:
        for name in REFUSED:
            value = (body.model_extra or {}).get(name)
            if value and value not in HARMLESS.get(name, ()):
                raise BadRequest(
                    f"The parameter `{name}` is not supported here.",
                    code="unsupported_parameter",
                    errors=[{"field": name, "message": "not supported"}],
                )
        if body.messages[-1].role != "user":
            raise BadRequest("The last message must be the user's.")
        if not body.messages[-1].text.strip():
            raise BadRequest("The last message must not be blank.")
        self.stream = bool(body.stream)
        self._with_usage = bool(body.stream_options and body.stream_options.include_usage)
        self._meta: Meta | None = None
        roles: dict[str, Literal["system", "user", "assistant"]] = {"developer": "system"}
        self.ask = ChatAsk(
            message=body.messages[-1].text,
            model="" if body.model == "default" else body.model,
            temperature=body.temperature,
            max_tokens=body.max_completion_tokens or body.max_tokens,
            source="openai",
            history=tuple(
                Message(roles.get(each.role) or each.role, each.text)  # type: ignore[arg-type]
                for each in body.messages[:-1]
            ),
        )

    def answer(self, answer: Answer) -> CompletionAnswer:
        """The whole answer at once."""
        return CompletionAnswer(
            id=answer.id,
            created=int(created_at(answer.id)),
            model=answer.model_used,
            choices=[CompletionChoice(message=CompletionMessage(content=answer.answer), finish_reason=_finish(answer))],
            usage=_usage(answer),
            sources=sources_out(answer.sources),
        )

    def frames(self, event: ChatEvent) -> bytes:
        """The chunks for one event."""
        match event:
            case Meta():
                self._meta = event
                return self._chunk({"role": "assistant", "content": ""})
            case Delta():
                return self._chunk({"content": event.text})
            case Done():
                last = self._last_chunk(event.answer)
                return last + self._usage_chunk(event.answer) + b"data: [DONE]\n\n"

    def failure(self, error: bytes) -> bytes:
        """The error that ends a stream, as SDKs read it."""
        return b"data: " + error + b"\n\n"

    def _chunk(self, delta: dict[str, str]) -> bytes:
        return self._data([{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}])

    def _last_chunk(self, answer: Answer) -> bytes:
        choice = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": _finish(answer)}
        sources = [each.model_dump() for each in sources_out(answer.sources)]
        return self._data([choice], answer.model_used, sources=sources)

    def _usage_chunk(self, answer: Answer) -> bytes:
        return self._data([], answer.model_used, _usage(answer).model_dump()) if self._with_usage else b""

    def _data(self, choices: list[Any], model: str = "", usage: dict[str, Any] | None = None, **more: object) -> bytes:
        assert self._meta is not None
        chunk = {
            "id": self._meta.id,
            "object": "chat.completion.chunk",
            "created": int(created_at(self._meta.id)),
            "model": model or self._meta.model,
            "choices": choices,
            "system_fingerprint": None,
            **more,
        }
        if self._with_usage:
            chunk["usage"] = usage
        return b"data: " + to_json(chunk) + b"\n\n"


def _finish(answer: Answer) -> str:
    return FINISH.get(answer.finish_reason, answer.finish_reason)


def _usage(answer: Answer) -> CompletionUsage:
    tokens = answer.tokens_consumed
    return CompletionUsage(
        prompt_tokens=tokens.input,
        completion_tokens=tokens.output,
        total_tokens=tokens.input + tokens.output,
        prompt_tokens_details={"cached_tokens": tokens.cached},
    )
