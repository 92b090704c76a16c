"""Ends an upstream call from the side: on cancel, or when a time limit has passed.

A blocking read can't be asked to stop, so one helper thread looks after all calls a few times a second and shuts a
call's socket down, which makes the read return at once. It costs nothing per token, and next to nothing per call.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Literal, Self, TypeVar

from noren.llm.models import Cancel, ProviderFault, TimeLimits

PERIOD = 0.2
"""Seconds between two looks."""

IDLE_LOOKS = 50
"""Looks at nothing before the helper ends."""

SLACK = 1.0
"""Seconds by which a socket's own time-out, the last resort, comes after the watch's."""

T = TypeVar("T")
_bound = threading.local()


def attach(sock: socket.socket | None) -> None:
    """Called by a connection that is about to wait for an answer: the current call's watch may end it."""
    watch: Watch | None = getattr(_bound, "watch", None)
    if watch is not None and sock is not None:
        watch._attach(sock)


class Watch:
    """A context around one upstream call. `why` says what ended it from the side, if anything did."""

    def __init__(self, limits: TimeLimits, cancel: Cancel) -> None:
        self.why: Literal["cancelled", "timeout"] | None = None
        self.limits = limits
        self.started = time.monotonic()
        self._cancel = cancel
        self._produced = False
        self._sock: socket.socket | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self.check()
        _looker.add(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        _looker.drop(self)
        with self._lock:
            self._sock = None

    def bound(self, call: Callable[[], T]) -> T:
        """Run `call`; the connection that it uses becomes the one that is shut down."""
        _bound.watch = self
        try:
            return call()
        finally:
            _bound.watch = None

    def produced(self) -> None:
        """A first piece has arrived: from now on only the total limit counts."""
        self._produced = True

    @property
    def elapsed(self) -> float:
        """Seconds since the call's start."""
        return time.monotonic() - self.started

    def check(self) -> bool:
        """Look now. True when the call is to end."""
        if self.why is None:
            limit = self.limits.total if self._produced else min(self.limits.first_token, self.limits.total)
            if self.elapsed >= limit:
                self.why = "timeout"
            elif self._asked():
                self.why = "cancelled"
        return self.why is not None

    def pause(self, seconds: float) -> bool:
        """Sleep, but not past the end of the call. True when the call is to end."""
        until = time.monotonic() + seconds
        while not self.check():
            left = until - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(left, PERIOD))
        return True

    def fault(self, otherwise: ProviderFault) -> ProviderFault:
        """What a failed read means: the limit that this watch enforced, else `otherwise`."""
        self.check()
        if self.why == "timeout":
            detail = "no first token within the limit" if not self._produced else "no end within the limit"
            return ProviderFault("timeout", detail, produced=self._produced, usage=otherwise.usage)
        return otherwise

    def _asked(self) -> bool:
        # A flag that can't be read just now is no reason to end somebody's answer.
        with contextlib.suppress(Exception):
            return self._cancel()
        return False

    def _attach(self, sock: socket.socket) -> None:
        with self._lock:
            self._sock = sock
            if self.why is not None:
                _shut(sock)

    def look(self) -> None:
        """Look from the side: end the call's read if its time has come."""
        if self.check():
            with self._lock:
                if self._sock is not None:
                    _shut(self._sock)


class _Looker:
    """The helper thread: there while there are calls to look after, and a little longer."""

    def __init__(self) -> None:
        self._watches: set[Watch] = set()
        self._lock = threading.Lock()
        self._is_running = False

    def add(self, watch: Watch) -> None:
        with self._lock:
            self._watches.add(watch)
            if self._is_running:
                return
            self._is_running = True
        threading.Thread(target=self._run, name="upstream-watch", daemon=True).start()

    def drop(self, watch: Watch) -> None:
        with self._lock:
            self._watches.discard(watch)

    def _run(self) -> None:
        idle = 0
        while True:
            time.sleep(PERIOD)
            with self._lock:
                watches = list(self._watches)
                idle = 0 if watches else idle + 1
                if idle > IDLE_LOOKS:
                    self._is_running = False
                    return
            for watch in watches:
                watch.look()


_looker = _Looker()


def _shut(sock: socket.socket) -> None:
    # The plain socket's shutdown, also under TLS: SSLSocket.shutdown would drop the TLS object beneath the reader.
    with contextlib.suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
