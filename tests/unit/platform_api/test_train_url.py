"""Training by address over HTTP: an estimate, the crawl, whose pages, how often, and the schedules that repeat it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import pytest
from pydantic import ValidationError

from noren.fetching.client import Fetcher
from noren.ids import TenantId
from noren.knowledge.survey.models import Ask, Survey
from noren.limits import RATES, Rate
from noren.sites.models import SiteStatus
from platform_api.schemas_admin import LimitsIn
from platform_api.schemas_train import ScopeIn
from publisher import main as publisher
from tests.unit.fetching.net import Net
from tests.unit.knowledge.web import HOME, Web
from tests.unit.platform_api.changes import FILES, OWNER, PAIRS, TEXTS, talked, train
from tests.unit.platform_api.kit import Platform, access_token
from train_worker import main as train_worker

TEA = "Our green tea is grown in Uji and shipped within two days. " * 4
DAY = 86_400.0
PUBLISHED = ("succeeded", "partial")


@pytest.fixture
def web() -> Iterator[Web]:
    net = Net()
    made = Web(net)
    made.put("/", "Shop", "Welcome to a shop for tea and what belongs to it. " * 4, ["/tea", "/none"])
    made.put("/tea", "Tea", TEA)
    yield made
    net.close()


@pytest.fixture
def shop(platform: Platform, web: Web, monkeypatch: pytest.MonkeyPatch) -> Platform:
    platform.sign_up(OWNER)
    platform.services.__dict__["fetcher"] = Fetcher(network=web.net)
    monkeypatch.setattr(train_worker, "SERVICES", platform.services)
    monkeypatch.setattr(publisher, "SERVICES", platform.services)
    return platform


def token(shop: Platform) -> str:
    return access_token(OWNER, exp=int(shop.time()) + 3600)


def start(shop: Platform, **body: Any) -> Any:
    body = {"site_id": shop.default_site(OWNER), "url": HOME, **body}
    answer = shop.call("POST", "/api/v1/train/url", token(shop), body)
    return {"http": answer.status, **json.loads(answer.body)}


def plan(shop: Platform, name: str) -> None:
    shop.services.tenants.set_plan(TenantId(shop.tenant_of(OWNER)), name, "test")


def look(shop: Platform, path: str) -> Any:
    return shop.json("GET", f"/api/v1/{path}", token(shop))


def sweep() -> dict[str, Any]:
    """What the clock has both functions of training do."""
    begun = publisher.handler({"job": "schedules"}, cast(Any, None))
    return begun | train_worker.handler({"job": "training"}, cast(Any, None))


def test_a_site_is_trained_by_its_address(shop: Platform, web: Web) -> None:
    before = look(shop, f"sites/{shop.default_site(OWNER)}")
    assert (before["domains"], before["last_trained_at"]) == ([], None)
    job = start(shop, scope={"max_pages": 50})
    told = {name: job[name] for name in ("http", "status", "mode", "estimated_pages", "estimated_tokens", "attempt")}
    assert told == {
        "http": 202,
        "status": "queued",
        "mode": "full",
        "estimated_pages": 10,
        "estimated_tokens": 10_000,
        "attempt": 1,
    }
    assert (job["estimated_cost_usd"], job["exceeds_quota"], job["max_pages"]) == ("0", False, 50)
    train(shop)
    done = look(shop, f"train/jobs/{job['job_id']}")
    assert (done["status"], done["found"], done["fetched"], done["skipped"]) == ("succeeded", 3, 2, 1)
    assert (done["reasons"], done["url"]) == ({"missing": 1}, HOME)
    pages = {each["name"]: each["reason"] for each in look(shop, f"train/jobs/{job['job_id']}/pages")["items"]}
    assert pages == {HOME: "", f"{HOME}tea": "", f"{HOME}none": "missing"}
    document = look(shop, "documents")["items"][0]
    assert (document["kind"], document["status"], document["valid_until"]) == ("page", "active", None)
    assert (document["etag"] != "", document["published"]) == (True, "")
    site = look(shop, f"sites/{shop.default_site(OWNER)}")
    assert site["domains"] == ["shop.example"]
    assert site["last_trained_at"]
    again = start(shop)
    assert again["mode"] == "differential"


def test_a_training_calls_the_host_for_no_second_estimate(shop: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[str]()
    look_over = shop.services.surveyor.survey

    def counted(ask: Ask) -> Survey:
        asked.append(ask.url)
        return look_over(ask)

    monkeypatch.setattr(shop.services.surveyor, "survey", counted)
    site_id = shop.default_site(OWNER)
    shop.time.to_next_minute()
    quote = shop.json("POST", "/api/v1/train/estimate", token(shop), {"site_id": site_id, "url": HOME})
    assert (quote["include"], asked) == ([], [HOME])
    assert (start(shop)["estimated_pages"], asked) == (quote["pages"], [HOME])
    monkeypatch.setitem(RATES, "quotes_of_host", Rate(1, 60))  # many others look this host over
    body = {"site_id": site_id, "url": f"{HOME}ja/"}
    assert shop.call("POST", "/api/v1/train/estimate", token(shop), body).status == 429
    train(shop)
    job = start(shop, url=f"{HOME}ja/")
    assert (job["http"], job["estimated_pages"], job["include"]) == (202, None, ["/ja/*"])


def test_an_address_of_another_site_is_refused_and_what_is_wrong_is_said(shop: Platform) -> None:
    start(shop)
    other = start(shop, url="https://other.example/")
    assert (other["http"], other["code"], other["domains"]) == (422, "not_this_site", ["shop.example"])
    open_one = start(shop)
    assert (open_one["http"], open_one["code"]) == (409, "training_open")
    assert open_one["job_id"] == look(shop, "train/jobs")["items"][0]["job_id"]


def test_a_deleted_site_is_crawled_no_more(shop: Platform, web: Web) -> None:
    plan(shop, "enterprise")
    site_id = shop.json("POST", "/api/v1/sites", token(shop), {"name": "Second"})["site_id"]
    job = start(shop, site_id=site_id, schedule="daily")
    assert shop.call("DELETE", f"/api/v1/sites/{site_id}", token(shop)).status == 204
    train(shop)
    assert look(shop, f"train/jobs/{job['job_id']}")["status"] == "cancelled"
    assert not web.asked
    shop.time.ahead += DAY + 1
    assert sweep()["begun"] == 0


def teach(shop: Platform, path: str, **body: Any) -> tuple[int, str]:
    answer = shop.call("POST", f"/api/v1/train/{path}", token(shop), {"site_id": shop.default_site(OWNER), **body})
    return answer.status, json.loads(answer.body).get("code", "")


def set_status(shop: Platform, status: SiteStatus) -> None:
    """Of the owner's first site."""
    services = shop.services
    site = services.sites.now(TenantId(shop.tenant_of(OWNER)), shop.default_site(OWNER))
    services.sites.save_site(replace(site, status=status), "test")


