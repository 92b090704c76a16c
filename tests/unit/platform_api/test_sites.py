"""Sites over the platform API: who may, how many, keys, deletion and restoration, snippets."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from noren.ids import TenantId
from noren.sites import management
from tests.unit.platform_api import changes
from tests.unit.platform_api.conftest import BUILD
from tests.unit.platform_api.kit import Platform, access_token

OWNER = "mei"


@pytest.fixture
def shop(platform: Platform) -> Platform:
    """Mei's tenant, with room for three sites."""
    platform.sign_up(OWNER)
    room(platform, 3)
    return platform


def owner() -> str:
    """Mei's token, good for longer than deleted sites are kept."""
    return access_token(OWNER, exp=int(time.time()) + 60 * 86400)


def tenant_id(platform: Platform) -> TenantId:
    return TenantId(platform.tenant_of(OWNER))


def room(platform: Platform, sites: int | None) -> None:
    """As a plan with so many sites gives."""
    platform.services.tenants.set_overrides(tenant_id(platform), {"sites": sites}, "test")


def default_id(platform: Platform) -> str:
    return platform.services.tenants.get(tenant_id(platform)).default_site_id


def make(platform: Platform, name: str, **more: Any) -> dict[str, Any]:
    platform.time.ahead += 1
    made: dict[str, Any] = platform.json("POST", "/api/v1/sites", owner(), {"name": name, **more})
    return made


