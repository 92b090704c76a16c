"""From domain objects to answers."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from noren.clock import iso
from noren.ledger.models import Standing
from noren.plans.models import Limits, ModelPolicy, Plan
from noren.tenants.models import ApiKey, Invitation, Membership, Role, Stop, Tenant
from noren.usage.models import UsageRecord
from platform_api import schemas as s
from platform_api import schemas_admin as a

if TYPE_CHECKING:
    from noren.wiring import Services

ROLE_NAMES: dict[Role, s.RoleName] = {
    Role.VIEWER: "viewer",
    Role.EDITOR: "editor",
    Role.ADMIN: "admin",
    Role.OWNER: "owner",
}
ROLES: dict[str, Role] = {name: role for role, name in ROLE_NAMES.items()}


def when(epoch: float | None) -> str | None:
    """ISO time or null."""
    return None if epoch is None else iso(epoch)


def tenant(each: Tenant) -> s.TenantOut:
    """A tenant as its members see it."""
    plain = {name: getattr(each, name) for name in s.TenantOut.model_fields}
    times = {"created_at": iso(each.created_at), "grace_until": when(each.grace_until or None)}
    return s.TenantOut.model_validate(plain | times)


def limits(each: Limits) -> s.LimitsOut:
    """A plan's or a tenant's limits."""
    return s.LimitsOut.model_validate(each)


def remaining(each: Tenant, allowed: Limits, services: Services) -> s.RemainingOut:
    """What is used and left of each limit now."""
    standing: Standing = services.ledger.standing(each.tenant_id)
    return s.RemainingOut(
        chats=_left(standing.chats_used, standing.chats_limit, standing.resets_at),
        embedding_tokens=_left(standing.embedding_tokens_used, standing.embedding_tokens_limit, standing.resets_at),
        requests_today=_left(
            standing.requests_today(each.default_site_id), standing.site_daily_limit, standing.day_resets_at
        ),
        concurrent_chats=_left(standing.open_holds, standing.concurrency, None),
        credits=max(0, standing.credits),
        members=_left(int(each.extra.get("members", 0)), allowed.members, None),
        sites=_left(services.sites.slots.roster(each.tenant_id).live, allowed.sites, None),
    )


def stop_mode(each: Tenant, left: s.RemainingOut) -> Stop | None:
    """The weightiest stop in force. The quota's is nobody's to set: it stands while the month's chats are spent."""
    spent = left.chats.remaining == 0 and not each.overage
    return each.stop_mode or ("quota" if spent else None)


def admin_tenant(each: Tenant) -> a.AdminTenantOut:
    """A tenant as the platform admin sees it."""
    causes = each.extra.get("stop_causes", {})
    stops = [a.StopOut.model_validate({"cause": cause, **causes[cause]}) for cause in sorted(causes)]
    return a.AdminTenantOut(**tenant(each).model_dump(), stops=stops, overrides=each.overrides)


def admin_detail(each: Tenant, services: Services) -> a.AdminTenantDetail:
    """The same with limits and what is left of them."""
    allowed = services.plans.entitlement(each).limits
    return a.AdminTenantDetail(
        **admin_tenant(each).model_dump(), limits=limits(allowed), remaining=remaining(each, allowed, services)
    )


def member(each: Membership) -> s.MemberOut:
    """A member of the team."""
    return s.MemberOut(
        user_id=each.user_id,
        email=each.email,
        role=ROLE_NAMES[each.role],
        active=not each.frozen,
        created_at=iso(each.created_at),
    )


def invitation(each: Invitation, now: float) -> s.InvitationOut:
    """An invitation with its state."""
    return s.InvitationOut(
        invitation_id=each.invitation_id,
        email=each.email,
        role=ROLE_NAMES[each.role],
        status="accepted"
        if each.accepted_at is not None
        else "revoked"
        if each.revoked_at is not None
        else "expired"
        if each.expires_at <= now
        else "open",
        created_at=iso(each.created_at),
        created_by=each.created_by,
        expires_at=iso(each.expires_at),
    )


def key(each: ApiKey) -> s.KeyOut:
    """An API key without its secret."""
    return s.KeyOut(
        key_id=each.key_id,
        name=each.name,
        prefix=each.prefix,
        scopes=sorted(each.scopes),
        created_at=iso(each.created_at),
        created_by=each.created_by,
        expires_at=when(each.expires_at),
        revoked_at=when(each.revoked_at),
        last_used_at=when(each.last_used_at),
    )


def usage_record(each: UsageRecord) -> s.UsageRecordOut:
    """A usage record."""
    plain = {name: getattr(each, name) for name in s.UsageRecordOut.model_fields}
    return s.UsageRecordOut.model_validate(plain | {"occurred_at": iso(each.occurred_at)})


def plan(each: Plan) -> a.PlanOut:
    """A plan as anybody may see it."""
    return a.PlanOut.model_validate(each)


def plan_version(each: Plan) -> a.PlanVersionOut:
    """A version of a plan."""
    return a.PlanVersionOut.model_validate(each)


def policy(each: ModelPolicy) -> a.PolicyOut:
    """A version of a model policy."""
    return a.PolicyOut.model_validate(asdict(each) | {"plans": sorted(each.plans)})


def model(each: ModelPolicy) -> s.ModelOut:
    """A model that a plan allows."""
    return s.ModelOut(id=each.id, name=each.name, is_default=each.is_default)


def _left(used: int, limit: int, resets_at: float | None) -> s.Left:
    return s.Left(used=used, limit=limit, remaining=max(limit - used, 0), resets_at=when(resets_at))
