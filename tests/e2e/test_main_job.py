"""The main job on the whole run: sign in, be recognised, chat by plan, be accounted for."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.e2e.client import Client, Stack

pytestmark = pytest.mark.e2e

ROUTES = {
    "free": ("runpod", "phi3", "定休日はいつですか？", "水曜"),
    "starter": ("runpod", "mistral", "日帰り入浴の大人の料金はいくらですか？", "900"),
    "pro": ("runpod", "mistral", "조식은 몇 시부터 제공되나요?", "8시"),
    "enterprise": (None, None, "How long is the Tsubame Rail Pass valid?", "seven days"),
}
"""Plan: provider, the model stand-in's endpoint, a question in a language of that tenant, what the answer must say."""


@pytest.mark.parametrize("plan", sorted(ROUTES))
def test_readme_example_answers_by_the_plans_model(stack: Stack, plan: str) -> None:
    provider, endpoint, question, expected = ROUTES[plan]
    user = stack.user(plan)
    me = user.ok("GET", "/api/v1/me")
    assert me["tenant"]["plan"] == plan
    before = stack.models()
    answer = user.chat(question)
    after = stack.models()
    called = [name for name in after if after[name]["calls"] > before[name]["calls"]]
    assert expected in answer["answer"]
    assert answer["provider"] == (provider or answer["provider"])
    assert called == [endpoint or {"anthropic": "anthropic", "openai": "openai"}[answer["provider"]]]
    assert answer["model_used"] == after[called[0]]["model"], "what the upstream itself reported"
    assert answer["quota"]["chats_used"] == me_used(me) + 1
    record = user.ok("GET", "/api/v1/usage/records?limit=1")["items"][0]
    assert record["request_id"] == answer["id"]
    assert record["model"] == answer["model_used"]
    assert record["tokens_input"] == answer["tokens_consumed"]["input"] > 0
    assert record["tokens_output"] == answer["tokens_consumed"]["output"] > 0
    assert record["cost_usd"] == answer["cost_usd"]


def me_used(me: dict[str, Any]) -> int:
    used: int = me["remaining"]["chats"]["used"]
    return used


def test_the_first_token_reaches_the_client_before_the_last_is_made(stack: Stack) -> None:
    for plan, endpoint in (("free", "phi3"), ("starter", "mistral"), ("enterprise", "*")):
        stack.control(endpoint, pace_ms=250)
        try:
            arrived = list(stack.user(plan).stream(ROUTES[plan][2]))
        finally:
            stack.control("*")
        names = [event.name for event in arrived]
        assert names[0] == "meta"
        assert names[-1] == "done"
        deltas = [event for event in arrived if event.name == "delta"]
        assert len(deltas) >= 3
        made = max(
            (entry["last_token_at"] or 0.0 for model in stack.models().values() for entry in model["log"][-1:]),
            default=0.0,
        )
        offset = time.time() - time.monotonic()
        assert deltas[0].at + offset < made - 0.15, f"{plan}: the first delta waited for the last token"


def test_sixty_four_at_once_with_quota_for_ten(stack: Stack, admin: Client) -> None:
    user, me = stack.newcomer("races")
    tenant_id = me["tenant"]["tenant_id"]
    limits = {
        "chats_per_month": 10,
        "concurrent_chats": 64,
        "requests_per_minute": 1000,
        "requests_per_day_per_site": 999,
    }
    admin.ok("PATCH", f"/api/v1/admin/tenants/{tenant_id}", {"overrides": limits})
    stack.control("*", fault="overrun")
    before = stack.model_calls()
    asks = [{}, {"max_tokens": 1_000_000}, {"max_tokens": 1}, {"max_tokens": 512}]
    try:
        with ThreadPoolExecutor(64) as pool:
            gate = threading.Barrier(64)

            def ask(index: int) -> Any:
                gate.wait(30)
                return user.call("POST", "/api/v1/chat", {"message": f"When are you open? {index}", **asks[index % 4]})

            answers = list(pool.map(ask, range(64)))
    finally:
        stack.control("*")
    statuses = Counter(answer.status_code for answer in answers)
    assert statuses == {200: 10, 402: 54}, statuses
    refused = next(answer.json() for answer in answers if answer.status_code == 402)
    assert refused["code"] == "quota_exceeded"
    assert refused["plan"] == "starter"
    assert refused["upgrade_url"]
    assert stack.model_calls() - before == 10
    records = user.ok("GET", "/api/v1/usage/records?limit=100")["items"]
    assert sum(record["chats"] for record in records) == 10
    assert len([record for record in records if record["status"] != "denied"]) == 10
    remaining = user.ok("GET", "/api/v1/me")["remaining"]
    assert remaining["chats"]["used"] == 10
    assert remaining["concurrent_chats"]["used"] == 0, "a hold was left"


def test_one_idempotency_key_is_one_chat(stack: Stack) -> None:
    user = stack.user("starter")
    before = stack.model_calls()
    body = {"message": "タオルは借りられますか？"}
    key = f"key-{time.time_ns()}"
    stack.control("mistral", first_ms=500)
    try:
        with ThreadPoolExecutor(3) as pool:
            first = [pool.submit(user.call, "POST", "/api/v1/chat", body, Idempotency_Key=key) for _ in range(3)]
            answers = [each.result() for each in first]
    finally:
        stack.control("*")
    answers.append(user.call("POST", "/api/v1/chat", body, Idempotency_Key=key))
    assert [answer.status_code for answer in answers] == [200] * 4
    assert len({answer.json()["answer"] for answer in answers}) == 1
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert stack.model_calls() - before == 1
    other = user.call("POST", "/api/v1/chat", {"message": "別の質問です"}, Idempotency_Key=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    elsewhere = stack.user("pro").call(
        "POST", "/api/v1/chat", {"message": "체크인은 몇 시인가요?"}, Idempotency_Key=key
    )
    assert elsewhere.status_code == 200
    assert elsewhere.json()["id"] != answers[0].json()["id"]


def test_sign_up_makes_one_personal_tenant(stack: Stack) -> None:
    user, me = stack.newcomer("person")
    with ThreadPoolExecutor(8) as pool:
        again = list(pool.map(lambda _: user.ok("GET", "/api/v1/me"), range(8)))
    assert {one["tenant"]["tenant_id"] for one in again} == {me["tenant"]["tenant_id"]}
    assert len(me["memberships"]) == 1
    assert me["memberships"][0]["role"] == "owner"
    assert me["tenant"]["plan"] == "free"


def test_a_plan_change_shows_within_seconds(stack: Stack, admin: Client) -> None:
    user, me = stack.newcomer("upgrade")
    admin.ok("PATCH", f"/api/v1/admin/tenants/{me['tenant']['tenant_id']}", {"plan": "starter"})
    deadline = time.monotonic() + 5
    while user.ok("GET", "/api/v1/me")["tenant"]["plan"] != "starter":
        assert time.monotonic() < deadline, "the new plan did not show within 5 s"
        time.sleep(0.2)
    deadline = time.monotonic() + 31
    while user.chat("Hello?")["provider"] != "runpod" or user.chat("Hello?")["route"]["tier"] != "paid":
        assert time.monotonic() < deadline, "the model route did not follow within 30 s"
        time.sleep(2)
