"""The way out of a call: its worker thread puts pieces in, the event loop passes them on to the client.

The loop is woken once for all pieces that wait, and sends them as one: a fast model costs no hop between threads a
token.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from noren.edge.http import Response

KEEP_ALIVE_SECONDS = 12.0
KEEP_ALIVE = b": keep-alive\n\n"
LAST_PATIENCE_SECONDS = 1.0
"""For the last pieces, which go out after the closing time."""
QUEUED = 16
"""Pieces of a stream that may wait for a slow reader before its model is held up."""

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]
"""ASGI 3.0's own."""

Start = tuple[int, list[tuple[bytes, bytes]]]


class Outlet:
    """One call's. `gone` is set once the client is known to have left, or the answer has gone out."""

    def __init__(self, closing_time: float, clock: Callable[[], float]) -> None:
        self.gone = threading.Event()
        self._closing_time, self._clock = closing_time, clock
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._told = False
        self._ended = False
        self._start: Start | None = None
        self._pieces: deque[bytes] = deque()
        self._room = threading.Semaphore(QUEUED)

    # -- the worker's end

    def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the status and headers."""
        self._start = status, [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        self._tell()

    def write(self, data: bytes) -> None:
        """Send a piece; blocks while the reader is slow. One who keeps us past the closing time counts as gone."""
        if self.gone.is_set():
            return
        if not self._room.acquire(timeout=max(LAST_PATIENCE_SECONDS, self._closing_time - self._clock())):
            self.leave()
            return
        self._pieces.append(data)
        self._tell()

    def respond(self, response: Response) -> None:
        """Send a whole answer."""
        length = {"content-length": str(len(response.body))} if response.status != 204 else {}
        self._pieces.append(response.body)
        self.start(response.status, dict(response.headers) | length)

    def end(self) -> None:
        """Nothing comes after this."""
        self._ended = True
        self._tell()

    def _tell(self) -> None:
        if self._told:
            return
        self._told = True
        try:
            self._loop.call_soon_threadsafe(self._news.set)
        except RuntimeError:  # the loop is closed: nobody listens any more
            self.leave()

    # -- the loop's end

    def leave(self) -> None:
        """The client has gone: what is written from now on is dropped."""
        self.gone.set()
        self._room.release()

    async def pass_on(self, send: Send) -> None:
        """Pass the pieces to the client until `end`; comments keep a waiting stream open."""
        is_stream = False
        while True:
            silent = self._loop.call_later(KEEP_ALIVE_SECONDS, self._news.set)
            await self._news.wait()
            silent.cancel()
            self._news.clear()
            is_news, self._told = self._told, False  # before looking: what comes later tells again
            is_ended = self._ended
            if self._start:
                status, headers = self._start
                self._start = None
                is_stream = any(name == b"content-type" and b"event-stream" in value for name, value in headers)
                await send({"type": "http.response.start", "status": status, "headers": headers})
            count = len(self._pieces)
            body = b"".join(self._pieces.popleft() for _ in range(count))
            if not body and is_stream and not is_news:
                body = KEEP_ALIVE
            if body or is_ended:
                await send({"type": "http.response.body", "body": body, "more_body": not is_ended})
            if is_ended:
                return
            if count:
                self._room.release(count)
