"""Model services: one file each, one protocol (`llm.models.Provider`)."""

from __future__ import annotations

from collections.abc import Callable

from noren.llm.models import Provider
from noren.llm.providers.anthropic import AnthropicProvider
from noren.llm.providers.offline import OfflineProvider
from noren.llm.providers.openai import OpenAIProvider
from noren.llm.providers.runpod import RunPodProvider
from noren.secrets import ProviderKey
from noren.settings import Settings


def build(settings: Settings, key: Callable[[ProviderKey], str]) -> dict[str, Provider]:
    """Every provider by its name. `key(name)` gives a secret of `provider_secret_arn` ("" if unset), when needed."""
    endpoints = {"phi-3-mini": settings.runpod_phi3_endpoint, "mistral-7b": settings.runpod_mistral_endpoint}
    return {
        "runpod": RunPodProvider(settings.runpod_base_url, lambda: key("runpod_api_key"), endpoints),
        "openai": OpenAIProvider(settings.openai_base_url, lambda: key("openai_api_key")),
        "anthropic": AnthropicProvider(settings.anthropic_base_url, lambda: key("anthropic_api_key")),
        "local_llm": OpenAIProvider(settings.local_llm_base_url, lambda: key("local_llm_api_key"), name="local_llm"),
        "offline": OfflineProvider(),
    }
