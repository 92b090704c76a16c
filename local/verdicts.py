"""Runs the embedded cloud with AUTH=true so that each verdict on a call is written down once, as a JSON line.

    .noren/emu/bin/python local/verdicts.py FILE

Neither its own log nor the functions' say who was refused what, and a call whose failure is tolerated leaves no trace
at all. Runs in the emulator's environment, so it imports nothing of ours. The root's calls are never judged.
"""

from __future__ import annotations

import json
import sys
from typing import Any, TextIO

from ministack.app import main
from ministack.core import iam_evaluator


def record(out: TextIO) -> None:
    """Write every distinct verdict from now on."""
    judge = iam_evaluator.evaluate
    seen: set[tuple[str, ...]] = set()

    def evaluate(asked: Any, *rest: Any) -> Any:
        verdict = judge(asked, *rest)
        known = (asked.principal_arn, asked.action, asked.resource_arn, verdict.decision)
        if known not in seen:
            seen.add(known)
            out.write(json.dumps(dict(zip(("principal", "action", "resource", "decision"), known, strict=True))) + "\n")
        return verdict

    iam_evaluator.evaluate = evaluate


if __name__ == "__main__":
    with open(sys.argv.pop(1), "a", encoding="utf-8", buffering=1) as file:
        record(file)
        main()
