"""The one exception tree. Each error carries an HTTP status and a stable code; `edge` renders it once.

Messages (`detail`) are written for the person who reads them: what happened and what to do next. They never hold a
key, a stack trace or another tenant's datum.
"""

from __future__ import annotations

from typing import Any


class NorenError(Exception):
    """Base of every expected failure. `extra` becomes members of the problem+json document."""

    status = 500
    code = "internal_error"
    title = "Something went wrong on our side"

    def __init__(self, detail: str = "", *, code: str | None = None, **extra: Any) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        if code:
            self.code = code
        self.extra = {name: value for name, value in extra.items() if value is not None}


class BadRequest(NorenError):
    """The request itself is malformed. `errors` lists `{field, message}`."""

    status = 400
    code = "invalid_request"
    title = "The request is not valid"


class TooLarge(BadRequest):
    status = 413
    code = "too_large"
    title = "The request is too large"


class Unauthenticated(NorenError):
    status = 401
    code = "unauthenticated"
    title = "Sign in first"


class QuotaExceeded(NorenError):
    """Quota is spent. Extra: `plan`, `price`, `upgrade_url`, `resets_at` (left out for visitors)."""

    status = 402
    code = "quota_exceeded"
    title = "The quota is used up"


class Forbidden(NorenError):
    status = 403
    code = "forbidden"
    title = "You may not do this"


class NotFound(NorenError):
    """Missing *or* foreign: the two answer alike, so that ids can't be probed."""

    status = 404
    code = "not_found"
    title = "There is no such thing here"


class Conflict(NorenError):
    status = 409
    code = "conflict"
    title = "This conflicts with the present state"


class Unprocessable(NorenError):
    status = 422
    code = "unprocessable"
    title = "The request can't be carried out as it stands"


class RateLimited(NorenError):
    """Too many requests. Extra: `retry_after` in whole seconds."""

    status = 429
    code = "rate_limited"
    title = "Too many requests"


class UpstreamFailed(NorenError):
    """Every model of the route failed. Extra: `retry_after` in whole seconds."""

    status = 502
    code = "upstream_failed"
    title = "The model service did not answer"


class Busy(NorenError):
    """Temporarily out of capacity. Extra: `retry_after` in whole seconds."""

    status = 503
    code = "busy"
    title = "Busy just now, please try again"


class TimedOut(NorenError):
    status = 504
    code = "timed_out"
    title = "This took too long"


class MethodNotAllowed(NorenError):
    """The path exists, the verb does not. `allow` lists the verbs that do."""

    status = 405
    code = "method_not_allowed"
    title = "This path does not take that method"

    def __init__(self, allow: tuple[str, ...]) -> None:
        super().__init__(f"Allowed here: {', '.join(allow)}.")
        self.allow = allow
