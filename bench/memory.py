"""As much of DynamoDB as the stores of billing and of credits say to it, in memory: atomic, and copied in no time.

What they say is understood, not imitated: conditions and updates are read from the expressions themselves, and one that
this module does not know raises ValueError. Races and faults of the real thing are for MiniStack.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from functools import cache
from types import CodeType
from typing import Any

from botocore.exceptions import ClientError

from noren.tables import from_attr, to_attr

Row = Mapping[str, Any]
"""An item as it goes over the wire. Never changed once it is stored."""
Rows = dict[tuple[str, str], Row]

_TOKEN = re.compile(r"\s*(attribute_(?:not_)?exists\(\w+\)|:?\w+|[<>]=|[=<>()+-])")
_WORDS = {"AND": "and", "OR": "or", "NOT": "not", "=": "=="}


class Memory:
    """A client with tables that are there when they are first spoken of. Safe to share between threads."""

    def __init__(self) -> None:
        self._tables: dict[str, Rows] = {}
        self._lock = threading.RLock()

    def copy(self) -> dict[str, Rows]:
        """Everything as it is now; for `restore`."""
        return {name: dict(rows) for name, rows in self._tables.items()}

    def restore(self, copied: Mapping[str, Rows]) -> None:
        """Everything as it was then."""
        self._tables = {name: dict(rows) for name, rows in copied.items()}

    def get_item(self, TableName: str, Key: Row, **_: Any) -> dict[str, Any]:
        """One item."""
        row = self._rows(TableName).get(_key(Key))
        return {} if row is None else {"Item": row}

    def put_item(self, TableName: str, Item: Row, **options: Any) -> dict[str, Any]:
        """Write one, if the condition holds."""
        self._write("PutItem", [(TableName, _key(Item), lambda _: Item, options)])
        return {}

    def update_item(self, TableName: str, Key: Row, **options: Any) -> dict[str, Any]:
        """Change one, if the condition holds."""
        self._write("UpdateItem", [(TableName, _key(Key), _changed(Key, options), options)])
        return {}

    def transact_write_items(self, TransactItems: list[Mapping[str, Any]]) -> dict[str, Any]:
        """All of them or none."""
        writes: list[_Write] = []
        for each in TransactItems:
            ((kind, given),) = each.items()
            if kind == "Put":
                writes.append((given["TableName"], _key(given["Item"]), _constant(given["Item"]), given))
            elif kind == "Update":
                key = given["Key"]
                writes.append((given["TableName"], _key(key), _changed(key, given), given))
            else:
                raise ValueError(kind)
        self._write("TransactWriteItems", writes)
        return {}

    def query(
        self,
        TableName: str,
        KeyConditionExpression: str,
        ExpressionAttributeValues: Row,
        ScanIndexForward: bool = True,
        Limit: int = 1000,
        ExclusiveStartKey: Row | None = None,
        **_: Any,
    ) -> dict[str, Any]:
        """A partition, from one end or the other."""
        if KeyConditionExpression != "pk = :pk":
            raise ValueError(KeyConditionExpression)
        pk = ExpressionAttributeValues[":pk"]["S"]
        after = _key(ExclusiveStartKey)[1] if ExclusiveStartKey else None
        with self._lock:
            keys = sorted((key for key in self._rows(TableName) if key[0] == pk), reverse=not ScanIndexForward)
        if after is not None:
            keys = [key for key in keys if (key[1] > after) == ScanIndexForward and key[1] != after]
        answer: dict[str, Any] = {"Items": [self._rows(TableName)[key] for key in keys[:Limit]]}
        if len(keys) > Limit:
            answer["LastEvaluatedKey"] = {"pk": {"S": pk}, "sk": {"S": keys[Limit - 1][1]}}
        return answer

    def _rows(self, table: str) -> Rows:
        return self._tables.setdefault(table, {})

    def _write(self, operation: str, writes: list[_Write]) -> None:
        with self._lock:
            found = [self._rows(table).get(key) for table, key, _, _ in writes]
            holds = [_holds(row, options) for row, (_, _, _, options) in zip(found, writes, strict=True)]
            if not all(holds):
                raise _refused(operation, found, holds, writes)
            for row, (table, key, change, _) in zip(found, writes, strict=True):
                self._rows(table)[key] = change(row)


_Write = tuple[str, tuple[str, str], Callable[[Row | None], Row], Mapping[str, Any]]
"""Table, key, what the item becomes, the request's options."""


def _constant(item: Row) -> Callable[[Row | None], Row]:
    return lambda _: item


def _key(item: Row) -> tuple[str, str]:
    return item["pk"]["S"], item["sk"]["S"]


def _refused(operation: str, found: list[Row | None], holds: list[bool], writes: list[_Write]) -> ClientError:
    if operation == "TransactWriteItems":
        reasons = [{"Code": "None" if each else "ConditionalCheckFailed"} for each in holds]
        response: Any = {"Error": {"Code": "TransactionCanceledException"}, "CancellationReasons": reasons}
    else:
        response = {"Error": {"Code": "ConditionalCheckFailedException"}}
        if found[0] is not None and writes[0][3].get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD":
            response["Item"] = found[0]
    return ClientError(response, operation)


def _holds(row: Row | None, options: Mapping[str, Any]) -> bool:
    expression = options.get("ConditionExpression")
    return expression is None or bool(_value(_compiled(expression), row, options))


def _changed(key: Row, options: Mapping[str, Any]) -> Callable[[Row | None], Row]:
    expression = options["UpdateExpression"]
    if not expression.startswith("SET ") or "#" in expression:
        raise ValueError(expression)
    parts = [part.split(" = ", 1) for part in expression.removeprefix("SET ").split(", ")]

    def change(row: Row | None) -> Row:
        values = {name: to_attr(_value(_compiled(term), row, options)) for name, term in parts}
        return {**(row or key), **values}

    return change


def _value(code: CodeType, row: Row | None, options: Mapping[str, Any]) -> Any:
    given = options.get("ExpressionAttributeValues", {})
    names = {"has": row or {}, "item": _Decoded(row or {}), "value": _Decoded(given)}
    try:
        return eval(code, {"__builtins__": {}}, names)
    except TypeError:  # an attribute that is not there compares with nothing
        return False


class _Decoded:
    def __init__(self, attributes: Row) -> None:
        self._attributes = attributes

    def __getitem__(self, name: str) -> Any:
        attribute = self._attributes.get(name)
        return None if attribute is None else from_attr(attribute)


@cache
def _compiled(expression: str) -> CodeType:
    """An expression of DynamoDB's as one of Python's."""
    words, end = [], 0
    while end < len(expression):
        found = _TOKEN.match(expression, end)
        if found is None:
            raise ValueError(expression)
        word, end = found[1], found.end()
        if word.startswith("attribute_"):
            negated = "not " if "_not_" in word else ""
            words.append(f"({word.partition('(')[2][:-1]!r} {negated}in has)")
        elif word in _WORDS:
            words.append(_WORDS[word])
        elif word.startswith(":"):
            words.append(f"value[{word!r}]")
        else:
            words.append(f"item[{word!r}]" if word[0].isalpha() else word)
    return compile(" ".join(words), expression, "eval")
