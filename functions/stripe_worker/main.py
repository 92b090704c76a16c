"""Works off what Stripe has told and what is to be bought automatically; compares with Stripe by night."""

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

MARGIN_SECONDS = 10.0


def handler(event: dict[str, Any], context: Context) -> dict[str, Any]:
    """Lambda's entry: a batch of the queue, or the nightly rule."""
    if event.get("job") == "drift":
        seconds = context.get_remaining_time_in_millis() / 1000 - MARGIN_SECONDS
        return SERVICES.billing_sync.all(seconds).told()
    return work_off(event, _work)


def _work(_: str, body: str) -> None:
    message = json.loads(body)
    if "auto_purchase" in message:
        SERVICES.auto_buyer.consider(TenantId(message["auto_purchase"]))
    else:
        SERVICES.billing_events.apply(message["type"], message["refs"])
