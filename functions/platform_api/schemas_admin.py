"""The catalogue and the platform admin's part of the API."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from noren.edge.numbers import PlainDecimal
from noren.edge.paging import PageQuery
from noren.plans.models import ProviderName, Tier
from noren.tenants.models import Stop
from platform_api.schemas import Answer, Body, CurrencyName, LimitsOut, Line, RemainingOut, TenantOut

_DECIMAL = re.compile(r"\d{1,9}(\.\d{1,12})?\Z", re.ASCII)


def _decimal(value: Any) -> Any:
    if isinstance(value, Decimal):
        return value
    if isinstance(value, bool) or not _DECIMAL.match(str(value) if isinstance(value, (str, int)) else ""):
        raise ValueError('write it as a string with up to twelve decimals, like "0.00025"')
    return Decimal(str(value))


def _day(text: str) -> str:
    date.fromisoformat(text)
    return text


Amount = Annotated[Decimal, BeforeValidator(_decimal)]
Day = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d{2}-\d{2}$"), AfterValidator(_day)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_.-]{0,62}$")]
Count = Annotated[int, Field(ge=0, le=10**12)]


class PlanOut(Answer):
    """A plan as anybody may see it. Prices are minor units for one month; JPY and KRW have no minor unit."""

    plan: str
    aliases: list[str]
    tier: Tier
    prices: dict[str, int]
    limits: LimitsOut
    embedding_model: str
    resync: str


class PlansOut(Answer):
    """The catalogue, the cheapest plan first."""

    items: list[PlanOut]


class PlanVersionOut(PlanOut):
    """A version of a plan."""

    effective_date: str
    public: bool
    enabled: bool


class LimitsIn(Body):
    """A plan's limits, all of them."""

    chats_per_month: Count
    embedding_tokens_per_month: Count
    requests_per_day_per_site: Count
    concurrent_chats: Annotated[int, Field(ge=0, le=1000)]
    requests_per_minute: Count
    max_tokens: Annotated[int, Field(ge=1, le=4096)]
    sites: Count
    members: Annotated[int, Field(ge=1, le=1000)]
    free_credits_per_month: Count = 0
    credits_per_overage_chat: Count = 2
    carry_over_cap: Count = 0
    voice_minutes: Count = 0
    concurrent_calls: Count = 0
    trial_days: Annotated[int, Field(ge=0, le=365)] = 0
    pages_per_site: Annotated[int, Field(ge=0, le=20_000)] = 200


class PricesIn(Body):
    """Minor units for one month, in every currency."""

    JPY: Count
    KRW: Count
    USD: Count


class PlanIn(Body):
    """A plan from a date on (UTC, today at the earliest)."""

    plan: Name
    aliases: Annotated[list[Line], Field(max_length=10)] = Field(default_factory=list)
    tier: Tier
    prices: PricesIn
    limits: LimitsIn
    embedding_model: Annotated[str, StringConstraints(max_length=63)] = ""
    resync: Literal["none", "monthly", "weekly", "daily"] = "none"
    effective_date: Day
    public: bool = True
    enabled: bool = True


class PolicyIn(Body):
    """A model with its price from a date on. Token prices in USD per 1,000 tokens, or `gpu_second_usd`."""

    id: Name
    name: Line
    type: Literal["chat", "embedding"]
    provider: ProviderName
    model: Line
    endpoint: Annotated[str, StringConstraints(max_length=63, pattern=r"^[A-Za-z0-9_-]*$")] = ""
    plans: Annotated[list[Name], Field(max_length=50)]
    effective_date: Day
    context_window: Annotated[int, Field(ge=512, le=10**7)]
    input_usd: Amount | None = None
    output_usd: Amount | None = None
    cached_input_usd: Amount | None = None
    gpu_second_usd: Amount | None = None
    is_default: bool = False
    enabled: bool = True


class PolicyPatch(Body):
    """What changes at once; a price needs a new version."""

    name: Line | None = None
    plans: Annotated[list[Name], Field(max_length=50)] | None = None
    is_default: bool | None = None
    enabled: bool | None = None


class PolicyOut(Answer):
    """A version of a model policy."""

    id: str
    name: str
    type: str
    provider: str
    model: str
    endpoint: str
    plans: list[str]
    effective_date: str
    context_window: int
    input_usd: PlainDecimal | None
    output_usd: PlainDecimal | None
    cached_input_usd: PlainDecimal | None
    gpu_second_usd: PlainDecimal | None
    is_default: bool
    enabled: bool


class RateIn(Body):
    """Units of `currency` per USD from a date on."""

    currency: CurrencyName
    rate: Amount
    effective_date: Day


class RateOut(Answer):
    """An exchange rate."""

    currency: str
    rate: PlainDecimal
    effective_date: str


# The platform admin's tenants


class TenantsQuery(PageQuery):
    """`q` looks into name, id and billing address; `plan` takes a name or alias."""

    q: Annotated[str, StringConstraints(max_length=100)] | None = None
    plan: Annotated[str, StringConstraints(max_length=63)] | None = None


class StopOut(Answer):
    """A stop in force."""

    cause: Stop
    reason: str
    at: str
    by: str


class AdminTenantOut(TenantOut):
    """A tenant as the platform admin sees it."""

    stops: list[StopOut]
    overrides: dict[str, int]


class AdminTenantDetail(AdminTenantOut):
    """The same with its limits and what is left of them."""

    limits: LimitsOut
    remaining: RemainingOut


class AdminTenantPatch(Body):
    """`overrides` replaces single limits; null gives the plan's limit back."""

    plan: Annotated[str, StringConstraints(min_length=1, max_length=63)] | None = None
    overrides: dict[str, Count | None] | None = None


class StopIn(Body):
    """A stop to set. `quota` stops are set by the ledger alone."""

    cause: Literal["security", "manual", "billing"]
    reason: Line


class Check(Answer):
    """One part's health, and what to do where the cause is known."""

    name: str
    ok: bool
    ms: int
    error: str | None = None
    remedy: str | None = None


class HealthOut(Answer):
    """`status` is ok or degraded."""

    status: Literal["ok", "degraded"]
    checks: list[Check] = Field(default_factory=list)
