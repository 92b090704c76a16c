"""The caller: who they are, what they may use, what they have used."""

from __future__ import annotations

from noren.edge.http import Access, Call, Route
from noren.edge.paging import Page, paged
from noren.errors import NotFound
from noren.ids import TenantId
from noren.tenants.models import Membership, Role, Tenant
from platform_api import schemas as s
from platform_api import views


def me(call: Call) -> s.MeOut:
    """A person without a tenant gets their personal one here (as the sign-up trigger does, which may not have run)."""
    services, caller = call.services, call.caller
    tenant_id, role = caller.tenant_id, caller.role
    memberships = services.tenants.memberships(caller.user_id) if caller.user_id else []
    if tenant_id is None:
        services.tenants.ensure_tenant(caller.user_id, caller.email, locale=_locale(call))
        memberships = services.tenants.memberships(caller.user_id)
        first = min(memberships, key=lambda each: each.created_at, default=None)
        tenant_id, role = (first.tenant_id, first.role) if first else (None, None)
    tenant = services.tenants.opened(tenant_id) if tenant_id else None
    entitlement = services.plans.entitlement(tenant) if tenant else None
    remaining = views.remaining(tenant, entitlement.limits, services) if tenant and entitlement else None
    user = s.UserOut(user_id=caller.user_id, email=caller.email, is_platform_admin=caller.is_platform_admin)
    return s.MeOut(
        user=user if caller.user_id else None,
        role=views.ROLE_NAMES[role] if role else None,
        memberships=[_membership(call, each, tenant) for each in memberships],
        tenant=views.tenant(tenant) if tenant else None,
        plan=entitlement.plan.plan if entitlement else None,
        tier=entitlement.plan.tier if entitlement else None,
        limits=views.limits(entitlement.limits) if entitlement else None,
        remaining=remaining,
        models=[views.model(each) for each in entitlement.models] if entitlement else [],
        stop_mode=views.stop_mode(tenant, remaining) if tenant and remaining else None,
        inference_url=services.settings.inference_url,
    )


def records(call: Call) -> Page[s.UsageRecordOut]:
    """The tenant's usage records; a site that is not the tenant's is not found."""
    if call.query.site_id:
        call.services.sites.get(call.tenant_id, call.query.site_id)

    def read(limit: int, position: dict[str, str] | None) -> tuple[list[s.UsageRecordOut], dict[str, str] | None]:
        after = position["at"] if position else None
        found, following = call.services.usage.records(call.tenant_id, call.query.site_id, limit, after)
        return [views.usage_record(each) for each in found], {"at": following} if following else None

    items, following = paged(call, "/api/v1/usage/records", read)
    return Page(items=items, next_cursor=following)


def _membership(call: Call, each: Membership, active: Tenant | None) -> s.MembershipOut:
    name = active.name if active and active.tenant_id == each.tenant_id else _name(call, each.tenant_id)
    role = views.ROLE_NAMES[each.role]
    return s.MembershipOut(tenant_id=each.tenant_id, name=name, role=role, active=not each.frozen)


def _name(call: Call, tenant_id: TenantId) -> str:
    try:
        return call.services.tenants.get(tenant_id).name
    except NotFound:  # deleted while the membership was read
        return ""


def _locale(call: Call) -> str:
    return call.request.headers.get("accept-language", "ja")[:2].lower()


ROUTES = (
    Route("GET", "/api/v1/me", me, Access(user=True, scope="read"), "The caller, plan and limits", answer=s.MeOut),
    Route(
        "GET",
        "/api/v1/usage/records",
        records,
        Access(role=Role.VIEWER, scope="read"),
        "Usage records, newest first",
        answer=Page[s.UsageRecordOut],
        query=s.RecordsQuery,
    ),
)
