"""`noren doctor`: what this machine lacks and how to get it. Standard library only: it runs before any set-up."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Literal

from noren.cli.deployment import HOME, ROOT, run_contract
from noren.cli.output import FAILED, OK, show

State = Literal["ok", "missing", "note"]
MARKS: dict[State, str] = {"ok": "✓", "missing": "✗", "note": "·"}
GIGABYTE = 1024**3
DISK = 3 * GIGABYTE
PORTS = 8
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "RUNPOD_API_KEY")


@dataclass(frozen=True, slots=True)
class Finding:
    """One check. `missing` makes the whole fail; `note` does not."""

    name: str
    state: State
    found: str
    remedy: str = ""


def _version(command: str) -> tuple[int, ...]:
    """The version that a program tells, () if it is not there or does not answer."""
    path = shutil.which(command)
    if path is None:
        return ()
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ()
    match = re.search(r"\d+(?:\.\d+)*", said)
    return tuple(map(int, match.group().split("."))) if match else (0,)


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version)) or "not found"


def tools() -> Iterator[Finding]:
    """Programs that the set-up needs."""
    python = sys.version_info[:3]
    yield Finding(
        "Python ≥ 3.11",
        "ok" if python >= (3, 11) else "missing",
        _dotted(python),
        "Debian: apt-get install python3 python3-venv; or set PYTHON=… to a newer one",
    )
    node = _version("node")
    yield Finding("Node ≥ 20", "ok" if node >= (20,) else "missing", _dotted(node), "https://nodejs.org, 22 or newer")
    for name in ("npm", "make"):
        found = _version(name)
        yield Finding(name, "ok" if found else "missing", _dotted(found), f"Debian: apt-get install {name}")
    browser = next((name for name in BROWSERS if shutil.which(name)), "")
    yield Finding(
        "Chromium or Chrome",
        "ok" if browser else "note",
        browser or "not found",
        "only the browser tests need it (Debian: apt-get install chromium)",
    )
    free = shutil.disk_usage(ROOT).free
    yield Finding(
        "3 GB of disk", "ok" if free >= DISK else "missing", f"{free / GIGABYTE:.1f} GB free", "make room on this disk"
    )


def setup() -> Iterator[Finding]:
    """What `make setup` makes."""
    parts = {
        "environment .venv": ROOT / ".venv" / "bin" / "python",
        "embedded cloud": HOME / "emu" / "bin" / "ministack",
        "RunPod worker SDK": HOME / "runpod" / "bin" / "python",
        "CDK command line": HOME / "node" / "node_modules" / ".bin" / "cdk",
    }
    for name, path in parts.items():
        there = os.access(path, os.X_OK)
        yield Finding(name, "ok" if there else "missing", "set up" if there else "not set up", "make setup")


def _answers(url: str) -> bool:
    """Whether a server answers at all; a refusal (401, 404) is an answer, a gateway's 502 is not."""
    if not url.startswith(("http://", "https://")):
        return False
    try:
        with urllib.request.urlopen(url, timeout=5):  # noqa: S310 (checked above)
            return True
    except urllib.error.HTTPError as error:
        error.close()
        return error.code < 500
    except (urllib.error.URLError, OSError):
        return False


def running() -> Iterator[Finding]:
    """The local run's parts if it is up, else whether its ports are free."""
    run = run_contract()
    if run is None:
        first = int(os.environ.get("NOREN_PORT") or 8080)
        taken = [port for port in range(first, first + PORTS) if not _free(port)]
        yield Finding("local run", "note", "not up", "make run")
        remedy = "another block is taken by itself; NOREN_PORT chooses one"
        found = f"taken: {', '.join(map(str, taken))}" if taken else "free"
        given = "NOREN_PORT" in os.environ
        yield Finding(
            f"ports {first}–{first + PORTS - 1}", ("missing" if given else "note") if taken else "ok", found, remedy
        )
        return
    yield Finding("local run", "ok", run["console_url"])
    parts = {
        "page": run["console_url"],
        "platform API": run["platform_url"] + "/health",
        "inference API": run["inference_url"] + "/v1/models",
        "embedded cloud's API": run["aws_endpoint_url"] + "/_ministack/ready",
    }
    for name, url in parts.items():
        up = _answers(url)
        yield Finding(
            name,
            "ok" if up else "missing",
            "answers" if up else "no answer",
            f"see {run['logs']}, then make stop start",
        )


def _free(port: int) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def keys() -> Iterator[Finding]:
    """Keys in the shell; their values are never shown."""
    for name in KEYS:
        there = bool(os.environ.get(name))
        yield Finding(name, "note", "set: the real service" if there else "not set: the stand-in")


def findings() -> list[Finding]:
    """Every check."""
    return [*tools(), *setup(), *running(), *keys()]


def main(*, as_json: bool) -> int:
    """Print what was found; 1 if something needed is missing."""
    found = findings()
    healthy = all(each.state != "missing" for each in found)
    if as_json:
        show({"healthy": healthy, "checks": [asdict(each) for each in found]}, as_json=True)
    else:
        width = max(len(each.name) for each in found)
        for each in found:
            remedy = f"  → {each.remedy}" if each.remedy and each.state != "ok" else ""
            print(f"{MARKS[each.state]} {each.name:<{width}}  {each.found}{remedy}")
        print("\nAll that is needed is here." if healthy else "\nSomething is missing; the arrows say what to do.")
    return OK if healthy else FAILED
