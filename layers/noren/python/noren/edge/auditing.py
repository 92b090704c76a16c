"""Where the audit trail begins: every route that changes something is handled here, so that none can forget it."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from noren.edge.http import Call, Response, Route
from noren.edge.respond import to_json, told
from noren.edge.security import address_prefix
from noren.errors import NorenError
from noren.ids import TenantId, is_id
from noren.insight.audit import HIDDEN

PEOPLE = ("member", "user", "api_key")
"""Kinds of callers whose changes are recorded; visitors change nothing but their own conversation."""


def recorded(route: Route, call: Call) -> Any:
    """The result of the route's handler, after its audit record is written.

    A refused call changes nothing and leaves none. One that broke down on our side leaves a record with the outcome
    `failed`, since part of the change may stand. A replay by Idempotency-Key does not come here.
    """
    if route.method == "GET" or call.caller.kind not in PEOPLE:
        return route.handler(call)
    before = _before(route, call)
    try:
        result = route.handler(call)
    except Exception as error:
        if told(error).status >= 500:
            _write(route, call, before, None, outcome="failed")
        raise
    _write(route, call, before, _plain(route.replay(result) if route.replay else result))
    return result


def _write(
    route: Route, call: Call, before: dict[str, Any] | None, after: dict[str, Any] | None, outcome: str = "done"
) -> None:
    named = call.params.get("tenant_id") or (after or {}).get("tenant_id") or ""
    own = None if route.access.platform_admin else call.caller.tenant_id
    tenant_id = TenantId(named) if is_id(named, "ten") else own
    call.services.audit.write(
        tenant_id=tenant_id,
        actor=call.caller.principal,
        by_platform=route.access.platform_admin,
        action=f"{route.method} {route.path}",
        entity_type=[part for part in route.path.split("/") if not part.startswith("{")][-1],
        entity_id=_entity_id(call, after or before or {}) or tenant_id or "",
        outcome=outcome,
        before=before,
        after=after,
        trace_id=call.request.trace_id,
        address_prefix=address_prefix(call.request.source_ip),
    )


def _before(route: Route, call: Call) -> dict[str, Any] | None:
    """The thing as it was; None where it is missing, of which the handler will tell."""
    try:
        return _plain(route.before(call)) if route.before else None
    except NorenError:
        return None


def _plain(result: Any) -> dict[str, Any] | None:
    """A view or an answer as JSON has it; None without a body."""
    body = result.body if isinstance(result, Response) else result
    if body is None or isinstance(body, bytes):
        return None
    plain: dict[str, Any] = json.loads(to_json(body), parse_float=Decimal)
    return plain


def _entity_id(call: Call, thing: dict[str, Any]) -> str:
    """The last id of the path; of a new thing what its view begins with; "" for a setting."""
    if call.params:
        return list(call.params.values())[-1]
    first = next((value for name, value in thing.items() if name not in HIDDEN), "")
    return first if isinstance(first, str) else ""
