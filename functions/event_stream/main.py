"""Follows the events: each new one is made a delivery for each webhook that wants it."""

from __future__ import annotations

import logging
from typing import Any

from noren import tables, wiring
from noren.edge import log
from noren.edge.events import Context
from noren.insight.store import event_of
from noren.settings import Settings

SERVICES = wiring.build(Settings.from_env())
log.configure(SERVICES.settings.stage)

_log = logging.getLogger("noren.event_stream")


def handler(event: dict[str, Any], context: Context) -> dict[str, Any]:
    """Lambda's entry. The first event that fails comes again with all that follow it: a tenant's order is kept."""
    fanout, lanes = SERVICES.webhook_fanout, []
    failed: list[dict[str, str]] = []
    for record in event["Records"]:
        change = record["dynamodb"]
        happened = event_of(tables.from_item(change.get("NewImage", {})))
        if happened is None:
            continue
        try:
            lanes += fanout.spread(happened, SERVICES.clock())
        except Exception:
            _log.exception("an event of %s is left to the next delivery", happened.tenant_id)
            failed.append({"itemIdentifier": change["SequenceNumber"]})
            break
    fanout.hint(lanes)
    return {"batchItemFailures": failed}
