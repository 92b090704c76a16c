"""The platform admin: tenants, stops, health."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from noren.edge.http import Access, Call, Route
from noren.edge.paging import Page, paged
from noren.errors import NotFound
from noren.ids import TenantId
from noren.tenants.models import PLATFORM_TENANT, STOPS
from platform_api import schemas_admin as a
from platform_api import views

ADMIN = Access(platform_admin=True)


def health(call: Call) -> a.HealthOut:
    """Whether the API answers; nothing behind it is asked."""
    return a.HealthOut(status="ok")


def deep_health(call: Call) -> a.HealthOut:
    """Asks each part behind the API."""
    services = call.services

    def catalogue() -> None:
        if services.plans.missing():
            raise NotFound

    seed = f"Run `bin/noren seed --stage {services.settings.stage}`."
    checks = [
        _check("catalogue", catalogue, seed),
        _check("tenants", lambda: services.tenants.fresh(PLATFORM_TENANT), seed),
        _check("ledger", lambda: services.ledger.standing(PLATFORM_TENANT)),
        _check("usage", lambda: services.usage.records(PLATFORM_TENANT, None, 1, None)),
        _check("signing secret", lambda: services.signer.sign("health", {}, ttl=1)),
    ]
    return a.HealthOut(status="ok" if all(each.ok for each in checks) else "degraded", checks=checks)


def search_tenants(call: Call) -> Page[a.AdminTenantOut]:
    """All tenants, or those that fit."""
    query: a.TenantsQuery = call.query
    items, following = paged(
        call,
        "/api/v1/admin/tenants",
        lambda limit, at: call.services.tenants.search(query.q or "", query.plan or "", limit, at),
    )
    return Page(items=[views.admin_tenant(each) for each in items], next_cursor=following)


def get_tenant(call: Call) -> a.AdminTenantDetail:
    """One tenant with its limits."""
    return views.admin_detail(call.services.tenants.fresh(_tenant_id(call)), call.services)


def tenant_before(call: Call) -> a.AdminTenantOut:
    """The tenant as it was."""
    return views.admin_tenant(call.services.tenants.fresh(_tenant_id(call)))


def patch_tenant(call: Call) -> a.AdminTenantDetail:
    """Plan and overrides; limits follow at once."""
    body: a.AdminTenantPatch = call.body
    tenants, tenant_id, actor = call.services.tenants, _tenant_id(call), call.caller.principal
    tenant = tenants.fresh(tenant_id)
    plan = None if body.plan is None else call.services.plans.resolve(body.plan)  # refuse before anything is changed
    if body.overrides:
        tenant = tenants.set_overrides(tenant_id, body.overrides, actor)
    if plan is not None:
        tenant = tenants.set_plan(tenant_id, plan, actor)
    return views.admin_detail(tenant, call.services)


def set_stop(call: Call) -> a.AdminTenantOut:
    """One cause; others stay."""
    body: a.StopIn = call.body
    return views.admin_tenant(
        call.services.tenants.stop(_tenant_id(call), body.cause, body.reason, call.caller.principal)
    )


def lift_stop(call: Call) -> a.AdminTenantOut:
    """One cause; others stay."""
    cause = call.params["cause"]
    if cause not in STOPS:
        raise NotFound()
    return views.admin_tenant(call.services.tenants.lift(_tenant_id(call), cause, call.caller.principal))


def _tenant_id(call: Call) -> TenantId:
    """A platform admin may name any tenant; the service finds out whether there is one."""
    return TenantId(call.params["tenant_id"])


def _check(name: str, ask: Callable[[], Any], if_missing: str | None = None) -> a.Check:
    """`if_missing`: what to do where `ask` raises NotFound."""
    started = time.monotonic()
    error = remedy = None
    try:
        ask()
    except NotFound as failure:
        error, remedy = type(failure).__name__, if_missing
    except Exception as failure:  # whatever it is, it is the answer
        error = type(failure).__name__
    return a.Check(
        name=name, ok=error is None, ms=round((time.monotonic() - started) * 1000), error=error, remedy=remedy
    )


ROUTES = (
    Route("GET", "/health", health, Access(public=True), "Liveness", answer=a.HealthOut, aliases=("/api/v1/health",)),
    Route(
        "GET",
        "/api/v1/admin/health",
        deep_health,
        ADMIN,
        "Health of every part",
        answer=a.HealthOut,
        aliases=("/health/deep",),
    ),
    Route(
        "GET",
        "/api/v1/admin/tenants",
        search_tenants,
        ADMIN,
        "Tenants, newest first",
        answer=Page[a.AdminTenantOut],
        query=a.TenantsQuery,
    ),
    Route("GET", "/api/v1/admin/tenants/{tenant_id}", get_tenant, ADMIN, "One tenant", answer=a.AdminTenantDetail),
    Route(
        "PATCH",
        "/api/v1/admin/tenants/{tenant_id}",
        patch_tenant,
        ADMIN,
        "Change plan or overrides",
        a.AdminTenantDetail,
        a.AdminTenantPatch,
        before=tenant_before,
    ),
    Route(
        "POST",
        "/api/v1/admin/tenants/{tenant_id}/stops",
        set_stop,
        ADMIN,
        "Stop a tenant for a cause",
        a.AdminTenantOut,
        a.StopIn,
        status=201,
        idempotent=True,
        before=tenant_before,
    ),
    Route(
        "DELETE",
        "/api/v1/admin/tenants/{tenant_id}/stops/{cause}",
        lift_stop,
        ADMIN,
        "Lift a stop",
        answer=a.AdminTenantOut,
        before=tenant_before,
    ),
)
