"""What was deleted 30 days ago goes for good, with all that lies under its keys; nothing else does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import boto3
import pytest

from noren.errors import NotFound
from noren.ids import TenantId, new_id
from noren.sites.models import Site
from noren.sites.purge import MARGIN_SECONDS, SitePurge
from noren.sites.purge_store import Deleted, PurgeStore
from noren.sites.service import Sites
from noren.sites.store import SiteStore
from noren.tables import tenant_key, to_item
from noren.tenants.models import Tenant
from tests.unit.sites.conftest import Ticks

OWNER = Tenant(TenantId(new_id("ten", 1_800_000_000)), "Aoi", "free", created_at=1_800_000_000.0)
DAY = 86400
KINDS = ("FB", "CANNED", "CONV")
"""What the domain files by site: feedback, canned responses, conversations."""


@pytest.fixture
def purge(store: SiteStore, clock: Ticks) -> SitePurge:
    return SitePurge(PurgeStore(boto3.client("dynamodb"), "sites"), lambda *_: None, clock)


@pytest.fixture
def pair(sites: Sites) -> tuple[Site, Site]:
    """The default site and a further one, each with something of every kind."""
    first = sites.create_default(OWNER)
    second = sites.new(OWNER, "Second", first.prompt_profile)
    sites.add(second, room=2)
    client = boto3.client("dynamodb")
    for site in (first, second):
        for kind in KINDS:
            for number in range(30):  # more than one batch
                item = {"pk": tenant_key(OWNER.tenant_id, kind, site.site_id), "sk": f"x{number:02d}"}
                client.put_item(TableName="sites", Item=to_item(item))
    return first, second


def items(site: Site) -> int:
    """How many items name the site."""
    return sum(site.site_id in str(each) for each in boto3.client("dynamodb").scan(TableName="sites")["Items"])


def delete(sites: Sites, site: Site, clock: Ticks) -> Site:
    gone = replace(site, status="deleted", deleted_at=clock.now, version=site.version + 1)
    sites.move(site, gone, room=0)
    return gone


def test_a_deleted_site_goes_whole_after_thirty_days_and_no_other(
    sites: Sites, purge: SitePurge, pair: tuple[Site, Site], clock: Ticks
) -> None:
    first, second = pair
    delete(sites, second, clock)
    before = items(first), items(second)
    clock.now += 30 * DAY
    assert (purge.run(60).sites, (items(first), items(second))) == (0, before)
    clock.now += MARGIN_SECONDS + 1
    assert (purge.run(60).sites, (items(first), items(second))) == (1, (before[0], 0))
    assert purge.run(60).sites == 0
    with pytest.raises(NotFound):
        sites.now(OWNER.tenant_id, second.site_id)
    clock.now += 31
    with pytest.raises(NotFound):
        sites.of_id(second.site_id)
    assert sites.slots.roster(OWNER.tenant_id).live == 1


def test_a_restored_site_is_not_purged(sites: Sites, purge: SitePurge, pair: tuple[Site, Site], clock: Ticks) -> None:
    second = pair[1]
    gone = delete(sites, second, clock)
    before = items(second)
    back = replace(gone, status="active", deleted_at=None, version=gone.version + 1)
    sites.move(gone, back, room=2)
    assert items(second) == before - 1, "its mark is gone"
    clock.now += 40 * DAY
    assert purge.run(60).sites == 0
    delete(sites, back, clock)
    clock.now += 29 * DAY
    assert purge.run(60).sites == 0, "the days count from the last deletion"


def test_what_the_site_knew_goes_ahead_of_its_mark(sites: Sites, pair: tuple[Site, Site], clock: Ticks) -> None:
    second = delete(sites, pair[1], clock)
    clock.now += 31 * DAY
    asked: list[tuple[str, str]] = []

    def remove(tenant_id: TenantId, site_id: str) -> None:
        asked.append((tenant_id, site_id))
        if len(asked) == 1:
            raise OSError("the bucket is away")

    purge = SitePurge(PurgeStore(boto3.client("dynamodb"), "sites"), remove, clock)
    assert (purge.run(60).failures, purge.run(60).failures, purge.run(60).sites) == (1, 0, 0)
    assert asked == [(second.tenant_id, second.site_id)] * 2


@pytest.mark.parametrize("dies_in", ["remove_contents", "remove_traces"])
def test_a_purge_that_dies_half_way_is_finished_by_the_next(
    sites: Sites, purge: SitePurge, pair: tuple[Site, Site], clock: Ticks, monkeypatch: Any, dies_in: str
) -> None:
    second = pair[1]
    delete(sites, second, clock)
    clock.now += 31 * DAY

    def dies(*_: Any) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(PurgeStore, dies_in, dies)
        assert purge.run(60).failures == 1
        assert items(second) > 0
    assert (purge.run(60).failures, items(second)) == (0, 0)


class Sparing:
    """A DynamoDB client that takes half of each batch, or, where that is said, never anything."""

    def __init__(self, never: bool = False) -> None:
        self._client, self._never = boto3.client("dynamodb"), never

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def batch_write_item(self, RequestItems: dict[str, list[Any]]) -> Any:
        ((table, requests),) = RequestItems.items()
        taken = 0 if self._never else max(1, len(requests) // 2)
        if taken:
            self._client.batch_write_item(RequestItems={table: requests[:taken]})
        left = requests[taken:]
        return {"UnprocessedItems": {table: left} if left else {}}


@pytest.mark.parametrize("never", [False, True])
def test_what_storage_leaves_over_is_tried_again_ever_later(
    sites: Sites, pair: tuple[Site, Site], clock: Ticks, never: bool
) -> None:
    second = pair[1]
    delete(sites, second, clock)
    clock.now += 31 * DAY
    waits: list[float] = []
    client: Any = Sparing(never)
    purged = SitePurge(PurgeStore(client, "sites", waits.append), lambda *_: None, clock).run(60)
    assert (purged.failures, items(second) > 0) == (int(never), never)
    assert all(0 < wait <= 1.5 for wait in waits)
    if never:
        assert waits[3] > waits[0], "they grow"
        assert len(waits) < 10, "there is an end to it: the next run goes on"


def test_a_stray_mark_takes_no_living_site_away(
    sites: Sites, purge: SitePurge, pair: tuple[Site, Site], clock: Ticks
) -> None:
    second = pair[1]
    assert not purge._store.remove_site(Deleted(OWNER.tenant_id, second.site_id, {}))
    assert sites.now(OWNER.tenant_id, second.site_id).status == "active"


def test_what_does_not_fit_into_the_time_is_the_next_runs(
    sites: Sites, purge: SitePurge, pair: tuple[Site, Site], clock: Ticks
) -> None:
    delete(sites, pair[1], clock)
    clock.now += 31 * DAY
    assert purge.run(0).finished is False
    assert purge.run(60).finished is True
