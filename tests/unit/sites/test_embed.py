"""What a page gets of a site: an allow-list of fields, and a script that no setting can break out of."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from noren.ids import TenantId
from noren.sites import embed
from noren.sites.models import Site, SiteStatus
from noren.sites.widget import Widget
from noren.tenants.models import Stop, Tenant
from tests.unit.sites import node
from tests.unit.sites.test_widget import RIGHT, WRONG

TENANT = Tenant(TenantId("ten_" + "1" * 32), "Aoi", "free", created_at=0.0)
SITE = Site(
    "site_" + "2" * 32,
    TENANT.tenant_id,
    "Secret project",
    "prof_" + "3" * 32,
    0.0,
    site_key="pk_" + "2" * 32 + "_" + "4" * 24,
    previous_key="pk_" + "2" * 32 + "_" + "5" * 24,
    previous_key_until=9e9,
    default_model="gpt-secret",
    domains=("crawl.secret.example",),
    allowed_domains=("https://allowed.secret.example",),
    embed_script_id="emb_" + "6" * 32,
    created_by="user:somebody",
    updated_by="user:somebody",
)
BUNDLE = embed.Bundle("https://console.example/widget/panel.js", "sha384-x")
API = "https://inference.example/"


def script_of(config: dict[str, Any]) -> str:
    return embed.script(node.LOADER, embed.published(replace(SITE, widget_config=config), TENANT, API, BUNDLE))


def test_the_world_is_told_the_allowed_fields_alone() -> None:
    told = embed.published(SITE, TENANT, API, BUNDLE)
    assert told.keys() == {"enabled", "site_id", "site_key", "embed_id", "api", "config", "bundle"}
    assert told["config"].keys() == Widget.model_fields.keys()
    assert (told["api"], told["embed_id"]) == ("https://inference.example", SITE.embed_script_id)
    text = embed.to_script(told)
    private = {each.name for each in fields(Site)} - {"site_id", "site_key", "embed_script_id", "widget_config"}
    for name in private:
        value = getattr(SITE, name)
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(each, str) and len(each) > 6:
                assert each not in text, name


@pytest.mark.parametrize("change", [{"is_embed_enabled": False}, {"status": "disabled"}, {"status": "frozen"}])
def test_a_site_that_is_off_says_one_line_and_nothing_of_itself(change: dict[str, Any]) -> None:
    told = embed.published(replace(SITE, **change), TENANT, API, BUNDLE)
    assert told == {"enabled": False}
    (ran,) = node.run([embed.script(node.LOADER, told)])
    assert (ran["started"], ran["left"], len(ran["said"])) == (None, [], 1)


@pytest.mark.parametrize(("stops", "is_on"), [({"manual"}, False), ({"billing"}, False), ({"quota"}, True)])
def test_a_suspended_tenants_widget_is_off(stops: set[Stop], is_on: bool) -> None:
    tenant = replace(TENANT, stops=frozenset(stops))
    assert embed.published(SITE, tenant, API, BUNDLE)["enabled"] is is_on


def test_of_each_status_one_is_on() -> None:
    statuses: tuple[SiteStatus, ...] = ("active", "disabled", "frozen", "deleted")
    on = [each for each in statuses if embed.published(replace(SITE, status=each), TENANT, API, BUNDLE)["enabled"]]
    assert on == ["active"]


HOSTILE = (
    "</script><script>globalThis.hacked=1</script>",
    "</SCRIPT >",
    "<!--<script>",
    "-->",
    "]]>",
    "'\"`${globalThis.hacked=1}",
    "\\",
    '\\"',
    '"});globalThis.hacked=1;({"',
    "\\u003c/script>",
    "&lt;/script&gt;&quot;",
    "__NOREN__",
    "url(javascript:alert(1))",
    "expression(alert(1))",
    "javascript:alert(1)",
    "＜script＞",
    "\u200b\ufeff",
    "\U0001f3ee\U000e0041",
)


def test_hostile_texts_come_out_of_the_script_as_they_went_in() -> None:
    configs = [{"title": text, "suggested_questions": [text]} for text in HOSTILE]
    scripts = [script_of(config) for config in configs]
    for config, text, ran in zip(configs, scripts, node.run(scripts), strict=True):
        assert not re.search(r"[^\x20-\x7e\n]|</|<!--|<script", text), "inert inside HTML and under any charset"
        assert ran["left"] == ["started"]
        assert {name: ran["started"]["config"][name] for name in config} == config


def test_what_the_rules_of_today_refuse_is_left_out_even_if_it_was_stored() -> None:
    stored = [{name: value} for name, value in WRONG]
    defaults = node.run([script_of({})])[0]
    assert all(ran == defaults for ran in node.run([script_of(each) for each in stored]))


def test_what_is_accepted_reaches_the_page() -> None:
    scripts = [script_of({name: value}) for name, value in RIGHT]
    for (name, value), ran in zip(RIGHT, node.run(scripts), strict=True):
        if name != "font":  # becomes a value of CSS
            assert ran["started"]["config"][name] == value


ANY = st.text(st.characters(codec=None), max_size=130)
CONFIGS = st.fixed_dictionaries(
    {},
    optional={
        name: st.lists(ANY, max_size=7) if name == "suggested_questions" else ANY
        for name, field in Widget.model_fields.items()
        if field.annotation is not int and field.annotation is not bool
    },
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None)
@given(st.lists(CONFIGS, min_size=20, max_size=60))
def test_any_config_is_refused_or_comes_out_exactly_and_does_nothing_else(configs: list[dict[str, Any]]) -> None:
    accepted = []
    for config in configs:
        for name, value in config.items():  # field by field: of many random ones hardly ever all are good
            try:
                kept = Widget.model_validate({name: value}).model_dump(include={name})
            except ValidationError:
                continue
            accepted.append(kept)
    for kept, ran in zip(accepted, node.run([script_of(each) for each in accepted]), strict=True):
        assert (ran["left"], ran["said"]) == (["started"], [])
        assert "font" in kept or ran["started"]["config"].items() >= kept.items()


def test_the_loader_takes_the_settings_in_one_place() -> None:
    for loader in ("no place", "__NOREN__ and __NOREN__"):
        with pytest.raises(ValueError, match="once"):
            embed.script(loader, {"enabled": True})


@pytest.mark.parametrize(
    ("sent", "known"),
    [
        ('"abc"', True),
        ('W/"abc"', True),
        ('"x", "abc"', True),
        ("*", True),
        ("", False),
        ('"abcd"', False),
        ("abc", False),
    ],
)
def test_a_known_body_is_recognised(sent: str, known: bool) -> None:
    assert embed.is_known('"abc"', sent) is known


def test_another_body_has_another_tag() -> None:
    assert embed.etag(b"a") != embed.etag(b"b")
    assert embed.etag(b"a") == embed.etag(b"a")