WAYS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("text", {"texts": TEXTS}),
    ("qa", {"pairs": PAIRS}),
    ("files", {"files": FILES}),
    ("uploads", {}),
    ("estimate", {"url": HOME}),
    ("url", {"url": HOME}),
)


@pytest.mark.parametrize("why", ["suspended", "site_frozen", "site_disabled"])
def test_who_is_stopped_trains_nothing_and_may_tidy_up(shop: Platform, web: Web, why: str) -> None:
    plan(shop, "enterprise")
    ended = start(shop, schedule="daily")["job_id"]
    train(shop)
    shop.call("POST", "/api/v1/train/text", token(shop), {"site_id": shop.default_site(OWNER), "texts": TEXTS})
    (cancelled,) = [each["job_id"] for each in look(shop, "train/jobs")["items"] if each["job_id"] != ended]
    shop.json("POST", f"/api/v1/train/jobs/{cancelled}/cancel", token(shop))
    rated = talked(shop)[0]
    web.forget()
    if why == "suspended":
        shop.services.tenants.stop(TenantId(shop.tenant_of(OWNER)), "manual", "abuse", "op")
    else:
        set_status(shop, "frozen" if why == "site_frozen" else "disabled")
    for path, body in WAYS:
        assert teach(shop, path, **body) == (403, why), path
    for path in (f"/api/v1/train/jobs/{cancelled}/retry", f"/api/v1/feedback/{rated}/qa"):
        refused = shop.call("POST", path, token(shop), {} if path.endswith("qa") else None)
        assert (refused.status, json.loads(refused.body)["code"]) == (403, why), path
    shop.time.ahead += DAY + 1
    assert sweep()["begun"] == 0
    train(shop)
    assert not web.asked
    document = look(shop, "documents")["items"][0]["document_id"]
    gone = shop.json("DELETE", f"/api/v1/documents/{document}", token(shop))
    train(shop)
    assert look(shop, f"train/jobs/{gone['job_id']}")["status"] in PUBLISHED
    (schedule,) = look(shop, "train/schedules")["items"]
    assert shop.call("DELETE", f"/api/v1/train/schedules/{schedule['schedule_id']}", token(shop)).status == 204


