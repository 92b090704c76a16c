"""Prompt profiles and experiments in the `sites` table.

`TEN#<tenant>` / `PROFILE#<id>` holds a profile with the content in force, `EXPERIMENT#<id>` an experiment,
`PRV#<tenant>#<profile>` / `V#<number>` a version, `XRT#<tenant>#<experiment>` / `ARM#<arm>` its ratings.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, fields
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from noren.ids import TenantId
from noren.sites.prompt_models import Arm, Content, Experiment, Profile, Version
from noren.tables import Item, from_item, tenant_key, to_item
from noren.tenants.store import Refused, transact

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

RATINGS = (1, 2, 3, 4, 5)


class PromptStore:
    """Reads strongly: what was published is in force everywhere as soon as caches have forgotten what was before."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client, self._table = client, table

    def write(self, *rows: Profile | Version | Experiment) -> bool:
        """Store new rows and the successors of those that were read, all or none.

        A successor has the `revision` after the one that was read. False where somebody else wrote one of them first.
        """
        try:
            transact(self._client, [self._put(_item(row)) for row in rows])
        except Refused:
            return False
        return True

    def profile(self, tenant_id: TenantId, profile_id: str) -> Profile | None:
        """The profile, deleted or not; None where the tenant has none of that id."""
        item = self._get(tenant_key(tenant_id, "TEN"), f"PROFILE#{profile_id}")
        return _profile(item) if item else None

    def profiles(self, tenant_id: TenantId) -> list[Profile]:
        """All profiles of the tenant, deleted ones too, without their content."""
        found = self._query(tenant_key(tenant_id, "TEN"), "PROFILE#", **_without_content(Profile))
        return [_profile(item) for item in found]

    def version(self, tenant_id: TenantId, profile_id: str, number: int) -> Version | None:
        """One version of a profile, or None."""
        item = self._get(tenant_key(tenant_id, "PRV", profile_id), f"V#{number:08d}")
        return _version(item) if item else None

    def versions(self, tenant_id: TenantId, profile_id: str, last: int, limit: int) -> list[Version]:
        """Up to `limit` versions of a profile from number `last` down, without their content."""
        low = max(1, last - limit + 1)
        pk = tenant_key(tenant_id, "PRV", profile_id)
        options = _without_content(Version)
        found = self._query(pk, f"V#{low:08d}", f"V#{last:08d}", ScanIndexForward=False, **options)
        return [_version(item) for item in found]

    def experiment(self, tenant_id: TenantId, experiment_id: str) -> Experiment | None:
        """The experiment, or None."""
        item = self._get(tenant_key(tenant_id, "TEN"), f"EXPERIMENT#{experiment_id}")
        return _experiment(item) if item else None

    def experiments(self, tenant_id: TenantId) -> Iterator[Experiment]:
        """The tenant's experiments, the newest first."""
        return map(_experiment, self._query(tenant_key(tenant_id, "TEN"), "EXPERIMENT#", ScanIndexForward=False))

    def ratings(self, tenant_id: TenantId, experiment_id: str) -> dict[str, dict[int, int]]:
        """How often each arm's answers were rated 1 to 5."""
        found = self._query(tenant_key(tenant_id, "XRT", experiment_id), "ARM#")
        return {
            str(item["sk"]).removeprefix("ARM#"): {each: int(item.get(f"r{each}", 0)) for each in RATINGS}
            for item in found
        }

    def _put(self, item: Item) -> dict[str, Any]:
        return {
            "Put": {
                "TableName": self._table,
                "Item": to_item(item),
                "ConditionExpression": "revision = :read OR (attribute_not_exists(pk) AND :read = :none)",
                "ExpressionAttributeValues": to_item({":read": item["revision"] - 1, ":none": 0}),
            }
        }

    def _get(self, pk: str, sk: str) -> Item | None:
        answer = self._client.get_item(TableName=self._table, Key=to_item({"pk": pk, "sk": sk}), ConsistentRead=True)
        return from_item(answer["Item"]) if "Item" in answer else None

    def _query(self, pk: str, low: str, high: str = "", **options: Any) -> Iterator[Item]:
        """The items of a partition from `low` to `high`, or those that begin with `low`."""
        while True:
            page = self._client.query(
                TableName=self._table,
                KeyConditionExpression="pk = :pk AND sk BETWEEN :low AND :high",
                ExpressionAttributeValues=to_item({":pk": pk, ":low": low, ":high": high or low + "~"}),
                ConsistentRead=True,
                **options,
            )
            yield from map(from_item, page["Items"])
            if "LastEvaluatedKey" not in page:
                return
            options["ExclusiveStartKey"] = page["LastEvaluatedKey"]


def _without_content(kind: type[Profile] | type[Version]) -> dict[str, Any]:
    shown = [each.name for each in fields(kind) if each.name != "content"]
    return {
        "ProjectionExpression": ", ".join(f"#{name}" for name in shown),
        "ExpressionAttributeNames": {f"#{name}": name for name in shown},
    }


def _item(row: Profile | Version | Experiment) -> Item:
    key: Item
    match row:
        case Profile():
            key = {"pk": tenant_key(row.tenant_id, "TEN"), "sk": f"PROFILE#{row.profile_id}"}
        case Experiment():
            key = {"pk": tenant_key(row.tenant_id, "TEN"), "sk": f"EXPERIMENT#{row.experiment_id}"}
        case Version():
            key = {"pk": tenant_key(row.tenant_id, "PRV", row.profile_id), "sk": f"V#{row.version:08d}", "revision": 1}
    return key | _plain(asdict(row))


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields as DynamoDB can hold them: times and temperatures become the decimals that they print as."""
    made: dict[str, Any] = {}
    for name, value in fields.items():
        match value:
            case float():
                made[name] = Decimal(repr(value))
            case dict():
                made[name] = _plain(value)
            case None:
                continue
            case _:
                made[name] = value
    return made


def _profile(item: Item) -> Profile:
    given = _given(Profile, item)
    return Profile(**given | {"content": _content(item), "arms": _arms(item), "earlier": tuple(item["earlier"])})


def _version(item: Item) -> Version:
    return Version(**_given(Version, item) | {"content": _content(item)})


def _experiment(item: Item) -> Experiment:
    return Experiment(**_given(Experiment, item) | {"arms": _arms(item)})


def _given(kind: type[Profile] | type[Version] | type[Experiment], item: Item) -> dict[str, Any]:
    """The fields that the item has; times are floats again."""
    given = {each.name: item[each.name] for each in fields(kind) if each.name in item}
    return {name: float(value) if name.endswith("_at") else value for name, value in given.items()}


def _content(item: Item) -> Content:
    found = item.get("content")
    return Content(**found | {"temperature": float(found["temperature"])}) if found else Content()


def _arms(item: Item) -> tuple[Arm, ...]:
    return tuple(Arm(**each) for each in item["arms"])
