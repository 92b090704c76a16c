"""Checkout, portal and the other hosted pages, clicked through over HTTP."""

from __future__ import annotations

import re
from typing import Any

import pytest
import requests
import stripe

from local.stripe.inprocess import InProcess
from tests.contract.stripe.conftest import Server, customer_with_card, line, price, types

BACK = {"success_url": "https://shop.example/ok?s={CHECKOUT_SESSION_ID}", "cancel_url": "https://shop.example/no"}
JA = {"accept-language": "ja,en;q=0.5"}


def click(url: str, **form: str) -> requests.Response:
    """Send a page's form as a browser would; redirects are the test's to follow."""
    form = {"email": "tanaka@example.jp", "expiry": "12 / 34", "cvc": "123", **form}
    return requests.post(url, data=form, headers=JA, allow_redirects=False, timeout=10)


def order(server: Server, **more: Any) -> Any:
    return server.v1.checkout.sessions.create({"mode": "payment", "line_items": [line()], **BACK, **more})


def happened(server: Server) -> list[str]:
    return [each.type for each in server.v1.events.list({"limit": 100}).data][::-1]


def test_a_payment(server: Server) -> None:
    customer = server.v1.customers.create({"email": "tanaka@example.jp"})
    session = order(
        server,
        customer=customer.id,
        client_reference_id="tenant-1",
        metadata={"order": "1"},
        payment_intent_data={"setup_future_usage": "off_session", "metadata": {"order": "1"}},
        invoice_creation={"enabled": True, "invoice_data": {"footer": "毎度あり"}},
    )
    assert (session.status, session.payment_status, session.amount_total) == ("open", "unpaid", 5000)
    page = requests.get(session.url, headers=JA, timeout=5)
    assert "¥5,000 を支払う" in page.text
    assert "Pay ¥5,000" in requests.get(session.url, headers={"accept-language": "en"}, timeout=5).text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert not re.search(r"<script|https?://(?!127)", page.text)
    done = click(session.url, number="4242 4242 4242 4242", action="pay")
    assert (done.status_code, done.headers["location"]) == (303, f"https://shop.example/ok?s={session.id}")
    after = server.v1.checkout.sessions.retrieve(session.id, {"expand": ["payment_intent", "invoice", "line_items"]})
    assert (after.status, after.payment_status, after.client_reference_id) == ("complete", "paid", "tenant-1")
    assert (after.payment_intent.metadata["order"], after.payment_intent.amount_received) == ("1", 5000)
    assert (after.invoice.status, after.invoice.footer, after.invoice.amount_paid) == ("paid", "毎度あり", 5000)
    assert after.line_items.data[0].amount_total == 5000
    assert len(server.v1.customers.payment_methods.list(customer.id).data) == 1
    assert happened(server) == [
        *("customer.created", "product.created", "payment_intent.created", "charge.succeeded"),
        *("payment_method.attached", "payment_intent.succeeded", "invoice.created", "invoice.finalized"),
        *("invoice_payment.paid", "invoice.updated", "invoice.paid", "invoice.payment_succeeded"),
        "checkout.session.completed",
    ]
    assert click(session.url, number="4242424242424242", action="pay").status_code == 303
    assert len(server.v1.payment_intents.list().data) == 1


def test_a_subscription(server: Server) -> None:
    session = server.v1.checkout.sessions.create(
        {
            "mode": "subscription",
            "line_items": [{"price": price(server.v1).id, "quantity": 1}],
            "subscription_data": {"metadata": {"tenant": "t1"}},
            **BACK,
        }
    )
    assert click(session.url, number="4242424242424242", action="pay").status_code == 303
    after = server.v1.checkout.sessions.retrieve(session.id, {"expand": ["subscription", "customer"]})
    assert (after.payment_status, after.subscription.status) == ("paid", "active")
    assert (after.subscription.metadata["tenant"], after.customer.email) == ("t1", "tanaka@example.jp")
    assert after.subscription.default_payment_method
    assert happened(server)[-1] == "checkout.session.completed"


