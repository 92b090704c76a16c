"""The product as its callers use it: HTTP, Cognito, and the stand-ins' own counters."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
import requests

from local import totp
from local.stripe import API_KEY as STRIPE_KEY

_OUR_ROLE = re.compile(r"/Noren-local-\w+-(\w+)Role[0-9A-F]{8}-")


@dataclass
class Event:
    """A server-sent event and when it reached us (seconds, monotonic)."""

    name: str
    data: Any
    at: float


@dataclass
class Client:
    """One caller. `token` is a JWT, an API key or a device token."""

    base: str
    token: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    @cached_property
    def session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        adapter = requests.adapters.HTTPAdapter(pool_connections=4, pool_maxsize=80)
        session.mount("http://", adapter)
        return session

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> requests.Response:
        """One request; header names with `_` for `-`. Does not raise for a status."""
        given = self.headers | {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token:
            given.setdefault("authorization", f"Bearer {self.token}")
        return self.session.request(method, self.base + path, json=body, headers=given, timeout=90)

    def ok(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """The answer's JSON; fails with the body if it is no 2xx."""
        answer = self.call(method, path, body, **headers)
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def chat(self, message: str, **more: Any) -> Any:
        """A buffered answer of the product's own chat."""
        headers = more.pop("headers", {})
        return self.ok("POST", "/api/v1/chat", {"message": message, **more}, **headers)

    def stream(self, message: str, **more: Any) -> Iterator[Event]:
        """The events of a streamed answer as they arrive."""
        body = {"message": message, "stream": True, **more}
        headers = self.headers | {"authorization": f"Bearer {self.token}"}
        with self.session.post(
            self.base + "/api/v1/chat", json=body, headers=headers, stream=True, timeout=90
        ) as answer:
            assert answer.status_code == 200, answer.text
            name = ""
            for line in answer.iter_lines(chunk_size=1, decode_unicode=True):
                if line.startswith("event:"):
                    name = line[6:].strip()
                elif line.startswith("data:"):
                    yield Event(name, json.loads(line[5:]), time.monotonic())


