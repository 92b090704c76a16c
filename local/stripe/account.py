"""Everything that one running stand-in consists of, so that its routes and pages can share it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from local.stripe.api import Api
from local.stripe.faults import Faults
from local.stripe.outbox import Outbox
from local.stripe.world import World


@dataclass(slots=True)
class Account:
    """`webhook_url` empty: events are kept and listed, nobody is called."""

    world: World
    api: Api
    webhook_url: str
    webhook_secret: str
    faults: Faults = field(default_factory=Faults)
    outbox: Outbox = field(default_factory=Outbox)

    def collect(self) -> None:
        """Take up the events that have happened."""
        self.outbox.collect(self.world, time.time())

    def save(self, path: Path) -> None:
        """Write the account to a file, so that a run can go on where the last one ended."""
        self.collect()
        self.world.save(path, kept=self.api.kept, waiting=[*self.outbox.held, *self.outbox.waiting])

    def load(self, path: Path) -> None:
        """Take up what `save` wrote."""
        kept = self.world.load(path)
        self.api.kept, self.outbox.waiting = kept["kept"], kept["waiting"]
        self.outbox.hurry()


ACCOUNT = web.AppKey("account", Account)
