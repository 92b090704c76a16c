"""The wire: keys, parameters, errors, expansion, pages, idempotency, faults, by the real SDK over HTTP."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
import requests
import stripe

from local import stripe as stand_in
from tests.contract.stripe.conftest import Server, customer_with_card, price

PAYMENT: Any = {"amount": 5000, "currency": "jpy", "allowed_payment_method_types": ["card"]}


def test_a_wrong_key_and_no_key(server: Server) -> None:
    http: Any = stripe.RequestsClient()
    wrong = stripe.StripeClient("sk_test_wrong", base_addresses={"api": server.url}, http_client=http)
    with pytest.raises(stripe.AuthenticationError, match="Invalid API Key provided: sk_test_"):
        wrong.v1.customers.list()
    http.close()
    assert requests.get(f"{server.url}/v1/customers", timeout=5).status_code == 401


def test_another_version_is_refused(server: Server) -> None:
    headers = {"authorization": f"Bearer {stand_in.API_KEY}", "stripe-version": "2020-08-27"}
    assert requests.get(f"{server.url}/v1/customers", headers=headers, timeout=5).status_code == 400


def test_unknown_ids_urls_and_parameters(server: Server) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="No such customer: 'cus_no'") as gone:
        server.v1.customers.retrieve("cus_no")
    assert (gone.value.http_status, gone.value.code, gone.value.param) == (404, "resource_missing", "id")
    with pytest.raises(stripe.InvalidRequestError) as named:
        server.v1.subscriptions.create({"customer": "cus_no", "items": [{"price": "price_no"}]})
    assert (named.value.http_status, named.value.code, named.value.param) == (400, "resource_missing", "customer")
    with pytest.raises(stripe.InvalidRequestError) as unknown:
        server.v1.payment_intents.create({**PAYMENT, "payment_method_types": ["card"]})
    assert (unknown.value.code, unknown.value.param) == ("parameter_unknown", "payment_method_types")
    with pytest.raises(stripe.InvalidRequestError) as lacking:
        server.v1.payment_intents.create({"amount": 5000})
    assert (lacking.value.code, lacking.value.param) == ("parameter_missing", "currency")
    with pytest.raises(stripe.InvalidRequestError, match="Unrecognized request URL"):
        server.v1.payouts.list()


def test_every_answer_names_its_request(server: Server) -> None:
    made = server.v1.customers.create({"metadata": {"tenant": "t1", "_private": "kept"}, "email": "a@example.jp"})
    assert made.last_response.headers["request-id"].startswith("req_")
    assert made.metadata.to_dict() == {"tenant": "t1", "_private": "kept"}
    event = server.v1.events.list({"type": "customer.created"}).data[0]
    assert event.request.id == made.last_response.headers["request-id"]
    assert event.request.idempotency_key
    assert (event.api_version, event.livemode) == (stripe.api_version, False)


@pytest.mark.parametrize(("currency", "amount", "least"), [("jpy", 49, "¥50"), ("krw", 99, "₩100")])
def test_the_least_amount(server: Server, currency: str, amount: int, least: str) -> None:
    with pytest.raises(stripe.InvalidRequestError, match=f"at least {least}") as small:
        server.v1.payment_intents.create({"amount": amount, "currency": currency})
    assert small.value.code == "amount_too_small"


def test_lists_come_by_pages_newest_first(server: Server) -> None:
    made = [server.v1.customers.create({"email": f"{number}@example.jp"}).id for number in range(7)]
    first = server.v1.customers.list({"limit": 3})
    assert ([each.id for each in first.data], first.has_more) == (made[:3:-1], True)
    assert [each.id for each in server.v1.customers.list({"limit": 3}).auto_paging_iter()] == made[::-1]
    before = server.v1.customers.list({"limit": 2, "ending_before": made[2]})
    assert [each.id for each in before.data] == [made[4], made[3]]
    with pytest.raises(stripe.InvalidRequestError, match="limit"):
        server.v1.customers.list({"limit": 101})


def test_expansion(server: Server) -> None:
    customer = customer_with_card(server.v1)
    subscription = server.v1.subscriptions.create(
        {
            "customer": customer.id,
            "items": [{"price": price(server.v1).id}],
            "expand": ["customer", "latest_invoice.payments", "latest_invoice.confirmation_secret"],
        }
    )
    assert subscription.customer.email == "tanaka@example.jp"
    invoice = subscription.latest_invoice
    payment = invoice.payments.data[0].payment
    assert invoice.confirmation_secret.client_secret.startswith(payment.payment_intent)
    plain = server.v1.invoices.retrieve(invoice.id)
    assert not {"confirmation_secret", "payments", "payment_intent"} & plain.to_dict().keys()
    for wrong in ("email", "nothing"):
        with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
            server.v1.customers.retrieve(customer.id, {"expand": [wrong]})
    with pytest.raises(stripe.InvalidRequestError, match="more than 4 levels"):
        server.v1.subscriptions.retrieve(
            subscription.id, {"expand": ["latest_invoice.payments.data.payment.payment_intent"]}
        )


def test_the_same_key_and_parameters_are_one_write(server: Server) -> None:
    once = server.v1.customers.create({"email": "a@example.jp"}, {"idempotency_key": "one"})
    again = server.v1.customers.create({"email": "a@example.jp"}, {"idempotency_key": "one"})
    assert again.id == once.id
    assert again.last_response.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in once.last_response.headers
    with pytest.raises(stripe.IdempotencyError, match="same parameters"):
        server.v1.customers.create({"email": "b@example.jp"}, {"idempotency_key": "one"})
    with pytest.raises(stripe.IdempotencyError):
        server.v1.products.create({"name": "another endpoint"}, {"idempotency_key": "one"})
    assert len(server.v1.customers.list().data) == 1


def test_a_decline_is_replayed_but_a_refused_request_is_not(server: Server) -> None:
    declined: Any = {**PAYMENT, "payment_method": "pm_card_chargeDeclined", "confirm": True}
    seen = []
    for _ in range(2):
        with pytest.raises(stripe.CardError) as error:
            server.v1.payment_intents.create(declined, {"idempotency_key": "card"})
        refused: Any = error.value.error
        seen.append(refused.payment_intent.id)
    assert seen[0] == seen[1]
    assert server.stats()["calls"]["POST /v1/payment_intents"] == 1
    with pytest.raises(stripe.InvalidRequestError):
        server.v1.payment_intents.create({**PAYMENT, "nonsense": 1}, {"idempotency_key": "typo"})
    assert server.v1.payment_intents.create(PAYMENT, {"idempotency_key": "typo"}).status == "requires_payment_method"


def test_a_key_in_use_is_a_conflict(server: Server) -> None:
    server.control("fault", slow=3.0, path="/v1/customers")
    made: list[Any] = []
    slow = threading.Thread(
        target=lambda: made.append(server.v1.customers.create({"name": "a"}, {"idempotency_key": "k"}))
    )
    slow.start()
    time.sleep(1)
    headers = {"authorization": f"Bearer {stand_in.API_KEY}", "idempotency-key": "k"}
    answer = requests.post(f"{server.url}/v1/customers", data={"name": "a"}, headers=headers, timeout=5)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "idempotency_key_in_use")
    assert answer.headers["stripe-should-retry"] == "true"
    slow.join()
    assert made[0].name == "a"
    assert len(server.v1.customers.list().data) == 1


def test_executed_but_the_answer_was_lost(server: Server) -> None:
    server.control("fault", cut=True, after=True, path="/v1/payment_intents")
    with pytest.raises(stripe.APIConnectionError):
        server.v1.payment_intents.create(PAYMENT, {"idempotency_key": "lost"})
    again = server.v1.payment_intents.create(PAYMENT, {"idempotency_key": "lost"})
    assert again.last_response.headers["idempotent-replayed"] == "true"
    assert [each.id for each in server.v1.payment_intents.list().data] == [again.id]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"status": 429}, stripe.RateLimitError),
        ({"status": 500}, stripe.APIError),
        ({"status": 503, "after": True}, stripe.APIError),
        ({"cut": True}, stripe.APIConnectionError),
    ],
)
def test_faults_pass_and_the_sdk_gets_over_them(server: Server, fault: Any, error: type[Exception]) -> None:
    server.control("fault", **fault, method="POST")
    with pytest.raises(error):
        server.v1.customers.create({"name": "a"}, {"idempotency_key": "k"})
    server.control("fault", **fault, method="POST")
    server.v1.customers.create({"name": "a"}, {"idempotency_key": "k", "max_network_retries": 1})
    assert len(server.v1.customers.list().data) == 1


def test_a_call_without_an_answer_ends_by_the_clients_time_limit(server: Server) -> None:
    server.control("fault", hang=True)
    headers = {"authorization": f"Bearer {stand_in.API_KEY}", "idempotency-key": "k"}
    with pytest.raises(requests.Timeout):
        requests.post(f"{server.url}/v1/customers", headers=headers, timeout=0.3)
    assert server.v1.customers.list().data == []
