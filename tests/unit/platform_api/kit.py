"""A whole platform on the emulator: real tables, real services, real RSA keys; only the user pool is a small fake."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast

import boto3
import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from noren import wiring
from noren.edge.authenticate import Authenticator
from noren.edge.dispatch import RouteTable, dispatch
from noren.edge.http import Request, Response
from noren.fetching.client import Fetcher
from noren.fetching.wire import Network
from noren.ids import TenantId
from noren.knowledge.survey.extent import Span
from noren.knowledge.survey.models import Ask, Left, Survey
from noren.mail import Template
from noren.secrets import Secrets
from noren.settings import Settings
from noren.tenants.directory import ADMIN_GROUP, Directory, Person
from noren.wiring import Services
from platform_api.routes import ROUTES
from tests.unit.billing.fake_stripe import FakeStripe
from tests.unit.knowledge.training_world import Memory, Messages
from tests.unit.webhooks.world import Chest, Post

POOL = "ap-northeast-1_testpool"
CLIENT = "client-of-ours"
TABLES = ("tenants", "quotas", "credits", "billing", "usage", "sites", "events", "webhooks", "knowledge", "runtime")
TABLE = RouteTable(ROUTES)


@cache
def rsa_key(name: str) -> rsa.RSAPrivateKey:
    """One key per name, made once a session."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def key_set(*names: str) -> dict[str, Any]:
    """A JWKS document of those keys."""
    keys = []
    for name in names:
        jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(rsa_key(name).public_key()))
        keys.append(jwk | {"kid": name, "use": "sig", "alg": "RS256"})
    return {"keys": keys}


def access_token(sub: str, /, *, key: str = "pool", algorithm: str = "RS256", **changes: Any) -> str:
    """An access token as Cognito makes them, with some claims changed (None leaves one out)."""
    now = int(time.time())
    claims = {
        "sub": sub,
        "username": sub,
        "iss": f"https://cognito-idp.ap-northeast-1.amazonaws.com/{POOL}",
        "client_id": CLIENT,
        "token_use": "access",
        "scope": "openid",
        "iat": now,
        "exp": now + 3600,
        **changes,
    }
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, rsa_key(key), algorithm=algorithm, headers={"kid": key})


@dataclass
class People:
    """A user pool in memory: who exists, who is enabled, who has enrolled a second factor, who is an admin."""

    known: dict[str, Person] = field(default_factory=dict)
    admins: set[str] = field(default_factory=set)

    def add(self, sub: str, email: str, *, admin: bool = False, totp: bool = False, enabled: bool = True) -> None:
        self.known[sub] = Person(sub, enabled, email, totp=totp)
        (self.admins.add if admin else self.admins.discard)(sub)

    def person(self, username: str, user_id: str) -> Person:
        return self.known.get(username, Person(user_id, enabled=False))

    def is_platform_admin(self, username: str, user_id: str) -> bool:
        return username in self.admins and self.person(username, user_id).totp


@dataclass
class Outbox:
    """A mailer that keeps what it is given."""

    mails: list[dict[str, Any]] = field(default_factory=list)

    def queue(self, to: str, template: Template, data: Mapping[str, str], locale: str) -> None:
        self.mails.append({"to": to, "template": template, "data": dict(data), "locale": locale})


@dataclass
class Time:
    """A clock that can be moved."""

    ahead: float = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead

    def to_next_minute(self) -> None:
        """Move on to where a minute begins: what is counted by the minute then falls into one."""
        self.ahead += 60 - self() % 60


