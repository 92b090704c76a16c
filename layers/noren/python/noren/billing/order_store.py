"""The `billing` table.

| key | holds |
|---|---|
| `CUS#<tenant>` / `0` | the tenant's subscription (`orders.Subscribed`), with its customer |
| `CUSTOMER#<customer>` / `0` | whose customer it is |
| `ORDER#<tenant>` / `<order id>` | an order of credits |
| `PAYMENT#<payment intent or invoice>` / `0` | which order it pays |
| `DISPUTE#<tenant>` / `<dispute id>` | a dispute |
| `EVENT#<event id>` / `0` | that Stripe's event has come, and what became of it |
| `METERED#<identifier>` / `0` | that a use is reported, since when, and whether Stripe has answered |
| `BUYER#<tenant>` / `0` | the state of automatic purchases (`orders.Buyer`) |

Rows that are brought in line with Stripe have a version: whoever writes has read it *before* asking Stripe, and is
refused if somebody else has written since; and looks once more when it has written, since a later reader may have found
nothing to write. So what was read earlier never stands over what was read later.
"""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

from noren.billing.orders import Buyer, Contest, Order, Subscribed
from noren.ids import TenantId
from noren.tables import Item, found, from_item, is_refused, platform_key, put_version, tenant_key, to_item

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

EVENT_SECONDS = 40 * 86_400
"""How long an event is known: Stripe sends one again for three days, and can be asked to for thirty."""

R = TypeVar("R", Order, Subscribed, Contest, Buyer)