@pytest.mark.parametrize("mode", ["payment", "subscription"])
def test_a_declined_card_leaves_it_open(server: Server, mode: str) -> None:
    lines = [line()] if mode == "payment" else [{"price": price(server.v1).id, "quantity": 1}]
    session = server.v1.checkout.sessions.create({"mode": mode, "line_items": lines, **BACK})
    for number, words in (
        ("4000000000000002", "Your card was declined."),
        ("4000000000009995", "Your card has insufficient funds."),
        ("4242424242424241", "Your card number is incorrect."),
        ("4111111111111111", "used a non test card"),
    ):
        refused = click(session.url, number=number, action="pay")
        assert refused.status_code == 402
        assert words in refused.text
        assert 'role="alert"' in refused.text
    assert server.v1.checkout.sessions.retrieve(session.id).status == "open"
    assert "payment_intent.payment_failed" in happened(server)
    assert server.v1.subscriptions.list({"status": "all"}).data == []
    assert click(session.url, number="4242424242424242", action="pay").status_code == 303


@pytest.mark.parametrize("mode", ["payment", "subscription"])
def test_three_d_secure(server: Server, mode: str) -> None:
    lines = [line()] if mode == "payment" else [{"price": price(server.v1).id, "quantity": 1}]
    session = server.v1.checkout.sessions.create({"mode": mode, "line_items": lines, **BACK})
    secure = click(session.url, number="4000002760003184", action="pay").headers["location"]
    assert "本人認証" in requests.get(secure, headers=JA, timeout=5).text
    back = click(secure, outcome="fail").headers["location"]
    assert "本人認証に失敗しました" in requests.get(back, headers=JA, timeout=5).text
    secure = click(session.url, number="4000002760003184", action="pay").headers["location"]
    back = click(secure, outcome="complete").headers["location"]
    assert (
        requests.get(back, allow_redirects=False, timeout=5).headers["location"].startswith("https://shop.example/ok")
    )
    assert server.v1.checkout.sessions.retrieve(session.id).payment_status == "paid"


@pytest.mark.parametrize("outcome", ["succeeded", "failed"])
def test_paying_later(server: Server, outcome: str) -> None:
    session = order(server)
    slip = click(session.url, action="later").headers["location"]
    waiting = server.v1.checkout.sessions.retrieve(session.id)
    assert (waiting.status, waiting.payment_status) == ("complete", "unpaid")
    assert "コンビニ払込票" in requests.get(server.url + slip, headers=JA, timeout=5).text
    server.control("async_payment", session=session.id, outcome=outcome)
    after = server.v1.checkout.sessions.retrieve(session.id)
    assert after.payment_status == ("paid" if outcome == "succeeded" else "unpaid")
    assert happened(server)[-1] == f"checkout.session.async_payment_{outcome}"


def test_it_expires(server: Server) -> None:
    session, other = order(server), order(server)
    assert server.v1.checkout.sessions.expire(session.id).status == "expired"
    with pytest.raises(stripe.InvalidRequestError, match="status of `expired`"):
        server.v1.checkout.sessions.expire(session.id)
    server.control("clock", advance=86_400)
    assert server.v1.checkout.sessions.retrieve(other.id).status == "expired"
    assert happened(server).count("checkout.session.expired") == 2
    assert requests.get(f"{server.url}/c/pay/{session.id}", timeout=5).status_code == 410


def test_cancel_and_a_promotion_code(server: Server) -> None:
    coupon = server.v1.coupons.create({"amount_off": 1000, "currency": "jpy"})
    server.v1.promotion_codes.create({"promotion": {"type": "coupon", "coupon": coupon.id}, "code": "HELLO"})
    session = order(server, allow_promotion_codes=True)
    assert click(session.url, action="cancel").headers["location"] == BACK["cancel_url"]
    assert "No such promotion_code" in click(session.url, action="code", code="nope").text
    assert "¥4,000 を支払う" in click(session.url, action="code", code="hello").text
    click(session.url, number="4242424242424242", action="pay")
    after = server.v1.checkout.sessions.retrieve(session.id)
    assert (after.amount_total, after.total_details.amount_discount) == (4000, 1000)


