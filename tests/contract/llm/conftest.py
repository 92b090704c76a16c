"""The stand-in model server in its own process, and what a test asks of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from local import emulator, llm
from noren.llm.models import Message, Prompt
from noren.plans.models import ModelPolicy, ProviderName

FACT = "営業時間: 10:00〜19:00、ラストオーダーは18:30です。"
PROMPT = Prompt((Message("system", f"Be kind.\n<facts>\n{FACT}\n</facts>"), Message("user", "営業時間は?")), 100, 1.3)


@dataclass(frozen=True)
class StandIn:
    """The server's URL and its control endpoints."""

    url: str

    def set(self, endpoint: str = "*", **change: Any) -> None:
        requests.post(f"{self.url}/_control", json={"endpoint": endpoint, **change}, timeout=5).raise_for_status()

    def stats(self, endpoint: str) -> dict[str, Any]:
        stats: dict[str, Any] = requests.get(f"{self.url}/_stats", timeout=5).json()[endpoint]
        return stats


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = emulator.free_port()
    process = llm.start(port, log=Path(tmp_path_factory.mktemp("llm")) / "llm.log")
    yield f"http://127.0.0.1:{port}"
    emulator.stop(process)


@pytest.fixture
def standin(served: str) -> StandIn:
    """Healthy and quick at the start of each test."""
    ready = StandIn(served)
    ready.set(fault=None, pace_ms=2, first_ms=0)
    return ready


def policy(provider: ProviderName, model: str = "asked-for") -> ModelPolicy:
    return ModelPolicy(provider, provider, "chat", provider, model, "", frozenset(), "2026-11-01", 8192)
