"""The API's operations on payment intents and charges."""

from __future__ import annotations

from local.stripe import cards
from local.stripe.errors import Refusal, unexpected_state, unsupported
from local.stripe.payments import OPEN, attempt, check_amount, give_up, make
from local.stripe.render import includes, listed, matching, page
from local.stripe.routes import Route
from local.stripe.world import Obj, World, clone, merge_metadata


def create(world: World, given: Obj) -> Obj:
    """`POST /v1/payment_intents`."""
    currency = given["currency"].lower()
    check_amount(given["amount"], currency)
    if given.get("capture_method") == "manual":
        raise unsupported("capture_method manual")
    if given.get("off_session") and not given.get("confirm"):
        raise Refusal("When `off_session` is passed, `confirm` must be `true`.", param="off_session")
    if "customer" in given:
        world.get("customer", given["customer"], "customer")
    method = cards.keep(world, cards.take(world, given["payment_method"])) if "payment_method" in given else None
    if method:
        _usable(method, given.get("customer"))
    types = given.get("allowed_payment_method_types")
    automatic = given.get("automatic_payment_methods")
    automatic = None if types else {"allow_redirects": "always", "enabled": True, **(automatic or {})}
    intent = make(
        world,
        given["amount"],
        currency,
        automatic_payment_methods=automatic,
        payment_method_types=types or ["card", "konbini"],
        allowed_payment_method_types=types,
        customer=given.get("customer"),
        description=given.get("description"),
        metadata=given.get("metadata", {}),
        payment_method=method["id"] if method else None,
        receipt_email=given.get("receipt_email"),
        setup_future_usage=given.get("setup_future_usage"),
        statement_descriptor_suffix=given.get("statement_descriptor_suffix"),
        shipping=given.get("shipping"),
    )
    return _asked_to_confirm(world, intent, given) if given.get("confirm") else intent


def confirm(world: World, given: Obj, intent: str) -> Obj:
    """`POST /v1/payment_intents/{id}/confirm`."""
    found = world.get("payment_intent", intent)
    if found["status"] not in ("requires_payment_method", "requires_confirmation", "requires_action"):
        already = "it has already succeeded after being previously confirmed"
        if found["status"] != "succeeded":
            already = f"it has a status of {found['status']}"
        raise unexpected_state(
            f"You cannot confirm this PaymentIntent because {already}.",
            "payment_intent_unexpected_state",
            payment_intent=clone(found),
        )
    if "payment_method" in given:
        method = cards.keep(world, cards.take(world, given["payment_method"]))
        _usable(method, found["customer"])
        found["payment_method"] = method["id"]
    for name in ("setup_future_usage", "receipt_email"):
        if name in given:
            found[name] = given[name] or None
    return _asked_to_confirm(world, found, given)


def _asked_to_confirm(world: World, intent: Obj, given: Obj) -> Obj:
    method = world.objects.get(intent["payment_method"] or "")
    if method is None:
        raise unexpected_state(
            "You cannot confirm this PaymentIntent because it's missing a payment method. You can either update the"
            " PaymentIntent with a payment method and then confirm it again, or confirm it again directly with a"
            " payment method or ConfirmationToken.",
            "payment_intent_unexpected_state",
            payment_intent=clone(intent),
        )
    automatic = intent["automatic_payment_methods"] or {}
    if automatic.get("enabled") and automatic.get("allow_redirects") != "never" and "return_url" not in given:
        raise Refusal(
            "This PaymentIntent is configured to accept payment methods enabled in your Dashboard. Because some of"
            " these payment methods might redirect your customer off of your page, you must provide a `return_url`. If"
            " you don't want to accept redirect-based payment methods, set `automatic_payment_methods[enabled]` to"
            " `true` and `automatic_payment_methods[allow_redirects]` to `never` when creating Setup Intents and"
            " Payment Intents."
        )
    return attempt(
        world,
        intent,
        method,
        off_session=bool(given.get("off_session")),
        return_url=given.get("return_url"),
        no_action=bool(given.get("error_on_requires_action")),
    )


