"""Disputes: the bank takes the money back at once; won, it returns it."""

from __future__ import annotations

from local.stripe.errors import Refusal, unexpected_state
from local.stripe.render import page
from local.stripe.routes import Route
from local.stripe.world import DAY, Obj, World, clone, merge_metadata

OVER = ("won", "lost")


def open_for(world: World, charge: Obj, *, amount: int | None = None, reason: str = "fraudulent") -> Obj:
    """The cardholder's bank charges back. Raises Refusal if it has, or the charge did not succeed."""
    if charge["disputed"] or not charge["captured"]:
        raise unexpected_state(f"Charge {charge['id']} can't be disputed.", "charge_disputed")
    dispute: Obj = {
        "id": world.id("du"),
        "object": "dispute",
        "amount": amount or charge["amount"] - charge["amount_refunded"] or charge["amount"],
        "balance_transactions": [],
        "charge": charge["id"],
        "created": world.now(),
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {},
        "evidence_details": {
            "due_by": world.now() + 9 * DAY,
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
        },
        "is_charge_refundable": False,
        "livemode": False,
        "metadata": {},
        "network_reason_code": "10.4",
        "payment_intent": charge["payment_intent"],
        "payment_method_details": {
            "card": {"brand": "visa", "case_type": "chargeback", "network_reason_code": "10.4"},
            "type": "card",
        },
        "reason": reason,
        "status": "needs_response",
    }
    world.add(dispute)
    charge["disputed"] = True
    world.emit("charge.dispute.created", dispute)
    _move(world, dispute, -dispute["amount"])
    world.emit("charge.dispute.funds_withdrawn", dispute)
    return dispute


def close_as(world: World, dispute: Obj, outcome: str) -> Obj:
    """The bank decides: `won` or `lost`. Raises Refusal if it has."""
    if dispute["status"] in OVER:
        raise unexpected_state("This dispute is already closed.", "dispute_closed")
    if outcome not in OVER:
        raise Refusal(f"Invalid outcome: must be one of won, or lost, not {outcome}")
    dispute["status"] = outcome
    world.emit("charge.dispute.closed", dispute)
    if outcome == "won":
        _move(world, dispute, dispute["amount"])
        world.emit("charge.dispute.funds_reinstated", dispute)
    return dispute


def _move(world: World, dispute: Obj, amount: int) -> None:
    moved = {
        "id": world.id("txn"),
        "object": "balance_transaction",
        "amount": amount,
        "created": world.now(),
        "currency": dispute["currency"],
        "fee": 0,
        "net": amount,
        "source": dispute["id"],
        "status": "pending",
        "type": "adjustment",
    }
    dispute["balance_transactions"].append(clone(moved))


def retrieve(world: World, given: Obj, dispute: str) -> Obj:
    """`GET /v1/disputes/{id}`."""
    return world.get("dispute", dispute)


def search(world: World, given: Obj) -> Obj:
    """`GET /v1/disputes`."""
    found = world.find("dispute", charge=given.get("charge"), payment_intent=given.get("payment_intent"))
    return page(world, "/v1/disputes", found, given)


def update(world: World, given: Obj, dispute: str) -> Obj:
    """`POST /v1/disputes/{id}`: evidence, and with `submit` the bank's turn."""
    found = world.get("dispute", dispute)
    with world.changing("charge.dispute.updated", found):
        found["evidence"] |= given.get("evidence") or {}
        found["evidence_details"]["has_evidence"] = bool(found["evidence"])
        merge_metadata(found, given.get("metadata"))
        if given.get("submit", True) and given.get("evidence"):
            found["evidence_details"]["submission_count"] += 1
            found["status"] = "under_review"
    return found


def close(world: World, given: Obj, dispute: str) -> Obj:
    """`POST /v1/disputes/{id}/close`: we accept it as lost."""
    return close_as(world, world.get("dispute", dispute), "lost")


ROUTES = [
    Route("GET", "/v1/disputes", search, "DisputeListParams"),
    Route("GET", "/v1/disputes/{dispute}", retrieve, "DisputeRetrieveParams"),
    Route("POST", "/v1/disputes/{dispute}", update, "DisputeUpdateParams"),
    Route("POST", "/v1/disputes/{dispute}/close", close, "DisputeCloseParams"),
]
