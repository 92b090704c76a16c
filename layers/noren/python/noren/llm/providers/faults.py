"""How an HTTP answer that is no answer becomes a ProviderFault.

Details name codes only: vendors' texts may quote keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from noren.llm.models import FaultKind, ProviderFault

_KINDS: dict[int, FaultKind] = {
    401: "unauthorized",
    402: "out_of_quota",
    403: "unauthorized",
    404: "not_found",
    408: "timeout",
    429: "rate_limited",
    504: "timeout",
}
_OUT_OF_QUOTA = {"insufficient_quota", "billing_error", "billing_hard_limit_reached", "billing_not_active"}
_KINDS_BY_CODE: dict[str, FaultKind] = {
    "overloaded_error": "server",
    "api_error": "server",
    "server_error": "server",
    "rate_limit_error": "rate_limited",
    "rate_limit_exceeded": "rate_limited",
    "authentication_error": "unauthorized",
    "permission_error": "unauthorized",
    "not_found_error": "not_found",
    "invalid_request_error": "rejected",
    "timeout_error": "timeout",
}


def of_status(status: int, headers: Mapping[str, str], body: Any = None) -> ProviderFault:
    """The fault that a status other than 2xx stands for; `body` is the parsed error document, if it is one."""
    code = code_of(body)
    kind: FaultKind = _KINDS.get(status, "rejected" if 400 <= status < 500 else "server")
    if code in _OUT_OF_QUOTA:
        kind = "out_of_quota"
    return ProviderFault(kind, f"HTTP {status} {code}".rstrip(), retry_after=retry_after(headers))


def of_code(body: Any, *, produced: bool = False) -> ProviderFault:
    """The fault that an error document inside a stream stands for."""
    code = code_of(body)
    kind: FaultKind = "out_of_quota" if code in _OUT_OF_QUOTA else _KINDS_BY_CODE.get(code, "server")
    return ProviderFault(kind, f"error event {code}".rstrip(), produced=produced)


def code_of(body: Any) -> str:
    """The stable code inside OpenAI's or Anthropic's error envelope, "" if there is none."""
    error = body.get("error", body) if isinstance(body, Mapping) else None
    if not isinstance(error, Mapping):
        return ""
    code = error.get("code") or error.get("type") or ""
    return code[:64] if isinstance(code, str) else ""


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of a `Retry-After` header given in seconds (its date form is not used by these services)."""
    try:
        seconds = float(headers.get("retry-after", ""))
    except ValueError:
        return None
    return seconds if 0 <= seconds < 86_400 else None
