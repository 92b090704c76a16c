"""Opaque cursors: where a list goes on, signed and bound to tenant, route and filter."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from noren.errors import BadRequest
from noren.secrets import Signer

_PURPOSE = "cursor"
_SECONDS = 24 * 3600


class Cursors:
    """Makes and reads cursors. One of another tenant, route or filter is as good as forged."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    def encode(self, tenant_id: str | None, route: str, filter: Mapping[str, Any], position: Mapping[str, str]) -> str:
        """A cursor for `position`, good for a day."""
        payload = {"b": _binding(tenant_id, route, filter), "p": dict(position)}
        return self._signer.sign(_PURPOSE, payload, ttl=_SECONDS)

    def decode(self, tenant_id: str | None, route: str, filter: Mapping[str, Any], cursor: str) -> dict[str, str]:
        """The position. Raises BadRequest for a cursor that was not made for this very list."""
        payload = self._signer.verify(_PURPOSE, cursor)
        if payload is None or payload["b"] != _binding(tenant_id, route, filter):
            raise BadRequest("The cursor does not belong to this list. Start again without one.", code="invalid_cursor")
        position: dict[str, str] = payload["p"]
        return position


def _binding(tenant_id: str | None, route: str, filter: Mapping[str, Any]) -> str:
    given = {name: value for name, value in filter.items() if value is not None}
    raw = json.dumps([tenant_id or "", route, given], sort_keys=True, default=str)
    return hashlib.sha256(raw.encode()).hexdigest()[:32]
