"""A person's way in: sign-up, GET /me, limits that follow the plan."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest

from noren.plans.service import Plans
from noren.plans.store import PK
from noren.tables import tenant_key
from noren.tenants.models import PLATFORM_TENANT, Role
from tests.unit.platform_api.kit import Platform, access_token


def test_first_call_makes_the_personal_tenant_once(platform: Platform) -> None:
    platform.people.add("u1", "aya@example.jp")
    token = access_token("u1")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: platform.json("GET", "/api/v1/me", token), range(8)))
    assert len({answer["tenant"]["tenant_id"] for answer in answers}) == 1
    me = answers[0]
    assert me["plan"] == "free"
    assert me["tier"] == "free"
    assert me["role"] == "owner"
    assert me["user"] == {"user_id": "u1", "email": "aya@example.jp", "is_platform_admin": False}
    assert [each["id"] for each in me["models"]] == ["phi-3-mini"]
    assert me["limits"]["requests_per_minute"] == 60
    assert me["remaining"]["concurrent_chats"] == {"used": 0, "limit": 2, "remaining": 2, "resets_at": None}
    assert 0 < me["remaining"]["chats"]["limit"] <= 100  # pro rata in the first month
    assert me["inference_url"] == "https://inference.example"
    assert platform.services.sites.get(me["tenant"]["tenant_id"], me["tenant"]["default_site_id"])


def test_a_crash_half_way_is_finished_by_the_next_call(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    platform.people.add("u1", "aya@example.jp")
    token = access_token("u1")
    real = platform.services.ledger.open_account

    def dies(*_: object) -> None:
        raise RuntimeError("killed")

    monkeypatch.setattr(platform.services.ledger, "open_account", dies)
    assert platform.call("GET", "/api/v1/me", token).status == 500
    monkeypatch.setattr(platform.services.ledger, "open_account", real)
    me = platform.json("GET", "/api/v1/me", token)
    assert me["remaining"]["chats"]["used"] == 0
    assert len(platform.services.tenants.memberships("u1")) == 1


def test_plan_override_and_stop_show_at_once(platform: Platform) -> None:
    owner = platform.sign_up("u1")
    admin = platform.sign_up("boss", admin=True, totp=True)
    tenant = platform.tenant_of("u1")
    platform.json("PATCH", f"/api/v1/admin/tenants/{tenant}", admin, {"plan": "VIP"})
    me = platform.json("GET", "/api/v1/me", owner)
    assert (me["plan"], me["tier"], me["limits"]["concurrent_chats"]) == ("enterprise", "vip", 200)
    assert {each["id"] for each in me["models"]} == {"phi-3-mini", "mistral-7b", "claude-haiku", "gpt-mini"}
    platform.json("PATCH", f"/api/v1/admin/tenants/{tenant}", admin, {"overrides": {"chats_per_month": 7}})
    assert platform.json("GET", "/api/v1/me", owner)["remaining"]["chats"]["limit"] == 7
    platform.json("PATCH", f"/api/v1/admin/tenants/{tenant}", admin, {"overrides": {"chats_per_month": None}})
    assert platform.json("GET", "/api/v1/me", owner)["limits"]["chats_per_month"] == 100_000

    for cause in ("billing", "security"):
        platform.json("POST", f"/api/v1/admin/tenants/{tenant}/stops", admin, {"cause": cause, "reason": "test"})
    assert platform.json("GET", "/api/v1/me", owner)["stop_mode"] == "security"
    assert not platform.services.ledger.standing(tenant).active  # type: ignore[arg-type]
    platform.json("DELETE", f"/api/v1/admin/tenants/{tenant}/stops/security", admin)
    assert platform.json("GET", "/api/v1/me", owner)["stop_mode"] == "billing"
    assert not platform.services.ledger.standing(tenant).active  # type: ignore[arg-type]
    platform.json("DELETE", f"/api/v1/admin/tenants/{tenant}/stops/billing", admin)
    assert platform.json("GET", "/api/v1/me", owner)["stop_mode"] is None
    assert platform.services.ledger.standing(tenant).active  # type: ignore[arg-type]


def test_platform_authority_needs_group_and_second_factor(platform: Platform) -> None:
    with_factor = platform.sign_up("boss", admin=True, totp=True)
    without = platform.sign_up("chief", admin=True, totp=False)
    claims: dict[str, Any] = {"cognito:groups": ["platform_admin"]}
    forged_group = access_token("u1", **claims)
    platform.sign_up("u1")
    assert platform.call("GET", "/api/v1/admin/tenants", with_factor).status == 200
    assert platform.call("GET", "/api/v1/admin/tenants", without).status == 403
    assert platform.call("GET", "/api/v1/admin/tenants", forged_group).status == 403
    assert platform.json("GET", "/api/v1/me", with_factor)["user"]["is_platform_admin"] is True
    platform.people.add("boss", "boss@example.jp", admin=False, totp=True)
    platform.time.ahead += 31
    assert platform.call("GET", "/api/v1/admin/tenants", with_factor).status == 403


def test_a_disabled_person_is_out_within_a_minute(platform: Platform) -> None:
    token = platform.sign_up("u1")
    assert platform.call("GET", "/api/v1/me", token).status == 200
    platform.people.add("u1", "u1@example.jp", enabled=False)
    platform.time.ahead += 31
    assert platform.call("GET", "/api/v1/me", token).status == 401


def test_tenant_settings(platform: Platform) -> None:
    owner = platform.sign_up("u1")
    changed = platform.json(
        "PATCH",
        "/api/v1/tenant",
        owner,
        {"name": "のれん堂", "timezone": "Asia/Seoul", "currency": "KRW", "locale": "ko"},
    )
    assert (changed["name"], changed["timezone"], changed["currency"]) == ("のれん堂", "Asia/Seoul", "KRW")
    for zone in ("Mars/Olympus", "../../etc/passwd", "Asia"):
        answer = platform.call("PATCH", "/api/v1/tenant", owner, {"timezone": zone})
        assert answer.status in (400, 422), zone
    found = platform.json(
        "GET", "/api/v1/admin/tenants", platform.sign_up("boss", admin=True, totp=True), query={"q": "のれん"}
    )
    assert [each["tenant_id"] for each in found["items"]] == [platform.tenant_of("u1")]


def test_plans_are_public_and_internal_ones_hidden(platform: Platform) -> None:
    plans = platform.json("GET", "/api/v1/plans")["items"]
    assert [each["plan"] for each in plans] == ["free", "starter", "pro", "enterprise"]
    assert plans[1]["prices"]["JPY"] == 7800


def test_lists_are_paged_newest_first_and_cursors_are_bound(platform: Platform) -> None:
    admin = platform.sign_up("boss", admin=True, totp=True)
    for number in range(5):
        platform.time.ahead += 1
        platform.sign_up(f"u{number}")
    seen, cursor = [], None
    while True:
        query = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = platform.json("GET", "/api/v1/admin/tenants", admin, query=query)
        seen += [each["created_at"] for each in page["items"]]
        cursor = page["next_cursor"]
        if not cursor:
            break
        other = platform.call("GET", "/api/v1/admin/tenants", admin, query={"cursor": cursor, "q": "x"})
        assert other.status == 400
        assert platform.call("GET", "/api/v1/admin/plans", admin, query={"cursor": cursor}).status == 400
    assert len(seen) == 7
    assert seen == sorted(seen, reverse=True)


def test_an_api_key_reads_me_without_a_user(platform: Platform) -> None:
    owner = platform.sign_up("u1")
    made = platform.json("POST", "/api/v1/api-keys", owner, {"name": "server", "scopes": ["read"]})
    me = platform.json("GET", "/api/v1/me", made["secret"])
    assert me["user"] is None
    assert me["tenant"]["tenant_id"] == platform.tenant_of("u1")


def test_roles_include_the_ones_below(platform: Platform) -> None:
    assert Role.OWNER > Role.ADMIN > Role.EDITOR > Role.VIEWER
    assert isinstance(platform.services.plans, Plans)


def test_health(platform: Platform) -> None:
    assert platform.json("GET", "/health") == {"status": "ok", "checks": []}
    assert platform.call("GET", "/health/deep").status == 401
    deep = platform.json("GET", "/health/deep", platform.sign_up("boss", admin=True, totp=True))
    assert deep["status"] == "ok", json.dumps(deep)


def test_deep_health_says_what_to_do_about_a_missing_catalogue(platform: Platform) -> None:
    boss = platform.sign_up("boss", admin=True, totp=True)
    dynamodb = boto3.client("dynamodb")
    for item in dynamodb.scan(TableName="tenants")["Items"]:
        if item["pk"]["S"] in (PK, tenant_key(PLATFORM_TENANT, "TEN")):
            dynamodb.delete_item(TableName="tenants", Key={"pk": item["pk"], "sk": item["sk"]})
    deep = platform.json("GET", "/health/deep", boss)
    assert deep["status"] == "degraded"
    told = {each["name"]: (each["error"], each["remedy"]) for each in deep["checks"] if not each["ok"]}
    remedy = "Run `bin/noren seed --stage local`."
    assert told == {"catalogue": ("NotFound", remedy), "tenants": ("NotFound", remedy)}
