"""Sessions and turns in the `sites` table; cancel flags in `runtime`.

`SES#<tenant>#<principal's hash>`: `S#<session>` and `T#<session>#<request>`.
`CONV#<tenant>#<site>` / `<session>` says to whom each session of a site belongs: by it the site's owner finds them.
Session keys and request ids sort by time.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import asdict
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from noren.chat.codec import answer_of, text_of
from noren.chat.models import Session, Turn
from noren.errors import Busy
from noren.ids import TenantId
from noren.tables import Item, error_code, from_item, tenant_key, to_item

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

SESSION_SECONDS = 30 * 86400
LISTED_SECONDS = 7 * 86400
"""A session's row in its site's list is renewed each time so much has passed since its beginning."""
REPLAY_SECONDS = 24 * 3600
NO_SESSION = "-"


def owner_hash(principal: str) -> str:
    """Who a session belongs to, as it stands in keys and queues."""
    return hashlib.sha256(principal.encode()).hexdigest()[:32]


class SessionStore:
    """Conversations, each in the partition of its tenant and owner: nobody else's key leads there."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client, self._table = client, table

    def session(self, tenant: TenantId, owner: str, session_key: str, now: float) -> Session | None:
        """The session, or None for a missing, foreign or expired one."""
        item = self._get(_pk(tenant, owner), f"S#{session_key}")
        return session_of(item) if item and item["expires_at"] > now else None

    def sessions(
        self, tenant: TenantId, owner: str, limit: int, before: str | None, now: float
    ) -> tuple[list[Session], str | None]:
        """A page of sessions, the newest first, and the key to go on before."""
        upper = f"S#{before}" if before else "S#~"
        low, high = ("S#", upper)
        found = self._client.query(
            TableName=self._table,
            KeyConditionExpression="pk = :pk AND sk BETWEEN :low AND :high",
            ExpressionAttributeValues=to_item({":pk": _pk(tenant, owner), ":low": low, ":high": high}),
            ScanIndexForward=False,
            Limit=limit + 1 + (before is not None),
        )
        items = [item for item in map(from_item, found["Items"]) if item["sk"] != f"S#{before}"]
        live = [session_of(item) for item in items[:limit] if item["expires_at"] > now]
        return live, str(items[limit - 1]["session_key"]) if len(items) > limit else None

    def turns(
        self, tenant: TenantId, owner: str, session_key: str, limit: int, *, after: str = "", newest: bool = True
    ) -> list[Turn]:
        """Up to `limit` turns later than request `after`, oldest first: the newest ones, or else the oldest."""
        prefix = f"T#{session_key}#"
        found = self._client.query(
            TableName=self._table,
            KeyConditionExpression="pk = :pk AND sk BETWEEN :low AND :high",
            ExpressionAttributeValues=to_item(
                {":pk": _pk(tenant, owner), ":low": prefix + after + ("!" if after else ""), ":high": prefix + "~"}
            ),
            ScanIndexForward=not newest,
            Limit=limit,
        )
        turns = [turn_of(from_item(item)) for item in found["Items"]]
        return turns[::-1] if newest else turns

    def turn(self, tenant: TenantId, owner: str, session_key: str, request_id: str) -> Turn | None:
        """One turn, or None."""
        item = self._get(_pk(tenant, owner), f"T#{session_key or NO_SESSION}#{request_id}")
        return turn_of(item) if item else None

    def put_turn(self, tenant: TenantId, owner: str, turn: Turn) -> None:
        """Store a turn: 30 days in a session, 24 hours without one (for replays only)."""
        seconds = SESSION_SECONDS if turn.session_key else REPLAY_SECONDS
        item = {
            "pk": _pk(tenant, owner),
            "sk": f"T#{turn.session_key or NO_SESSION}#{turn.request_id}",
            "request_id": turn.request_id,
            "session_key": turn.session_key,
            "message": turn.message,
            "answer": turn.answer,
            "at": Decimal(repr(turn.at)),
            "model": turn.model,
            "finish_reason": turn.finish_reason,
            "complete": text_of(turn.complete) if turn.complete else "",
            "expires_at": int(turn.at) + seconds,
        }
        self._client.put_item(TableName=self._table, Item=to_item(item))

    def add_session(self, tenant: TenantId, owner: str, session: Session, kind: str) -> None:
        """Store a new session and, in the same call, its row in the list of its site's. `kind` of its asker."""
        item = asdict(session) | {
            "pk": _pk(tenant, owner),
            "sk": f"S#{session.session_key}",
            "created_at": Decimal(repr(session.created_at)),
            "last_prompt_at": Decimal(repr(session.last_prompt_at)),
            "expires_at": int(session.last_prompt_at) + SESSION_SECONDS,
        }
        puts = [item, _listed(tenant, owner, session, kind)]
        left: Any = {self._table: [{"PutRequest": {"Item": to_item(each)}} for each in puts]}
        for pause in (0.02, 0.1, 0.0):
            left = self._client.batch_write_item(RequestItems=left)["UnprocessedItems"]
            if not left:
                return
            time.sleep(pause)
        raise Busy(retry_after=1)

    def list_on(self, tenant: TenantId, owner: str, session: Session, kind: str) -> None:
        """Keep a session that goes on for long in the list of its site's."""
        self._client.put_item(TableName=self._table, Item=to_item(_listed(tenant, owner, session, kind)))

    def count_turn(self, tenant: TenantId, owner: str, session_key: str, now: float) -> Session | None:
        """Count one more turn and keep the session for 30 more days; None where it was deleted meanwhile."""
        return self._update(
            tenant,
            owner,
            session_key,
            "SET last_prompt_at = :now, expires_at = :end ADD turns :one",
            "attribute_exists(pk)",
            {":now": Decimal(repr(now)), ":end": int(now) + SESSION_SECONDS, ":one": 1},
        )

    def put_summary(
        self, tenant: TenantId, owner: str, session: Session, text: str, upto: str, covered: int
    ) -> Session | None:
        """Replace the summary that `session` shows by one that covers `covered` more turns; None if it has moved."""
        return self._update(
            tenant,
            owner,
            session.session_key,
            "SET summary_text = :text, summary_upto = :upto ADD summarized :covered",
            "attribute_exists(pk) AND summary_upto = :old",
            {":text": text, ":upto": upto, ":covered": covered, ":old": session.summary_upto},
        )

    def delete_session(self, tenant: TenantId, owner: str, session: Session) -> None:
        """Remove a session and its turns; the session first, so that what is left behind is never shown."""
        pk, session_key = _pk(tenant, owner), session.session_key
        for key in ({"pk": pk, "sk": f"S#{session_key}"}, listed_key(tenant, session.site_id, session_key)):
            self._client.delete_item(TableName=self._table, Key=to_item(key))
        while True:
            found = self._client.query(
                TableName=self._table,
                KeyConditionExpression="pk = :pk AND begins_with(sk, :prefix)",
                ExpressionAttributeValues=to_item({":pk": pk, ":prefix": f"T#{session_key}#"}),
                ProjectionExpression="pk, sk",
                Limit=25,
            )["Items"]
            if not found:
                return
            self._client.batch_write_item(
                RequestItems={self._table: [{"DeleteRequest": {"Key": key}} for key in found]}
            )

    def _get(self, pk: str, sk: str) -> Item | None:
        item = self._client.get_item(TableName=self._table, Key=to_item({"pk": pk, "sk": sk})).get("Item")
        return from_item(item) if item else None

    def _update(
        self,
        tenant: TenantId,
        owner: str,
        session_key: str,
        change: str,
        condition: str,
        values: Mapping[str, Any],
    ) -> Session | None:
        try:
            found = self._client.update_item(
                TableName=self._table,
                Key=to_item({"pk": _pk(tenant, owner), "sk": f"S#{session_key}"}),
                UpdateExpression=change,
                ConditionExpression=condition,
                ExpressionAttributeValues=to_item(values),
                ReturnValues="ALL_NEW",
            )
        except self._client.exceptions.ClientError as error:
            if error_code(error) == "ConditionalCheckFailedException":
                return None
            raise
        return session_of(from_item(found["Attributes"]))


