"""Runs the embedded cloud, with two things of ours.

    .noren/emu/bin/python local/emulated.py [FILE]

Layers are unpacked once: the emulator unpacks them for each worker of each function anew, gigabytes in a run, and every
worker compiles them again. And with AUTH=true each verdict on a call is written down once, as a JSON line of FILE:
neither its own log nor the functions' say who was refused what, and a call whose failure is tolerated leaves no trace
at all. The root's calls are never judged.

Runs in the emulator's environment, so it imports nothing of ours.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
import threading
import zipfile
from contextvars import ContextVar
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TextIO

from ministack.app import main
from ministack.core import iam_evaluator, lambda_runtime

AS_ON_AWS = {"sqs:SendMessageBatch": "sqs:SendMessage"}
"""What the emulator asks policies for, and what AWS does: a batch needs no right of its own."""


def share_layers(folder: Path) -> None:
    """Have each layer unpacked into `folder` once, and workers' own folders link to it. Functions only read them."""
    unpacking = threading.Lock()

    class Archive(zipfile.ZipFile):
        def extractall(self, path: Any = None, members: Any = None, pwd: bytes | None = None) -> None:
            if not Path(path).name.startswith("layer_"):
                super().extractall(path, members, pwd)
                return
            shared = folder / hashlib.sha256(Path(str(self.filename)).read_bytes()).hexdigest()
            with unpacking:
                if not shared.exists():
                    fresh = shared.with_suffix(".new")
                    super().extractall(fresh)
                    fresh.rename(shared)
            for each in shared.iterdir():
                os.symlink(each, Path(path, each.name))

    lambda_runtime.zipfile = SimpleNamespace(**{**vars(zipfile), "ZipFile": Archive})


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
    share_layers(Path(tempfile.gettempdir(), "layers"))
    if len(sys.argv) > 1:
        with open(sys.argv.pop(1), "a", encoding="utf-8", buffering=1) as file:
            record(file)
            main()
    else:
        main()
