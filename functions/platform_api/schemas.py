"""What the platform API takes and gives. Bodies are strict: unknown members and wrong types are refused."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from noren.edge.paging import PageQuery
from noren.plans.models import ProviderName, Tier
from noren.tenants.models import Scope, Stop

RoleName = Literal["viewer", "editor", "admin", "owner"]
CurrencyName = Literal["JPY", "KRW", "USD"]
LocaleName = Literal["ja", "ko", "en"]

_EMAIL = re.compile(r"[^@\s<>\"',;:()\\]{1,64}@[a-z0-9.-]{1,180}\.[a-z]{2,24}\Z", re.IGNORECASE)
_DECIMAL = re.compile(r"\d{1,9}(\.\d{1,12})?\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]")


def _email(text: str) -> str:
    if not _EMAIL.match(text):
        raise ValueError("this is no e-mail address")
    return text.lower()


def _line(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("control characters are not allowed")
    return text


def _decimal(value: Any) -> Any:
    if isinstance(value, Decimal):
        return value
    if isinstance(value, bool) or not _DECIMAL.match(str(value) if isinstance(value, (str, int)) else ""):
        raise ValueError('write it as a string with up to twelve decimals, like "0.00025"')
    return Decimal(str(value))


Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100), AfterValidator(_line)]
Email = Annotated[str, StringConstraints(max_length=254), AfterValidator(_email)]
Amount = Annotated[Decimal, BeforeValidator(_decimal)]
Day = Annotated[str, StringConstraints(pattern=r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_.-]{0,62}$")]
Count = Annotated[int, Field(ge=0, le=10**12)]


class Body(BaseModel):
    """Base of what callers send."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Answer(BaseModel):
    """Base of what we send."""

    model_config = ConfigDict(from_attributes=True)


# The caller


class UserOut(Answer):
    """The signed-in person."""

    user_id: str
    email: str
    is_platform_admin: bool


class MembershipOut(Answer):
    """A tenant that the person belongs to."""

    tenant_id: str
    name: str
    role: RoleName


class Left(Answer):
    """What is used and left of one limit. `resets_at` is null where nothing resets."""

    used: int
    limit: int
    remaining: int
    resets_at: str | None = None


class LimitsOut(Answer):
    """The tenant's limits: its plan's with its overrides."""

    chats_per_month: int
    embedding_tokens_per_month: int
    requests_per_day_per_site: int
    concurrent_chats: int
    requests_per_minute: int
    max_tokens: int
    sites: int
    members: int
    free_credits_per_month: int
    credits_per_overage_chat: int
    carry_over_cap: int
    voice_minutes: int
    concurrent_calls: int
    trial_days: int


class TenantOut(Answer):
    """A tenant as its members see it."""

    tenant_id: str
    name: str
    plan: str
    plan_status: str
    timezone: str
    currency: CurrencyName
    locale: LocaleName
    billing_email: str
    default_site_id: str
    stop_mode: Stop | None
    created_at: str


class RemainingOut(Answer):
    """What is left of each limit now; `requests_today` is that of the default site."""

    chats: Left
    embedding_tokens: Left
    requests_today: Left
    concurrent_chats: Left
    members: Left


class ModelOut(Answer):
    """A model that the plan allows."""

    id: str
    name: str
    is_default: bool


class MeOut(Answer):
    """What a front end needs to decide where to send a message. `user` is null for an API key."""

    user: UserOut | None
    role: RoleName | None
    memberships: list[MembershipOut]
    tenant: TenantOut | None
    plan: str | None
    tier: Tier | None
    limits: LimitsOut | None
    remaining: RemainingOut | None
    models: list[ModelOut]
    stop_mode: Stop | None
    inference_url: str


# The tenant


class TenantPatch(Body):
    """Members left out stay as they are. `billing_email` and `currency` are the owner's."""

    name: Line | None = None
    timezone: Annotated[str, StringConstraints(max_length=64, pattern=r"^[A-Za-z0-9_+/-]+$")] | None = None
    locale: LocaleName | None = None
    billing_email: Email | None = None
    currency: CurrencyName | None = None


class MemberOut(Answer):
    """A member of the team."""

    user_id: str
    email: str
    role: RoleName
    created_at: str


class RolePatch(Body):
    """A member's new role."""

    role: RoleName


class InvitationIn(Body):
    """Whom to invite as what."""

    email: Email
    role: RoleName = "viewer"


class InvitationOut(Answer):
    """An invitation; its link went by mail only."""

    invitation_id: str
    email: str
    role: RoleName
    status: Literal["open", "accepted", "revoked", "expired"]
    created_at: str
    created_by: str
    expires_at: str


class AcceptIn(Body):
    """The token of an invitation's link."""

    token: Annotated[str, StringConstraints(min_length=20, max_length=200)]


class AcceptOut(Answer):
    """The tenant joined."""

    tenant_id: str
    role: RoleName


class KeyIn(Body):
    """A new API key."""

    name: Line
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=4)]
    expires_in_days: Annotated[int, Field(ge=1, le=3650)] | None = None


class KeyOut(Answer):
    """An API key without its secret."""

    key_id: str
    name: str
    prefix: str
    scopes: list[Scope]
    created_at: str
    created_by: str
    expires_at: str | None
    revoked_at: str | None
    last_used_at: str | None


class KeyMade(KeyOut):
    """A new API key. `secret` is shown this once; a replay of the request leaves it null."""

    secret: str | None


class KeysQuery(PageQuery):
    """`prefix` searches by the visible beginning of keys."""

    prefix: Annotated[str, StringConstraints(max_length=60)] | None = None


# Usage


class CallOut(Answer):
    """One model call of a request."""

    purpose: str
    provider: str
    model: str
    policy_id: str
    price_version: str
    status: str
    tokens_input: int
    tokens_output: int
    tokens_cached: int
    tokens_embedding: int
    gpu_seconds: Decimal
    estimated: bool
    cost_usd: Decimal
    first_token_ms: int | None
    total_ms: int


class UsageRecordOut(Answer):
    """What one request used."""

    request_id: str
    site_id: str
    occurred_at: str
    source: str
    status: str
    error_code: str
    caller: str
    session_key: str
    tier: str
    route_reason: str
    provider: str
    model: str
    chats: int
    credits: int
    tokens_input: int
    tokens_output: int
    tokens_cached: int
    tokens_embedding: int
    admission_ms: int
    retrieval_ms: int
    first_token_ms: int | None
    total_ms: int
    cost_usd: Decimal
    cost_local: Decimal
    currency: str
    rate: Decimal
    prompt_profile: str
    prompt_version: int
    prompt_arm: str
    address_prefix: str
    user_agent: str
    trace_id: str
    calls: list[CallOut]


class RecordsQuery(PageQuery):
    """`site_id` picks one site."""

    site_id: Annotated[str, StringConstraints(max_length=80)] | None = None


# The catalogue


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
    input_usd: Decimal | None
    output_usd: Decimal | None
    cached_input_usd: Decimal | None
    gpu_second_usd: Decimal | None
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
    rate: Decimal
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
    """One part's health."""

    name: str
    ok: bool
    ms: int
    error: str | None = None


class HealthOut(Answer):
    """`status` is ok or degraded."""

    status: Literal["ok", "degraded"]
    checks: list[Check] = Field(default_factory=list)
