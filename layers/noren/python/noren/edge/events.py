"""What functions on queues and on the clock share."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol

_log = logging.getLogger("noren.events")


class Context(Protocol):
    """The part of Lambda's context that our functions use."""

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until this run is stopped."""


def work_off(event: Mapping[str, Any], work: Callable[[str, str], None]) -> dict[str, Any]:
    """Call `work(message id, body)` for each message of an SQS batch; answers with those that raised: only they come
    again, and a poisonous one blocks nobody.

    Never raises itself: an exception's text that reached Lambda's own log could hold what must not stand there.
    """
    failed = []
    for record in event["Records"]:
        message_id = record["messageId"]
        try:
            work(message_id, record["body"])
        except Exception as error:
            _log.error("a message was not worked off", exc_info=error, extra={"fields": {"message_id": message_id}})
            failed.append({"itemIdentifier": message_id})
    return {"batchItemFailures": failed}
