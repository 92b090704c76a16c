"""Canned responses in the `sites` table: `CANNED#<tenant>#<site>` / `LIVE#<id>`, deleted ones `GONE#<id>`.

`COUNT` beside them says how many there are, so that no two who save at once exceed what a site may have.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from noren.ids import TenantId
from noren.sites.canned_models import MOST_REGEXES, MOST_RESPONSES, CannedResponse, Pattern
from noren.tables import Item, from_item, is_refused, tenant_key, to_item
from noren.tenants.store import transact

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

RESTORABLE_SECONDS = 30 * 86400

_TIMES = ("created_at", "updated_at", "deleted_at")
_SEPARATE = ("pk", "sk", "hit_count")
"""Never overwritten by an edit."""


class CannedStore:
    """Reads and writes; decides nothing but whether there is room."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client, self._table = client, table

    def get(self, tenant: TenantId, site_id: str, canned_id: str, *, deleted: bool = False) -> CannedResponse | None:
        """The response, as it is now; None where the site has none of that id."""
        key = to_item(_key(tenant, site_id, canned_id, deleted=deleted))
        found = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        return _response(from_item(found["Item"])) if "Item" in found else None

    def all(self, tenant: TenantId, site_id: str) -> Iterator[CannedResponse]:
        """All responses of a site that are not deleted, oldest first."""
        options: dict[str, Any] = {}
        while True:
            page = self._query(tenant, site_id, "LIVE#", "LIVE#~", **options)
            yield from (_response(from_item(raw)) for raw in page["Items"])
            if "LastEvaluatedKey" not in page:
                return
            options = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def page(
        self, tenant: TenantId, site_id: str, limit: int, before: str | None, *, deleted: bool
    ) -> tuple[list[CannedResponse], str | None]:
        """Responses, the newest first, and the id to go on before."""
        kind = "GONE#" if deleted else "LIVE#"
        # where one page of storage holds fewer, the answer is shorter and says where to go on
        page = self._query(
            tenant,
            site_id,
            kind,
            f"{kind}{before or '~'}",
            ScanIndexForward=False,
            ConsistentRead=True,
            Limit=limit + 1 + (before is not None),
        )
        rows = [each for raw in page["Items"] if (each := _response(from_item(raw))).canned_id != before]
        more = len(rows) > limit or "LastEvaluatedKey" in page
        return rows[:limit], rows[:limit][-1].canned_id if more and rows else None

    def add(self, response: CannedResponse) -> None:
        """Store a new response. Raises Refused: (0,) the id is taken, (1,) there is no room."""
        put = self._put(response, "attribute_not_exists(pk)")
        transact(self._client, [put, self._count(response, 1, response.regexes)])

    def change(self, old: CannedResponse, new: CannedResponse) -> None:
        """Store what follows on a response as it was read.

        Raises Refused: (0,) it has changed meanwhile or is gone, (1,) there is no room for more regular expressions.
        """
        item = {name: value for name, value in _item(new).items() if name not in _SEPARATE}
        update = {
            "TableName": self._table,
            "Key": to_item(_key(old.tenant_id, old.site_id, old.canned_id)),
            "UpdateExpression": "SET " + ", ".join(f"#{name} = :{name}" for name in item),
            "ConditionExpression": "version = :old",
            "ExpressionAttributeNames": {f"#{name}": name for name in item},
            "ExpressionAttributeValues": to_item({f":{name}": value for name, value in item.items()})
            | to_item({":old": old.version}),
        }
        more = new.regexes - old.regexes
        transact(self._client, [{"Update": update}, *([self._count(new, 0, more)] if more else [])])

    def delete(self, old: CannedResponse, gone: CannedResponse) -> None:
        """Put a response away. Raises Refused (0,) where it has changed meanwhile."""
        put = self._put(gone, "attribute_not_exists(pk)", expires_at=int(gone.deleted_at or 0) + RESTORABLE_SECONDS)
        transact(self._client, [self._remove(old, deleted=False), put, self._count(old, -1, -old.regexes)])

    def restore(self, gone: CannedResponse, back: CannedResponse) -> None:
        """Bring a response back. Raises Refused: (0,) or (1,) somebody else has, (2,) there is no room."""
        put = self._put(back, "attribute_not_exists(pk)")
        transact(self._client, [self._remove(gone, deleted=True), put, self._count(back, 1, back.regexes)])

    def hit(self, tenant: TenantId, site_id: str, canned_id: str) -> bool:
        """Count one more answer; False where the site has no such response."""
        try:
            self._client.update_item(
                TableName=self._table,
                Key=to_item(_key(tenant, site_id, canned_id)),
                UpdateExpression="ADD hit_count :one",
                ConditionExpression="attribute_exists(pk)",
                ExpressionAttributeValues=to_item({":one": 1}),
            )
        except Exception as error:
            if is_refused(error):
                return False
            raise
        return True

    def _query(self, tenant: TenantId, site_id: str, low: str, high: str, **options: Any) -> Any:
        return self._client.query(
            TableName=self._table,
            KeyConditionExpression="pk = :pk AND sk BETWEEN :low AND :high",
            ExpressionAttributeValues=to_item({":pk": _pk(tenant, site_id), ":low": low, ":high": high}),
            **options,
        )

    def _put(self, response: CannedResponse, condition: str, **more: Any) -> dict[str, Any]:
        item = to_item(_item(response) | more)
        return {"Put": {"TableName": self._table, "Item": item, "ConditionExpression": condition}}

    def _remove(self, response: CannedResponse, *, deleted: bool) -> dict[str, Any]:
        key = _key(response.tenant_id, response.site_id, response.canned_id, deleted=deleted)
        return {
            "Delete": {
                "TableName": self._table,
                "Key": to_item(key),
                "ConditionExpression": "version = :old",
                "ExpressionAttributeValues": to_item({":old": response.version}),
            }
        }

    def _count(self, response: CannedResponse, responses: int, regexes: int) -> dict[str, Any]:
        conditions, values = [], {":by": responses, ":by_regexes": regexes}
        for name, by, most in (("live", responses, MOST_RESPONSES), ("regexes", regexes, MOST_REGEXES)):
            if by > 0:
                conditions.append(f"(attribute_not_exists({name}) OR {name} <= :{name})")
                values[f":{name}"] = most - by
        update: dict[str, Any] = {
            "TableName": self._table,
            "Key": to_item({"pk": _pk(response.tenant_id, response.site_id), "sk": "COUNT"}),
            "UpdateExpression": "ADD live :by, regexes :by_regexes",
            "ExpressionAttributeValues": to_item(values),
        }
        return {"Update": update | ({"ConditionExpression": " AND ".join(conditions)} if conditions else {})}


def _pk(tenant: TenantId, site_id: str) -> str:
    return tenant_key(tenant, "CANNED", site_id)


def _key(tenant: TenantId, site_id: str, canned_id: str, *, deleted: bool = False) -> Item:
    return {"pk": _pk(tenant, site_id), "sk": f"{'GONE' if deleted else 'LIVE'}#{canned_id}"}


def _item(response: CannedResponse) -> Item:
    fields = {name: value for name, value in asdict(response).items() if value is not None}
    fields |= {name: Decimal(repr(fields[name])) for name in _TIMES if name in fields}
    return fields | _key(
        response.tenant_id, response.site_id, response.canned_id, deleted=response.deleted_at is not None
    )


def _response(item: Item) -> CannedResponse:
    fields = {name: item[name] for name in CannedResponse.__slots__ if name in item}
    fields |= {name: float(fields[name]) for name in _TIMES if name in fields}
    patterns = tuple(Pattern(**each) for each in fields["patterns"])
    return CannedResponse(**fields | {"patterns": patterns, "questions": tuple(fields["questions"])})
