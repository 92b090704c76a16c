"""The breaker's shared state: one item per provider, model and endpoint in the `runtime` table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from noren.tables import error_code, from_item, platform_key, to_item

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

KEEP_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Health:
    """What the instances together know of one model. Times are epoch seconds, in whole milliseconds."""

    streak: int = 0
    """Failures since the last success that anybody noted."""
    window: int = 0
    """The 30 s window that `good` and `bad` count in."""
    good: int = 0
    bad: int = 0
    open_until: float = 0.0
    """Until then nobody calls; 0 when closed. Afterwards whoever claims the probe does."""
    probe_until: float = 0.0
    """A probe is under way, and given up for lost after this."""


class BreakerStore:
    """`table` is the runtime table."""

    def __init__(self, table: str, client: DynamoDBClient) -> None:
        self._table = table
        self._db = client

    def load(self, key: str) -> Health:
        """The state; a model that never failed has none stored. Eventually consistent: it is cached anyway."""
        answer = self._db.get_item(TableName=self._table, Key=_key(key))
        return _health(answer.get("Item", {}))

    def count(self, key: str, window: int, *, good: int, bad: int, streak: int | None, now: float) -> Health:
        """Add to a window's counts and to the streak (`streak=None`) or set it; the state afterwards."""
        values = {":g": good, ":b": bad, ":w": window, ":s": bad if streak is None else streak, ":e": _expiry(now)}
        if streak is None:
            into = "SET expires_at = :e ADD streak :s, good :g, bad :b"
            anew = "SET expires_at = :e, win = :w, good = :g, bad = :b ADD streak :s"
        else:
            into = "SET expires_at = :e, streak = :s ADD good :g, bad :b"
            anew = "SET expires_at = :e, win = :w, good = :g, bad = :b, streak = :s"
        # The first count of a window starts it anew; who loses that race adds to what the winner started.
        started, not_started = "win = :w", "attribute_not_exists(win) OR win < :w"
        for update, condition in ((into, started), (anew, not_started), (into, started)):
            try:
                answer = self._db.update_item(
                    TableName=self._table,
                    Key=_key(key),
                    UpdateExpression=update,
                    ConditionExpression=condition,
                    ExpressionAttributeValues=to_item(values),
                    ReturnValues="ALL_NEW",
                )
                return _health(answer.get("Attributes", {}))
            except self._db.exceptions.ConditionalCheckFailedException:
                continue
        return self.load(key)  # a window that is already past: its counts mean nothing any more

    def open(self, key: str, until: float, now: float) -> None:
        """Open until `until`, and forget a probe."""
        self._db.update_item(
            TableName=self._table,
            Key=_key(key),
            UpdateExpression="SET open_until = :u, probe_until = :z, expires_at = :e",
            ExpressionAttributeValues=to_item({":u": _millis(until), ":z": 0, ":e": _expiry(now)}),
        )

    def claim_probe(self, key: str, seen: Health, until: float, now: float) -> bool:
        """Whether the caller is the one who may try a model whose time of rest is over."""
        try:
            self._db.update_item(
                TableName=self._table,
                Key=_key(key),
                UpdateExpression="SET probe_until = :p, expires_at = :e",
                ConditionExpression="open_until = :o AND (attribute_not_exists(probe_until) OR probe_until < :n)",
                ExpressionAttributeValues=to_item(
                    {":p": _millis(until), ":o": _millis(seen.open_until), ":n": _millis(now), ":e": _expiry(now)}
                ),
            )
        except self._db.exceptions.ClientError as error:
            if error_code(error) == "ConditionalCheckFailedException":
                return False
            raise
        return True

    def release_probe(self, key: str) -> None:
        """A probe that ended without telling anything (its asker left)."""
        self._db.update_item(
            TableName=self._table,
            Key=_key(key),
            UpdateExpression="SET probe_until = :z",
            ExpressionAttributeValues=to_item({":z": 0}),
        )

    def close(self, key: str) -> None:
        """Well again: a state without a past."""
        self._db.delete_item(TableName=self._table, Key=_key(key))


def _key(key: str) -> dict[str, dict[str, str]]:
    return {"pk": {"S": platform_key("BREAKER", key)}, "sk": {"S": "0"}}


def _health(item: Mapping[str, Any]) -> Health:
    plain = from_item(item)
    return Health(
        streak=int(plain.get("streak", 0)),
        window=int(plain.get("win", 0)),
        good=int(plain.get("good", 0)),
        bad=int(plain.get("bad", 0)),
        open_until=int(plain.get("open_until", 0)) / 1000,
        probe_until=int(plain.get("probe_until", 0)) / 1000,
    )


def _millis(seconds: float) -> int:
    return round(seconds * 1000)


def _expiry(now: float) -> int:
    return int(now) + KEEP_SECONDS