def _usable(method: Obj, customer: str | None) -> None:
    if method.get("_spent"):
        raise cards.spent()
    if method["customer"] and method["customer"] != customer:
        whose = "does not belong to the Customer you supplied" if customer else "is attached to a Customer"
        raise Refusal(
            f"The provided PaymentMethod {whose}. Please include the Customer in the `customer` parameter on the"
            f" PaymentIntent."
            if not customer
            else f"The provided PaymentMethod {whose} {customer}.",
            code="payment_method_unexpected_state",
            param="payment_method",
        )


def update(world: World, given: Obj, intent: str) -> Obj:
    """`POST /v1/payment_intents/{id}`."""
    found = world.get("payment_intent", intent)
    if found["status"] in ("succeeded", "canceled") and given.keys() - {"metadata", "description", "receipt_email"}:
        raise unexpected_state(
            f"This PaymentIntent's could not be updated because it has a status of {found['status']}.",
            "payment_intent_unexpected_state",
        )
    if "amount" in given:
        check_amount(given["amount"], found["currency"])
    for name in ("amount", "customer", "description", "receipt_email", "setup_future_usage", "shipping"):
        if name in given:
            found[name] = given[name] or None
    if "payment_method" in given:
        method = cards.keep(world, cards.take(world, given["payment_method"]))
        _usable(method, found["customer"])
        found |= {"payment_method": method["id"], "status": "requires_confirmation"}
    merge_metadata(found, given.get("metadata"))
    return found


def cancel(world: World, given: Obj, intent: str) -> Obj:
    """`POST /v1/payment_intents/{id}/cancel`."""
    found = world.get("payment_intent", intent)
    if "_invoice" in found:
        raise unexpected_state(
            "You cannot cancel a PaymentIntent of an invoice; void the invoice instead.",
            "payment_intent_unexpected_state",
        )
    if found["status"] not in OPEN:
        raise unexpected_state(
            f"You cannot cancel this PaymentIntent because it has a status of {found['status']}. Only a PaymentIntent"
            f" with one of the following statuses may be canceled: {', '.join(OPEN)}.",
            "payment_intent_unexpected_state",
            payment_intent=clone(found),
        )
    return give_up(world, found, given.get("cancellation_reason"))


def retrieve(world: World, given: Obj, intent: str) -> Obj:
    """`GET /v1/payment_intents/{id}`."""
    return world.get("payment_intent", intent)


def search(world: World, given: Obj) -> Obj:
    """`GET /v1/payment_intents`."""
    return page(world, "/v1/payment_intents", matching(world.all("payment_intent"), given, "customer"), given)


def retrieve_charge(world: World, given: Obj, charge: str) -> Obj:
    """`GET /v1/charges/{id}`."""
    return world.get("charge", charge)


def search_charges(world: World, given: Obj) -> Obj:
    """`GET /v1/charges`."""
    found = world.find("charge", customer=given.get("customer"), payment_intent=given.get("payment_intent"))
    return page(world, "/v1/charges", found, given)


@includes("charge", "refunds")
def _refunds(world: World, charge: Obj) -> Obj:
    return listed(f"/v1/charges/{charge['id']}/refunds", world.find("refund", charge=charge["id"])[::-1])


ROUTES = [
    Route("POST", "/v1/payment_intents", create, "PaymentIntentCreateParams"),
    Route("GET", "/v1/payment_intents", search, "PaymentIntentListParams"),
    Route("GET", "/v1/payment_intents/{intent}", retrieve, "PaymentIntentRetrieveParams"),
    Route("POST", "/v1/payment_intents/{intent}", update, "PaymentIntentUpdateParams"),
    Route("POST", "/v1/payment_intents/{intent}/confirm", confirm, "PaymentIntentConfirmParams"),
    Route("POST", "/v1/payment_intents/{intent}/cancel", cancel, "PaymentIntentCancelParams"),
    Route("GET", "/v1/charges", search_charges, "ChargeListParams"),
    Route("GET", "/v1/charges/{charge}", retrieve_charge, "ChargeRetrieveParams"),
]
