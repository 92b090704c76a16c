"""What a gateway adds to a chat: CPU a request and latency of Noren, LiteLLM and Portkey in one run.

    python -m bench.gateway [--requests 200] [--rounds 5] [--at-once 1]

All stand before the same mock upstream (`bench/upstream.py`, a process of its own that answers at once), with one
worker each, and are asked in OpenAI's format. Rounds take turns. CPU is the gateway's process tree's, from /proc.

Noren does what the others don't: authentication by its tables, an atomic admission, a settled record. It keeps these on
the embedded cloud, and CPU and time of its storage client's calls are counted at each call, so that both figures are
shown: with storage, and storage apart. What prepares those calls and reads their answers counts as Noren's own.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import storage, upstream
from bench.tables import print_table
from local import emulator

HOME = emulator.HOME / "bench"
WARM_UP = 40
TICK = os.sysconf("SC_CLK_TCK")


@dataclass
class Gateway:
    """One way to the upstream: where it is, and how to ask it."""

    name: str
    port: int
    path: str
    model: str
    headers: dict[str, str]
    pid: int = 0
    metered: bool = False
    results: dict[str, list[float]] = field(default_factory=dict)

    def note(self, figure: str, value: float) -> None:
        """Keep one round's figure."""
        self.results.setdefault(figure, []).append(value)

    def median(self, figure: str) -> float:
        """The rounds' median."""
        return statistics.median(self.results[figure])


class Client:
    """One kept-alive connection."""

    def __init__(self, gateway: Gateway, stream: bool) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60)
        self._gateway, self._stream = gateway, stream
        body: dict[str, Any] = {"model": gateway.model, "messages": [{"role": "user", "content": "When is it open?"}]}
        body["max_tokens"] = 100
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        self._body = json.dumps(body)
        self._headers = {"content-type": "application/json"} | gateway.headers

    def ask(self) -> bytes:
        """One chat; its raw answer. Raises RuntimeError where it is refused."""
        self._connection.request("POST", self._gateway.path, self._body, self._headers)
        response = self._connection.getresponse()
        raw = response.read()
        if response.status != 200:
            raise RuntimeError(f"{self._gateway.name}: {response.status} {raw[:400]!r}")
        return raw

    def text(self) -> str:
        """One chat's whole text."""
        raw = self.ask()
        if not self._stream:
            return str(json.loads(raw)["choices"][0]["message"]["content"])
        lines = [line[6:] for line in raw.decode().splitlines() if line.startswith("data: {")]
        choices = [choice for line in lines for choice in json.loads(line)["choices"]]
        return "".join(choice["delta"].get("content") or "" for choice in choices)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--requests", type=int, default=200, help="of each gateway in each round and way")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--at-once", type=int, default=1, help="chats under way while CPU is counted (Lambda runs one)")
    given = parser.parse_args()
    with contextlib.ExitStack() as stack:
        logs = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        gateways = start(stack, logs)
        for gateway in gateways:
            for stream in (False, True):
                check(gateway, stream)
        for _ in range(given.rounds):
            for stream in (False, True):
                for gateway in gateways:
                    measure(gateway, stream, given.requests, given.at_once)
    report(gateways, given.requests, given.rounds, given.at_once)
    return 0


def start(stack: contextlib.ExitStack, logs: Path) -> list[Gateway]:
    """Start the upstream and all gateways."""
    ports = [emulator.free_port() for _ in range(4)]
    base = f"http://127.0.0.1:{ports[0]}"
    run(stack, logs, "upstream", [sys.executable, "-m", "bench.upstream", str(ports[0])], ports[0])

    lite = [str(HOME / "litellm/bin/litellm"), "--config", str(emulator.ROOT / "bench/litellm.yaml")]
    lite += ["--host", "127.0.0.1", "--port", str(ports[1]), "--num_workers", "1"]
    quiet = {"BENCH_UPSTREAM": f"{base}/v1", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
    lite_pid = run(stack, logs, "litellm", lite, ports[1], **quiet)

    portkey = ["node", str(HOME / "portkey/node_modules/@portkey-ai/gateway/build/start-server.js")]
    portkey_pid = run(stack, logs, "portkey", [*portkey, f"--port={ports[2]}", "--headless"], ports[2])

    stack.enter_context(storage.cloud(logs / "cloud.log"))
    storage.make_tables()
    env = storage.environment(base)
    services = storage.services_of(env)
    services.plans.seed()
    _, key = storage.tenant_with_key(services, "bench", "enterprise", **storage.NO_LIMITS)
    noren = [sys.executable, "-m", "uvicorn", "bench.noren_app:app", "--host", "127.0.0.1", "--port", str(ports[3])]
    noren += ["--no-access-log", "--log-level", "warning"]
    noren_pid = run(stack, logs, "noren", noren, ports[3], **env)

    path = "/v1/chat/completions"
    forward = {"x-portkey-provider": "openai", "x-portkey-custom-host": f"{base}/v1"}
    bearer = {"authorization": f"Bearer {key}"}
    return [
        Gateway("upstream itself", ports[0], path, "bench", {}),
        Gateway("LiteLLM", ports[1], path, "bench", {"authorization": "Bearer sk-bench"}, lite_pid),
        Gateway("Portkey", ports[2], path, "bench", {"authorization": "Bearer bench"} | forward, portkey_pid),
        Gateway("Noren, RunPod", ports[3], path, "phi-3-mini", bearer, noren_pid, metered=True),
        Gateway("Noren, OpenAI SDK", ports[3], path, "gpt-mini", bearer, noren_pid, metered=True),
    ]


def run(stack: contextlib.ExitStack, logs: Path, name: str, command: list[str], port: int, **more: str) -> int:
    """Start a process and wait until it listens; returns its id."""
    env = {each: value for each, value in os.environ.items() if not each.lower().endswith("_proxy")} | more
    log = logs / f"{name}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, env=env, cwd=emulator.ROOT, stdout=out, stderr=out, preexec_fn=emulator.die_with_parent
        )
    stack.callback(emulator.stop, process)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request("GET", "/health/liveliness")
            connection.getresponse().read()
            return process.pid
        time.sleep(0.2)
    raise SystemExit(f"{name} did not start:\n" + "\n".join(log.read_text(errors="replace").splitlines()[-15:]))


