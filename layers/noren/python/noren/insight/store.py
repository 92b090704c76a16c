"""The `events` table: `AUDIT#…` records, `EVT#…` events, `NOTE#…` notifications. All expire after thirteen months."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from noren.ids import TenantId
from noren.insight.models import AuditRecord, Event, Note
from noren.tables import Item, Position, found, is_refused, newest, platform_key, tenant_key, to_item

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


KEPT_SECONDS = 396 * 86400
"""Thirteen months, as usage records."""


class InsightStore:
    """Appends; only `told` and `read` marks are ever set on what is there."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    # Audit

    def put_record(self, record: AuditRecord) -> None:
        """Append a record."""
        self._put_absent({"pk": _audit_key(record.tenant_id), "sk": record.audit_id, **asdict(record)})

    def records(
        self, tenant_id: TenantId | None, limit: int, position: Position | None
    ) -> tuple[list[AuditRecord], Position | None]:
        """A tenant's records, or (None) the platform's own, newest first."""
        items, following = newest(self._client, self._table, _audit_key(tenant_id), limit, position)
        return [AuditRecord(**_known(AuditRecord, item)) for item in items], following

    # Events

    def put_event(self, event: Event) -> Event:
        """Put an event unless it is there; the one that is in force."""
        item = {"pk": tenant_key(event.tenant_id, "EVT"), "sk": _event_sort(event), **asdict(event)}
        del item["is_new"]
        there = self._put_absent(item)
        if there is None or there["event_id"] == event.event_id:  # a repetition by the storage client
            return event
        return Event(**_known(Event, there), is_new=False)

    def mark_told(self, event: Event) -> None:
        """Remember that notification and mail have gone out."""
        self._set(tenant_key(event.tenant_id, "EVT"), _event_sort(event), {"told": True}, "attribute_exists(pk)")

    # Notifications

    def put_note(self, note: Note) -> None:
        """Put a notification unless it is there, read or not."""
        self._put_absent({"pk": tenant_key(note.tenant_id, "NOTE"), "sk": note.notification_id, **asdict(note)})

    def notes(self, tenant_id: TenantId, limit: int, position: Position | None) -> tuple[list[Note], Position | None]:
        """A tenant's notifications, newest first."""
        items, following = newest(self._client, self._table, tenant_key(tenant_id, "NOTE"), limit, position)
        return [Note(**_known(Note, item)) for item in items], following

    def mark_read(self, tenant_id: TenantId, notification_id: str, now: float, actor: str) -> bool:
        """Mark a notification read; False if there is none that is unread."""
        unread = "attribute_exists(pk) AND attribute_not_exists(read_at)"
        marks = {"read_at": int(now), "read_by": actor}
        return self._set(tenant_key(tenant_id, "NOTE"), notification_id, marks, unread)

    # Storage

    def _put_absent(self, item: Item) -> Item | None:
        """Put an item unless it is there; None if put, else the one that is there."""
        at = int(item["occurred_at"])
        kept = {name: value for name, value in item.items() if value is not None}
        try:
            self._client.put_item(
                TableName=self._table,
                Item=to_item(kept | {"occurred_at": at, "expires_at": at + KEPT_SECONDS}),
                ConditionExpression="attribute_not_exists(pk)",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except Exception as error:
            if not is_refused(error):
                raise
            return found(error)
        return None

    def _set(self, pk: str, sk: str, values: Item, condition: str) -> bool:
        """Set attributes of an item; False if the condition does not hold."""
        try:
            self._client.update_item(
                TableName=self._table,
                Key=to_item({"pk": pk, "sk": sk}),
                UpdateExpression="SET " + ", ".join(f"{name} = :{name}" for name in values),
                ConditionExpression=condition,
                ExpressionAttributeValues=to_item({f":{name}": value for name, value in values.items()}),
            )
        except Exception as error:
            if is_refused(error):
                return False
            raise
        return True


def event_of(item: Item) -> Event | None:
    """The event that an item of the table holds; None if it holds something else."""
    return Event(**_known(Event, item)) if item.get("pk", "").startswith("EVT#") else None


def _audit_key(tenant_id: TenantId | None) -> str:
    return tenant_key(tenant_id, "AUDIT") if tenant_id else platform_key("AUDIT", "PLATFORM")


def _event_sort(event: Event) -> str:
    return f"{event.kind}#{event.key}"


def _known(cls: type[Any], item: Item) -> Item:
    return {each.name: item[each.name] for each in fields(cls) if each.name in item}
