"""DynamoDB in memory, for tests of order: as much of it as the stores of knowledge use, thousands of calls a second.

What it does not know it refuses. Whether DynamoDB itself takes an expression is seen where the same stores run on the
emulator.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

from botocore.exceptions import ClientError

from noren.tables import Item, from_item, to_item

_TOKEN = re.compile(r"\s*(<>|<=|>=|[=<>(),+.-]|[#:]?\w+)")
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b,
    "<>": lambda a, b: a != b,
    "<": lambda a, b: a is not None and a < b,
    "<=": lambda a, b: a is not None and a <= b,
    ">": lambda a, b: a is not None and a > b,
    ">=": lambda a, b: a is not None and a >= b,
}


class _Exceptions:
    class TransactionCanceledException(ClientError):
        pass


class MemoryDynamoDB:
    """A client. Each call is one step; items are copies."""

    exceptions = _Exceptions

    def __init__(self) -> None:
        self.items: dict[tuple[str, str, str], Item] = {}

    def get_item(self, TableName: str, Key: Any, **_: Any) -> dict[str, Any]:
        item = self.items.get(_place(TableName, from_item(Key)))
        return {"Item": to_item(item)} if item else {}

    def put_item(self, **options: Any) -> dict[str, Any]:
        self._write({"Put": options})
        return {}

    def delete_item(self, **options: Any) -> dict[str, Any]:
        self._write({"Delete": options})
        return {}

    def update_item(self, ReturnValues: str = "NONE", **options: Any) -> dict[str, Any]:
        self._write({"Update": options})
        item = self.items[_place(options["TableName"], from_item(options["Key"]))]
        if ReturnValues == "UPDATED_NEW":
            names = set(options.get("ExpressionAttributeNames", {}).values())
            item = {name: value for name, value in item.items() if name in names}
        return {"Attributes": to_item(item)}

    def transact_write_items(self, TransactItems: list[Any], **_: Any) -> dict[str, Any]:
        held = [self._holds(each) for each in TransactItems]
        if not all(held):
            reasons = [{"Code": "None" if each else "ConditionalCheckFailed"} for each in held]
            response: Any = {"Error": {"Code": "TransactionCanceledException"}, "CancellationReasons": reasons}
            raise self.exceptions.TransactionCanceledException(response, "TransactWriteItems")
        for each in TransactItems:
            self._do(each)
        return {}

    def batch_get_item(self, RequestItems: Any) -> dict[str, Any]:
        ((table, wanted),) = RequestItems.items()
        found = (self.items.get(_place(table, from_item(key))) for key in wanted["Keys"])
        return {"Responses": {table: [to_item(each) for each in found if each]}, "UnprocessedKeys": {}}

    def batch_write_item(self, RequestItems: Any) -> dict[str, Any]:
        ((table, requests),) = RequestItems.items()
        for each in requests:
            ((kind, what),) = each.items()
            self._do({kind.removesuffix("Request"): {"TableName": table, **what}})
        return {"UnprocessedItems": {}}

    def query(self, **options: Any) -> dict[str, Any]:
        table, values = options["TableName"], _Expression(options)
        found = sorted(
            (place[2], item)
            for place, item in self.items.items()
            if place[0] == table and values.holds(options["KeyConditionExpression"], item)
        )
        if not options.get("ScanIndexForward", True):
            found.reverse()
        if start := options.get("ExclusiveStartKey"):
            after = from_item(start)["sk"]
            forward = options.get("ScanIndexForward", True)
            found = [each for each in found if (each[0] > after if forward else each[0] < after)]
        more = len(found) > (limit := options.get("Limit", len(found)))
        found = found[:limit]
        kept = [item for _, item in found if values.holds(options.get("FilterExpression", ""), item)]
        answer: dict[str, Any] = {"Items": [to_item(each) for each in kept]}
        if more:
            answer["LastEvaluatedKey"] = to_item({name: found[-1][1][name] for name in ("pk", "sk")})
        return answer

    def get_paginator(self, _: str) -> Any:
        client = self

        class Pages:
            def paginate(self, **options: Any) -> Iterator[Any]:
                while True:
                    page = client.query(**options)
                    yield page
                    if "LastEvaluatedKey" not in page:
                        return
                    options["ExclusiveStartKey"] = page["LastEvaluatedKey"]

        return Pages()

    def _write(self, write: Any) -> None:
        if not self._holds(write):
            raise ClientError({"Error": {"Code": "ConditionalCheckFailedException"}}, next(iter(write)))
        self._do(write)

    def _holds(self, write: Any) -> bool:
        ((_, options),) = write.items()
        key = from_item(options.get("Key") or options["Item"])
        old = self.items.get(_place(options["TableName"], key), {})
        return _Expression(options).holds(options.get("ConditionExpression", ""), old)

    def _do(self, write: Any) -> None:
        ((kind, options),) = write.items()
        key = from_item(options.get("Key") or options["Item"])
        place = _place(options["TableName"], key)
        if kind == "Put":
            self.items[place] = from_item(options["Item"])
        elif kind == "Delete":
            self.items.pop(place, None)
        elif kind == "Update":
            old = self.items.get(place, key)
            self.items[place] = _Expression(options).updated(options["UpdateExpression"], old)
        elif kind != "ConditionCheck":
            raise NotImplementedError(kind)


def _place(table: str, key: Item) -> tuple[str, str, str]:
    return table, key["pk"], key["sk"]


class _Expression:
    """Conditions and updates, read word by word."""

    def __init__(self, options: Any) -> None:
        self._names = options.get("ExpressionAttributeNames", {})
        self._values = from_item(options.get("ExpressionAttributeValues") or {})
        self._words: list[str] = []
        self._item: Item = {}

    def holds(self, text: str, item: Item) -> bool:
        if not text:
            return True
        self._read(text, item)
        return self._either()

    def updated(self, text: str, item: Item) -> Item:
        new = _copied(item)
        self._read(text, item)
        while self._words:
            action = self._next()
            while True:
                path = self._path()
                if action == "SET":
                    self._expect("=")
                    _set(new, path, self._sum())
                elif action == "ADD":
                    _set(new, path, (_get(new, path) or 0) + self._operand())
                elif action == "REMOVE":
                    new.pop(path[0], None)
                else:
                    raise NotImplementedError(action)
                if not self._words or self._words[0] != ",":
                    break
                self._next()
        return new

    def _read(self, text: str, item: Item) -> None:
        if _TOKEN.sub("", text).strip():
            raise NotImplementedError(text)
        self._words, self._item = _TOKEN.findall(text), item

    def _next(self) -> str:
        return self._words.pop(0)

    def _expect(self, word: str) -> None:
        if (found := self._next()) != word:
            raise NotImplementedError(f"{found} in place of {word}")

    def _either(self) -> bool:
        held = self._both()
        while self._words and self._words[0] == "OR":
            self._next()
            held = self._both() or held
        return held

    def _both(self) -> bool:
        held = self._one()
        while self._words and self._words[0] == "AND":
            self._next()
            held = self._one() and held
        return held

    def _one(self) -> bool:
        word = self._words[0]
        if word == "NOT":
            self._next()
            return not self._one()
        if word == "(":
            self._next()
            held = self._either()
            self._expect(")")
            return held
        if word in ("attribute_exists", "attribute_not_exists"):
            self._next()
            self._expect("(")
            there = _get(self._item, self._path()) is not None
            self._expect(")")
            return there is (word == "attribute_exists")
        if word == "begins_with":
            self._next()
            self._expect("(")
            value = _get(self._item, self._path())
            self._expect(",")
            start = self._operand()
            self._expect(")")
            return isinstance(value, str) and value.startswith(start)
        left, relation = self._operand(), self._next()
        if relation == "IN":
            self._expect("(")
            among = [self._operand()]
            while self._next() == ",":
                among.append(self._operand())
            return left in among
        if relation == "BETWEEN":
            low = self._operand()
            self._expect("AND")
            return left is not None and low <= left <= self._operand()
        return _COMPARE[relation](left, self._operand())

    def _sum(self) -> Any:
        total = self._operand()
        while self._words and self._words[0] in "+-":
            sign = self._next()
            more = self._operand()
            total = total + more if sign == "+" else total - more
        return total

    def _operand(self) -> Any:
        word = self._words[0]
        if word.startswith(":"):
            return self._values[self._next()]
        if word == "if_not_exists":
            self._next()
            self._expect("(")
            value = _get(self._item, self._path())
            self._expect(",")
            other = self._sum()
            self._expect(")")
            return other if value is None else value
        return _get(self._item, self._path())

    def _path(self) -> list[str]:
        path = [self._name(self._next())]
        while self._words and self._words[0] == ".":
            self._next()
            path.append(self._name(self._next()))
        return path

    def _name(self, word: str) -> str:
        return str(self._names[word]) if word.startswith("#") else word


def _get(item: Item, path: list[str]) -> Any:
    value: Any = item
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _set(item: Item, path: list[str], value: Any) -> None:
    for name in path[:-1]:
        item = item[name]
    if isinstance(value, Decimal) and value == value.to_integral_value() and value.as_tuple().exponent == 0:
        value = int(value)
    item[path[-1]] = value


def _copied(item: Item) -> Item:
    return {name: _copied(value) if isinstance(value, dict) else value for name, value in item.items()}
