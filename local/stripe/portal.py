"""The customer portal's sessions; its page is in `pages`."""

from __future__ import annotations

from local.stripe import billing
from local.stripe.errors import Refusal
from local.stripe.routes import Route
from local.stripe.world import Obj, World

_LIVES = 3600


def create(world: World, given: Obj) -> Obj:
    """`POST /v1/billing_portal/sessions`."""
    if "customer" not in given:
        raise Refusal("Missing required param: customer.", code="parameter_missing", param="customer")
    world.get("customer", given["customer"], "customer")
    identifier = world.id("bps")
    flow = given.get("flow_data")
    return world.add(
        {
            "id": identifier,
            "object": "billing_portal.session",
            "configuration": "bpc_local",
            "created": world.now(),
            "customer": given["customer"],
            "customer_account": None,
            "flow": {"after_completion": {"type": "portal_homepage"}, **flow} if flow else None,
            "livemode": False,
            "locale": given.get("locale"),
            "on_behalf_of": None,
            "return_url": given.get("return_url"),
            "url": f"{world.url}/p/session/{identifier}",
        }
    )


def is_over(world: World, session: Obj) -> bool:
    """Links into the portal live for a while only."""
    return world.now() > session["created"] + _LIVES or session["customer"] not in world.objects


def subscriptions_of(world: World, customer: str) -> list[Obj]:
    """What the portal shows."""
    return [each for each in world.find("subscription", customer=customer) if each["status"] not in billing.OVER]


ROUTES = [Route("POST", "/v1/billing_portal/sessions", create, "billing_portal.SessionCreateParams")]
