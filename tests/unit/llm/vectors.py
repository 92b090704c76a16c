"""A working fake that makes vectors, and what a test needs beside it."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal

from noren.llm.models import Embedded, ProviderFault, TimeLimits
from noren.plans.models import ModelPolicy
from tests.unit.llm.scripted import policy

SMALL = replace(
    policy("embedding_3_small", "openai"),
    type="embedding",
    model="text-embedding-3-small",
    context_window=8_191,
    input_usd=Decimal("0.00002"),
    cached_input_usd=None,
    output_usd=Decimal(0),
)
LOCAL = replace(SMALL, id="local_llm", name="Own", provider="local_llm", model="default", input_usd=Decimal(0))


class Vectors:
    """Gives each text a vector of its length. Plays one fault a call, then none."""

    def __init__(self, *faults: ProviderFault | None, name: str = "openai") -> None:
        self.name = name
        self.faults = list(faults)
        self.calls: list[tuple[str, ...]] = []
        self.limits: list[TimeLimits] = []
        self.billed: Callable[[str], int] = len
        self.size = 3
        self.before: Callable[[], None] = lambda: None
        self._lock = threading.Lock()

    def embed(self, policy: ModelPolicy, texts: Sequence[str], dimensions: int | None, limits: TimeLimits) -> Embedded:
        """Meets `noren.llm.models.Embedding`."""
        with self._lock:
            self.calls.append(tuple(texts))
            self.limits.append(limits)
            fault = self.faults.pop(0) if self.faults else None
        self.before()
        if fault:
            raise fault
        size = dimensions or self.size
        rows = tuple(struct.pack(f"<{size}f", *([float(len(text))] * size)) for text in texts)
        return Embedded(rows, sum(map(self.billed, texts)), "reported-e1")
