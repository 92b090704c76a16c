"""Feedback in the `sites` table: `FB#<tenant>#<site>` / `<request>`, kept as long as usage records.

Request ids sort by the time of the question.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from noren.chat.models import Feedback
from noren.chat.rating_store import counted
from noren.errors import Busy
from noren.ids import TenantId
from noren.tables import Item, batch_get, from_item, tenant_key, to_item
from noren.tenants.store import Refused, transact

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

KEPT_SECONDS = 396 * 86400
CHUNK = 100
"""Rows of one read."""
ROUNDS = 5
"""Tries on top of feedback that its giver changes at the same time."""

_FIELDS = ("rating", "comment", "owner", "request_id", "session_key", "revision")


class FeedbackStore:
    """Reads and writes; decides nothing."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client, self._table = client, table

    def put(self, tenant: TenantId, given: Feedback, arm: tuple[str, str] | None = None) -> Feedback:
        """Store or change the feedback on an answer, and give what then stands: as it was where nothing changes.

        `arm` is the (experiment, arm) that the answer was given in. Raises Busy where others change it all the time.
        """
        for _ in range(ROUNDS):
            old = self.get(tenant, given.site_id, given.request_id)
            if old and (old.rating, old.comment) == (given.rating, given.comment):
                return old
            stored = replace(given, created_at=old.created_at, revision=old.revision + 1) if old else given
            writes = [self._change(tenant, stored, arm, old)]
            if arm and (old is None or old.rating != given.rating):
                writes.append(counted(self._table, tenant, arm, given.rating, old.rating if old else None))
            try:
                transact(self._client, writes)
            except Refused:
                continue
            return stored
        raise Busy(retry_after=1)

    def _change(
        self, tenant: TenantId, stored: Feedback, arm: tuple[str, str] | None, old: Feedback | None
    ) -> dict[str, Any]:
        """The write of what is to stand, on top of what was read."""
        fields: dict[str, Any] = {name: getattr(stored, name) for name in _FIELDS}
        fields |= {"created_at": Decimal(repr(stored.created_at)), "updated_at": Decimal(repr(stored.updated_at))}
        fields |= {"expires_at": int(stored.created_at) + KEPT_SECONDS}
        if arm:
            fields |= {"experiment_id": arm[0], "prompt_arm": arm[1]}
        put: dict[str, Any] = {
            "TableName": self._table,
            "Item": to_item(_key(tenant, stored.site_id, stored.request_id) | fields),
            "ConditionExpression": "attribute_not_exists(pk)",
        }
        if old:
            put["ConditionExpression"] = "revision = :read"
            put["ExpressionAttributeValues"] = to_item({":read": old.revision})
        return {"Put": put}

    def get(self, tenant: TenantId, site_id: str, request_id: str) -> Feedback | None:
        """The feedback on an answer, or None."""
        key = to_item(_key(tenant, site_id, request_id))
        found = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True).get("Item")
        return _feedback(from_item(found), site_id) if found else None

    def of_answers(self, tenant: TenantId, site_id: str, request_ids: Iterable[str]) -> dict[str, Feedback]:
        """The feedback on those answers (at most 100) of a site that have any."""
        keys = [_key(tenant, site_id, each) for each in request_ids]
        found = [_feedback(item, site_id) for item in batch_get(self._client, self._table, keys)]
        return {each.request_id: each for each in found}

    def rows(self, tenant: TenantId, site_id: str, above: str, below: str) -> tuple[list[Item], str | None]:
        """A site's rows (with `site_id`) on answers between two ids, the newest first, and where to go on."""
        page = self._client.query(
            TableName=self._table,
            KeyConditionExpression="pk = :pk AND sk BETWEEN :above AND :below",
            ExpressionAttributeValues=to_item(
                {":pk": tenant_key(tenant, "FB", site_id), ":above": above, ":below": below}
            ),
            ScanIndexForward=False,
            Limit=CHUNK,
        )
        rows = [from_item(raw) | {"site_id": site_id} for raw in page["Items"]]
        last = page.get("LastEvaluatedKey")
        return [row for row in rows if row["sk"] != below], from_item(last)["sk"] if last else None


def feedback_of(row: Item) -> Feedback:
    """One of `rows`."""
    return _feedback(row, row["site_id"])


def _key(tenant: TenantId, site_id: str, request_id: str) -> Item:
    return {"pk": tenant_key(tenant, "FB", site_id), "sk": request_id}


def _feedback(item: Item, site_id: str) -> Feedback:
    return Feedback(
        request_id=item["request_id"],
        rating=item["rating"],
        comment=item["comment"],
        created_at=float(item["created_at"]),
        updated_at=float(item["updated_at"]),
        site_id=site_id,
        session_key=item.get("session_key", ""),
        owner=item["owner"],
        revision=item["revision"],
    )
