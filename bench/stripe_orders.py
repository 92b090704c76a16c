"""Flows of billing × orders of their events: whatever comes when, and however often, the end is the same.

    python -m bench.stripe_orders [--orders 500] [--interleaved 40] [--cloud 100] [--workers 2] [--flow NAME]

Each flow (`stripe_flows.py`) is played once in good order; what it has come to is the measure. Then its events come
once, five times, in every order (up to six events; seeded ones beyond), late, between the flow's own steps, and with a
process that dies after each storage call, of the worker's and of the flow's own; and to a worker that is overtaken by
the rest of the flow at each of its calls, so that what it has read is old when it writes. In memory, by the real
stores; and a sample on the embedded cloud.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import multiprocessing
import os
import pickle
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from bench.containers import cloud
from bench.stripe_flows import FLOWS, Flow, Step
from bench.stripe_rig import Event, Process, Remembering, Rig
from bench.tables import print_table
from bench.wire import Wire, make_table
from tests.faults import Crash, Faulty

WAYS = ("orders", "repeated", "interleaved", "deaths of workers", "deaths in steps", "overtaken", "in the cloud")


@dataclass(frozen=True)
class Effort:
    """How much is tried."""

    exhaustive: int = 6
    """Up to so many events every order is tried."""
    orders: int = 500
    """Seeded orders of more events."""
    interleaved: int = 40
    stride: int = 1
    """Every so-manieth storage call is died after."""


@dataclass
class Outcome:
    """What one flow has come to."""

    name: str
    events: int = 0
    tried: dict[str, int] = field(default_factory=lambda: dict.fromkeys(WAYS, 0))
    differences: list[str] = field(default_factory=list)

    def compare(self, way: str, what: str, play: Callable[[], dict[str, Any]], wanted: dict[str, Any]) -> None:
        """Play one, count it, and note what differs."""
        self.tried[way] += 1
        try:
            found = play()
        except Exception as error:
            self.differences.append(f"{self.name}, {way}, {what}: {type(error).__name__}: {error}")
            return
        if found != wanted:
            parts = [
                f"{name}: {found[name]} instead of {wanted[name]}" for name in wanted if found[name] != wanted[name]
            ]
            self.differences.append(f"{self.name}, {way}, {what}: {'; '.join(parts)}")


MakeRig = Callable[[], Rig]


def orderly(rig: Rig, steps: tuple[Step, ...]) -> None:
    """Each step, and then its events."""
    for step in steps:
        step(rig)
        for event in rig.new_events():
            rig.apply(event)


def measure(flow: Flow, make: MakeRig) -> dict[str, Any]:
    """What the flow comes to in good order."""
    rig = make()
    orderly(rig, flow.given)
    orderly(rig, flow.steps)
    return rig.state()


def orders_of(events: list[Event], effort: Effort, dice: random.Random) -> Iterator[list[Event]]:
    """Every order of a few events, seeded ones of many."""
    if len(events) <= effort.exhaustive:
        yield from (list(each) for each in itertools.permutations(events))
        return
    for _ in range(effort.orders):
        yield dice.sample(events, len(events))


@dataclass
class Prepared:
    """A flow whose every step was taken by a process that died before it settled anything; no event has come yet."""

    rig: Rig
    events: list[Event]
    rows: Any
    world: bytes
    stripe: Remembering
    process: Process

    @staticmethod
    def of(flow: Flow) -> Prepared:
        """Play it."""
        rig = Rig()
        orderly(rig, flow.given)
        rig.seen.clear()
        rig.process = rig.new_process(deaf=True)
        for step in flow.steps:
            step(rig)
        events = rig.new_events()
        stripe = Remembering(rig.line)
        process = rig.process = rig.new_process(stripe=stripe)
        return Prepared(rig, events, rig.client.copy(), _frozen(rig), stripe, process)

    def afresh(self) -> None:
        """As if no event had come."""
        self.rig.client.restore(self.rows)
        if self.stripe.wrote:
            self.stripe.wrote = False
            self.stripe.forget()
            _thaw(self.rig, self.world)


def _frozen(rig: Rig) -> bytes:
    world = rig.stripe.world
    return pickle.dumps((world.objects, world.kinds, rig.stripe.api.kept))


def _thaw(rig: Rig, frozen: bytes) -> None:
    world = rig.stripe.world
    world.objects, world.kinds, rig.stripe.api.kept = pickle.loads(frozen)


def in_orders(flow: Flow, wanted: dict[str, Any], effort: Effort, outcome: Outcome) -> None:
    """Every order, and every event five times in a seeded order."""
    ready, dice = Prepared.of(flow), random.Random(flow.name)
    outcome.events = len(ready.events)

    def play(order: list[Event]) -> dict[str, Any]:
        ready.afresh()
        for event in order:
            ready.rig.apply(event)
        return ready.rig.state()

    for order in orders_of(ready.events, effort, dice):
        outcome.compare("orders", " ".join(each.type for each in order), partial(play, order), wanted)
    five = ready.events * 5
    outcome.compare("repeated", "in order", partial(play, five), wanted)
    for number in range(effort.orders // 20):
        outcome.compare("repeated", f"{number}", partial(play, dice.sample(five, len(five))), wanted)


def deaths_of_workers(flow: Flow, wanted: dict[str, Any], effort: Effort, outcome: Outcome) -> None:
    """A worker dies after each of its storage calls; the event comes again."""
    ready = Prepared.of(flow)

    def play(number: int) -> dict[str, Any]:
        ready.afresh()
        faulty = Faulty(ready.rig.client)
        faulty.plan = {number: "crash_after"}
        process = ready.rig.new_process(faulty, ready.stripe)
        for event in ready.events:
            try:
                ready.rig.apply(event, process)
            except Crash:
                process = ready.process
                ready.rig.apply(event, process)
        calls.append(len(faulty.calls))
        return ready.rig.state()

    calls: list[int] = []
    play(sys.maxsize)
    for number in range(0, calls[0], effort.stride):
        outcome.compare("deaths of workers", f"after call {number}", partial(play, number), wanted)


def interleaved(flow: Flow, seed: int, make: MakeRig) -> dict[str, Any]:
    """Events come late, between later steps, in any order, some twice; half the time no step settles anything."""
    dice, rig = random.Random(f"{flow.name} {seed}"), make()
    orderly(rig, flow.given)
    worker = rig.process
    if seed % 2:
        rig.process = rig.new_process(deaf=True)
    waiting: list[Event] = []
    for step in flow.steps:
        step(rig)
        waiting += [event for event in rig.new_events() for _ in range(dice.choice((1, 1, 2)))]
        dice.shuffle(waiting)
        for _ in range(dice.randint(0, len(waiting))):
            rig.apply(waiting.pop(), worker)
    rig.process = worker
    for event in (*waiting, *rig.new_events()):
        rig.apply(event)
    return rig.state()


def deaths_in_steps(flow: Flow, wanted: dict[str, Any], effort: Effort, outcome: Outcome) -> None:
    """The process that takes the flow's own steps dies after each of its storage calls; the step is taken again."""

    def play(number: int) -> dict[str, Any]:
        rig = Rig()
        orderly(rig, flow.given)
        faulty = Faulty(rig.client)
        faulty.plan = {number: "crash_after"}
        calm = rig.process
        rig.process = rig.new_process(faulty)
        waiting = []
        for step in flow.steps:
            try:
                step(rig)
            except Crash:
                rig.process = calm
                step(rig)
            waiting += rig.new_events()
        calls.append(len(faulty.calls))
        rig.process = calm
        for event in waiting:
            rig.apply(event)
        return rig.state()

    calls: list[int] = []
    play(sys.maxsize)
    for number in range(0, calls[0], effort.stride):
        outcome.compare("deaths in steps", f"after call {number}", partial(play, number), wanted)


