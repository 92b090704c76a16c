"""The embed script and the widget's settings: public, cacheable, and cheap to ask for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from noren.edge.http import Response
from noren.ids import TenantId
from platform_api import widget_build
from tests.unit.platform_api.conftest import BUILD
from tests.unit.platform_api.kit import Platform, access_token
from tests.unit.sites import node

SCRIPT, CONFIG = "/api/v1/embed/script", "/api/v1/embed/config"
SHOP = "https://shop.example"
UNKNOWN = "site_" + "9" * 32


@pytest.fixture
def site_id(platform: Platform) -> str:
    platform.sign_up("mei")
    return platform.services.tenants.get(TenantId(platform.tenant_of("mei"))).default_site_id


def patch(platform: Platform, site_id: str, **body: Any) -> None:
    platform.json("PATCH", f"/api/v1/sites/{site_id}", access_token("mei"), body)


def ask(platform: Platform, path: str, site_id: str, **headers: str) -> Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return platform.call("GET", path, query={"site_id": site_id}, headers=sent)


def test_the_script_starts_the_widget_with_the_sites_settings(platform: Platform, site_id: str) -> None:
    patch(platform, site_id, widget_config={"title": "</script>", "color_primary": "#FFD400"})
    answer = ask(platform, SCRIPT, site_id)
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "public, max-age=60"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert "set-cookie" not in answer.headers
    (ran,) = node.run([answer.body.decode()])
    told = ran["started"]
    site = platform.services.sites.of_id(site_id)
    assert (told["site_id"], told["site_key"], told["embed_id"]) == (site_id, site.site_key, site.embed_script_id)
    assert told["api"] == "https://inference.example"
    assert told["bundle"] == {
        "url": f"https://console.example/widget/{BUILD['bundle_file']}",
        "integrity": BUILD["bundle_integrity"],
    }
    config = told["config"]
    assert (config["title"], config["color_primary"]) == ("</script>", "#ffd400")
    assert json.loads(ask(platform, CONFIG, site_id).body) == told
    assert ask(platform, "/api/embed/script", site_id).body == answer.body
    tolerant = platform.call("GET", SCRIPT, query={"site_id": site_id, "ver": "6.1"})
    assert tolerant.body == answer.body


def test_the_prompts_greeting_welcomes_where_the_site_has_none(platform: Platform, site_id: str) -> None:
    profile_id = platform.services.sites.of_id(site_id).prompt_profile
    said = {"base_version": 1, "content": {"greeting_message": "</script>ようこそ"}, "publish": True}
    platform.json("POST", f"/api/v1/prompts/{profile_id}/versions", access_token("mei"), said)
    platform.time.ahead += 30
    assert "</script>" not in ask(platform, SCRIPT, site_id).body.decode()
    assert json.loads(ask(platform, CONFIG, site_id).body)["config"]["welcome_message"] == "</script>ようこそ"
    patch(platform, site_id, widget_config={"welcome_message": "Hello"})
    assert json.loads(ask(platform, CONFIG, site_id).body)["config"]["welcome_message"] == "Hello"


@pytest.mark.parametrize("path", [SCRIPT, CONFIG])
def test_what_a_browser_has_is_not_sent_again_until_it_changes(platform: Platform, site_id: str, path: str) -> None:
    tag = ask(platform, path, site_id).headers["etag"]
    again = ask(platform, path, site_id, if_none_match=f'W/"x", {tag}')
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag)
    assert again.headers["cache-control"] == "public, max-age=60"
    platform.json("POST", f"/api/v1/sites/{site_id}/embed", access_token("mei"))
    after = ask(platform, path, site_id, if_none_match=tag)
    assert (after.status, after.headers["etag"] != tag) == (200, True)


@pytest.mark.parametrize("site", ["", "x", UNKNOWN, UNKNOWN + "'", "../../x"])
def test_an_unknown_site_is_a_script_that_says_so(platform: Platform, site: str) -> None:
    answer = ask(platform, SCRIPT, site)
    assert (answer.status, answer.headers["content-type"]) == (404, "text/javascript; charset=utf-8")
    (ran,) = node.run([answer.body.decode()])
    assert (ran["started"], ran["left"], len(ran["said"])) == (None, [], 1)
    answer = ask(platform, CONFIG, site)
    assert (answer.status, json.loads(answer.body)["code"]) == (404, "not_found")
    assert platform.call("GET", SCRIPT).status == 404


def test_switched_off_disabled_and_suspended_sites_are_inert(platform: Platform, site_id: str) -> None:
    tenant = TenantId(platform.tenant_of("mei"))

    def is_on() -> bool:
        told = json.loads(ask(platform, CONFIG, site_id).body)
        answer = ask(platform, SCRIPT, site_id)
        (ran,) = node.run([answer.body.decode()])
        assert answer.status == 200
        assert (told == {"enabled": False}) is (ran["started"] is None) is (ran["said"] != [])
        return bool(told["enabled"])

    assert is_on()
    patch(platform, site_id, is_embed_enabled=False)
    assert not is_on()
    patch(platform, site_id, is_embed_enabled=True)
    assert is_on()
    patch(platform, site_id, status="disabled")
    assert not is_on()
    patch(platform, site_id, status="active")
    platform.services.tenants.stop(tenant, "manual", "test", "test")
    assert not is_on()
    platform.services.tenants.lift(tenant, "manual", "test")
    assert is_on()


def test_a_deleted_site_is_unknown(platform: Platform, site_id: str) -> None:
    platform.services.tenants.set_overrides(TenantId(platform.tenant_of("mei")), {"sites": 2}, "test")
    made = platform.json("POST", "/api/v1/sites", access_token("mei"), {"name": "Second"})
    assert ask(platform, SCRIPT, made["site_id"]).status == 200
    platform.json("DELETE", f"/api/v1/sites/{made['site_id']}", access_token("mei"))
    unknown = ask(platform, SCRIPT, UNKNOWN)
    gone = ask(platform, SCRIPT, made["site_id"])
    assert (gone.status, gone.body) == (404, unknown.body)
    assert ask(platform, CONFIG, made["site_id"]).status == 404


def test_settings_are_for_the_pages_that_the_site_allows(platform: Platform, site_id: str) -> None:
    patch(platform, site_id, allowed_domains=[SHOP])
    for origin, readable in ((SHOP, True), ("https://evil.example", False), ("http://shop.example", False)):
        answer = ask(platform, CONFIG, site_id, origin=origin)
        assert answer.headers.get("access-control-allow-origin") == (origin if readable else None)
        assert "Origin" in answer.headers["vary"], "no cache gives one page's answer to another"
    tag = ask(platform, CONFIG, site_id).headers["etag"]
    again = ask(platform, CONFIG, site_id, origin=SHOP, if_none_match=tag)
    assert (again.status, again.headers["access-control-allow-origin"]) == (304, SHOP)


def test_floods_cost_one_read_in_half_a_minute_and_never_a_write(platform: Platform, site_id: str) -> None:
    calls: list[str] = []
    platform.services.dynamodb.meta.events.register(
        "before-parameter-build.dynamodb", lambda model, **_: calls.append(model.name), unique_id="count"
    )
    for site, reads in ((site_id, 0), (UNKNOWN, 1), ("nonsense", 0)):
        ask(platform, SCRIPT, site) if not reads else None
        calls.clear()
        for _ in range(20):
            ask(platform, SCRIPT, site, origin="https://evil.example")
        assert calls == ["GetItem"] * reads
    platform.time.ahead += 31
    calls.clear()
    ask(platform, SCRIPT, site_id)
    ask(platform, SCRIPT, UNKNOWN)
    assert set(calls) <= {"GetItem", "Query"}
    platform.services.dynamodb.meta.events.unregister("before-parameter-build.dynamodb", unique_id="count")


def test_ids_that_are_tried_out_push_no_known_site_out(platform: Platform, site_id: str) -> None:
    ask(platform, SCRIPT, site_id)
    owners = platform.services.sites._owners
    for number in range(30):
        ask(platform, SCRIPT, f"site_{number + 1:032x}")
    assert owners.fresh(site_id)
    assert len(owners._entries) == 1


def test_without_a_build_it_says_what_to_do(
    platform: Platform, site_id: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(widget_build, "MANIFEST", tmp_path / "missing.json")
    for path in (SCRIPT, CONFIG):
        answer = ask(platform, path, site_id)
        assert answer.status == 503
        assert "make setup" in json.loads(answer.body)["detail"]
    assert ask(platform, SCRIPT, UNKNOWN).status == 404
