"""Credits over HTTP: the balance explains itself, lines say where they came from, admins' decisions count once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from noren.ids import TenantId, new_id
from noren.ledger.fold import Gift
from noren.ledger.lots import NEVER
from noren.ledger.models import Ask
from noren.tenants.directory import ADMIN_GROUP
from noren.usage.models import Call, UsageRecord
from noren.usage.periods import quarter_of
from tests.unit.platform_api.kit import Platform, access_token


@pytest.fixture
def owner(platform: Platform) -> str:
    return platform.sign_up("u1")


@pytest.fixture
def boss(platform: Platform) -> str:
    return platform.sign_up("boss", admin=True, totp=True)


def tenant(platform: Platform) -> TenantId:
    return TenantId(platform.tenant_of("u1"))


def spend(platform: Platform, credits: int, function: str = "chatbot") -> str:
    """A settled request on credits, with what the streams make of it."""
    services, tenant_id = platform.services, tenant(platform)
    now = services.clock()
    site_id = services.tenants.get(tenant_id).default_site_id
    ask = Ask(tenant_id, new_id("req", now), site_id, now + 60, chats=0, credits=credits)
    record = UsageRecord(ask.request_id, tenant_id, site_id, now, chats=0, credits=credits, function=function)
    images = []
    with services.ledger.reserve(ask, record):
        images.append(services.accounts.get(tenant_id))
        record.calls.append(Call("answer", "offline", "m", "p", "p@1", "ok", tokens_output=5))
    images.append(services.accounts.get(tenant_id))
    assert images[1]
    services.journal.note(images[0], images[1], now)
    services.usage_summaries.refresh(tenant_id, {quarter_of(ask.request_id) or 0: frozenset({site_id})})
    return ask.request_id


def give(platform: Platform, credits: int, **more: Any) -> None:
    values: dict[str, Any] = {"entry_id": f"PUR#{new_id('pay')}", "type": "PURCHASE", "kind": "purchased"}
    values |= {"credits": credits, "expires_at": NEVER, "paid": 0, "currency": "JPY"}
    platform.services.credits.give(tenant(platform), Gift(**values | more))


def test_a_new_tenant_has_its_months_free_credits(platform: Platform, owner: str) -> None:
    told = platform.json("GET", "/api/v1/credits/balance", owner)
    balance = told["balance"]
    assert told["account"] == {"tenant_id": tenant(platform), "plan": "free", "overage": False}
    assert 0 < balance["granted"] <= 20
    assert balance["current"] == balance["granted"] == platform.json("GET", "/api/v1/me", owner)["remaining"]["credits"]
    assert (balance["monthly_free"], balance["estimated_days_left"], balance["debt"]) == (20, None, 0)
    assert told["auto_purchase"]["enabled"] is False
    assert told["usage"] == {"top_functions": [], "daily": []}


def test_the_balance_tells_of_the_last_30_days(platform: Platform, owner: str) -> None:
    give(platform, 500)
    spend(platform, 30)
    spend(platform, 10, "analysis")
    told = platform.json("GET", "/api/v1/credits/balance", owner)
    assert told["balance"]["used_this_month"] == told["balance"]["total_used"] == 40
    assert told["balance"]["estimated_days_left"] == told["balance"]["current"] * 30 // 40
    assert [(each["function_type"], each["credits"], each["share"]) for each in told["usage"]["top_functions"]] == [
        ("chatbot", 30, 0.75),
        ("analysis", 10, 0.25),
    ]
    assert [each["credits"] for each in told["usage"]["daily"]] == [40]


def test_lines_say_what_was_taken_from_what(platform: Platform, owner: str) -> None:
    free = platform.json("GET", "/api/v1/credits/balance", owner)["balance"]["granted"]
    give(platform, 100, paid=1_000)
    request_id = spend(platform, free + 5)
    page = platform.json("GET", "/api/v1/credits/transactions", owner)
    used, bought, granted = page["items"]
    assert (used["type"], used["credits"], used["reference_id"]) == ("USAGE", -free - 5, request_id)
    assert used["buckets"] == {"granted": free, "purchased": 5}
    assert used["total_cost"] == {"JPY": "50"}
    assert used["function_type"] == "chatbot"
    assert used["balance_after"] == 95
    assert (bought["type"], bought["credits"], bought["paid"], bought["currency"]) == ("PURCHASE", 100, 1_000, "JPY")
    assert (granted["type"], granted["credits"]) == ("MONTHLY_RESET", free)
    assert page["next_cursor"] is None


def test_lines_are_paged_and_the_cursor_is_the_tenants_own(platform: Platform, owner: str) -> None:
    for _ in range(4):
        give(platform, 10)
    seen: list[str] = []
    query: dict[str, str] = {"limit": "2"}
    while True:
        page = platform.json("GET", "/api/v1/credits/transactions", owner, query=query)
        seen += [each["entry_id"] for each in page["items"]]
        if page["next_cursor"] is None:
            break
        query = {"limit": "2", "cursor": page["next_cursor"]}
    assert len(seen) == len(set(seen)) == 5
    other = platform.sign_up("u2")
    assert platform.call("GET", "/api/v1/credits/transactions", other, query=query).status == 400


def test_overage_is_the_owners(platform: Platform, owner: str) -> None:
    changed = platform.json("PATCH", "/api/v1/credits/overage", owner, {"enabled": True})
    assert changed == {"tenant_id": tenant(platform), "enabled": True, "credits_per_chat": 2}
    assert platform.json("GET", "/api/v1/credits/balance", owner)["account"]["overage"] is True


def test_a_spent_month_shows_as_the_quotas_stop_unless_credits_go_on(platform: Platform, owner: str) -> None:
    platform.services.tenants.set_overrides(tenant(platform), {"chats_per_month": 0}, "test")
    assert platform.json("GET", "/api/v1/me", owner)["stop_mode"] == "quota"
    platform.json("PATCH", "/api/v1/credits/overage", owner, {"enabled": True})
    assert platform.json("GET", "/api/v1/me", owner)["stop_mode"] is None


@pytest.mark.parametrize(
    ("body", "type", "credits"),
    [
        ({"type": "bonus", "credits": 50, "reason": "a good start"}, "BONUS", 50),
        ({"type": "refund", "credits": 7, "reason": "a failed call"}, "REFUND", 7),
        ({"type": "adjustment", "credits": -3, "reason": "booked twice"}, "ADJUSTMENT", -3),
    ],
)
def test_an_admin_decides_with_a_reason(
    platform: Platform, owner: str, boss: str, body: dict[str, Any], type: str, credits: int
) -> None:
    give(platform, 10)
    before = platform.json("GET", "/api/v1/credits/balance", owner)["balance"]["current"]
    path = f"/api/v1/admin/tenants/{tenant(platform)}/credits"
    line = platform.json("POST", path, boss, body)
    assert (line["type"], line["credits"], line["description"]) == (type, credits, body["reason"])
    assert line["user_id"] == "user:boss"
    assert platform.json("GET", "/api/v1/credits/balance", owner)["balance"]["current"] == before + credits


def test_a_decision_counts_once_even_when_its_stored_answer_is_lost(platform: Platform, owner: str, boss: str) -> None:
    """A key's answer is kept for a day and can be lost before it is written; the entry's own id is for ever."""
    path, body = f"/api/v1/admin/tenants/{tenant(platform)}/credits", {"type": "bonus", "credits": 9, "reason": "once"}
    key = {"idempotency-key": "decision-1"}
    first = platform.json("POST", path, boss, body, headers=key)
    again = platform.json("POST", path, boss, body, headers=key)
    assert first["entry_id"] == again["entry_id"]
    platform.time.ahead += 2 * 86_400
    much_later: dict[str, Any] = {"exp": int(platform.time()) + 3600, "cognito:groups": [ADMIN_GROUP]}
    platform.json("POST", path, access_token("boss", **much_later), body, headers=key)
    owner = access_token("u1", exp=int(platform.time()) + 3600)
    entries = platform.json("GET", "/api/v1/credits/transactions", owner)["items"]
    assert [each["credits"] for each in entries if each["type"] == "BONUS"] == [9]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"type": "bonus", "credits": -1, "reason": "no way"}, 400),
        ({"type": "refund", "credits": 0, "reason": "nothing"}, 400),
        ({"type": "adjustment", "credits": -10_000, "reason": "too much"}, 409),
        ({"type": "bonus", "credits": 10**9, "reason": "too much"}, 400),
        ({"type": "bonus", "credits": 5}, 400),
    ],
)
def test_what_can_not_be_is_refused_and_changes_nothing(
    platform: Platform, owner: str, boss: str, body: dict[str, Any], status: int
) -> None:
    before = platform.json("GET", "/api/v1/credits/balance", owner)["balance"]
    answer = platform.call("POST", f"/api/v1/admin/tenants/{tenant(platform)}/credits", boss, body)
    assert answer.status == status, json.loads(answer.body)
    assert platform.json("GET", "/api/v1/credits/balance", owner)["balance"] == before


def test_what_a_payment_has_told_is_shown(platform: Platform, owner: str) -> None:
    tenant_ = platform.services.tenants.get(tenant(platform))
    data = {"credits": "500", "amount": "1,500 JPY", "order": "ord_1"}
    platform.services.notices.billing(tenant_, "credits_bought", "ord_1", data)
    (note,) = platform.json("GET", "/api/v1/notifications", owner)["items"]
    assert (note["kind"], note["data"]["credits"]) == ("credits_bought", "500")
