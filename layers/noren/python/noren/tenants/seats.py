"""A plan with fewer seats than members freezes the excess: nobody is removed, and the tenant chooses who works."""

from __future__ import annotations

from noren.errors import Busy, Conflict, NotFound
from noren.ids import TenantId
from noren.tenants.models import Membership, Role
from noren.tenants.seat_store import MOST, SeatStore
from noren.tenants.store import Refused, TenantStore

ROUNDS = 12
"""Tries to write on top of a team that others change too."""


class Seats:
    """Both methods may run anywhere at once, and be repeated."""

    def __init__(self, store: TenantStore, seats: SeatStore) -> None:
        self._store, self._seats = store, seats

    def fit(self, tenant_id: TenantId, limit: int) -> None:
        """Freeze whom the plan has no seat for, thaw whom it has one for again: owners first, then who joined first.

        Who is active stays so before anybody is thawed: what the tenant has chosen is kept.
        """
        for _ in range(ROUNDS):
            tenant = self._store.tenant(tenant_id)
            if tenant is None:
                return
            members, frozen = int(tenant.extra["members"]), int(tenant.extra.get("frozen", 0))
            room = limit - (members - frozen)
            if room == 0 or (room > 0 and frozen == 0):
                return
            team = sorted(self._store.members(tenant_id), key=_precedence)
            if room > 0:
                frozen_now, thawed = [], [each for each in team if each.frozen][: min(room, MOST)]
            else:
                # one owner stays whatever the limit says
                active = [each for each in team if not each.frozen]
                frozen_now, thawed = active[max(1, len(active) + room) :][-MOST:], []
            if not frozen_now and not thawed:
                return
            try:
                self._seats.change(tenant, frozen_now, thawed)
            except Refused:
                continue
        raise Busy(retry_after=2)

    def set_active(self, tenant_id: TenantId, user_id: str, active: bool, limit: int) -> Membership:
        """Give a member one of the plan's seats, or take it away for another. Raises NotFound, Conflict."""
        for _ in range(ROUNDS):
            tenant, member = self._store.tenant(tenant_id), self._store.membership(tenant_id, user_id)
            if tenant is None or member is None:
                raise NotFound()
            if member.frozen is not active:
                return member
            members, frozen = int(tenant.extra["members"]), int(tenant.extra.get("frozen", 0))
            if active and members - frozen >= limit:
                raise Conflict("All seats of the plan are taken: make somebody else inactive first.", code="no_seat")
            if not active and members <= limit:
                raise Conflict("The plan has a seat for everybody.", code="seats_left")
            if not active and member.role is Role.OWNER:
                raise Conflict("An owner stays active: change the role first.", code="owner_stays_active")
            try:
                self._seats.change(tenant, [] if active else [member], [member] if active else [])
            except Refused:
                continue
            return Membership(tenant_id, user_id, member.role, member.email, member.created_at, frozen=not active)
        raise Busy(retry_after=2)


def _precedence(member: Membership) -> tuple[bool, float, str]:
    return member.role is not Role.OWNER, member.created_at, member.user_id
