"""RunPod Serverless: the job API over plain HTTP, with our own states and time limits.

`/run` queues a job, `/stream/{id}` hands out what our worker (`workers/runpod/handler.py`) has produced since the last
look, `/status/{id}` tells the end and the execution time that is billed, `/cancel/{id}` stops a job that is no longer
wanted. Where nobody reads piece by piece, `/runsync` queues the job and waits for a second: a quick answer is one call
then, a slower one is looked at like any other.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from noren.llm import tokens
from noren.llm.models import Cancel, Delta, Event, FaultKind, Finish, Prompt, ProviderFault, TimeLimits, TokenUsage
from noren.llm.providers import faults
from noren.llm.providers.http import new_pool
from noren.llm.providers.watch import SLACK, Watch
from noren.plans.models import ModelPolicy

if TYPE_CHECKING:
    from urllib3 import HTTPConnectionPool

FINAL = frozenset({"COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"})
STATES = FINAL | {"IN_QUEUE", "IN_PROGRESS"}

LOOK_FIRST, LOOK_LAST = 0.1, 0.4
"""Seconds from one look at a job to the next: at first, and when it has been looked at for a while. RunPod allows 2,000
looks in 10 s per endpoint, so that some 80 answers at once are read smoothly, and more with pauses."""
SYNC_SECONDS = 1
"""What `/runsync` waits: RunPod's least, since the job can be cancelled only when we have heard its id."""
SETTLE_SECONDS = 1.5
"""How long the execution time is waited for after the last piece."""
MISSES = 2
"""5xx answers in a row that looking at a job may meet."""
CALL_TIMEOUT = (2.0, 3.0)
"""Connect and read seconds of the small calls that end or settle a job."""
_REASONS: dict[str, Any] = {"length": "length", "content_filter": "content_filter"}


