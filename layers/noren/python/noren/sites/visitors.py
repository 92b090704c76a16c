"""Visitors: tokens for the pages that may use a site, and what every call with one has to be."""

from __future__ import annotations

import hashlib
import math
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from noren.errors import Forbidden, Unauthenticated
from noren.ids import TenantId
from noren.limits import check
from noren.ratelimit import Limiter
from noren.secrets import Signer
from noren.sites.models import Site
from noren.sites.origins import allows

if TYPE_CHECKING:
    from noren.sites.service import Sites

TOKEN_SECONDS = 3600
KEPT_SECONDS = 30 * 86400
"""For so long after its end a token still says which device it named; sessions last as long."""

_PURPOSE = "visitor"


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody on a page that uses a site; `origin` is that page's, "" for a server."""

    tenant_id: TenantId
    site_id: str
    origin: str
    device: str


class Visitors:
    """Lets visitors in. `Origin` proves nothing outside a browser: what whoever forges it can cost is limited apart."""

    def __init__(
        self, sites: Sites, is_suspended: Callable[[TenantId], bool], signer: Signer, limiter: Limiter
    ) -> None:
        self._sites, self._is_suspended, self._signer, self._limiter = sites, is_suspended, signer, limiter

    def token(self, site_key: str, embed_id: str, origin: str, address: str, old: str = "") -> str:
        """A token for a page of `origin` ("" for none) whose loader carries `embed_id`, good for an hour.

        A device that `old` names is kept. Raises NotFound for an unknown key, RateLimited, and Forbidden:
        origin_not_allowed, site_disabled, embed_disabled, or embed_replaced for a loader from before a rotation.
        """
        site = self._sites.of_key(site_key)
        self._check_allowed(site, origin)
        if embed_id != site.embed_script_id:
            raise Forbidden("The script of this page has been replaced: load the page again.", code="embed_replaced")
        hashed = hashlib.sha256(address.encode()).hexdigest()[:32]
        check(self._limiter, "visitor_tokens_of_address", f"{site.site_id}#{hashed}")
        check(self._limiter, "visitor_tokens_of_site", site.site_id)
        bound = {"s": site.site_id, "o": origin, "e": site.embed_script_id}
        known = self._signer.verify(_PURPOSE, old, grace=KEPT_SECONDS) or {}
        device = known.get("d") if bound.items() <= known.items() else None
        return self._signer.sign(_PURPOSE, {**bound, "d": device or secrets.token_hex(16)}, ttl=TOKEN_SECONDS)

    def visitor(self, token: str, site_key: str, origin: str) -> Visitor:
        """Who calls with a token, for the site of that key, from that origin.

        What the site and its tenant are now counts (30 s late).

        Raises Unauthenticated (token_expired, invalid_token), NotFound for an unknown key, Forbidden as `token` does.
        """
        payload = self._signer.verify(_PURPOSE, token)
        if payload is None:
            if self._signer.verify(_PURPOSE, token, grace=math.inf):
                raise Unauthenticated("The visitor token has expired: get a new one for it.", code="token_expired")
            raise Unauthenticated("The token is not valid.", code="invalid_token")
        site = self._sites.of_key(site_key)
        if (payload["s"], payload["e"]) != (site.site_id, site.embed_script_id):
            raise Unauthenticated("The visitor token is not this site's any more.", code="invalid_token")
        if payload["o"] != origin:
            raise Forbidden("The visitor token was given to another origin.", code="origin_not_allowed")
        self._check_allowed(site, origin)
        return Visitor(site.tenant_id, site.site_id, origin, payload["d"])

    def _check_allowed(self, site: Site, origin: str) -> None:
        if not allows(site, origin):
            raise Forbidden("This page may not use the assistant: its owner can allow it.", code="origin_not_allowed")
        if site.status != "active" or self._is_suspended(site.tenant_id):
            raise Forbidden("This site is switched off.", code="site_disabled")
        if not site.is_embed_enabled:
            raise Forbidden("The assistant is switched off.", code="embed_disabled")
