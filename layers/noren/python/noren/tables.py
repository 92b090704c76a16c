"""DynamoDB, thinly: one client, plain dicts for items, keys that start with the tenant.

Only this module and `*/store.py` touch DynamoDB. Numbers travel as int and Decimal, never float.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

from noren.ids import TenantId

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

Item = dict[str, Any]
"""Attribute names to str, int, Decimal, bool, None, bytes, list or dict."""

Position = dict[str, str]
"""Where the next page of a list begins: what of a key the reader of the page before was told."""

T = TypeVar("T")

RETRY_PAUSE = 0.02


def dynamodb(*, single_attempt: bool = False) -> DynamoDBClient:
    """A DynamoDB client. `single_attempt` is the ledger's: one try, 2 s time-outs, each retry is the ledger's own."""
    import boto3
    from botocore.config import Config

    if single_attempt:
        config = Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=2, max_pool_connections=64)
    else:
        config = Config(
            retries={"total_max_attempts": 3, "mode": "standard"},
            connect_timeout=2,
            read_timeout=5,
            max_pool_connections=64,
        )
    return boto3.client("dynamodb", config=config)


def tenant_key(tenant: TenantId, kind: str, *parts: str) -> str:
    """The partition key of what belongs to one tenant: `KIND#<tenant>[#part…]`."""
    return "#".join((kind, tenant, *parts))


def platform_key(kind: str, *parts: str) -> str:
    """The partition key of what belongs to the platform itself (catalogue, markers)."""
    return "#".join((kind, *parts))


def to_attr(value: Any) -> dict[str, Any]:
    """A Python value as a DynamoDB attribute. Raises TypeError for a float or an unknown type."""
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case int() | Decimal():
            return {"N": format(value, "f") if isinstance(value, Decimal) else str(value)}
        case str():
            return {"S": value}
        case bytes():
            return {"B": value}
        case list() | tuple():
            return {"L": [to_attr(each) for each in value]}
        case Mapping():
            return {"M": {name: to_attr(each) for name, each in value.items()}}
    raise TypeError(f"DynamoDB can't hold a {type(value).__name__} here")


def from_attr(attr: Mapping[str, Any]) -> Any:
    """The reverse of `to_attr`; whole numbers come back as int, others as Decimal."""
    ((kind, value),) = attr.items()
    match kind:
        case "N":
            number = Decimal(value)
            return int(number) if number == number.to_integral_value() and "." not in value else number
        case "M":
            return {name: from_attr(each) for name, each in value.items()}
        case "L":
            return [from_attr(each) for each in value]
        case "NULL":
            return None
    return value


def to_item(item: Mapping[str, Any]) -> dict[str, Any]:
    """A plain dict as a DynamoDB item."""
    return {name: to_attr(value) for name, value in item.items()}


def from_item(item: Mapping[str, Any]) -> Item:
    """A DynamoDB item as a plain dict."""
    return {name: from_attr(attr) for name, attr in item.items()}


def error_code(error: Exception) -> str:
    """The AWS error code of a botocore ClientError, else ""."""
    response = getattr(error, "response", None) or {}  # a time-out has the attribute, and None in it
    return str(response.get("Error", {}).get("Code", ""))


RETRYABLE = frozenset(
    {
        "InternalServerError",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestTimeout",
        "ServiceUnavailable",
        "ThrottlingException",
        "TransactionConflictException",
        "TransactionInProgressException",
    }
)


def is_retryable(error: Exception) -> bool:
    """Whether a storage call failed in a way that a repetition may cure. *It may have had its effect all the same.*"""
    from botocore.exceptions import ClientError, ConnectionError, HTTPClientError
    from botocore.parsers import ResponseParserError

    if isinstance(error, ClientError):
        if error_code(error) == "TransactionCanceledException":
            codes = {each.get("Code", "None") for each in error.response.get("CancellationReasons", [])}
            return codes <= {"None", "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        return error_code(error) in RETRYABLE or status >= 500
    return isinstance(error, HTTPClientError | ConnectionError | ResponseParserError | _LeftOver)


def is_conflict(error: Exception) -> bool:
    """Whether a single write met a transaction on its item: it has had no effect."""
    return error_code(error) == "TransactionConflictException"


def is_refused(error: Exception) -> bool:
    """Whether the call's condition did not hold."""
    return error_code(error) == "ConditionalCheckFailedException"


