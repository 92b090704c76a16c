"""What Stripe answers when it refuses."""

from __future__ import annotations

from typing import Any

INVALID = "invalid_request_error"


class Refusal(Exception):
    """An error as the API renders it. `executed` says that the endpoint had begun, so that idempotency keeps it."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str = INVALID,
        code: str | None = None,
        param: str | None = None,
        executed: bool = True,
        **more: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.executed = executed
        self.error: dict[str, Any] = {"message": message, "type": kind}
        if code:
            self.error |= {"code": code, "doc_url": f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"}
        if param:
            self.error["param"] = param
        self.error |= more


def missing(kind: str, identifier: str, param: str = "id") -> Refusal:
    """There is no such object. In a path it is a 404, in a parameter a 400."""
    status = 404 if param == "id" else 400
    return Refusal(f"No such {kind}: '{identifier}'", status=status, code="resource_missing", param=param)


def unexpected_state(message: str, code: str, **more: Any) -> Refusal:
    """The object is in no state for that."""
    return Refusal(message, code=code, **more)


def unsupported(what: str) -> Refusal:
    """Stripe can do this, the stand-in can't: it says so and pretends nothing."""
    return Refusal(f"The local Stripe stand-in does not know {what}.", code="local_not_supported")
