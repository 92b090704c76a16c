"""The catalogue: plans for everybody; plans, model policies and exchange rates for the platform admin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TypeVar

from noren.edge.http import Access, Call, Route
from noren.edge.paging import Page, PageQuery, listed
from noren.errors import Unprocessable
from noren.plans.models import ExchangeRate, Limits, ModelPolicy, Plan
from platform_api import schemas_admin as a
from platform_api import views

ADMIN = Access(platform_admin=True)
R = TypeVar("R", Plan, ModelPolicy, ExchangeRate)


def public_plans(call: Call) -> a.PlansOut:
    """What anybody may compare and buy."""
    return a.PlansOut(items=[views.plan(each) for each in call.services.plans.public_plans()])


def list_plans(call: Call) -> Page[a.PlanVersionOut]:
    """Every version of every plan."""
    return listed(call, "/api/v1/admin/plans", call.services.plans.all_plans(), views.plan_version)


def put_plan(call: Call) -> a.PlanVersionOut:
    """A plan from a date on."""
    body: a.PlanIn = call.body
    plain = body.model_dump(exclude={"limits", "aliases"})
    plan = Plan(**plain, limits=Limits(**body.limits.model_dump()), aliases=tuple(body.aliases))
    return views.plan_version(call.services.plans.put_plan(plan, call.caller.principal))


def plan_before(call: Call) -> a.PlanVersionOut | None:
    """The version that the new one replaces or follows."""
    body: a.PlanIn = call.body
    before = _followed(call.services.plans.all_plans(), body.effective_date, lambda row: row.plan == body.plan)
    return views.plan_version(before) if before else None


def list_policies(call: Call) -> Page[a.PolicyOut]:
    """Every version of every model policy."""
    return listed(call, "/api/v1/admin/model-policies", call.services.plans.all_policies(), views.policy)


def put_policy(call: Call) -> a.PolicyOut:
    """A model with its price from a date on: tokens are priced, or GPU seconds are."""
    body: a.PolicyIn = call.body
    by_tokens = body.input_usd is not None and (body.output_usd is not None or body.type == "embedding")
    if by_tokens == (body.gpu_second_usd is not None):
        raise Unprocessable("Set either the token prices or gpu_second_usd.", code="price_missing")
    policy = ModelPolicy(**body.model_dump(exclude={"plans"}), plans=_plans(call, body.plans))
    return views.policy(call.services.plans.put_policy(policy, call.caller.principal))


def policy_before(call: Call) -> a.PolicyOut | None:
    """The version that the new one replaces or follows."""
    body: a.PolicyIn = call.body
    before = _followed(call.services.plans.all_policies(), body.effective_date, lambda row: row.id == body.id)
    return views.policy(before) if before else None


def switched_before(call: Call) -> a.PolicyOut:
    """The policy as it was."""
    return views.policy(call.services.plans.policy(call.params["policy_id"]))


def patch_policy(call: Call) -> a.PolicyOut:
    """Switch a model on or off, for whom, at once."""
    body: a.PolicyPatch = call.body
    changed = call.services.plans.switch_policy(
        call.params["policy_id"],
        call.caller.principal,
        enabled=body.enabled,
        is_default=body.is_default,
        plans=None if body.plans is None else _plans(call, body.plans),
        name=body.name,
    )
    return views.policy(changed)


def list_rates(call: Call) -> Page[a.RateOut]:
    """Every exchange rate there was."""
    return listed(
        call,
        "/api/v1/admin/exchange-rates",
        call.services.plans.all_rates(),
        lambda rate: a.RateOut.model_validate(asdict(rate)),
    )


def put_rate(call: Call) -> a.RateOut:
    """A rate from a date on."""
    body: a.RateIn = call.body
    if body.rate <= 0 or (body.currency == "USD" and body.rate != 1):
        raise Unprocessable("A rate is above zero, and a dollar is a dollar.", code="invalid_rate")
    rate = call.services.plans.put_rate(ExchangeRate(**body.model_dump()), call.caller.principal)
    return a.RateOut.model_validate(asdict(rate))


def rate_before(call: Call) -> a.RateOut | None:
    """The rate that the new one replaces or follows."""
    body: a.RateIn = call.body
    before = _followed(call.services.plans.all_rates(), body.effective_date, lambda row: row.currency == body.currency)
    return a.RateOut.model_validate(asdict(before)) if before else None


def _followed(rows: Sequence[R], day: str, same: Callable[[R], bool]) -> R | None:
    """Of versions, the newest first, the one in force on a day."""
    return next((row for row in rows if same(row) and row.effective_date <= day), None)


def _plans(call: Call, names: Sequence[str]) -> frozenset[str]:
    return frozenset(call.services.plans.resolve(name) for name in names)


ROUTES = (
    Route("GET", "/api/v1/plans", public_plans, Access(public=True), "The plans", answer=a.PlansOut),
    Route(
        "GET",
        "/api/v1/admin/plans",
        list_plans,
        ADMIN,
        "All versions of all plans",
        answer=Page[a.PlanVersionOut],
        query=PageQuery,
    ),
    Route(
        "POST",
        "/api/v1/admin/plans",
        put_plan,
        ADMIN,
        "Set a plan from a date on",
        a.PlanVersionOut,
        a.PlanIn,
        status=201,
        idempotent=True,
        before=plan_before,
    ),
    Route(
        "GET",
        "/api/v1/admin/model-policies",
        list_policies,
        ADMIN,
        "All versions of all model policies",
        answer=Page[a.PolicyOut],
        query=PageQuery,
    ),
    Route(
        "POST",
        "/api/v1/admin/model-policies",
        put_policy,
        ADMIN,
        "Set a model and its price from a date on",
        a.PolicyOut,
        a.PolicyIn,
        status=201,
        idempotent=True,
        before=policy_before,
    ),
    Route(
        "PATCH",
        "/api/v1/admin/model-policies/{policy_id}",
        patch_policy,
        ADMIN,
        "Switch a model on or off, and for whom",
        a.PolicyOut,
        a.PolicyPatch,
        before=switched_before,
    ),
    Route(
        "GET",
        "/api/v1/admin/exchange-rates",
        list_rates,
        ADMIN,
        "All exchange rates",
        answer=Page[a.RateOut],
        query=PageQuery,
    ),
    Route(
        "POST",
        "/api/v1/admin/exchange-rates",
        put_rate,
        ADMIN,
        "Set an exchange rate from a date on",
        a.RateOut,
        a.RateIn,
        status=201,
        idempotent=True,
        before=rate_before,
    ),
)
