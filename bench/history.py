"""One history of one tenant's account: processes that chat, pay, sweep and fold at once, fail in every way, and crash.

All of it follows from the seed: what happens, in which order, what is lost, what arrives late, how clocks differ.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from bench.audit import Audit
from bench.containers import make_ledger_tables
from bench.processes import Gone, Process, run_the_job
from bench.wire import Wire
from noren import clock
from noren.errors import NorenError
from noren.ids import TenantId
from noren.ledger.credits import Correction
from noren.ledger.fold import Gift, Withdrawal
from noren.ledger.lots import NEVER, EntryType
from noren.ledger.models import Ask, Denied
from noren.plans.models import Limits
from noren.tenants.models import Tenant
from noren.usage.models import Call, UsageRecord
from tests.faults import FAULTS, Crash, Fault
from tests.unit.ledger.steps import Task

STARTS = (
    ("Asia/Tokyo", "2026-12-30"),
    ("Asia/Tokyo", "2028-02-28"),
    ("America/New_York", "2026-10-30"),
    ("America/New_York", "2027-03-13"),
    ("Europe/London", "2026-10-24"),
    ("Europe/London", "2027-03-27"),
    ("Australia/Lord_Howe", "2026-10-03"),
    ("Australia/Lord_Howe", "2027-03-31"),
    ("Africa/Cairo", "2027-04-29"),
    ("America/Havana", "2026-10-30"),
    ("UTC", "2026-12-31"),
)
"""Zones, and a day near the end of a month, of a year or of summer time."""
PLANS = (
    Limits(4, 120, 4, 2, 60, 512, 1, 2, free_credits_per_month=20, carry_over_cap=5),
    Limits(6, 200, 5, 3, 60, 512, 1, 2, free_credits_per_month=35, carry_over_cap=20),
    Limits(9, 300, 6, 4, 60, 512, 1, 2, free_credits_per_month=0, carry_over_cap=0),
)
CURRENCIES = ("JPY", "KRW", "USD")
PROCESSES = 4


class History:
    """`run` plays it and returns what did not hold; `story` tells what happened."""

    def __init__(self, client: Wire, seed: int) -> None:
        client.reset()
        make_ledger_tables(client)
        random.seed(seed)  # the ledger's own dice
        self._dice = random.Random(seed)
        zone, day = self._dice.choice(STARTS)
        midnight = datetime.fromisoformat(day).replace(tzinfo=clock.zone(zone)).timestamp()
        self.now = midnight + self._dice.randrange(86_400)
        self._client = client
        self._limits = self._dice.choice(PLANS)
        self._tenant = Tenant(TenantId(self._id("ten")), "Ichiban", "free", self.now, timezone=zone)
        self._sites = [self._id("site") for _ in range(2)]
        self.story = [f"seed {seed}: {zone}, {self._limits}"]
        self._names = 0
        self._processes = [self._process() for _ in range(PROCESSES)]
        self._late: list[Any] = []
        self._requests: list[Ask] = []
        self._gifts: list[Gift] = []
        self._withdrawals: list[Withdrawal] = []
        self._delivered = 0
        office = self._calm("opening")
        office.ledger.open_account(self._tenant, self._limits)
        self.audit = Audit(client, self._tenant.tenant_id)
        self._did: Counter[str] = Counter()

    def run(self) -> list[str]:
        """Play it to its end."""
        actions: list[tuple[int, Callable[[], None]]] = [
            (50, self._advance),
            (30, self._chat),
            (10, self._tick),
            (7, self._give),
            (5, self._withdraw),
            (3, self._correct),
            (5, self._job),
            (4, self._fold),
            (5, self._consume),
            (4, self._change),
            (2, self._crash),
            (3, self._deliver),
            (2, self._read),
        ]
        weights, deeds = zip(*actions, strict=True)
        for number in range(self._dice.randint(30, 90)):
            self._dice.choices(deeds, weights)[0]()
            if number % 25 == 24:
                self.audit.check(self.now)
            if self.audit.violations:
                return self.audit.violations
        self._come_to_rest()
        return self.audit.violations

    def did(self) -> Counter[str]:
        """How much of what it came to."""
        self._did["images"] = len(self.audit.changes)
        self._did["decisions"] = len(self.audit.records)
        self._did["months turned"] = sum(
            before is not None and before.period != after.period for before, after, _ in self.audit.changes
        )
        return self._did

    # -- processes

    def _id(self, prefix: str) -> str:
        return f"{prefix}_{int(self.now * 1000):012x}7{self._dice.getrandbits(76):019x}"

    def _clock(self) -> float:
        return self.now

    def _process(self) -> Process:
        self._names += 1
        return Process(f"p{self._names}", self._clock, self._dice.choice((0, 0, 0, -3, 3, -20, 20, -200, 200)))

    def _calm(self, name: str) -> Process:
        """A process that nothing happens to, and that is alone at work."""
        process = Process(name, self._clock, 0)
        process.client = self._client
        return process

    def _start(self, what: str, run: Callable[[Process], Any]) -> None:
        idle = [process for process in self._processes if process.task is None]
        if not idle:
            self._advance()
            return
        process = self._dice.choice(idle)

        def begin(faulty: Any) -> Any:
            process.client = faulty
            return run(process)

        plan: dict[int, Fault] = {}
        if self._dice.random() < 0.35:
            plan = {self._dice.randrange(8): self._dice.choice(FAULTS) for _ in range(self._dice.randint(1, 2))}
        self._tell(f"{process.name} ({process.skew:+}) begins: {what}" + (f", faults {plan}" if plan else ""))
        process.task = Task(self._client, begin)
        process.task.client.plan = plan
        self._late.append(process.task.client)
        self._end(process)

    def _advance(self) -> None:
        busy = [process for process in self._processes if process.task]
        if busy:
            process = self._dice.choice(busy)
            for _ in range(self._dice.choice((1, 1, 2, 3, 8))):
                if process.task:
                    self._step(process)

    def _step(self, process: Process) -> None:
        assert process.task
        number, name = len(process.task.client.calls), process.task.at
        fault = process.task.client.plan.get(number, "")
        self._tell(f"  {process.name} {name} {fault}".rstrip())
        self._did["storage calls"] += 1
        self._did["faults"] += bool(fault)
        process.task.step()
        self._end(process)

    def _end(self, process: Process) -> None:
        task = process.task
        if not task or not task.done:
            return
        process.task = None
        error: BaseException | None = None
        try:
            task.finish()
        except (NorenError, Gone) as expected:
            error = expected
        except Exception as unexpected:
            self.audit.violations.append(f"an unexpected error: {unexpected!r}")
        if error or task.error:
            self._tell(f"  {process.name} ends by {error or task.error!r}")
        if isinstance(task.error, Crash):
            self._did["crashes"] += 1
            self._processes[self._processes.index(process)] = self._process()

    def _crash(self) -> None:
        busy = [process for process in self._processes if process.task]
        if busy:
            process = self._dice.choice(busy)
            self._tell(f"{process.name} is killed")
            assert process.task
            process.task.kill()
            self._end(process)

    def _tell(self, line: str) -> None:
        self.story.append(f"{clock.iso(self.now)} {line}")

    # -- what happens

    def _tick(self) -> None:
        self.audit.look(self.now)
        last = self.audit.changes[-1].after
        turn = last.next_turn - self.now
        jumps = [1, 2, 60, 250, 700, 3_600, 40_000, 86_400, turn - 1, turn, last.resets_at - self.now - 2]
        jumps += [86_400 * 9, 86_400 * 35] if self._dice.random() < 0.2 else []
        self.now += max(1, int(self._dice.choice(jumps)))
        for process in self._processes:
            if self._dice.random() < 0.05:
                process.skew += self._dice.choice((1, 30, 400))
        self._tell("-- time goes on")

    def _chat(self) -> None:
        dice = self._dice
        if self._requests and dice.random() < 0.12:
            asked = dice.choice(self._requests)  # once more, as a careless caller might
        else:
            asked = self._ask()
            self._requests.append(asked)
        outcome = dice.choice(("settles", "settles", "settles", "releases", "raises", "overruns", "gone", "fee"))
        request_id, site, credits = asked.request_id, asked.site_id, asked.credits
        taken = dice.randint(1, max(1, credits))

        def run(process: Process) -> None:
            ask = replace(asked, deadline=process.now() + 120)
            record = UsageRecord(request_id, ask.tenant_id, site, process.now(), chats=asked.chats, credits=taken)
            try:
                with process.ledger.reserve(ask, record) as hold:
                    if outcome != "releases":
                        used = 10**6 if outcome == "overruns" else 30
                        answered = 0 if outcome in ("raises", "fee") else 20
                        call = Call("answer", "offline", "m", "p", "p@1", "ok", 10, answered, tokens_embedding=used)
                        record.calls.append(call)
                    match outcome:
                        case "releases":
                            hold.release = True
                        case "overruns":
                            record.credits += 10**6
                        case "fee":
                            hold.fee = record.credits = min(1, credits)
                            raise NorenError("the upstream said no, for a fee")
                        case "raises":
                            raise NorenError("the upstream failed")
                        case "gone":
                            raise Gone
            except Denied as denied:
                self.audit.denied(self.now, ask, denied.reason)
                raise

        amounts = f"{asked.chats} chats, {credits} credits, {asked.embedding_tokens} tokens"
        self._start(f"{request_id[-6:]} of {amounts}, takes {taken}, {outcome}", run)

    def _ask(self) -> Ask:
        """A chat of the plan's, one on credits, one of a plan that wants both, or something that only embeds."""
        dice = self._dice
        credits = dice.choice((0, 0, 4, 9, 17))
        chats = 0 if credits and dice.random() < 0.8 else 1
        tokens = dice.choice((0, 0, 50))
        if dice.random() < 0.1:
            chats, credits, tokens = 0, 0, 40
        site = dice.choice(self._sites)
        return Ask(self._tenant.tenant_id, self._id("req"), site, 0.0, chats, credits, tokens)

    def _give(self) -> None:
        dice = self._dice
        if self._gifts and dice.random() < 0.4:
            gift = dice.choice(self._gifts)  # the same payment, told again
        else:
            days, bought = dice.choice((0, 1, 30, 180)), dice.random() < 0.7
            gift = Gift(
                entry_id=f"PUR#{self._id('pay')}",
                type="PURCHASE" if bought else "BONUS",
                kind="purchased" if bought else "bonus",
                credits=dice.randint(1, 40),
                expires_at=int(self.now) + days * 86_400 if days else NEVER,
                paid=dice.randint(1, 9_999) if bought else 0,
                currency=dice.choice(CURRENCIES) if bought else "",
            )
            self._gifts.append(gift)
        self._book(gift.entry_id, gift.credits, lambda process: process.credits.give(self._tenant.tenant_id, gift))

    def _withdraw(self) -> None:
        dice = self._dice
        if self._withdrawals and dice.random() < 0.3:
            wanted = dice.choice(self._withdrawals)
        else:
            lot = dice.choice(self._gifts).entry_id if self._gifts else "PUR#unknown"
            kind: EntryType = dice.choice(("REFUND", "CHARGEBACK"))
            wanted = Withdrawal(f"REF#{self._id('ref')}", kind, dice.randint(1, 50), lot)
            self._withdrawals.append(wanted)
        deed = lambda process: process.credits.withdraw(self._tenant.tenant_id, wanted)  # noqa: E731
        self._book(wanted.entry_id, -wanted.credits, deed, exactly=wanted.type != "REFUND")

    def _correct(self) -> None:
        amount = self._dice.choice((-30, -8, 8, 30))
        wanted = Correction(self._id("adj"), "ADJUSTMENT", amount, "put right", "user:root", self._dice.choice((0, 20)))
        deed = lambda process: process.credits.correct(self._tenant.tenant_id, wanted)  # noqa: E731
        for _ in range(self._dice.choice((1, 1, 2))):
            self._book(f"ADM#{wanted.correction_id}", amount, deed)

    def _book(self, entry_id: str, credits: int, deed: Callable[[Process], Any], *, exactly: bool = True) -> None:
        self.audit.asked[entry_id] = range(credits, credits + 1 if exactly else 1)

        def run(process: Process) -> None:
            deed(process)
            self.audit.confirmed.add(entry_id)

        self._start(f"{entry_id[:4]}{entry_id[-6:]} of {credits:+} credits", run)

    def _change(self) -> None:
        """Another plan, another zone, or the account stopped for a while."""
        dice = self._dice
        if dice.random() < 0.15:
            active = dice.random() < 0.7
            self._start(f"active = {active}", lambda each: each.ledger.set_active(self._tenant.tenant_id, active))
            return
        if dice.random() < 0.3:
            self._tenant = replace(self._tenant, timezone=dice.choice(STARTS)[0])
        overrides = {"chats_per_month": dice.randint(0, 8)} if dice.random() < 0.2 else {}
        self._limits = replace(dice.choice(PLANS), **overrides)
        tenant, limits = replace(self._tenant, overrides=overrides), self._limits
        self._start(f"{tenant.timezone}, {limits}", lambda each: each.ledger.change_limits(tenant, limits))

    def _job(self) -> None:
        if self._dice.random() < 0.5:
            self._start("the job", run_the_job)
        else:
            self._start("a sweep", lambda process: process.ledger.sweep(self._tenant.tenant_id))

    def _fold(self) -> None:
        self._start("a fold", lambda process: process.credits.turn(self._tenant.tenant_id))

    def _read(self) -> None:
        def run(process: Process) -> None:
            process.ledger.standing(self._tenant.tenant_id)
            balance = process.credits.balance(self._tenant.tenant_id)
            if balance.spendable < 0 or (balance.debt and balance.spendable):
                self.audit.violations.append(f"a balance of {balance}")

        self._start("a look at the balance", run)

    def _consume(self) -> None:
        """The journal takes a batch of images, in order, perhaps from an earlier one on again."""
        self.audit.look(self.now)
        first = max(0, self._delivered - self._dice.choice((0, 0, 1, 5)))
        last = min(len(self.audit.changes), first + self._dice.choice((1, 4, 20)))
        batch = self.audit.changes[first:last]

        def run(process: Process) -> None:
            for change in batch:
                process.journal.note(*change)
            self._delivered = max(self._delivered, last)

        if batch:
            self._start(f"the journal, images {first}-{last}", run)

    def _deliver(self) -> None:
        for client in self._late:
            if client.under_way:
                self._did["late requests"] += client.under_way
                self._tell(f"{client.under_way} late requests arrive")
                client.deliver()

    # -- the end

    def _come_to_rest(self) -> None:
        for process in list(self._processes):
            while process.task:
                self._step(process)
        self._deliver()
        self.audit.look(self.now)
        self.now += 3600
        self._tell("-- all come to rest")
        calm = self._calm("the end")
        report = calm.ledger.sweep_all()
        calm.credits.turn(self._tenant.tenant_id)
        if report.failures or not report.finished:
            self.audit.violations.append(f"the job: {report}")
        self.audit.look(self.now)
        for change in self.audit.changes[self._delivered :]:
            calm.journal.note(*change)
        history, entries = self.audit.check(self.now)
        splits = calm.credits.splits(self._tenant.tenant_id, list(entries.values()))
        self.audit.at_rest(self.now, history, entries, splits)
        self.now += 1
        self.audit.violations += map(str, calm.reconciler.examine(self._tenant.tenant_id))
