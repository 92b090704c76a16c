"""Hostile values in every body and query: refused with 4xx, never 5xx, and nothing changes."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from noren.ids import TenantId
from noren.limits import RATES, Rate
from platform_api.routes import ROUTES
from tests.unit.platform_api.changes import ARMS, BOUGHT, FILES, HOOK, PACKAGE, PAIRS, SAID, TEXTS
from tests.unit.platform_api.kit import Platform

VALUES: tuple[Any, ...] = (
    *(-1, 0, 1.5, 10**17, "1", "-5", "NaN", True, None, [], {}, [[]], {"$gt": ""}, "", " ", "x" * 60_000),
    *("../../etc/passwd", "ten_" + "0" * 32, "a\nb", "‮", "2026-02-31", "0000-00-00", "9999-99-99"),
)
SITE: dict[str, Any] = {
    "name": "n",
    "domains": ["shop.example"],
    "allowed_domains": ["shop.example"],
    "allow_server_calls": True,
    "is_embed_enabled": True,
    "is_enrichment_enabled": True,
    "prompt_profile": "prof_1",
    "default_model": "",
    "daily_quota": 1,
    "widget_config": {"title": "t", "radius": 1, "suggested_questions": ["q"]},
}
GOOD: dict[str, dict[str, Any]] = {
    "POST /api/v1/sites/{site_id}/icon/check": {"url": "https://shop.example/icon.png"},
    "POST /api/v1/sites/{site_id}/embed/check": {"url": "https://shop.example/"},
    "POST /api/v1/webhooks": HOOK | {"description": "d", "enabled": True},
    "PATCH /api/v1/webhooks/{webhook_id}": HOOK | {"description": "d", "enabled": True},
    "PATCH /api/v1/tenant": {"name": "n"},
    "PATCH /api/v1/members/{user_id}": {"role": "viewer"},
    "POST /api/v1/invitations": {"email": "x@example.jp", "role": "viewer"},
    "POST /api/v1/invitations/accept": {"token": "x" * 43},
    "POST /api/v1/api-keys": {"name": "k", "scopes": ["read"], "expires_in_days": 1},
    "PATCH /api/v1/api-keys/{key_id}": {"name": "k", "scopes": ["read"], "expires_in_days": 1},
    "PATCH /api/v1/invitations/{invitation_id}": {"role": "viewer"},
    "POST /api/v1/admin/plans": {
        "plan": "extra",
        "aliases": [],
        "tier": "paid",
        "prices": {"JPY": 1, "KRW": 1, "USD": 1},
        "limits": {
            "chats_per_month": 1,
            "embedding_tokens_per_month": 1,
            "requests_per_day_per_site": 1,
            "concurrent_chats": 1,
            "requests_per_minute": 1,
            "max_tokens": 1,
            "sites": 1,
            "members": 1,
        },
        "effective_date": "2999-01-01",
    },
    "POST /api/v1/admin/model-policies": {
        "id": "extra",
        "name": "Extra",
        "type": "chat",
        "provider": "openai",
        "model": "m",
        "plans": ["pro"],
        "effective_date": "2999-01-01",
        "context_window": 4096,
        "input_usd": "0.1",
        "output_usd": "0.1",
    },
    "PATCH /api/v1/admin/model-policies/{policy_id}": {"enabled": True},
    "POST /api/v1/admin/exchange-rates": {"currency": "JPY", "rate": "150", "effective_date": "2999-01-01"},
    "PATCH /api/v1/admin/tenants/{tenant_id}": {"plan": "pro", "overrides": {"members": 3}},
    "POST /api/v1/admin/tenants/{tenant_id}/stops": {"cause": "manual", "reason": "r"},
    "POST /api/v1/notifications/read": {"notification_ids": ["note_1"]},
    "PATCH /api/v1/credits/auto-purchase": {"threshold": 1, "amount": 1, "monthly_cap": 1},
    "PATCH /api/v1/credits/overage": {"enabled": True},
    "POST /api/v1/admin/tenants/{tenant_id}/credits": {"type": "bonus", "credits": 5, "reason": "sorry"},
    "POST /api/v1/admin/packages": PACKAGE,
    "PATCH /api/v1/admin/packages/{package_id}": PACKAGE,
    "POST /api/v1/checkout": {"plan": "starter"},
    "POST /api/v1/subscription": {"plan": "starter"},
    "PATCH /api/v1/subscription": {"plan": "pro"},
    "POST /api/v1/credits/purchase": BOUGHT | {"payment_details": {}, "metadata": {}},
    "PATCH /api/v1/billing/cards/{payment_method_id}": {"is_default": True},
    "POST /api/v1/prompts": {"profile_name": "n", "use_for": "site", "content": SAID, "note": "n"},
    "PATCH /api/v1/prompts/{profile_id}": {"profile_name": "n", "use_for": "chat"},
    "POST /api/v1/prompts/{profile_id}/versions": {"base_version": 1, "content": SAID, "note": "n", "publish": True},
    "POST /api/v1/prompts/{profile_id}/publish": {"version": 1, "note": "n"},
    "POST /api/v1/prompts/{profile_id}/rollback": {"version": 1, "note": "n"},
    "POST /api/v1/experiments": {"profile_id": "prof_1", "name": "n", "arms": ARMS},
    "POST /api/v1/experiments/{experiment_id}/promote": {"arm": "A"},
    "POST /api/v1/sites": SITE,
    "PATCH /api/v1/sites/{site_id}": SITE | {"status": "active", "version": 1},
    "POST /api/v1/sites/{site_id}/key": {"overlap_hours": 1},
}
CANNED: dict[str, Any] = {
    "patterns": [{"kind": "exact", "text": "x"}],
    "questions": ["q"],
    "answer": "a",
    "enabled": True,
}
GOOD |= {
    "POST /api/v1/sites/{site_id}/canned": CANNED,
    "PATCH /api/v1/sites/{site_id}/canned/{canned_id}": CANNED | {"version": 1},
    "POST /api/v1/feedback/{feedback_id}/canned": {"patterns": CANNED["patterns"], "answer": "a"},
    "POST /api/v1/feedback/{feedback_id}/qa": {"question": "q", "answer": "a"},
}
CRAWL: dict[str, Any] = {
    "site_id": "site_1",
    "url": "https://shop.example/",
    "force_retrain": True,
    "scope": {"max_pages": 1, "max_depth": 1, "include": ["/a/*"], "exclude": ["/b/*"]},
}
LOCATED: dict[str, Any] = {"language": "ja", "url": "https://shop.example/"}
GOOD |= {
    "POST /api/v1/train/text": {"site_id": "site_1", "texts": [TEXTS[0] | LOCATED], "force_retrain": True},
    "POST /api/v1/train/qa": {"site_id": "site_1", "pairs": [PAIRS[0] | LOCATED], "force_retrain": True},
    "POST /api/v1/train/files": {"site_id": "site_1", "files": FILES, "force_retrain": True},
    "POST /api/v1/train/uploads": {"site_id": "site_1"},
    "POST /api/v1/train/estimate": CRAWL,
    "POST /api/v1/train/url": CRAWL | {"schedule": "weekly"},
}
FOR_PAGES = {"/api/v1/embed/script", "/api/v1/embed/config"}
"""Asked for by strangers' pages, whose systems append parameters of their own."""


