"""Follows the usage records: a new or changed one marks a quarter-hour of its tenant, whose summaries are made anew."""

from __future__ import annotations

import logging
from typing import Any

from noren import tables, wiring
from noren.edge import log
from noren.edge.events import Context
from noren.errors import TimedOut
from noren.ids import TenantId
from noren.settings import Settings
from noren.usage.store import mark_of

MARGIN_SECONDS = 60.0
"""A tenant is not begun with less: a very busy quarter-hour has tens of thousands of records."""

SERVICES = wiring.build(Settings.from_env())
log.configure(SERVICES.settings.stage)

_log = logging.getLogger("noren.usage_stream")


def handler(event: dict[str, Any], context: Context) -> dict[str, Any]:
    """Lambda's entry. A tenant that fails holds up no other of the batch: what follows its first record comes again."""
    dirty: dict[TenantId, dict[int, set[str]]] = {}
    first: dict[TenantId, str] = {}
    for record in event["Records"]:
        mark = mark_of(tables.from_item(record["dynamodb"].get("NewImage", {})))
        if mark:
            dirty.setdefault(mark.tenant_id, {}).setdefault(mark.quarter, set()).add(mark.site_id)
            first.setdefault(mark.tenant_id, record["dynamodb"]["SequenceNumber"])
    failed = []
    for tenant_id, quarters in dirty.items():
        try:
            if context.get_remaining_time_in_millis() / 1000 < MARGIN_SECONDS:
                raise TimedOut("The tenants before took all the time there was.")
            SERVICES.usage_summaries.refresh(tenant_id, quarters)
        except Exception:
            _log.exception("summaries of %s are left to the next delivery", tenant_id)
            failed.append({"itemIdentifier": first[tenant_id]})
    return {"batchItemFailures": failed}
