"""Faults on API calls: refused, cut off, or executed with the answer lost."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from local.stripe.api import Api, Request, Response
from local.stripe.errors import Refusal


class Lost(Exception):
    """The caller gets no answer."""


@dataclass(slots=True)
class Fault:
    """One kind of fault. Without a status the line is cut; with `hang` it stays silent; `slow` only takes its time."""

    status: int | None = None
    hang: bool = False
    slow: float = 0.0
    after: bool = False
    """The call is executed first."""
    times: int = 1
    method: str = "*"
    path: str = ""
    """Only below this path."""

    def meets(self, request: Request) -> bool:
        """Whether it is for this request."""
        return self.method in ("*", request.method.upper()) and request.target.startswith(self.path)


@dataclass(slots=True)
class Faults:
    """What is to go wrong next, in order."""

    planned: list[Fault] = field(default_factory=list)
    met: int = 0

    def plan(self, **given: Any) -> None:
        """Add a fault. Raises Refusal for one that does not exist."""
        try:
            self.planned.append(Fault(**given))
        except TypeError as error:
            raise Refusal(f"no such fault: {error}") from None

    def next(self, request: Request) -> Fault | None:
        """The fault that this request meets; it counts down."""
        for fault in self.planned:
            if fault.meets(request):
                fault.times -= 1
                self.met += 1
                if fault.times <= 0:
                    self.planned.remove(fault)
                return fault
        return None

    def through(self, api: Api, request: Request) -> Response:
        """Answer a request as the planned faults have it. Raises Lost where no answer comes."""
        fault = self.next(request)
        if fault is None:
            return api.handle(request)
        if fault.slow and not fault.status:
            return api.handle(request)
        if fault.after:
            api.handle(request)
        if fault.status is None:
            raise Lost("the connection was cut" if not fault.hang else "no answer in time")
        return refused(fault.status)


def refused(status: int) -> Response:
    """An error of Stripe's own; nothing was executed, so that the same key may be tried again."""
    code = {429: "rate_limit"}.get(status)
    kind = "invalid_request_error" if status < 500 else "api_error"
    words = "Request rate limit exceeded." if status == 429 else "An unknown error occurred"
    error = {"message": words, "type": kind, **({"code": code} if code else {})}
    retry = "true" if status in (409, 429) or status >= 500 else "false"
    headers = {"Content-Type": "application/json", "Stripe-Should-Retry": retry, "Request-Id": "req_fault"}
    return Response(status, json.dumps({"error": error}), headers)
