"""What the platform API takes and gives. Bodies are strict: unknown members and wrong types are refused."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from noren.edge.numbers import PlainDecimal
from noren.edge.paging import PageQuery
from noren.plans.models import Tier
from noren.tenants.models import Scope, Stop

RoleName = Literal["viewer", "editor", "admin", "owner"]
CurrencyName = Literal["JPY", "KRW", "USD"]
LocaleName = Literal["ja", "ko", "en"]

_EMAIL = re.compile(r"[^@\s<>\"',;:()\\]{1,64}@[a-z0-9.-]{1,180}\.[a-z]{2,24}\Z", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]")


def _email(text: str) -> str:
    if not _EMAIL.match(text):
        raise ValueError("this is no e-mail address")
    return text.lower()


def _line(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("control characters are not allowed")
    return text


Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100), AfterValidator(_line)]
Email = Annotated[str, StringConstraints(max_length=254), AfterValidator(_email)]


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
    active: bool
    """False: the plan has no seat for them now."""


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
    pages_per_site: int
    """Pages of the web that a site may be trained on."""


class TenantOut(Answer):
    """A tenant as its members see it."""

    tenant_id: str
    name: str
    plan: str
    plan_status: str
    grace_until: str | None
    """While past due: until when the plan goes on."""
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
    credits: int
    """Spendable now; `GET /api/v1/credits/balance` says more."""
    members: Left
    sites: Left
    """Deleted ones are not counted."""


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
    active: bool
    """False: the plan has no seat for them now, so that they have no access."""
    created_at: str


class MemberPatch(Body):
    """A member's new role; whether they have one of the plan's seats, where there are fewer than members."""

    role: RoleName | None = None
    active: bool | None = None

    @model_validator(mode="after")
    def _something(self) -> MemberPatch:
        if self.role is None and self.active is None:
            raise ValueError("give role, active or both")
        return self


class RolePatch(Body):
    """The role that an invitation offers."""

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


class KeyPatch(Body):
    """What changes; members left out stay. `expires_in_days` counts from now."""

    name: Line | None = None
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=4)] | None = None
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
    gpu_seconds: PlainDecimal
    estimated: bool
    cost_usd: PlainDecimal
    first_token_ms: int | None
    total_ms: int


class UsageRecordOut(Answer):
    """What one request used."""

    request_id: str
    site_id: str
    occurred_at: str
    source: str
    function: str
    decision: str
    late: bool
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
    cost_usd: PlainDecimal
    cost_local: PlainDecimal
    currency: str
    rate: PlainDecimal
    prompt_profile: str
    prompt_version: int
    experiment_id: str
    prompt_arm: str
    address_prefix: str
    user_agent: str
    trace_id: str
    calls: list[CallOut]


class RecordsQuery(PageQuery):
    """`site_id` picks one site."""

    site_id: Annotated[str, StringConstraints(max_length=80)] | None = None
