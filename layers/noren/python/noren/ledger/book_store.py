"""The `credits` table: lots and entries. Every change of them is one transaction with the admission item.

| key | holds |
|---|---|
| `LOTS#<tenant>` / `V#<version>` | the lots as that version's fold left them (`lots.Books`); the newest count |
| `ONCE#<tenant>` / `<entry id>` | that the entry has been booked, and where |
| `TX#<tenant>` / `<version>#<0 or 1>#<number>#<entry id>` | the entry, in the order of the account's history |

A fold's entries (0) carry the version that it made and their number in it; a settled request's (1) the version that its
settle found and the position of its first credit. So their order needs no clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from noren import tables
from noren.ids import TenantId
from noren.ledger.fold import Folded
from noren.ledger.lots import Books, Entry, Lot
from noren.ledger.store import Refused, opening_item, turn_expression
from noren.tables import Item

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_CANCELLED = "TransactionCanceledException"
_REFUSED = "ConditionalCheckFailed"


class BookStore:
    """Books and entries. `client` makes a single attempt at each call; repeating is the caller's affair."""

    def __init__(self, client: DynamoDBClient, quotas_table: str, credits_table: str) -> None:
        self._client = client
        self._quotas = quotas_table
        self._credits = credits_table

    def open(self, folded: Folded) -> bool:
        """Write a new account with its first books, if it has none yet; says whether it was written."""
        account = {"TableName": self._quotas, "Item": tables.to_item(opening_item(folded.after))}
        try:
            self._transact([{"Put": account | _ABSENT}, *self._written(folded)])
        except Refused:
            return False
        return True

    def commit(self, folded: Folded) -> None:
        """Write a fold, if nobody has turned or folded the account since it was read and nothing it takes is gone.

        Raises Refused, too where one of its entries has been booked before.
        """
        before, after = folded.before, folded.after
        sets, values = turn_expression(before, after)
        sets += ["av = av + :delta", "dbt = :debt"]
        values |= {":delta": folded.delta, ":debt": after.debt, ":removed": folded.removed}
        account = {
            "TableName": self._quotas,
            "Key": tables.to_item({"pk": tables.tenant_key(before.tenant_id, "ACC"), "sk": "0"}),
            "UpdateExpression": "SET " + ", ".join(sets),
            "ConditionExpression": "v = :v AND av >= :removed",
            "ExpressionAttributeValues": tables.to_item(values),
        }
        self._transact([{"Update": account}, *self._written(folded)])

    def latest(self, tenant_id: TenantId) -> Books:
        """The books in force, read strongly; empty ones where there are none."""
        found = self._query(tenant_id, "LOTS", Limit=1)["Items"]
        return _books(tables.from_item(found[0])) if found else Books()

    def since(self, tenant_id: TenantId, position: int) -> list[Books]:
        """The books in which credits from `position` on were spent, the newest first."""
        found: list[Books] = []
        options: dict[str, Any] = {}
        while True:
            page = self._query(tenant_id, "LOTS", Limit=50, **options)
            for item in page["Items"]:
                found.append(_books(tables.from_item(item)))
                if found[-1].base <= position:
                    return found
            if "LastEvaluatedKey" not in page:
                return found
            options["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def at(self, tenant_id: TenantId, version: int) -> Books | None:
        """The books that the fold of that version left, None if that version was none's."""
        key = {"pk": tables.tenant_key(tenant_id, "LOTS"), "sk": _version(version)}
        answer = self._client.get_item(TableName=self._credits, Key=tables.to_item(key), ConsistentRead=True)
        return _books(tables.from_item(answer["Item"])) if "Item" in answer else None

    def booked(self, tenant_id: TenantId, entry_id: str) -> Entry | None:
        """The entry of that id, read strongly; None while there is none."""
        key = {"pk": tables.tenant_key(tenant_id, "ONCE"), "sk": entry_id}
        once = self._client.get_item(TableName=self._credits, Key=tables.to_item(key), ConsistentRead=True)
        if "Item" not in once:
            return None
        key = {"pk": tables.tenant_key(tenant_id, "TX"), "sk": tables.from_item(once["Item"])["at"]}
        answer = self._client.get_item(TableName=self._credits, Key=tables.to_item(key), ConsistentRead=True)
        return entry_of(tables.from_item(answer["Item"]))

    def page(self, tenant_id: TenantId, limit: int, position: str | None) -> tuple[list[Entry], str | None]:
        """Up to `limit` entries, newest first, after the sort key `position`; and where to go on."""
        options: dict[str, Any] = {"Limit": limit}
        if position:
            key = {"pk": tables.tenant_key(tenant_id, "TX"), "sk": position}
            options["ExclusiveStartKey"] = tables.to_item(key)
        answer = self._query(tenant_id, "TX", **options)
        entries = [entry_of(tables.from_item(item)) for item in answer["Items"]]
        last = answer.get("LastEvaluatedKey")
        return entries, last["sk"]["S"] if last else None

    def put_usage(self, tenant_id: TenantId, entry: Entry, version: int) -> None:
        """Write the entry of a request that was settled in that version. Repeating it changes nothing."""
        item = _entry_item(tenant_id, entry, f"{version:012d}#1#{entry.start:014d}#{entry.entry_id}")
        self._client.put_item(TableName=self._credits, Item=tables.to_item(item))

    def tell_balance(self, tenant_id: TenantId, sort_key: str, balance: int) -> None:
        """Add to an entry what the balance was after it."""
        self._client.update_item(
            TableName=self._credits,
            Key=tables.to_item({"pk": tables.tenant_key(tenant_id, "TX"), "sk": sort_key}),
            UpdateExpression="SET balance_after = :b",
            ConditionExpression="attribute_exists(pk)",
            ExpressionAttributeValues=tables.to_item({":b": balance}),
        )

    def entries_at(self, tenant_id: TenantId, sort_keys: Sequence[str]) -> list[Entry]:
        """The entries at these sort keys."""
        found = []
        for sort_key in sort_keys:
            key = {"pk": tables.tenant_key(tenant_id, "TX"), "sk": sort_key}
            answer = self._client.get_item(TableName=self._credits, Key=tables.to_item(key), ConsistentRead=True)
            found.append(entry_of(tables.from_item(answer["Item"])))
        return found

    def _written(self, folded: Folded) -> list[dict[str, Any]]:
        """What a fold puts beside its change of the account; none of it may be there yet."""
        tenant_id, books = folded.before.tenant_id, folded.books
        version = f"{books.version:012d}"
        keys = [f"{version}#0#{number:014d}#{entry.entry_id}" for number, entry in enumerate(folded.entries)]
        items: list[Item] = [_books_item(tenant_id, books, keys)]
        for entry, sort_key in zip(folded.entries, keys, strict=True):
            once = {"pk": tables.tenant_key(tenant_id, "ONCE"), "sk": entry.entry_id, "at": sort_key}
            items += [once, _entry_item(tenant_id, entry, sort_key)]
        return [{"Put": {"TableName": self._credits, "Item": tables.to_item(item)} | _ABSENT} for item in items]

    def _transact(self, items: Sequence[Mapping[str, Any]]) -> None:
        """Raises Refused where a condition did not hold; a mere conflict is raised as it is, to be repeated."""
        try:
            self._client.transact_write_items(TransactItems=items)  # type: ignore[arg-type]
        except Exception as error:
            reasons = (getattr(error, "response", None) or {}).get("CancellationReasons", [])
            if tables.error_code(error) == _CANCELLED and any(each.get("Code") == _REFUSED for each in reasons):
                raise Refused(None) from None
            raise

    def _query(self, tenant_id: TenantId, kind: str, **options: Any) -> Any:
        return self._client.query(
            TableName=self._credits,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues=tables.to_item({":pk": tables.tenant_key(tenant_id, kind)}),
            ScanIndexForward=False,
            ConsistentRead=True,
            **options,
        )


_ABSENT = {"ConditionExpression": "attribute_not_exists(pk)"}


def _version(version: int) -> str:
    return f"V#{version:012d}"


def _books_item(tenant_id: TenantId, books: Books, entries: Sequence[str]) -> Item:
    return {
        "pk": tables.tenant_key(tenant_id, "LOTS"),
        "sk": _version(books.version),
        "base": books.base,
        "month_base": books.month_base,
        "purchased": books.purchased,
        "lots": [asdict(lot) for lot in books.lots],
        "entries": list(entries),
    }


def _books(item: Item) -> Books:
    return Books(
        version=int(item["sk"].partition("#")[2]),
        base=item["base"],
        month_base=item["month_base"],
        purchased=item["purchased"],
        lots=tuple(Lot(**lot) for lot in item["lots"]),
        entries=tuple(item["entries"]),
    )


def _entry_item(tenant_id: TenantId, entry: Entry, sort_key: str) -> Item:
    told = {name: value for name, value in asdict(entry).items() if value not in (None, "", {})}
    return told | {"pk": tables.tenant_key(tenant_id, "TX"), "sk": sort_key, "at": int(entry.at * 1000)}


def entry_of(item: Item) -> Entry:
    """The entry that an item of `credits` holds."""
    values = {name: item[name] for name in Entry.__slots__ if name in item}
    return Entry(**values | {"at": item["at"] / 1000})
