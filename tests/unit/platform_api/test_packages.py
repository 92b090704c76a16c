"""Credit packages and standing orders over HTTP; keys on every POST; chapter 3's rates on the routes."""

from __future__ import annotations

from typing import Any

import pytest

from noren.billing.seed import PACKAGES
from noren.ids import TenantId
from noren.limits import RATES
from platform_api.routes import ROUTES
from tests.unit.platform_api.changes import PACKAGE, name
from tests.unit.platform_api.kit import Platform, access_token

WITHOUT_KEY = {
    "POST /api/v1/sites/{site_id}/icon/check": "looks, and tells what it sees at that moment",
    "POST /api/v1/sites/{site_id}/embed/check": "looks, and tells what it sees at that moment",
    "POST /api/v1/train/estimate": "looks, and tells what it sees at that moment",
    "POST /api/v1/notifications/read": "marks what is there: a repetition changes nothing",
}
"""POSTs that neither create nor spend, each with its reason."""


def amounts(answer: Any) -> list[int]:
    return [each["credits_amount"] for each in answer["items"]]


def test_every_post_takes_an_idempotency_key() -> None:
    assert {name(each) for each in ROUTES if each.method == "POST" and not each.idempotent} == set(WITHOUT_KEY)


def test_a_tenant_is_offered_its_plans_packages_in_its_currency(platform: Platform) -> None:
    owner, boss = platform.sign_up("owner"), platform.sign_up("boss", admin=True, totp=True)
    (small,) = platform.json("GET", "/api/v1/credits/packages", owner)["items"]
    assert small == {
        "package_id": PACKAGES[0].package_id,
        "credits_amount": 500,
        "price": {"amount": 1_500, "currency": "JPY"},
        "discount_rate": "0",
        "is_bulk_package": False,
        "is_promotional": False,
        "valid_until": None,
        "valid_days": 180,
        "display_name": PACKAGES[0].display_name,
        "description": PACKAGES[0].description,
        "marketing_highlight": {},
    }
    platform.json("PATCH", f"/api/v1/admin/tenants/{platform.tenant_of('owner')}", boss, {"plan": "VIP"})
    platform.json("PATCH", "/api/v1/tenant", owner, {"currency": "USD"})
    offered = platform.json("GET", "/api/v1/credits/packages", owner)
    assert amounts(offered) == [500, 2_000, 10_000]
    assert [each["price"] for each in offered["items"]] == [
        {"amount": amount, "currency": "USD"} for amount in (1_000, 3_600, 16_000)
    ]
    key = platform.json("POST", "/api/v1/api-keys", owner, {"name": "k", "scopes": ["read"]})["secret"]
    assert platform.json("GET", "/api/v1/credits/packages", key) == offered
    chat = platform.json("POST", "/api/v1/api-keys", owner, {"name": "k", "scopes": ["chat"]})["secret"]
    assert platform.call("GET", "/api/v1/credits/packages", chat).status == 403


def test_an_admin_offers_changes_withdraws_and_restores_a_package(platform: Platform) -> None:
    boss, owner = platform.sign_up("boss", admin=True, totp=True), platform.sign_up("owner")
    body = PACKAGE | {"plans": ["free"], "discount_rate": "0.25", "valid_days": 0}
    made = platform.json("POST", "/api/v1/admin/packages", boss, body, headers={"idempotency-key": "k"})
    again = platform.json("POST", "/api/v1/admin/packages", boss, body, headers={"idempotency-key": "k"})
    assert again == made
    path = f"/api/v1/admin/packages/{made['package_id']}"
    assert amounts(platform.json("GET", "/api/v1/credits/packages", owner)) == [100, 500]
    changed = platform.json("PATCH", path, boss, {"credits_amount": 700, "active": None})
    assert (changed["credits_amount"], changed["active"], changed["valid_days"]) == (700, True, 0)
    assert (changed["discount_rate"], changed["updated_by"]) == ("0.25", "user:boss")
    assert platform.json("PATCH", path, boss, {"valid_days": None})["valid_days"] is None
    assert amounts(platform.json("GET", "/api/v1/credits/packages", owner)) == [500, 700]
    assert platform.call("DELETE", path, boss).status == 204
    assert amounts(platform.json("GET", "/api/v1/credits/packages", owner)) == [500]
    assert platform.call("DELETE", path, boss).status == 404
    listed = platform.json("GET", "/api/v1/admin/packages", boss)["items"]
    assert len(listed) == 4
    assert listed[0]["deleted_by"] == "user:boss"
    assert platform.json("POST", f"{path}/restore", boss)["deleted_at"] is None
    assert amounts(platform.json("GET", "/api/v1/credits/packages", owner)) == [500, 700]


