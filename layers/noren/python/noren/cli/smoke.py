"""`noren smoke`: after a deployment, does the main job work from outside? One line a check; what can't be told is said.

A person of its own signs in (made once, disabled between runs, a new password each time); its free tenant's limits are
narrowed for the quota check and put back. Needs the operator's own AWS credentials, nothing else.
"""

from __future__ import annotations

import json
import secrets
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from http.client import HTTPResponse
from typing import TYPE_CHECKING, Any, Literal

from noren.cli import srp
from noren.cli.deployment import Deployment, run_contract, stack_outputs
from noren.cli.output import CliError
from noren.ids import TenantId

if TYPE_CHECKING:
    from mypy_boto3_cognito_idp import CognitoIdentityProviderClient

State = Literal["passed", "failed", "skipped"]
MARKS: dict[State, str] = {"passed": "✓", "failed": "✗", "skipped": "–"}

EMAIL = "smoke@noren.invalid"
"""Of the person that signs in: an address that nobody can ever own."""
ACTOR = "cli:smoke"
SECONDS = 90.0
"""For one request; a cold RunPod worker takes its time."""
SPREAD_SECONDS = 0.05
"""An answer whose events came closer together than this was not streamed."""
LONG = "Please write a very long story about a curtain at a shop's door, with as many details as you can."
BURST_SPARE = 5
PLENTY = 1_000
"""Chats while the checks last, however often they are made: a free tenant's month would end too soon."""


class Failed(Exception):
    """A check did not hold; the text says what was seen instead."""


class Throttled(Failed):
    """429 at the beginning of a stream."""

    def __init__(self, wait: float) -> None:
        super().__init__(f"429: wait {wait:.0f} s")
        self.wait = wait