def refused(platform: Platform, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
    answer = platform.call(method, path, owner(), body)
    return answer.status, json.loads(answer.body)


def patch(platform: Platform, site_id: str, body: Any) -> dict[str, Any]:
    changed: dict[str, Any] = platform.json("PATCH", f"/api/v1/sites/{site_id}", owner(), body)
    return changed


def listed(platform: Platform, **query: str) -> list[str]:
    page = platform.json("GET", "/api/v1/sites", owner(), query=query)
    return [each["name"] for each in page["items"]]


def counts(platform: Platform) -> tuple[int, int]:
    """Live and active sites: as counted, which must be as they are."""
    roster = platform.services.sites.slots.roster(tenant_id(platform))
    live = [each for each in platform.services.sites.every(tenant_id(platform)) if each.status != "deleted"]
    assert (roster.live, roster.active) == (len(live), sum(each.status == "active" for each in live))
    return roster.live, roster.active


def test_a_site_is_made_shown_and_changed(shop: Platform) -> None:
    made = make(shop, "Shop", domains=["Shop.Example"], allowed_domains=["shop.example", "https://*.shop.example:8443"])
    first = shop.json("GET", f"/api/v1/sites/{default_id(shop)}", owner())
    assert (first["is_default"], made["is_default"]) == (True, False)
    assert made["prompt_profile"] == first["prompt_profile"]
    assert (made["domains"], made["allowed_domains"]) == (
        ["shop.example"],
        ["https://shop.example", "https://*.shop.example:8443"],
    )
    assert made["site_key"].startswith("pk_" + made["site_id"].removeprefix("site_"))
    assert (made["status"], made["is_embed_enabled"], made["created_by"]) == ("active", True, f"user:{OWNER}")
    assert made["widget_config"]["position"] == "bottom-right"

    changed = patch(
        shop,
        made["site_id"],
        {"name": "Store", "daily_quota": 7, "allow_server_calls": True, "widget_config": {"radius": 4}},
    )
    assert (changed["name"], changed["daily_quota"], changed["allow_server_calls"]) == ("Store", 7, True)
    changed = patch(shop, made["site_id"], {"daily_quota": None, "widget_config": {"title": "Ask"}})
    assert changed["daily_quota"] is None
    assert (changed["widget_config"]["radius"], changed["widget_config"]["title"]) == (4, "Ask")
    assert (changed["updated_by"], changed["version"]) == (f"user:{OWNER}", 3)
    assert shop.json("GET", f"/api/v1/sites/{made['site_id']}", owner()) == changed
    stored = shop.services.sites.now(tenant_id(shop), made["site_id"])
    assert stored.widget_config == {"radius": 4, "title": "Ask"}, "defaults are not stored"


def test_two_who_change_at_once_are_told_apart_by_the_version(shop: Platform) -> None:
    site = make(shop, "Shop")
    path = f"/api/v1/sites/{site['site_id']}"
    patch(shop, site["site_id"], {"name": "First", "version": 1})
    status, problem = refused(shop, "PATCH", path, {"name": "Second", "version": 1})
    assert (status, problem["code"]) == (409, "conflict")
    assert patch(shop, site["site_id"], {"name": "Third"})["version"] == 3


def test_changes_of_different_fields_at_once_all_stand(shop: Platform) -> None:
    site_id = make(shop, "Shop")["site_id"]
    bodies = [{"name": "Other"}, {"daily_quota": 3}, {"allow_server_calls": True}]
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda body: shop.call("PATCH", f"/api/v1/sites/{site_id}", owner(), body), bodies))
    assert {each.status for each in answers} == {200}
    site = shop.json("GET", f"/api/v1/sites/{site_id}", owner())
    assert (site["name"], site["daily_quota"], site["allow_server_calls"], site["version"]) == ("Other", 3, True, 4)


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"default_model": "claude-opus"}, 422, "unknown_model"),
        ({"prompt_profile": "prof_" + "0" * 32}, 422, "unknown_profile"),
        ({"daily_quota": 31}, 422, "above_plan"),
        ({"daily_quota": -1}, 400, "daily_quota"),
        ({"status": "frozen"}, 400, "status"),
        ({"status": "deleted"}, 400, "status"),
        ({"site_key": "pk_mine"}, 400, "site_key"),
        ({"allowed_domains": ["https://shop.example/path"]}, 400, "allowed_domains.0"),
        ({"allowed_domains": ["*"]}, 400, "allowed_domains.0"),
        ({"domains": ["https://shop.example"]}, 400, "domains.0"),
        ({"domains": ["127.0.0.1"]}, 400, "domains.0"),
        ({"domains": ["localhost"]}, 400, "domains.0"),
        ({"domains": ["shop.example:8080"]}, 400, "domains.0"),
        ({"domains": ["x.example"] * 51}, 400, "domains"),
        ({"widget_config": {"title": "a\u202eb"}}, 400, "widget_config.title"),
        ({"widget_config": {"surplus": 1}}, 400, "widget_config.surplus"),
        ({"widget_config": None, "version": 1}, 200, ""),
        ({"version": 1}, 400, ""),
        ({}, 400, ""),
    ],
)
def test_what_does_not_fit_is_refused_by_field(shop: Platform, body: Any, status: int, said: str) -> None:
    site_id = default_id(shop)
    before = shop.services.sites.now(tenant_id(shop), site_id)
    answer = shop.call("PATCH", f"/api/v1/sites/{site_id}", owner(), body)
    assert answer.status == status, answer.body
    problem = json.loads(answer.body)
    if status == 422:
        assert problem["code"] == said
    elif said:
        assert [each["field"] for each in problem["errors"]] == [said]
    assert shop.services.sites.now(tenant_id(shop), site_id) == before


def test_another_tenants_profile_is_a_missing_one(shop: Platform) -> None:
    shop.sign_up("rival")
    rivals = shop.services.tenants.get(TenantId(shop.tenant_of("rival")))
    profile = shop.services.sites.get(rivals.tenant_id, rivals.default_site_id).prompt_profile
    answers = [
        refused(shop, "PATCH", f"/api/v1/sites/{default_id(shop)}", {"prompt_profile": each})
        for each in (profile, "prof_" + "0" * 32)
    ]
    assert answers[0] == answers[1]