class SignalStore:
    """Short-lived marks in the `runtime` table; `expires_at` is compared here, since TTL deletes late."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client, self._table = client, table

    def ask_to_stop(self, tenant: TenantId, owner: str, request_id: str, until: float) -> None:
        """Tell the running request to end. Filed under the owner, so that a stranger's wish is never found."""
        item = {"pk": tenant_key(tenant, "CANCEL", owner), "sk": request_id, "expires_at": int(until)}
        self._client.put_item(TableName=self._table, Item=to_item(item))

    def must_stop(self, tenant: TenantId, owner: str, request_id: str) -> bool:
        """Whether the owner asked the request to end."""
        key = {"pk": tenant_key(tenant, "CANCEL", owner), "sk": request_id}
        return "Item" in self._client.get_item(TableName=self._table, Key=to_item(key), ConsistentRead=True)


def listed_key(tenant: TenantId, site_id: str, session_key: str) -> Item:
    """Where a session stands in the list of its site's."""
    return {"pk": tenant_key(tenant, "CONV", site_id), "sk": session_key}


def _listed(tenant: TenantId, owner: str, session: Session, kind: str) -> Item:
    until = int(session.last_prompt_at) + SESSION_SECONDS + LISTED_SECONDS
    return listed_key(tenant, session.site_id, session.session_key) | {
        "owner": owner,
        "kind": kind,
        "expires_at": until,
    }


def session_key_of(tenant: TenantId, owner: str, session_key: str) -> Item:
    """Where a session itself lies."""
    return {"pk": _pk(tenant, owner), "sk": f"S#{session_key}"}


def turns_prefix(session_key: str) -> str:
    """What the turns of a session begin with, in its owner's partition."""
    return f"T#{session_key}#"


def _pk(tenant: TenantId, owner: str) -> str:
    return tenant_key(tenant, "SES", owner)


def session_of(item: Item) -> Session:
    """A session's item as a session."""
    fields = {name: item[name] for name in Session.__slots__ if name in item}
    return Session(**fields | {name: float(item[name]) for name in ("created_at", "last_prompt_at")})


def turn_of(item: Item) -> Turn:
    """A turn's item as a turn."""
    return Turn(
        request_id=item["request_id"],
        session_key=item["session_key"],
        message=item["message"],
        answer=item["answer"],
        at=float(item["at"]),
        model=item["model"],
        finish_reason=item["finish_reason"],
        complete=answer_of(item["complete"]) if item["complete"] else None,
    )