class RunPodProvider:
    """`endpoints` maps a policy's id to an endpoint id, for policies that name none themselves."""

    name = "runpod"

    def __init__(self, base_url: str, api_key: Callable[[], str], endpoints: Mapping[str, str]) -> None:
        self._base_url = base_url.rstrip("/")
        self._api_key = api_key
        self._endpoints = endpoints

    @cached_property
    def _pool(self) -> HTTPConnectionPool:
        return new_pool(self._base_url)

    def close(self) -> None:
        """Close the pooled connections."""
        if "_pool" in self.__dict__:
            self._pool.close()

    def stream(self, policy: ModelPolicy, prompt: Prompt, limits: TimeLimits, cancel: Cancel) -> Iterator[Event]:
        """See `llm.models.Provider`."""
        endpoint = policy.endpoint or self._endpoints.get(policy.id, "")
        if not endpoint:
            raise ProviderFault("not_found", f"no endpoint is set for {policy.id}")
        if not self._api_key():
            raise ProviderFault("unauthorized", "no key is set")
        _ = self._pool  # making it takes a while that is not the upstream's
        with Watch(limits, cancel) as watch:
            job = _Job(self, f"{urlsplit(self._base_url).path}/{endpoint}", policy, prompt, watch)
            try:
                yield from job.pieces()
                yield job.finish()
            except ProviderFault as fault:
                job.end()
                if watch.why == "cancelled":
                    yield Finish("cancelled", job.usage(), job.model)
                    return
                fault.produced = job.produced
                fault.usage = job.usage()
                raise watch.fault(fault) from fault
            finally:
                job.end()

    def call(self, method: str, path: str, *, timeout: tuple[float, float], body: Any = None) -> dict[str, Any]:
        """One HTTP call; its JSON object. Raises ProviderFault."""
        from urllib3 import Timeout
        from urllib3.exceptions import HTTPError, NewConnectionError
        from urllib3.exceptions import TimeoutError as TooLate

        headers = {"authorization": f"Bearer {self._api_key()}", "content-type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        limits = Timeout(connect=timeout[0], read=timeout[1])
        try:
            response = self._pool.request(method, path, body=data, headers=headers, timeout=limits)
        except (HTTPError, OSError) as error:
            late = isinstance(error, TooLate) and not isinstance(error, NewConnectionError)
            raise ProviderFault("timeout" if late else "connection", type(error).__name__) from error
        try:
            answer = json.loads(response.data)
        except ValueError as error:
            if response.status == 200:
                raise ProviderFault("garbage", "the answer is no JSON") from error
            answer = None
        if response.status != 200:
            raise faults.of_status(response.status, response.headers, answer)
        if not isinstance(answer, dict):
            raise ProviderFault("garbage", "the answer is no object")
        return answer


class _Job:
    """One job from its queueing to its end."""

    def __init__(self, provider: RunPodProvider, path: str, policy: ModelPolicy, prompt: Prompt, watch: Watch) -> None:
        self.model = policy.model
        self._provider, self._path, self._prompt, self._watch = provider, path, prompt, watch
        self._id = ""
        self._state = "IN_QUEUE"
        self._text: list[str] = []
        self._last: dict[str, Any] | None = None
        self._gpu_seconds: float | None = None
        self._began: float | None = None
        self._misses = 0
        self._ended = False

    @property
    def produced(self) -> bool:
        """Whether any text has arrived."""
        return bool(self._text)

    def pieces(self) -> Iterator[Event]:
        """The answer's pieces as they come; returns when the job says that it is over. Raises ProviderFault."""
        answer = self._run()
        if self._state in FINAL:
            yield from self._whole(answer)
            return
        interval = LOOK_FIRST
        while self._last is None:
            if self._watch.check():
                raise ProviderFault("timeout", f"ended while {self._state}")
            looked, was_silent = time.monotonic(), not self.produced
            news = self._look()
            for output in news:
                if text := self._take(output):
                    self._watch.produced()
                    yield Delta(text)
            if self._last is None:
                if not news and self._state in FINAL:
                    raise self._fault(self._status())
                interval = LOOK_FIRST if was_silent and self.produced else min(interval * 1.2, LOOK_LAST)
                self._watch.pause(looked + interval - time.monotonic())

    def finish(self) -> Finish:
        """The end of a complete answer, with the seconds that RunPod bills for it."""
        until = time.monotonic() + SETTLE_SECONDS
        pause = 0.02
        while self._gpu_seconds is None and time.monotonic() < until:
            try:
                self._note(self._status())
            except ProviderFault:
                break  # the answer is whole: our own clock serves
            if self._state in FINAL:
                break
            time.sleep(pause)
            pause = min(pause * 2, 0.2)
        assert self._last is not None
        return Finish(_REASONS.get(str(self._last.get("finish_reason")), "stop"), self.usage(), self.model)

    def end(self) -> None:
        """Stop the job if it may still run, and learn what it has cost. Never raises."""
        if not self._id or self._ended or self._last is not None or self._state in FINAL:
            return
        self._ended = True
        try:
            answer = self._provider.call("POST", f"{self._path}/cancel/{self._id}", timeout=CALL_TIMEOUT)
            self._note(answer)
            if self._gpu_seconds is None and self._began is not None:
                self._note(self._status())
        except ProviderFault:
            return  # it ends by its own execution limit

    def usage(self) -> TokenUsage:
        """The worker's counts, else ours; GPU seconds by RunPod, else by our clock from the job's start."""
        seconds = self._gpu_seconds
        if seconds is None:
            seconds = time.monotonic() - self._began if self._began is not None else 0.0
        counted = (self._last or {}).get("usage")
        if isinstance(counted, dict):
            return TokenUsage(_int(counted, "prompt_tokens"), _int(counted, "completion_tokens"), gpu_seconds=seconds)
        if not self.produced:
            return TokenUsage(gpu_seconds=seconds)
        output = tokens.estimate("".join(self._text))
        return TokenUsage(tokens.prompt_tokens(self._prompt.messages), output, gpu_seconds=seconds, estimated=True)

    def _run(self) -> dict[str, Any]:
        limits, prompt = self._watch.limits, self._prompt
        millis = int(limits.total * 1000)
        body = {
            "input": {
                "messages": [{"role": message.role, "content": message.content} for message in prompt.messages],
                "max_tokens": prompt.max_tokens,
                "temperature": prompt.temperature,
                "model": self.model,
            },
            # A job whose asker is gone ends by itself. RunPod takes no less than these.
            "policy": {"executionTimeout": max(millis, 5_000), "ttl": max(millis, 10_000)},
        }
        if prompt.whole:
            # Not the watch's to end: cut short, it would leave a job that nobody knows.
            path, timeout = f"{self._path}/runsync?wait={SYNC_SECONDS * 1000}", (limits.connect, SYNC_SECONDS + SLACK)
            answer = self._provider.call("POST", path, body=body, timeout=timeout)
        else:
            answer = self._call("POST", "run", body)
        if not isinstance(answer.get("id"), str) or not answer["id"]:
            raise ProviderFault("garbage", "the job has no id")
        self._id = answer["id"]
        self._note(answer)
        return answer

    def _whole(self, answer: dict[str, Any]) -> Iterator[Event]:
        """The pieces of a job that was over when we first heard of it."""
        outputs = answer.get("output") if self._state == "COMPLETED" else []
        if not isinstance(outputs, list):
            raise ProviderFault("garbage", "the output is no list")
        pieces = [text for output in outputs if (text := self._take(output))]
        if len(pieces) <= self._prompt.max_tokens:  # else piece by piece, so that the bound can cut them off
            pieces = ["".join(pieces)] if pieces else []
        for text in pieces:
            self._watch.produced()
            yield Delta(text)
        if self._last is None:
            raise self._fault(answer)

    def _look(self) -> list[Any]:
        try:
            answer = self._call("GET", f"stream/{self._id}")
        except ProviderFault as fault:
            # Too many looks, or a gateway's hiccup: the job itself goes on. (A lost connection may have lost text.)
            self._misses += 1
            if fault.kind != "rate_limited" and (fault.kind != "server" or self._misses > MISSES):
                raise self._lost(fault) from fault
            self._watch.pause(min(fault.retry_after or 0.5, 5.0))
            return []
        self._misses = 0
        self._note(answer)
        chunks = answer.get("stream", [])
        if not isinstance(chunks, list) or not all(isinstance(chunk, dict) for chunk in chunks):
            raise ProviderFault("garbage", "the stream is no list of objects")
        return [chunk.get("output") for chunk in chunks]

    def _take(self, output: Any) -> str:
        match output:
            case {"delta": str(text)}:
                self._text.append(text)
                return text
            case {"finish_reason": str(), "model": str(model)}:
                self._last, self.model = output, model
                return ""
            case {"error": error}:
                raise _fault_of(error)
        raise ProviderFault("garbage", "a piece of unknown form")

    def _call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        limits, watch = self._watch.limits, self._watch
        timeout = (limits.connect, max(1.0, limits.total - watch.elapsed) + SLACK)
        return watch.bound(lambda: self._provider.call(method, f"{self._path}/{path}", body=body, timeout=timeout))

    def _status(self) -> dict[str, Any]:
        return self._provider.call("GET", f"{self._path}/status/{self._id}", timeout=CALL_TIMEOUT)

    def _note(self, answer: dict[str, Any]) -> None:
        state = answer.get("status")
        if state not in STATES:
            raise ProviderFault("garbage", "an unknown job state")
        self._state = state
        if (
            state != "IN_QUEUE"
            and self._began is None
            and (state in ("IN_PROGRESS", "COMPLETED") or "executionTime" in answer)
        ):
            self._began = time.monotonic()
        if isinstance(answer.get("executionTime"), int | float):
            self._gpu_seconds = max(0.0, answer["executionTime"] / 1000)

    def _fault(self, answer: dict[str, Any]) -> ProviderFault:
        """What a job means that is over without having said so in its stream."""
        self._note(answer)
        match self._state:
            case "FAILED":
                return _fault_of(answer.get("error"))
            case "TIMED_OUT":
                return ProviderFault("timeout", "RunPod's limit ended the job")
            case "CANCELLED":
                return ProviderFault("cut", "the job was cancelled by somebody else")
        return ProviderFault("cut" if self.produced else "garbage", "the job ended without its last piece")

    def _lost(self, fault: ProviderFault) -> ProviderFault:
        """A look that failed after text had come is a cut answer, whatever the reason."""
        kind: FaultKind = "cut" if self.produced and fault.kind == "connection" else fault.kind
        return ProviderFault(kind, fault.detail, retry_after=fault.retry_after)


def _fault_of(error: Any) -> ProviderFault:
    """A failed job's error. Our worker writes `{"status": …, "code": …}`; others and crashes write what they like."""
    if isinstance(error, str):
        try:
            error = json.loads(error)
        except ValueError:
            error = None
    if isinstance(error, dict) and isinstance(error.get("status"), int):
        return faults.of_status(error["status"], {}, error)
    return ProviderFault("server", "the job failed")


def _int(counts: dict[str, Any], name: str) -> int:
    value = counts.get(name)
    return max(0, value) if isinstance(value, int) else 0
