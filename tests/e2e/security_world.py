"""Whom the security tests of the run attack, and by whom."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.e2e.client import Client, Stack

FOLLOWING = ("SUM#", "SUMS#", "TX#", "ONCE#")
"""What streams derive from what is stored: it may follow seconds after what a fixture has done."""

SETTLED = timedelta(seconds=5)
"""What a training's worker writes after its end, it has written by then."""

STORED = ("tenants", "quotas", "credits", "billing", "usage", "sites")
"""Tables in which nothing may change. `events` counts the refusals, `runtime` the rates; `webhooks` what is sent."""


@dataclass
class World:
    """Who is attacked, by whom, and with what."""

    stack: Stack
    victim: Client
    attacker: Client
    victim_me: dict[str, Any]
    attacker_me: dict[str, Any]
    tokens: dict[str, str]
    """The attacker's own `AccessToken`, `IdToken`, `RefreshToken`."""
    attacker_key: str
    """With every scope."""
    device: Client
    """An anonymous visitor."""
    answer: dict[str, Any]
    """A finished chat of the victim's."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no answer to the attacker may show."""
        me = self.victim_me
        return (me["tenant"]["name"], me["tenant"]["tenant_id"], self.answer["answer"][:30])

    def state(self) -> set[str]:
        """All that is stored of the two tenants and the catalogue, and how often models were called."""
        whose = [me[part][f"{part}_id"] for me in (self.victim_me, self.attacker_me) for part in ("tenant", "user")]
        found = {f"model calls: {self.stack.model_calls()}"}
        for table in STORED:
            for item in self.items(table):
                lasting = {field: value for field, value in item.items() if not field.startswith("last_used_")}
                text = json.dumps(lasting, sort_keys=True, default=str)
                follows = item["pk"]["S"].startswith(FOLLOWING)
                if not follows and any(each in text for each in (*whose, "CATALOG", "PACKAGES")):
                    found.add(text)
        return found

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Whatever is done inside: nothing is stored, removed or changed by it, and no model is called."""
        self._let_trainings_end()
        before = self.state()
        yield
        changed = self.state() ^ before
        assert not changed, "\n".join(sorted(changed))

    def _let_trainings_end(self) -> None:
        """What fixtures have begun goes on by itself for some seconds, and is noted a moment after it has ended."""
        deadline = time.monotonic() + 240
        while True:
            answer = self.victim.call("GET", "/api/v1/train/jobs?limit=20")
            jobs = answer.json()["items"] if answer.status_code == 200 else None
            if jobs is not None and not [job for job in jobs if not _is_long_over(job)]:
                return
            assert time.monotonic() < deadline, answer.text
            time.sleep(0.5)

    def items(self, table: str) -> Iterator[dict[str, Any]]:
        """All items of a table."""
        scan = self.stack.aws("dynamodb").get_paginator("scan")
        pages = scan.paginate(TableName=self.stack.tables[table], ConsistentRead=True)
        return (item for page in pages for item in page["Items"])


def _is_long_over(job: dict[str, Any]) -> bool:
    """Whether a training has ended, and so long ago that nothing more is written of it."""
    return job["ended_at"] is not None and datetime.now(UTC) - datetime.fromisoformat(job["ended_at"]) > SETTLED


def device(base: str) -> Client:
    """A new anonymous visitor's device."""
    return Client(base, Client(base).ok("POST", "/api/v1/visitor-tokens")["token"])
