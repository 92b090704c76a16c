"""Sends webhooks: a message names an endpoint where something may be due, and every minute all such are looked for."""

from __future__ import annotations

import json
from typing import Any

from noren import wiring
from noren.edge import log
from noren.edge.events import Context, work_off
from noren.ids import TenantId
from noren.settings import Settings

SERVICES = wiring.build(Settings.from_env())
log.configure(SERVICES.settings.stage)


def handler(event: dict[str, Any], context: Context) -> dict[str, Any]:
    """Lambda's entry: a message of the queue, or the rule's job."""
    if event.get("job") == "webhooks":
        return {"due": SERVICES.webhook_sender.sweep()}
    return work_off(event, _work)


def _work(_: str, body: str) -> None:
    wanted = json.loads(body)
    SERVICES.webhook_sender.work(TenantId(wanted["tenant_id"]), wanted["webhook_id"])
