"""Races for the last of something: a tenant with enough for one more request, and eight that want it at once.

    python -m bench.races [--rounds 10000] [--at-once 8]

Exactly one is admitted each time, whether credits or the plan's chats run out; the winner settles, and the next round
gives the tenant enough for one more. Each racer is a container of its own. Days and months end on the way.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from bench.containers import Container, cloud, make_ledger_tables
from bench.tables import print_table
from bench.wire import Wire
from noren.ids import TenantId, new_id
from noren.ledger.fold import Gift
from noren.ledger.lots import NEVER
from noren.ledger.models import Ask, Denied
from noren.plans.models import Limits
from noren.tenants.models import Tenant
from noren.usage.models import UsageRecord

PRICE = 7
STEP_SECONDS = 20
"""Between rounds: longer than a container remembers a denial."""
PER_TENANT = 250
"""Rounds, then another one races: the emulator reads a long history slowly."""
PLAN = Limits(0, 0, 10**6, 64, 60, 512, 1, 2)


@dataclass
class Outcome:
    """What the rounds of one kind came to."""

    kind: str
    rounds: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    """`admitted`, or the reason of a denial."""
    wrong: list[str] = field(default_factory=list)
    """What was not as it should be, round by round."""
    seconds: float = 0.0


class Race:
    """A tenant, the containers that race for it, and a clock that all of them share."""

    def __init__(self, client: Any, kind: str, at_once: int) -> None:
        self.kind, self.now = kind, 1_796_050_000.0  # Nov 30, 23:46 in Tokyo
        self._tenant = Tenant(TenantId(new_id("ten")), "Ichiban", "free", self.now)
        self._site = new_id("site")
        self._racers = [Container(client, lambda: self.now) for _ in range(at_once)]
        self._office = Container(client, lambda: self.now)
        self._office.ledger.open_account(self._tenant, PLAN)
        self._pool = ThreadPoolExecutor(at_once)
        self._used = self._rounds = 0
        self._period = ""

    def round(self) -> tuple[Counter[str], str]:
        """One race; the answers, and what was wrong with it ("" if nothing)."""
        self._rounds += 1
        self.now += STEP_SECONDS
        self._give_one_more()
        gate = threading.Barrier(len(self._racers))
        answers = Counter(self._pool.map(lambda racer: self._chat(racer, gate), self._racers))
        account = self._office.accounts.get(self._tenant.tenant_id)
        assert account is not None
        left = account.credits if self.kind == "credits" else account.chat_grant.limit - account.chats_used
        used = account.credits_used if self.kind == "credits" else account.chats_used
        self._used = used if self.kind == "chats" else self._used + PRICE
        if answers != {"admitted": 1, self.kind: len(self._racers) - 1} or (left, used) != (0, self._used):
            return answers, f"round {self._rounds}: {dict(answers)}, {left} left, {used} used"
        return answers, ""

    def books(self) -> str:
        """Whether the records charge one request for each round; "" if so."""
        charged, position = 0, None
        while True:
            page, position = self._office.usage.page(self._tenant.tenant_id, None, 500, position)
            charged += sum(record.credits // PRICE + record.chats for record in page)
            if position is None:
                return "" if charged == self._rounds else f"{charged} requests are charged in {self._rounds} rounds"

    def close(self) -> None:
        """Let the racers go."""
        self._pool.shutdown()

    def _give_one_more(self) -> None:
        tenant_id = self._tenant.tenant_id
        if self.kind == "credits":
            gift = Gift(f"BON#{new_id('pay')}", "BONUS", "bonus", PRICE, NEVER)
            self._office.credits.give(tenant_id, gift)
            return
        self._office.credits.turn(tenant_id)
        account = self._office.accounts.get(tenant_id)
        assert account is not None
        tenant = replace(self._tenant, overrides={"chats_per_month": 1})  # counts at once, in full
        self._office.ledger.change_limits(tenant, replace(PLAN, chats_per_month=account.chats_used + 1))

    def _chat(self, racer: Container, gate: threading.Barrier) -> str:
        chats, credits = (0, PRICE) if self.kind == "credits" else (1, 0)
        request_id, tenant_id = new_id("req", self.now), self._tenant.tenant_id
        ask = Ask(tenant_id, request_id, self._site, self.now + 120, chats, credits)
        record = UsageRecord(request_id, tenant_id, self._site, self.now, chats=chats, credits=credits)
        gate.wait()
        try:
            with racer.ledger.reserve(ask, record):
                return "admitted"
        except Denied as denied:
            return denied.reason


def race(client: Any, kind: str, rounds: int, at_once: int) -> Outcome:
    """So many rounds of one kind: `credits` or `chats`."""
    outcome, began = Outcome(kind), time.monotonic()
    for first in range(0, rounds, PER_TENANT):
        run = Race(client, kind, at_once)
        for _ in range(min(PER_TENANT, rounds - first)):
            answers, wrong = run.round()
            outcome.rounds += 1
            outcome.answers += answers
            outcome.wrong.append(wrong)
        outcome.wrong.append(run.books())
        run.close()
    outcome.wrong = [each for each in outcome.wrong if each]
    outcome.seconds = time.monotonic() - began
    return outcome


def print_outcomes(outcomes: list[Outcome], at_once: int) -> None:
    """The table, and what was wrong."""
    rows = []
    for each in outcomes:
        admitted, denied = each.answers["admitted"], each.answers[each.kind]
        other = each.answers.total() - admitted - denied
        oversold, lost = max(0, admitted - each.rounds), max(0, each.rounds - admitted)
        figures = (each.rounds, at_once, admitted, denied, other, oversold, lost)
        rows.append([f"the last of the {each.kind}", *(f"{n:,}" for n in figures), f"{each.seconds:,.0f}"])
    head = ["race for", "rounds", "at once", "admitted", "denied", "other answers", "oversold", "lost", "seconds"]
    print_table(head, rows)
    for each in outcomes:
        for line in each.wrong[:20]:
            print(line)


def main() -> int:
    """Race and print; 1 where anything was wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10_000)
    parser.add_argument("--at-once", type=int, default=8)
    given = parser.parse_args()
    outcomes = []
    for kind in ("credits", "chats"):
        with cloud() as endpoint, Wire(endpoint) as client:
            make_ledger_tables(client)
            outcomes.append(race(client, kind, given.rounds, given.at_once))
    print_outcomes(outcomes, given.at_once)
    return 1 if any(each.wrong for each in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
