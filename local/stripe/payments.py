"""Payment intents and the charges that they make: what happens to them, whoever asks."""

from __future__ import annotations

from typing import Any

from local.stripe import cards
from local.stripe.errors import Refusal, unexpected_state
from local.stripe.world import MINIMUM, Obj, World, clone, currency_symbol

OPEN = ("requires_payment_method", "requires_confirmation", "requires_action", "processing")
_KONBINI_SECONDS = 3 * 86_400
_AUTHENTICATION_FAILED = (
    "We are unable to authenticate your payment method. Please choose a different payment method and try again."
)


def check_amount(amount: int, currency: str) -> None:
    """Raises Refusal for less than the currency's minimum."""
    least = MINIMUM.get(currency, 50)
    if amount < least:
        raise Refusal(
            f"Amount must be at least {currency_symbol(least, currency)} {currency}",
            code="amount_too_small",
            param="amount",
        )
    if amount > 99_999_999:
        raise Refusal("Amount must be no more than ¥99,999,999 jpy", code="amount_too_large", param="amount")


def make(world: World, amount: int, currency: str, **members: Any) -> Obj:
    """A new payment intent, announced. The caller has checked its parameters."""
    identifier = world.id("pi")
    intent: Obj = {
        "id": identifier,
        "object": "payment_intent",
        "amount": amount,
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": None,
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": "automatic_async",
        "client_secret": f"{identifier}_secret_{world.token(25)}",
        "confirmation_method": "automatic",
        "created": world.now(),
        "currency": currency,
        "customer": None,
        "customer_account": None,
        "description": None,
        "excluded_payment_method_types": None,
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "metadata": {},
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": None,
        "payment_method_options": {"card": {"installments": None, "request_three_d_secure": "automatic"}},
        "payment_method_types": ["card"],
        "processing": None,
        "receipt_email": None,
        "review": None,
        "setup_future_usage": None,
        "shipping": None,
        "source": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "requires_payment_method",
        "transfer_data": None,
        "transfer_group": None,
        **members,
    }
    world.add(intent)
    if intent["payment_method"]:
        intent["status"] = "requires_confirmation"
    world.emit("payment_intent.created", intent)
    return intent


def attempt(
    world: World,
    intent: Obj,
    method: Obj,
    *,
    off_session: bool = False,
    authenticated: bool = False,
    return_url: str | None = None,
    no_action: bool = False,
) -> Obj:
    """Try to take the money. Raises Refusal (402) where the card declines; the intent keeps what happened."""
    intent["payment_method"], intent["next_action"] = method["id"], None
    decline = cards.refusal(method, "charge", off_session=off_session, authenticated=authenticated)
    if decline == "authentication_required" and not off_session and not no_action:
        _challenge(world, intent, return_url)
        return intent
    if decline:
        raise _decline(world, intent, method, decline)
    charge = _charge(world, intent, method, None)
    intent |= {"status": "succeeded", "amount_received": intent["amount"], "last_payment_error": None}
    world.emit("charge.succeeded", charge)
    _keep_for_later(world, intent, method)
    world.emit("payment_intent.succeeded", intent)
    _settled(world, intent)
    if cards.behind(method).disputed:
        from local.stripe import disputes

        disputes.open_for(world, charge)
    return intent


def _challenge(world: World, intent: Obj, return_url: str | None) -> None:
    challenge = {"id": world.id("3ds"), "object": "_challenge", "intent": intent["id"], "return_url": return_url}
    world.add(challenge)
    url = f"{world.url}/3ds/{challenge['id']}"
    intent |= {
        "status": "requires_action",
        "last_payment_error": None,
        "next_action": {
            "type": "redirect_to_url",
            "redirect_to_url": {"return_url": return_url, "url": url},
        },
    }
    world.emit(f"{intent['object']}.requires_action", intent)
    if intent["object"] == "payment_intent":
        _needs_action(world, intent)


def challenge(world: World, intent: Obj, return_url: str | None) -> None:
    """Ask for 3-D Secure, of a payment or a setup intent."""
    _challenge(world, intent, return_url)


def authenticate(world: World, challenge_id: str, *, passed: bool) -> Obj:
    """What the person did on the 3-D Secure page. Returns the intent, whatever became of it."""
    challenge_ = world.get("_challenge", challenge_id)
    intent = world.objects[challenge_["intent"]]
    if intent["object"] == "checkout.session":
        from local.stripe import paying

        return paying.authenticated(world, intent, passed=passed)
    if intent["status"] != "requires_action" or challenge_["id"] not in str(intent["next_action"]):
        return intent
    method = world.objects[intent["payment_method"]]
    if intent["object"] == "setup_intent":
        from local.stripe import setups

        return setups.authenticated(world, intent, method, passed=passed)
    try:
        if not passed:
            code = "payment_intent_authentication_failure"
            raise _decline(
                world, intent, method, "", Refusal(_AUTHENTICATION_FAILED, status=402, kind="card_error", code=code)
            )
        return attempt(world, intent, method, authenticated=True)
    except Refusal:
        return intent