@pytest.mark.parametrize("why", ["suspended", "site_frozen"])
def test_the_crawl_of_who_is_stopped_ends_and_may_be_gone_on_with(shop: Platform, web: Web, why: str) -> None:
    plan(shop, "enterprise")
    tenant = TenantId(shop.tenant_of(OWNER))

    def stop(path: str) -> None:
        if path == "/":
            web.on_request = lambda _: None
            if why == "suspended":
                shop.services.tenants.stop(tenant, "manual", "abuse", "op")
            else:
                set_status(shop, "frozen")

    web.on_request = lambda _: None
    job = start(shop)["job_id"]
    web.forget()
    web.on_request = stop
    train(shop)
    assert "/tea" not in web.asked
    done = look(shop, f"train/jobs/{job}")
    assert (done["status"], done["error"], done["ended_at"] is None) == ("cancelled", why, False)
    assert sweep() == {"begun": 0, "stopped": 0}
    if why == "suspended":
        shop.services.tenants.lift(tenant, "manual", "op")
    else:
        set_status(shop, "active")
    again = shop.json("POST", f"/api/v1/train/jobs/{job}/retry", token(shop))
    assert (again["status"], again["error"]) == ("queued", "")
    train(shop)
    assert look(shop, f"train/jobs/{job}")["status"] in PUBLISHED


def test_a_plans_pages_bound_a_crawl(shop: Platform) -> None:
    assert start(shop, scope={"max_pages": 20_000})["max_pages"] == 200


def test_no_plan_may_have_more_pages_than_a_crawl_can_be_asked_for() -> None:
    """And than a publication was measured with."""
    limits = dict.fromkeys(LimitsIn.model_fields, 1)
    for kind, values in ((LimitsIn, limits | {"pages_per_site": 20_000}), (ScopeIn, {"max_pages": 20_000})):
        kind.model_validate(values)
        name = list(values)[-1]
        with pytest.raises(ValidationError, match=name):
            kind.model_validate(values | {name: 20_001})


def test_where_no_number_is_asked_for_it_is_the_plans_also_when_a_schedule_comes(shop: Platform) -> None:
    plan(shop, "enterprise")
    site_id = shop.default_site(OWNER)
    quote = shop.json("POST", "/api/v1/train/estimate", token(shop), {"site_id": site_id, "url": HOME})
    most = shop.services.plans.entitlement(shop.services.tenants.get(TenantId(shop.tenant_of(OWNER)))).limits
    assert most.pages_per_site > 1_000
    assert (quote["max_pages"], start(shop, schedule="monthly")["max_pages"]) == (most.pages_per_site,) * 2
    assert [each["max_pages"] for each in look(shop, "train/schedules")["items"]] == [None]
    train(shop)
    plan(shop, "starter")
    shop.time.ahead += 32 * DAY
    assert sweep()["begun"] == 1
    assert look(shop, "train/jobs")["items"][0]["max_pages"] == 2_000


