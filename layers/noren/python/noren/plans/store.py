"""The catalogue's rows: one partition, read whole, every version of every row by its effective date."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any, NamedTuple

from noren.plans.models import ExchangeRate, Limits, ModelPolicy, Plan
from noren.tables import Item, error_code, from_item, platform_key, to_item

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

Row = Plan | ModelPolicy | ExchangeRate

PK = platform_key("CATALOG")


class Rows(NamedTuple):
    """All versions, in no order that matters."""

    plans: tuple[Plan, ...]
    policies: tuple[ModelPolicy, ...]
    rates: tuple[ExchangeRate, ...]
    version: str
    """When the catalogue was last changed (ISO time)."""


class PlanStore:
    """Reads and writes catalogue rows in the `tenants` table."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def rows(self) -> Rows:
        """Every version of every row (a hundred or so items: one page, one read)."""
        plans: list[Plan] = []
        policies: list[ModelPolicy] = []
        rates: list[ExchangeRate] = []
        version = ""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": PK}},
            ConsistentRead=True,
        )
        for page in pages:
            for raw in page["Items"]:
                item = from_item(raw)
                version = max(version, item["updated_at"])
                match item["sk"].split("#")[0]:
                    case "PLAN":
                        plans.append(_plan(item))
                    case "POLICY":
                        policies.append(_policy(item))
                    case "RATE":
                        rates.append(ExchangeRate(item["currency"], item["rate"], item["effective_date"]))
        return Rows(tuple(plans), tuple(policies), tuple(rates), version)

    def put(self, row: Row, audit: Mapping[str, Any], *, if_absent: bool = False) -> bool:
        """Write one version; False if `if_absent` and that version exists."""
        item: Item = {"pk": PK, "sk": sort_key(row), **_plain(row), **audit}
        try:
            if if_absent:
                self._client.put_item(
                    TableName=self._table, Item=to_item(item), ConditionExpression="attribute_not_exists(pk)"
                )
            else:
                self._client.put_item(TableName=self._table, Item=to_item(item))
        except Exception as error:
            if error_code(error) == "ConditionalCheckFailedException":
                return False
            raise
        return True


def sort_key(row: Row) -> str:
    """`PLAN#free#2026-11-01`, `POLICY#phi-3-mini#…`, `RATE#JPY#…`."""
    match row:
        case Plan():
            return f"PLAN#{row.plan}#{row.effective_date}"
        case ModelPolicy():
            return f"POLICY#{row.id}#{row.effective_date}"
        case ExchangeRate():
            return f"RATE#{row.currency}#{row.effective_date}"


def _plain(row: Row) -> Item:
    plain = asdict(row)
    if isinstance(row, ModelPolicy):
        plain["plans"] = sorted(row.plans)
    return plain


def _known(cls: type[Any], item: Item) -> Item:
    return {each.name: item[each.name] for each in fields(cls) if each.name in item}


def _plan(item: Item) -> Plan:
    known = _known(Plan, item)
    return Plan(**known | {"aliases": tuple(item["aliases"]), "limits": Limits(**_known(Limits, item["limits"]))})


def _policy(item: Item) -> ModelPolicy:
    return ModelPolicy(**_known(ModelPolicy, item) | {"plans": frozenset(item["plans"])})
