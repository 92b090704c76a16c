"""One way through the edge for every route: match, limit, authenticate, authorise, validate, handle, render."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from pydantic import BaseModel, ValidationError

from noren.edge import strict_json
from noren.edge.auditing import recorded
from noren.edge.error_notes import note
from noren.edge.http import SITE_KEY, Access, Call, Caller, Request, Response, Route
from noren.edge.log import log_call
from noren.edge.respond import edge_headers, preflight, render, render_error
from noren.edge.security import address_prefix, countable
from noren.errors import BadRequest, Forbidden, MethodNotAllowed, NorenError, NotFound, Unauthenticated
from noren.limits import VISITOR_CALLS_OF_ADDRESS, check

if TYPE_CHECKING:
    from noren.wiring import Services

__all__ = [
    "RouteTable",
    "authorise",
    "dispatch",
    "edge_headers",
    "flush",
    "identify",
    "open_call",
    "preflight",
    "read_call",
    "refuse",
    "render",
    "render_error",
]

MAX_PATH = 1024
PUBLIC = Caller("public")

_log = logging.getLogger("noren.edge")


class RouteTable:
    """An API's routes, ready to be matched; aliases answer exactly as their routes.

    Unless it is `unaudited`, each change that a route makes leaves an audit record.
    """

    def __init__(self, routes: Sequence[Route], *, unaudited: bool = False) -> None:
        self.routes = tuple(routes)
        self.unaudited = unaudited
        self._compiled = [(_pattern(path), route) for route in self.routes for path in (route.path, *route.aliases)]

    def match(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        """The route and its path parameters. Raises NotFound, or MethodNotAllowed with the verbs that exist."""
        allowed: list[str] = []
        if len(path) <= MAX_PATH:
            for pattern, route in self._compiled:
                if found := pattern.fullmatch(path):
                    if route.method == method:
                        return route, {name: unquote(value) for name, value in found.groupdict().items()}
                    allowed.append(route.method)
        if allowed:
            raise MethodNotAllowed(tuple(sorted(set(allowed))))
        raise NotFound()


def open_call(route: Route, params: Mapping[str, str], request: Request, services: Services) -> Call:
    """Everything before the handler: who calls, whether they may, and what they say. Raises NorenErrors."""
    caller = identify(route, request, services)
    authorise(route.access, caller)
    return read_call(route, params, request, services, caller)


def identify(route: Route, request: Request, services: Services) -> Caller:
    """Who calls; nobody is asked on a public route. Raises Unauthenticated, Forbidden (a foreign tenant's header)."""
    return PUBLIC if route.access.public else services.authenticator.authenticate(request)


def read_call(route: Route, params: Mapping[str, str], request: Request, services: Services, caller: Caller) -> Call:
    """Limit and validate what an authorised caller sends. Raises BadRequest, TooLarge."""
    for value in (*params.values(), *request.query.values()):
        strict_json.check_plain(value)
    body = query = None
    if route.body is not None:
        body = _validated(route.body, strict_json.parse(request.body, route.max_body) if request.body else {})
    elif len(request.body) > strict_json.MAX_BODY:
        strict_json.parse(request.body)
    if route.query is not None:
        given = dict(request.query)
        if route.access.visitor:
            given.pop(SITE_KEY, None)  # said to the edge, not to the route
        query = _validated(route.query, given)
    return Call(services, request, caller, params, body, query)


def authorise(access: Access, caller: Caller) -> None:
    """Let a caller through that any of the route's kinds fits. Raises Unauthenticated, Forbidden."""
    if access.public:
        return
    if caller.kind == "public" and not (access.anonymous or access.visitor):
        raise Unauthenticated("This needs a sign-in or an API key.")
    signed_in = caller.kind in ("user", "member")
    role_fits = access.role is not None and caller.role is not None and caller.role >= access.role
    if (
        (access.platform_admin and caller.is_platform_admin)
        or (access.user and signed_in)
        or (caller.kind == "member" and role_fits)
        or (caller.kind == "api_key" and access.scope is not None and access.scope in caller.scopes)
        or (caller.kind == "anonymous" and access.anonymous)
        or (caller.kind == "visitor" and access.visitor)
    ):
        return
    if caller.kind == "public":
        raise Unauthenticated("This needs a sign-in, an API key or a visitor's token.")
    raise Forbidden(_why_not(access, caller))


def dispatch(table: RouteTable, request: Request, services: Services) -> Response:
    """The whole way of one call. Always answers."""
    started = time.monotonic()
    route: Route | None = None
    if request.method == "OPTIONS":
        with contextlib.suppress(NotFound, MethodNotAllowed):
            route, _ = table.match(request.headers.get("access-control-request-method", ""), request.path)
        return preflight(request, route, services)
    caller: Caller | None = None
    params: dict[str, str] = {}
    try:
        route, params = table.match(request.method, request.path)
        caller = identify(route, request, services)
        authorise(route.access, caller)
        _count(route, caller, request.source_ip, services)
        call = read_call(route, params, request, services, caller)
        response = _handled(route, call, unaudited=table.unaudited)
    except Exception as error:
        site_id = params.get("site_id") or request.query.get("site_id", "")
        response = refuse(error, route, request, services, caller, site_id)
    log_call(request, route, caller, response.status, started)
    flush(services)
    return response


def flush(services: Services) -> None:
    """Write what is counted in memory and due: after every call, since nothing runs between calls. Cheap."""
    services.security.flush()
    services.error_log.flush()


def _count(route: Route, caller: Caller, source_ip: str, services: Services) -> None:
    """Count a call against its tenant's plan; a visitor's apart from it, and against the address that it comes from.

    Chats have a count of their own in admission, and an operator's work is not a plan's. Raises RateLimited.
    """
    if caller.tenant_id is None or route.access.platform_admin:
        return
    limits = services.plans.entitlement(services.tenants.get(caller.tenant_id)).limits
    key = f"api#{caller.tenant_id}" + (f"#{caller.device}" if caller.device else "")
    if caller.kind == "visitor":
        address = hashlib.sha256(countable(source_ip).encode()).hexdigest()[:32]
        services.limiter.check(f"visits#{caller.site_id}#{address}", VISITOR_CALLS_OF_ADDRESS, 60)
        key = f"visits#{caller.site_id}"
    services.limiter.check(key, limits.requests_per_minute, 60)
    if route.rate:
        check(services.limiter, route.rate, caller.tenant_id)


def refuse(
    error: Exception,
    route: Route | None,
    request: Request,
    services: Services,
    caller: Caller | None,
    site_id: str = "",
) -> Response:
    """Render an error, count it as a security event where it is one, log it where nobody expected it.

    `site_id`: the site that was asked, as it was sent. What its owner should see goes into the tenant's error log.
    """
    if isinstance(error, (Unauthenticated, Forbidden)):
        known = caller is not None and caller.kind != "public"
        actor = caller.principal if known and caller else f"address:{address_prefix(request.source_ip)}"
        services.security.count(error.code, actor)
    elif not isinstance(error, NorenError):
        _log.error("unexpected failure", exc_info=error, extra={"fields": {"trace_id": request.trace_id}})
    note(error, route, request, services, caller, site_id)
    visitor = caller is not None and caller.kind in ("visitor", "anonymous")
    return render_error(error, route, request, services, visitor)


def _handled(route: Route, call: Call, *, unaudited: bool) -> Response:
    def handle() -> Any:
        return route.handler(call) if unaudited else recorded(route, call)

    key = call.request.headers.get("idempotency-key") if route.idempotent else None
    if key is None:
        return render(route, handle(), call.request, call.services)
    from noren.idempotency import StoredResponse

    kept: list[Response] = []

    def work() -> StoredResponse:
        result = handle()
        kept.append(render(route, result, call.request, call.services))
        lasting = route.replay(result) if route.replay else result
        stored = render(route, lasting, call.request, call.services)
        return StoredResponse(status=stored.status, body=stored.body)

    # what a person does for themselves may change which tenant they act in: the key stays theirs
    scope = "" if route.access.user else call.caller.tenant_id
    scope = scope or call.caller.principal
    body = call.request.path.encode() + b"\n" + call.request.body
    answer = call.services.idempotency.run(scope, f"{route.method} {route.path}", key, body, work)
    if kept and not answer.replayed:
        return kept[0]
    headers = {"content-type": "application/json", "idempotency-replayed": "true"}
    return render(route, Response(answer.body, answer.status, headers), call.request, call.services)


def _validated(model: type[BaseModel], value: Any) -> BaseModel:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise BadRequest(errors=field_errors(error)) from None


def field_errors(error: ValidationError) -> list[dict[str, str]]:
    """`[{field, message}]`: where and what, never the value itself."""
    return [
        {"field": ".".join(str(part) for part in each["loc"]), "message": each["msg"].removeprefix("Value error, ")}
        for each in error.errors(include_url=False, include_context=False, include_input=False)[:20]
    ]


def _why_not(access: Access, caller: Caller) -> str:
    if access.platform_admin and access.role is None:
        return "This is for platform admins who have enrolled a second factor."
    if caller.kind == "api_key":
        need = access.scope
        return f"The API key lacks the scope `{need}`." if need else "This can't be done with an API key."
    if caller.kind == "user":
        return "You have no tenant yet: call GET /api/v1/me first."
    if access.role is not None:
        return f"This needs the role `{access.role.name.lower()}`."
    return "You may not do this."


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]{1,200})", re.escape(path)))