def test_the_plans_number_holds_and_the_plan_that_fits_is_named(platform: Platform) -> None:
    platform.sign_up(OWNER)
    status, problem = refused(platform, "POST", "/api/v1/sites", {"name": "Second"})
    assert (status, problem["code"], problem["plan"]) == (402, "site_limit", "starter")
    assert problem["price"] == {"amount": 7_800, "currency": "JPY"}
    assert problem["upgrade_url"] == "https://console.example/billing"
    assert "room for 1 site:" in problem["detail"]
    platform.services.tenants.set_plan(tenant_id(platform), "starter", "test")
    for name in ("Second", "Third"):
        make(platform, name)
    status, problem = refused(platform, "POST", "/api/v1/sites", {"name": "Fourth"})
    assert (status, problem["plan"]) == (402, "pro")
    assert counts(platform) == (3, 3)


def test_of_many_made_at_once_as_many_come_to_be_as_there_is_room_for(shop: Platform) -> None:
    def one(number: int) -> int:
        return shop.call("POST", "/api/v1/sites", owner(), {"name": f"Site {number}"}).status

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(one, range(8)))
    assert sorted(statuses) == [201, 201, 402, 402, 402, 402, 402, 402]
    assert counts(shop) == (3, 3)


def test_a_deleted_site_makes_room_until_it_is_restored(shop: Platform) -> None:
    second, third = make(shop, "Second"), make(shop, "Third")
    token = owner()
    path = f"/api/v1/sites/{second['site_id']}"
    assert shop.call("DELETE", path, token).status == 204
    assert counts(shop) == (2, 2)
    for method, where, body in (
        ("GET", path, None),
        ("PATCH", path, {"name": "x"}),
        ("DELETE", path, None),
        ("POST", f"{path}/key", {}),
        ("POST", f"{path}/embed", None),
        ("GET", f"{path}/snippets", None),
    ):
        assert refused(shop, method, where, body)[0] == 404, where
    assert (listed(shop), listed(shop, status="deleted")) == (["Third", OWNER], ["Second"])
    fourth = make(shop, "Fourth")
    status, problem = refused(shop, "POST", f"{path}/restore")
    assert (status, problem["code"]) == (402, "site_limit")
    assert "delete another first" in problem["detail"]
    shop.json("DELETE", f"/api/v1/sites/{fourth['site_id']}", token)
    restored = shop.json("POST", f"{path}/restore", token)
    assert (restored["status"], restored["deleted_at"], restored["restorable_until"]) == ("active", None, None)
    assert restored["site_key"] == second["site_key"]
    assert refused(shop, "POST", f"{path}/restore")[1]["code"] == "not_deleted"
    assert counts(shop) == (3, 3)
    assert listed(shop) == ["Third", "Second", OWNER]
    assert third["site_id"] > second["site_id"]


def test_of_many_restored_at_once_the_number_holds(shop: Platform) -> None:
    gone = [make(shop, "Second"), make(shop, "Third")]
    for each in gone:
        shop.json("DELETE", f"/api/v1/sites/{each['site_id']}", owner())
    patch(shop, make(shop, "Fourth")["site_id"], {"status": "disabled"})  # makes no room: it is there
    paths = [f"/api/v1/sites/{each['site_id']}/restore" for each in gone] * 3
    with ThreadPoolExecutor(6) as pool:
        statuses = list(pool.map(lambda path: shop.call("POST", path, owner()).status, paths))
    assert statuses.count(200) == 1
    assert counts(shop) == (3, 2)


def test_a_switched_off_site_comes_back_switched_off(shop: Platform) -> None:
    path = f"/api/v1/sites/{make(shop, 'Second', is_embed_enabled=False)['site_id']}"
    patch(shop, path.rpartition("/")[2], {"status": "disabled"})
    shop.json("DELETE", path, owner())
    assert shop.json("POST", f"{path}/restore", owner())["status"] == "disabled"
    assert counts(shop) == (2, 1)


def test_after_thirty_days_nothing_is_restored(shop: Platform) -> None:
    path = f"/api/v1/sites/{make(shop, 'Second')['site_id']}"
    shop.json("DELETE", path, owner())
    shop.time.ahead += management.RESTORABLE_SECONDS - 60
    assert listed(shop, status="deleted") == ["Second"]
    shop.time.ahead += 120
    assert listed(shop, status="deleted") == []
    missing = refused(shop, "POST", f"/api/v1/sites/site_{'0' * 32}/restore")
    assert refused(shop, "POST", f"{path}/restore") == missing
    assert missing[0] == 404