class Stack:
    """The running platform, by its `run.json`."""

    def __init__(self, run: dict[str, Any]) -> None:
        self.run = run
        self._clients: dict[str, Client] = {}
        self._aws: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        return self.run[name]

    def aws(self, service: Any) -> Any:
        """A client of the embedded cloud with every right."""
        if service not in self._aws:
            self._aws[service] = boto3.client(
                service,
                endpoint_url=self.run["aws_endpoint_url"],
                region_name=self.run["region"],
                aws_access_key_id="test",
                aws_secret_access_key="test",
            )
        return self._aws[service]

    @cached_property
    def tables(self) -> dict[str, str]:
        """Our tables' names, by what they are called in the product: `tenants`, `usage`, …"""
        outputs = self.aws("cloudformation").describe_stacks(StackName="Noren-local-Data")["Stacks"][0]["Outputs"]
        names = {each["OutputKey"]: each["OutputValue"] for each in outputs}
        return {key.removeprefix("Table").lower(): name for key, name in names.items() if key.startswith("Table")}

    def cognito(self) -> Any:
        return self.aws("cognito-idp")

    def mails(self) -> Any:
        """What the embedded SES has sent, by account."""
        return requests.get(self.run["aws_endpoint_url"] + "/_ministack/ses/messages", timeout=10).json()["messages"]

    def verdicts(self) -> list[dict[str, str]]:
        """What our functions' roles were allowed or refused: `role` (`Chat`, …), `action`, `resource`, `verdict`."""
        written = Path(self.run["logs"], "verdicts.jsonl")
        assert written.exists(), "the run does not enforce IAM: start it with AUTH=true"
        each = [json.loads(line) for line in written.read_text().splitlines()]
        return [one | {"role": role[1]} for one in each if (role := _OUR_ROLE.search(one["principal"]))]

    def sign_in(self, email: str, password: str, totp_secret: str = "") -> dict[str, str]:
        """Cognito's tokens: `AccessToken`, `IdToken`, `RefreshToken`."""
        cognito = self.cognito()
        answer = cognito.initiate_auth(
            AuthFlow="USER_PASSWORD_AUTH",
            ClientId=self.run["client_id"],
            AuthParameters={"USERNAME": email, "PASSWORD": password},
        )
        if totp_secret:
            assert answer["ChallengeName"] == "SOFTWARE_TOKEN_MFA"
            answer = cognito.respond_to_auth_challenge(
                ClientId=self.run["client_id"],
                ChallengeName="SOFTWARE_TOKEN_MFA",
                Session=answer["Session"],
                ChallengeResponses={"USERNAME": email, "SOFTWARE_TOKEN_MFA_CODE": totp.code(totp_secret)},
            )
        tokens: dict[str, str] = answer["AuthenticationResult"]
        return tokens

    def person(self, plan: str) -> dict[str, str]:
        """The demo user of the plan, as `run.json` names them."""
        return next(user for user in self.run["users"] if user["plan"] == plan)

    def user(self, plan: str) -> Client:
        """A client signed in as the demo user of that plan."""
        if plan not in self._clients:
            person = self.person(plan)
            tokens = self.sign_in(person["email"], person["password"])
            self._clients[plan] = Client(self.run["inference_url"], tokens["AccessToken"])
        return self._clients[plan]

    @cached_property
    def admin_tokens(self) -> dict[str, str]:
        """The platform admin's tokens."""
        admin = self.run["admin"]
        return self.sign_in(admin["email"], admin["password"], admin["totp_secret"])

    @cached_property
    def admin(self) -> Client:
        """A client signed in as the platform admin."""
        return Client(self.run["platform_url"], self.admin_tokens["AccessToken"])

    def newcomer(self, name: str) -> tuple[Client, dict[str, Any]]:
        """A person who signs up now, and their `GET /me`: a tenant of their own, nothing used."""
        email, password = f"{name}-{time.time_ns()}@noren.example", "Aa1-newcomer-secret"
        cognito = self.cognito()
        cognito.sign_up(
            ClientId=self.run["client_id"],
            Username=email,
            Password=password,
            UserAttributes=[{"Name": "email", "Value": email}],
        )
        cognito.admin_confirm_sign_up(UserPoolId=self.run["user_pool_id"], Username=email)
        client = Client(self.run["inference_url"], self.sign_in(email, password)["AccessToken"])
        return client, client.ok("GET", "/api/v1/me")

    def save_card(self, owner: Client) -> str:
        """Save a card of the owner's at the Stripe stand-in itself, as a browser does; its id."""
        intent = owner.ok("POST", "/api/v1/billing/cards")["client_secret"].partition("_secret_")[0]
        saved = requests.post(
            f"{self.run['stripe']['api_base']}/v1/setup_intents/{intent}/confirm",
            data={"payment_method": "pm_card_visa"},
            headers={"Authorization": f"Bearer {STRIPE_KEY}"},
            timeout=10,
        )
        assert saved.ok, saved.text
        card: str = saved.json()["payment_method"]
        return card

    def models(self) -> Any:
        """The model stand-in's counters, by endpoint."""
        return requests.get(self.run["llm"]["stand_in_url"] + "/_stats", timeout=10).json()

    def model_calls(self) -> int:
        """Calls that reached the model stand-in so far."""
        return sum(endpoint["calls"] for endpoint in self.models().values())

    def control(self, endpoint: str, **settings: Any) -> None:
        """Set the model stand-in's pace or fault; `control("*")` puts everything back to normal."""
        body = {"endpoint": endpoint, "fault": None, "pace_ms": 5, "first_ms": 0, **settings}
        answer = requests.post(self.run["llm"]["stand_in_url"] + "/_control", json=body, timeout=10)
        assert answer.ok, answer.text
