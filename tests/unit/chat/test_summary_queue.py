"""The queue that summaries are asked for on."""

from __future__ import annotations

import json

import boto3

from noren.chat.summary import SummaryQueue
from noren.ids import TenantId


def test_a_message_says_which_session(aws: str) -> None:
    sqs = boto3.client("sqs")
    url = sqs.create_queue(QueueName="summaries")["QueueUrl"]
    SummaryQueue(url).put(TenantId("ten_1"), "owner", "session", "t" * 32)
    (message,) = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=2)["Messages"]
    assert json.loads(message["Body"]) == {
        "tenant_id": "ten_1",
        "owner": "owner",
        "session_key": "session",
        "trace_id": "t" * 32,
    }
