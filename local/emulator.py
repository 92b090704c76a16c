"""Starts the embedded cloud (MiniStack) in a virtual environment of its own, on 127.0.0.1, as our child."""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".noren"
REGION = "ap-northeast-1"
ACCOUNT = "000000000000"

_SCRATCH: dict[int, Path] = {}
"""What each emulator that runs unpacks into; removed when it is stopped."""


def free_port() -> int:
    """A port of 127.0.0.1 that is free now.

    Of those that no system gives out by itself: one of these may be a neighbour's by the time that ours is bound.
    """
    while True:
        port = 20_000 + secrets.randbelow(10_000)
        with socket.socket() as sock, suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port


def die_with_parent() -> None:
    """For `preexec_fn`: the child gets SIGTERM when the process that started it is gone (Linux)."""
    try:
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)
    except (OSError, AttributeError):  # not Linux: the starter's own clean-up has to do
        return


def aws_env(endpoint: str, access_key: str = "test") -> dict[str, str]:
    """The variables that point boto3 and the CDK at the emulator. A 12-digit key is an account of its own."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
    }


def start(
    port: int, *, log: Path, state: Path | None = None, extra_env: dict[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start MiniStack and return when it is ready.

    With `state`, a graceful stop saves everything there and the next start restores it. With AUTH=true in the
    environment it enforces IAM, and `verdicts.jsonl` beside the log tells who was allowed or refused what. Raises
    RuntimeError with the log's path if it is not ready within 120 s.
    """
    env = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    env |= {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "IOT_MTLS_ENABLED": "0"}
    env |= {"MINISTACK_REGION": REGION, "AWS_DEFAULT_REGION": REGION}
    env |= {"NODE_PATH": str(HOME / "node" / "node_modules")}
    # It unpacks functions and layers there, hundreds of megabytes, and leaves them when it is killed.
    scratch = log.parent / "unpacked"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    env |= {"TMPDIR": str(scratch)}
    if state:
        state.mkdir(parents=True, exist_ok=True)
        env |= {"PERSIST_STATE": "1", "STATE_DIR": str(state / "state")}
        env |= {"S3_PERSIST": "1", "S3_DATA_DIR": str(state / "s3")}
    env |= extra_env or {}
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [str(HOME / "emu" / "bin" / "python"), str(ROOT / "local" / "emulated.py")]
    if env.get("AUTH") == "true":
        command.append(str(log.with_name("verdicts.jsonl")))
    with log.open("ab") as out:
        process = subprocess.Popen(command, env=env, stdout=out, stderr=out, preexec_fn=die_with_parent)
    _SCRATCH[process.pid] = scratch
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/_ministack/ready", timeout=1):
                return process
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    stop(process)
    raise RuntimeError(f"the embedded cloud did not start; its log: {log}")


def stop(process: subprocess.Popen[bytes], seconds: float = 20) -> None:
    """Stop gracefully (state is saved), then surely."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)
    if scratch := _SCRATCH.pop(process.pid, None):
        shutil.rmtree(scratch, ignore_errors=True)
