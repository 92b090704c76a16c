"""What goes into a model and what comes out, the same for every provider."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, Protocol, runtime_checkable

from noren.plans.models import ModelPolicy

Role = Literal["system", "user", "assistant"]
FaultKind = Literal[
    "timeout",
    "connection",
    "rate_limited",
    "out_of_quota",
    "unauthorized",
    "not_found",
    "rejected",
    "server",
    "garbage",
    "cut",
    "cancelled",
]


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """A finished prompt. `max_tokens` is the answer's bound that the admission has paid for."""

    messages: tuple[Message, ...]
    max_tokens: int
    temperature: float
    whole: bool = False
    """Nobody reads the answer piece by piece: a provider may wait for all of it."""


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """Tokens as the upstream counted them. `cached` is the part of `input` that was billed as cached."""

    input: int = 0
    output: int = 0
    cached: int = 0
    gpu_seconds: float = 0.0
    estimated: bool = False
    """True when the upstream gave no counts and ours are used."""


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of the answer, passed on as it arrives. Never an empty text."""

    text: str


@dataclass(frozen=True, slots=True)
class Finish:
    """The end of an answer: why, what it took, and the model's name as the upstream itself reported it."""

    reason: Literal["stop", "length", "content_filter", "cancelled"]
    usage: TokenUsage
    model: str


Event = Delta | Finish


class ProviderFault(Exception):
    """A provider did not answer as it should. `produced` says whether any Delta had been passed on before.

    `usage` is what the upstream is known (or reckoned) to have billed for the failed call.
    """

    def __init__(
        self,
        kind: FaultKind,
        detail: str,
        *,
        retry_after: float | None = None,
        produced: bool = False,
        usage: TokenUsage | None = None,
    ) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail
        self.retry_after = retry_after
        self.produced = produced
        self.usage = usage or TokenUsage()


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """Seconds. `total` counts from the call's start and ends inside the function's own limit."""

    connect: float = 3.0
    first_token: float = 20.0
    total: float = 100.0


class Cancel(Protocol):
    """Asked between events and while waiting: has the client gone, or was `cancel` called?"""

    def __call__(self) -> bool: ...


class Provider(Protocol):
    """One model service. `stream` yields Deltas, then exactly one Finish; it raises ProviderFault.

    Closing the generator (or `cancel()` turning true) ends the upstream call within seconds. A cancelled call yields
    Finish(reason="cancelled") with what was produced.
    """

    name: str

    def stream(self, policy: ModelPolicy, prompt: Prompt, limits: TimeLimits, cancel: Cancel) -> Iterator[Event]: ...


@dataclass(frozen=True, slots=True)
class Embedded:
    """The vectors of some texts, in their order, as the model gave them."""

    vectors: tuple[bytes, ...]
    """Each is `dimensions` float32 numbers, little-endian."""
    tokens: int
    """Billed for all of them together."""
    model: str
    """As the upstream itself reported it."""
    estimated: bool = False
    """The upstream gave no count and ours is used."""
    cost_usd: Decimal = Decimal(0)
    """What its calls cost, failed ones too; known once they are priced."""

    @property
    def dimensions(self) -> int:
        """Numbers of one vector: the same for all."""
        return len(self.vectors[0]) // 4


def numbers(vector: bytes) -> tuple[float, ...]:
    """The numbers of one of `Embedded.vectors`."""
    return struct.unpack(f"<{len(vector) // 4}f", vector)


@runtime_checkable
class Embedding(Protocol):
    """A provider that also makes vectors.

    `embed` gives one vector per text, all of one size (`dimensions`, where given); it raises ProviderFault, with
    `produced` where the upstream had taken the texts: then it has billed them and is not asked again.
    """

    name: str

    def embed(
        self, policy: ModelPolicy, texts: Sequence[str], dimensions: int | None, limits: TimeLimits
    ) -> Embedded: ...
