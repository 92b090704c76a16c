"""The API as one function from request to response: keys, versions, parameters, idempotency, errors.

Both the server and the in-process client call it. A request is taken in two steps, `open` and `run`, so that a slow
one can be met by another with the same idempotency key.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from local.stripe import contract
from local.stripe.errors import Refusal
from local.stripe.render import render
from local.stripe.routes import Route
from local.stripe.world import API_VERSION, DAY, Obj, World

_MODULES = (
    "cards catalog checkout customers disputes events invoice_api invoice_items meters payment_api "
    "portal refunds schedules setups subscriptions"
).split()
ROUTES: list[Route] = [route for name in _MODULES for route in import_module(f"local.stripe.{name}").ROUTES]


@dataclass(frozen=True, slots=True)
class Request:
    """What came over the wire. `target` is path and query."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: str = ""


@dataclass(slots=True)
class Response:
    """What goes back."""

    status: int
    body: str
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Call:
    """A request that has passed its checks and is to be executed."""

    route: Route
    path: dict[str, str]
    given: Obj
    request_id: str
    key: str | None


@dataclass(slots=True)
class _Kept:
    """What is remembered under an idempotency key."""

    digest: str
    at: int
    response: Response | None = None


class Api:
    """One account's API."""

    def __init__(self, world: World, key: str) -> None:
        self.world = world
        self.key = key
        self.calls: dict[str, int] = {}
        """How often each operation was executed."""
        self.kept: dict[str, _Kept] = {}

    def handle(self, request: Request) -> Response:
        """Answer a request."""
        call = self.open(request)
        return self.run(call) if isinstance(call, Call) else call

    def open(self, request: Request) -> Call | Response:
        """Check a request. A response comes back for what is refused, and for what was answered before."""
        request_id = self.world.id("req")
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            self._authorize(headers)
            url = urlsplit(request.target)
            route, path = _find(request.method.upper(), url.path)
            sent = request.body if request.method.upper() == "POST" else url.query
            key = headers.get("idempotency-key") if request.method.upper() == "POST" else None
            if key and (response := self._replay(key, f"{url.path}\n{sent}")):
                return response
            given = contract.read(route.type, decode(sent))
        except Refusal as refusal:
            return _refused(refusal, request_id)
        if key:
            self.kept[key] = _Kept(_digest(f"{url.path}\n{sent}"), self.world.now())
        return Call(route, path, given, request_id, key)

    def run(self, call: Call) -> Response:
        """Execute a call and remember what came of it."""
        world = self.world
        world.tick()
        name = f"{call.route.method} {call.route.path}"
        self.calls[name] = self.calls.get(name, 0) + 1
        world.request = {"id": call.request_id, "idempotency_key": call.key}
        expand = call.given.pop("expand", [])
        executed = True
        try:
            answer = call.route.handler(world, call.given, **call.path)
            response = Response(200, json.dumps(render(world, answer, expand), ensure_ascii=False))
            _head(response, call.request_id)
        except Refusal as refusal:
            executed = refusal.executed
            response = _refused(refusal, call.request_id)
        finally:
            world.request = {"id": None, "idempotency_key": None}
        if call.key:
            if executed:
                self.kept[call.key].response = response
                response.headers["Idempotency-Key"] = call.key
            else:
                del self.kept[call.key]
        return response

    def drop(self, call: Call) -> None:
        """Forget a call that is not going to be executed."""
        if call.key:
            self.kept.pop(call.key, None)

    def _authorize(self, headers: Mapping[str, str]) -> None:
        given = headers.get("authorization", "").removeprefix("Bearer ").strip()
        if not given:
            raise Refusal(
                "You did not provide an API key. You need to provide your API key in the Authorization"
                " header, using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').",
                status=401,
            )
        if not self.key or not hmac.compare_digest(given.encode(), self.key.encode()):
            raise Refusal(f"Invalid API Key provided: {given[:8]}{'*' * 12}{given[-4:]}", status=401)
        version = headers.get("stripe-version", API_VERSION)
        if version != API_VERSION:
            raise Refusal(f"Invalid Stripe API version: {version}. The local stand-in speaks {API_VERSION}.")

    def _replay(self, key: str, what: str) -> Response | None:
        if len(key) > 255:
            raise Refusal("Idempotency keys can be up to 255 characters long.", kind="idempotency_error")
        kept = self.kept.get(key)
        if kept is None or self.world.now() - kept.at > DAY:
            return None
        if kept.digest != _digest(what):
            raise Refusal(
                "Keys for idempotent requests can only be used with the same parameters they were first used with. Try"
                f" using a key other than '{key}' if you meant to execute a different request.",
                kind="idempotency_error",
            )
        if kept.response is None:
            raise Refusal(
                "There is currently another in-progress request using this Stripe-Idempotency-Key (that probably means"
                " you submitted twice, and the other request is still going through). Please try again later.",
                status=409,
                kind="idempotency_error",
                code="idempotency_key_in_use",
            )
        return Response(
            kept.response.status, kept.response.body, {**kept.response.headers, "Idempotent-Replayed": "true"}
        )


def _find(method: str, path: str) -> tuple[Route, dict[str, str]]:
    for route in ROUTES:
        if route.method == method and (match := route.pattern.fullmatch(path)):
            return route, match.groupdict()
    raise Refusal(
        f"Unrecognized request URL ({method}: {path}). Please see https://stripe.com/docs or we can help at"
        " https://support.stripe.com/.",
        status=404,
    )


def decode(form: str) -> Obj:
    """`a[b][0]=c` as nested objects; contract.read makes lists of them where lists are meant."""
    values: Obj = {}
    for name, value in parse_qsl(form, keep_blank_values=True):
        first, *rest = re.findall(r"[^\[\]]+|(?<=\[)(?=\])", name)
        place: Any = values
        names = [first, *rest]
        for inner in names[:-1]:
            nested = place.setdefault(inner, {})
            place = nested if isinstance(nested, dict) else place
        last = names[-1]
        place[last if last else str(len(place))] = value
    return values


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _refused(refusal: Refusal, request_id: str) -> Response:
    error = {**refusal.error, "request_log_url": f"https://dashboard.stripe.com/test/logs/{request_id}"}
    response = Response(refusal.status, json.dumps({"error": error}, ensure_ascii=False))
    if refusal.status == 409:
        response.headers["Stripe-Should-Retry"] = "true"
    _head(response, request_id)
    return response


def _head(response: Response, request_id: str) -> None:
    response.headers |= {
        "Content-Type": "application/json",
        "Request-Id": request_id,
        "Stripe-Version": API_VERSION,
        "Stripe-Should-Retry": response.headers.get("Stripe-Should-Retry", "false"),
    }
