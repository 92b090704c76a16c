"""Reads what sites are to learn: a message names a step of a job. Every few minutes jobs are looked for that have come
to a stop. What was read is published by another function: this one takes in what strangers send (ADR 7).
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
    if event.get("job") == "training":
        return {"stopped": SERVICES.train_worker.sweep()}
    return work_off(event, _work, SERVICES.train_queue.show_again)


def _work(_: str, body: str) -> None:
    step = json.loads(body)
    SERVICES.train_worker.work(TenantId(step["tenant_id"]), step["job_id"], step["what"], step.get("page", ""))