def _decline(world: World, intent: Obj, method: Obj, decline: str, refusal: Refusal | None = None) -> Refusal:
    """Note a failed attempt everywhere it shows, and return the error to be raised. Only declines make a charge."""
    charge = _charge(world, intent, method, decline) if decline else None
    refusal = refusal or cards.card_error(decline)
    if charge:
        refusal.error["charge"] = charge["id"]
    shown = {**refusal.error, "payment_method": clone(method)}
    intent |= {"status": "requires_payment_method", "payment_method": None, "next_action": None}
    intent["last_payment_error"] = shown
    if charge:
        world.emit("charge.failed", charge)
    world.emit("payment_intent.payment_failed", intent)
    _failed(world, intent)
    refusal.error |= {"payment_intent": clone(intent), "payment_method": clone(method)}
    return refusal


def _charge(world: World, intent: Obj, method: Obj, decline: str | None) -> Obj:
    refusal = cards.card_error(decline).error if decline else {}
    charge: Obj = {
        "id": world.id("ch" if method["type"] == "card" else "py"),
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": 0 if decline else intent["amount"],
        "amount_refunded": 0,
        "application": None,
        "balance_transaction": None if decline else world.id("txn"),
        "billing_details": clone(method["billing_details"]),
        "captured": not decline,
        "created": world.now(),
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "failure_code": refusal.get("code"),
        "failure_message": refusal.get("message"),
        "fraud_details": {},
        "livemode": False,
        "metadata": dict(intent["metadata"]),
        "outcome": {
            "network_status": "declined_by_network" if decline else "approved_by_network",
            "reason": decline,
            "risk_level": "normal",
            "seller_message": "Payment complete." if not decline else "The bank did not return any further details.",
            "type": "issuer_declined" if decline else "authorized",
        },
        "paid": not decline,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": {"type": method["type"], method["type"]: clone(method[method["type"]])},
        "receipt_email": intent["receipt_email"],
        "receipt_number": None,
        "receipt_url": None if decline else f"{world.url}/receipts/{intent['id']}",
        "refunded": False,
        "review": None,
        "shipping": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "failed" if decline else "succeeded",
    }
    intent["latest_charge"] = charge["id"]
    return world.add(charge)


def _keep_for_later(world: World, intent: Obj, method: Obj) -> None:
    """Save the card if that was asked for; a card used once without a customer can't be used again."""
    if intent["setup_future_usage"] and intent["customer"] and method["type"] == "card":
        method["_set_up"] = method.get("_set_up") or intent["setup_future_usage"] == "off_session"
        cards.own(world, method, world.objects[intent["customer"]])
    elif not method["customer"]:
        method["_spent"] = True


# What depends on an intent


def _settled(world: World, intent: Obj) -> None:
    from local.stripe import invoices, paying

    if "_invoice" in intent:
        invoices.paid_by(world, world.objects[intent["_invoice"]], intent)
    if "_session" in intent:
        paying.paid(world, world.objects[intent["_session"]], intent)


def _failed(world: World, intent: Obj) -> None:
    from local.stripe import invoices, paying

    if "_invoice" in intent:
        invoices.attempt_failed(world, world.objects[intent["_invoice"]], alone=bool(intent.get("_alone")))
    if "_session" in intent:
        paying.payment_failed(world, world.objects[intent["_session"]])


def _needs_action(world: World, intent: Obj) -> None:
    from local.stripe import invoices

    if "_invoice" in intent:
        invoices.action_required(world, world.objects[intent["_invoice"]])


# Paying later


def start_konbini(world: World, intent: Obj, method: Obj) -> None:
    """Hand out a payment slip: the intent waits for the person to pay at a store."""
    cards.keep(world, method)
    details: Obj = {
        "expires_at": world.now() + _KONBINI_SECONDS,
        "hosted_voucher_url": f"{world.url}/konbini/{intent['id']}",
        "stores": {
            store: {"confirmation_number": "0000000000", "payment_code": world.token(6).upper()}
            for store in ("familymart", "lawson", "ministop", "seicomart")
        },
    }
    action = {"type": "konbini_display_details", "konbini_display_details": details}
    intent |= {"status": "requires_action", "payment_method": method["id"], "next_action": action}
    world.emit("payment_intent.requires_action", intent)
    world.at(details["expires_at"], _slip_expired, intent["id"])


def _slip_expired(world: World, intent: str) -> None:
    found = world.objects[intent]
    if found["status"] == "requires_action" and found["next_action"]["type"] == "konbini_display_details":
        finish_later(world, found, "failed")


def finish_later(world: World, intent: Obj, outcome: str) -> Obj:
    """Bring a payment that was to arrive later to its end: `succeeded`, `failed`, or `processing` on the way.

    Raises Refusal if it does not wait for anything.
    """
    method = world.objects.get(intent["payment_method"] or "", {"type": "card"})
    if method["type"] == "card" or intent["status"] not in ("requires_action", "processing"):
        raise unexpected_state("This payment waits for nothing.", "payment_intent_unexpected_state")
    if outcome == "processing":
        intent |= {"status": "processing", "next_action": None}
        world.emit("payment_intent.processing", intent)
    elif outcome == "succeeded":
        attempt(world, intent, method)
    else:
        code, words = "payment_intent_payment_attempt_expired", "The payment attempt has expired."
        _decline(world, intent, method, "", Refusal(words, status=402, code=code))
    return intent


def give_up(world: World, intent: Obj, reason: str | None) -> Obj:
    """Cancel, whoever asks."""
    intent |= {"status": "canceled", "canceled_at": world.now(), "cancellation_reason": reason, "next_action": None}
    world.emit("payment_intent.canceled", intent)
    return intent
