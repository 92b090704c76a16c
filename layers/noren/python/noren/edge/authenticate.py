"""Who calls: an access token, an API key, a visitor's or device's token becomes a Caller.

Authority comes from the tables.
"""

from __future__ import annotations

import hashlib
import os
import re
from typing import TYPE_CHECKING, Any

from noren.cache import TtlCache
from noren.clock import Clock
from noren.edge.http import SITE_KEY, Caller, Request
from noren.edge.jwks import AccessTokens, Fetch
from noren.errors import Forbidden, Unauthenticated
from noren.secrets import Signer
from noren.settings import Settings
from noren.tenants.directory import ADMIN_GROUP, Directory
from noren.tenants.models import PLATFORM_TENANT, Membership

if TYPE_CHECKING:
    from noren.sites.visitors import Visitors
    from noren.tenants.service import Tenants

CACHE_SECONDS = 30
MAX_CREDENTIAL = 8192
DEVICE_PURPOSE = "device"
DEVICE_SECONDS = 30 * 24 * 3600
KEY_PREFIX = "nrn_"

_BEARER = re.compile(r"Bearer +([A-Za-z0-9._~+/=-]+) *\Z", re.IGNORECASE)
_PUBLIC = Caller("public")


def issue_device(signer: Signer) -> str:
    """A token that names a fresh anonymous device for 30 days."""
    return signer.sign(DEVICE_PURPOSE, {"d": os.urandom(8).hex()}, ttl=DEVICE_SECONDS)


class Authenticator:
    """One way in for every function. Holds no authority of its own."""

    def __init__(
        self,
        settings: Settings,
        tenants: Tenants,
        directory: Directory,
        signer: Signer,
        visitors: Visitors,
        clock: Clock,
        fetch_keys: Fetch | None = None,
    ) -> None:
        self._tenants = tenants
        self._directory = directory
        self._signer = signer
        self._visitors = visitors
        self._clock = clock
        self._tokens = AccessTokens(settings, clock, fetch_keys)
        self._callers: TtlCache[tuple[str, str], tuple[Caller, int]] = TtlCache(CACHE_SECONDS, clock, size=4096)

    def authenticate(self, request: Request) -> Caller:
        """The caller of a request; `public` without a credential.

        Raises Unauthenticated for a credential that is not good, Forbidden for an `x-tenant-id` that is not the
        caller's, for a membership that is frozen and for a page that may not use its site, NotFound for its key.
        """
        given = request.headers.get("authorization", "")
        wanted = request.headers.get("x-tenant-id", "")
        if not given:
            return _PUBLIC
        found = _BEARER.match(given) if len(given) <= MAX_CREDENTIAL else None
        if not found:
            raise Unauthenticated("The Authorization header must hold one bearer token.", code="invalid_token")
        token = found[1]
        if token.startswith(KEY_PREFIX):
            return self._of_key(token, wanted)
        if token.count(".") == 1:
            return self._of_device(token) or self._of_visitor(token, request)
        return self._of_person(token, wanted)

    def forget(self) -> None:
        """Drop what is remembered about callers (this container has just changed a membership)."""
        self._callers.clear()

    def _of_person(self, token: str, wanted: str) -> Caller:
        key = (hashlib.sha256(token.encode()).hexdigest(), wanted)
        caller, expires = self._callers.get(key, lambda: self._resolve(token, wanted))
        if caller.kind == "user":  # a tenant may be made in a moment
            self._callers.drop(key)
        if expires <= self._clock():
            raise Unauthenticated("The token has expired. Sign in again.", code="token_expired")
        return caller

    def _resolve(self, token: str, wanted: str) -> tuple[Caller, int]:
        claims = self._tokens.claims(token)
        user_id, username = str(claims["sub"]), str(claims.get("username") or claims["sub"])
        person = self._directory.person(username, user_id)
        if not person.enabled:
            raise Unauthenticated("This account is disabled.", code="account_disabled")
        is_admin = _claims_admin(claims) and self._directory.is_platform_admin(username, user_id)
        membership = _choose(self._tenants.memberships(user_id), wanted)
        caller = Caller(
            kind="member" if membership else "user",
            tenant_id=membership.tenant_id if membership else None,
            user_id=user_id,
            email=person.email,
            role=membership.role if membership else None,
            is_platform_admin=is_admin,
        )
        return caller, int(claims["exp"])

    def _of_key(self, secret: str, wanted: str) -> Caller:
        key = self._tenants.api_key(secret)
        if key is None:
            raise Unauthenticated("The API key is unknown, expired or revoked.", code="invalid_api_key")
        if wanted and wanted != key.tenant_id:
            raise Forbidden("The key does not belong to that tenant.", code="foreign_tenant")
        return Caller("api_key", tenant_id=key.tenant_id, scopes=key.scopes, key_id=key.key_id)

    def _of_device(self, token: str) -> Caller | None:
        """Somebody on the operator's own page; None for a token of another purpose."""
        payload = self._signer.verify(DEVICE_PURPOSE, token)
        return Caller("anonymous", tenant_id=PLATFORM_TENANT, device=str(payload["d"])) if payload else None

    def _of_visitor(self, token: str, request: Request) -> Caller:
        found = self._visitors.visitor(token, request.query.get(SITE_KEY, ""), request.headers.get("origin", ""))
        return Caller(
            "visitor",
            tenant_id=found.tenant_id,
            device=found.device,
            site_id=found.site_id,
            origin=found.origin,
        )


def _claims_admin(claims: dict[str, Any]) -> bool:
    groups = claims.get("cognito:groups")
    return isinstance(groups, list) and ADMIN_GROUP in groups


def _choose(memberships: list[Membership], wanted: str) -> Membership | None:
    """The membership that the header selects; without one the oldest that works, the personal tenant's as a rule."""
    if wanted:
        chosen = next((each for each in memberships if each.tenant_id == wanted), None)
        if chosen is None:
            raise Forbidden("You are no member of that tenant.", code="foreign_tenant")
    else:
        chosen = min(memberships, key=lambda each: (each.frozen, each.created_at, each.tenant_id), default=None)
    if chosen and chosen.frozen:
        raise Forbidden(
            "Your access is paused: the plan has fewer seats than the team members. "
            "Ask an owner or admin to make you active, or to choose a larger plan.",
            code="membership_frozen",
        )
    return chosen
