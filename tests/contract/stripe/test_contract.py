"""Parameters are held against the SDK's own types: what our adapter sends is checked by the same module."""

from __future__ import annotations

from typing import Any

import pytest
from stripe import params as sdk

from local.stripe import contract
from local.stripe.api import ROUTES, decode
from local.stripe.errors import Refusal

PAYMENT: dict[str, Any] = {"amount": 5000, "currency": "jpy"}
SESSION: dict[str, Any] = {
    "mode": "payment",
    "success_url": "https://a.jp",
    "line_items": [{"price": "p", "quantity": 1}],
}


@pytest.mark.parametrize(
    ("params", "values"),
    [
        (sdk.PaymentIntentCreateParams, {**PAYMENT, "off_session": True, "metadata": {"a": "b"}}),
        (sdk.PaymentIntentCreateParams, {**PAYMENT, "allowed_payment_method_types": ["card"], "expand": ["customer"]}),
        (sdk.SubscriptionUpdateParams, {"billing_cycle_anchor": {"type": "now"}, "metadata": ""}),
        (sdk.SubscriptionUpdateParams, {"cancel_at": "", "trial_end": "now", "items": [{"id": "si", "price": "p"}]}),
        (sdk.checkout.SessionCreateParams, {**SESSION, "subscription_data": {"metadata": {"t": "1"}}}),
        (sdk.CustomerUpdateParams, {"invoice_settings": {"default_payment_method": "pm"}, "name": ""}),
    ],
)
def test_what_stripe_takes(params: type, values: dict[str, Any]) -> None:
    assert contract.problems(params, values) == []


@pytest.mark.parametrize(
    ("params", "values", "kind", "param"),
    [
        (sdk.PaymentIntentCreateParams, {**PAYMENT, "payment_method_types": []}, "unknown", "payment_method_types"),
        (sdk.PaymentIntentCreateParams, {"amount": 5000}, "missing", "currency"),
        (sdk.PaymentIntentCreateParams, {**PAYMENT, "amount": "5000"}, "invalid", "amount"),
        (sdk.PaymentIntentCreateParams, {**PAYMENT, "amount": True}, "invalid", "amount"),
        (sdk.PaymentIntentCreateParams, {**PAYMENT, "payment_method": ""}, "empty", "payment_method"),
        (sdk.SubscriptionUpdateParams, {"billing_cycle_anchor": "now"}, "invalid", "billing_cycle_anchor"),
        (sdk.SubscriptionUpdateParams, {"items": [{"id": "si", "qty": 1}]}, "unknown", "items[0][qty]"),
        (sdk.SubscriptionUpdateParams, {"metadata": ["a"]}, "invalid", "metadata"),
        (sdk.checkout.SessionCreateParams, {**SESSION, "mode": "payments"}, "invalid", "mode"),
        (sdk.PriceListParams, {"lookup_keys": "pro"}, "invalid", "lookup_keys"),
    ],
)
def test_what_stripe_refuses(params: type, values: dict[str, Any], kind: str, param: str) -> None:
    (problem,) = contract.problems(params, values)
    assert (problem.kind, problem.param) == (kind, param)


def test_a_form_becomes_typed_values() -> None:
    form = "amount=500&currency=jpy&confirm=true&metadata[order]=7&expand[0]=customer&expand[1]=latest_charge"
    assert contract.read(sdk.PaymentIntentCreateParams, decode(form)) == {
        "amount": 500,
        "currency": "jpy",
        "confirm": True,
        "metadata": {"order": "7"},
        "expand": ["customer", "latest_charge"],
    }
    assert contract.read(sdk.CustomerListParams, decode("expand[]=data.tax&limit=3")) == {
        "expand": ["data.tax"],
        "limit": 3,
    }
    with pytest.raises(Refusal, match="Invalid integer: many"):
        contract.read(sdk.CustomerListParams, decode("limit=many"))


def test_every_route_has_its_type_and_no_two_are_alike() -> None:
    for route in ROUTES:
        assert contract.problems(route.type, {"certainly_unknown": 1})[0].kind in ("unknown", "missing")
    assert len({(route.method, route.path) for route in ROUTES}) == len(ROUTES)
