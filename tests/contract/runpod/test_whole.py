"""Answers that nobody reads piece by piece: `/runsync`, and looking at the job where it takes longer."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from noren.llm.models import Event, ProviderFault, TimeLimits
from tests.contract.runpod.conftest import Route
from tests.contract.runpod.test_route import FACT, LIMITS, PROMPT, end, never, policy, text

WHOLE = replace(PROMPT, whole=True)


def answer(route: Route, limits: TimeLimits = LIMITS, cancel: Callable[[], bool] = never) -> list[Event]:
    return list(route.provider.stream(policy(), WHOLE, limits, cancel))


def test_a_quick_answer_is_one_call(route: Route) -> None:
    before = route.jobs()["looks"]
    events = answer(route)
    after = route.jobs()["looks"]
    assert text(events) == FACT
    finish, upstream = end(events), route.upstream()
    assert (finish.reason, finish.model) == ("stop", upstream["model"])
    assert (finish.usage.output, finish.usage.estimated) == (upstream["log"][-1]["tokens"], False)
    assert 0.05 < finish.usage.gpu_seconds < 3
    assert {name: after.get(name, 0) - before.get(name, 0) for name in ("run", "stream", "status", "cancel")} == {
        "run": 1,
        "stream": 0,
        "status": 0,
        "cancel": 0,
    }


def test_a_slow_answer_is_looked_at_until_it_is_whole(route: Route) -> None:
    route.model(pace_ms=80)
    before = route.jobs()["jobs"]
    events = answer(route)
    assert text(events) == FACT
    assert end(events).usage.gpu_seconds > 1
    assert route.jobs()["jobs"] == before + 1


def test_a_job_that_failed_meanwhile(route: Route) -> None:
    route.model(fault="500")
    with pytest.raises(ProviderFault) as failed:
        answer(route)
    assert (failed.value.kind, failed.value.produced) == ("server", False)


@pytest.mark.parametrize("waiting", ["in the queue", "for a first token"])
def test_cancel_and_limits_end_the_job(route: Route, waiting: str) -> None:
    if waiting == "in the queue":
        route.plane(cold_ms=600_000)
    else:
        route.model(fault="hang")
    before, begun = route.jobs()["cancelled"], time.monotonic()
    events = answer(route, cancel=lambda: time.monotonic() - begun > 0.5)
    assert end(events).reason == "cancelled"
    assert time.monotonic() - begun < 2.5
    with pytest.raises(ProviderFault) as failed:
        answer(route, TimeLimits(1, 1.2, 2))
    assert failed.value.kind == "timeout"
    assert route.jobs()["cancelled"] == before + 2
