"""Training over HTTP: from a text to a document, by whom, and never at another tenant's site."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from types import ModuleType
from typing import Any, cast

import pytest

from noren.ids import TenantId
from noren.plans.models import ModelPolicy
from noren.tenants.models import Tenant
from noren.tenants.store import transact
from publisher import main as publisher
from tests.unit.llm.vectors import SMALL
from tests.unit.platform_api.changes import FILES, MATE, OWNER, PAIRS, TEXTS, people, train
from tests.unit.platform_api.kit import Platform, access_token
from train_worker import main as train_worker


@pytest.fixture
def owned(platform: Platform) -> Platform:
    people(platform)
    return platform


def start(platform: Platform, kind: str, **body: Any) -> Any:
    body |= {"site_id": platform.default_site(OWNER)}
    return platform.json("POST", f"/api/v1/train/{kind}", access_token(OWNER), body)


def test_a_text_is_learnt_shown_and_forgotten(owned: Platform) -> None:
    token = access_token(OWNER)
    job = start(owned, "text", texts=TEXTS)
    assert (job["status"], job["attempt"], job["mode"]) == ("queued", 1, "differential")
    train(owned)
    path = f"/api/v1/train/jobs/{job['job_id']}"
    done = owned.json("GET", path, token)
    assert (done["status"], done["found"], done["fetched"], done["left"]) == ("succeeded", 1, 1, 0)
    (page,) = owned.json("GET", f"{path}/pages", token)["items"]
    assert (page["name"], page["status"]) == ("営業時間", "changed")
    (document,) = owned.json("GET", "/api/v1/documents", token)["items"]
    assert (document["document_id"], document["language"]) == (page["document_id"], "ja")
    gone = owned.json("DELETE", f"/api/v1/documents/{document['document_id']}", token)
    train(owned)
    assert owned.json("GET", f"/api/v1/train/jobs/{gone['job_id']}", token)["status"] == "succeeded"
    assert owned.json("GET", "/api/v1/documents", token)["items"] == []
    jobs = owned.json("GET", "/api/v1/train/jobs", token, query={"site_id": owned.default_site(OWNER)})["items"]
    assert [each["job_id"] for each in jobs] == [gone["job_id"], job["job_id"]]


def test_documents_that_are_gone_can_be_left_out(owned: Platform) -> None:
    token, site_id = access_token(OWNER), owned.default_site(OWNER)
    start(owned, "text", texts=[*TEXTS, {"title": "Parking", "text": "There are four places behind the shop."}])
    train(owned)
    store, tenant = owned.services.documents, TenantId(owned.tenant_of(OWNER))
    gone = next(each for each in store.every(tenant, site_id) if each.title == "Parking")
    transact(owned.services.dynamodb, [store.noting(replace(gone, status="gone"))])

    def titles(**query: str) -> set[str]:
        return {each["title"] for each in owned.json("GET", "/api/v1/documents", token, query=query)["items"]}

    assert (titles(), titles(status="active"), titles(status="gone")) == (
        {"営業時間", "Parking"},
        {"営業時間"},
        {"Parking"},
    )


def test_a_job_of_as_many_files_as_it_takes_is_not_refused_for_their_number(owned: Platform) -> None:
    places = [start(owned, "uploads")["upload_id"] for _ in range(50)]
    files = [{"upload_id": each, "name": f"{number}.txt"} for number, each in enumerate(places)]
    assert start(owned, "files", files=files)["status"] == "queued"


def test_the_functions_work_messages_off_and_the_tenant_is_told_once(
    owned: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    queues: dict[ModuleType, Any] = {
        train_worker: owned.services.train_queue,
        publisher: owned.services.publish_queue,
    }
    for function in queues:
        monkeypatch.setattr(function, "SERVICES", owned.services)
    job_id = start(owned, "text", texts=TEXTS)["job_id"]
    for function, queue in queues.items():
        while queue.waiting:
            record = {"messageId": "1", "body": json.dumps(queue.waiting.pop(0))}
            assert function.handler({"Records": [record, record]}, cast(Any, None)) == {"batchItemFailures": []}
    tenant = owned.services.tenants.memberships(OWNER)[0].tenant_id
    assert owned.services.training.get(tenant, job_id).status == "succeeded"
    event = owned.services.events.ensure(tenant, "training_completed", f"{job_id}#1", {"late": True})
    assert (event.is_new, event.data["job_id"], event.data["changed"]) == (False, job_id, 1)
    assert train_worker.handler({"job": "training"}, cast(Any, None)) == {"stopped": 0}
    assert publisher.handler({"job": "schedules"}, cast(Any, None)) == {"begun": 0}
    odd = {"messageId": "2", "body": "{", "receiptHandle": "r", "attributes": {"ApproximateReceiveCount": "2"}}
    for function, queue in queues.items():
        assert function.handler({"Records": [odd]}, cast(Any, None)) == {"batchItemFailures": [{"itemIdentifier": "2"}]}
        assert queue.again == [("r", 60)]


def test_pairs_and_files_are_learnt(owned: Platform) -> None:
    token = access_token(OWNER)
    place = start(owned, "uploads")
    owned.services.blobs.put(place["fields"]["key"], "名物は温泉まんじゅうです。".encode())
    start(owned, "files", files=[{"upload_id": place["upload_id"], "name": "menu.txt"}])
    start(owned, "qa", pairs=PAIRS)
    train(owned)
    kinds = {each["kind"]: each["title"] for each in owned.json("GET", "/api/v1/documents", token)["items"]}
    assert set(kinds) == {"file", "qa"}
    assert kinds["qa"] == "駐車場は？"
    missing = start(owned, "files", files=FILES)
    train(owned)
    failed = owned.json("GET", f"/api/v1/train/jobs/{missing['job_id']}", token)
    assert (failed["status"], failed["failed"]) == ("failed", 1)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text", {"texts": TEXTS}),
        ("qa", {"pairs": PAIRS}),
        ("files", {"files": FILES}),
        ("uploads", {}),
        ("estimate", {"url": "https://shop.example/"}),
        ("url", {"url": "https://shop.example/"}),
    ],
)
def test_a_foreign_site_answers_like_a_missing_one(owned: Platform, kind: str, body: Any) -> None:
    owned.sign_up("victim")
    answers = [
        owned.call("POST", f"/api/v1/train/{kind}", access_token(OWNER), body | {"site_id": site_id})
        for site_id in (owned.default_site("victim"), f"site_{'0' * 31}1")
    ]
    assert [each.status for each in answers] == [404, 404]
    assert not owned.services.train_queue.waiting  # type: ignore[attr-defined]


def test_viewers_look_and_train_nothing(owned: Platform) -> None:
    mate = access_token(MATE)
    body = {"site_id": owned.default_site(OWNER), "texts": TEXTS}
    tenant = {"x-tenant-id": owned.tenant_of(OWNER)}
    assert owned.call("POST", "/api/v1/train/text", mate, body, headers=tenant).status == 403
    assert owned.call("GET", "/api/v1/train/jobs", mate, headers=tenant).status == 200


def test_a_job_of_texts_says_beforehand_what_it_comes_to(owned: Platform) -> None:
    class Few:
        """An embedding model, and hardly any of this month's tokens left."""

        def policy(self, tenant: Tenant) -> ModelPolicy:
            return SMALL

        def would_exceed(self, tenant: Tenant, tokens: int) -> bool:
            return tokens > 100

    quotes = owned.services.quotes
    quotes._embeddings = Few()  # type: ignore[assignment]
    little = start(owned, "text", texts=TEXTS)
    assert (little["estimated_pages"], little["exceeds_quota"]) == (1, False)
    assert 0 < little["estimated_tokens"] < 100
    much = start(owned, "qa", pairs=[PAIRS[0] | {"answer": "駐車場は店の裏です。" * 40}])
    assert much["exceeds_quota"] is True
    assert Decimal(much["estimated_cost_usd"]) == much["estimated_tokens"] * SMALL.input_usd / 1000
    files = start(owned, "files", files=FILES)
    assert files["estimated_tokens"] is files["exceeds_quota"] is None, "nobody has looked into a file yet"