@dataclass
class Platform:
    """Services and what stands behind them; `call` goes through the whole edge."""

    services: Services
    people: People
    outbox: Outbox
    time: Time
    stripe: FakeStripe

    def call(
        self,
        method: str,
        path: str,
        token: str = "",
        body: Any = None,
        *,
        raw: bytes | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        sent = {"authorization": f"Bearer {token}"} if token else {}
        content = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        request = Request(
            method,
            path,
            sent | dict(headers or {}),
            query or {},
            content,
            "203.0.113.9",
            "0af7651916cd43dd8448eb211c80319c",
        )
        return dispatch(TABLE, request, self.services)

    def json(self, method: str, path: str, token: str = "", body: Any = None, **more: Any) -> Any:
        """The parsed body of an answer that must be good."""
        answer = self.call(method, path, token, body, **more)
        assert answer.status < 400, answer.body
        return json.loads(answer.body) if answer.body else None

    def default_site(self, sub: str) -> str:
        """The id of the default site of a person's tenant."""
        return self.services.tenants.get(TenantId(self.tenant_of(sub))).default_site_id

    def sign_up(self, sub: str, email: str = "", **more: bool) -> str:
        """A person with a tenant; their token."""
        self.people.add(sub, email or f"{sub}@example.jp", **more)
        claims: dict[str, Any] = {"cognito:groups": [ADMIN_GROUP]} if more.get("admin") else {}
        token = access_token(sub, **claims)
        self.services.tenants.ensure_tenant(sub, email or f"{sub}@example.jp", sub)
        return token

    def tenant_of(self, sub: str) -> str:
        return next(each.tenant_id for each in self.services.tenants.memberships(sub))


class Elsewhere(Network):
    """An internet in which every name has an address and nobody answers there."""

    def resolve(self, host: str, port: int) -> list[str]:
        return ["93.184.216.34"]

    def connect(self, address: str, port: int, seconds: float) -> socket.socket:
        raise ConnectionRefusedError


class Overlooking:
    """Looks no site over, and tells of each the same."""

    def survey(self, ask: Ask) -> Survey:
        skipped = (Left("noindex", 2, f"{ask.url}private"),)
        return Survey(Span(8, 10, 12), 0, Span(8_000, 10_000, 13_000), skipped, 12, 6, False, False)


class FixedSecrets(Secrets):
    """Secrets Manager with a signing secret, which nobody has to be asked for."""

    def signing_secret(self) -> str:
        return "s" * 40


def create_tables() -> Any:
    """The platform's tables in the emulator's current account; returns a client of them."""
    client = boto3.client("dynamodb")
    for name in TABLES:
        client.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            AttributeDefinitions=[
                {"AttributeName": each, "AttributeType": "S"} for each in ("pk", "sk", "gsi1pk", "gsi1sk")
            ],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": "gsi1",
                    "KeySchema": [
                        {"AttributeName": "gsi1pk", "KeyType": "HASH"},
                        {"AttributeName": "gsi1sk", "KeyType": "RANGE"},
                    ],
                    "Projection": {"ProjectionType": "ALL"},
                }
            ],
        )
    return client


_SEEDED: list[tuple[str, dict[str, Any]]] = []
"""What the tables of this process's first platform held at its start, by table: the others begin with copies."""


def seed(client: Any, services: Services) -> None:
    """Fill the catalogue and open the platform's own tenant."""
    if not _SEEDED:
        services.plans.seed()
        services.packages.seed()
        services.tenants.ensure_platform()
        _SEEDED.extend((name, item) for name in TABLES for item in client.scan(TableName=name)["Items"])
        return
    for start in range(0, len(_SEEDED), 25):
        batch: dict[str, list[Any]] = {}
        for name, item in _SEEDED[start : start + 25]:
            batch.setdefault(name, []).append({"PutRequest": {"Item": item}})
        client.batch_write_item(RequestItems=batch)


def build() -> Platform:
    """Everything, with an empty catalogue filled from the seed."""
    client = create_tables()
    settings = Settings(
        **{f"{name}_table": name for name in TABLES},
        user_pool_id=POOL,
        client_id=CLIENT,
        platform_url="https://platform.example",
        inference_url="https://inference.example",
        console_url="https://console.example",
    )
    people, outbox, now, stripe = People(), Outbox(), Time(), FakeStripe()
    services = wiring.build(settings)
    object.__setattr__(services, "clock", now)
    parts = services.__dict__
    parts["secrets"] = FixedSecrets(settings, now)
    parts["directory"] = cast(Directory, people)
    parts["mailer"] = outbox
    parts["stripe"] = stripe
    parts["vault"] = Chest()
    parts["fetcher"] = Fetcher(network=Elsewhere())
    parts["webhook_queue"] = Post(now)
    parts["train_queue"], parts["publish_queue"] = Messages(), Messages()
    parts["blobs"] = parts["unlisted_blobs"] = Memory(now)
    parts["surveyor"] = Overlooking()
    seed(client, services)
    parts["authenticator"] = Authenticator(
        settings,
        services.tenants,
        services.directory,
        services.signer,
        services.visitors,
        now,
        lambda: key_set("pool"),
    )
    return Platform(services, people, outbox, now, stripe)
