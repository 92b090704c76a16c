"""One served endpoint: its reported model, its faults, what it has seen."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from noren.llm import answerer, tokens
from noren.llm.models import Message

Fault = Literal[
    "slow", "hang", "stall", "401", "429", "500", "quota", "cut", "error", "garbage", "overrun", "no_sampling"
]
FAULTS: tuple[Fault, ...] = get_args(Fault)
"""`slow` 0.4 s a token, `hang` no answer, `stall` one token and no more, `cut` a dropped connection halfway, `error` an
error event halfway, `overrun` no regard for the bound, `no_sampling` a refusal of `temperature`."""
SLOW_MS = 400.0
OVERRUN_TOKENS = 20_000


@dataclass(slots=True)
class Seen:
    """One call as this process saw it; times are epoch seconds."""

    at: float
    model: str
    max_tokens: int
    first_token_at: float | None = None
    last_token_at: float | None = None
    tokens: int = 0
    outcome: str = "open"


@dataclass(slots=True)
class Endpoint:
    """`model` is random for each start, so that nobody can know it who has not called."""

    name: str
    speaks: str
    pace_ms: float
    first_ms: float = 0.0
    fault: Fault | None = None
    times: int | None = None
    model: str = field(default_factory=lambda: f"offline-extractive-{secrets.token_hex(4)}")
    embedding_model: str = field(default_factory=lambda: f"offline-ngrams-{secrets.token_hex(4)}")
    calls: int = 0
    log: deque[Seen] = field(default_factory=lambda: deque(maxlen=1000))

    def begin(self, model: str, max_tokens: int) -> tuple[Seen, Fault | None]:
        """Count a call; the fault that it is to meet."""
        self.calls += 1
        seen = Seen(time.time(), model, max_tokens)
        self.log.append(seen)
        fault = self.fault
        if fault is not None and self.times is not None:
            self.times -= 1
            if self.times <= 0:
                self.fault = self.times = None
        return seen, fault

    def control(self, change: dict[str, Any]) -> None:
        """Take a `/_control` change. Raises ValueError for an unknown fault."""
        if "fault" in change:
            if change["fault"] is not None and change["fault"] not in FAULTS:
                raise ValueError(f"no such fault: {change['fault']}")
            self.fault, self.times = change["fault"], change.get("times")
        self.pace_ms = float(change.get("pace_ms", self.pace_ms))
        self.first_ms = float(change.get("first_ms", self.first_ms))

    def stats(self) -> dict[str, Any]:
        """For `/_stats`."""
        log = [asdict(seen) for seen in self.log]
        is_open = sum(seen.outcome == "open" for seen in self.log)
        models = {"model": self.model, "embedding_model": self.embedding_model}
        return {**models, "calls": self.calls, "open": is_open, "fault": self.fault, "log": log}


@dataclass(slots=True)
class Answer:
    """An answer to be emitted piece by piece."""

    endpoint: Endpoint
    seen: Seen
    fault: Fault | None
    pieces: list[str]
    reason: Literal["stop", "length"]
    prompt_tokens: int

    @classmethod
    def to(
        cls, endpoint: Endpoint, seen: Seen, fault: Fault | None, messages: Sequence[Message], max_tokens: int
    ) -> Answer:
        """Answer by the offline answerer, within `max_tokens` unless the fault is `overrun`."""
        whole = answerer.pieces(answerer.answer(messages))
        if fault == "overrun":
            whole = (whole * (OVERRUN_TOKENS // len(whole) + 1))[:OVERRUN_TOKENS]
            kept = whole
        else:
            kept = whole[:max_tokens]
        reason: Literal["stop", "length"] = "stop" if len(kept) == len(whole) else "length"
        return cls(endpoint, seen, fault, kept, reason, tokens.prompt_tokens(messages))

    async def emit(self) -> AsyncIterator[str]:
        """The pieces at the endpoint's pace. Raises Cut halfway where the fault says so."""
        pace = (SLOW_MS if self.fault == "slow" else self.endpoint.pace_ms) / 1000
        await asyncio.sleep(self.endpoint.first_ms / 1000)
        for number, piece in enumerate(self.pieces):
            if self.fault in ("cut", "error") and number >= max(1, len(self.pieces) // 2):
                raise Cut
            if self.fault == "stall" and number:
                await asyncio.Event().wait()
            await asyncio.sleep(pace)
            now = time.time()
            self.seen.first_token_at = self.seen.first_token_at or now
            self.seen.last_token_at = now
            self.seen.tokens += 1
            yield piece


class Cut(Exception):
    """The answer is to break off here."""
