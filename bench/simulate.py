"""Seeded histories of accounts on the embedded cloud: chats, payments, folds, crashes, lost and late requests, clocks.

    python -m bench.simulate SEED N [--workers W] [--story]

History number SEED, SEED + 1, … each is of one tenant (`history.py`) and checked on every image that its account ever
had (`audit.py`). What fails is named by its seed: `python -m bench.simulate SEED 1 --story` plays it again.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field

from bench.containers import cloud
from bench.history import History
from bench.tables import table
from bench.wire import Wire

STORY_LINES = 60
MOST_FAILURES = 5
"""After which a worker gives up."""


@dataclass
class Result:
    """What so many histories came to."""

    histories: int = 0
    did: Counter[str] = field(default_factory=Counter)
    failures: dict[int, tuple[list[str], list[str]]] = field(default_factory=dict)
    """By seed: what did not hold, and the story."""

    def add(self, other: Result) -> None:
        """Take in another's."""
        self.histories += other.histories
        self.did += other.did
        self.failures |= other.failures


def play(endpoint: str, seeds: range) -> Result:
    """Play these histories one after another, alone on that emulator."""
    logging.disable(logging.CRITICAL)  # the ledger reports each late settlement and each hold that it must leave
    result = Result()
    with Wire(endpoint) as client:
        for seed in seeds:
            history = History(client, seed)
            violations = history.run()
            result.histories += 1
            result.did += history.did()
            if violations:
                result.failures[seed] = (violations, history.story)
                if len(result.failures) >= MOST_FAILURES:
                    break
    return result


def simulate(seed: int, histories: int, workers: int) -> Result:
    """Play `histories` from `seed` on, by several processes with an emulator each."""
    result = Result()
    with ExitStack() as stack:
        endpoints = [stack.enter_context(cloud()) for _ in range(min(workers, histories))]
        pool = ProcessPoolExecutor(len(endpoints), multiprocessing.get_context("spawn"))
        stack.enter_context(pool)
        shares = [range(seed + number, seed + histories, len(endpoints)) for number in range(len(endpoints))]
        for each in pool.map(play, endpoints, shares):
            result.add(each)
    return result


def report(result: Result, seconds: float, *, story: bool) -> str:
    """The table, and each failure with the end of its story."""
    rows = [["histories", f"{result.histories:,}"], *([name, f"{count:,}"] for name, count in result.did.items())]
    rows += [["seconds", f"{seconds:,.0f}"], ["histories with violations", len(result.failures)]]
    parts = [table(["what", "number"], rows)]
    for seed, (violations, told) in sorted(result.failures.items()):
        parts.append(f"VIOLATION: python -m bench.simulate {seed} 1 --story")
        parts += [f"  {each}" for each in violations[:10]]
        parts += ["  …", *(f"  {line}" for line in told[-(len(told) if story else STORY_LINES) :])]
    return "\n".join(parts)


def main() -> int:
    """Play and print; 1 where anything did not hold."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("seed", type=int)
    parser.add_argument("histories", type=int)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--story", action="store_true", help="tell failing histories from their beginning")
    given = parser.parse_args()
    began = time.monotonic()
    result = simulate(given.seed, given.histories, given.workers)
    print(report(result, time.monotonic() - began, story=given.story))
    return 1 if result.failures else 0


if __name__ == "__main__":
    sys.exit(main())
