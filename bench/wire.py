"""A DynamoDB client that talks to the embedded cloud over connections that it keeps.

Ten thousand histories are millions of calls, and botocore takes several times as long for one as the emulator itself.
This one says the same and raises the same errors, but signs nothing and checks nothing: for benches alone.
"""

from __future__ import annotations

import base64
import json
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from local import emulator

IDLE = 30.0
"""Seconds for which an unused connection is trusted; the emulator closes it after 75."""
_STREAMS = frozenset({"DescribeStream", "GetRecords", "GetShardIterator", "ListStreams"})


class Wire:
    """Every operation of DynamoDB and its streams by its boto3 name. Safe to share between threads."""

    def __init__(self, endpoint: str, account: str = emulator.ACCOUNT) -> None:
        url = urlsplit(endpoint)
        self._address = str(url.hostname), int(url.port or 80)
        self._scope = f"AWS4-HMAC-SHA256 Credential={account}/20260101/{emulator.REGION}/dynamodb/aws4_request"
        self._idle: list[_Connection] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        operation = "".join(part.title() for part in name.split("_"))
        return lambda **given: self.call(operation, json.dumps(given).encode())

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        while self._idle:
            self._idle.pop().close()

    def reset(self) -> None:
        """The emulator forgets everything, of every account."""
        self._post("/_ministack/reset", b"", {})

    def call(self, operation: str, body: bytes) -> Any:
        """The answer to an operation by DynamoDB's own name and the JSON it takes. Raises ClientError."""
        service = "DynamoDBStreams_20120810" if operation in _STREAMS else "DynamoDB_20120810"
        headers = {
            "X-Amz-Target": f"{service}.{operation}",
            "Content-Type": "application/x-amz-json-1.0",
            "Authorization": f"{self._scope}, SignedHeaders=host, Signature=none",
        }
        status, answer = self._post("/", body, headers)
        if status == 200:
            return answer
        code = answer.pop("__type", "InternalServerError").rpartition("#")[2]
        error = {"Code": code, "Message": answer.pop("message", "")}
        response: Any = {"Error": error, "ResponseMetadata": {"HTTPStatusCode": status}, **answer}
        raise ClientError(response, operation)

    def _post(self, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
        connection = self._connection()
        answer = connection.post(path, body, headers)
        if connection.open:
            self._idle.append(connection)
        return answer

    def _connection(self) -> _Connection:
        with suppress(IndexError):
            while True:
                connection = self._idle.pop()
                if time.monotonic() - connection.used_at < IDLE:
                    return connection
                connection.close()
        return _Connection(self._address)


class _Connection:
    """Just as much HTTP as the emulator speaks: a status line, the body's length, the body."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._socket = socket.create_connection(address, timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._answers = self._socket.makefile("rb")
        self.used_at = 0.0
        self.open = True
        """Until the emulator says that it closes it: it does so after a thousand requests."""

    def post(self, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
        lines = [f"POST {path} HTTP/1.1", "Host: cloud", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self._socket.sendall("\r\n".join((*lines, "", "")).encode() + body)
        status, length = int(self._answers.readline().split()[1]), 0
        while line := self._answers.readline().strip():
            name, _, value = line.partition(b":")
            match name.lower(), value.strip():
                case b"content-length", number:
                    length = int(number)
                case b"connection", b"close":
                    self.open = False
        answer = json.loads(self._answers.read(length), object_hook=_binary)
        self.used_at = time.monotonic()
        if not self.open:
            self.close()
        return status, answer

    def close(self) -> None:
        self._answers.close()
        self._socket.close()


def _binary(part: dict[str, Any]) -> dict[str, Any]:
    """Binary attributes travel as Base64."""
    return {"B": base64.b64decode(part["B"])} if len(part) == 1 and isinstance(part.get("B"), str) else part


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
