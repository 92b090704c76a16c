"""Stripe's test cards, and the payment methods made of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from local.stripe.errors import Refusal
from local.stripe.render import page
from local.stripe.routes import Route
from local.stripe.world import Obj, World, merge_metadata

Step = Literal["charge", "set_up"]


@dataclass(frozen=True, slots=True)
class Card:
    """How a test card behaves. An empty decline means that it works."""

    number: str
    brand: str = "visa"
    charge: str = ""
    """Decline code of every charge."""
    attach: str = ""
    """Decline code when it is saved."""
    secure: Literal["never", "always", "unless_set_up"] = "never"
    disputed: bool = False


_DECLINED = "generic_decline"
CARDS = {
    "pm_card_visa": Card("4242424242424242"),
    "pm_card_mastercard": Card("5555555555554444", "mastercard"),
    "pm_card_jcb": Card("3566002020360505", "jcb"),
    "pm_card_chargeDeclined": Card("4000000000000002", charge=_DECLINED, attach=_DECLINED),
    "pm_card_chargeDeclinedInsufficientFunds": Card(
        "4000000000009995", charge="insufficient_funds", attach="insufficient_funds"
    ),
    "pm_card_chargeDeclinedExpiredCard": Card("4000000000000069", charge="expired_card", attach="expired_card"),
    "pm_card_chargeCustomerFail": Card("4000000000000341", charge=_DECLINED),
    "pm_card_authenticationRequired": Card("4000002760003184", secure="always"),
    "pm_card_authenticationRequiredOnSetup": Card("4000002500003155", secure="unless_set_up"),
    "pm_card_createDispute": Card("4000000000000259", disputed=True),
}
"""By the ids that the API takes in place of a payment method."""
ALIASES = {"pm_card_visa_chargeDeclined": "pm_card_chargeDeclined", "pm_card_jp": "pm_card_visa"}
ALIASES |= {"pm_card_visa_chargeDeclinedInsufficientFunds": "pm_card_chargeDeclinedInsufficientFunds"}
BY_NUMBER = {card.number: card for card in CARDS.values()}

_MESSAGES = {
    "insufficient_funds": ("card_declined", "Your card has insufficient funds."),
    "expired_card": ("expired_card", "Your card has expired."),
    "authentication_required": (
        "authentication_required",
        "Your card was declined. This transaction requires authentication.",
    ),
    "test_mode_live_card": (
        "card_declined",
        "Your card was declined. Your request was in test mode, but used a non test card. For a list of valid test"
        " cards, visit: https://stripe.com/docs/testing.",
    ),
}


def card_error(decline: str, **more: Any) -> Refusal:
    """A card's refusal: 402 with Stripe's code, decline code and words."""
    code, message = _MESSAGES.get(decline, ("card_declined", "Your card was declined."))
    refusal = Refusal(message, status=402, kind="card_error", code=code, **more)
    if code != "expired_card":
        refusal.error["decline_code"] = decline
    return refusal


def behind(method: Obj) -> Card:
    """The test card that a payment method stands for."""
    return BY_NUMBER.get(method.get("_number", ""), CARDS["pm_card_visa"])


def refusal(method: Obj, step: Step, *, off_session: bool, authenticated: bool) -> str:
    """Why a charge or a set-up with this method does not go through at once, as a decline code; empty if it does.

    `authentication_required` means that the person has to pass 3-D Secure first.
    """
    card = behind(method)
    set_up = method.get("_set_up", False)
    wanted = card.secure == "always" or (card.secure == "unless_set_up" and not set_up)
    if wanted and not authenticated:
        return "authentication_required"
    del off_session
    return card.charge if step == "charge" else card.attach


def from_number(world: World, number: str, *, month: int = 12, year: int = 2034, name: str | None = None) -> Obj:
    """A payment method for a typed card number. Raises Refusal (402) as Stripe's form would."""
    digits = re.sub(r"\D", "", number)
    if not 12 <= len(digits) <= 19 or not _luhn(digits):
        raise Refusal(
            "Your card number is incorrect.", status=402, kind="card_error", code="incorrect_number", param="number"
        )
    card = BY_NUMBER.get(digits)
    if card is None:
        raise card_error("test_mode_live_card")
    return _make(world, card, month, year, name)


def take(world: World, identifier: str, param: str = "payment_method") -> Obj:
    """The payment method of that id; one of the test ids makes a new one, as with Stripe."""
    card = CARDS.get(ALIASES.get(identifier, identifier))
    if card:
        return _make(world, card)
    return world.get("payment_method", identifier, param)


def _make(world: World, card: Card, month: int = 12, year: int = 2034, name: str | None = None) -> Obj:
    shown = {
        "brand": card.brand,
        "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
        "country": "JP",
        "display_brand": card.brand,
        "exp_month": month,
        "exp_year": year,
        "fingerprint": f"fp{card.number[-8:]}",
        "funding": "credit",
        "generated_from": None,
        "last4": card.number[-4:],
        "networks": {"available": [card.brand], "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": True},
        "wallet": None,
    }
    return _method(world, "card", name) | {"card": shown, "_number": card.number}


def konbini(world: World, email: str | None) -> Obj:
    """A payment at a convenience store, which arrives later or never."""
    method = _method(world, "konbini", None)
    method["billing_details"]["email"] = email
    return method | {"konbini": {}}


def _method(world: World, kind: str, name: str | None) -> Obj:
    details = {"address": dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))}
    return {
        "id": world.id("pm"),
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": {**details, "email": None, "name": name, "phone": None, "tax_id": None},
        "created": world.now(),
        "customer": None,
        "customer_account": None,
        "livemode": False,
        "metadata": {},
        "type": kind,
    }


