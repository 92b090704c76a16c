"""Changing keys and invitations after they were made."""

from __future__ import annotations

from tests.unit.platform_api.kit import Platform
from tests.unit.tenants.test_team import invited, join, upgrade


def test_a_key_is_renamed_narrowed_and_ended(platform: Platform) -> None:
    owner = platform.sign_up("u1")
    made = platform.json("POST", "/api/v1/api-keys", owner, {"name": "server", "scopes": ["read", "admin"]})
    assert platform.call("GET", "/api/v1/members", made["secret"]).status == 200
    path = f"/api/v1/api-keys/{made['key_id']}"
    changed = platform.json("PATCH", path, owner, {"name": "reader", "scopes": ["read"], "expires_in_days": 2})
    assert (changed["name"], changed["scopes"]) == ("reader", ["read"])
    assert changed["expires_at"] is not None
    platform.time.ahead += 31
    assert platform.call("GET", "/api/v1/members", made["secret"]).status == 403
    assert platform.call("GET", "/api/v1/usage/records", made["secret"]).status == 200
    platform.time.ahead += 2 * 86400
    assert platform.call("GET", "/api/v1/usage/records", made["secret"]).status == 401


def test_a_revoked_key_stays_revoked(platform: Platform) -> None:
    owner = platform.sign_up("u1")
    made = platform.json("POST", "/api/v1/api-keys", owner, {"name": "server", "scopes": ["read"]})
    path = f"/api/v1/api-keys/{made['key_id']}"
    platform.json("DELETE", path, owner)
    assert platform.call("PATCH", path, owner, {"expires_in_days": 9}).status == 409
    assert platform.call("GET", "/api/v1/usage/records", made["secret"]).status == 401


def test_an_open_invitation_may_offer_another_role(platform: Platform) -> None:
    owner = platform.sign_up("u1")
    token = invited(platform, owner, "u2@example.jp")
    (invitation,) = platform.json("GET", "/api/v1/invitations", owner)["items"]
    path = f"/api/v1/invitations/{invitation['invitation_id']}"
    assert platform.json("PATCH", path, owner, {"role": "admin"})["role"] == "admin"
    guest = platform.sign_up("u2")
    assert platform.json("POST", "/api/v1/invitations/accept", guest, {"token": token})["role"] == "admin"
    assert platform.call("PATCH", path, owner, {"role": "viewer"}).status == 409


def test_nobody_offers_more_than_they_have(platform: Platform) -> None:
    owner = platform.sign_up("u1")
    upgrade(platform, "u1")
    admin = join(platform, owner, "u2", "admin")
    here = {"x-tenant-id": platform.tenant_of("u1")}
    token = invited(platform, owner, "u3@example.jp")
    invitation = platform.json("GET", "/api/v1/invitations", owner)["items"][0]
    path = f"/api/v1/invitations/{invitation['invitation_id']}"
    assert platform.call("PATCH", path, admin, {"role": "owner"}, headers=here).status == 403
    assert platform.json("PATCH", path, admin, {"role": "admin"}, headers=here)["role"] == "admin"
    guest = platform.sign_up("u3")
    assert platform.json("POST", "/api/v1/invitations/accept", guest, {"token": token})["role"] == "admin"
