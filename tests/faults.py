"""A storage client that fails on purpose, and tables to use it on.

The emulator never throttles, never loses a request and never delivers one late; DynamoDB does all of that. `Faulty`
wraps a boto3 client and does it at a chosen call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, ReadTimeoutError

Fault = Literal[
    "crash_before",
    "crash_after",
    "throttle",
    "conflict",
    "server",
    "timeout_before",
    "timeout_after",
    "late_copy",
    "twice",
]
FAULTS: tuple[Fault, ...] = get_args(Fault)
_CODES = {
    "throttle": ("ThrottlingException", 400),
    "conflict": ("TransactionConflictException", 400),
    "server": ("InternalServerError", 500),
}


class Crash(BaseException):
    """The process is dead: nothing of it runs any more, so nobody may catch this."""


class Faulty:
    """Wraps a DynamoDB client. `calls` lists the operations so far; `plan` maps a call's number (from 0) to its fault.

    `timeout_before` loses the request, `timeout_after` the answer. `late_copy` loses the request at first: it arrives
    when the test calls `deliver()`. `twice` repeats the request as an SDK does whose first answer was lost: it is the
    second answer that counts, so a write runs into its own condition. After a crash every call of this client crashes.
    `before` is called ahead of each call, with its name and parameters.
    """

    def __init__(self, client: Any, before: Callable[[str, dict[str, Any]], None] | None = None) -> None:
        self._client = client
        self._late: list[tuple[str, dict[str, Any]]] = []
        self.calls: list[str] = []
        self.plan: dict[int, Fault] = {}
        self.before = before
        self.dead = False

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self._client, name)
        if name.startswith("_") or name in ("exceptions", "meta", "close", "get_paginator"):
            return operation
        return lambda **options: self._call(name, options)

    def _call(self, name: str, options: dict[str, Any]) -> Any:
        if self.dead:
            raise Crash
        if self.before:
            self.before(name, options)
        if self.dead:
            raise Crash
        fault = self.plan.get(len(self.calls))
        self.calls.append(name)
        match fault:
            case "crash_before":
                self.dead = True
                raise Crash
            case "throttle" | "conflict" | "server":
                code, status = _CODES[fault]
                response: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
                raise ClientError(response, name)
            case "late_copy":
                self._late.append((name, options))
                raise ReadTimeoutError(endpoint_url="http://127.0.0.1")
            case "timeout_before":
                raise ReadTimeoutError(endpoint_url="http://127.0.0.1")
        try:
            answer = getattr(self._client, name)(**options)
            if fault == "twice":
                answer = getattr(self._client, name)(**options)
        except ClientError:
            if fault not in ("crash_after", "timeout_after"):
                raise
            answer = None
        if fault == "crash_after":
            self.dead = True
            raise Crash
        if fault == "timeout_after":
            raise ReadTimeoutError(endpoint_url="http://127.0.0.1")
        return answer

    @property
    def under_way(self) -> int:
        """How many requests have been sent and not arrived."""
        return len(self._late)

    def deliver(self) -> int:
        """Let the requests that were under way all the time arrive now; says how many had an effect."""
        effects = 0
        while self._late:
            name, options = self._late.pop(0)
            try:
                getattr(self._client, name)(**options)
                effects += 1
            except ClientError as error:
                reasons = {each.get("Code") for each in error.response.get("CancellationReasons", [])}
                refused = error.response["Error"]["Code"] == "ConditionalCheckFailedException"
                if not refused and "ConditionalCheckFailed" not in reasons:
                    raise
        return effects


def emulator_client() -> Any:
    """A DynamoDB client of one attempt, like the ledger's, but patient: a busy machine must not look like a fault."""
    config = Config(retries={"total_max_attempts": 1}, connect_timeout=30, read_timeout=30, max_pool_connections=64)
    return boto3.client("dynamodb", config=config)


def make_table(client: Any, name: str, *, index: bool = False) -> None:
    """A table with the house's keys, and `gsi1` if asked for."""
    keys = ["pk", "sk", *(["gsi1pk", "gsi1sk"] if index else [])]
    options: dict[str, Any] = {}
    if index:
        options["GlobalSecondaryIndexes"] = [
            {"IndexName": "gsi1", "KeySchema": _schema("gsi1pk", "gsi1sk"), "Projection": {"ProjectionType": "ALL"}}
        ]
    client.create_table(
        TableName=name,
        KeySchema=_schema("pk", "sk"),
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
        BillingMode="PAY_PER_REQUEST",
        **options,
    )


def _schema(partition: str, sort: str) -> list[dict[str, str]]:
    return [{"AttributeName": partition, "KeyType": "HASH"}, {"AttributeName": sort, "KeyType": "RANGE"}]
