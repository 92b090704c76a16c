"""The tenant and its team: settings, members, invitations, API keys."""

from __future__ import annotations

from noren.edge.http import Access, Call, Response, Route
from noren.edge.paging import Page, PageQuery, paged
from noren.errors import Forbidden
from noren.tenants.models import Role, Tenant
from noren.tenants.team import Actor
from platform_api import schemas as s
from platform_api import views

ADMINS = Access(role=Role.ADMIN, scope="admin")
DAY = 86400
INVITATIONS_PER_HOUR = 30
GONE = Response(status=204)


def patch_tenant(call: Call) -> s.TenantOut:
    """Billing's fields are the owner's."""
    changes = call.body.model_dump(exclude_none=True)
    if {"billing_email", "currency"} & changes.keys() and call.caller.role is not Role.OWNER:
        raise Forbidden("Only an owner changes the billing address or currency.")
    return views.tenant(call.services.tenants.update(call.tenant_id, changes, call.caller.principal))


def tenant_before(call: Call) -> s.TenantOut:
    """The tenant as it was."""
    return views.tenant(call.services.tenants.fresh(call.tenant_id))


def member_before(call: Call) -> s.MemberOut:
    """The member as they were."""
    return views.member(call.services.tenants.team.member(call.tenant_id, call.params["user_id"]))


def invitation_before(call: Call) -> s.InvitationOut:
    """The invitation as it was."""
    team = call.services.tenants.team
    return views.invitation(team.invitation(call.tenant_id, call.params["invitation_id"]), call.services.clock())


def key_before(call: Call) -> s.KeyOut:
    """The key as it was."""
    return views.key(call.services.tenants.keys.get(call.tenant_id, call.params["key_id"]))


def list_members(call: Call) -> Page[s.MemberOut]:
    """The team."""
    team = call.services.tenants.team
    items, following = paged(call, "/api/v1/members", lambda limit, at: team.members(call.tenant_id, limit, at))
    return Page(items=[views.member(each) for each in items], next_cursor=following)


def patch_member(call: Call) -> s.MemberOut:
    """Change a role, or who has a seat."""
    team, body, user_id = call.services.tenants.team, call.body, call.params["user_id"]
    if body.role:
        team.change_role(call.tenant_id, user_id, views.ROLES[body.role], _actor(call))
    if body.active is not None:
        team.set_active(call.tenant_id, user_id, body.active, _actor(call))
    call.services.authenticator.forget()
    return views.member(team.member(call.tenant_id, user_id))


def delete_member(call: Call) -> Response:
    """Remove a member; anybody may leave."""
    call.services.tenants.team.remove(call.tenant_id, call.params["user_id"], _actor(call))
    call.services.authenticator.forget()
    return GONE


def invite(call: Call) -> s.InvitationOut:
    """Send an invitation."""
    services, tenant = call.services, _working(call)
    services.limiter.check(f"invite#{call.tenant_id}", INVITATIONS_PER_HOUR, 3600)
    made = services.tenants.team.invite(
        tenant, call.body.email, views.ROLES[call.body.role], _actor(call), call.caller.email
    )
    return views.invitation(made, services.clock())


def list_invitations(call: Call) -> Page[s.InvitationOut]:
    """Invitations in every state."""
    team, now = call.services.tenants.team, call.services.clock()
    items, following = paged(call, "/api/v1/invitations", lambda limit, at: team.invitations(call.tenant_id, limit, at))
    return Page(items=[views.invitation(each, now) for each in items], next_cursor=following)


def patch_invitation(call: Call) -> s.InvitationOut:
    """Offer another role."""
    role, now = views.ROLES[call.body.role], call.services.clock()
    team = call.services.tenants.team
    changed = team.change_invitation(call.tenant_id, call.params["invitation_id"], role, _actor(call))
    return views.invitation(changed, now)


def revoke_invitation(call: Call) -> Response:
    """Make the link worthless."""
    call.services.tenants.team.revoke(call.tenant_id, call.params["invitation_id"], _actor(call))
    return GONE


def accept_invitation(call: Call) -> s.AcceptOut:
    """Join by the token of the mail's link, with the address that was invited."""
    caller = call.caller
    joined = call.services.tenants.team.accept(call.body.token, caller.user_id, caller.email)
    call.services.authenticator.forget()
    return s.AcceptOut(tenant_id=joined.tenant_id, role=views.ROLE_NAMES[joined.role])


def create_key(call: Call) -> s.KeyMade:
    """The only time that the secret is shown."""
    body: s.KeyIn = call.body
    _working(call)
    expires_at = call.services.clock() + body.expires_in_days * DAY if body.expires_in_days else None
    made, secret = call.services.tenants.keys.create(
        call.tenant_id, body.name, frozenset(body.scopes), expires_at, call.caller.principal
    )
    return s.KeyMade(**views.key(made).model_dump(), secret=secret)