class Skipped(Exception):
    """A check that can't be made here; the text says why."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's outcome."""

    name: str
    state: State
    detail: str


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer. `json` is None where the body is none."""

    status: int
    headers: Mapping[str, str]
    json: Any

    def expect(self, status: int) -> Answer:
        """Itself, if that is its status. Raises Failed."""
        if self.status != status:
            raise Failed(f"{self.status} instead of {status}: {json.dumps(self.json, ensure_ascii=False)[:300]}")
        return self


@dataclass(frozen=True, slots=True)
class Event:
    """A server-sent event and when it came (monotonic seconds)."""

    name: str
    data: Any
    at: float


@dataclass
class Http:
    """Calls to one API. Locally no proxy of the environment is asked."""

    direct: bool
    token: str = ""

    @cached_property
    def _opener(self) -> urllib.request.OpenerDirector:
        return urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if self.direct else []))

    def call(self, method: str, url: str, body: Any = None, **headers: str) -> Answer:
        """One request. Header names with `_` for `-`."""
        with self._open(method, url, body, headers) as answer:
            text = answer.read()
            try:
                value = json.loads(text)
            except ValueError:
                value = None
            return Answer(answer.status, {name.lower(): value for name, value in answer.headers.items()}, value)

    def stream(self, url: str, body: Any) -> Iterator[Event]:
        """The events of a streamed answer as they arrive. Raises Failed for a refusal."""
        with self._open("POST", url, body, {}) as answer:
            if answer.status == 429:
                raise Throttled(float(answer.headers.get("retry-after", "1")))
            if answer.status != 200:
                raise Failed(f"{answer.status}: {answer.read(300).decode(errors='replace')}")
            name = ""
            for raw in answer:
                line = raw.decode().rstrip("\r\n")
                if line.startswith("event:"):
                    name = line[6:].strip()
                elif line.startswith("data:"):
                    yield Event(name, json.loads(line[5:]), time.monotonic())

    @contextmanager
    def _open(self, method: str, url: str, body: Any, headers: Mapping[str, str]) -> Iterator[HTTPResponse]:
        given = {"content-type": "application/json", "user-agent": "noren-smoke"}
        given |= {"authorization": f"Bearer {self.token}"} if self.token else {}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        data = None if body is None else json.dumps(body).encode()
        if not url.startswith(("https://", "http://localhost", "http://127.0.0.1")):
            raise Failed(f"{url} is no https address")
        request = urllib.request.Request(url, data, given, method=method)  # noqa: S310 (checked above)
        try:
            answer = self._opener.open(request, timeout=SECONDS)
        except urllib.error.HTTPError as refusal:
            answer = refusal
        except (urllib.error.URLError, OSError) as error:
            raise Failed(f"{url}: {error}") from None
        with answer:
            yield answer


@dataclass
class Smoke:
    """The checks, in the order in which they build on each other."""

    deployment: Deployment
    say: Callable[[Finding], None]
    findings: list[Finding] = field(default_factory=list)
    me: dict[str, Any] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    first: Any = None
    """The `done` event of the first chat."""

    def __post_init__(self) -> None:
        self._run = run_contract() or {} if self.deployment.stage == "local" else {}
        self.http = Http(direct=bool(self._run))

    # Where everything is

    @cached_property
    def platform(self) -> str:
        """The platform API's address."""
        if self._run:
            return str(self._run["platform_url"])
        outputs = stack_outputs(self.deployment.stage, "Platform")
        return next(value for name, value in outputs.items() if name.startswith("PlatformUrl"))

    @property
    def inference(self) -> str:
        """The inference API's address, as `GET /me` tells a front end."""
        return str(self.me["inference_url"])

    @property
    def tenant_id(self) -> TenantId:
        """The tenant of the person who signs in."""
        return TenantId(self.me["tenant"]["tenant_id"])

    @cached_property
    def cognito(self) -> CognitoIdentityProviderClient:
        """The user pool's API."""
        import boto3

        return boto3.client("cognito-idp")

    def run(self) -> bool:
        """Make every check; whether none failed."""
        self._check("health", self.health)
        self._check("sign-in", self.sign_in)
        try:
            signed_in = bool(self.tokens)
            for name, check in {
                "who am I": self.who_am_i,
                "credentials refused": self.refusals,
                "streamed chat": self.chat,
                "usage record": self.record,
                "idempotency": self.idempotency,
                "API key": self.api_key,
                "cancel": self.cancel,
                "quota": self.quota,
                "throttling": self.throttling,
            }.items():
                if signed_in and (self.me or check == self.who_am_i):
                    self._check(name, check)
                else:
                    self._note(Finding(name, "skipped", "nobody is signed in"))
        finally:
            self._tidy()
        self._check("webhook signature", self.webhook)
        return all(each.state != "failed" for each in self.findings)

    def _check(self, name: str, check: Callable[[], str]) -> None:
        try:
            finding = Finding(name, "passed", check())
        except Skipped as why:
            finding = Finding(name, "skipped", str(why))
        except (Failed, CliError) as why:
            finding = Finding(name, "failed", str(why))
        except Exception as error:  # whatever it is, the other checks still tell something
            finding = Finding(name, "failed", f"{type(error).__name__}: {error}")
        self._note(finding)

    def _note(self, finding: Finding) -> None:
        self.findings.append(finding)
        self.say(finding)

    def _tidy(self) -> None:
        """Leave the limits as the plan has them and the person disabled."""
        if self.me:
            self._limit(chats_per_month=None, requests_per_day_per_site=None)
        if self.tokens:
            self.cognito.admin_disable_user(UserPoolId=self.deployment["UserPoolId"], Username=EMAIL)

    def _limit(self, **limits: int | None) -> None:
        self.deployment.services.tenants.set_overrides(self.tenant_id, limits, ACTOR)

    # The checks: each returns what it saw

    def health(self) -> str:
        """The platform API answers."""
        status = self.http.call("GET", self.platform + "/health").expect(200).json["status"]
        return f"{self.platform} says {status}"

    def sign_in(self) -> str:
        """A person signs in at the user pool, as a browser's library would."""
        pool, client_id = self.deployment["UserPoolId"], self.deployment["ClientId"]
        password = f"Aa1-{secrets.token_urlsafe(24)}"
        attributes: Any = [{"Name": "email", "Value": EMAIL}, {"Name": "email_verified", "Value": "true"}]
        try:
            self.cognito.admin_create_user(
                UserPoolId=pool, Username=EMAIL, MessageAction="SUPPRESS", UserAttributes=attributes
            )
        except self.cognito.exceptions.UsernameExistsException:
            self.cognito.admin_enable_user(UserPoolId=pool, Username=EMAIL)
        self.cognito.admin_set_user_password(UserPoolId=pool, Username=EMAIL, Password=password, Permanent=True)
        self.tokens = srp.sign_in(self.cognito, pool, client_id, EMAIL, password)
        self.http.token = self.tokens["AccessToken"]
        return f"{EMAIL} at {pool}"

    def who_am_i(self) -> str:
        """The platform API knows the person, their tenant and plan."""
        self.me = self.http.call("GET", self.platform + "/api/v1/me").expect(200).json
        self._limit(chats_per_month=PLENTY, requests_per_day_per_site=PLENTY)
        models = ", ".join(model["id"] for model in self.me["models"])
        return f"{self.tenant_id}, plan {self.me['plan']}, models {models}, chats at {self.inference}"

    def refusals(self) -> str:
        """Both APIs refuse nobody's call and an ID token."""
        for url in (self.platform + "/api/v1/me", self.inference + "/api/v1/sessions"):
            Http(self.http.direct).call("GET", url).expect(401)
            Http(self.http.direct, self.tokens["IdToken"]).call("GET", url).expect(401)
        return "no token, ID token: 401 at both APIs"

    def webhook(self) -> str:
        """Stripe's webhook takes nothing that Stripe has not signed."""
        url, event = self.platform + "/webhook/stripe", {"id": "evt_smoke", "type": "charge.refunded", "livemode": True}
        for signature in ("", f"t={int(time.time())},v1={'0' * 64}"):
            headers = {"stripe_signature": signature} if signature else {}
            answer = Http(self.http.direct).call("POST", url, event, **headers)
            if answer.status >= 500:
                raise Skipped("it does not run: no webhook secret (`noren secrets set stripe_webhook_secret`)?")
            answer.expect(400)
        return "no signature, a forged one: 400"

    def chat(self) -> str:
        """The free route answers, streamed."""
        question = "When are you open? Please answer in a few sentences."
        started = time.monotonic()
        try:
            events = list(self._ask(question))
        except Throttled as throttled:  # by the checks of a minute ago
            time.sleep(throttled.wait)
            started = time.monotonic()
            events = list(self._ask(question))
        names = [event.name for event in events]
        if names[:1] != ["meta"] or names[-1:] != ["done"] or "delta" not in names:
            raise Failed(f"these events came: {names[:3]} … {names[-1:]} {events[-1].data if events else ''}")
        first = next(event.at for event in events if event.name == "delta")
        last = events[-1].at
        self.first = events[-1].data
        if self.first["route"]["tier"] != "free":
            raise Failed(f"it took the route of {self.first['route']['tier']}")
        pieces = names.count("delta")
        if pieces < 2 or last - first < SPREAD_SECONDS:
            raise Failed(f"{pieces} pieces came within {last - first:.3f} s: something on the way buffers the stream")
        return (
            f"{self.first['model_used']} by {self.first['provider']}; first text after {first - started:.2f} s, "
            f"done after {last - started:.2f} s, {pieces} pieces, {self.first['tokens_consumed']['chat']} tokens"
        )

    def record(self) -> str:
        """The chat is in the books, and counted once."""
        self._needs_chat()
        rows = self.http.call("GET", self.platform + "/api/v1/usage/records?limit=20").expect(200).json["items"]
        row = next((each for each in rows if each["request_id"] == self.first["id"]), None)
        if row is None:
            raise Failed(f"{self.first['id']} has no usage record")
        tokens = self.first["tokens_consumed"]
        if (row["tokens_input"], row["tokens_output"], row["chats"]) != (tokens["input"], tokens["output"], 1):
            raise Failed(f"the record says {row['tokens_input']} + {row['tokens_output']} tokens, {row['chats']} chats")
        return f"{row['request_id']}: cost ${row['cost_usd']}, trace {row['trace_id']}"

    def idempotency(self) -> str:
        """The same key is one chat."""
        body, key = {"message": "Where are you?"}, f"smoke-{time.time_ns()}"
        answers = [
            self.http.call("POST", self.inference + "/api/v1/chat", body, Idempotency_Key=key).expect(200)
            for _ in range(2)
        ]
        if answers[0].json["id"] != answers[1].json["id"] or "idempotency-replayed" not in answers[1].headers:
            raise Failed(f"two chats: {answers[0].json['id']} and {answers[1].json['id']}")
        other = self.http.call("POST", self.inference + "/api/v1/chat", {"message": "Who?"}, Idempotency_Key=key)
        return f"one chat for two calls; another body: {other.expect(422).json['code']}"

    def api_key(self) -> str:
        """A server's key opens OpenAI's routes, and is gone when revoked."""
        made = self.http.call("POST", self.platform + "/api/v1/api-keys", {"name": "smoke", "scopes": ["chat"]})
        key = made.expect(201).json
        try:
            server = Http(self.http.direct, key["secret"])
            models = server.call("GET", self.inference + "/v1/models").expect(200).json["data"]
        finally:
            self.http.call("DELETE", self.platform + f"/api/v1/api-keys/{key['key_id']}").expect(204)
        return f"GET /v1/models lists {len(models)}"

    def cancel(self) -> str:
        """A running answer ends within seconds of being cancelled."""
        with self._slow_models():
            events = self._ask(LONG, max_tokens=512)
            meta = next(events)
            next(events)
            asked = time.monotonic()
            answer = self.http.call("POST", self.inference + f"/api/v1/chat/{meta.data['id']}/cancel")
            last = list(events)[-1]
        reason = last.data.get("finish_reason")
        if answer.status == 404 or reason in ("stop", "length"):
            raise Skipped("the answer had ended by itself before; try again")
        answer.expect(202)
        if reason != "cancelled":
            raise Failed(f"it ended with {last.name} {reason}")
        return f"ended {last.at - asked:.1f} s later, {last.data['tokens_consumed']['output']} tokens paid for"

    def quota(self) -> str:
        """Spent quota is refused before any model is called."""
        self._limit(chats_per_month=1)
        body = self.http.call("POST", self.inference + "/api/v1/chat", {"message": "Hello"}).expect(402).json
        return f"{body['code']}; offered: {body.get('plan')}, resets at {body.get('resets_at')}"

    def throttling(self) -> str:
        """More requests than the plan's minute allows are told to wait (with spent quota, so that nothing is paid)."""
        allowed = self.me["limits"]["requests_per_minute"]
        for sent in range(1, allowed + BURST_SPARE + 1):
            answer = self.http.call("POST", self.inference + "/api/v1/chat", {"message": "Hello"})
            if answer.status == 429:
                wait = answer.expect(429).json.get("retry_after")
                if not wait or answer.headers.get("retry-after") != str(wait):
                    raise Failed(f"429 without a time to wait: {answer.json}")
                return f"429 after {sent} of {allowed} requests a minute; wait {wait} s"
            answer.expect(402)
        raise Failed(f"{allowed + BURST_SPARE} requests went through, {allowed} a minute are allowed")

    def _ask(self, message: str, **more: Any) -> Iterator[Event]:
        body = {"message": message, "stream": True, **more}
        return self.http.stream(self.inference + "/api/v1/chat", body)

    def _needs_chat(self) -> None:
        if self.first is None:
            raise Skipped("there was no chat")

    @contextmanager
    def _slow_models(self) -> Iterator[None]:
        """Locally, slow the model stand-ins down: their answers would end before anybody could cancel them."""
        url = self._run.get("llm", {}).get("stand_in_url")
        if not url:
            yield
            return
        self.http.call("POST", url + "/_control", {"endpoint": "*", "pace_ms": 500}).expect(200)
        try:
            yield
        finally:
            self.http.call("POST", url + "/_control", {"endpoint": "*", "pace_ms": 15}).expect(200)


def main(deployment: Deployment, *, as_json: bool) -> int:
    """Run and print; 0 if nothing failed."""

    def say(finding: Finding) -> None:
        if not as_json:
            print(f"{MARKS[finding.state]} {finding.name:<20} {finding.detail}", flush=True)

    smoke = Smoke(deployment, say)
    passed = smoke.run()
    if as_json:
        checks = [asdict(each) for each in smoke.findings]
        print(json.dumps({"stage": deployment.stage, "passed": passed, "checks": checks}, indent=2, ensure_ascii=False))
    elif not passed:
        print("Something failed: docs/runbook.md says what to look at.", file=sys.stderr)
    return 0 if passed else 1
