"""Answers as bytes: models to JSON, errors to problem+json or OpenAI's envelope, and the headers of every answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from noren import tables
from noren.edge import cors
from noren.edge.http import Request, Response, Route
from noren.edge.security import address_prefix
from noren.errors import BadRequest, Busy, MethodNotAllowed, NorenError, QuotaExceeded, RateLimited, Unauthenticated

if TYPE_CHECKING:
    from noren.wiring import Services

FOR_VISITORS = ("errors", "retry_after", "resets_at", "id", "answer")
"""What visitors see of an error beside its code and text: no plan, no price, no model."""


def is_openai(request: Request) -> bool:
    """Whether the call is in OpenAI's format; also on paths that we don't have."""
    return request.path.startswith("/v1/")


def edge_headers(request: Request, route: Route | None, services: Services) -> dict[str, str]:
    """The headers of every answer: trace, no caching, no sniffing, strict CORS."""
    headers = {
        "x-trace-id": request.trace_id,
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        "strict-transport-security": "max-age=31536000; includeSubDomains",
        "vary": "Origin",
    }
    if is_openai(request):
        headers["x-request-id"] = request.trace_id  # where OpenAI's SDKs look for it
    return headers | cors.answer_headers(request, route, services)


def preflight(request: Request, route: Route | None, services: Services) -> Response:
    """The answer to OPTIONS, for the route that it asks about. Writes nothing; a refused origin is told nothing."""
    headers = edge_headers(request, route, services)
    if "access-control-allow-origin" in headers:
        headers |= cors.preflight_headers(request, services)
    elif "origin" in request.headers:
        services.security.note("origin_not_allowed", f"address:{address_prefix(request.source_ip)}")
    return Response(b"", 204, headers)


def render(route: Route, result: Any, request: Request, services: Services) -> Response:
    """A handler's result as bytes with the status of its route (or its own, if it is a Response)."""
    answer = result if isinstance(result, Response) else Response(result, route.status)
    headers = edge_headers(request, route, services)
    if isinstance(answer.body, bytes):
        body = answer.body
    elif answer.body is None:
        body = b""
    else:
        body = to_json(answer.body)
        headers["content-type"] = "application/json"
    return Response(body, answer.status, headers | dict(answer.headers))


def told(error: Exception) -> NorenError:
    """What the caller hears of an error. Storage that gives in for a moment is Busy; a bug says nothing of itself."""
    if isinstance(error, NorenError):
        return error
    return Busy(retry_after=1) if tables.is_retryable(error) else NorenError()


def render_error(
    error: Exception, route: Route | None, request: Request, services: Services, visitor: bool = False
) -> Response:
    """The one place where errors become answers."""
    known = told(error)
    extra = {name: value for name, value in known.extra.items() if name in FOR_VISITORS or not visitor}
    headers = edge_headers(request, route, services)
    if (wait := extra.get("retry_after")) is not None:
        headers["retry-after"] = str(wait)
    if isinstance(known, Unauthenticated):
        headers["www-authenticate"] = "Bearer"
    if isinstance(known, MethodNotAllowed):
        headers["allow"] = ", ".join(known.allow)
    if route.openai if route is not None else is_openai(request):
        status, body = _openai(known, extra)
        headers["content-type"] = "application/json"
        if isinstance(known, QuotaExceeded):
            headers["x-should-retry"] = "false"
        return Response(to_json(body), status, headers)
    headers["content-type"] = "application/problem+json"
    return Response(to_json(problem(known, request.trace_id, extra)), known.status, headers)


def problem(error: NorenError, trace_id: str, extra: Mapping[str, Any]) -> dict[str, Any]:
    """An RFC 9457 document."""
    return {
        **extra,
        "type": f"urn:noren:problem:{error.code}",
        "title": error.title,
        "status": error.status,
        "code": error.code,
        "detail": error.detail,
        "trace_id": trace_id,
    }


def to_json(value: Any) -> bytes:
    """JSON in UTF-8. Models by their own serialiser, decimals as strings (no float ever holds money)."""
    if isinstance(value, BaseModel):
        return value.model_dump_json(by_alias=True).encode()
    return json.dumps(value, default=_plain, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True)
    if isinstance(value, Decimal):
        return format(value, "f")
    raise TypeError(f"{type(value).__name__} is not for JSON")


def _openai(error: NorenError, extra: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
    status, kind, code = error.status, "invalid_request_error", error.code
    if isinstance(error, QuotaExceeded):
        status, kind, code = 429, "insufficient_quota", "insufficient_quota"
    elif isinstance(error, RateLimited):
        kind, code = "rate_limit_error", "rate_limit_exceeded"
    elif isinstance(error, Unauthenticated):
        kind = "authentication_error"
    elif status >= 500:
        kind = "server_error"
    fields = extra.get("errors") if isinstance(error, BadRequest) else None
    param, message = None, error.detail
    if fields:
        param = fields[0].get("field")
        if message == error.title:  # what the field's own message makes worth reading
            message = f"{message}: {param}: {fields[0].get('message')}"
    return status, {"error": {"message": message, "type": kind, "param": param, "code": code}}
