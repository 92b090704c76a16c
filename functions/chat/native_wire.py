"""Our own wire format: one JSON answer, or server-sent events `meta`, `delta`…, `done`, `error`."""

from __future__ import annotations

from chat.schemas import ChatAnswer, ChatBody, ChatMeta
from chat.schemas_visitors import VisitorAnswer, VisitorMeta
from noren.chat.models import Answer, ChatAsk, ChatEvent, Delta, Done, Meta
from noren.edge.respond import to_json
from noren.errors import BadRequest, NotFound

MAX_TOKENS = 4000
"""The longest answer that may be asked for (chapter 2)."""

OWNERS_CHOICE = ("model", "temperature", "max_tokens")
"""What visitors leave to the site, whose owner pays for it."""


class NativeWire:
    """One request in our own format."""

    media_type = "text/event-stream"
    waits_for_text = False
    """`meta` goes out at once: with its id the client can cancel while the model still wakes up."""

    def __init__(self, body: ChatBody, visited: str = "") -> None:
        """`visited` is the site that a visitor is at, who may ask no other; "" for everybody else.

        Raises NotFound, and BadRequest for what is the owner's to choose.
        """
        if visited:
            _check_visitors(body, visited)
        self._is_visitors = bool(visited)
        self.stream = body.stream
        self.ask = ChatAsk(
            message=body.message,
            site_id=visited or body.site_id or "",
            session_key=body.session_key or "",
            model=body.model or "",
            temperature=body.temperature,
            max_tokens=body.max_tokens and min(body.max_tokens, MAX_TOKENS),
            metadata=body.metadata,
        )

    def answer(self, answer: Answer) -> ChatAnswer | VisitorAnswer:
        """The whole answer at once."""
        return VisitorAnswer.of(answer) if self._is_visitors else ChatAnswer.of(answer)

    def frames(self, event: ChatEvent) -> bytes:
        """One event."""
        match event:
            case Meta():
                meta = VisitorMeta.of(event) if self._is_visitors else ChatMeta.of(event)
                return _event(b"meta", to_json(meta))
            case Delta():
                return _event(b"delta", to_json({"text": event.text}))
            case Done():
                return _event(b"done", to_json(self.answer(event.answer)))

    def failure(self, error: bytes) -> bytes:
        """The event that ends a failed stream; `error` is a problem document."""
        return _event(b"error", error)


def _check_visitors(body: ChatBody, visited: str) -> None:
    if body.site_id not in (None, visited):
        raise NotFound("There is no such site")
    chosen = [name for name in OWNERS_CHOICE if getattr(body, name) is not None]
    if chosen:
        raise BadRequest(errors=[{"field": name, "message": "the site's owner chooses this"} for name in chosen])


def _event(name: bytes, data: bytes) -> bytes:
    return b"event: " + name + b"\ndata: " + data + b"\n\n"
