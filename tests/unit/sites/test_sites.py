"""Sites and profiles on the embedded cloud."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from noren.errors import Conflict, NotFound
from noren.ids import TenantId, new_id
from noren.sites.keys import new_key
from noren.sites.models import Site
from noren.sites.service import Sites
from noren.sites.store import SiteStore
from noren.tenants.models import Tenant
from tests.unit.sites.conftest import Ticks


def tenant(name: str = "Aoi") -> Tenant:
    return Tenant(TenantId(new_id("ten")), name, "free", created_at=1_800_000_000.0)


def tell(sites: Sites, site: Site, **content: Any) -> None:
    """Publish a second version of what the site answers by."""
    sites.prompts.save(site.tenant_id, site.prompt_profile, 1, content, "", "user:1", publish=True)


def test_racing_creators_make_one_default_site(sites: Sites, store: SiteStore, clock: Ticks) -> None:
    owner = tenant()
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: Sites(store, clock).create_default(owner), range(16)))
    assert len({site.site_id for site in made}) == 1
    prompt = sites.profile(sites.get(owner.tenant_id, made[0].site_id)).published
    assert prompt.version == 1
    assert "<facts>" in prompt.content.guardrail_prompt


def test_creating_again_keeps_what_was_edited(sites: Sites) -> None:
    owner = tenant()
    site = sites.create_default(owner)
    tell(sites, site, facts="Open from nine.")
    sites.create_default(owner)
    assert sites.profile(site).published.content.facts == "Open from nine."


def test_a_foreign_site_is_like_a_missing_one(sites: Sites) -> None:
    mine, other = tenant("Aoi"), tenant("Beni")
    theirs = sites.create_default(other)
    seen = []
    for site_id in (theirs.site_id, new_id("site"), "SITE#x", ""):
        with pytest.raises(NotFound) as caught:
            sites.get(mine.tenant_id, site_id)
        seen.append((caught.value.code, caught.value.detail))
    assert len(set(seen)) == 1


def test_a_save_elsewhere_is_seen_within_30_seconds(sites: Sites, store: SiteStore, clock: Ticks) -> None:
    site = sites.create_default(tenant())
    assert sites.profile(site).published.content.temperature == 0.7
    elsewhere = Sites(store, clock)
    tell(elsewhere, site, temperature=0.25)
    elsewhere.save_site(replace(site, daily_quota=7, default_model="gpt"))
    assert elsewhere.get(site.tenant_id, site.site_id).daily_quota == 7
    clock.now += 30
    prompt = sites.profile(site).published
    assert (prompt.content.temperature, prompt.version) == (0.25, 2)
    assert sites.get(site.tenant_id, site.site_id).default_model == "gpt"


def test_a_key_leads_to_its_site_until_it_is_another(sites: Sites, clock: Ticks) -> None:
    site = sites.create_default(tenant())
    assert sites.of_key(site.site_key) == site
    forged = site.site_key[:-1] + ("0" if site.site_key[-1] != "0" else "1")
    for key in (forged, "", "pk_x", new_key(new_id("site"))):
        with pytest.raises(NotFound):
            sites.of_key(key)
    fresh = sites.save_site(
        replace(site, site_key=new_key(site.site_id), previous_key=site.site_key, previous_key_until=clock.now + 3600)
    )
    assert {sites.of_key(key).version for key in (fresh.site_key, site.site_key)} == {2}
    clock.now += 3600
    with pytest.raises(NotFound):
        sites.of_key(site.site_key)


def test_of_two_changes_of_a_site_the_second_is_refused(sites: Sites) -> None:
    site = sites.create_default(tenant())
    sites.save_site(replace(site, name="first"))
    with pytest.raises(Conflict):
        sites.save_site(replace(site, name="second"))


def test_a_deleted_site_is_gone(sites: Sites) -> None:
    site = sites.create_default(tenant())
    sites.save_site(replace(site, status="deleted"))
    with pytest.raises(NotFound):
        sites.get(site.tenant_id, site.site_id)
