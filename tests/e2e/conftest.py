"""One whole local run for these tests: the product as `make run` starts it, in a home of its own, enforcing IAM."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local import emulator
from tests.e2e.client import Client, Stack

HOME = emulator.HOME / "test-run"


@pytest.fixture(scope="package")
def stack() -> Iterator[Stack]:
    """The run, freshly deployed. Its data is thrown away; its logs stay in `.noren/test-run/logs` if a test failed.

    `NOREN_RUN=<path of a run.json>` uses a run that is up already instead, while one works on a test.
    """
    if running := os.environ.get("NOREN_RUN"):
        yield Stack(json.loads(Path(running).read_text()))
        return
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir(parents=True)
    env = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    env |= {"NOREN_PORT": str(_free_block()), "AUTH": "true"}
    with (HOME / "up.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "local.up", "--home", str(HOME)],
            cwd=emulator.ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=emulator.die_with_parent,
        )
    run_file = HOME / "run.json"
    deadline = time.monotonic() + 420
    while process.poll() is None and not run_file.exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    if not run_file.exists():
        emulator.stop(process, 60)
        pytest.fail(f"the local run did not start:\n{(HOME / 'up.log').read_text()[-6000:]}", pytrace=False)
    started = Stack(json.loads(run_file.read_text()))
    yield started
    emulator.stop(process, 180)  # gigabytes of unpacked functions are removed
    assert process.returncode == 0, (HOME / "up.log").read_text()[-3000:]
    refused = [verdict for verdict in started.verdicts() if verdict["verdict"] != "allow"]
    assert not refused, "functions were refused what they do"


def _free_block() -> int:
    """Eight free ports in a row, away from those of a developer's own run."""
    import socket

    for first in range(18080, 28000, 10):
        sockets = [socket.socket() for _ in range(8)]
        try:
            for offset, sock in enumerate(sockets):
                sock.bind(("127.0.0.1", first + offset))
            return first
        except OSError:
            continue
        finally:
            for sock in sockets:
                sock.close()
    raise RuntimeError("no free ports")


@pytest.fixture
def as_user(stack: Stack) -> Any:
    """`as_user("pro")`: a client signed in as the demo user of that plan."""
    return stack.user


@pytest.fixture
def admin(stack: Stack) -> Client:
    """A client signed in as the platform admin, with the second factor."""
    return stack.admin
