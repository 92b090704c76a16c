"""Prompt profiles and experiments over the API."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from noren.chat.feedback_store import FeedbackStore
from noren.chat.models import Feedback
from noren.ids import TenantId, new_id
from noren.usage.models import UsageRecord
from noren.usage.store import UsageStore
from platform_api.schemas_prompts import MAX_BODY
from tests.unit.platform_api.changes import ARMS
from tests.unit.platform_api.kit import Platform, access_token
from tests.unit.platform_api.test_audit import trail
from tests.unit.usage.world import dirty

LONGEST = {
    "system_prompt": "😀" * 8_000,
    "guardrail_prompt": "😀" * 2_000,
    "greeting_message": "😀" * 500,
    "facts": "😀" * 20_000,
}


@pytest.fixture
def owner(platform: Platform) -> str:
    return platform.sign_up("mei")


def made(platform: Platform, owner: str, **content: Any) -> str:
    """A profile; its path."""
    body = {"profile_name": "Shop", "content": content}
    return f"/api/v1/prompts/{platform.json('POST', '/api/v1/prompts', owner, body)['profile_id']}"


def save(platform: Platform, owner: str, path: str, base: int, **content: Any) -> Any:
    return platform.json("POST", f"{path}/versions", owner, {"base_version": base, "content": content})


def test_a_profile_from_its_draft_to_its_rollback(platform: Platform, owner: str) -> None:
    path = made(platform, owner, facts="Open from nine.", temperature=0, greeting_message="いらっしゃいませ")
    first = platform.json("GET", path, owner)
    assert (first["published_version"], first["latest_version"], first["rollback_version"]) == (1, 1, None)
    assert first["use_for"] == "site"
    assert first["content"]["temperature"] == 0
    assert first["content"]["greeting_message"] == "いらっしゃいませ"
    assert "<facts>" in first["content"]["guardrail_prompt"]  # ours, where none is given

    draft = save(platform, owner, path, 1, facts="Open from nine.\r\nClosed on Mondays.", temperature=1.25)
    assert (draft["version"], draft["is_published"]) == (2, False)
    assert draft["content"]["facts"] == "Open from nine.\nClosed on Mondays."
    assert platform.json("GET", path, owner)["content"]["facts"] == "Open from nine."

    (facts, temperature) = platform.json("GET", f"{path}/diff", owner, query={"from": "1", "to": "2"})["fields"]
    assert facts == {
        "field": "facts",
        "hunks": [
            {
                "from_line": 1,
                "to_line": 1,
                "lines": [{"kind": "same", "text": "Open from nine."}, {"kind": "add", "text": "Closed on Mondays."}],
            }
        ],
    }
    assert [line["text"] for line in temperature["hunks"][0]["lines"]] == ["0", "1.25"]

    published = platform.json("POST", f"{path}/publish", owner, {"version": 2, "note": "Mondays"})
    assert (published["published_version"], published["publish_note"]) == (2, "Mondays")
    rows = platform.json("GET", f"{path}/versions", owner)["items"]
    assert [(each["version"], each["is_published"]) for each in rows] == [(2, True), (1, False)]
    assert all("content" not in each for each in rows)
    back = platform.json("POST", f"{path}/rollback", owner)
    assert (back["published_version"], back["rollback_version"], back["latest_version"]) == (1, None, 2)
    assert platform.json("GET", f"{path}/versions/2", owner)["content"]["temperature"] == 1.25
    for odd in ("3", "0", "01", "x", "1.0"):
        assert platform.call("GET", f"{path}/versions/{odd}", owner).status == 404


def test_pages_of_versions(platform: Platform, owner: str) -> None:
    path = made(platform, owner)
    for base in (1, 2):
        save(platform, owner, path, base)
    first = platform.json("GET", f"{path}/versions", owner, query={"limit": "2"})
    second = platform.json("GET", f"{path}/versions", owner, query={"limit": "2", "cursor": first["next_cursor"]})
    assert [each["version"] for each in first["items"] + second["items"]] == [3, 2, 1]
    assert second["next_cursor"] is None
    other = made(platform, owner)
    stolen = platform.call("GET", f"{other}/versions", owner, query={"cursor": first["next_cursor"]})
    assert json.loads(stolen.body)["code"] == "invalid_cursor"


def test_who_saves_on_an_old_version_is_told(platform: Platform, owner: str) -> None:
    path = made(platform, owner)
    save(platform, owner, path, 1, facts="first")
    answer = platform.call("POST", f"{path}/versions", owner, {"base_version": 1, "content": {"facts": "second"}})
    told = json.loads(answer.body)
    assert (answer.status, told["code"], told["latest_version"]) == (409, "conflict", 2)
    assert "Load it again" in told["detail"]


def test_the_longest_texts_fit_however_they_are_written(platform: Platform, owner: str) -> None:
    body = {"profile_name": "Long", "content": LONGEST, "note": "😀" * 500}
    raw = json.dumps(body, ensure_ascii=True).encode()
    assert 350_000 < len(raw) < MAX_BODY
    found = json.loads(platform.call("POST", "/api/v1/prompts", owner, raw=raw).body)
    assert found["content"]["facts"] == LONGEST["facts"]
    path = f"/api/v1/prompts/{found['profile_id']}"
    for name, text in LONGEST.items():
        longer = {"base_version": 1, "content": {name: text + "a"}}
        assert platform.call("POST", f"{path}/versions", owner, longer).status == 400
    beyond = json.dumps({"profile_name": "x" * MAX_BODY}).encode()
    assert platform.call("POST", "/api/v1/prompts", owner, raw=beyond).status == 413
    assert platform.call("PATCH", path, owner, {"profile_name": "x" * 70_000}).status == 413  # others stay as they are


@pytest.mark.parametrize("text", ["two\nlines", "\u202eturned", "a\u2028b", "\x00"])
def test_a_greeting_is_plain_text_in_one_line(platform: Platform, owner: str, text: str) -> None:
    body = {"profile_name": "Shop", "content": {"greeting_message": text}}
    assert platform.call("POST", "/api/v1/prompts", owner, body).status == 400


def test_a_profile_in_use_stays(platform: Platform, owner: str) -> None:
    tenant = platform.services.tenants.get(TenantId(platform.tenant_of("mei")))
    site = platform.services.sites.get(tenant.tenant_id, tenant.default_site_id)
    answer = platform.call("DELETE", f"/api/v1/prompts/{site.prompt_profile}", owner)
    told = json.loads(answer.body)
    assert (answer.status, told["code"], told["site_ids"]) == (409, "in_use", [site.site_id])
    assert site.name in told["detail"]


def test_the_trail_says_what_was_published_and_never_the_text(platform: Platform, owner: str) -> None:
    path = made(platform, owner, facts="A secret recipe.", system_prompt="Be kind to cats.")
    save(platform, owner, path, 1, system_prompt="Be kind to dogs.")
    platform.json("POST", f"{path}/publish", owner, {"version": 2, "note": "dogs"})
    platform.json("POST", f"{path}/rollback", owner, {"note": "cats again"})
    *_, published, back = trail(platform)
    assert (published["before"]["published_version"], published["after"]["published_version"]) == (1, 2)
    assert back["action"] == "POST /api/v1/prompts/{profile_id}/rollback"
    assert (back["before"]["published_version"], back["after"]["published_version"]) == (2, 1)
    assert back["after"]["publish_note"] == "cats again"
    assert not [each for each in ("recipe", "kind to") if each in json.dumps(trail(platform), default=str)]


# Experiments


def test_a_foreign_profile_in_an_experiment_answers_like_a_missing_one(platform: Platform, owner: str) -> None:
    attacker = platform.sign_up("attacker")
    theirs, nobodys = (
        platform.call("POST", "/api/v1/experiments", attacker, {"profile_id": each, "name": "x", "arms": ARMS})
        for each in (made(platform, owner).rsplit("/", 1)[1], "prof_" + "0" * 32)
    )
    assert (theirs.status, theirs.body) == (404, nobodys.body)


def test_an_experiment_with_its_results(platform: Platform, owner: str) -> None:
    path = made(platform, owner)
    save(platform, owner, path, 1, facts="Open from nine.")
    arms = [{"arm": "A", "version": 1, "weight": 70}, {"arm": "B", "version": 2, "weight": 30}]
    body = {"profile_id": path.rsplit("/", 1)[1], "name": "Hours", "arms": arms}
    experiment = platform.json("POST", "/api/v1/experiments", owner, body)
    assert (experiment["status"], experiment["arms"], experiment["started_at"]) == ("draft", arms, None)
    where = f"/api/v1/experiments/{experiment['experiment_id']}"
    nothing = platform.json("GET", where, owner)["results"]
    assert {each["verdict"] for each in nothing["comparisons"]} == {"too_few"}

    platform.json("POST", f"{where}/start", owner)
    assert platform.json("GET", path, owner)["experiment_id"] == experiment["experiment_id"]
    assert platform.call("POST", f"{path}/publish", owner, {"version": 2}).status == 409
    used(platform, experiment["experiment_id"], "A", 80, 1500, 3)
    used(platform, experiment["experiment_id"], "B", 40, 900, 5)
    results = platform.json("GET", where, owner)["results"]
    a, b = results["arms"]
    assert (a["requests"], a["answers"], a["sessions"], b["requests"]) == (80, 80, 80, 40)
    latency = {each["metric"]: each for each in a["figures"]}["latency_ms"]
    assert latency["count"] == 80
    assert latency["estimate"]["low"] < latency["estimate"]["value"] < latency["estimate"]["high"]
    told = {each["metric"]: each for each in results["comparisons"]}
    assert (told["latency_ms"]["verdict"], told["rating"]["verdict"]) == ("better", "better")
    assert told["rating"]["text"].startswith("B's rating is better than A's by 2.00 (")
    assert told["failures"]["verdict"] == "no_difference_shown"

    promoted = platform.json("POST", f"{where}/promote", owner, {"arm": "B"})
    assert (promoted["status"], promoted["promoted_arm"]) == ("promoted", "B")
    after = platform.json("GET", path, owner)
    assert (after["published_version"], after["rollback_version"], after["experiment_id"]) == (2, 1, None)
    assert platform.json("GET", where, owner)["results"] == results
    assert [each["status"] for each in platform.json("GET", "/api/v1/experiments", owner)["items"]] == ["promoted"]


def used(platform: Platform, experiment_id: str, arm: str, count: int, ms: int, rating: int) -> None:
    """Answers in an arm, all rated, each of a session of its own."""
    services, tenant = platform.services, services_tenant(platform)
    store = UsageStore(services.dynamodb, "usage")
    feedback = FeedbackStore(services.dynamodb, "sites")
    records = [
        UsageRecord(
            new_id("req", services.clock() + number / 1000),
            tenant.tenant_id,
            tenant.default_site_id,
            services.clock(),
            total_ms=ms + number,
            cost_usd=Decimal("0.001"),
            experiment_id=experiment_id,
            prompt_arm=arm,
            is_new_session=True,
        )
        for number in range(count)
    ]
    for record in records:
        store.put_first(record)
        now = services.clock()
        given = Feedback(record.request_id, rating, "", now, now, site_id=record.site_id, owner="o")
        feedback.put(tenant.tenant_id, given, (experiment_id, arm))
    services.usage_summaries.refresh(tenant.tenant_id, dirty(records))


def services_tenant(platform: Platform) -> Any:
    return platform.services.tenants.get(TenantId(platform.tenant_of("mei")))


def test_viewers_read_and_editors_change(platform: Platform, owner: str) -> None:
    path = made(platform, owner)
    for scope, reads, saves in (("read", 200, 403), ("admin", 403, 201), ("chat", 403, 403)):
        key = platform.json("POST", "/api/v1/api-keys", owner, {"name": "k", "scopes": [scope]})["secret"]
        assert platform.call("GET", path, key).status == reads
        body = {"base_version": 1, "content": {}}
        assert platform.call("POST", f"{path}/versions", key, body).status == saves
    assert platform.call("GET", path, access_token("nobody")).status in (401, 403)