def test_a_card_is_saved_in_setup_mode(server: Server) -> None:
    customer = server.v1.customers.create({"email": "tanaka@example.jp"})
    session = server.v1.checkout.sessions.create({"mode": "setup", "currency": "jpy", "customer": customer.id, **BACK})
    assert click(session.url, number="4242424242424242", action="pay").status_code == 303
    after = server.v1.checkout.sessions.retrieve(session.id, {"expand": ["setup_intent"]})
    assert (after.payment_status, after.setup_intent.status) == ("no_payment_required", "succeeded")
    assert len(server.v1.customers.payment_methods.list(customer.id).data) == 1


def test_a_trial_asks_for_a_card_but_no_money(account: InProcess) -> None:
    from local.stripe import cards, paying

    v1: Any = account.client.v1
    world = account.world
    session = v1.checkout.sessions.create(
        {
            "mode": "subscription",
            "line_items": [{"price": price(v1).id, "quantity": 1}],
            "subscription_data": {"trial_period_days": 14},
            "success_url": "https://shop.example",
        }
    )
    assert (session.amount_total, session.payment_status) == (0, "no_payment_required")
    method = cards.from_number(world, "4242424242424242")
    paying.submit(world, world.objects[session.id], method, paying.Person("a@example.jp"))
    assert types(account)[-1] == "checkout.session.completed"
    (subscription,) = v1.subscriptions.list().data
    assert subscription.status == "trialing"
    account.advance(15 * 86_400)
    assert v1.subscriptions.retrieve(subscription.id).status == "active"


def test_rules_between_parameters(account: InProcess) -> None:
    v1: Any = account.client.v1
    customer = v1.customers.create({"email": "a@example.jp"})
    monthly = {"price": price(v1).id, "quantity": 1}
    mine = {"mode": "payment", "line_items": [line()], "customer": customer.id}
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"mode": "payment", "line_items": [monthly]}, "recurring price"),
        ({"mode": "payment"}, "line_items"),
        ({"mode": "payment", "line_items": [line()], "subscription_data": {}}, "subscription_data"),
        ({"mode": "payment", "line_items": [line(10)]}, "at least ¥50"),
        (
            {**mine, "customer_email": "a@b.jp"},
            "only specify",
        ),
        (
            {
                "mode": "payment",
                "line_items": [line()],
                "customer": customer.id,
                "tax_id_collection": {"enabled": True},
            },
            "Tax ID collection",
        ),
        (
            {**mine, "automatic_tax": {"enabled": True}},
            "Automatic tax calculation",
        ),
        ({"mode": "payment", "line_items": [line()], "expires_at": 5}, "expires_at"),
        ({"mode": "payment", "line_items": [line()], "ui_mode": "elements"}, "does not know"),
        ({"mode": "setup"}, "currency"),
    ]
    for given, words in wrong:
        if "subscription_data" in given:
            given["subscription_data"] = {"metadata": {"a": "b"}}
        with pytest.raises(stripe.InvalidRequestError, match=words):
            v1.checkout.sessions.create({**BACK, **given})


