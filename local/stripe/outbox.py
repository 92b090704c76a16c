"""What is still to be delivered: retries with backoff until somebody answers 2xx, and faults of delivery."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from local.stripe.errors import Refusal
from local.stripe.world import Obj, World

FIRST_RETRY = 0.5
LONGEST_RETRY = 60.0
ATTEMPTS = 60
"""Then an event is given up, as Stripe does after three days."""
KEPT = 2000


@dataclass(slots=True)
class Delivery:
    """One event on its way. `due` is in real seconds, whatever the account's clock says."""

    event: Obj
    due: float
    attempts: int = 0


@dataclass(slots=True)
class Outbox:
    """Deliveries that wait, and what shall go wrong with the next ones."""

    waiting: list[Delivery] = field(default_factory=list)
    paused: bool = False
    delay: float = 0.0
    """Seconds that every new event is held back."""
    duplicate: int = 0
    """So many of the next events are delivered twice."""
    drop: int = 0
    """So many of the next events are never delivered; the API still lists them."""
    reorder: int = 0
    """So many of the next events are held until the last of them, then go out in the opposite order."""
    under_way: int = 0
    held: list[Delivery] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    log: list[Obj] = field(default_factory=list)

    def control(self, given: Obj) -> None:
        """Take a change. Raises Refusal for what does not exist."""
        numbers = {"duplicate", "drop", "reorder", "delay"}
        if unknown := given.keys() - numbers - {"pause", "resume", "retry"}:
            raise Refusal(f"no such fault of delivery: {', '.join(sorted(unknown))}")
        for name in numbers & given.keys():
            setattr(self, name, float(given[name]) if name == "delay" else int(given[name]))
        if given.get("pause"):
            self.paused = True
        if given.get("resume"):
            self.paused = False
        if given.get("retry"):
            self.hurry()

    def collect(self, world: World, now: float) -> None:
        """Take up the account's new events."""
        for event in world.take_events():
            if self.drop:
                self.drop -= 1
                self._note(event, "dropped", 0)
                continue
            delivery = Delivery(event, now + self.delay)
            if self.reorder:
                self.reorder -= 1
                self.held.append(delivery)
                if not self.reorder:
                    self.waiting += reversed(self.held)
                    self.held = []
                continue
            self.waiting.append(delivery)
            if self.duplicate:
                self.duplicate -= 1
                self.waiting.append(Delivery(event, now + self.delay))

    def take(self, now: float) -> list[Delivery]:
        """What is due, oldest first; it is no longer waiting."""
        if self.paused:
            return []
        due = [each for each in self.waiting if each.due <= now]
        self.waiting = [each for each in self.waiting if each.due > now]
        self.under_way += len(due)
        return due

    def done(self, delivery: Delivery, outcome: str, now: float) -> None:
        """`outcome` is a status or what went wrong; anything but 2xx is tried again later."""
        delivery.attempts += 1
        self.under_way -= 1
        self._note(delivery.event, outcome, delivery.attempts)
        if outcome.startswith("2"):
            delivery.event["pending_webhooks"] = 0
        elif delivery.attempts < ATTEMPTS:
            delivery.due = now + min(LONGEST_RETRY, FIRST_RETRY * 2 ** (delivery.attempts - 1))
            self.waiting.append(delivery)
        else:
            self.outcomes["given up"] += 1

    def hurry(self) -> None:
        """Try at once what waits for its next attempt."""
        for each in self.waiting:
            each.due = 0.0

    def _note(self, event: Obj, outcome: str, attempt: int) -> None:
        self.outcomes[outcome] += 1
        self.log.append({"event": event["id"], "type": event["type"], "outcome": outcome, "attempt": attempt})
        del self.log[:-KEPT]

    def stats(self) -> dict[str, Any]:
        """For `/_stats`."""
        waiting = len(self.waiting) + len(self.held) + self.under_way
        return {"waiting": waiting, "paused": self.paused, "outcomes": dict(self.outcomes), "log": self.log[-200:]}
