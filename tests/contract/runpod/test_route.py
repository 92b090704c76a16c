"""RunPod's job API from our provider through the real worker SDK to the model server and back."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from local import emulator, llm, runpod
from local.models import PHI3
from noren.llm.models import Delta, Event, FaultKind, Finish, Message, Prompt, ProviderFault, TimeLimits
from noren.llm.providers.runpod import RunPodProvider
from noren.plans.models import ModelPolicy
from tests.contract.runpod.conftest import Route

FACT = "営業時間: 10:00〜19:00、ラストオーダーは18:30、日曜日は17:00までです🏮。"
PROMPT = Prompt((Message("system", f"<facts>\n{FACT}\n</facts>"), Message("user", "営業時間は?")), 100, 0.7)
LIMITS = TimeLimits(connect=1, first_token=4, total=8)
AUTH = {"authorization": f"Bearer {llm.API_KEY}"}


def never() -> bool:
    return False


def policy(id: str = "phi-3-mini") -> ModelPolicy:
    return ModelPolicy(
        id, id, "chat", "runpod", "microsoft/Phi-3-mini-4k-instruct", "", frozenset(), "2026-11-01", 4096
    )


def stream(
    route: Route,
    limits: TimeLimits = LIMITS,
    cancel: Callable[[], bool] = never,
    prompt: Prompt = PROMPT,
) -> Iterator[Event]:
    return route.provider.stream(policy(), prompt, limits, cancel)


def fails(route: Route, limits: TimeLimits = LIMITS, id: str = "phi-3-mini") -> ProviderFault:
    with pytest.raises(ProviderFault) as failed:
        list(route.provider.stream(policy(id), PROMPT, limits, never))
    return failed.value


def text(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Delta))


def end(events: list[Event]) -> Finish:
    finish = events[-1]
    assert isinstance(finish, Finish)
    return finish


def test_an_answer_with_counts_gpu_seconds_and_the_models_own_name(route: Route) -> None:
    before = route.upstream()["calls"]
    events = list(stream(route))
    assert text(events) == FACT
    finish, upstream = end(events), route.upstream()
    assert (finish.reason, finish.model) == ("stop", upstream["model"])
    assert finish.usage.output == upstream["log"][-1]["tokens"]
    assert finish.usage.input > 0
    assert not finish.usage.estimated
    assert 0.05 < finish.usage.gpu_seconds < 3
    assert upstream["calls"] == before + 1
    assert upstream["log"][-1]["max_tokens"] == 100


def test_pieces_arrive_before_the_last_is_made(route: Route) -> None:
    route.model(pace_ms=250)
    pieces = stream(route)
    next(pieces)
    first_here = time.time()
    list(pieces)
    assert first_here < route.upstream()["log"][-1]["last_token_at"] - 1


def test_many_jobs_share_a_worker(route: Route) -> None:
    route.model(pace_ms=150)
    begun = time.monotonic()
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: text(list(stream(route))), range(6)))
    assert answers == [FACT] * 6
    assert time.monotonic() - begun < 12  # one after another they would take 16 s


def test_a_bounded_answer(route: Route) -> None:
    events = list(stream(route, prompt=Prompt(PROMPT.messages, 4, 0.7)))
    assert (end(events).reason, end(events).usage.output) == ("length", 4)


@pytest.mark.parametrize(
    ("fault", "on", "kind"),
    [
        ("401", "run", "unauthorized"),
        ("404", "run", "not_found"),
        ("429", "run", "rate_limited"),
        ("500", "run", "server"),
        ("500", "stream", "server"),
        ("404", "stream", "not_found"),
        ("garbage", "run", "garbage"),
        ("garbage", "stream", "garbage"),
        ("cut", "run", "connection"),
        ("cut", "stream", "connection"),
    ],
)
def test_faults_of_the_control_plane(route: Route, fault: str, on: str, kind: FaultKind) -> None:
    route.plane(fault=fault, on=on)
    failed = fails(route)
    assert (failed.kind, failed.produced) == (kind, False)
    assert failed.retry_after == (1 if fault == "429" else None)
    assert route.jobs()["in_queue"] == 0  # a job that was made is cancelled


def test_a_job_that_is_looked_at_too_often_goes_on(route: Route) -> None:
    route.plane(fault="429", on="stream", times=2)
    assert text(list(stream(route))) == FACT
    route.plane(fault="500", on="stream", times=2)
    assert text(list(stream(route))) == FACT


def test_a_wrong_key_and_an_unknown_endpoint(route: Route) -> None:
    stranger = RunPodProvider(route.stack.env["RUNPOD_BASE_URL"], lambda: "rpa_wrong", {"phi-3-mini": PHI3})
    with pytest.raises(ProviderFault) as refused:
        list(stranger.stream(policy(), PROMPT, LIMITS, never))
    stranger.close()
    assert refused.value.kind == "unauthorized"
    assert fails(route, id="unknown").kind == "not_found"
    assert fails(route, id="not configured").kind == "not_found"


def test_a_worker_that_is_not_there_yet(route: Route) -> None:
    route.plane(cold_ms=600_000)
    before = route.jobs()["cancelled"]
    begun = time.monotonic()
    failed = fails(route, TimeLimits(1, 1, 8))
    assert (failed.kind, failed.produced) == ("timeout", False)
    assert time.monotonic() - begun < 5
    assert failed.usage.gpu_seconds == 0
    assert route.jobs()["cancelled"] == before + 1


def test_a_worker_that_wakes_up_in_time(route: Route) -> None:
    route.plane(cold_ms=1200)
    begun = time.monotonic()
    assert text(list(stream(route))) == FACT
    assert time.monotonic() - begun > 1.2


@pytest.mark.parametrize(
    ("fault", "kind"),
    [("500", "server"), ("429", "rate_limited"), ("garbage", "server"), ("401", "unauthorized")],
)
def test_a_failed_job_is_a_200_with_an_error(route: Route, fault: str, kind: FaultKind) -> None:
    route.model(fault=fault)
    before = route.jobs()["failed"]
    failed = fails(route)
    assert (failed.kind, failed.produced) == (kind, False)
    assert failed.usage.output == 0
    assert route.jobs()["failed"] == before + 1


def test_a_model_server_that_breaks_off(route: Route) -> None:
    route.model(fault="cut", pace_ms=30)
    failed = fails(route)
    assert failed.produced
    assert failed.usage.output > 0
    assert failed.usage.gpu_seconds > 0


def test_a_gateway_that_breaks_off_in_the_middle(route: Route) -> None:
    route.model(pace_ms=300)
    pieces = stream(route)
    next(pieces)
    route.plane(fault="cut", on="stream")
    with pytest.raises(ProviderFault) as failed:
        list(pieces)
    assert (failed.value.kind, failed.value.produced) == ("cut", True)
    assert route.settled() == "disconnected"  # the job was cancelled


def test_runpods_own_limit_ends_a_job(route: Route) -> None:
    route.plane(execution_ms=1500)
    route.model(pace_ms=200)
    before = route.jobs()["timed_out"]
    failed = fails(route)
    assert (failed.kind, failed.produced) == ("timeout", True)
    assert 1.4 < failed.usage.gpu_seconds < 4
    assert route.jobs()["timed_out"] == before + 1
    assert route.settled() == "disconnected"


@pytest.mark.parametrize("fault", ["hang", "stall"])
def test_our_limits_end_a_job(route: Route, fault: str) -> None:
    route.model(fault=fault)
    begun = time.monotonic()
    failed = fails(route, TimeLimits(1, 1.2, 2))
    assert (failed.kind, failed.produced) == ("timeout", fault == "stall")
    assert time.monotonic() - begun < 5.5
    assert failed.usage.gpu_seconds > 0.5
    assert route.settled() == "disconnected"


@pytest.mark.parametrize("waiting", ["in the queue", "for a first token", "for the next token"])
def test_cancel_ends_the_job_and_the_model_stops(route: Route, waiting: str) -> None:
    if waiting == "in the queue":
        route.plane(cold_ms=600_000)
    else:
        route.model(fault="hang" if waiting == "for a first token" else None, pace_ms=250)
    before = route.jobs()["cancelled"]
    begun = time.monotonic()
    events: list[Event] = []

    def cancel() -> bool:
        return time.monotonic() - begun > 0.7 and (bool(events) or waiting != "for the next token")

    for event in stream(route, cancel=cancel):
        events.append(event)  # `cancel` looks at them meanwhile
    assert time.monotonic() - begun < 5
    assert end(events).reason == "cancelled"
    assert (end(events).usage.output > 0) == (waiting == "for the next token")
    assert route.jobs()["cancelled"] == before + 1
    if waiting != "in the queue":
        assert end(events).usage.gpu_seconds > 0
        assert route.settled() == "disconnected"


def test_a_closed_generator_cancels_its_job(route: Route) -> None:
    route.model(pace_ms=250)
    before = route.jobs()["cancelled"]
    pieces = stream(route)
    next(pieces)
    pieces.close()  # type: ignore[attr-defined]
    assert route.jobs()["cancelled"] == before + 1
    assert route.settled() == "disconnected"


def test_the_public_api_as_runpod_documents_it(route: Route) -> None:
    base = f"{route.stack.env['RUNPOD_BASE_URL']}/{PHI3}"

    def call(method: str, path: str, body: Any = None) -> Any:
        return requests.request(method, f"{base}{path}", json=body, headers=AUTH, timeout=20)

    assert call("POST", "/run", {"no": "input"}).status_code == 400
    assert call("GET", "/status/unknown").status_code == 404
    whole = call("POST", "/runsync", {"input": {"prompt": "hello", "max_tokens": 5}}).json()
    assert whole["status"] == "COMPLETED"
    assert whole["output"][-1]["finish_reason"] == "length"
    assert {"delayTime", "executionTime", "workerId", "id"} <= set(whole)
    failed = call("POST", "/runsync", {"input": {"messages": []}})
    assert (failed.status_code, failed.json()["status"]) == (200, "FAILED")
    assert json.loads(failed.json()["error"])["status"] == 400
    health = call("GET", "/health").json()
    assert health["workers"]["ready"] == 1
    assert set(health["jobs"]) == {"completed", "failed", "inProgress", "inQueue", "retried"}


def test_a_job_waits_for_the_first_worker(route: Route, tmp_path: Path) -> None:
    port = emulator.free_port()
    plane = runpod.start(port, ["fresh"], log=tmp_path / "plane.log")
    url = f"http://127.0.0.1:{port}"
    provider = RunPodProvider(f"{url}/v2", lambda: runpod.API_KEY, {"phi-3-mini": "fresh"})
    worker = None
    try:
        with pytest.raises(ProviderFault) as failed:
            list(provider.stream(policy(), PROMPT, TimeLimits(1, 0.8, 5), never))
        assert failed.value.kind == "timeout"
        worker = runpod.start_worker(url, "fresh", f"{route.stack.llm_url}/phi3/v1", log=tmp_path / "worker.log")
        assert text(list(provider.stream(policy(), PROMPT, TimeLimits(1, 30, 40), never))) == FACT
        assert not _children(worker.pid)
    finally:
        provider.close()
        for process in (worker, plane):
            if process is not None:
                emulator.stop(process, seconds=8)
    assert worker.returncode == 0  # it ended by itself


def _children(pid: int) -> list[str]:
    """Processes that a process has started: they would outlive it if it were killed."""
    started = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            command, _, rest = stat.read_text().rpartition(")")
            if int(rest.split()[1]) == pid:
                started.append(command)
    return started
