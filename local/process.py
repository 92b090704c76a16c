"""Starts our own local servers as children that end with us."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from local.emulator import ROOT, die_with_parent, stop


def launch(
    arguments: Sequence[str],
    *,
    log: Path,
    python: str | Path = sys.executable,
    env: Mapping[str, str] | None = None,
    ready: str = "",
    seconds: float = 20,
) -> subprocess.Popen[bytes]:
    """Run `python arguments…` from the project's root; with `ready` return when that URL answers 200.

    Raises RuntimeError with the log's path where it does not within `seconds`.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    path = os.pathsep.join([str(ROOT), str(ROOT / "layers" / "noren" / "python")])
    with log.open("ab") as out:
        process = subprocess.Popen(
            [str(python), *arguments],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path, **(env or {})},
            stdout=out,
            stderr=out,
            preexec_fn=die_with_parent,
        )
    deadline = time.monotonic() + seconds
    while ready:
        try:
            with urllib.request.urlopen(ready, timeout=2):
                break
        except (urllib.error.URLError, OSError):
            if process.poll() is not None or time.monotonic() > deadline:
                stop(process)
                raise RuntimeError(f"{' '.join(arguments)} did not start; its log: {log}") from None
            time.sleep(0.1)
    return process
