"""Sites and the prompt profiles that they answer by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from noren.ids import TenantId

SiteStatus = Literal["active", "disabled", "deleted"]


@dataclass(frozen=True, slots=True)
class Site:
    """A place where a tenant's assistant answers. Every tenant has a default one."""

    site_id: str
    tenant_id: TenantId
    name: str
    prompt_profile: str
    """Id of its `Profile`."""
    created_at: float
    status: SiteStatus = "active"
    default_model: str = ""
    """Policy id of the model to use when a request names none; "" is the plan's default."""
    daily_quota: int | None = None
    """Requests a day, where it replaces the plan's number."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What an assistant is told before a question. Each save is a new version."""

    profile_id: str
    tenant_id: TenantId
    profile_name: str
    system_prompt: str = ""
    guardrail_prompt: str = ""
    greeting_message: str = ""
    facts: str = ""
    """What the assistant may rely on; goes into prompts as delimited data, never as instructions."""
    temperature: float = 0.7
    max_tokens: int = 1000
    version: int = 1
    updated_at: float = 0.0
    updated_by: str = ""
