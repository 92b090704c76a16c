"""Members, invitations and keys: who may do what to whom, also at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from noren.errors import Conflict, NorenError
from noren.ids import TenantId
from noren.tenants.models import Role
from noren.tenants.team import Actor
from tests.unit.platform_api.kit import Platform, access_token


def invited(platform: Platform, owner: str, email: str, role: str = "viewer") -> str:
    """The token in the mail that an invitation sent."""
    platform.json("POST", "/api/v1/invitations", owner, {"email": email, "role": role})
    link: str = platform.outbox.mails[-1]["data"]["link"]
    assert link.startswith("https://console.example/invite?token=")
    return parse_qs(urlsplit(link).query)["token"][0]


def join(platform: Platform, owner: str, sub: str, role: str) -> str:
    """A person who has accepted; their access token (acting in their own tenant unless a header says otherwise)."""
    token = invited(platform, owner, f"{sub}@example.jp", role)
    bearer = platform.sign_up(sub)
    platform.json("POST", "/api/v1/invitations/accept", bearer, {"token": token})
    return bearer


def upgrade(platform: Platform, sub: str, plan: str = "pro") -> TenantId:
    tenant = TenantId(platform.tenant_of(sub))
    platform.services.tenants.set_plan(tenant, plan, "test")
    return tenant


def test_invite_accept_and_act(platform: Platform) -> None:
    owner = platform.sign_up("u1")
    tenant = platform.tenant_of("u1")
    guest = join(platform, owner, "u2", "editor")
    mail = platform.outbox.mails[0]
    assert (mail["to"], mail["template"], mail["locale"]) == ("u2@example.jp", "invitation", "ja")
    me = platform.json("GET", "/api/v1/me", guest, headers={"x-tenant-id": tenant})
    assert (me["role"], me["tenant"]["tenant_id"]) == ("editor", tenant)
    assert len(me["memberships"]) == 2
    members = platform.json("GET", "/api/v1/members", owner)["items"]
    assert {each["user_id"]: each["role"] for each in members} == {"u1": "owner", "u2": "editor"}
    listed = platform.json("GET", "/api/v1/invitations", owner)["items"]
    assert [each["status"] for each in listed] == ["accepted"]
    assert "token" not in str(listed)


def test_an_invitation_is_for_one_address_once_and_seven_days(platform: Platform) -> None:
    owner = platform.sign_up("u1")
    upgrade(platform, "u1")
    token = invited(platform, owner, "U2@Example.jp")
    thief, guest = platform.sign_up("thief"), platform.sign_up("u2")
    path = "/api/v1/invitations/accept"
    assert platform.call("POST", path, thief, {"token": token}).status == 403
    assert platform.call("POST", path, guest, {"token": token[:-1] + "x"}).status == 404
    first = platform.json("POST", path, guest, {"token": token})
    assert platform.json("POST", path, guest, {"token": token}) == first
    assert len(platform.services.tenants.memberships("u2")) == 2

    late = invited(platform, owner, "u3@example.jp")
    third = platform.sign_up("u3")
    platform.time.ahead += 7 * 86400 + 1
    fresh = access_token("u3", iat=int(platform.time()) - 7 * 86400 - 1, exp=int(platform.time()) + 60)
    assert platform.call("POST", path, fresh, {"token": late}).status == 404
    assert third


def test_a_revoked_invitation_is_worthless(platform: Platform) -> None:
    owner = platform.sign_up("u1")
    token = invited(platform, owner, "u2@example.jp")
    invitation = platform.json("GET", "/api/v1/invitations", owner)["items"][0]
    platform.json("DELETE", f"/api/v1/invitations/{invitation['invitation_id']}", owner)
    guest = platform.sign_up("u2")
    assert platform.call("POST", "/api/v1/invitations/accept", guest, {"token": token}).status == 404


def test_an_unverified_address_accepts_nothing(platform: Platform) -> None:
    owner = platform.sign_up("u1")
    token = invited(platform, owner, "u2@example.jp")
    guest = platform.sign_up("u2")
    platform.people.add("u2", "")
    platform.time.ahead += 31
    assert platform.call("POST", "/api/v1/invitations/accept", guest, {"token": token}).status == 403


def test_nobody_grants_above_their_own_role(platform: Platform) -> None:
    owner = platform.sign_up("u1")
    tenant = upgrade(platform, "u1")
    here = {"x-tenant-id": tenant}
    admin = join(platform, owner, "u2", "admin")
    join(platform, owner, "u3", "editor")

    def status(method: str, path: str, body: Any = None, token: str = admin) -> int:
        return platform.call(method, path, token, body, headers=here).status

    assert status("POST", "/api/v1/invitations", {"email": "x@example.jp", "role": "owner"}) == 403
    assert status("PATCH", "/api/v1/members/u3", {"role": "owner"}) == 403
    assert status("PATCH", "/api/v1/members/u1", {"role": "viewer"}) == 403
    assert status("DELETE", "/api/v1/members/u1") == 403
    assert status("PATCH", "/api/v1/members/u3", {"role": "admin"}) == 200
    assert status("PATCH", "/api/v1/tenant", {"billing_email": "me@evil.example"}) == 403
    third = access_token("u3")
    assert status("PATCH", "/api/v1/members/u2", {"role": "viewer"}, third) == 200
    platform.services.authenticator.forget()
    assert status("POST", "/api/v1/invitations", {"email": "x@example.jp"}) == 403
    assert status("DELETE", "/api/v1/members/u3") == 403
    assert status("DELETE", "/api/v1/members/u2") == 204  # anybody may leave


def test_what_an_inviter_has_lost_is_not_granted(platform: Platform) -> None:
    owner = platform.sign_up("u1")
    upgrade(platform, "u1")
    admin = join(platform, owner, "u2", "admin")
    here = {"x-tenant-id": platform.tenant_of("u1")}
    platform.json("POST", "/api/v1/invitations", admin, {"email": "u3@example.jp", "role": "admin"}, headers=here)
    token = parse_qs(urlsplit(platform.outbox.mails[-1]["data"]["link"]).query)["token"][0]
    platform.json("PATCH", "/api/v1/members/u2", owner, {"role": "viewer"})
    guest = platform.sign_up("u3")
    assert platform.call("POST", "/api/v1/invitations/accept", guest, {"token": token}).status == 404


def test_the_last_owner_stays(platform: Platform) -> None:
    owner = platform.sign_up("u1")
    assert platform.call("DELETE", "/api/v1/members/u1", owner).status == 409
    assert platform.call("PATCH", "/api/v1/members/u1", owner, {"role": "admin"}).status == 409


def at_once(*works: Callable[[], object]) -> list[object]:
    """Run them in parallel; each result or NorenError."""

    def run(work: Callable[[], object]) -> object:
        try:
            return work()
        except NorenError as error:
            return error

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


@pytest.mark.parametrize("_", range(3))
def test_two_owners_leaving_at_once_leave_one(platform: Platform, _: int) -> None:
    owner = platform.sign_up("u1")
    tenant = upgrade(platform, "u1")
    join(platform, owner, "u2", "owner")
    team = platform.services.tenants.team
    outcomes = at_once(
        lambda: team.remove(tenant, "u1", Actor("user:u1", Role.OWNER)),
        lambda: team.change_role(tenant, "u2", Role.ADMIN, Actor("user:u2", Role.OWNER)),
    )
    assert sum(isinstance(each, Conflict) for each in outcomes) == 1
    owners = [each for each in team.members(tenant, 10, None)[0] if each.role is Role.OWNER]
    assert len(owners) == 1


def test_the_plan_bounds_the_team_also_at_once(platform: Platform) -> None:
    owner = platform.sign_up("u1")
    tenant = upgrade(platform, "u1", "starter")  # five members
    tokens = {f"g{number}": invited(platform, owner, f"g{number}@example.jp") for number in range(6)}
    team = platform.services.tenants.team
    outcomes = at_once(
        *(lambda sub=sub, token=token: team.accept(token, sub, f"{sub}@example.jp") for sub, token in tokens.items())
    )
    assert sum(isinstance(each, Conflict) for each in outcomes) == 2
    assert len(team.members(tenant, 100, None)[0]) == 5
    answer = platform.call("POST", "/api/v1/invitations", owner, {"email": "late@example.jp"})
    assert (answer.status, b"member_limit" in answer.body) == (409, True)


def test_a_removed_member_is_out_within_a_minute(platform: Platform) -> None:
    owner = platform.sign_up("u1")
    tenant = platform.tenant_of("u1")
    guest = join(platform, owner, "u2", "admin")
    here = {"x-tenant-id": tenant}
    assert platform.call("GET", "/api/v1/members", guest, headers=here).status == 200
    platform.services.tenants.team.remove(TenantId(tenant), "u2", Actor("user:u1", Role.OWNER))  # another container
    platform.time.ahead += 31
    assert platform.call("GET", "/api/v1/members", guest, headers=here).status == 403


def test_keys_are_shown_once_scoped_revocable_and_expire(platform: Platform) -> None:
    owner = platform.sign_up("u1")
    made = platform.json(
        "POST", "/api/v1/api-keys", owner, {"name": "server", "scopes": ["chat", "read"], "expires_in_days": 1}
    )
    secret = made["secret"]
    listed = platform.json("GET", "/api/v1/api-keys", owner, query={"prefix": made["prefix"][:6]})["items"]
    assert [each["key_id"] for each in listed] == [made["key_id"]]
    assert secret not in str(listed)
    assert platform.json("GET", "/api/v1/api-keys", owner, query={"prefix": "nrn_nope"})["items"] == []
    assert platform.call("GET", "/api/v1/usage/records", secret).status == 200
    assert platform.call("GET", "/api/v1/members", secret).status == 403
    assert platform.call("GET", "/api/v1/api-keys", secret).status == 403
    assert platform.json("GET", "/api/v1/api-keys", owner)["items"][0]["last_used_at"] is not None

    other = platform.json("POST", "/api/v1/api-keys", owner, {"name": "x", "scopes": ["read"]})
    assert platform.call("GET", "/api/v1/me", other["secret"]).status == 200
    platform.json("DELETE", f"/api/v1/api-keys/{other['key_id']}", owner)
    assert platform.call("GET", "/api/v1/me", other["secret"]).status == 401
    platform.time.ahead += 86401
    assert platform.call("GET", "/api/v1/usage/records", secret).status == 401


def test_a_key_revoked_elsewhere_is_out_within_30_seconds(platform: Platform) -> None:
    owner = platform.sign_up("u1")
    made = platform.json("POST", "/api/v1/api-keys", owner, {"name": "server", "scopes": ["read"]})
    assert platform.call("GET", "/api/v1/me", made["secret"]).status == 200
    tenant = TenantId(platform.tenant_of("u1"))
    store = platform.services.tenants.keys._store
    assert store.mark_key(tenant, made["key_id"], "revoked_at", platform.time(), older_than=0, by="test")
    platform.time.ahead += 31
    assert platform.call("GET", "/api/v1/me", made["secret"]).status == 401


def test_last_used_moves_at_most_once_a_minute(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = platform.sign_up("u1")
    made = platform.json("POST", "/api/v1/api-keys", owner, {"name": "server", "scopes": ["read"]})
    keys, writes = platform.services.tenants.keys, []
    real = keys._store.mark_key

    def counted(*args: Any, **more: Any) -> bool:
        writes.append(args)
        return real(*args, **more)

    monkeypatch.setattr(keys._store, "mark_key", counted)
    for _ in range(4):
        platform.time.ahead += 14
        assert keys.find(made["secret"])
    assert len(writes) == 1
    platform.time.ahead += 61
    assert keys.find(made["secret"])
    assert len(writes) == 2


def test_a_replay_of_key_creation_leaves_the_secret_out(platform: Platform) -> None:
    owner = platform.sign_up("u1")
    body, header = {"name": "server", "scopes": ["read"]}, {"idempotency-key": "k-1"}
    first = platform.json("POST", "/api/v1/api-keys", owner, body, headers=header)
    again = platform.json("POST", "/api/v1/api-keys", owner, body, headers=header)
    assert first["secret"]
    assert again == first | {"secret": None}
    assert len(platform.json("GET", "/api/v1/api-keys", owner)["items"]) == 1
    other = platform.call("POST", "/api/v1/api-keys", owner, body | {"name": "other"}, headers=header)
    assert other.status == 422
    stranger = platform.sign_up("u2")
    assert platform.json("POST", "/api/v1/api-keys", stranger, body, headers=header)["secret"]


def test_ensure_tenant_at_once_makes_one(platform: Platform) -> None:
    ensure = platform.services.tenants.ensure_tenant
    made = at_once(*(lambda: ensure("racer", "r@example.jp") for _ in range(12)))
    assert len({getattr(each, "tenant_id", each) for each in made}) == 1
    assert len(platform.services.tenants.memberships("racer")) == 1


def test_a_suspended_tenant_lets_nobody_new_in_but_reads_and_tidies(platform: Platform) -> None:
    owner = platform.sign_up("u1")
    key = platform.json("POST", "/api/v1/api-keys", owner, {"name": "k", "scopes": ["read"]})["key_id"]
    platform.services.tenants.stop(TenantId(platform.tenant_of("u1")), "security", "test", "user:boss")
    for path, body in (
        ("/api/v1/api-keys", {"name": "k", "scopes": ["read"]}),
        ("/api/v1/invitations", {"email": "x@example.jp"}),
    ):
        answer = platform.call("POST", path, owner, body)
        assert (answer.status, b'"suspended"' in answer.body) == (403, True)
    assert platform.json("GET", "/api/v1/me", owner)["stop_mode"] == "security"
    assert platform.call("DELETE", f"/api/v1/api-keys/{key}", owner).status == 204
