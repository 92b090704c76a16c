"""Working fakes: a provider that plays a script, a clock that only moves when told, a catalogue to route over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal

from noren.ids import TenantId
from noren.llm.models import Cancel, Delta, Event, Finish, Message, Prompt, ProviderFault, TimeLimits, TokenUsage
from noren.plans.models import Entitlement, ExchangeRate, Limits, ModelPolicy, Plan, ProviderName, Tier
from noren.usage.models import UsageRecord

Act = Event | ProviderFault | Callable[[], None]


class Clock:
    """Seconds that pass only by `sleep`."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Scripted:
    """Plays one script per call, the last one for ever. Acts that are callables are called (to let time pass)."""

    def __init__(self, *scripts: Sequence[Act], name: str = "scripted") -> None:
        self.name = name
        self.scripts = list(scripts)
        self.calls: list[tuple[ModelPolicy, Prompt, TimeLimits]] = []
        self.closed = 0
        self.kept: list[Iterator[Event]] = []
        """Every stream handed out: none may be closed by the garbage collector instead of the caller."""

    def stream(self, policy: ModelPolicy, prompt: Prompt, limits: TimeLimits, cancel: Cancel) -> Iterator[Event]:
        self.kept.append(self._play(policy, prompt, limits, cancel))
        return self.kept[-1]

    def _play(self, policy: ModelPolicy, prompt: Prompt, limits: TimeLimits, cancel: Cancel) -> Iterator[Event]:
        script = self.scripts[min(len(self.calls), len(self.scripts) - 1)]
        self.calls.append((policy, prompt, limits))
        sent: list[str] = []
        try:
            for act in script:
                if cancel():
                    yield Finish("cancelled", TokenUsage(10, len(sent), estimated=True), "up")
                    return
                if isinstance(act, ProviderFault):
                    raise act
                if isinstance(act, Delta | Finish):
                    sent += [act.text] if isinstance(act, Delta) else []
                    yield act
                else:
                    act()
        finally:
            self.closed += 1


def says(*words: str, model: str = "reported-1", usage: TokenUsage | None = None) -> list[Act]:
    """A script of a whole answer."""
    end = Finish("stop", usage or TokenUsage(100, len(words)), model)
    return [*(Delta(word) for word in words), end]


def policy(
    id: str,
    provider: ProviderName = "runpod",
    plans: str = "free starter enterprise",
    *,
    is_default: bool = True,
    window: int = 8192,
) -> ModelPolicy:
    ours = provider == "runpod"
    return ModelPolicy(
        id=id,
        name=id.title(),
        type="chat",
        provider=provider,
        model=f"vendor/{id}",
        endpoint="",
        plans=frozenset(plans.split()),
        effective_date="2026-11-01",
        context_window=window,
        input_usd=None if ours else Decimal("0.002"),
        output_usd=None if ours else Decimal("0.01"),
        cached_input_usd=None if ours else Decimal("0.0002"),
        gpu_second_usd=Decimal("0.00019") if ours else None,
        is_default=is_default,
    )


PHI3 = policy("phi-3-mini")
MISTRAL = policy("mistral-7b", plans="starter enterprise")
CLAUDE = policy("claude", "anthropic", "enterprise")
GPT = policy("gpt", "openai", "enterprise", is_default=False)
_LIMITS = Limits(100, 0, 100, 2, 60, 512, 1, 2)


def entitlement(tier: Tier, *models: ModelPolicy) -> Entitlement:
    plan = {"free": "free", "paid": "starter", "vip": "enterprise"}[tier]
    row = Plan(plan, (), tier, {"JPY": 0}, _LIMITS, "", "none", "2026-11-01")
    known = models or tuple(each for each in (GPT, PHI3, CLAUDE, MISTRAL) if plan in each.plans)
    return Entitlement(row, _LIMITS, known, ExchangeRate("JPY", Decimal("150"), "2026-11-01"))


def prompt(question: str = "Hours?", max_tokens: int = 50) -> Prompt:
    return Prompt((Message("system", "<facts>\nOpen 9-18.\n</facts>"), Message("user", question)), max_tokens, 0.7)


def record(now: float = 1_800_000_000.0) -> UsageRecord:
    return UsageRecord("req_1", TenantId("ten_1"), "site_1", now)


def never() -> bool:
    return False