def overtaken(flow: Flow, wanted: dict[str, Any], effort: Effort, outcome: Outcome) -> None:
    """A worker stands still at each of its storage calls while the last step is taken and everything is worked off."""

    def play(number: int) -> dict[str, Any]:
        rig = Rig()
        orderly(rig, flow.given)
        calm = rig.process
        rig.process = rig.new_process(deaf=True)
        for step in flow.steps[:-1]:
            step(rig)
        events = rig.new_events()

        def before(*_: object) -> None:
            if len(slow.calls) == number:
                slow.before = None
                flow.steps[-1](rig)
                for event in (*events, *rig.new_events()):
                    rig.apply(event, calm)

        slow = Faulty(rig.client, before)
        for event in events:
            rig.apply(event, rig.new_process(slow))
        calls.append(len(slow.calls))
        rig.process = calm
        return rig.state()

    calls: list[int] = []
    play(sys.maxsize)
    for number in range(0, calls[0], effort.stride):
        outcome.compare("overtaken", f"at call {number}", partial(play, number), wanted)


def run(flow: Flow, effort: Effort) -> Outcome:
    """Everything about one flow, in memory."""
    outcome = Outcome(flow.name)
    wanted = measure(flow, Rig)
    in_orders(flow, wanted, effort, outcome)
    deaths_of_workers(flow, wanted, effort, outcome)
    for seed in range(effort.interleaved):
        outcome.compare("interleaved", f"seed {seed}", partial(interleaved, flow, seed, Rig), wanted)
    deaths_in_steps(flow, wanted, effort, outcome)
    overtaken(flow, wanted, effort, outcome)
    return outcome


