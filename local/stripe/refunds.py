"""Refunds, whole and in part."""

from __future__ import annotations

from local.stripe.errors import Refusal
from local.stripe.render import page
from local.stripe.routes import Route
from local.stripe.world import Obj, World, currency_symbol, merge_metadata


def create(world: World, given: Obj) -> Obj:
    """`POST /v1/refunds`, by charge or by payment intent; without an amount what is left."""
    charge = _charge(world, given)
    left = charge["amount_captured"] - charge["amount_refunded"]
    if charge["refunded"] or left <= 0:
        raise Refusal(f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")
    if charge["disputed"]:
        raise Refusal(f"Charge {charge['id']} has been charged back; cannot issue a refund.", code="charge_disputed")
    amount = given.get("amount", left)
    if amount < 1:
        raise Refusal("Invalid positive integer", code="parameter_invalid_integer", param="amount")
    if amount > left:
        asked, rest = currency_symbol(amount, charge["currency"]), currency_symbol(left, charge["currency"])
        raise Refusal(f"Refund amount ({asked}) is greater than unrefunded amount on charge ({rest})", param="amount")
    refund = {
        "id": world.id("re"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": world.id("txn"),
        "charge": charge["id"],
        "created": world.now(),
        "currency": charge["currency"],
        "customer": charge["customer"],
        "destination_details": {"type": charge["payment_method_details"]["type"]},
        "metadata": given.get("metadata") or {},
        "payment_intent": charge["payment_intent"],
        "payment_method": charge["payment_method"],
        "reason": given.get("reason"),
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }
    world.add(refund)
    world.emit("refund.created", refund)
    with world.changing("charge.refunded", charge):
        charge["amount_refunded"] += amount
        charge["refunded"] = charge["amount_refunded"] == charge["amount_captured"]
    return refund


def _charge(world: World, given: Obj) -> Obj:
    if ("charge" in given) == ("payment_intent" in given):
        raise Refusal("One of the following params should be provided for this request: payment_intent or charge.")
    if "charge" in given:
        charge = world.get("charge", given["charge"], "charge")
    else:
        intent = world.get("payment_intent", given["payment_intent"], "payment_intent")
        if intent["status"] != "succeeded":
            raise Refusal(
                f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund.",
                code="payment_intent_unexpected_state",
            )
        charge = world.objects[intent["latest_charge"]]
    if not charge["captured"]:
        raise Refusal(f"Charge {charge['id']} has not been captured.", code="charge_not_refundable")
    return charge


def retrieve(world: World, given: Obj, refund: str) -> Obj:
    """`GET /v1/refunds/{id}`."""
    return world.get("refund", refund)


def update(world: World, given: Obj, refund: str) -> Obj:
    """`POST /v1/refunds/{id}`."""
    found = world.get("refund", refund)
    with world.changing("refund.updated", found):
        merge_metadata(found, given.get("metadata"))
    return found


def search(world: World, given: Obj) -> Obj:
    """`GET /v1/refunds`."""
    found = world.find("refund", charge=given.get("charge"), payment_intent=given.get("payment_intent"))
    return page(world, "/v1/refunds", found, given)


ROUTES = [
    Route("POST", "/v1/refunds", create, "RefundCreateParams"),
    Route("GET", "/v1/refunds", search, "RefundListParams"),
    Route("GET", "/v1/refunds/{refund}", retrieve, "RefundRetrieveParams"),
    Route("POST", "/v1/refunds/{refund}", update, "RefundUpdateParams"),
]
