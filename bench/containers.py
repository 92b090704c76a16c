"""What a process of ours is made of, over whichever storage client and clock a bench gives it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.wire import make_table
from local import emulator
from noren.clock import Clock
from noren.ledger.book_store import BookStore
from noren.ledger.credits import Credits
from noren.ledger.journal import Journal
from noren.ledger.reconcile import Reconciler
from noren.ledger.service import Ledger
from noren.ledger.store import LedgerStore
from noren.usage.store import UsageStore

LEDGER_TABLES = ("quotas", "credits", "usage")


def no_time(seconds: float) -> None:
    """A sleep that takes none."""


class Container:
    """One process's services. What they remember is theirs alone."""

    def __init__(self, client: Any, clock: Clock, sleep: Callable[[float], None] = no_time) -> None:
        self.accounts, self.usage = LedgerStore(client, "quotas"), UsageStore(client, "usage")
        books = BookStore(client, "quotas", "credits")
        self.credits = Credits(self.accounts, books, clock, sleep)
        self.ledger = Ledger(self.accounts, self.usage, self.credits, clock, sleep)
        self.journal = Journal(books, self.usage, sleep)
        self.reconciler = Reconciler(self.accounts, books, self.usage, clock, sleep)


def make_ledger_tables(client: Any) -> None:
    """The tables of the ledger; the images of accounts and records are kept."""
    for name in LEDGER_TABLES:
        make_table(client, name, stream=name != "credits")


@contextmanager
def cloud() -> Iterator[str]:
    """An embedded cloud of our own; yields its endpoint."""
    with TemporaryDirectory() as logs:
        port = emulator.free_port()
        process = emulator.start(port, log=Path(logs) / "cloud.log")
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            emulator.stop(process)