def test_the_portal(server: Server) -> None:
    customer = customer_with_card(server.v1)
    made = server.v1.subscriptions.create({"customer": customer.id, "items": [{"price": price(server.v1).id}]})
    session = server.v1.billing_portal.sessions.create({"customer": customer.id, "return_url": "https://shop.example"})
    page = requests.get(session.url, headers=JA, timeout=5).text
    assert "期間終了時に解約する" in page
    assert "4242" in page
    assert click(session.url, action="cancel", target=made.id).status_code == 303
    assert server.v1.subscriptions.retrieve(made.id).cancel_at_period_end
    assert happened(server)[-1] == "customer.subscription.updated"
    click(session.url, action="resume", target=made.id)
    assert not server.v1.subscriptions.retrieve(made.id).cancel_at_period_end
    assert click(session.url, action="card", number="4000000000000002").status_code == 402
    assert click(session.url, action="card", number="5555555555554444").status_code == 303
    default = server.v1.customers.retrieve(customer.id, {"expand": ["invoice_settings.default_payment_method"]})
    assert default.invoice_settings.default_payment_method.card.last4 == "4444"
    stranger = server.v1.subscriptions.create(
        {"customer": customer_with_card(server.v1).id, "items": [{"price": price(server.v1, 100).id}]}
    )
    assert click(session.url, action="cancel", target=stranger.id).status_code == 402
    assert not server.v1.subscriptions.retrieve(stranger.id).cancel_at_period_end
    server.control("clock", advance=7200)
    assert requests.get(session.url, timeout=5).status_code == 410


def test_the_hosted_invoice(server: Server) -> None:
    number = server.v1.tax_ids.create({"type": "jp_trn", "value": "T1234567890123"})
    customer = server.v1.customers.create({"email": "keiri@example.jp", "name": "<b>山田</b>"})
    draft = server.v1.invoices.create(
        {
            "customer": customer.id,
            "collection_method": "send_invoice",
            "days_until_due": 30,
            "account_tax_ids": [number.id],
        }
    )
    server.v1.invoice_items.create({"customer": customer.id, "invoice": draft.id, "amount": 5000, "currency": "jpy"})
    url = server.v1.invoices.finalize_invoice(draft.id).hosted_invoice_url
    page = requests.get(url, headers=JA, timeout=5).text
    assert "登録番号: T1234567890123" in page
    assert "&lt;b&gt;山田" in page
    assert requests.get(url[:-1], timeout=5).status_code == 404
    assert click(url, number="4000000000000002").status_code == 402
    assert click(url, number="4242424242424242").status_code == 303
    assert server.v1.invoices.retrieve(draft.id).status == "paid"


def test_a_form_for_a_client_secret(server: Server) -> None:
    intent = server.v1.payment_intents.create({"amount": 900, "currency": "jpy"})
    url = f"{server.url}/elements/{intent.client_secret}?return_url=https://shop.example/done"
    assert "Pay ¥900" in requests.get(url, timeout=5).text
    assert click(url, number="4000000000000002").status_code == 402
    back = click(url, number="4242424242424242").headers["location"]
    assert back.startswith(f"https://shop.example/done?payment_intent={intent.id}")
    assert "redirect_status=succeeded" in back
    assert requests.get(f"{server.url}/elements/{intent.id}_secret_guessed", timeout=5).status_code == 404


def test_the_dashboard(server: Server) -> None:
    intent = server.v1.payment_intents.create(
        {
            "amount": 900,
            "currency": "jpy",
            "confirm": True,
            "payment_method": "pm_card_visa",
            "allowed_payment_method_types": ["card"],
        }
    )
    assert intent.id in requests.get(server.url, timeout=5).text
    form = {"action": "refund", "target": intent.id}
    assert requests.post(f"{server.url}/dashboard", data=form, timeout=5).status_code == 403
    own = {"origin": server.url}
    assert requests.post(f"{server.url}/dashboard", data=form, headers=own, timeout=5).ok
    refunded = server.v1.charges.retrieve(intent.latest_charge)
    assert refunded.amount_refunded == 900
    assert server.v1.events.list({"type": "charge.refunded"}).data[0].request.id is None
    before = server.stats()["now"]
    requests.post(f"{server.url}/dashboard", data={"advance": "month"}, headers=own, timeout=5)
    assert server.stats()["now"] - before >= 31 * 86_400
