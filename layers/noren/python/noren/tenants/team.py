"""Who belongs to a tenant: members, roles, invitations by mail."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, replace
from urllib.parse import quote

from noren.clock import Clock
from noren.errors import Conflict, Forbidden, NotFound
from noren.ids import TenantId, is_id, new_id
from noren.mail import Mailer
from noren.plans.service import Plans
from noren.settings import Settings
from noren.tables import Position
from noren.tenants.models import Invitation, Membership, Role, Tenant
from noren.tenants.seats import Seats
from noren.tenants.store import Refused, TenantStore

INVITATION_SECONDS = 7 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Actor:
    """Who changes the team, and with which authority (an API key with scope `admin` acts as an admin)."""

    principal: str
    role: Role


class Team:
    """Nobody grants above their own role, only owners touch owners, the last owner stays, plans bound the size."""

    def __init__(
        self, store: TenantStore, seats: Seats, plans: Plans, mailer: Mailer, settings: Settings, clock: Clock
    ) -> None:
        self._store = store
        self.seats = seats
        self._plans = plans
        self._mailer = mailer
        self._console_url = settings.console_url.rstrip("/")
        self._clock = clock

    def members(
        self, tenant_id: TenantId, limit: int, position: Position | None
    ) -> tuple[list[Membership], Position | None]:
        """Newest first (the plan bounds their number, so they are sorted here)."""
        everybody = sorted(self._store.members(tenant_id), key=_newest, reverse=True)
        if position:
            after = (float(position["at"]), position["user"])
            everybody = [each for each in everybody if _newest(each) < after]
        page = everybody[:limit]
        more = len(everybody) > limit
        return page, {"at": str(page[-1].created_at), "user": page[-1].user_id} if more else None

    def member(self, tenant_id: TenantId, user_id: str) -> Membership:
        """One member. Raises NotFound."""
        member = self._store.membership(tenant_id, user_id)
        if member is None:
            raise NotFound()
        return member

    def change_role(self, tenant_id: TenantId, user_id: str, role: Role, actor: Actor) -> Membership:
        """Raises NotFound, Forbidden, Conflict (`last_owner`)."""
        member = self.member(tenant_id, user_id)
        self._check_authority(actor, member.role, role)
        if role is not member.role:
            try:
                self._store.change_role(member, role, actor.principal, self._clock())
            except Refused as refused:
                raise _team_conflict(refused) from None
        return replace(member, role=role)

    def set_active(self, tenant_id: TenantId, user_id: str, active: bool, actor: Actor) -> Membership:
        """Choose who works where seats are fewer than members. Raises NotFound, Forbidden, Conflict."""
        member = self.member(tenant_id, user_id)
        self._check_authority(actor, member.role, member.role)
        return self.seats.set_active(tenant_id, user_id, active, self._room(tenant_id))

    def remove(self, tenant_id: TenantId, user_id: str, actor: Actor) -> None:
        """Remove a member, or leave. Raises NotFound, Forbidden, Conflict (`last_owner`)."""
        member = self.member(tenant_id, user_id)
        if actor.principal != f"user:{user_id}":
            if actor.role < Role.ADMIN:
                raise Forbidden("This needs the role `admin`.")
            self._check_authority(actor, member.role, member.role)
        try:
            self._store.remove_member(member)
        except Refused as refused:
            raise _team_conflict(refused) from None
        self.seats.fit(tenant_id, self._room(tenant_id))

    def invite(self, tenant: Tenant, email: str, role: Role, actor: Actor, inviter: str) -> Invitation:
        """Send an invitation to an address. Raises Forbidden, Conflict (`member_limit`, `already_member`)."""
        self._check_authority(actor, role, role)
        members = self._store.members(tenant.tenant_id)
        address = email.strip().lower()
        if any(each.email == address for each in members):
            raise Conflict("This person is a member already.", code="already_member")
        if len(members) >= self._plans.entitlement(tenant).limits.members:
            raise _full()
        now, token = self._clock(), secrets.token_urlsafe(32)
        invitation = Invitation(
            invitation_id=new_id("inv", now),
            tenant_id=tenant.tenant_id,
            email=address,
            role=role,
            token_hash=_hash(token),
            created_at=now,
            created_by=actor.principal,
            expires_at=now + INVITATION_SECONDS,
        )
        self._store.put_invitation(invitation)
        link = f"{self._console_url}/invite?token={quote(token)}"
        data = {"tenant": tenant.name, "inviter": inviter or tenant.name, "role": role.name.lower(), "link": link}
        self._mailer.queue(address, "invitation", data, tenant.locale)
        return invitation

    def invitations(
        self, tenant_id: TenantId, limit: int, position: Position | None
    ) -> tuple[list[Invitation], Position | None]:
        """Newest first: open, accepted, revoked and lapsed."""
        return self._store.list_invitations(tenant_id, limit, position)

    def invitation(self, tenant_id: TenantId, invitation_id: str) -> Invitation:
        """One invitation. Raises NotFound."""
        known = self._store.invitation(tenant_id, invitation_id) if is_id(invitation_id, "inv") else None
        if known is None:
            raise NotFound()
        return known

    def change_invitation(self, tenant_id: TenantId, invitation_id: str, role: Role, actor: Actor) -> Invitation:
        """Offer another role than first. Raises NotFound, Forbidden, Conflict where it is not open any more."""
        known = self.invitation(tenant_id, invitation_id)
        self._check_authority(actor, known.role, role)
        if not self._store.change_invitation(tenant_id, invitation_id, role, actor.principal, self._clock()):
            raise Conflict("The invitation is not open any more.")
        return replace(known, role=role, created_by=actor.principal)

    def revoke(self, tenant_id: TenantId, invitation_id: str, actor: Actor) -> None:
        """Make an open invitation's link worthless. Raises NotFound, Forbidden."""
        known = self.invitation(tenant_id, invitation_id)
        self._check_authority(actor, known.role, known.role)
        if not self._store.revoke_invitation(tenant_id, invitation_id, actor.principal, self._clock()):
            raise Conflict("The invitation has been accepted already.")

    def accept(self, token: str, user_id: str, email: str) -> Membership:
        """Join by the link's token. `email` is the person's verified address, "" if there is none.

        Raises NotFound (unknown, revoked, lapsed), Forbidden (another's invitation), Conflict (`member_limit`).
        Accepting again answers as the first time.
        """
        found = self._store.invitation_by_hash(_hash(token))
        if found is None:
            raise NotFound("This invitation is not valid any more. Ask for a new one.")
        if not email or email.lower() != found.email:
            raise Forbidden("The invitation is for another e-mail address.", code="email_mismatch")
        member = Membership(found.tenant_id, user_id, found.role, email.lower(), int(self._clock()))
        if found.accepted_by == user_id and (joined := self._store.membership(found.tenant_id, user_id)):
            return joined
        tenant = self._store.tenant(found.tenant_id)
        if tenant is None or not self._still_grants(found):
            raise NotFound("This invitation is not valid any more. Ask for a new one.")
        try:
            self._store.accept(found, member, self._plans.entitlement(tenant).limits.members)
        except Refused as refused:
            if 0 in refused.failed:
                raise NotFound("This invitation is not valid any more. Ask for a new one.") from None
            if 1 in refused.failed:
                raise Conflict("You are a member already.", code="already_member") from None
            raise _full() from None
        # The plan may have become smaller meanwhile: its change has seen the new member, or this sees the change.
        self.seats.fit(found.tenant_id, self._room(found.tenant_id))
        return self._store.membership(found.tenant_id, user_id) or member

    def _room(self, tenant_id: TenantId) -> int:
        """How many members the plan in force has seats for."""
        tenant = self._store.tenant(tenant_id)
        if tenant is None:
            raise NotFound()
        return self._plans.entitlement(tenant).limits.members

    def _still_grants(self, invitation: Invitation) -> bool:
        """Whether who invited could still give that role."""
        kind, _, name = invitation.created_by.partition(":")
        if kind == "key":
            key = self._store.key(invitation.tenant_id, name)
            return key is not None and key.revoked_at is None and invitation.role <= Role.ADMIN
        inviter = self._store.membership(invitation.tenant_id, name)
        return inviter is not None and inviter.role >= Role.ADMIN and inviter.role >= invitation.role

    @staticmethod
    def _check_authority(actor: Actor, *roles: Role) -> None:
        if any(role > actor.role for role in roles):
            raise Forbidden("You can't grant or change a role above your own.", code="role_above_own")


def _newest(member: Membership) -> tuple[float, str]:
    return float(member.created_at), member.user_id


def _team_conflict(refused: Refused) -> Conflict:
    if 0 in refused.failed:
        return Conflict("The membership has just been changed by somebody else. Look again.")
    return Conflict("A tenant keeps at least one owner: make somebody else an owner first.", code="last_owner")


def _full() -> Conflict:
    return Conflict("The plan has no room for another member.", code="member_limit")


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
