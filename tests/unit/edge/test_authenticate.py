"""Credentials that aren't good stay outside; those that are carry only what the tables say."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from typing import Any, cast

import jwt
import pytest

from noren.edge.authenticate import Authenticator, issue_device
from noren.edge.http import Caller, Request
from noren.errors import Busy, Forbidden, NotFound, Unauthenticated
from noren.ids import TenantId
from noren.settings import Settings
from noren.tenants.directory import Directory
from noren.tenants.models import PLATFORM_TENANT, ApiKey, Membership, Role
from noren.tenants.service import Tenants
from tests.unit.platform_api.kit import CLIENT, POOL, People, Time, access_token, key_set, rsa_key
from tests.unit.sites.test_visitors import SHOP, Doors

OURS = TenantId("ten_" + "1" * 32)
SECOND = TenantId("ten_" + "2" * 32)
FOREIGN = TenantId("ten_" + "3" * 32)
SETTINGS = Settings(user_pool_id=POOL, client_id=CLIENT)


class Memory:
    """Tenants in memory: who belongs where, which keys there are."""

    def __init__(self) -> None:
        self.of = {"u1": [Membership(SECOND, "u1", Role.VIEWER, created_at=2), Membership(OURS, "u1", Role.OWNER)]}
        self.reads = 0

    def memberships(self, user_id: str) -> list[Membership]:
        self.reads += 1
        return self.of.get(user_id, [])

    def api_key(self, secret: str) -> ApiKey | None:
        if secret != "nrn_good":
            return None
        return ApiKey("key_1", OURS, "", "nrn_good", "", frozenset({"chat"}), 0, "user:u1")


class World:
    def __init__(self) -> None:
        self.time, self.tenants, self.people = Time(), Memory(), People()
        self.people.add("u1", "u1@example.jp")
        self.doors = Doors(self.time)
        self.signer = self.doors.signer
        self.keys: Any = key_set("pool")
        self.fetches = 0
        self.authenticator = Authenticator(
            SETTINGS,
            cast(Tenants, self.tenants),
            cast(Directory, self.people),
            self.signer,
            self.doors.visitors,
            self.time,
            self._fetch,
        )

    def _fetch(self) -> Any:
        self.fetches += 1
        if isinstance(self.keys, Exception):
            raise self.keys
        return self.keys

    def caller(self, credential: str, site_key: str = "", **headers: str) -> Caller:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        query = {"site_key": site_key} if site_key else {}
        request = Request("GET", "/", {"authorization": f"Bearer {credential}"} | sent, query, b"", "", "")
        return self.authenticator.authenticate(request)


@pytest.fixture
def world() -> World:
    return World()


def test_a_good_token_acts_in_the_oldest_tenant_or_the_one_selected(world: World) -> None:
    caller = world.caller(access_token("u1"))
    assert (caller.kind, caller.tenant_id, caller.role, caller.email) == ("member", OURS, Role.OWNER, "u1@example.jp")
    chosen = world.caller(access_token("u1"), x_tenant_id=SECOND)
    assert (chosen.tenant_id, chosen.role) == (SECOND, Role.VIEWER)


@pytest.mark.parametrize("tenant", [FOREIGN, "ten_nonsense", "*"])
def test_a_foreign_tenant_header_is_refused(world: World, tenant: str) -> None:
    world.caller(access_token("u1"))
    with pytest.raises(Forbidden):
        world.caller(access_token("u1"), x_tenant_id=tenant)
    with pytest.raises(Forbidden):
        world.caller("nrn_good", x_tenant_id=tenant)


def _unsigned(**changes: Any) -> str:
    claims = jwt.decode(access_token("u1", **changes), options={"verify_signature": False})
    parts = [{"alg": "none", "typ": "JWT", "kid": "pool"}, claims]
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts) + "."


def _signed_with_the_public_key() -> str:
    """The classic confusion: HS256 with the public key as the secret."""
    from cryptography.hazmat.primitives import serialization

    pem = (
        rsa_key("pool")
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    head = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT","kid":"pool"}').rstrip(b"=")
    body = access_token("u1").split(".")[1].encode()
    import hashlib
    import hmac

    mac = base64.urlsafe_b64encode(hmac.digest(pem, head + b"." + body, hashlib.sha256)).rstrip(b"=")
    return (head + b"." + body + b"." + mac).decode()


def _spoilt() -> str:
    head, body, mac = access_token("u1").split(".")
    return f"{head}.{body}.{mac[:-8]}{'A' * 8}"


def _other_body() -> str:
    head, _, mac = access_token("u1").split(".")
    return f"{head}.{access_token('u2').split('.')[1]}.{mac}"


BAD: dict[str, Callable[[], str]] = {
    "expired": lambda: access_token("u1", exp=int(time.time()) - 1),
    "no expiry": lambda: access_token("u1", exp=None),
    "from the future": lambda: access_token("u1", iat=int(time.time()) + 3600),
    "alg none": _unsigned,
    "HS256 with the public key": _signed_with_the_public_key,
    "PS256": lambda: access_token("u1", algorithm="PS256"),
    "signed by a stranger": lambda: access_token("u1", key="stranger"),
    "stranger under our key id": lambda: jwt.encode(
        jwt.decode(access_token("u1"), options={"verify_signature": False}),
        rsa_key("stranger"),
        algorithm="RS256",
        headers={"kid": "pool"},
    ),
    "spoilt signature": _spoilt,
    "another's claims": _other_body,
    "other pool": lambda: access_token("u1", iss="https://cognito-idp.ap-northeast-1.amazonaws.com/other"),
    "other region": lambda: access_token("u1", iss=f"https://cognito-idp.us-east-1.amazonaws.com/{POOL}"),
    "other client": lambda: access_token("u1", client_id="client-of-others"),
    "ID token": lambda: access_token("u1", token_use="id", aud=CLIENT),
    "ID token without client": lambda: access_token("u1", token_use="id", aud=CLIENT, client_id=None),
    "no token_use": lambda: access_token("u1", token_use=None),
    "no subject": lambda: access_token("u1", sub=None),
    "garbage": lambda: "a.b.c",
    "empty parts": lambda: "..",
    "unknown key": lambda: "nrn_bad",
    "unsigned device": lambda: "e30.e30",
}


@pytest.mark.parametrize("kind", sorted(BAD))
def test_what_is_no_good_token_is_refused(world: World, kind: str) -> None:
    world.caller(access_token("u1"))  # the same call is let in when nothing is wrong
    with pytest.raises(Unauthenticated):
        world.caller(BAD[kind]())


@pytest.mark.parametrize("header", ["Basic dTpw", "Bearer", "Bearer a b", "bearer x, Bearer y", "Bearer " + "x" * 9000])
def test_what_is_no_bearer_header_is_refused(world: World, header: str) -> None:
    request = Request("GET", "/", {"authorization": header}, {}, b"", "", "")
    with pytest.raises(Unauthenticated):
        world.authenticator.authenticate(request)


def test_a_user_writable_attribute_grants_nothing(world: World) -> None:
    token = access_token("u2", **{"custom:tenant_id": OURS, "custom:role": "owner", "cognito:groups": "platform_admin"})
    world.people.add("u2", "u2@example.jp", admin=True, totp=True)
    caller = world.caller(token)
    assert (caller.kind, caller.tenant_id, caller.is_platform_admin) == ("user", None, False)


def test_unknown_key_ids_fetch_at_most_once_in_five_minutes(world: World) -> None:
    world.caller(access_token("u1"))
    assert world.fetches == 1
    world.time.ahead = 299
    for _ in range(5):
        with pytest.raises(Unauthenticated):
            world.caller(access_token("u1", key="stranger"))
    assert world.fetches == 1
    world.keys = key_set("pool", "rotated")
    world.time.ahead = 301
    assert world.caller(access_token("u1", key="rotated")).kind == "member"
    assert world.fetches == 2


def test_when_the_key_set_cannot_be_had_it_says_so_and_recovers(world: World) -> None:
    good, world.keys = world.keys, OSError("no way")
    with pytest.raises(Busy):
        world.caller(access_token("u1"))
    world.keys = good
    assert world.caller(access_token("u1")).kind == "member"


def test_a_caller_is_remembered_for_30_seconds_by_the_whole_token(world: World) -> None:
    token = access_token("u1")
    for _ in range(3):
        world.caller(token)
    assert world.tenants.reads == 1
    head, body, mac = token.split(".")
    with pytest.raises(Unauthenticated):
        world.caller(f"{head}.{body}.{mac[:-4]}AAAA")
    world.tenants.of["u1"] = []
    world.time.ahead = 31
    assert world.caller(token).kind == "user"


def test_a_remembered_token_still_expires(world: World) -> None:
    token = access_token("u1", exp=int(time.time()) + 20)
    world.caller(token)
    world.time.ahead = 21
    with pytest.raises(Unauthenticated):
        world.caller(token)


def test_a_key_and_a_device(world: World) -> None:
    key = world.caller("nrn_good")
    assert (key.kind, key.tenant_id, set(key.scopes), key.principal) == ("api_key", OURS, {"chat"}, "key:key_1")
    token = issue_device(world.signer)
    device = world.caller(token)
    assert (device.kind, device.tenant_id) == ("anonymous", PLATFORM_TENANT)
    world.time.ahead = 31 * 86400
    with pytest.raises(Unauthenticated):
        world.caller(token)


def test_a_visitors_token_is_told_from_a_devices_by_its_purpose(world: World) -> None:
    token = world.doors.token()
    visitor = world.caller(token, site_key="a", origin=SHOP)
    assert (visitor.kind, visitor.tenant_id, visitor.site_id, visitor.origin) == ("visitor", "ten_a", "site_a", SHOP)
    assert visitor.principal == f"visitor:{visitor.device}"
    assert (visitor.role, visitor.scopes, visitor.is_platform_admin) == (None, frozenset(), False)
    device = world.caller(issue_device(world.signer), site_key="a", origin=SHOP)
    assert (device.kind, device.tenant_id, device.site_id) == ("anonymous", PLATFORM_TENANT, "")
    for wrong in ({"site_key": "b", "origin": SHOP}, {"site_key": "a", "origin": "null"}, {"origin": SHOP}, {}):
        with pytest.raises((Unauthenticated, Forbidden, NotFound)):
            world.caller(token, **wrong)
