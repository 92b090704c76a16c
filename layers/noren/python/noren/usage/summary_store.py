"""Summaries in DynamoDB, beside the records that they are made from.

| key | what |
|---|---|
| `SUM#<tenant>` / `Q#<site>#<quarter-hour>` | what the records of that quarter-hour come to |
| `SUM#<tenant>` / `D#<site>#<day>` | the quarter-hours of a day added up |
| `SUM#<tenant>` / `M#<month>#<site>` | the days of a month added up |
| `SUM#<tenant>` / `ZONE` | the zone whose days and months those are |
| `SUMS#<month>` / `<tenant>` | a tenant's month over all sites, for the platform's report |

Each site has items of its own: a chat rewrites one site's day, and none grows with the number of sites. `g` is the sum
of the revisions of the records inside. Records only ever come and rise in revision, so equal `g` of one period means
equal content, and a writer who knows less has a smaller `g` and is refused, however late it comes. Days and months also
carry the `generation` of their zone: a writer of the zone before is refused, and what it wrote isn't read any more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from noren import tables
from noren.ids import TenantId
from noren.money import plain
from noren.tables import Item
from noren.usage.arms import Arms, ArmTally, Moments
from noren.usage.histogram import Histogram
from noren.usage.tally import Cells, Tally

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_FRESH = "attribute_not_exists(pk) OR g <= :g"
_FRESH_IN_ZONE = "attribute_not_exists(pk) OR generation < :n OR (generation = :n AND g <= :g)"


@dataclass(frozen=True, slots=True)
class Summary:
    """One site's requests of one period: a quarter-hour's number, a day or a month, as text."""

    site_id: str
    period: str
    revisions: int
    cells: Cells
    arms: Arms = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Zoning:
    """Whose days and months a tenant's are. `generation` counts the zones that it has had."""

    zone: str
    generation: int
    derived: int
    """The last generation whose days and months are all there."""

    @property
    def whole(self) -> bool:
        """Whether every day and month of this zone has been derived."""
        return self.derived == self.generation


