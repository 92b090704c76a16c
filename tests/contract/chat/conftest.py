"""The chat application over real storage, real providers and every model service's stand-in."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
import requests

from local import llm
from local.models import MISTRAL, PHI3, ModelStack
from noren.llm import providers
from noren.llm.models import Provider
from noren.plans.models import ModelPolicy, ProviderName
from noren.settings import Settings
from tests.unit.chat.rig import policy


class Models:
    """The model services, and what a test does to them."""

    def __init__(self, stack: ModelStack) -> None:
        self.stack = stack
        settings = Settings(**{name.lower(): value for name, value in stack.env.items()})
        self.providers: dict[str, Provider] = providers.build(settings, lambda _: llm.API_KEY)
        run = secrets.token_hex(4)
        self.phi3 = self.model("phi-3-mini", "runpod", f"phi3-{run}", "free starter enterprise")
        self.mistral = self.model("mistral-7b", "runpod", f"mistral-{run}", "starter enterprise")
        self.claude = self.model("claude", "anthropic", f"claude-{run}", "enterprise")
        self.gpt = replace(self.model("gpt", "openai", f"gpt-{run}", "enterprise"), is_default=False)

    def model(self, id: str, provider: ProviderName, model: str, plans: str) -> ModelPolicy:
        """A policy whose health no other test has touched."""
        gpu_second = Decimal("0.0002") if provider == "runpod" else None
        return replace(
            policy("free"),
            id=id,
            provider=provider,
            model=model,
            plans=frozenset(plans.split()),
            gpu_second_usd=gpu_second,
        )

    def plane(self, endpoint: str = PHI3, **change: Any) -> None:
        """Set something on RunPod's control plane."""
        self._control(self.stack.runpod_url, endpoint, change)

    def served(self, endpoint: str = "phi3", **change: Any) -> None:
        """Set something on the model server behind a worker, or on a vendor's."""
        self._control(self.stack.llm_url, endpoint, change)

    def calls(self, endpoint: str) -> int:
        """Calls that reached a model server's endpoint."""
        stats = requests.get(f"{self.stack.llm_url}/_stats", timeout=5).json()
        return int(stats[endpoint]["calls"])

    def open_jobs(self, endpoint: str = PHI3) -> int:
        """Jobs that RunPod would still run."""
        stats = requests.get(f"{self.stack.runpod_url}/_stats", timeout=5).json()[endpoint]
        return int(stats["in_queue"] + stats["in_progress"])

    def heal(self) -> None:
        """Everything is well."""
        self.plane("*", fault=None, cold_ms=0, execution_ms=600_000, ends=None)
        self.served("*", fault=None, pace_ms=5, first_ms=0)

    def _control(self, url: str, endpoint: str, change: dict[str, Any]) -> None:
        requests.post(f"{url}/_control", json={"endpoint": endpoint, **change}, timeout=5).raise_for_status()


@pytest.fixture
def models(stack: ModelStack) -> Iterator[Models]:
    """All well at the start and at the end of each test."""
    ready = Models(stack)
    ready.heal()
    yield ready
    ready.heal()
    for provider in ready.providers.values():
        if close := getattr(provider, "close", None):
            close()


__all__ = ["MISTRAL", "PHI3", "Models"]