def test_a_site_goes_back_to_the_version_before_and_forth_again(owned: Platform) -> None:
    token, path = access_token(OWNER), f"/api/v1/sites/{owned.default_site(OWNER)}/index"
    assert owned.json("GET", path, token)["version"] == 0
    assert owned.call("POST", f"{path}/rollback", token).status == 409
    start(owned, "text", texts=TEXTS)
    train(owned)
    first = owned.json("GET", path, token)
    assert (first["version"], first["documents"], first["can_roll_back"]) == (1, 1, False)
    refused = owned.call("POST", f"{path}/rollback", token)
    assert (refused.status, json.loads(refused.body)["code"]) == (409, "no_previous_version")
    start(owned, "qa", pairs=PAIRS)
    train(owned)
    assert owned.json("GET", path, token)["documents"] == 2
    back = owned.json("POST", f"{path}/rollback", token)
    assert (back["version"], back["documents"], back["can_roll_back"]) == (3, 1, True)
    assert owned.json("GET", path, token) == back
    again = owned.json("POST", f"{path}/rollback", token)
    assert (again["version"], again["documents"]) == (4, 2)
    mate, tenant = access_token(MATE), {"x-tenant-id": owned.tenant_of(OWNER)}
    assert owned.call("GET", path, mate, headers=tenant).status == 200
    assert owned.call("POST", f"{path}/rollback", mate, headers=tenant).status == 403
    for scope, status in (("read", 403), ("train", 200)):
        key = owned.json("POST", "/api/v1/api-keys", token, {"name": "k", "scopes": [scope]})["secret"]
        assert owned.call("POST", f"{path}/rollback", key).status == status


def test_two_texts_of_one_title_are_refused(owned: Platform) -> None:
    body = {"site_id": owned.default_site(OWNER), "texts": TEXTS * 2}
    assert owned.call("POST", "/api/v1/train/text", access_token(OWNER), body).status == 422


def test_a_site_is_quoted_and_nothing_is_done(owned: Platform) -> None:
    quoted = start(owned, "estimate", url="https://shop.example/")
    assert (quoted["pages_low"], quoted["pages"], quoted["pages_high"]) == (8, 10, 12)
    assert quoted["skipped"] == [{"reason": "noindex", "count": 2, "example": "https://shop.example/private"}]
    assert (quoted["embedding_model"], quoted["cost_usd"], quoted["exceeds_quota"]) == ("", "0", False)
    assert owned.json("GET", "/api/v1/train/jobs", access_token(OWNER))["items"] == []
    refused = owned.call(
        "POST",
        "/api/v1/train/estimate",
        access_token(OWNER),
        {"site_id": owned.default_site(OWNER), "url": "https://user:word@shop.example/"},
    )
    assert (refused.status, json.loads(refused.body)["code"]) == (422, "invalid_url")
