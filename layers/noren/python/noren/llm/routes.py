"""Which models answer a request, in which order: the tier's chain over what the plan's policies allow."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from noren.errors import Busy, Forbidden
from noren.llm.models import Prompt
from noren.llm.tokens import prompt_tokens
from noren.plans.models import Entitlement, ExchangeRate, ModelPolicy, Tier

SELF_HOSTED = frozenset({"runpod", "local_llm", "offline"})
"""Providers that run open models for us; the others are the vendors whose models only VIPs get."""

MARGIN = 0.95
"""Share of a context window that is planned with: token counts are estimates."""
MIN_ANSWER = 128
"""Tokens of an answer below which a model with a small window is not worth asking."""


@dataclass(frozen=True, slots=True)
class Step:
    """One model of a route. `degraded`: a weaker one than the plan pays for, and the answer says so."""

    policy: ModelPolicy
    degraded: bool


@dataclass(frozen=True, slots=True)
class Route:
    """The models to try, the first choice first, and the rate that their costs are shown at."""

    tier: Tier
    steps: tuple[Step, ...]
    reason: Literal["default", "requested"]
    rate: ExchangeRate

    @property
    def policy(self) -> ModelPolicy:
        """The first choice."""
        return self.steps[0].policy

    @property
    def context_window(self) -> int:
        """Tokens of the first choice. For a fallback with a smaller window `fit` leaves out the oldest turns."""
        return self.policy.context_window


def plan_route(entitlement: Entitlement, model: str | None = None) -> Route:
    """The route of a plan, or of the model asked for (a policy's id, name or the provider's own name for it).

    A plan's own default is the default policy that the fewest plans share. Free routes have no fallback; paid ones fall
    back to weaker models of ours; VIP routes to the other vendors' models, then to the best of ours.
    Raises Forbidden (`model_not_in_plan`), or Busy where the catalogue offers the plan no model at all.
    """
    allowed = sorted((policy for policy in entitlement.models if policy.type == "chat" and policy.enabled), key=_rank)
    if not allowed:
        raise Busy("No model is set up for this plan", code="no_model", retry_after=60)
    chosen = allowed[0]
    if model:
        asked = (policy for policy in allowed if model in (policy.id, policy.name, policy.model))
        chosen = next(asked, None) or _refuse(model)
    steps = [Step(chosen, degraded=False)]
    steps += [Step(policy, _weaker(policy, chosen)) for policy in _fallbacks(entitlement.plan.tier, chosen, allowed)]
    return Route(entitlement.plan.tier, tuple(steps), "requested" if model else "default", entitlement.rate)


def fit(prompt: Prompt, window: int) -> Prompt | None:
    """The prompt within a context window: without its oldest turns, and with a shorter answer, if need be.

    None where the system message and the question leave no room for an answer.
    """
    room = int(window * MARGIN)
    messages = list(prompt.messages)
    first = next((i for i, each in enumerate(messages) if each.role != "system"), len(messages))
    while (left := room - prompt_tokens(messages)) < prompt.max_tokens and first < len(messages) - 1:
        del messages[first]
        while messages[first].role == "assistant" and first < len(messages) - 1:
            del messages[first]  # chat templates want a user to begin
    if left < min(MIN_ANSWER, prompt.max_tokens):
        return None
    return replace(prompt, messages=tuple(messages), max_tokens=min(prompt.max_tokens, left))


def _refuse(model: str) -> ModelPolicy:
    raise Forbidden(f"The plan does not include the model {model[:64]!r}", code="model_not_in_plan")


def _rank(policy: ModelPolicy) -> tuple[bool, int, str]:
    return not policy.is_default, len(policy.plans), policy.id


def _fallbacks(tier: Tier, chosen: ModelPolicy, allowed: list[ModelPolicy]) -> list[ModelPolicy]:
    ours = [each for each in allowed if each.provider in SELF_HOSTED and each.is_default and each.id != chosen.id]
    match tier:
        case "free":
            return []
        case "paid":
            return ours
    vendors: dict[str, ModelPolicy] = {}
    for each in allowed:
        if each.provider not in SELF_HOSTED and each.provider != chosen.provider:
            vendors.setdefault(each.provider, each)
    return [*vendors.values(), *ours[:1]]


def _weaker(policy: ModelPolicy, chosen: ModelPolicy) -> bool:
    return len(policy.plans) > len(chosen.plans)