def without_secret(made: s.KeyMade) -> s.KeyMade:
    """What a replay answers."""
    return made.model_copy(update={"secret": None})


def list_keys(call: Call) -> Page[s.KeyOut]:
    """Keys in every state, without secrets."""
    keys, prefix = call.services.tenants.keys, call.query.prefix or ""
    items, following = paged(call, "/api/v1/api-keys", lambda limit, at: keys.list(call.tenant_id, prefix, limit, at))
    return Page(items=[views.key(each) for each in items], next_cursor=following)


def patch_key(call: Call) -> s.KeyOut:
    """Name, scopes, expiry."""
    body: s.KeyPatch = call.body
    _working(call)
    changed = call.services.tenants.keys.change(
        call.tenant_id,
        call.params["key_id"],
        call.caller.principal,
        name=body.name,
        scopes=frozenset(body.scopes) if body.scopes else None,
        expires_at=call.services.clock() + body.expires_in_days * DAY if body.expires_in_days else None,
    )
    return views.key(changed)


def revoke_key(call: Call) -> Response:
    """Effective everywhere within 30 s."""
    call.services.tenants.keys.revoke(call.tenant_id, call.params["key_id"], call.caller.principal)
    return GONE


def _working(call: Call) -> Tenant:
    """The tenant; one that is suspended reads, tidies up and pays, but lets nobody new in."""
    tenant = call.services.tenants.get(call.tenant_id)
    if tenant.is_suspended:
        raise Forbidden("This account is suspended.", code="suspended")
    return tenant


def _actor(call: Call) -> Actor:
    return Actor(call.caller.principal, call.caller.role or Role.ADMIN)


ROUTES = (
    Route(
        "PATCH",
        "/api/v1/tenant",
        patch_tenant,
        ADMINS,
        "Change the tenant",
        s.TenantOut,
        s.TenantPatch,
        before=tenant_before,
    ),
    Route(
        "GET",
        "/api/v1/members",
        list_members,
        Access(role=Role.VIEWER, scope="admin"),
        "The team, newest first",
        answer=Page[s.MemberOut],
        query=PageQuery,
    ),
    Route(
        "PATCH",
        "/api/v1/members/{user_id}",
        patch_member,
        ADMINS,
        "Change a role, or who has one of the plan's seats",
        s.MemberOut,
        s.MemberPatch,
        before=member_before,
    ),
    Route(
        "DELETE",
        "/api/v1/members/{user_id}",
        delete_member,
        Access(role=Role.VIEWER, scope="admin"),
        "Remove a member, or leave",
        status=204,
        before=member_before,
    ),
    Route(
        "POST",
        "/api/v1/invitations",
        invite,
        ADMINS,
        "Invite by e-mail",
        s.InvitationOut,
        s.InvitationIn,
        status=201,
        idempotent=True,
    ),
    Route(
        "GET",
        "/api/v1/invitations",
        list_invitations,
        ADMINS,
        "Invitations, newest first",
        answer=Page[s.InvitationOut],
        query=PageQuery,
    ),
    Route(
        "PATCH",
        "/api/v1/invitations/{invitation_id}",
        patch_invitation,
        ADMINS,
        "Offer another role",
        s.InvitationOut,
        s.RolePatch,
        before=invitation_before,
    ),
    Route(
        "DELETE",
        "/api/v1/invitations/{invitation_id}",
        revoke_invitation,
        ADMINS,
        "Revoke an invitation",
        status=204,
        before=invitation_before,
    ),
    Route(
        "POST",
        "/api/v1/invitations/accept",
        accept_invitation,
        Access(user=True),
        "Accept an invitation",
        s.AcceptOut,
        s.AcceptIn,
        idempotent=True,
    ),
    Route(
        "POST",
        "/api/v1/api-keys",
        create_key,
        Access(role=Role.ADMIN),
        "Create an API key; its secret is shown once",
        s.KeyMade,
        s.KeyIn,
        status=201,
        idempotent=True,
        replay=without_secret,
    ),
    Route(
        "GET",
        "/api/v1/api-keys",
        list_keys,
        Access(role=Role.ADMIN),
        "API keys, newest first",
        answer=Page[s.KeyOut],
        query=s.KeysQuery,
    ),
    Route(
        "PATCH",
        "/api/v1/api-keys/{key_id}",
        patch_key,
        Access(role=Role.ADMIN),
        "Change an API key's name, scopes or expiry",
        s.KeyOut,
        s.KeyPatch,
        before=key_before,
    ),
    Route(
        "DELETE",
        "/api/v1/api-keys/{key_id}",
        revoke_key,
        Access(role=Role.ADMIN),
        "Revoke an API key",
        status=204,
        before=key_before,
    ),
)
