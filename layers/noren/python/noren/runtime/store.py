"""The `runtime` table: `RATE#…` and `WINDOW#…` windows, `COUNT#…` counters, `LEASE#…`, `PACE#…`, `KEPT#…` texts,
`IDEM#…` claims.

Items expire by the table's TTL some day; whether one still counts is compared here or by the caller, never left to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from noren import tables
from noren.ids import TenantId
from noren.tables import Item

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

LINGER_SECONDS = 3600
"""How long past its use an item may be found, so that TTL never takes one that a slow clock still needs."""


@dataclass(frozen=True, slots=True)
class Window:
    """A rate window: its number (time ÷ length), its count, and the count of the one before."""

    number: int
    count: int
    previous: int


@dataclass(frozen=True, slots=True)
class Claim:
    """Somebody's claim to an idempotency key."""

    scope: str
    route: str
    key_hash: str
    owner: str
    digest: str
    """Of the body that came with the key first."""
    leased_until: float
    """While it runs, the owner is taken to be at work."""
    expires_at: float
    """From then on the key is as good as new."""
    request_id: str = ""
    done: bool = False
    status: int = 0
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class RuntimeStore:
    """Short-lived shared state."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    # -- rate windows

    def count_in_window(self, key: str, number: int, room: int, expires_at: float) -> tuple[Window, bool]:
        """Count one request in window `number` unless it has `room` of them. Returns the window, and whether it did.

        A window that is not the current one is left as it was found: `start_window` goes on from there.
        """
        values = {":w": number, ":one": 1, ":room": room, ":x": int(expires_at) + LINGER_SECONDS}
        update = "SET c = c + :one, expires_at = :x"
        item, done = self._update(tables.platform_key("RATE", key), "0", update, "w = :w AND c < :room", values)
        return _window(item), done

    def start_window(self, key: str, found: int, fresh: Window, expires_at: float) -> bool:
        """Put a new window in place of the one numbered `found`; False if somebody else has put one meanwhile."""
        values = {":w": fresh.number, ":c": fresh.count, ":p": fresh.previous, ":found": found}
        values[":x"] = int(expires_at) + LINGER_SECONDS
        condition = "attribute_not_exists(w) OR w = :found"
        update = "SET w = :w, c = :c, p = :p, expires_at = :x"
        return self._update(tables.platform_key("RATE", key), "0", update, condition, values)[1]

    def count_together(self, key: str, number: int, limits: Mapping[str, int], end: float) -> tuple[Item, bool]:
        """Count one request of window `number` under each name, unless one of them has reached its limit.

        Returns the window's counts by name, as they are now, and whether this one was counted.
        """
        values: dict[str, Any] = {":one": 1, ":x": int(end) + LINGER_SECONDS}
        names, added, conditions = {}, [], []
        for index, (name, limit) in enumerate(limits.items()):
            names[f"#{index}"], values[f":{index}"] = name, limit
            added.append(f"#{index} :one")
            conditions.append(f"(attribute_not_exists(#{index}) OR #{index} < :{index})")
        update = f"SET expires_at = :x ADD {', '.join(added)}"
        pk = tables.platform_key("WINDOW", key)
        return self._update(pk, str(number), update, " AND ".join(conditions), values, names)

    # -- exact counters

    def count_up_to(self, key: str, limit: int, until: int) -> int | None:
        """Add one to the counter that lasts `until`; returns the new count, or None if it had reached `limit`."""
        values = {":one": 1, ":zero": 0, ":limit": limit, ":x": until + LINGER_SECONDS}
        update = "SET n = if_not_exists(n, :zero) + :one, expires_at = :x"
        item, done = self._update(
            tables.platform_key("COUNT", key), str(until), update, "attribute_not_exists(n) OR n < :limit", values
        )
        return int(item["n"]) if done else None

    def give_back(self, key: str, until: int) -> None:
        """Take one off the counter."""
        values = {":one": 1, ":zero": 0}
        self._update(tables.platform_key("COUNT", key), str(until), "SET n = n - :one", "n > :zero", values)

    # -- slots

    def reserve(self, key: str, now: int, length: int, horizon: int) -> int | None:
        """The next slot that nobody has, at the earliest `now`; None where that is beyond the `horizon`. All in ms."""
        pk = tables.platform_key("PACE", key)
        values = {":now": now, ":after": now + length, ":x": (now + horizon) // 1000 + LINGER_SECONDS}
        update, is_free = "SET n = :after, expires_at = :x", "attribute_not_exists(n) OR n <= :now"
        if self._update(pk, "0", update, is_free, values)[1]:
            return now
        values = {":length": length, ":last": now + horizon, ":x": values[":x"] + length // 1000}
        item, done = self._update(pk, "0", "SET n = n + :length, expires_at = :x", "n <= :last", values)
        return int(item["n"]) - length if done else None

    def hold(self, key: str, until: int) -> None:
        """Give out no slots before `until`; whoever has one can see it."""
        pk, values = tables.platform_key("PACE", key), {":u": until, ":x": until // 1000 + LINGER_SECONDS}
        update, is_ahead = "SET n = :u, h = :u, expires_at = :x", "attribute_not_exists(n) OR n < :u"
        if not self._update(pk, "0", update, is_ahead, values)[1]:
            self._update(pk, "0", "SET h = :u", "attribute_not_exists(h) OR h < :u", {":u": until})

    def held_until(self, key: str) -> int:
        """Until when slots are held; 0 where they never were."""
        key_of = tables.to_item({"pk": tables.platform_key("PACE", key), "sk": "0"})
        item = self._client.get_item(TableName=self._table, Key=key_of).get("Item")
        return int(tables.from_item(item).get("h", 0)) if item else 0

    # -- leases

    def lease(self, key: str, owner: str, now: float, until: float) -> float | None:
        """Take the lease if nobody has it. Returns None if taken, else until when somebody else has it."""
        values = {":o": owner, ":now": int(now), ":u": int(until), ":x": int(until) + LINGER_SECONDS}
        update = "SET o = :o, leased_until = :u, expires_at = :x"
        condition = "attribute_not_exists(pk) OR leased_until <= :now OR o = :o"
        item, done = self._update(tables.platform_key("LEASE", key), "0", update, condition, values)
        return None if done else float(item["leased_until"])

    def give_up_lease(self, key: str, owner: str) -> None:
        """End the lease if `owner` still has it."""
        self._delete(tables.platform_key("LEASE", key), "o = :o", {":o": owner})

    # -- what is remembered for a while

    def keep(self, key: str, text: str, until: float) -> None:
        """Remember a text; of keys that name a tenant where it is a tenant's."""
        item = {"pk": tables.platform_key("KEPT", key), "sk": "0", "kept_until": int(until), "body": text}
        item["expires_at"] = int(until) + LINGER_SECONDS
        self._client.put_item(TableName=self._table, Item=tables.to_item(item))

    def kept(self, key: str, now: float) -> str | None:
        """The text that is remembered under a key."""
        place = tables.to_item({"pk": tables.platform_key("KEPT", key), "sk": "0"})
        found = self._client.get_item(TableName=self._table, Key=place).get("Item")
        item = tables.from_item(found) if found else {"kept_until": 0}
        return str(item["body"]) if item["kept_until"] > now else None

    # -- idempotency keys

    def claim(self, claim: Claim, now: float) -> Claim | None:
        """Put the claim if the key is free or has expired. Returns None if put, else the claim that is in its way."""
        try:
            self._client.put_item(
                TableName=self._table,
                Item=tables.to_item(_claim_item(claim)),
                ConditionExpression="attribute_not_exists(pk) OR kept_until <= :now",
                ExpressionAttributeValues=tables.to_item({":now": int(now)}),
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except Exception as error:
            found = tables.found(error) if tables.is_refused(error) else None
            if found is None:
                raise
            other = _claim(claim, found)
            return None if other.owner == claim.owner else other  # our own, whose answer was lost
        return None

    def replace_claim(self, claim: Claim, owner: str) -> bool:
        """Write `claim` over the unfinished one of `owner`: to finish it, or to take it over. Says whether it did."""
        try:
            self._client.put_item(
                TableName=self._table,
                Item=tables.to_item(_claim_item(claim)),
                ConditionExpression="o = :o AND done = :no",
                ExpressionAttributeValues=tables.to_item({":o": owner, ":no": False}),
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except Exception as error:
            if not tables.is_refused(error):
                raise
            found = tables.found(error)
            return bool(found and found["o"] == claim.owner and found["done"] == claim.done)  # our own, likewise
        return True

    def drop_claim(self, claim: Claim) -> None:
        """Free the key if `claim` is still its owner's and unfinished."""
        self._delete(_claim_key(claim), "o = :o AND done = :no", {":o": claim.owner, ":no": False})

    # -- common

    def _update(
        self,
        pk: str,
        sk: str,
        update: str,
        condition: str,
        values: dict[str, Any],
        names: Mapping[str, str] | None = None,
    ) -> tuple[Item, bool]:
        """The item as it is now, and whether the condition held."""
        named: Any = {"ExpressionAttributeNames": names} if names else {}
        try:
            answer = self._client.update_item(
                TableName=self._table,
                Key=tables.to_item({"pk": pk, "sk": sk}),
                UpdateExpression=update,
                ConditionExpression=condition,
                ExpressionAttributeValues=tables.to_item(values),
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
                **named,
            )
        except Exception as error:
            if not tables.is_refused(error):
                raise
            return tables.found(error) or {}, False
        return tables.from_item(answer["Attributes"]), True

    def _delete(self, pk: str, condition: str, values: dict[str, Any]) -> None:
        try:
            self._client.delete_item(
                TableName=self._table,
                Key=tables.to_item({"pk": pk, "sk": "0"}),
                ConditionExpression=condition,
                ExpressionAttributeValues=tables.to_item(values),
            )
        except Exception as error:
            if not tables.is_refused(error):
                raise


def _window(item: Item) -> Window:
    return Window(item.get("w", -1), item.get("c", 0), item.get("p", 0))


def _claim_key(claim: Claim) -> str:
    return tables.tenant_key(TenantId(claim.scope), "IDEM", claim.route, claim.key_hash)


def _claim_item(claim: Claim) -> Item:
    return {
        "pk": _claim_key(claim),
        "sk": "0",
        "o": claim.owner,
        "digest": claim.digest,
        "leased_until": int(claim.leased_until),
        "kept_until": int(claim.expires_at),
        "expires_at": int(claim.expires_at) + LINGER_SECONDS,
        "r": claim.request_id,
        "done": claim.done,
        "status": claim.status,
        "body": claim.body,
        "headers": claim.headers,
    }


def _claim(asked: Claim, item: Item) -> Claim:
    return Claim(
        scope=asked.scope,
        route=asked.route,
        key_hash=asked.key_hash,
        owner=item["o"],
        digest=item["digest"],
        leased_until=item["leased_until"],
        expires_at=item["kept_until"],
        request_id=item["r"],
        done=item["done"],
        status=item["status"],
        body=item["body"],
        headers=item["headers"],
    )
