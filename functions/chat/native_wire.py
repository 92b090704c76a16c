"""Our own wire format: one JSON answer, or server-sent events `meta`, `delta`…, `done`, `error`."""

from __future__ import annotations

from chat.schemas import ChatAnswer, ChatBody, ChatMeta
from noren.chat.models import Answer, ChatAsk, ChatEvent, Delta, Done, Meta
from noren.edge.respond import to_json

MAX_TOKENS = 4000
"""The longest answer that may be asked for (chapter 2)."""


class NativeWire:
    """One request in our own format."""

    media_type = "text/event-stream"
    waits_for_text = False
    """`meta` goes out at once: with its id the client can cancel while the model still wakes up."""

    def __init__(self, body: ChatBody) -> None:
        self.stream = body.stream
        self.ask = ChatAsk(
            message=body.message,
            site_id=body.site_id or "",
            session_key=body.session_key or "",
            model=body.model or "",
            temperature=body.temperature,
            max_tokens=body.max_tokens and min(body.max_tokens, MAX_TOKENS),
            metadata=body.metadata,
        )

    def answer(self, answer: Answer) -> ChatAnswer:
        """The whole answer at once."""
        return ChatAnswer.of(answer)

    def frames(self, event: ChatEvent) -> bytes:
        """One event."""
        match event:
            case Meta():
                return _event(b"meta", to_json(ChatMeta.of(event)))
            case Delta():
                return _event(b"delta", to_json({"text": event.text}))
            case Done():
                return _event(b"done", to_json(ChatAnswer.of(event.answer)))

    def failure(self, error: bytes) -> bytes:
        """The event that ends a failed stream; `error` is a problem document."""
        return _event(b"error", error)


def _event(name: bytes, data: bytes) -> bytes:
    return b"event: " + name + b"\ndata: " + data + b"\n\n"
