"""Chapter 10 on the whole run, generated from both APIs' route tables: every route × every credential, header and id
that must not work, over real HTTP through the front door. A route without its fixture fails.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from local import totp
from noren.edge.http import Route
from noren.edge.paging import PageQuery
from noren.tenants.models import SCOPES, Scope
from tests.e2e.client import Client, Stack
from tests.e2e.security_fixtures import (
    ADMINS,
    ADMINS_IDS,
    BODIES,
    EVERYBODYS,
    IDS,
    IDS_IN_BODIES,
    IDS_IN_QUERIES,
    NO_TENANT,
    PROTECTED,
    PUBLIC,
    ROUTES,
    TENANTS,
    VISITORS,
    admin_path,
    document,
    experiment,
    fail_twice,
    further_site,
    invitation,
    key,
    name,
    parameters,
    path,
    rated,
    session,
    webhook,
)
from tests.e2e.security_world import World, device

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def world(stack: Stack) -> World:
    victim, victim_me = stack.newcomer("victim")
    stack.admin.ok("PATCH", f"/api/v1/admin/tenants/{victim_me['tenant']['tenant_id']}", {"plan": "enterprise"})
    victim.ok("PATCH", "/api/v1/tenant", {"name": "Kurashiki Glassworks"})
    attacker, attacker_me = stack.newcomer("attacker")
    often = {"overrides": {"requests_per_minute": 100_000}}  # what is tried here is to be refused for what it is
    stack.admin.ok("PATCH", f"/api/v1/admin/tenants/{attacker_me['tenant']['tenant_id']}", often)
    key = attacker.ok("POST", "/api/v1/api-keys", {"name": "mine", "scopes": list(SCOPES)})["secret"]
    answer = victim.chat("Who are you?")
    tokens = stack.sign_in(attacker_me["user"]["email"] or _username(attacker), "Aa1-newcomer-secret")
    me = victim.ok("GET", "/api/v1/me")
    return World(stack, victim, attacker, me, attacker_me, tokens, key, device(attacker.base), answer)


def _username(client: Client) -> str:
    claims: dict[str, str] = jwt.decode(client.token, options={"verify_signature": False})
    return claims["username"]


def plain(answer: requests.Response) -> tuple[int, Any]:
    """Status and body, but for the trace id."""
    body = answer.json() if answer.content else None
    if isinstance(body, dict):
        body.pop("trace_id", None)
    return answer.status_code, body


def code(answer: requests.Response) -> str:
    body = answer.json()
    found: str = body["error"]["code"] if "error" in body else body["code"]
    return found


def send(client: Client, route: Route, where: str, body: Any = None, **headers: str) -> requests.Response:
    """Asked again where patience is asked for: the gateway has a limit a second, `train` one a minute."""
    deadline = time.monotonic() + 90
    while True:
        answer = client.call(route.method, where, body or BODIES.get(name(route)), **headers)
        if answer.status_code != 429 or time.monotonic() > deadline:
            return answer
        time.sleep(min(float(answer.headers.get("retry-after", 0.1)), 5))


# The tables themselves


def test_only_these_routes_are_public() -> None:
    assert {name(route) for route in ROUTES if route.access.public} == PUBLIC


@pytest.mark.parametrize("route", [each for each in PROTECTED if each not in VISITORS], ids=name)
def test_every_route_has_its_fixtures(route: Route) -> None:
    if route.access.platform_admin:
        assert set(parameters(route)) <= ADMINS_IDS, "no fixture for a path parameter"
    else:
        assert bool(parameters(route)) == (name(route) in IDS), "no foreign id for a path parameter"
    assert (route.body is not None) == (name(route) in BODIES), "no good body"
    for model, fixtures in ((route.query, IDS_IN_QUERIES), (route.body, IDS_IN_BODIES)):
        fields = model.model_fields if model else {}
        ids = {field for field in fields if field.endswith(("_id", "_key"))} - EVERYBODYS
        if not route.access.platform_admin:
            assert ids == fixtures.get(name(route), {}).keys(), "no foreign id for a field"


# Credentials that are none


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _signed_by_hand(header: Mapping[str, str], claims: Mapping[str, Any], sign: Callable[[bytes], bytes]) -> str:
    text = f"{_b64(json.dumps(header).encode())}.{_b64(json.dumps(claims).encode())}"
    return f"{text}.{_b64(sign(text.encode()))}"


@dataclass
class Mint:
    """Makes tokens as the user pool does, with its own key: each bad one differs in one thing from a good one."""

    key: Any
    kid: str
    claims: dict[str, Any]

    def __call__(self, *, key: Any = None, **changes: Any) -> str:
        claims = {field: value for field, value in (self.claims | changes).items() if value is not None}
        return jwt.encode(claims, key or self.key, algorithm="RS256", headers={"kid": self.kid})

    @property
    def public_pem(self) -> bytes:
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        pem: bytes = self.key.public_key().public_bytes(serialization.Encoding.PEM, form)
        return pem


@pytest.fixture(scope="module")
def mint(world: World) -> Mint:
    token = world.tokens["AccessToken"]
    keys = Path(world.stack["logs"]).parent / "state" / "state" / "cognito-pool-keys"
    pem = (keys / f"{world.stack['user_pool_id']}-access.pem").read_bytes()
    claims = jwt.decode(token, options={"verify_signature": False})
    made = Mint(serialization.load_pem_private_key(pem, None), jwt.get_unverified_header(token)["kid"], claims)
    assert Client(world.attacker.base, made()).call("GET", "/api/v1/me").status_code == 200, "a good one is taken"
    return made


@pytest.fixture(scope="module")
def bad_credentials(world: World, mint: Mint) -> dict[str, tuple[str, str]]:
    """Name -> (`Authorization` header, the code that it must be refused with)."""
    token = world.device.token
    forger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    rs, now = {"alg": "RS256", "kid": mint.kid, "typ": "JWT"}, int(time.time())
    elsewhere = _other_pool(world)
    tokens = {
        "forged, with our key's id": (mint(key=forger), "invalid_token"),
        "expired": (mint(iat=now - 7200, exp=now - 60), "token_expired"),
        "without an end": (mint(exp=None), "invalid_token"),
        "claims changed": (_tampered(mint()), "invalid_token"),
        "alg none": (_signed_by_hand(rs | {"alg": "none"}, mint.claims, lambda _: b""), "invalid_token"),
        "alg None": (_signed_by_hand(rs | {"alg": "None"}, mint.claims, lambda _: b""), "invalid_token"),
        "HS256 with our public key": (
            _signed_by_hand(
                rs | {"alg": "HS256"}, mint.claims, lambda text: hmac.digest(mint.public_pem, text, hashlib.sha256)
            ),
            "invalid_token",
        ),
        "an unknown key's id": (
            _signed_by_hand(rs | {"kid": "k2"}, mint.claims, lambda _: b"x" * 256),
            "invalid_token",
        ),
        "another pool's": (elsewhere["AccessToken"], "invalid_token"),
        "another pool's, with our key": (mint(iss=mint.claims["iss"][:-1]), "invalid_token"),
        "another client's, by its claim alone": (mint(client_id="other"), "invalid_token"),
        "another client's": (_other_client(world)["AccessToken"], "invalid_token"),
        "the ID token": (world.tokens["IdToken"], "invalid_token"),
        "an ID token that says access": (
            mint(token_use="id", aud=mint.claims["client_id"]),
            "invalid_token",
        ),
        "the refresh token": (world.tokens["RefreshToken"], "invalid_token"),
        "an API key that never was": ("nrn_" + "A" * 43, "invalid_api_key"),
        "a device token of our own": (token[:-3] + ("AAA" if token[-3:] != "AAA" else "BBB"), "invalid_token"),
    }
    headers = {each: (f"Bearer {token}", refusal) for each, (token, refusal) in tokens.items()}
    good = mint()
    return headers | {
        "a password": ("Basic " + base64.b64encode(b"admin:admin").decode(), "invalid_token"),
        "two at once": (f"Bearer {good}, Bearer {good}", "invalid_token"),
    }


def _tampered(token: str) -> str:
    head, body, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    return f"{head}.{_b64(json.dumps(claims | {'cognito:groups': ['platform_admin']}).encode())}.{signature}"


def _other_pool(world: World) -> dict[str, str]:
    cognito = world.stack.cognito()
    pool = cognito.create_user_pool(PoolName="elsewhere")["UserPool"]["Id"]
    return _account(world, pool, "stranger@noren.example")


def _other_client(world: World) -> dict[str, str]:
    return _account(world, world.stack["user_pool_id"], f"other-app-{time.time_ns()}@noren.example")


def _account(world: World, pool: str, email: str) -> dict[str, str]:
    """The tokens of a new person at a new app client of a pool."""
    cognito, password = world.stack.cognito(), "Aa1-stranger-secret"
    client_id = cognito.create_user_pool_client(
        UserPoolId=pool, ClientName="other", ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"]
    )["UserPoolClient"]["ClientId"]
    _person(world, email, password, pool)
    answer = cognito.initiate_auth(
        AuthFlow="USER_PASSWORD_AUTH", ClientId=client_id, AuthParameters={"USERNAME": email, "PASSWORD": password}
    )
    tokens: dict[str, str] = answer["AuthenticationResult"]
    return tokens


def _person(world: World, email: str, password: str, pool: str = "") -> None:
    cognito, pool = world.stack.cognito(), pool or world.stack["user_pool_id"]
    attributes = [{"Name": "email", "Value": email}, {"Name": "email_verified", "Value": "true"}]
    cognito.admin_create_user(UserPoolId=pool, Username=email, MessageAction="SUPPRESS", UserAttributes=attributes)
    cognito.admin_set_user_password(UserPoolId=pool, Username=email, Password=password, Permanent=True)


@pytest.fixture(scope="module")
def keys_lacking(world: World) -> dict[Scope | None, str]:
    """For each scope a key with all others; for none (not for keys at all) one with every scope."""
    made: dict[Scope | None, str] = {None: world.attacker_key}
    for scope in SCOPES:
        body = {"name": f"not {scope}", "scopes": [each for each in SCOPES if each != scope]}
        made[scope] = world.attacker.ok("POST", "/api/v1/api-keys", body)["secret"]
    return made


@pytest.fixture(scope="module")
def almost_admins(world: World, mint: Mint) -> dict[str, str]:
    """Tokens of people who are nearly platform admins."""
    cognito, pool, password = world.stack.cognito(), world.stack["user_pool_id"], "Aa1-almost-admin"

    def token(what: str, *, group: bool, second_factor: bool) -> str:
        email = f"{what}-{time.time_ns()}@noren.example"
        _person(world, email, password)
        if group:
            cognito.admin_add_user_to_group(UserPoolId=pool, Username=email, GroupName="platform_admin")
        secret = ""
        if second_factor:
            access = world.stack.sign_in(email, password)["AccessToken"]
            secret = cognito.associate_software_token(AccessToken=access)["SecretCode"]
            cognito.verify_software_token(AccessToken=access, UserCode=totp.code(secret))
            enabled = {"Enabled": True, "PreferredMfa": True}
            cognito.set_user_mfa_preference(AccessToken=access, SoftwareTokenMfaSettings=enabled)
        made = world.stack.sign_in(email, password, secret)["AccessToken"]
        if what == "former":
            cognito.admin_remove_user_from_group(UserPoolId=pool, Username=email, GroupName="platform_admin")
            assert "platform_admin" in jwt.decode(made, options={"verify_signature": False})["cognito:groups"]
        return made

    return {
        "in the group without a second factor": token("group", group=True, second_factor=False),
        "a second factor without the group": token("totp", group=False, second_factor=True),
        "thrown out, with an old token": token("former", group=True, second_factor=True),
        "an owner": world.attacker.token,
        "an API key with every scope": world.attacker_key,
        "a claim that the pool did not make": mint(**{"cognito:groups": ["platform_admin"]}),
    }


class TestNobodyGetsAnywhere:
    """Refusals alone: all of them together must leave everything as it was."""

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _unchanged(
        cls, world: World, bad_credentials: object, keys_lacking: object, almost_admins: object
    ) -> Iterator[None]:
        with world.unchanged():
            yield

    @pytest.mark.parametrize("route", PROTECTED, ids=name)
    def test_no_route_takes_a_credential_that_is_none(
        self, world: World, bad_credentials: dict[str, tuple[str, str]], route: Route
    ) -> None:
        nobody = Client(world.attacker.base)
        without = send(nobody, route, admin_path(world, route))
        assert (without.status_code, code(without)) == (401, "unauthenticated")
        assert without.headers["www-authenticate"] == "Bearer"

        def refused(header: str) -> requests.Response:
            return send(nobody, route, admin_path(world, route), authorization=header)

        with ThreadPoolExecutor(4) as pool:
            answers = pool.map(refused, (header for header, _ in bad_credentials.values()))
        for (what, (_, refusal)), answer in zip(bad_credentials.items(), answers, strict=True):
            assert (answer.status_code, code(answer)) == (401, refusal), what
            assert not [secret for secret in world.secrets if secret in answer.text], what

    @pytest.mark.parametrize("route", PROTECTED, ids=name)
    def test_no_route_takes_a_header_that_names_another_tenant(self, world: World, route: Route) -> None:
        for token in (world.attacker.token, world.attacker_key):
            attacker = Client(world.attacker.base, token)
            theirs, nobodys = (
                send(attacker, route, admin_path(world, route), x_tenant_id=tenant)
                for tenant in (world.victim_me["tenant"]["tenant_id"], NO_TENANT)
            )
            assert (theirs.status_code, code(theirs)) == (403, "foreign_tenant")
            assert plain(theirs) == plain(nobodys), "it can be told whether a tenant exists"

    @pytest.mark.parametrize("route", TENANTS, ids=name)
    def test_keys_and_devices_come_no_further_than_their_scope(
        self, world: World, keys_lacking: dict[Scope | None, str], route: Route
    ) -> None:
        key = keys_lacking[route.access.scope]
        tokens = [key]
        if not route.access.anonymous:
            tokens.append(world.device.token)
        for token in tokens:
            answer = send(Client(world.attacker.base, token), route, path(route, world.answer["id"]))
            assert (answer.status_code, code(answer)) == (403, "forbidden")

    @pytest.mark.parametrize("route", ADMINS, ids=name)
    def test_platform_routes_are_for_admins_with_a_second_factor(
        self, world: World, almost_admins: dict[str, str], route: Route
    ) -> None:
        for who, token in almost_admins.items():
            answer = send(Client(world.attacker.base, token), route, admin_path(world, route))
            assert (answer.status_code, code(answer)) == (403, "forbidden"), who
        admin = world.stack.admin_tokens["IdToken"]
        assert send(Client(world.attacker.base, admin), route, admin_path(world, route)).status_code == 401


# Tenants and ids that are somebody else's


@pytest.mark.parametrize("route", [route for route in TENANTS if parameters(route)], ids=name)
def test_a_foreign_id_in_the_path_answers_like_a_missing_one(world: World, route: Route) -> None:
    with IDS[name(route)](world) as (foreign, missing):
        with world.unchanged():
            for token in (world.attacker.token, world.attacker_key):
                attacker = Client(world.attacker.base, token)
                theirs = send(attacker, route, path(route, foreign))
                assert plain(theirs) == plain(send(attacker, route, path(route, missing)))
                may = token != world.attacker_key or route.access.scope is not None
                assert theirs.status_code == (404 if may else 403)
        own = send(world.victim, route, path(route, foreign))
        assert own.status_code not in (401, 403, 404), "the fixture's id must exist for its owner"


QUERY_IDS = [(route, field) for route in TENANTS for field in IDS_IN_QUERIES.get(name(route), {})]
BODY_IDS = [(route, field) for route in TENANTS for field in IDS_IN_BODIES.get(name(route), {})]


@pytest.mark.parametrize(("route", "field"), QUERY_IDS, ids=[f"{name(route)} {field}" for route, field in QUERY_IDS])
def test_a_foreign_id_in_the_query_answers_like_a_missing_one(world: World, route: Route, field: str) -> None:
    foreign, missing = IDS_IN_QUERIES[name(route)][field](world)
    with IDS[name(route)](world) if parameters(route) else nullcontext(("", "")) as (whose, _):
        where = path(route, whose)
        theirs = send(world.attacker, route, f"{where}?{field}={foreign}")
        assert plain(theirs) == plain(send(world.attacker, route, f"{where}?{field}={missing}"))
        assert theirs.status_code == 404
        assert send(world.victim, route, f"{where}?{field}={foreign}").status_code in (200, 202)


@pytest.mark.parametrize(("route", "field"), BODY_IDS, ids=[f"{name(route)} {field}" for route, field in BODY_IDS])
def test_a_foreign_id_in_the_body_answers_like_a_missing_one(world: World, route: Route, field: str) -> None:
    foreign, missing = IDS_IN_BODIES[name(route)][field](world)
    with world.unchanged():
        for client in (world.attacker, Client(world.attacker.base, world.attacker_key)):
            theirs, nobodys = (
                send(client, route, route.path, BODIES[name(route)] | {field: each}) for each in (foreign, missing)
            )
            assert plain(theirs) == plain(nobodys)
            assert theirs.status_code == 404
    own = send(world.victim, route, route.path, BODIES[name(route)] | {field: foreign})
    assert own.status_code in (200, 201, 202) or code(own) in ("site_unreadable", "not_this_site")


LISTS = [route for route in TENANTS if route.query and issubclass(route.query, PageQuery) and not parameters(route)]
ONE_ROW = {
    *("GET /api/v1/members", "GET /api/v1/usage", "GET /api/v1/notifications"),
    "GET /api/v1/train/schedules",
}
"""The victim is alone in the team, has used one day and been told nothing, and its plan repeats no training: there is
no cursor to steal.
"""


@pytest.fixture(scope="module")
def full_lists(world: World) -> World:
    """The victim has two of everything that is listed."""
    for fixture in (invitation, key, session, experiment, further_site, rated, document, webhook):
        with fixture(world), fixture(world):
            pass
    fail_twice(world)
    return world


@pytest.mark.parametrize("route", LISTS, ids=name)
def test_a_list_shows_ones_own_and_a_foreign_cursor_leads_nowhere(full_lists: World, route: Route) -> None:
    world = full_lists
    shown = send(world.attacker, route, route.path).text
    hidden = (*world.secrets, world.victim_me["user"]["user_id"])
    assert not [secret for secret in hidden if secret in shown]
    cursor = world.victim.ok("GET", f"{route.path}?limit=1")["next_cursor"]
    if name(route) in ONE_ROW:
        assert cursor is None
        return
    assert world.victim.ok("GET", f"{route.path}?limit=1&cursor={cursor}")["items"]
    stolen = send(world.attacker, route, f"{route.path}?limit=1&cursor={cursor}")
    assert plain(stolen) == plain(send(world.attacker, route, f"{route.path}?limit=1&cursor=made.up"))
    assert (stolen.status_code, code(stolen)) == (400, "invalid_cursor")


def test_one_anonymous_device_does_not_see_anothers_session(world: World) -> None:
    devices = [world.device, device(world.attacker.base)]
    answer = devices[0].chat("What does the free plan include?")
    session = f"/api/v1/sessions/{answer['session_key']}"
    for method, where, body in (
        ("GET", session, None),
        ("DELETE", session, None),
        ("POST", f"/api/v1/chat/{answer['id']}/feedback", {"rating": 1}),
    ):
        assert devices[1].call(method, where, body).status_code == 404
    assert devices[0].ok("GET", session)["messages"][0]["answer"] == answer["answer"]


# Platform authority


@pytest.mark.parametrize("route", [route for route in ADMINS if route.method == "GET"], ids=name)
def test_an_admin_reads_what_they_ask_for(world: World, route: Route) -> None:
    assert send(world.stack.admin, route, admin_path(world, route)).status_code == 200


@pytest.mark.parametrize("route", [route for route in ADMINS if "tenant_id" in parameters(route)], ids=name)
def test_an_admin_finds_a_missing_tenant_missing(world: World, route: Route) -> None:
    where = route.path.format(tenant_id=NO_TENANT, cause="manual")
    assert send(world.stack.admin, route, where).status_code == 404


def test_refusals_are_counted(world: World) -> None:
    """Once a minute and container: all that this module was refused can't have made more than a few writes."""
    rows = [item for item in world.items("events") if item["pk"]["S"].startswith("SECURITY#")]
    counted = {reason.split()[0] for row in rows for reason in row["counts"]["M"]}
    assert counted & {"invalid_token", "unauthenticated", "foreign_tenant", "forbidden"}
    refused = sum(int(times["N"]) for row in rows for times in row["counts"]["M"].values())
    assert len(rows) * 10 < refused
