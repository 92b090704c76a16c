"""Publishes what sites have learnt: the only function of training that spends money, and none that reads what strangers
send (ADR 7). Every few minutes trainings are begun whose time has come, and sites published anew whose documents have
expired.
"""

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


def handler(event: dict[str, Any], _: Context) -> dict[str, Any]:
    """Lambda's entry: a message of the queue, or the rule's job."""
    if event.get("job") == "schedules":
        return {"begun": SERVICES.schedules.run() + SERVICES.crawls.expire()}
    return work_off(event, _work, SERVICES.publish_queue.show_again)


def _work(_: str, body: str) -> None:
    step = json.loads(body)
    SERVICES.publishing.work(TenantId(step["tenant_id"]), step["job_id"])