def in_the_cloud(outcomes: Mapping[str, Outcome], count: int) -> None:
    """So many of the interleaved ones again, on the embedded cloud."""
    flows = [flow for flow in FLOWS if flow.name in outcomes]
    with cloud() as endpoint, Wire(endpoint) as client:

        def make() -> Rig:
            client.reset()
            for name in ("quotas", "credits", "billing", "tenants"):
                make_table(client, name)
            return Rig(client)

        for number in range(count):
            flow = flows[number % len(flows)]
            play = partial(interleaved, flow, number, make)
            outcomes[flow.name].compare("in the cloud", f"seed {number}", play, measure(flow, Rig))


def _run(given: tuple[str, Effort]) -> Outcome:
    logging.disable(logging.CRITICAL)  # each payment that differs is reported each time
    name, effort = given
    return run(next(flow for flow in FLOWS if flow.name == name), effort)


def main() -> int:
    """Run and print; 1 where anything differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--orders", type=int, default=Effort.orders)
    parser.add_argument("--interleaved", type=int, default=Effort.interleaved)
    parser.add_argument("--cloud", type=int, default=100)
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--flow", default="", help="only those whose name has this in it")
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    began = time.monotonic()
    effort = Effort(orders=given.orders, interleaved=given.interleaved)
    work = [(flow.name, effort) for flow in FLOWS if given.flow in flow.name]
    with ProcessPoolExecutor(given.workers, multiprocessing.get_context("spawn")) as pool:
        outcomes = {each.name: each for each in pool.map(_run, work)}
    in_the_cloud(outcomes, given.cloud)
    print_outcomes(list(outcomes.values()))
    print(f"{time.monotonic() - began:,.0f} s")
    return 1 if any(each.differences for each in outcomes.values()) else 0


def print_outcomes(outcomes: list[Outcome]) -> None:
    """The table, the sums, and what differs."""
    rows = [[each.events, *each.tried.values(), len(each.differences)] for each in outcomes]
    sums = [f"{sum(column):,}" for column in zip(*rows, strict=True)]
    named = [[each.name, *row] for each, row in zip(outcomes, rows, strict=True)]
    print_table(["flow", "events", *WAYS, "differences"], [*named, [f"{len(outcomes)} flows", *sums]])
    for each in outcomes:
        if each.differences:
            print("\n".join(each.differences[:3]))


if __name__ == "__main__":
    sys.exit(main())