@pytest.mark.parametrize(
    ("has", "wants", "offered"),
    [
        ("free", "monthly", "starter"),
        ("starter", "weekly", "pro"),
        ("pro", "daily", "enterprise"),
        ("starter", "monthly", None),
        ("pro", "weekly", None),
        ("enterprise", "daily", None),
        ("enterprise", "monthly", None),
    ],
)
def test_a_plan_says_how_often_a_site_may_be_trained_by_itself(
    shop: Platform, has: str, wants: str, offered: str | None
) -> None:
    plan(shop, has)
    answer = start(shop, schedule=wants)
    if offered:
        assert (answer["http"], answer["code"], answer["upgrade_to"]) == (403, "schedule_not_in_plan", offered)
        assert look(shop, "train/jobs")["items"] == look(shop, "train/schedules")["items"] == []
    else:
        assert (answer["http"], answer["schedule"]) == (202, wants)
        assert [each["schedule"] for each in look(shop, "train/schedules")["items"]] == [wants]


def test_a_training_comes_again_once_each_time(shop: Platform, web: Web) -> None:
    plan(shop, "enterprise")
    first = start(shop, schedule="daily", scope={"max_pages": 7})
    train(shop)
    assert sweep() == {"begun": 0, "stopped": 0}
    shop.time.ahead += DAY + 1
    assert [sweep()["begun"] for _ in range(2)] == [1, 0]
    train(shop)
    jobs = look(shop, "train/jobs")["items"]
    assert [each["mode"] for each in jobs] == ["differential", "full"]
    assert (jobs[0]["unchanged"], jobs[0]["max_pages"], jobs[0]["schedule"]) == (2, 7, "daily")
    assert jobs[0]["created_by"] == first["created_by"]
    shop.time.ahead += 5 * DAY  # nobody swept meanwhile: what was missed is not made up for
    assert [sweep()["begun"] for _ in range(2)] == [1, 0]


def test_a_training_is_passed_over_while_another_runs_and_where_the_plan_has_become_less(shop: Platform) -> None:
    plan(shop, "enterprise")
    start(shop, schedule="daily")
    shop.time.ahead += DAY + 1
    assert sweep()["begun"] == 0  # the first is still open
    train(shop)
    plan(shop, "pro")
    shop.time.ahead += DAY
    assert sweep()["begun"] == 0
    plan(shop, "enterprise")
    assert sweep()["begun"] == 0  # the time is over
    shop.time.ahead += DAY
    assert sweep()["begun"] == 1


def test_a_schedule_that_moves_while_its_site_is_looked_over_is_replaced(
    shop: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweep passes it over meanwhile; or somebody ends it just before the job is stored."""
    plan(shop, "enterprise")
    start(shop, schedule="daily")
    train(shop)
    shop.time.ahead += DAY + 1
    services, (schedule,) = shop.services, look(shop, "train/schedules")["items"]
    tenant, look_over = TenantId(shop.tenant_of(OWNER)), services.surveyor.survey

    def swept(ask: Ask) -> Survey:
        stored = services.schedules.get(tenant, schedule["schedule_id"])
        assert services.schedules._store.move(stored, stored.due_at + DAY)
        return look_over(ask)

    monkeypatch.setattr(services.surveyor, "survey", swept)
    assert start(shop, schedule="weekly")["http"] == 202
    train(shop)
    setting = services.schedules.setting

    def ended(*asked: Any) -> Any:
        made = setting(*asked)
        services.schedules.delete(tenant, schedule["schedule_id"])
        return made

    monkeypatch.setattr(services.schedules, "setting", ended)
    monkeypatch.setattr(services.surveyor, "survey", look_over)
    refused = start(shop, schedule="daily")
    assert (refused["http"], refused["code"]) == (409, "conflict")
    assert "Repeat your request" in refused["detail"]


def test_a_schedule_is_replaced_by_the_next_of_its_address_and_ended(shop: Platform) -> None:
    plan(shop, "enterprise")
    start(shop, schedule="daily")
    train(shop)
    start(shop, schedule="weekly", scope={"exclude": ["/blog/*"]})
    train(shop)
    (schedule,) = look(shop, "train/schedules")["items"]
    assert (schedule["schedule"], schedule["exclude"]) == ("weekly", ["/blog/*"])
    shop.time.ahead += DAY + 1
    assert sweep()["begun"] == 0
    path = f"/api/v1/train/schedules/{schedule['schedule_id']}"
    assert shop.call("DELETE", path, token(shop)).status == 204
    assert shop.call("GET", path, token(shop)).status == 404
    shop.time.ahead += 30 * DAY
    assert sweep()["begun"] == 0
