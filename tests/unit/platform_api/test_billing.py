"""Buying over HTTP: what each way of paying answers, and that nothing of it is anybody else's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from noren.billing.seed import PACKAGES
from tests.unit.billing.fake_stripe import DECLINED
from tests.unit.platform_api.changes import OWNER, people
from tests.unit.platform_api.kit import Platform, access_token
from tests.unit.platform_api.test_audit import trail

SMALL = PACKAGES[0].package_id
LARGE = PACKAGES[2].package_id


@pytest.fixture
def peopled(platform: Platform) -> Platform:
    people(platform)
    return platform


def buy(platform: Platform, method: str, who: str = OWNER, /, *, package: str = SMALL, **details: str) -> Any:
    body = {"package_id": package, "payment_method": method, "payment_details": details}
    return platform.json("POST", "/api/v1/credits/purchase", access_token(who), body)


def balance(platform: Platform, who: str = OWNER) -> int:
    found = platform.json("GET", "/api/v1/credits/balance", access_token(who))["balance"]
    assert isinstance(found["current"], int)
    return int(found["current"])


def test_a_card_pays_at_once(peopled: Platform) -> None:
    before = balance(peopled)
    made = buy(peopled, "stripe", stripe_payment_method_id="pm_visa")
    assert made["payment"]["status"] == "completed"
    assert made["purchase"] | {"transaction_id": ""} == {
        "transaction_id": "",
        "package_id": SMALL,
        "credits_added": 500,
        "total_cost": 1_500,
        "currency": "JPY",
        "discount": None,
    }
    assert made["account"]["new_balance"] == balance(peopled) == before + 500
    assert [each["template"] for each in peopled.outbox.mails][-1:] != ["purchase_failed"]


def test_a_refused_card_says_why_and_grants_nothing(peopled: Platform) -> None:
    before = balance(peopled)
    made = buy(peopled, "stripe", stripe_payment_method_id="pm_declined")
    assert (made["payment"]["status"], made["payment"]["error_message"]) == ("failed", DECLINED)
    assert (made["purchase"]["credits_added"], balance(peopled)) == (0, before)


def test_a_bank_that_asks_is_waited_for(peopled: Platform) -> None:
    before = balance(peopled)
    made = buy(peopled, "stripe", stripe_payment_method_id="pm_3ds")
    payment = made["payment"]
    assert payment["status"] == "requires_action"
    assert payment["client_secret"]
    assert payment["url"].startswith("https://bank.example/")
    assert balance(peopled) == before
    shown = peopled.json("GET", f"/api/v1/credits/purchases/{made['purchase']['transaction_id']}", access_token(OWNER))
    assert shown["payment"]["url"] == payment["url"]
    peopled.stripe.confirm(payment["payment_intent_id"])
    path = f"/api/v1/credits/purchases/{made['purchase']['transaction_id']}"
    assert peopled.json("GET", path, access_token(OWNER))["payment"]["status"] == "completed"
    again = buy(peopled, "stripe", stripe_payment_intent_id=payment["payment_intent_id"])
    assert again["payment"]["status"] == "completed"
    assert balance(peopled) == before + 500


def test_an_invoice_grants_when_it_is_paid(peopled: Platform) -> None:
    before = balance(peopled)
    made = buy(peopled, "invoice", invoice_email="keiri@example.jp")
    assert (made["payment"]["status"], balance(peopled)) == ("pending", before)
    (invoice,) = [each for each in peopled.stripe.writes if each.startswith("in_")]
    assert made["payment"]["url"].endswith(invoice)
    peopled.stripe.pay_invoice(invoice)
    path = f"/api/v1/credits/purchases/{made['purchase']['transaction_id']}"
    assert peopled.json("GET", path, access_token(OWNER))["payment"]["status"] == "completed"
    assert balance(peopled) == before + 500


def test_a_page_that_was_left_is_found_again(peopled: Platform) -> None:
    made = buy(peopled, "stripe")
    path = f"/api/v1/credits/purchases/{made['purchase']['transaction_id']}"
    assert peopled.json("GET", path, access_token(OWNER))["payment"]["url"] == made["payment"]["url"] != ""


def test_what_is_not_offered_is_not_sold(peopled: Platform) -> None:
    body = {"package_id": LARGE, "payment_method": "stripe"}
    answer = peopled.call("POST", "/api/v1/credits/purchase", access_token(OWNER), body)
    assert (answer.status, json.loads(answer.body)["code"]) == (422, "package_not_offered")
    answer = peopled.call("POST", "/api/v1/credits/purchase", access_token(OWNER), body | {"payment_method": "gold"})
    assert answer.status == 400
    answer = peopled.call("POST", "/api/v1/checkout", access_token(OWNER), {"plan": "free"})
    assert answer.status == 404


def test_a_foreign_payment_answers_like_a_missing_one(peopled: Platform) -> None:
    theirs = buy(peopled, "stripe", stripe_payment_method_id="pm_3ds")["payment"]["payment_intent_id"]
    peopled.sign_up("attacker")
    answers = []
    for intent in (theirs, "pi_404"):
        details = {"stripe_payment_intent_id": intent}
        body = {"package_id": SMALL, "payment_method": "stripe", "payment_details": details}
        answer = peopled.call("POST", "/api/v1/credits/purchase", access_token("attacker"), body)
        answers.append((answer.status, json.loads(answer.body)["detail"]))
    assert answers[0] == answers[1]
    assert answers[0][0] == 404


def test_the_trail_opens_no_page_and_confirms_no_payment(peopled: Platform) -> None:
    owner = access_token(OWNER)
    pages = [peopled.json("POST", "/api/v1/checkout", owner, {"plan": "starter"})["url"]]
    pages.append(peopled.json("POST", "/api/v1/billing/portal", owner)["url"])
    pages.append(buy(peopled, "stripe")["payment"]["url"])
    pages.append(peopled.json("POST", "/api/v1/billing/cards", owner)["client_secret"])
    pages.append(buy(peopled, "stripe", stripe_payment_method_id="pm_3ds")["payment"]["client_secret"])
    text = json.dumps(trail(peopled), default=str)
    assert "POST /api/v1/billing/portal" in text
    assert all(pages)
    assert not [page for page in pages if page in text]


def test_a_plan_is_changed_cancelled_and_resumed(peopled: Platform) -> None:
    owner, path = access_token(OWNER), "/api/v1/subscription"
    assert peopled.json("GET", path, owner)["status"] == "none"
    assert peopled.json("POST", path, owner, {"plan": "starter"})["status"] == "active"
    assert peopled.json("GET", "/api/v1/me", owner)["plan"] == "starter"
    assert peopled.call("POST", "/api/v1/checkout", owner, {"plan": "pro"}).status == 409
    shown = peopled.json("GET", f"{path}/preview", owner, query={"plan": "pro"})
    assert shown["amount_due"] > 0
    assert peopled.json("PATCH", path, owner, {"plan": "pro"})["plan"] == "pro"
    assert peopled.json("GET", "/api/v1/me", owner)["plan"] == "pro"
    waiting = peopled.json("PATCH", path, owner, {"plan": "starter"})
    assert (waiting["plan"], waiting["next_plan"]) == ("pro", "starter")
    assert peopled.json("POST", f"{path}/resume", owner)["next_plan"] is None
    assert peopled.json("DELETE", path, owner)["cancel_at_period_end"] is True
    assert peopled.json("POST", f"{path}/resume", owner)["cancel_at_period_end"] is False
