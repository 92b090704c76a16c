"""Which route a site's question takes."""

from __future__ import annotations

from noren.llm.routes import Route, plan_route
from noren.plans.models import Entitlement
from noren.sites.models import Site


def site_route(entitlement: Entitlement, site: Site, model: str = "") -> Route:
    """The route for `model`, else for the site's default, else for the plan's.

    Raises Forbidden(model_not_in_plan) for a model that was asked for; a site's default that the plan no longer allows
    is passed over, so that a change of plan never breaks a site.
    """
    if not model and any(site.default_model == policy.id for policy in entitlement.models):
        model = site.default_model
    return plan_route(entitlement, model or None)