def found(error: Exception) -> Item | None:
    """The item that a refused write ran into, where it asked for the old image; None if there is no item."""
    item = (getattr(error, "response", None) or {}).get("Item")
    return from_item(item) if item else None


def insistently(
    call: Callable[[], T],
    *,
    attempts: int = 8,
    pause: float = RETRY_PAUSE,
    sleep: Callable[[float], None],
    cures: Callable[[Exception], bool] = is_retryable,
) -> T:
    """Repeat an *idempotent* storage call until its outcome is known; waits grow and are jittered, up to 1 s each.

    One that is not may be repeated after what `is_conflict` only. Raises what the last attempt raised, and at once what
    no repetition cures.
    """
    for attempt in range(1, attempts):
        try:
            return call()
        except Exception as error:
            if not cures(error):
                raise
        sleep(min(1.0, pause * 2**attempt) * (0.5 + random.random()))  # noqa: S311
    return call()


def batch_get(client: DynamoDBClient, table: str, keys: Sequence[Item]) -> list[Item]:
    """The items of these keys (at most 100) that are there, in no order."""
    wanted: Any = {table: {"Keys": [to_item(each) for each in keys]}} if keys else {}
    found: list[Item] = []
    while wanted:
        answer = client.batch_get_item(RequestItems=wanted)
        found += map(from_item, answer["Responses"].get(table, ()))
        wanted = answer["UnprocessedKeys"]
    return found


def newest(
    client: DynamoDBClient, table: str, pk: str, limit: int, position: Position | None
) -> tuple[list[Item], Position | None]:
    """A page of a partition, the latest sort key first, and where the next one begins (None at the end)."""
    start: dict[str, Any] = {"ExclusiveStartKey": to_item({"pk": pk, "sk": position["sk"]})} if position else {}
    page = client.query(
        TableName=table,
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": pk}},
        ScanIndexForward=False,
        ConsistentRead=True,
        Limit=limit + 1,
        **start,
    )
    items = [from_item(raw) for raw in page["Items"]]
    more = items and (len(items) > limit or "LastEvaluatedKey" in page)
    return items[:limit], {"sk": items[:limit][-1]["sk"]} if more else None


class _LeftOver(Exception):
    """Storage has not taken all of a batch."""


def batch_write(client: DynamoDBClient, table: str, requests: Sequence[Any], *, sleep: Callable[[float], None]) -> None:
    """Put or delete up to 25 items, in no order; what storage leaves over is tried again, ever later.

    Raises what is_retryable where storage does not take it in the end.
    """
    left: Any = {table: list(requests)}

    def write() -> None:
        nonlocal left
        left = client.batch_write_item(RequestItems=left)["UnprocessedItems"]
        if left:
            raise _LeftOver

    insistently(write, sleep=sleep)


def put_version(client: DynamoDBClient, table: str, item: Item) -> bool:
    """Write `item` as the version that follows the one that was read (`version`, from 1); False if another did.

    What stands there already, word for word, counts as written: it is a repetition by the storage client.
    """
    try:
        client.put_item(
            TableName=table,
            Item=to_item(item),
            ConditionExpression="version = :read OR (attribute_not_exists(pk) AND :read = :none)",
            ExpressionAttributeValues=to_item({":read": item["version"] - 1, ":none": 0}),
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    except Exception as error:
        if is_refused(error):
            return found(error) == item
        raise
    return True


def all_or_none(client: DynamoDBClient, items: list[Any], *, sleep: Callable[[float], None]) -> bool:
    """Write several items in one transaction, repeated until its outcome is known; False if a condition fails."""
    token = secrets.token_hex(16)  # a repetition of what was written writes nothing
    try:
        insistently(lambda: client.transact_write_items(TransactItems=items, ClientRequestToken=token), sleep=sleep)
    except client.exceptions.TransactionCanceledException as error:
        if "ConditionalCheckFailed" in {each.get("Code") for each in error.response["CancellationReasons"]}:
            return False
        raise
    return True
