"""Renews the rolling summaries of long sessions, one queue message a session."""

from __future__ import annotations

import json
from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.typing import LambdaContext

from noren import wiring
from noren.edge import log
from noren.errors import TimedOut
from noren.ids import TenantId
from noren.settings import Settings

MOST_SECONDS = 40.0
"""For one summary's model."""
LEAST_SECONDS = 10.0
MARGIN_SECONDS = 5.0
"""For storing the last summary before the function is stopped."""

log.configure()

_services = wiring.build(Settings.from_env())
_processor = BatchProcessor(event_type=EventType.SQS)


def renew(record: Any, lambda_context: LambdaContext) -> None:
    """One message. Raises where it should come again."""
    left = lambda_context.get_remaining_time_in_millis() / 1000 - MARGIN_SECONDS
    if left < LEAST_SECONDS:
        raise TimedOut("The messages before took all the time there was.")
    wanted = json.loads(record.body)
    _services.summaries.renew(
        TenantId(wanted["tenant_id"]),
        wanted["owner"],
        wanted["session_key"],
        wanted.get("trace_id", ""),
        seconds=min(MOST_SECONDS, left),
    )


def handler(event: dict[str, Any], context: LambdaContext) -> Any:
    """Answers with the messages that failed, so that only they come again."""
    return process_partial_response(event=event, record_handler=renew, processor=_processor, context=context)
