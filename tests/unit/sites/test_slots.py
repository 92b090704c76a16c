"""Which sites work where the plan has room for fewer, under races; and sites from before they were counted or keyed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import boto3
import pytest

from noren.errors import Conflict, NorenError
from noren.ids import TenantId, new_id
from noren.sites.keys import site_id_of
from noren.sites.models import Site, SiteStatus
from noren.sites.service import NoRoom, Sites
from noren.sites.store import SiteStore
from noren.tenants.models import Tenant
from tests.unit.sites.conftest import Ticks

OWNER = Tenant(TenantId(new_id("ten", 1_800_000_000)), "Aoi", "free", created_at=1_800_000_000.0)


@pytest.fixture
def owned(sites: Sites, clock: Ticks) -> Callable[[int], list[Site]]:
    """Makes the default site and so many further ones, a minute apart."""

    def make(count: int) -> list[Site]:
        made = [sites.create_default(OWNER)]
        for number in range(count):
            clock.now += 60
            made.append(sites.new(OWNER, f"Site {number}", made[0].prompt_profile))
            sites.add(made[-1], room=100)
        return made

    return make


def statuses(sites: Sites) -> list[str]:
    """Of all, the oldest first; the counters agree."""
    found = sorted(sites.every(OWNER.tenant_id), key=lambda each: each.created_at)
    live = [each for each in found if each.status != "deleted"]
    roster = sites.slots.roster(OWNER.tenant_id)
    assert (roster.live, roster.active) == (len(live), sum(each.status == "active" for each in live))
    return [each.status for each in found]


def moved(site: Site, status: SiteStatus) -> Site:
    return replace(site, status=status, version=site.version + 1)


def test_the_newest_are_frozen_and_the_oldest_come_back_first(sites: Sites, owned: Callable[[int], list[Site]]) -> None:
    made = owned(3)
    sites.fit(OWNER, 2)
    assert statuses(sites) == ["active", "active", "frozen", "frozen"]
    assert sites.get(OWNER.tenant_id, made[3].site_id).status == "frozen", "here at once, elsewhere in half a minute"
    sites.fit(OWNER, 3)
    assert statuses(sites) == ["active", "active", "active", "frozen"]
    sites.fit(OWNER, 9)
    assert statuses(sites) == ["active"] * 4


def test_a_plan_that_shrinks_and_grows_at_once_ends_as_its_last_word(
    sites: Sites, owned: Callable[[int], list[Site]]
) -> None:
    owned(4)
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda limit: sites.fit(OWNER, limit), [1, 5, 2, 4, 3, 1]))
    sites.fit(OWNER, 2)
    assert statuses(sites).count("active") == 2


def test_owners_who_swap_at_once_never_get_more_than_the_plan_has(
    sites: Sites, owned: Callable[[int], list[Site]]
) -> None:
    owned(5)
    sites.fit(OWNER, 2)

    def switch_on(site: Site) -> None:
        with contextlib.suppress(NoRoom, NorenError):
            sites.move(site, moved(site, "active"), room=3)

    frozen = [each for each in sites.every(OWNER.tenant_id) if each.status == "frozen"]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(switch_on, frozen))
    assert statuses(sites).count("active") == 3


def test_a_change_on_top_of_anothers_is_refused_and_counts_nothing(
    sites: Sites, owned: Callable[[int], list[Site]]
) -> None:
    _, second = owned(1)
    sites.save_site(replace(second, name="Renamed"))
    with pytest.raises(Conflict):
        sites.move(second, moved(second, "disabled"), room=9)
    assert statuses(sites) == ["active", "active"]


def test_a_freeze_is_not_undone_by_who_saves_an_older_version(sites: Sites, owned: Callable[[int], list[Site]]) -> None:
    _, second = owned(1)
    sites.fit(OWNER, 1)
    with pytest.raises(Conflict):
        sites.save_site(replace(second, name="Renamed"))
    assert statuses(sites) == ["active", "frozen"]


def test_sites_from_before_they_had_keys_and_were_counted_get_both(sites: Sites, store: SiteStore) -> None:
    site = sites.create_default(OWNER)
    client = boto3.client("dynamodb")
    items = client.scan(TableName="sites")["Items"]
    for item in items:
        key = {name: item[name] for name in ("pk", "sk")}
        if key["sk"]["S"] in ("SITES", "OWNER"):
            client.delete_item(TableName="sites", Key=key)
        elif key["sk"]["S"].startswith("SITE#"):
            old = {
                name: value for name, value in item.items() if name not in ("site_key", "embed_script_id", "version")
            }
            client.put_item(TableName="sites", Item=old)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: sites.slots.roster(OWNER.tenant_id), range(4)))
    assert statuses(sites) == ["active"]
    healed = sites.now(OWNER.tenant_id, site.site_id)
    assert site_id_of(healed.site_key) == site.site_id
    assert healed.embed_script_id
    assert sites.of_id(site.site_id).tenant_id == OWNER.tenant_id
    sites.add(sites.new(OWNER, "Second", site.prompt_profile), room=2)
    with pytest.raises(NoRoom):
        sites.add(sites.new(OWNER, "Third", site.prompt_profile), room=2)
    sites.save_site(replace(healed, name="Renamed"))
