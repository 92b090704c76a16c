"""Runs the embedded cloud with AUTH=true so that each verdict on a call is written down once, as a JSON line.

    .noren/emu/bin/python local/verdicts.py FILE

Neither its own log nor the functions' say who was refused what, and a call whose failure is tolerated leaves no trace
at all. Runs in the emulator's environment, so it imports nothing of ours. The root's calls are never judged.
"""

from __future__ import annotations

import json
import sys
from contextvars import ContextVar
from typing import Any, TextIO

from ministack.app import main
from ministack.core import iam_evaluator

AS_ON_AWS = {"sqs:SendMessageBatch": "sqs:SendMessage"}
"""What the emulator asks policies for, and what AWS does: a batch needs no right of its own."""


def record(out: TextIO) -> None:
    """Write every distinct verdict from now on."""
    evaluate, enforce = iam_evaluator.evaluate, iam_evaluator.enforce
    asked: ContextVar[Any] = ContextVar("asked", default=None)
    seen: set[tuple[str, ...]] = set()

    def remember(question: Any, *rest: Any) -> Any:
        question.action = AS_ON_AWS.get(question.action, question.action)
        if asked.get() is None:  # one verdict may ask more than one policy
            asked.set(question)
        return evaluate(question, *rest)

    def tell(*arguments: Any, **named: Any) -> Any:
        asked.set(None)
        refusal = enforce(*arguments, **named)
        if question := asked.get():
            known = (question.principal_arn, question.action, question.resource_arn, "deny" if refusal else "allow")
            if known not in seen:
                seen.add(known)
                line = dict(zip(("principal", "action", "resource", "verdict"), known, strict=True))
                out.write(json.dumps(line) + "\n")
        return refusal

    iam_evaluator.evaluate, iam_evaluator.enforce = remember, tell


if __name__ == "__main__":
    with open(sys.argv.pop(1), "a", encoding="utf-8", buffering=1) as file:
        record(file)
        main()