@pytest.mark.parametrize(
    "wrong",
    [
        {"prices": {"JPY": 300, "KRW": 2_800}},
        {"prices": {"JPY": 0, "KRW": 2_800, "USD": 200}},
        {"prices": {"JPY": 300, "KRW": 2_800, "USD": 200, "EUR": 1}},
        {"discount_rate": "1"},
        {"discount_rate": 0.1},
        {"plans": []},
        {"plans": ["no-such-plan"]},
        {"display_name": {"ja": "百"}},
        {"valid_until": "2026-12-01"},
        {"valid_until": "2026-13-01T00:00:00Z"},
        {"valid_from": "2999-01-02T00:00:00Z", "valid_until": "2999-01-01T00:00:00Z"},
        {"package_id": PACKAGES[0].package_id},
        {"created_by": "me"},
    ],
)
def test_a_package_that_makes_no_sense_is_refused(platform: Platform, wrong: dict[str, Any]) -> None:
    boss = platform.sign_up("boss", admin=True, totp=True)
    assert platform.call("POST", "/api/v1/admin/packages", boss, PACKAGE | wrong).status in (400, 404, 422)
    assert len(platform.json("GET", "/api/v1/admin/packages", boss)["items"]) == len(PACKAGES)


def test_the_owner_alone_sets_a_standing_order(platform: Platform) -> None:
    owner = platform.sign_up("owner")
    path = "/api/v1/credits/auto-purchase"
    assert platform.json("PATCH", path, owner, {}) == {
        "enabled": False,
        "threshold": 50,
        "amount": 500,
        "monthly_cap": 2_000,
    }
    on = platform.json("PATCH", path, owner, {"enabled": True, "amount": 300})
    assert (on["enabled"], on["amount"], on["threshold"]) == (True, 300, 50)
    assert platform.json("PATCH", path, owner, {"threshold": 0})["enabled"] is True
    assert platform.call("PATCH", path, owner, {"monthly_cap": 299}).status == 422
    key = platform.json("POST", "/api/v1/api-keys", owner, {"name": "k", "scopes": ["admin", "read"]})["secret"]
    assert platform.call("PATCH", path, key, {"enabled": False}).status == 403
    invited = {"email": "mate@example.jp", "role": "admin"}
    platform.json("POST", "/api/v1/invitations", owner, invited)
    token = platform.outbox.mails[-1]["data"]["link"].partition("token=")[2]
    platform.people.add("mate", "mate@example.jp")
    platform.json("POST", "/api/v1/invitations/accept", access_token("mate"), {"token": token})
    assert platform.call("PATCH", path, access_token("mate"), {"enabled": False}).status == 403
    assert platform.json("PATCH", path, owner, {}) == on | {"threshold": 0}


def test_a_routes_own_rate_counts_besides_the_plans(platform: Platform) -> None:
    owner, other = platform.sign_up("owner"), platform.sign_up("other")
    for who in ("owner", "other"):
        platform.services.tenants.set_overrides(TenantId(platform.tenant_of(who)), {"requests_per_minute": 999}, "t")
    calls = RATES["analytics"].calls
    platform.time.to_next_minute()
    statuses = [platform.call("GET", "/api/v1/credits/packages", owner).status for _ in range(calls + 1)]
    assert statuses == [200] * calls + [429]
    assert platform.call("GET", "/api/v1/members", owner).status == 200
    assert platform.call("GET", "/api/v1/credits/packages", other).status == 200