class OrderStore:
    """Reads strongly."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client, self._table = client, table

    # -- customers and subscriptions

    def subscribed(self, tenant_id: TenantId) -> Subscribed | None:
        """The tenant's row; None before it has a customer."""
        item = self._get(tenant_key(tenant_id, "CUS"), "0")
        return _row(Subscribed, item) if item else None

    def put_subscribed(self, row: Subscribed) -> Subscribed | None:
        """Write what follows the row that was read; None if somebody else has."""
        return self._put(tenant_key(row.tenant_id, "CUS"), "0", row)

    def tenant_of(self, customer: str) -> TenantId | None:
        """Whose customer it is."""
        item = self._get(platform_key("CUSTOMER", customer), "0")
        return TenantId(item["tenant_id"]) if item else None

    def put_customer(self, tenant_id: TenantId, customer: str) -> None:
        """Note whose customer it is. A customer never changes hands."""
        item = {"pk": platform_key("CUSTOMER", customer), "sk": "0", "tenant_id": tenant_id}
        self._client.put_item(TableName=self._table, Item=to_item(item))

    # -- orders

    def order(self, tenant_id: TenantId, order_id: str) -> Order | None:
        """One order of the tenant."""
        item = self._get(tenant_key(tenant_id, "ORDER"), order_id)
        return _row(Order, item) if item else None

    def put_order(self, order: Order) -> Order | None:
        """Write what follows the order that was read; None if somebody else has."""
        return self._put(tenant_key(order.tenant_id, "ORDER"), order.order_id, order)

    def orders(self, tenant_id: TenantId, limit: int, position: str | None) -> tuple[list[Order], str | None]:
        """A page of orders, the newest first."""
        pk = tenant_key(tenant_id, "ORDER")
        options: dict[str, Any] = {}
        if position:
            options["ExclusiveStartKey"] = to_item({"pk": pk, "sk": position})
        page = self._client.query(
            TableName=self._table,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues=to_item({":pk": pk}),
            ScanIndexForward=False,
            ConsistentRead=True,
            Limit=limit,
            **options,
        )
        last = page.get("LastEvaluatedKey")
        return [_row(Order, from_item(item)) for item in page["Items"]], last["sk"]["S"] if last else None

    def order_paid_by(self, payment: str) -> Order | None:
        """The order that a payment or invoice pays, if it is one of ours."""
        item = self._get(platform_key("PAYMENT", payment), "0")
        return self.order(TenantId(item["tenant_id"]), item["order_id"]) if item else None

    def put_payment(self, payment: str, order: Order) -> None:
        """Note which order a payment or invoice pays."""
        item = {"tenant_id": order.tenant_id, "order_id": order.order_id}
        self._client.put_item(
            TableName=self._table, Item=to_item({"pk": platform_key("PAYMENT", payment), "sk": "0", **item})
        )

    # -- disputes

    def contest(self, tenant_id: TenantId, dispute_id: str) -> Contest | None:
        """One dispute."""
        item = self._get(tenant_key(tenant_id, "DISPUTE"), dispute_id)
        return _row(Contest, item) if item else None

    def contests(self, tenant_id: TenantId) -> list[Contest]:
        """All of a tenant's disputes."""
        page = self._client.query(
            TableName=self._table,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues=to_item({":pk": tenant_key(tenant_id, "DISPUTE")}),
            ConsistentRead=True,
        )
        return [_row(Contest, from_item(item)) for item in page["Items"]]

    def put_contest(self, contest: Contest) -> Contest | None:
        """Write what follows the dispute that was read; None if somebody else has."""
        return self._put(tenant_key(contest.tenant_id, "DISPUTE"), contest.dispute_id, contest)

    # -- events

    def put_event(self, event_id: str, type: str, now: int) -> bool:
        """Note that an event has come; False if it had before *and* was passed on."""
        item = {"pk": platform_key("EVENT", event_id), "sk": "0", "type": type, "at": now, "queued": False}
        try:
            self._client.put_item(
                TableName=self._table,
                Item=to_item(item | {"expires_at": now + EVENT_SECONDS}),
                ConditionExpression="attribute_not_exists(pk) OR queued = :no",
                ExpressionAttributeValues=to_item({":no": False}),
            )
        except Exception as error:
            if is_refused(error):
                return False
            raise
        return True

    def mark_queued(self, event_id: str) -> None:
        """Note that an event is in the queue: from now on its repetitions are passed over."""
        self._client.update_item(
            TableName=self._table,
            Key=to_item({"pk": platform_key("EVENT", event_id), "sk": "0"}),
            UpdateExpression="SET queued = :yes",
            ConditionExpression="attribute_exists(pk)",
            ExpressionAttributeValues=to_item({":yes": True}),
        )

    # -- metered use

    def begin_report(self, identifier: str, now: int) -> tuple[int, bool]:
        """When the report of a use was begun (now, if it had not been), and whether it is done."""
        item = {"pk": platform_key("METERED", identifier), "sk": "0", "at": now, "done": False}
        try:
            self._client.put_item(
                TableName=self._table,
                Item=to_item(item | {"expires_at": now + EVENT_SECONDS}),
                ConditionExpression="attribute_not_exists(pk)",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except Exception as error:
            known = found(error) if is_refused(error) else None
            if known is None:
                raise
            return known["at"], known["done"]
        return now, False

    def end_report(self, identifier: str) -> None:
        """Note that a use is reported."""
        self._client.update_item(
            TableName=self._table,
            Key=to_item({"pk": platform_key("METERED", identifier), "sk": "0"}),
            UpdateExpression="SET done = :yes",
            ConditionExpression="attribute_exists(pk)",
            ExpressionAttributeValues=to_item({":yes": True}),
        )

    # -- automatic purchases

    def buyer(self, tenant_id: TenantId) -> Buyer:
        """The state of a tenant's automatic purchases."""
        item = self._get(tenant_key(tenant_id, "BUYER"), "0")
        return _row(Buyer, item) if item else Buyer()

    def put_buyer(self, tenant_id: TenantId, buyer: Buyer) -> Buyer | None:
        """Write what follows the state that was read; None if somebody else has."""
        return self._put(tenant_key(tenant_id, "BUYER"), "0", buyer)

    # -- how rows are kept

    def _write(self, item: Item) -> bool:
        return put_version(self._client, self._table, item)

    def _put(self, pk: str, sk: str, row: R) -> R | None:
        following = replace(row, version=row.version + 1)
        return following if self._write({"pk": pk, "sk": sk, **asdict(following)}) else None

    def _get(self, pk: str, sk: str) -> Item | None:
        answer = self._client.get_item(TableName=self._table, Key=to_item({"pk": pk, "sk": sk}), ConsistentRead=True)
        return from_item(answer["Item"]) if "Item" in answer else None


def _row(kind: type[R], item: Item) -> R:
    return kind(**{each.name: item[each.name] for each in fields(kind) if each.name in item})