class SummaryStore:
    """Reads strongly, and overwrites what knew less."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def put_quarter(self, tenant_id: TenantId, summary: Summary) -> bool:
        """Overwrite a quarter-hour unless the stored one knows more; says whether it did."""
        return self._put(_key(tenant_id, _quarter(summary.site_id, int(summary.period))), summary, None)

    def put_day(self, tenant_id: TenantId, zoning: Zoning, summary: Summary) -> bool:
        """The same for a day."""
        return self._put(_key(tenant_id, f"D#{summary.site_id}#{summary.period}"), summary, zoning)

    def put_month(self, tenant_id: TenantId, zoning: Zoning, summary: Summary) -> bool:
        """The same for a month."""
        return self._put(_key(tenant_id, f"M#{summary.period}#{summary.site_id}"), summary, zoning)

    def put_total(self, tenant_id: TenantId, zoning: Zoning, summary: Summary) -> bool:
        """The same for a tenant's month over all sites."""
        return self._put(_total_key(tenant_id, summary.period), summary, zoning)

    def quarters(self, tenant_id: TenantId, site_id: str, quarters: range) -> list[Summary]:
        """A site's quarter-hours within the range, in order."""
        low, high = (_quarter(site_id, number) for number in (quarters.start, quarters.stop - 1))
        return [_summary(item) for item in self._items(tenant_id, low, high)]

    def all_quarters(self, tenant_id: TenantId) -> Iterator[Summary]:
        """Every quarter-hour of the tenant, site by site, in order."""
        return (_summary(item) for item in self._items(tenant_id, "Q#", "Q$"))

    def days(self, tenant_id: TenantId, zoning: Zoning, site_id: str, first: str, last: str) -> list[Summary]:
        """A site's days of this zone, in order."""
        found = self._items(tenant_id, f"D#{site_id}#{first}", f"D#{site_id}#{last}")
        return [_summary(item) for item in found if item["generation"] == zoning.generation]

    def months(self, tenant_id: TenantId, zoning: Zoning, first: str, last: str) -> list[Summary]:
        """All sites' months of this zone, in order."""
        found = self._items(tenant_id, f"M#{first}#", f"M#{last}$")
        return [_summary(item) for item in found if item["generation"] == zoning.generation]

    def sites(self, tenant_id: TenantId, first: str, last: str) -> list[str]:
        """The sites with requests in these months of whichever zone."""
        found = self._items(tenant_id, f"M#{first}#", f"M#{last}$")
        return sorted({str(item["site_id"]) for item in found})

    def total(self, tenant_id: TenantId, zoning: Zoning, month: str) -> Summary | None:
        """A tenant's month over all sites in this zone."""
        answer = self._client.get_item(
            TableName=self._table, Key=tables.to_item(_total_key(tenant_id, month)), ConsistentRead=True
        )
        item = tables.from_item(answer["Item"]) if "Item" in answer else None
        return _summary(item) if item and item["generation"] == zoning.generation else None

    def totals(self, month: str) -> dict[TenantId, tuple[str, Summary]]:
        """Every tenant's month over all sites, with the zone that it was reckoned in."""
        found = self._query("pk = :p", {":p": tables.platform_key("SUMS", month)})
        return {TenantId(item["sk"]): (str(item["zone"]), _summary(item)) for item in found}

    # The zone

    def zoning(self, tenant_id: TenantId) -> Zoning | None:
        """The zone of the tenant's days and months; None before its first summary."""
        answer = self._client.get_item(
            TableName=self._table, Key=tables.to_item(_key(tenant_id, "ZONE")), ConsistentRead=True
        )
        return _zoning(tables.from_item(answer["Item"])) if "Item" in answer else None

    def begin(self, tenant_id: TenantId, zone: str) -> Zoning:
        """Set the first zone, unless somebody has; the one that holds."""
        first = Zoning(zone, generation=1, derived=1)
        return self._put_zoning(tenant_id, first, "attribute_not_exists(pk)", {})

    def turn(self, tenant_id: TenantId, before: Zoning, zone: str) -> Zoning:
        """Go over to another zone, unless somebody has left `before` already; the one that holds."""
        after = replace(before, zone=zone, generation=before.generation + 1)
        return self._put_zoning(tenant_id, after, "generation = :n", {":n": before.generation})

    def derived(self, tenant_id: TenantId, zoning: Zoning) -> Zoning:
        """Note that all days and months of this zone are there, unless it has changed again; the zone that holds."""
        done = replace(zoning, derived=zoning.generation)
        return self._put_zoning(tenant_id, done, "generation = :n", {":n": zoning.generation})

    def _put_zoning(self, tenant_id: TenantId, zoning: Zoning, condition: str, values: Item) -> Zoning:
        item = _key(tenant_id, "ZONE") | {each.name: getattr(zoning, each.name) for each in fields(Zoning)}
        options: dict[str, Any] = {"ExpressionAttributeValues": tables.to_item(values)} if values else {}
        try:
            self._client.put_item(
                TableName=self._table,
                Item=tables.to_item(item),
                ConditionExpression=condition,
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
                **options,
            )
        except Exception as error:
            standing = tables.found(error) if tables.is_refused(error) else None
            if standing is None:
                raise
            return _zoning(standing)
        return zoning

    def _put(self, key: Item, summary: Summary, zoning: Zoning | None) -> bool:
        item = key | {"site_id": summary.site_id, "period": summary.period, "g": summary.revisions}
        item["cells"] = [
            {"model": model, "function": function} | _told(tally)
            for (model, function), tally in sorted(summary.cells.items())
        ]
        if summary.arms:
            item["arms"] = [
                {"experiment": experiment, "arm": arm} | _told(tally)
                for (experiment, arm), tally in sorted(summary.arms.items())
            ]
        values = {":g": summary.revisions}
        if zoning:
            item |= {"zone": zoning.zone, "generation": zoning.generation}
            values[":n"] = zoning.generation
        try:
            self._client.put_item(
                TableName=self._table,
                Item=tables.to_item(item),
                ConditionExpression=_FRESH_IN_ZONE if zoning else _FRESH,
                ExpressionAttributeValues=tables.to_item(values),
            )
        except Exception as error:
            if tables.is_refused(error):
                return False
            raise
        return True

    def _items(self, tenant_id: TenantId, low: str, high: str) -> Iterator[Item]:
        condition = "pk = :p AND sk BETWEEN :low AND :high"
        return self._query(condition, {":p": tables.tenant_key(tenant_id, "SUM"), ":low": low, ":high": high})

    def _query(self, condition: str, values: Item) -> Iterator[Item]:
        options: dict[str, Any] = {}
        while True:
            answer = self._client.query(
                TableName=self._table,
                KeyConditionExpression=condition,
                ExpressionAttributeValues=tables.to_item(values),
                ConsistentRead=True,
                **options,
            )
            yield from map(tables.from_item, answer["Items"])
            if "LastEvaluatedKey" not in answer:
                return
            options["ExclusiveStartKey"] = answer["LastEvaluatedKey"]


def _key(tenant_id: TenantId, sk: str) -> Item:
    return {"pk": tables.tenant_key(tenant_id, "SUM"), "sk": sk}


def _total_key(tenant_id: TenantId, month: str) -> Item:
    return {"pk": tables.platform_key("SUMS", month), "sk": tenant_id}


def _quarter(site_id: str, number: int) -> str:
    return f"Q#{site_id}#{number:08d}"


def _told(tally: Tally | ArmTally) -> Item:
    """A tally without its zeros. Costs are text: sums may have more digits than a DynamoDB number."""
    item: Item = {}
    for each in fields(tally):
        value = getattr(tally, each.name)
        if value != type(value)():
            item[each.name] = (
                plain(value) if isinstance(value, Decimal) else value if each.type == "int" else str(value)
            )
    return item


_READ: dict[str, Any] = {"Decimal": Decimal, "Histogram": Histogram.parse, "Moments": Moments.parse, "int": int}


def _summary(item: Item) -> Summary:
    cells = {(str(cell["model"]), str(cell["function"])): Tally(**_sums(Tally, cell)) for cell in item["cells"]}
    arms = {(str(arm["experiment"]), str(arm["arm"])): ArmTally(**_sums(ArmTally, arm)) for arm in item.get("arms", ())}
    return Summary(str(item["site_id"]), str(item["period"]), int(item["g"]), cells, arms)


def _sums(kind: type[Tally] | type[ArmTally], item: Item) -> dict[str, Any]:
    return {each.name: _READ[str(each.type)](item[each.name]) for each in fields(kind) if each.name in item}


def _zoning(item: Item) -> Zoning:
    return Zoning(str(item["zone"]), int(item["generation"]), int(item["derived"]))
