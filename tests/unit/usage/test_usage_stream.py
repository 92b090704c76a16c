"""The function on the usage table's stream: what it marks, what it names when something fails."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from noren.usage.models import UsageRecord
from tests.unit.usage.world import NOW, World, expected
from usage_stream import main


class Context:
    """The part of Lambda's context that the function uses."""

    left = 300_000

    def get_remaining_time_in_millis(self) -> int:
        return self.left


def event(world: World, *records: UsageRecord, start: int = 100) -> dict[str, Any]:
    """What DynamoDB's stream tells of the records."""
    told = []
    for number, each in enumerate(records):
        key = {"pk": {"S": f"USE#{each.tenant_id}"}, "sk": {"S": f"U#{each.request_id}"}}
        image = world.client.get_item(TableName="usage", Key=key)["Item"]
        change = {"Keys": key, "NewImage": image, "SequenceNumber": str(start + number)}
        told.append({"eventName": "INSERT", "dynamodb": change})
    return {"Records": told}


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch, world: World) -> set[str]:
    """Tenants whose summaries can't be made."""
    tenants: set[str] = set()

    def refresh(tenant_id: Any, dirty: Any) -> None:
        if tenant_id in tenants:
            raise RuntimeError("poison")
        world.consumer(world.client).refresh(tenant_id, dirty)

    monkeypatch.setattr(main, "SERVICES", SimpleNamespace(usage_summaries=SimpleNamespace(refresh=refresh)))
    return tenants


def test_records_of_a_batch_become_summaries(world: World, failing: set[str]) -> None:
    records = [world.record(NOW + number * 400, site_id=world.sites[number % 2]) for number in range(6)]
    world.put(*records)
    assert main.handler(event(world, *records), Context()) == {"batchItemFailures": []}
    assert world.stored_days() == expected(records, "Asia/Tokyo")


def test_summaries_and_removals_mark_nothing(world: World, failing: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    world.add(world.record(NOW))
    written = world.client.query(
        TableName="usage",
        KeyConditionExpression="pk = :p",
        ExpressionAttributeValues={":p": {"S": f"SUM#{world.tenant}"}},
    )["Items"]
    assert len(written) == 4
    changes = [{"NewImage": item, "SequenceNumber": "1"} for item in written]
    changes.append({"Keys": {"pk": {"S": f"USE#{world.tenant}"}}, "OldImage": {}, "SequenceNumber": "2"})
    failing.add(world.tenant)
    assert main.handler({"Records": [{"dynamodb": each} for each in changes]}, Context()) == {"batchItemFailures": []}


def test_a_tenant_that_fails_is_named_by_its_first_record_and_holds_up_nobody(world: World, failing: set[str]) -> None:
    other = World(world.client)
    ours, theirs = [world.record(NOW), world.record(NOW + 1)], [other.record(NOW), other.record(NOW + 1)]
    world.put(*ours)
    other.put(*theirs)
    failing.add(world.tenant)
    mixed = event(world, theirs[0], ours[0], theirs[1], ours[1])
    assert main.handler(mixed, Context()) == {"batchItemFailures": [{"itemIdentifier": "101"}]}
    assert other.stored_days() == expected(theirs, "Asia/Tokyo")
    assert world.store.zoning(world.tenant) is None
    failing.clear()
    assert main.handler(mixed, Context()) == {"batchItemFailures": []}
    assert world.stored_days() == expected(ours, "Asia/Tokyo")


def test_what_there_is_no_time_for_comes_again(world: World, failing: set[str]) -> None:
    record = world.record(NOW)
    world.put(record)
    late = Context()
    late.left = 30_000
    assert main.handler(event(world, record), late) == {"batchItemFailures": [{"itemIdentifier": "100"}]}
