"""Runs synchronous code one storage call at a time, so that a test can interleave it, kill it, and do it again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from tests.faults import Crash, Faulty


class Task:
    """Code in a thread of its own that stops ahead of each storage call until the test says `step`."""

    def __init__(self, client: Any, run: Callable[[Faulty], Any]) -> None:
        self.client = Faulty(client, before=self._pause)
        self.at = ""
        """The operation that comes next."""
        self.done = False
        self.error: BaseException | None = None
        self.result: Any = None
        self._run = run
        self._go = threading.Semaphore(0)
        self._paused = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._main, daemon=True)
        self._thread.start()
        self._paused.acquire()

    def _main(self) -> None:
        try:
            self.result = self._run(self.client)
        except BaseException as error:
            self.error = error
        self.done = True
        self._paused.release()

    def _pause(self, name: str, _: dict[str, Any]) -> None:
        self.at = name
        self._paused.release()
        self._go.acquire()

    def step(self) -> None:
        """Let the next storage call happen, and run on to the one after it or to the end."""
        assert not self.done
        self._go.release()
        self._paused.acquire()

    def kill(self) -> None:
        """The process dies ahead of its next storage call."""
        self.client.dead = True
        self.step()

    def finish(self) -> Any:
        """Run to the end; returns the result, or raises what the code raised (but for its own death)."""
        while not self.done:
            self.step()
        self._thread.join()
        if self.error and not isinstance(self.error, Crash):
            raise self.error
        return self.result
