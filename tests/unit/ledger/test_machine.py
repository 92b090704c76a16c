"""Any interleaving of chats, sweeps and changes of limits, with crashes, lost answers, late requests and clocks that
differ: the books agree at every instant, and at rest nothing is left but what was decided.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from noren import ids
from noren.clock import month_of
from noren.errors import NorenError
from noren.ledger.credits import Credits
from noren.ledger.fold import Gift, Withdrawal
from noren.ledger.lots import NEVER, EntryType
from noren.ledger.service import Ledger
from noren.plans.models import Limits
from tests.faults import Fault, Faulty
from tests.unit.ledger.conftest import LIMITS, World, call
from tests.unit.ledger.steps import Task

CREDITS = 60
ALL = {name: getattr(LIMITS, name) for name in LIMITS.__slots__}
SMALL = Limits(
    **{
        **ALL,
        "chats_per_month": 6,
        "embedding_tokens_per_month": 200,
        "requests_per_day_per_site": 4,
        "concurrent_chats": 3,
        "free_credits_per_month": 25,
        "carry_over_cap": 10,
    }
)
faults: st.SearchStrategy[Fault] = st.sampled_from(
    ["throttle", "conflict", "server", "timeout_before", "timeout_after", "late_copy", "crash_before", "crash_after"]
)
plans = st.dictionaries(st.integers(0, 5), faults, max_size=2)


class Machine(RuleBasedStateMachine):
    """`tasks` are processes under way; `late` are clients whose lost requests may still arrive."""

    def __init__(self, client: Any) -> None:
        super().__init__()
        self.world = World(client)
        self.world.ledger.open_account(self.world.tenant, SMALL)
        self.world.give_credits(CREDITS)
        self.tasks: list[Task] = []
        self.late: list[Faulty] = []
        self.requests: list[str] = []
        self.chats_allowed = SMALL.chats_per_month
        self.free_credits = SMALL.free_credits_per_month
        self.given: list[str] = []

    def start(self, run: Any, skew: float, plan: dict[int, Fault]) -> None:
        task = Task(self.world.client, lambda client: run(self.world.container(client, skew)))
        task.client.plan = plan
        self.late.append(task.client)
        self.tasks.append(task)

    @rule(
        credits=st.sampled_from([0, 0, 5, 20]),
        tokens=st.sampled_from([0, 0, 50]),
        outcome=st.sampled_from(["settles", "settles", "releases", "raises", "overruns"]),
        again=st.booleans(),
        skew=st.sampled_from([0.0, 0.0, -5.0, 5.0]),
        plan=plans,
    )
    def chat(self, credits: int, tokens: int, outcome: str, again: bool, skew: float, plan: dict[int, Fault]) -> None:
        """A chat; `again` runs an earlier request once more, as an heir or a careless caller might."""
        request_id = self.requests[-1] if again and self.requests else ids.new_id("req")
        self.requests.append(request_id)
        ask = self.world.ask(request_id=request_id, credits=credits, embedding_tokens=tokens)

        def run(ledger: Ledger) -> None:
            with ledger.reserve(ask, self.world.record(ask)) as hold:
                if outcome == "raises":
                    raise NorenError("the upstream failed")
                hold.release = outcome == "releases"
                more = 1000 if outcome == "overruns" else 0
                hold.record.calls.append(call(tokens_embedding=(30 if tokens else 0) + more))
                hold.record.credits = credits // 2 + more

        self.start(run, skew, plan)

    @rule(plan=plans)
    def sweep(self, plan: dict[int, Fault]) -> None:
        self.start(lambda ledger: ledger.sweep(self.world.tenant.tenant_id), 0.0, plan)

    @rule(more=st.integers(1, 4), credits=st.sampled_from([-10, 0, 0, 15]), plan=plans)
    def change_limits(self, more: int, credits: int, plan: dict[int, Fault]) -> None:
        self.chats_allowed += more
        self.free_credits = max(0, self.free_credits + credits)
        changed = {"chats_per_month": self.chats_allowed, "free_credits_per_month": self.free_credits}
        limits = Limits(**{name: getattr(SMALL, name) for name in SMALL.__slots__} | changed)
        self.start(lambda ledger: ledger.change_limits(self.world.tenant, limits), 0.0, plan)

    @rule(
        amount=st.integers(1, 40),
        days=st.sampled_from([0, 1, 20, 60]),
        bought=st.booleans(),
        again=st.booleans(),
        plan=plans,
    )
    def give(self, amount: int, days: int, bought: bool, again: bool, plan: dict[int, Fault]) -> None:
        """Credits come; `again` is a webhook delivered once more."""
        payment = self.given[-1] if again and self.given else ids.new_id("pay")
        self.given.append(payment)
        gift = Gift(
            entry_id=f"PUR#{payment}",
            type="PURCHASE" if bought else "BONUS",
            kind="purchased" if bought else "bonus",
            credits=amount,
            expires_at=int(self.world.now) + days * 86_400 if days else NEVER,
            paid=amount * 10,
            currency="JPY",
        )
        self.in_office(lambda credits: credits.give(self.world.tenant.tenant_id, gift), plan)

    @precondition(lambda self: self.given)
    @rule(
        data=st.data(),
        amount=st.integers(1, 60),
        kind=st.sampled_from(["REFUND", "CHARGEBACK", "ADJUSTMENT"]),
        plan=plans,
    )
    def withdraw(self, data: st.DataObject, amount: int, kind: EntryType, plan: dict[int, Fault]) -> None:
        lot = f"PUR#{data.draw(st.sampled_from(self.given))}"
        wanted = Withdrawal(f"REF#{ids.new_id('ref')}", kind, amount, lot)
        self.in_office(lambda credits: credits.withdraw(self.world.tenant.tenant_id, wanted), plan)

    @rule(plan=plans)
    def fold(self, plan: dict[int, Fault]) -> None:
        self.in_office(lambda credits: credits.turn(self.world.tenant.tenant_id), plan)

    def in_office(self, run: Callable[[Credits], Any], plan: dict[int, Fault]) -> None:
        task = Task(self.world.client, lambda client: run(self.world.credit_office(client)))
        task.client.plan = plan
        self.late.append(task.client)
        self.tasks.append(task)

    @rule(seconds=st.sampled_from([1, 60, 200, 700, 40_000, 86_400, 86_400 * 9, 86_400 * 40]))
    def tick(self, seconds: int) -> None:
        self.world.now += seconds

    @precondition(lambda self: self.tasks)
    @rule(data=st.data(), steps=st.integers(1, 6))
    def advance(self, data: st.DataObject, steps: int) -> None:
        for _ in range(steps):
            if self.tasks:
                self.step(data.draw(st.integers(0, len(self.tasks) - 1)))

    @precondition(lambda self: self.tasks)
    @rule(data=st.data())
    def kill(self, data: st.DataObject) -> None:
        task = self.tasks.pop(data.draw(st.integers(0, len(self.tasks) - 1)))
        if not task.done:
            task.kill()
            self.ended(task)

    @precondition(lambda self: any(client.under_way for client in self.late))
    @rule()
    def deliver(self) -> None:
        for client in self.late:
            client.deliver()

    def step(self, number: int) -> None:
        task = self.tasks[number]
        if not task.done:
            task.step()
        if task.done:
            self.ended(self.tasks.pop(number))

    def ended(self, task: Task) -> None:
        try:
            task.finish()
        except NorenError:
            return  # denied, busy, or the chat's own failure

    @invariant()
    def the_books_agree(self) -> None:
        self.world.check_books()

    def teardown(self) -> None:
        while self.tasks:
            self.step(0)
        for client in self.late:
            client.deliver()
        self.world.check_books()
        self.world.come_to_rest()
        resets = [entry_id for entry_id in self.world.entries() if entry_id.startswith("RESET#")]
        months = {month_of(self.world.now, "Asia/Tokyo")} | {"2026-11"}
        assert set(resets) >= {f"RESET#{month}" for month in months}


def test_the_ledger_under_any_interleaving(client: Faulty) -> None:
    run_state_machine_as_test(
        lambda: Machine(client),  # type: ignore[arg-type]
        settings=settings(
            max_examples=int(os.environ.get("NOREN_EXAMPLES", "25")),
            stateful_step_count=40,
            deadline=None,
            database=None,
            derandomize="NOREN_EXAMPLES" not in os.environ,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