def test_every_body_has_a_good_example() -> None:
    assert {f"{each.method} {each.path}" for each in ROUTES if each.body} == set(GOOD)


def test_hostile_members_are_refused(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RATES, "fetch", Rate(10**6, 60))
    monkeypatch.setitem(RATES, "train", Rate(10**6, 60))
    monkeypatch.setitem(RATES, "purchase", Rate(10**6, 60))  # refused for what it is, not for how often
    token = platform.sign_up("boss", admin=True, totp=True)
    tenant = TenantId(platform.tenant_of("boss"))
    platform.services.tenants.set_overrides(tenant, {"requests_per_minute": 10**6}, "test")
    for route in (each for each in ROUTES if each.body):
        good = GOOD[f"{route.method} {route.path}"]
        path = re.sub(r"\{\w+\}", "x", route.path.replace("{tenant_id}", tenant))
        strange: tuple[Any, ...] = ([], "text", 5, None, good | {"surplus": 1})
        for odd in strange:
            assert platform.call(route.method, path, token, raw=json.dumps(odd).encode()).status == 400, route.path
        for name in good:
            for value in VALUES:
                answer = platform.call(route.method, path, token, good | {name: value})
                assert answer.status < 500, (route.path, name, value, answer.body)
                if value in (-1, 1.5, [[]]):
                    assert answer.status >= 400, (route.path, name, value)