def test_the_default_site_stays(shop: Platform) -> None:
    status, problem = refused(shop, "DELETE", f"/api/v1/sites/{default_id(shop)}")
    assert (status, problem["code"]) == (409, "default_site")
    assert counts(shop) == (1, 1)


def test_a_smaller_plan_freezes_the_newest_and_the_owner_swaps(shop: Platform) -> None:
    second, third = make(shop, "Second")["site_id"], make(shop, "Third")["site_id"]
    room(shop, 2)
    assert counts(shop) == (3, 2)
    assert listed(shop, status="frozen") == ["Third"]
    status, problem = refused(shop, "PATCH", f"/api/v1/sites/{third}", {"status": "active"})
    assert (status, problem["code"], problem["plan"]) == (402, "site_limit", "starter")
    assert "switch another one off first" in problem["detail"]
    patch(shop, second, {"status": "disabled"})
    assert patch(shop, third, {"status": "active"})["status"] == "active"
    assert refused(shop, "PATCH", f"/api/v1/sites/{second}", {"status": "active"})[0] == 402
    assert counts(shop) == (3, 2)
    room(shop, 1)
    assert (listed(shop, status="active"), listed(shop, status="disabled")) == ([OWNER], ["Second"])
    room(shop, 3)
    assert listed(shop, status="active") == ["Third", OWNER]
    assert listed(shop, status="disabled") == ["Second"], "what its owner switched off stays off"


def test_the_default_site_works_whatever_the_plan_says(shop: Platform) -> None:
    make(shop, "Second")
    room(shop, 0)
    assert listed(shop, status="active") == [OWNER]


def test_a_deleted_site_gives_its_place_to_a_frozen_one(shop: Platform) -> None:
    second = make(shop, "Second")["site_id"]
    make(shop, "Third")
    room(shop, 2)
    shop.json("DELETE", f"/api/v1/sites/{second}", owner())
    assert listed(shop, status="active") == ["Third", OWNER]


def test_lists_are_paged_newest_first(shop: Platform) -> None:
    room(shop, 6)
    for number in range(4):
        made = make(shop, f"Site {number}")
        if number % 2:
            shop.json("DELETE", f"/api/v1/sites/{made['site_id']}", owner())
    seen, cursor = [], ""
    while True:
        query = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = shop.json("GET", "/api/v1/sites", owner(), query=query)
        seen += [each["name"] for each in page["items"]]
        cursor = page["next_cursor"]
        if not cursor:
            break
    assert seen == ["Site 2", "Site 0", OWNER]


def test_a_rotated_key_overlaps_and_can_be_revoked(shop: Platform) -> None:
    sites = shop.services.sites
    first = shop.json("GET", f"/api/v1/sites/{default_id(shop)}", owner())
    path = f"/api/v1/sites/{first['site_id']}/key"

    def good(key: str) -> bool:
        return sites.of_key(key).site_id == first["site_id"] if key else False

    second = shop.json("POST", path, owner(), {"overlap_hours": 2})
    assert second["site_key"] != first["site_key"]
    assert second["previous_key_until"]
    assert good(first["site_key"])
    assert good(second["site_key"])
    shop.time.ahead += 2 * 3600 + 1
    assert shop.json("GET", f"/api/v1/sites/{first['site_id']}", owner())["previous_key_until"] is None
    for key in (first["site_key"],):
        with pytest.raises(Exception, match="no such site"):
            good(key)

    third = shop.json("POST", path, owner(), {})
    assert good(second["site_key"])
    revoked = shop.json("DELETE", f"{path}/previous", owner())
    assert (revoked["site_key"], revoked["previous_key_until"]) == (third["site_key"], None)
    with pytest.raises(Exception, match="no such site"):
        good(second["site_key"])
    fourth = shop.json("POST", path, owner(), {"overlap_hours": 0})
    assert fourth["previous_key_until"] is None
    with pytest.raises(Exception, match="no such site"):
        good(third["site_key"])
    assert shop.json("DELETE", f"{path}/previous", owner())["site_key"] == fourth["site_key"]


