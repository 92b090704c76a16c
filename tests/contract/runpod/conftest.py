"""The whole RunPod route in processes of its own: model server, control plane, our handler under the real SDK."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from local import llm
from local.models import MISTRAL, PHI3, ModelStack
from noren.llm.providers.runpod import RunPodProvider


@dataclass(frozen=True)
class Route:
    """What a test drives and looks at."""

    stack: ModelStack
    provider: RunPodProvider

    def plane(self, **change: Any) -> None:
        """Set something on the control plane's Phi-3 endpoint."""
        url = f"{self.stack.runpod_url}/_control"
        requests.post(url, json={"endpoint": PHI3, **change}, timeout=5).raise_for_status()

    def model(self, **change: Any) -> None:
        """Set something on the model server behind it."""
        url = f"{self.stack.llm_url}/_control"
        requests.post(url, json={"endpoint": "phi3", **change}, timeout=5).raise_for_status()

    def jobs(self) -> dict[str, Any]:
        stats: dict[str, Any] = requests.get(f"{self.stack.runpod_url}/_stats", timeout=5).json()[PHI3]
        return stats

    def upstream(self) -> dict[str, Any]:
        stats: dict[str, Any] = requests.get(f"{self.stack.llm_url}/_stats", timeout=5).json()["phi3"]
        return stats

    def settled(self, seconds: float = 8) -> str:
        """How the model server saw the last call end."""
        until = time.monotonic() + seconds
        while (seen := self.upstream()["log"][-1])["outcome"] == "open" and time.monotonic() < until:
            time.sleep(0.05)
        return str(seen["outcome"])


@pytest.fixture
def route(stack: ModelStack) -> Iterator[Route]:
    """Everything well at the start of each test."""
    endpoints = {"phi-3-mini": PHI3, "mistral-7b": MISTRAL, "unknown": "nobody"}
    provider = RunPodProvider(stack.env["RUNPOD_BASE_URL"], lambda: llm.API_KEY, endpoints)
    ready = Route(stack, provider)
    ready.plane(fault=None, cold_ms=0, execution_ms=600_000)
    ready.model(fault=None, pace_ms=5, first_ms=0)
    yield ready
    provider.close()