def _luhn(digits: str) -> bool:
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def keep(world: World, method: Obj) -> Obj:
    """Store a payment method that has been made, so that it can be asked for."""
    return world.add(method)


def own(world: World, method: Obj, customer: Obj) -> None:
    """Attach without asking the card again: it has just been charged or set up."""
    if method["customer"] == customer["id"]:
        return
    if method["customer"]:
        raise _elsewhere()
    method["customer"] = customer["id"]
    keep(world, method)
    world.emit("payment_method.attached", method)


def _elsewhere() -> Refusal:
    return Refusal(
        "The payment method you provided has already been attached to a customer.",
        code="payment_method_unexpected_state",
    )


# The API


def create(world: World, given: Obj) -> Obj:
    """`POST /v1/payment_methods`."""
    kind = given.get("type")
    if kind != "card" or "card" not in given:
        raise Refusal("Missing required param: card.", code="parameter_missing", param="card")
    token = given["card"].get("token")
    if token:
        test = f"pm_card_{token.removeprefix('tok_')}"
        method = take(world, test if test in CARDS or test in ALIASES else token, "card[token]")
    else:
        card = given["card"]
        month, year = card.get("exp_month", 12), card.get("exp_year", 2034)
        method = from_number(world, card.get("number", ""), month=month, year=year)
    method["billing_details"] |= given.get("billing_details", {})
    merge_metadata(method, given.get("metadata"))
    return keep(world, method)


def retrieve(world: World, given: Obj, method: str) -> Obj:
    """`GET /v1/payment_methods/{id}`."""
    found = take(world, method, "id")
    return found if found["id"] in world.objects else keep(world, found)


def update(world: World, given: Obj, method: str) -> Obj:
    """`POST /v1/payment_methods/{id}`."""
    found = world.get("payment_method", method)
    if not found["customer"]:
        raise Refusal("You must save this PaymentMethod to a customer before you can update it.")
    with world.changing("payment_method.updated", found):
        merge_metadata(found, given.get("metadata"))
        found["billing_details"] |= given.get("billing_details") or {}
    return found


def attach(world: World, given: Obj, method: str) -> Obj:
    """`POST /v1/payment_methods/{id}/attach`: a card that can't be saved is declined here."""
    customer = world.get("customer", given.get("customer", ""), "customer")
    found = take(world, method, "id")
    if found["customer"]:
        raise _elsewhere()
    if found.get("_spent"):
        raise spent()
    decline = behind(found).attach
    if decline:
        raise card_error(decline)
    own(world, found, customer)
    return found


def spent() -> Refusal:
    """Used once without a customer, or detached: never again."""
    return Refusal(
        "The provided PaymentMethod was previously used with a PaymentIntent without Customer attachment, shared with a"
        " connected account without Customer attachment, or was detached from a Customer. It may not be used again."
        " To use a PaymentMethod multiple times, you must attach it to a Customer first.",
        code="payment_method_unexpected_state",
    )


def detach(world: World, given: Obj, method: str) -> Obj:
    """`POST /v1/payment_methods/{id}/detach`."""
    found = world.get("payment_method", method)
    customer = world.objects.get(found["customer"] or "")
    if customer is None:
        raise Refusal(
            "The payment method you provided is not attached to a customer so detachment is impossible.",
            code="payment_method_unexpected_state",
        )
    with world.changing("payment_method.detached", found):
        found["customer"] = None
    found["_spent"] = True
    with world.changing("customer.updated", customer):
        if customer["invoice_settings"]["default_payment_method"] == method:
            customer["invoice_settings"]["default_payment_method"] = None
    for each in world.find("subscription", customer=customer["id"]):
        if each["default_payment_method"] == method:
            with world.changing("customer.subscription.updated", each):
                each["default_payment_method"] = None
    return found


def of_customer(world: World, given: Obj, customer: str) -> Obj:
    """`GET /v1/customers/{id}/payment_methods`."""
    world.get("customer", customer)
    found = world.find("payment_method", customer=customer, type=given.get("type"))
    return page(world, f"/v1/customers/{customer}/payment_methods", found, given)


def one_of_customer(world: World, given: Obj, customer: str, method: str) -> Obj:
    """`GET /v1/customers/{id}/payment_methods/{id}`."""
    found = world.get("payment_method", method)
    if found["customer"] != customer:
        raise Refusal(f"No such payment_method: '{method}'", status=404, code="resource_missing", param="id")
    return found


def search(world: World, given: Obj) -> Obj:
    """`GET /v1/payment_methods`: those of a customer."""
    if "customer" in given:
        world.get("customer", given["customer"], "customer")
    found = world.find("payment_method", customer=given.get("customer"), type=given.get("type"))
    found = [each for each in found if each["customer"]]
    return page(world, "/v1/payment_methods", found, given)


ROUTES = [
    Route("POST", "/v1/payment_methods", create, "PaymentMethodCreateParams"),
    Route("GET", "/v1/payment_methods", search, "PaymentMethodListParams"),
    Route("GET", "/v1/payment_methods/{method}", retrieve, "PaymentMethodRetrieveParams"),
    Route("POST", "/v1/payment_methods/{method}", update, "PaymentMethodUpdateParams"),
    Route("POST", "/v1/payment_methods/{method}/attach", attach, "PaymentMethodAttachParams"),
    Route("POST", "/v1/payment_methods/{method}/detach", detach, "PaymentMethodDetachParams"),
    Route("GET", "/v1/customers/{customer}/payment_methods", of_customer, "CustomerPaymentMethodListParams"),
    Route(
        "GET",
        "/v1/customers/{customer}/payment_methods/{method}",
        one_of_customer,
        "CustomerPaymentMethodRetrieveParams",
    ),
]