def test_a_repeated_rotation_is_one(shop: Platform) -> None:
    path, once = f"/api/v1/sites/{default_id(shop)}/key", {"idempotency-key": "once"}
    keys = {shop.json("POST", path, owner(), {}, headers=once)["site_key"] for _ in range(3)}
    assert len(keys) == 1


def test_the_embed_id_is_rotated(shop: Platform) -> None:
    path = f"/api/v1/sites/{default_id(shop)}"
    before = shop.json("GET", path, owner())
    after = shop.json("POST", f"{path}/embed", owner())
    assert after["embed_script_id"] != before["embed_script_id"]
    assert after["site_key"] == before["site_key"]


def test_snippets_are_ready_to_paste(shop: Platform) -> None:
    site_id = default_id(shop)
    found = shop.json("GET", f"/api/v1/sites/{site_id}/snippets", owner())
    src = f"https://platform.example/api/embed/script?site_id={site_id}"
    assert found["evergreen"] == {"src": src, "html": f'<script src="{src}" async></script>'}
    pinned, panel = (f"https://console.example/widget/{BUILD[name]}" for name in ("loader_file", "bundle_file"))
    assert found["pinned"]["html"] == (
        f'<script src="{pinned}" integrity="{BUILD["loader_integrity"]}" crossorigin="anonymous"'
        f' data-site-id="{site_id}" data-api="https://platform.example" data-panel="{panel}"'
        f' data-panel-integrity="{BUILD["bundle_integrity"]}" async></script>'
    )
    parts = {name: value for name, value in found["pinned"].items() if name != "html"}
    assert parts == {
        "src": pinned,
        "integrity": BUILD["loader_integrity"],
        "data_site_id": site_id,
        "data_api": "https://platform.example",
        "data_panel": panel,
        "data_panel_integrity": BUILD["bundle_integrity"],
    }


def test_viewers_read_and_editors_change(platform: Platform) -> None:
    changes.people(platform)
    where = {"x-tenant-id": platform.tenant_of(changes.OWNER)}
    mate, boss = access_token(changes.MATE), access_token(changes.OWNER)
    path = f"/api/v1/sites/{platform.services.tenants.get(TenantId(where['x-tenant-id'])).default_site_id}"
    assert platform.call("GET", path, mate, headers=where).status == 200
    assert platform.call("PATCH", path, mate, {"name": "Mine"}, headers=where).status == 403
    platform.json("PATCH", f"/api/v1/members/{changes.MATE}", boss, {"role": "editor"})
    assert platform.call("PATCH", path, mate, {"name": "Ours"}, headers=where).status == 200
    for scope, status in (("read", 403), ("admin", 200)):
        key = platform.json("POST", "/api/v1/api-keys", boss, {"name": "k", "scopes": [scope]})["secret"]
        assert platform.call("PATCH", path, key, {"name": "By a server"}).status == status


def test_a_suspended_tenant_makes_no_site(shop: Platform) -> None:
    gone = make(shop, "Second")["site_id"]
    shop.json("DELETE", f"/api/v1/sites/{gone}", owner())
    shop.services.tenants.stop(tenant_id(shop), "manual", "test", "test")
    for path, body in (("/api/v1/sites", {"name": "New"}), (f"/api/v1/sites/{gone}/restore", None)):
        status, problem = refused(shop, "POST", path, body)
        assert (status, problem["code"]) == (403, "suspended")


def test_sites_made_and_deleted_again_are_rate_limited(shop: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform_api.routes_sites.MADE_PER_HOUR", 2)
    for _ in range(2):
        shop.json("DELETE", f"/api/v1/sites/{make(shop, 'Again')['site_id']}", owner())
    assert refused(shop, "POST", "/api/v1/sites", {"name": "Again"})[0] == 429
