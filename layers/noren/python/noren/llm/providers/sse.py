"""Server-sent events from bytes that may be cut anywhere, inside a UTF-8 character too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

MAX_EVENT = 1 << 20
"""Bytes of one event: more is not an answer but an attack or a fault. Raises ValueError."""


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event: its name ("message" if it gave none) and its data lines joined."""

    name: str
    data: str


class Decoder:
    """Feed bytes, take complete events (WHATWG rules; ids and retry hints are of no use here)."""

    def __init__(self) -> None:
        self._rest = b""
        self._name = ""
        self._data: list[str] = []
        self._size = 0
        self._skip_lf = False

    def feed(self, chunk: bytes) -> Iterator[ServerEvent]:
        """The events that `chunk` completes. Raises ValueError for bytes that are no UTF-8 or for an endless event."""
        if not chunk:
            return
        if self._skip_lf:
            chunk = chunk.removeprefix(b"\n")
        buffer = self._rest + chunk
        # A CR at the end may be half of a CRLF: end the line now, and forget the LF if it comes.
        self._skip_lf = buffer.endswith(b"\r")
        *lines, self._rest = buffer.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        if self._size + len(self._rest) > MAX_EVENT:
            raise ValueError("an event without end")
        for line in lines:
            if event := self._line(line.decode()):
                yield event

    def _line(self, line: str) -> ServerEvent | None:
        if not line:
            event = ServerEvent(self._name or "message", "\n".join(self._data)) if self._data else None
            self._name, self._data, self._size = "", [], 0
            return event
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            self._data.append(value)
            self._size += len(value)
            if self._size > MAX_EVENT:
                raise ValueError("an event without end")
        elif field == "event":
            self._name = value
        return None


def events(chunks: Iterable[bytes]) -> Iterator[ServerEvent]:
    """The events of a whole stream."""
    decoder = Decoder()
    for chunk in chunks:
        yield from decoder.feed(chunk)
