"""Follows the admission items: writes the credit journal, tells owners of their limits."""

from __future__ import annotations

import logging
from typing import Any

from noren import tables, wiring
from noren.edge import log
from noren.edge.events import Context
from noren.ledger.store import account_of
from noren.settings import Settings

SERVICES = wiring.build(Settings.from_env())
log.configure(SERVICES.settings.stage)

_log = logging.getLogger("noren.quota_stream")


def handler(event: dict[str, Any], context: Context) -> dict[str, Any]:
    """Lambda's entry. The first change that fails comes again with all that follow it: an account's order is kept."""
    for record in event["Records"]:
        change = record["dynamodb"]
        images = [change.get(name, {}) for name in ("OldImage", "NewImage")]
        before, after = (account_of(tables.from_item(image)) if "hm" in image else None for image in images)
        if after is None:
            continue
        try:
            SERVICES.journal.note(before, after, float(change["ApproximateCreationDateTime"]))
            if before:
                SERVICES.limit_watch.note(before, after)
        except Exception:
            _log.exception("a change of %s is left to the next delivery", after.tenant_id)
            return {"batchItemFailures": [{"itemIdentifier": change["SequenceNumber"]}]}
    return {"batchItemFailures": []}
