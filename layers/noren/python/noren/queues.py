"""One SQS queue as its senders see it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


class Queue:
    """Messages are JSON. The client is made when it is first needed."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client: SQSClient | None = None

    def send(self, message: Mapping[str, Any], *, delay: int = 0) -> None:
        """Put a message on the queue, to be seen after `delay` seconds (at most 900)."""
        if self._client is None:
            import boto3
            from botocore.config import Config

            config = Config(connect_timeout=2, read_timeout=3, retries={"total_max_attempts": 2})
            self._client = boto3.client("sqs", config=config)
        body = json.dumps(dict(message), ensure_ascii=False)
        self._client.send_message(QueueUrl=self._url, MessageBody=body, DelaySeconds=delay)
