"""Who may train: nobody who was stopped, and no site that is out of service."""

from __future__ import annotations

from noren.errors import Forbidden
from noren.sites.models import Site
from noren.tenants.models import Tenant


def check_may_train(tenant: Tenant, site: Site) -> None:
    """Raises Forbidden: `suspended`, `site_frozen`, `site_disabled`."""
    if tenant.is_suspended:
        raise Forbidden("This account is suspended.", code="suspended")
    if site.status == "frozen":
        raise Forbidden(
            "The plan has no room for this site. Delete another site or take a larger plan.", code="site_frozen"
        )
    if site.status != "active":
        raise Forbidden("This site is switched off. Switch it on, then train it.", code="site_disabled")


def stopped(tenant: Tenant, site: Site) -> str:
    """Why a training that has begun must not go on, as the job's `error`; "" where it may.

    A site that its owner switches off meanwhile finishes: that harms nobody, and ends by itself.
    """
    if tenant.is_suspended:
        return "suspended"
    return "site_frozen" if site.status == "frozen" else ""
