"""Setup intents: a card is saved for later without being charged."""

from __future__ import annotations

from typing import Any

from local.stripe import cards, payments
from local.stripe.errors import Refusal, unexpected_state
from local.stripe.render import matching, page
from local.stripe.routes import Route
from local.stripe.world import Obj, World, clone, merge_metadata


def make(world: World, **members: Any) -> Obj:
    """A new setup intent, announced."""
    identifier = world.id("seti")
    intent: Obj = {
        "id": identifier,
        "object": "setup_intent",
        "application": None,
        "automatic_payment_methods": None,
        "cancellation_reason": None,
        "client_secret": f"{identifier}_secret_{world.token(25)}",
        "created": world.now(),
        "customer": None,
        "customer_account": None,
        "description": None,
        "excluded_payment_method_types": None,
        "flow_directions": None,
        "last_setup_error": None,
        "latest_attempt": None,
        "livemode": False,
        "mandate": None,
        "metadata": {},
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": None,
        "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
        "payment_method_types": ["card"],
        "single_use_mandate": None,
        "status": "requires_payment_method",
        "usage": "off_session",
        **members,
    }
    world.add(intent)
    if intent["payment_method"]:
        intent["status"] = "requires_confirmation"
    world.emit("setup_intent.created", intent)
    return intent


def create(world: World, given: Obj) -> Obj:
    """`POST /v1/setup_intents`."""
    if "customer" in given:
        world.get("customer", given["customer"], "customer")
    method = cards.keep(world, cards.take(world, given["payment_method"])) if "payment_method" in given else None
    types = given.get("allowed_payment_method_types")
    automatic = None if types else {"allow_redirects": "always", "enabled": True}
    automatic = automatic and automatic | given.get("automatic_payment_methods", {})
    intent = make(
        world,
        automatic_payment_methods=automatic,
        allowed_payment_method_types=types,
        customer=given.get("customer"),
        description=given.get("description"),
        metadata=given.get("metadata", {}),
        payment_method=method["id"] if method else None,
        usage=given.get("usage", "off_session"),
    )
    return _asked_to_confirm(world, intent, given) if given.get("confirm") else intent


def confirm(world: World, given: Obj, intent: str) -> Obj:
    """`POST /v1/setup_intents/{id}/confirm`."""
    found = world.get("setup_intent", intent)
    if found["status"] not in ("requires_payment_method", "requires_confirmation", "requires_action"):
        raise unexpected_state(
            f"You cannot confirm this SetupIntent because it has a status of {found['status']}.",
            "setup_intent_unexpected_state",
            setup_intent=clone(found),
        )
    if "payment_method" in given:
        found["payment_method"] = cards.keep(world, cards.take(world, given["payment_method"]))["id"]
    return _asked_to_confirm(world, found, given)


def _asked_to_confirm(world: World, intent: Obj, given: Obj) -> Obj:
    method = world.objects.get(intent["payment_method"] or "")
    if method is None:
        raise unexpected_state(
            "You cannot confirm this SetupIntent because it's missing a payment method.",
            "setup_intent_unexpected_state",
            setup_intent=clone(intent),
        )
    return attempt(world, intent, method, return_url=given.get("return_url"))


def attempt(
    world: World, intent: Obj, method: Obj, *, authenticated: bool = False, return_url: str | None = None
) -> Obj:
    """Save the card, or ask for 3-D Secure first. Raises Refusal (402) where the card declines."""
    intent["payment_method"], intent["next_action"] = method["id"], None
    decline = cards.refusal(method, "set_up", off_session=False, authenticated=authenticated)
    if decline == "authentication_required":
        payments.challenge(world, intent, return_url)
        return intent
    if decline:
        raise _failed(world, intent, method, cards.card_error(decline))
    intent |= {"status": "succeeded", "last_setup_error": None}
    method["_set_up"] = intent["usage"] == "off_session"
    if intent["customer"]:
        cards.own(world, method, world.objects[intent["customer"]])
    world.emit("setup_intent.succeeded", intent)
    _settled(world, intent)
    return intent


def authenticated(world: World, intent: Obj, method: Obj, *, passed: bool) -> Obj:
    """Go on after the 3-D Secure page."""
    try:
        if not passed:
            raise _failed(
                world,
                intent,
                method,
                Refusal(
                    "The latest attempt to set up the payment method has failed because authentication failed.",
                    status=402,
                    kind="card_error",
                    code="setup_intent_authentication_failure",
                ),
            )
        return attempt(world, intent, method, authenticated=True)
    except Refusal:
        return intent


def _failed(world: World, intent: Obj, method: Obj, refusal: Refusal) -> Refusal:
    intent |= {"status": "requires_payment_method", "payment_method": None, "next_action": None}
    intent["last_setup_error"] = {**refusal.error, "payment_method": clone(method)}
    world.emit("setup_intent.setup_failed", intent)
    refusal.error |= {"setup_intent": clone(intent), "payment_method": clone(method)}
    return refusal


def _settled(world: World, intent: Obj) -> None:
    from local.stripe import paying

    if "_session" in intent:
        paying.set_up(world, world.objects[intent["_session"]], intent)


def update(world: World, given: Obj, intent: str) -> Obj:
    """`POST /v1/setup_intents/{id}`."""
    found = world.get("setup_intent", intent)
    for name in ("customer", "description"):
        if name in given:
            found[name] = given[name]
    if "payment_method" in given:
        method = cards.keep(world, cards.take(world, given["payment_method"]))
        found |= {"payment_method": method["id"], "status": "requires_confirmation"}
    merge_metadata(found, given.get("metadata"))
    return found


def cancel(world: World, given: Obj, intent: str) -> Obj:
    """`POST /v1/setup_intents/{id}/cancel`."""
    found = world.get("setup_intent", intent)
    if found["status"] in ("succeeded", "canceled"):
        raise unexpected_state(
            f"You cannot cancel this SetupIntent because it has a status of {found['status']}.",
            "setup_intent_unexpected_state",
            setup_intent=clone(found),
        )
    found |= {"status": "canceled", "cancellation_reason": given.get("cancellation_reason"), "next_action": None}
    world.emit("setup_intent.canceled", found)
    return found


def retrieve(world: World, given: Obj, intent: str) -> Obj:
    """`GET /v1/setup_intents/{id}`."""
    return world.get("setup_intent", intent)


def search(world: World, given: Obj) -> Obj:
    """`GET /v1/setup_intents`."""
    found = matching(world.all("setup_intent"), given, "customer", "payment_method")
    return page(world, "/v1/setup_intents", found, given)


ROUTES = [
    Route("POST", "/v1/setup_intents", create, "SetupIntentCreateParams"),
    Route("GET", "/v1/setup_intents", search, "SetupIntentListParams"),
    Route("GET", "/v1/setup_intents/{intent}", retrieve, "SetupIntentRetrieveParams"),
    Route("POST", "/v1/setup_intents/{intent}", update, "SetupIntentUpdateParams"),
    Route("POST", "/v1/setup_intents/{intent}/confirm", confirm, "SetupIntentConfirmParams"),
    Route("POST", "/v1/setup_intents/{intent}/cancel", cancel, "SetupIntentCancelParams"),
]
