"""The embedded cloud after a restart with its kept state: tables' streams reach their functions again."""

from __future__ import annotations

import io
import json
import time
import zipfile
from pathlib import Path
from typing import Any

import boto3

from local import emulator, fixups

CODE = """
import json, os, boto3
def handler(event, context):
    sqs = boto3.client("sqs", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    for record in event["Records"]:
        sqs.send_message(QueueUrl=os.environ["QUEUE"], MessageBody=record["dynamodb"]["Keys"]["pk"]["S"])
"""


class Cloud:
    """One emulator's run on a folder of state."""

    def __init__(self, folder: Path) -> None:
        self.endpoint = f"http://127.0.0.1:{(port := emulator.free_port())}"
        self._process = emulator.start(port, log=folder / "ministack.log", state=folder / "state")

    def client(self, service: Any) -> Any:
        keys: dict[str, Any] = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        return boto3.client(service, endpoint_url=self.endpoint, region_name=emulator.REGION, **keys)

    def stop(self) -> None:
        emulator.stop(self._process)

    def told(self, key: str, seconds: float = 30) -> bool:
        """Put an item; whether the function that follows the table hears of it."""
        self.client("dynamodb").put_item(TableName="followed", Item={"pk": {"S": key}})
        sqs = self.client("sqs")
        url = sqs.get_queue_url(QueueName="heard")["QueueUrl"]
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1).get("Messages", [])
            if key in [each["Body"] for each in found]:
                return True
        return False


def follow(cloud: Cloud) -> None:
    """A table, and a function on its stream that says what it hears to a queue."""
    table = cloud.client("dynamodb").create_table(
        TableName="followed",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    )["TableDescription"]
    queue = cloud.client("sqs").create_queue(QueueName="heard")["QueueUrl"]
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    role = cloud.client("iam").create_role(
        RoleName="follower", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    )["Role"]["Arn"]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as content:
        content.writestr("main.py", CODE)
    functions = cloud.client("lambda")
    functions.create_function(
        FunctionName="follower",
        Runtime="python3.13",
        Role=role,
        Handler="main.handler",
        Code={"ZipFile": archive.getvalue()},
        Environment={"Variables": {"QUEUE": queue}},
    )
    functions.create_event_source_mapping(
        FunctionName="follower",
        EventSourceArn=table["LatestStreamArn"],
        StartingPosition="TRIM_HORIZON",
        BatchSize=7,
        MaximumRetryAttempts=3,
        BisectBatchOnFunctionError=True,
        FilterCriteria={"Filters": [{"Pattern": json.dumps({"eventName": ["INSERT"]})}]},
    )


def described(cloud: Cloud) -> dict[str, Any]:
    (mapping,) = cloud.client("lambda").list_event_source_mappings()["EventSourceMappings"]
    kept: dict[str, Any] = {name: mapping.get(name) for name in fixups._KEPT_OF_MAPPINGS}
    return kept


def test_streams_are_followed_again_after_a_restart(tmp_path: Path) -> None:
    first = Cloud(tmp_path)
    try:
        follow(first)
        before = described(first)
        assert all(first.told(f"before-{number}") for number in range(3))
    finally:
        first.stop()
    second = Cloud(tmp_path)
    try:
        assert not second.told("lost", seconds=4), "the emulator has learnt it: the cure can go"
        fixups.follow_streams_again(second.endpoint)
        assert described(second) == before
        assert second.told("after")
    finally:
        second.stop()
