"""Renews the rolling summaries of long sessions, one queue message a session."""

from __future__ import annotations

import json
from typing import Any

from noren import wiring
from noren.edge import log
from noren.edge.events import Context, work_off
from noren.errors import TimedOut
from noren.ids import TenantId
from noren.settings import Settings

MOST_SECONDS = 40.0
"""For one summary's model."""
LEAST_SECONDS = 10.0
MARGIN_SECONDS = 5.0
"""For storing the last summary before the function is stopped."""

SERVICES = wiring.build(Settings.from_env())
log.configure(SERVICES.settings.stage)


def handler(event: dict[str, Any], context: Context) -> dict[str, Any]:
    """Lambda's entry. What there was no time for comes again."""

    def renew(_: str, body: str) -> None:
        left = context.get_remaining_time_in_millis() / 1000 - MARGIN_SECONDS
        if left < LEAST_SECONDS:
            raise TimedOut("The messages before took all the time there was.")
        wanted = json.loads(body)
        SERVICES.summaries.renew(
            TenantId(wanted["tenant_id"]),
            wanted["owner"],
            wanted["session_key"],
            wanted.get("trace_id", ""),
            seconds=min(MOST_SECONDS, left),
        )

    return work_off(event, renew)