def test_hostile_numbers_change_no_limit(platform: Platform) -> None:
    token = platform.sign_up("boss", admin=True, totp=True)
    path = f"/api/v1/admin/tenants/{platform.tenant_of('boss')}"
    before = platform.json("GET", path, token)
    for literal in ("-1", "1e3", "1.0", "NaN", "1e308", '"7"', "9" * 39, "true", "[]", "-0.0"):
        body = b'{"overrides": {"chats_per_month": ' + literal.encode() + b"}}"
        assert platform.call("PATCH", path, token, raw=body).status in (400, 422), literal
    assert platform.call("PATCH", path, token, {"overrides": {"nonsense": 1}}).status == 422
    assert platform.json("GET", path, token) == before


def test_hostile_queries_are_refused(platform: Platform) -> None:
    token = platform.sign_up("boss", admin=True, totp=True)
    platform.services.tenants.set_overrides(
        TenantId(platform.tenant_of("boss")), {"requests_per_minute": 10**6}, "test"
    )
    for route in (each for each in ROUTES if each.query and each.path not in FOR_PAGES):
        for query in (
            {"limit": "0"},
            {"limit": "-1"},
            {"limit": "101"},
            {"limit": "1e2"},
            {"limit": "９９９９"},
            {"limit": ""},
            {"cursor": "forged"},
            {"cursor": "e30.e30"},
            {"cursor": "x" * 5000},
            {"surplus": "1"},
            {"cursor": "a\x00"},
            {"limit": "\ud800"},
        ):
            answer = platform.call(route.method, route.path, token, query=query)
            assert answer.status == 400, (route.path, query)


def test_calls_are_counted_against_the_plans_minute(platform: Platform) -> None:
    token, other = platform.sign_up("busy"), platform.sign_up("calm")
    platform.services.tenants.set_overrides(TenantId(platform.tenant_of("busy")), {"requests_per_minute": 3}, "test")
    platform.time.to_next_minute()
    answers = [platform.call("GET", "/api/v1/members", token) for _ in range(4)]
    assert [each.status for each in answers] == [200, 200, 200, 429]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
    assert json.loads(answers[-1].body)["code"] == "rate_limited"
    assert platform.call("GET", "/api/v1/members", other).status == 200  # another tenant's minute is its own
    assert platform.call("GET", "/api/v1/plans", token).status == 200  # public: no tenant's
    platform.time.ahead += 120
    assert platform.call("GET", "/api/v1/members", token).status == 200


def test_refused_callers_use_up_nobodys_minute(platform: Platform) -> None:
    token = platform.sign_up("owner")
    platform.services.tenants.set_overrides(TenantId(platform.tenant_of("owner")), {"requests_per_minute": 2}, "test")
    for _ in range(5):
        assert platform.call("GET", "/api/v1/admin/tenants", token).status == 403
    assert platform.call("GET", "/api/v1/members", token).status == 200


def test_an_operators_work_has_no_plan(platform: Platform) -> None:
    token = platform.sign_up("boss", admin=True, totp=True)
    platform.services.tenants.set_overrides(TenantId(platform.tenant_of("boss")), {"requests_per_minute": 1}, "test")
    assert {platform.call("GET", "/api/v1/admin/tenants", token).status for _ in range(3)} == {200}
