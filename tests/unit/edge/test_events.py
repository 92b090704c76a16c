"""Messages of a queue: one that fails comes back alone, and soon."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import boto3
import pytest

from noren.edge.events import MOST_AGAIN_SECONDS, work_off
from noren.queues import Queue


def record(name: str, times: int = 1) -> dict[str, Any]:
    return {
        "messageId": name,
        "receiptHandle": f"receipt of {name}",
        "body": name,
        "attributes": {"ApproximateReceiveCount": str(times)},
    }


def work(_: str, body: str) -> None:
    if body != "good":
        raise OSError("storage is away")


def test_what_fails_comes_back_after_longer_each_time() -> None:
    asked: list[tuple[str, int]] = []
    batch = {"Records": [record("good"), record("bad"), record("worse", 3), record("worst", 1000)]}
    answer = work_off(batch, work, lambda receipt, seconds: asked.append((receipt, seconds)))
    assert [each["itemIdentifier"] for each in answer["batchItemFailures"]] == ["bad", "worse", "worst"]
    assert asked == [("receipt of bad", 30), ("receipt of worse", 90), ("receipt of worst", MOST_AGAIN_SECONDS)]


def refuse(receipt: str, seconds: int) -> None:
    raise OSError("so is the queue")


@pytest.mark.parametrize("again", [None, refuse])
def test_where_nobody_can_say_so_it_comes_back_all_the_same(again: Callable[[str, int], None] | None) -> None:
    odd = record("bad") | {"attributes": {}}
    answer = work_off({"Records": [record("good"), odd]}, work, again)
    assert answer == {"batchItemFailures": [{"itemIdentifier": "bad"}]}


def test_the_queue_shows_a_message_again(aws: str) -> None:
    url = boto3.client("sqs").create_queue(QueueName="train", Attributes={"VisibilityTimeout": "1800"})["QueueUrl"]
    queue = Queue(url)
    queue.send_all({"tenant_id": "ten_1", "job_id": str(number)} for number in range(3))
    taken = [receive(url) for _ in range(3)]
    assert {each["Attributes"]["MessageGroupId"] for each in taken} == {"ten_1"}, "nobody waits for others of its own"
    queue.show_again(taken[0]["ReceiptHandle"], 0)
    again = receive(url)
    assert (again["Body"], again["Attributes"]["ApproximateReceiveCount"]) == (taken[0]["Body"], "2")
    queue.send({"tenant_id": "ten_2"})
    assert receive(url)["Attributes"]["MessageGroupId"] == "ten_2"
    queue.send({"other": 1})
    assert "MessageGroupId" not in receive(url)["Attributes"]


def receive(url: str) -> Any:
    answer = boto3.client("sqs").receive_message(QueueUrl=url, MessageSystemAttributeNames=["All"])
    (message,) = answer["Messages"]
    return message
