"""The platform API behind API Gateway."""

from __future__ import annotations

from typing import Any

from noren import wiring
from noren.edge import log
from noren.edge.dispatch import RouteTable, dispatch
from noren.edge.gateway import to_event, to_request
from noren.settings import Settings
from platform_api.routes import ROUTES

SERVICES = wiring.build(Settings.from_env())
log.configure(SERVICES.settings.stage)
TABLE = RouteTable(ROUTES)


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Lambda's entry."""
    return to_event(dispatch(TABLE, to_request(event), SERVICES))
