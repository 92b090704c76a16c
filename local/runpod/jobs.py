"""Jobs and endpoints of the control plane: queue, states, limits, faults."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field
from typing import Any, Literal

State = Literal["IN_QUEUE", "IN_PROGRESS", "COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"]
FINAL = frozenset({"COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"})
STATES: tuple[State, ...] = ("IN_QUEUE", "IN_PROGRESS", "COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT")
EXECUTION_MS = 600_000
TTL_MS = 86_400_000
KEPT = 2000
"""Jobs remembered per endpoint."""
WORKER_SECONDS = 30
"""A worker that has not asked or pinged for so long is gone."""


@dataclass(eq=False, slots=True)
class Job:
    """One job. Times are epoch milliseconds."""

    id: str
    input: Any
    execution_ms: float
    ttl_ms: float
    queued_at: float = field(default_factory=lambda: _now())
    state: State = "IN_QUEUE"
    begun_at: float = 0.0
    ended_at: float = 0.0
    worker: str = ""
    output: Any = None
    error: Any = None
    chunks: list[Any] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def view(self) -> dict[str, Any]:
        """As `/status` shows it."""
        shown: dict[str, Any] = {"id": self.id, "status": self.state}
        if self.begun_at:
            shown |= {"delayTime": int(self.begun_at - self.queued_at), "workerId": self.worker}
            if self.state in FINAL:
                shown["executionTime"] = int(self.ended_at - self.begun_at)
        shown |= {name: value for name in ("output", "error") if (value := getattr(self, name)) is not None}
        return shown

    def end(self, state: State, *, output: Any = None, error: Any = None) -> bool:
        """Bring the job to its end; False if it had come to one before."""
        if self.state in FINAL:
            return False
        self.state, self.output, self.error, self.ended_at = state, output, error, _now()
        self.changed.set()
        return True


@dataclass(slots=True)
class Endpoint:
    """One serverless endpoint, with what a test may set on it."""

    name: str
    fault: str | None = None
    on: str | None = None
    times: int | None = None
    cold_ms: float = 0.0
    """A job is not handed to a worker before it has waited so long: a worker that has to boot."""
    execution_ms: float = EXECUTION_MS
    ends: State | None = None
    """Somebody else brings every job to this end when it has run for `ends_ms`."""
    ends_ms: float = 0.0
    jobs: OrderedDict[str, Job] = field(default_factory=OrderedDict)
    queue: deque[Job] = field(default_factory=deque)
    workers: dict[str, float] = field(default_factory=dict)
    to_stop: dict[str, list[str]] = field(default_factory=dict)
    made: int = 0
    looks: Counter[str] = field(default_factory=Counter)

    def add(self, body: dict[str, Any], kind: str) -> Job:
        """Queue a job."""
        policy = body.get("policy") or {}
        execution = min(float(policy.get("executionTimeout", EXECUTION_MS)), self.execution_ms)
        job = Job(f"{kind}-{secrets.token_hex(16)}-u1", body["input"], execution, float(policy.get("ttl", TTL_MS)))
        self.made += 1
        self.jobs[job.id] = job
        self.queue.append(job)
        while len(self.jobs) > KEPT:
            self.jobs.popitem(last=False)
        return job

    def take(self, worker: str, count: int) -> list[Job]:
        """Hand waiting jobs to a worker."""
        self.workers[worker] = time.time()
        taken: list[Job] = []
        while self.queue and len(taken) < count:
            job = self.queue[0]
            if job.state == "IN_QUEUE" and _now() - job.queued_at < self.cold_ms:
                break
            self.queue.popleft()
            if job.state == "IN_QUEUE":
                job.state, job.worker, job.begun_at = "IN_PROGRESS", worker, _now()
                job.changed.set()
                taken.append(job)
        return taken

    def stop(self, job: Job, state: State, error: str | None = None) -> None:
        """End a job from outside and tell its worker."""
        if job.end(state, error=error) and job.worker:
            self.to_stop.setdefault(job.worker, []).append(job.id)

    def enforce(self) -> None:
        """Apply the time limits."""
        now = _now()
        for job in self.jobs.values():
            if job.state == "IN_QUEUE" and now - job.queued_at > job.ttl_ms:
                self.stop(job, "TIMED_OUT", "job exceeded its time to live in the queue")
            elif job.state == "IN_PROGRESS" and now - job.begun_at > job.execution_ms:
                self.stop(job, "TIMED_OUT", "job exceeded its execution time")
            elif self.ends and job.state == "IN_PROGRESS" and now - job.begun_at > self.ends_ms:
                self.stop(job, self.ends)

    def meet(self, operation: str) -> str | None:
        """The fault that a call of `operation` is to meet."""
        self.looks[operation] += 1
        if self.fault is None or (self.on not in (None, operation)):
            return None
        fault = self.fault
        if self.times is not None:
            self.times -= 1
            if self.times <= 0:
                self.fault = self.on = self.times = None
        return fault

    def control(self, change: dict[str, Any]) -> None:
        """Take a `/_control` change."""
        if "fault" in change:
            self.fault, self.on, self.times = change["fault"], change.get("on"), change.get("times")
        self.cold_ms = float(change.get("cold_ms", self.cold_ms))
        self.execution_ms = float(change.get("execution_ms", self.execution_ms))
        self.ends = change.get("ends", self.ends)
        self.ends_ms = float(change.get("ends_ms", self.ends_ms))

    def stats(self) -> dict[str, Any]:
        """For `/_stats`."""
        states = Counter(job.state for job in self.jobs.values())
        counts = {state.lower(): states[state] for state in STATES}
        return {"jobs": self.made, **counts, "workers": self.alive(), "looks": dict(self.looks)}

    def health(self) -> dict[str, Any]:
        """As RunPod's `/health` shows it."""
        states = Counter(job.state for job in self.jobs.values())
        running = len({job.worker for job in self.jobs.values() if job.state == "IN_PROGRESS"})
        jobs = {"completed": states["COMPLETED"], "failed": states["FAILED"], "retried": 0}
        jobs |= {"inProgress": states["IN_PROGRESS"], "inQueue": states["IN_QUEUE"]}
        alive = self.alive()
        workers = {"idle": max(0, alive - running), "running": running, "ready": alive}
        return {"jobs": jobs, "workers": workers | {"initializing": 0, "throttled": 0, "unhealthy": 0}}

    def alive(self) -> int:
        """Workers heard of lately."""
        return sum(time.time() - seen < WORKER_SECONDS for seen in self.workers.values())


def _now() -> float:
    return time.time() * 1000
