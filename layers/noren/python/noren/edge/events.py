"""What functions on queues and on the clock share."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol

AGAIN_SECONDS = 30
"""A message that failed comes back after so long, the next time after twice as long, and so on."""
MOST_AGAIN_SECONDS = 900

_log = logging.getLogger("noren.events")


class Context(Protocol):
    """The part of Lambda's context that our functions use."""

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until this run is stopped."""


def work_off(
    event: Mapping[str, Any], work: Callable[[str, str], None], again: Callable[[str, int], None] | None = None
) -> dict[str, Any]:
    """Call `work(message id, body)` for each message of an SQS batch; answers with those that raised: only they come
    again, and a poisonous one blocks nobody.

    They come when the queue takes their reader for dead; sooner where `again(receipt, seconds)` can say so to it.

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
            if again:
                _ask_for(record, again)
    return {"batchItemFailures": failed}


def _ask_for(record: Mapping[str, Any], again: Callable[[str, int], None]) -> None:
    try:
        times = int(record["attributes"]["ApproximateReceiveCount"])
        again(record["receiptHandle"], min(AGAIN_SECONDS * times, MOST_AGAIN_SECONDS))
    except Exception as error:
        _log.warning("a message comes back late: %s", type(error).__name__)
