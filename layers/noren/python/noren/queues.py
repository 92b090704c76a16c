"""One SQS queue as its senders see it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

BATCH = 10
"""Messages that SQS takes at once."""


class Queue:
    """Messages are JSON. The client is made when it is first needed.

    A message's `tenant_id` is also its group: where one tenant keeps readers busy, SQS gives them the others' messages
    first. It orders nothing, and holds nobody up.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def send(self, message: Mapping[str, Any], *, delay: int = 0) -> None:
        """Put a message on the queue, to be seen after `delay` seconds (at most 900)."""
        self._sqs.send_message(QueueUrl=self._url, DelaySeconds=delay, **_told(message))

    def show_again(self, receipt: str, seconds: int) -> None:
        """Have a message that was received come back after so long."""
        self._sqs.change_message_visibility(QueueUrl=self._url, ReceiptHandle=receipt, VisibilityTimeout=seconds)

    def send_all(self, messages: Iterable[Mapping[str, Any]]) -> None:
        """Put many messages on the queue. Raises OSError where it did not take one; others may be on it then."""
        waiting = iter(messages)
        while some := list(islice(waiting, BATCH)):
            entries: Any = [{"Id": str(at), **_told(each)} for at, each in enumerate(some)]
            if failed := self._sqs.send_message_batch(QueueUrl=self._url, Entries=entries).get("Failed"):
                raise OSError(f"the queue refused {len(failed)} messages: {failed[0].get('Code')}")

    @cached_property
    def _sqs(self) -> SQSClient:
        import boto3
        from botocore.config import Config

        config = Config(connect_timeout=2, read_timeout=3, retries={"total_max_attempts": 2})
        return boto3.client("sqs", config=config)


def _told(message: Mapping[str, Any]) -> dict[str, Any]:
    group = {"MessageGroupId": message["tenant_id"]} if message.get("tenant_id") else {}
    return {"MessageBody": json.dumps(dict(message), ensure_ascii=False), **group}