def check(gateway: Gateway, stream: bool) -> None:
    """Warm a gateway up, and see that it hands on the upstream's very answer."""
    client = Client(gateway, stream)
    for _ in range(WARM_UP):
        answer = client.text()
        if answer != upstream.ANSWER:
            raise SystemExit(f"{gateway.name} answers {answer!r}")
    client.close()


def measure(gateway: Gateway, stream: bool, requests: int, at_once: int) -> None:
    """One round of one gateway: CPU, then latency one by one."""
    kind = "streamed" if stream else "plain"
    before, stored = cpu(gateway.pid), taken(gateway)
    threads = [threading.Thread(target=ask, args=(gateway, stream, requests // at_once)) for _ in range(at_once)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    count = requests // at_once * at_once
    used, stored = cpu(gateway.pid) - before, {name: taken(gateway)[name] - stored[name] for name in stored}
    gateway.note(f"{kind} cpu", used / count * 1000)
    gateway.note(f"{kind} cpu apart", (used - stored["cpu"]) / count * 1000)
    gateway.note(f"{kind} calls", stored["calls"] / count)

    client = Client(gateway, stream)
    client.ask()
    whole, apart = [], []
    for _ in range(max(20, requests // 4)):
        before_call = taken(gateway)["wall"]
        began = time.perf_counter()
        client.ask()
        whole.append((time.perf_counter() - began) * 1000)
        apart.append(whole[-1] - (taken(gateway)["wall"] - before_call) * 1000)
    client.close()
    gateway.note(f"{kind} ms", statistics.median(whole))
    gateway.note(f"{kind} ms apart", statistics.median(apart))


def ask(gateway: Gateway, stream: bool, requests: int) -> None:
    """One of several clients at once."""
    client = Client(gateway, stream)
    for _ in range(requests):
        client.ask()
    client.close()


def taken(gateway: Gateway) -> dict[str, float]:
    """What storage has taken in the gateway so far: calls, CPU and wall seconds."""
    if not gateway.metered:
        return {"calls": 0, "cpu": 0.0, "wall": 0.0}
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60)
    connection.request("GET", "/_bench")
    told: dict[str, float] = json.loads(connection.getresponse().read())
    connection.close()
    return told


def cpu(pid: int) -> float:
    """CPU seconds of a process and its living descendants."""
    return sum(_own_cpu(each) for each in _family(pid)) if pid else 0.0


def memory(pid: int) -> float:
    """Resident MB of a process and its descendants."""
    pages = (int(Path(f"/proc/{each}/statm").read_text().split()[1]) for each in _family(pid))
    return sum(pages) * os.sysconf("SC_PAGE_SIZE") / 1e6


def _own_cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def _family(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from _family(int(child))


def report(gateways: list[Gateway], requests: int, rounds: int, at_once: int) -> None:
    """Print the table and the ratios that are asked for."""
    print(f"Medians of {rounds} rounds of {requests} chats, {at_once} at once; every gateway's answers were checked.\n")
    direct, lite, portkey = gateways[:3]
    rows: list[list[object]] = []
    for gateway in gateways:
        for kind in ("plain", "streamed"):
            row: list[object] = [f"{gateway.name}, {kind}"]
            row += [f"{gateway.median(f'{kind} {name}'):.2f}" for name in ("cpu", "cpu apart")]
            row += [f"{gateway.median(f'{kind} {n}') - direct.median(f'{kind} ms'):.2f}" for n in ("ms", "ms apart")]
            row += [f"{gateway.median(f'{kind} calls'):.1f}"]
            rows.append(row)
    head = ["", "CPU ms", "storage apart", "added p50 ms", "storage apart", "storage calls"]
    print_table(head, [row for row in rows if not str(row[0]).startswith("upstream")])
    print("\nLiteLLM's CPU a chat divided by …\n")
    ratios: list[list[object]] = []
    for gateway, wanted in ((portkey, 0.0), (gateways[3], 6.0), (gateways[4], 2.0)):
        parts = [lite.median(f"{kind} cpu") / gateway.median(f"{kind} cpu apart") for kind in ("plain", "streamed")]
        verdict = "" if not wanted else "met" if min(parts) >= wanted else "MISSED"
        ratios.append([gateway.name, *(f"{each:.1f}" for each in parts), f"{wanted:.0f}" if wanted else "", verdict])
    print_table(["", "plain", "streamed", "wanted", ""], ratios)


if __name__ == "__main__":
    sys.exit(main())
