"""The processes of a history (`history.py`): each a container with a clock and a memory of its own."""

from __future__ import annotations

from typing import Any

from bench.containers import Container
from noren.clock import Clock
from noren.errors import Busy
from noren.tables import is_retryable
from tests.unit.ledger.steps import Task


class Gone(BaseException):
    """The client has closed its connection."""


class Process(Container):
    """What it remembers lasts until it crashes. It has a clock of its own and does one thing at a time."""

    def __init__(self, name: str, clock: Clock, skew: float) -> None:
        self.name, self.skew, self._time = name, skew, clock
        self.client: Any = None
        """That of what it does now."""
        self.task: Task | None = None
        super().__init__(self, self.now)

    def now(self) -> float:
        """What its clock says."""
        return self._time() + self.skew

    def __getattr__(self, operation: str) -> Any:
        return getattr(self.client, operation)


def run_the_job(process: Process) -> None:
    """The schedule's run over all accounts. Storage that lets it down ends it: it is run again."""
    try:
        process.ledger.sweep_all()
    except Exception as error:
        if not is_retryable(error):
            raise
        raise Busy from error
