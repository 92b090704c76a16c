"""A DynamoDB client that talks to the embedded cloud over connections that it keeps.

Ten thousand histories are millions of calls, and botocore takes several times as long for one as the emulator itself.
This one says the same and raises the same errors, but signs nothing and checks nothing: for benches alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from local import emulator

_STREAMS = frozenset({"DescribeStream", "GetRecords", "GetShardIterator", "ListStreams"})


class Wire:
    """Every operation of DynamoDB and its streams by its boto3 name. Safe to share between threads."""

    def __init__(self, endpoint: str, account: str = emulator.ACCOUNT) -> None:
        self._host = urlsplit(endpoint).netloc
        self._scope = f"AWS4-HMAC-SHA256 Credential={account}/20260101/{emulator.REGION}/dynamodb/aws4_request"
        self._idle: list[HTTPConnection] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        operation = "".join(part.title() for part in name.split("_"))
        return lambda **given: self._call(operation, given)

    def reset(self) -> None:
        """The emulator forgets everything, of every account."""
        self._post("/_ministack/reset", b"", {})

    def _call(self, operation: str, given: dict[str, Any]) -> Any:
        service = "DynamoDBStreams_20120810" if operation in _STREAMS else "DynamoDB_20120810"
        headers = {
            "X-Amz-Target": f"{service}.{operation}",
            "Content-Type": "application/x-amz-json-1.0",
            "Authorization": f"{self._scope}, SignedHeaders=host, Signature=none",
        }
        status, answer = self._post("/", json.dumps(given).encode(), headers)
        if status == 200:
            return answer
        code = answer.pop("__type", "InternalServerError").rpartition("#")[2]
        error = {"Code": code, "Message": answer.pop("message", "")}
        response: Any = {"Error": error, "ResponseMetadata": {"HTTPStatusCode": status}, **answer}
        raise ClientError(response, operation)

    def _post(self, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = HTTPConnection(self._host, timeout=30)
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        answer = json.loads(response.read())
        self._idle.append(connection)
        return response.status, answer


def make_table(client: Any, name: str, *, stream: bool = False) -> None:
    """A table with the house's keys, its changes kept as images if asked for."""
    options: dict[str, Any] = {}
    if stream:
        options["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    client.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in ("pk", "sk")],
        BillingMode="PAY_PER_REQUEST",
        **options,
    )


class Images:
    """A table's changes, in their order, each once."""

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        (stream,) = client.list_streams(TableName=table)["Streams"]
        arn = stream["StreamArn"]
        (shard,) = client.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
        given = {"StreamArn": arn, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
        self._iterator = client.get_shard_iterator(**given)["ShardIterator"]

    def new(self) -> list[tuple[dict[str, Any] | None, dict[str, Any] | None]]:
        """The changes since the last look: the item before and after."""
        found = []
        while True:
            answer = self._client.get_records(ShardIterator=self._iterator)
            self._iterator = answer["NextShardIterator"]
            if not answer["Records"]:
                return found
            changes = (record["dynamodb"] for record in answer["Records"])
            found += [(each.get("OldImage"), each.get("NewImage")) for each in changes]
