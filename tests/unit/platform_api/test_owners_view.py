"""Canned responses, feedback, conversations and errors over the platform API: roles, filters, pages, files."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from noren.chat.feedback import MOST_TOLD
from noren.chat.models import Asker
from noren.clock import iso
from noren.ids import TenantId
from noren.insight.events import Events
from noren.tables import from_item
from tests.unit.platform_api.changes import CANNED, canned, talked, train
from tests.unit.platform_api.kit import Platform, access_token

OWNER = "owner"


@pytest.fixture
def shop(platform: Platform) -> Platform:
    platform.sign_up(OWNER)
    return platform


def problem(shop: Platform, *call: Any, **more: Any) -> tuple[int, str, Any]:
    """Status, code and field errors of a call that is refused."""
    answer = shop.call(*call, **more)
    body = json.loads(answer.body)
    return answer.status, body["code"], body.get("errors")


def with_role(shop: Platform, role: str) -> str:
    """The token of a colleague with that role."""
    tenant_id = TenantId(shop.tenant_of(OWNER))
    shop.services.tenants.set_overrides(tenant_id, {"members": 10, "requests_per_minute": 10**6}, "test")
    shop.people.add(role, f"{role}@example.jp")
    shop.json("POST", "/api/v1/invitations", access_token(OWNER), {"email": f"{role}@example.jp", "role": role})
    link: str = shop.outbox.mails[-1]["data"]["link"]
    shop.json("POST", "/api/v1/invitations/accept", access_token(role), {"token": link.partition("token=")[2]})
    return access_token(role)


def key(shop: Platform, *scopes: str) -> str:
    made = shop.json("POST", "/api/v1/api-keys", access_token(OWNER), {"name": "k", "scopes": list(scopes)})
    return str(made["secret"])


def test_a_canned_response_is_made_read_changed_deleted_and_restored(shop: Platform) -> None:
    token, path = access_token(OWNER), f"/api/v1/sites/{shop.default_site(OWNER)}/canned"
    body = CANNED | {"questions": ["いつ開きますか？"]}
    made = shop.json("POST", path, token, body)
    assert (made["patterns"], made["questions"], made["answer"]) == (
        body["patterns"],
        body["questions"],
        body["answer"],
    )
    assert (made["enabled"], made["hit_count"], made["version"], made["created_by"]) == (True, 0, 1, "user:owner")
    one = f"{path}/{made['canned_id']}"
    assert shop.json("GET", one, token) == made
    changed = shop.json("PATCH", one, token, {"answer": "**10時**から\n<b>です</b>", "version": 1})
    assert (changed["answer"], changed["version"], changed["updated_by"]) == (
        "**10時**から\n<b>です</b>",
        2,
        "user:owner",
    )
    assert problem(shop, "PATCH", one, token, {"enabled": False, "version": 1})[:2] == (409, "conflict")
    assert shop.call("DELETE", one, token).status == 204
    assert problem(shop, "GET", one, token)[0] == 404
    assert shop.json("GET", path, token)["items"] == []
    (gone,) = shop.json("GET", path, token, query={"deleted": "true"})["items"]
    assert (gone["canned_id"], gone["deleted_by"]) == (made["canned_id"], "user:owner")
    assert shop.json("POST", f"{one}/restore", token)["version"] == 4
    assert problem(shop, "POST", f"{one}/restore", token)[:2] == (409, "not_deleted")


def test_a_key_to_repeat_with_makes_one_response(shop: Platform) -> None:
    path, headers = f"/api/v1/sites/{shop.default_site(OWNER)}/canned", {"idempotency-key": "once"}
    first, second = (shop.json("POST", path, access_token(OWNER), CANNED, headers=headers) for _ in range(2))
    assert first == second
    assert len(shop.json("GET", path, access_token(OWNER))["items"]) == 1


@pytest.mark.parametrize(
    ("change", "field", "said"),
    [
        ({"patterns": []}, "patterns", "at least 1"),
        ({"patterns": [CANNED["patterns"][0]] * 11}, "patterns", "at most 10"),
        ({"patterns": [{"kind": "exact", "text": "x" * 301}]}, "patterns.0.text", "at most 300"),
        ({"patterns": [{"kind": "glob", "text": "x"}]}, "patterns.0.kind", "normalized"),
        ({"patterns": [{"kind": "normalized", "text": "？！"}]}, "patterns.0.text", "nothing is left"),
        ({"patterns": [{"kind": "regex", "text": "("}]}, "patterns.0.text", "missing )"),
        ({"patterns": [{"kind": "regex", "text": "(a{20}){20}"}]}, "patterns.0.text", "too large"),
        ({"patterns": [{"kind": "regex", "text": "a*"}]}, "patterns.0.text", "every question"),
        ({"questions": ["q"] * 6}, "questions", "at most 5"),
        ({"questions": ["？"]}, "questions.0", "write words"),
        ({"answer": "x" * 4001}, "answer", "at most 4000"),
        ({"answer": " \n"}, "answer", "blank"),
        ({"hit_count": 5}, "hit_count", "not permitted"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_named(shop: Platform, change: Any, field: str, said: str) -> None:
    path = f"/api/v1/sites/{shop.default_site(OWNER)}/canned"
    status, code, errors = problem(shop, "POST", path, access_token(OWNER), CANNED | change)
    assert (status, code, errors[0]["field"]) == (400, "invalid_request", field)
    assert said in errors[0]["message"]


def test_a_site_leads_to_no_other_sites_response(shop: Platform) -> None:
    shop.sign_up("other")
    theirs = canned(shop, "other").rsplit("/", 1)[1]
    path = f"/api/v1/sites/{shop.default_site(OWNER)}/canned/{theirs}"
    for method, body in (("GET", None), ("PATCH", {"enabled": False}), ("DELETE", None)):
        assert problem(shop, method, path, access_token(OWNER), body)[0] == 404
    assert shop.services.canned.get(TenantId(shop.tenant_of("other")), shop.default_site("other"), theirs).enabled, (
        "it stands as it was"
    )


def test_who_may(shop: Platform) -> None:
    """Editors change; visitors' words are for editors and up, and for keys that may read."""
    path = canned(shop)
    feedback_id, session_key = talked(shop, OWNER)
    words = ["/api/v1/feedback", f"/api/v1/feedback/{feedback_id}", "/api/v1/conversations"]
    words.append(f"/api/v1/conversations/{session_key}")
    viewer, editor, reads, chats = (
        with_role(shop, "viewer"),
        with_role(shop, "editor"),
        key(shop, "read"),
        key(shop, "chat"),
    )
    for token, sees_words, edits in (
        (viewer, False, False),
        (editor, True, True),
        (reads, True, False),
        (chats, False, False),
    ):
        assert {shop.call("GET", each, token).status for each in words} == {200 if sees_words else 403}
        assert shop.call("PATCH", path, token, {"enabled": True}).status == (200 if edits else 403)
        made = shop.call("POST", f"/api/v1/feedback/{feedback_id}/canned", token, {"answer": "A."})
        assert made.status == (201 if edits else 403)
        own = shop.call("GET", path, token)
        assert own.status == (403 if token == chats else 200)
        assert shop.call("GET", "/api/v1/errors", token).status == (403 if token == chats else 200)


def test_feedback_is_filtered_paged_and_exported(shop: Platform) -> None:
    token = access_token(OWNER)
    given = []
    for rating in (1, 5, 2, 4):
        shop.time.ahead += 1
        given.append((talked(shop, OWNER, rating), rating))
    pages, cursor = [], None
    while True:
        query = {"limit": "3"} | ({"cursor": cursor} if cursor else {})
        page = shop.json("GET", "/api/v1/feedback", token, query=query)
        pages.append([each["rating"] for each in page["items"]])
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert pages == [[4, 2, 5], [1]]
    low = shop.json("GET", "/api/v1/feedback", token, query={"rating_max": "2"})["items"]
    assert [(each["id"], each["user_session_key"]) for each in low] == [given[2][0], given[0][0]]
    assert low[0]["comment"] == "ownerの感想"
    today = iso(shop.time() + 9 * 3600)[:10]
    assert len(shop.json("GET", "/api/v1/feedback", token, query={"from": today, "to": today})["items"]) == 4
    assert shop.json("GET", "/api/v1/feedback", token, query={"to": "2025-01-01"})["items"] == []
    for bad in ({"from": "2026-01-02", "to": "2026-01-01"}, {"rating_min": "4", "rating_max": "2"}, {"to": "soon"}):
        assert problem(shop, "GET", "/api/v1/feedback", token, query=bad)[0] == 400
    tenant_id, site_id = TenantId(shop.tenant_of(OWNER)), shop.default_site(OWNER)
    stored = shop.services.feedback_store.get(tenant_id, site_id, given[0][0][0])
    assert stored
    answer = shop.call("GET", "/api/v1/feedback", token, query={"format": "csv", "rating_max": "1"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    head, row = csv.reader(io.StringIO(answer.body.decode()))
    assert dict(zip(head, row, strict=True)) == {
        "id": given[0][0][0],
        "site_id": site_id,
        "rating": "1",
        "comment": "ownerの感想",
        "created_at": iso(stored.created_at),
        "updated_at": iso(stored.updated_at),
        "user_session_key": given[0][0][1],
    }


def test_comments_are_no_formulas_in_a_file(shop: Platform) -> None:
    talked(shop, OWNER)
    services, tenant_id = shop.services, TenantId(shop.tenant_of(OWNER))
    ((given,), _) = services.feedback.page(tenant_id, [shop.default_site(OWNER)], _all(), 5, None)
    from noren.chat.models import Asker

    services.feedback.rate(Asker(tenant_id, f"visitor:{OWNER}", "visitor"), given.request_id, 1, "=cmd|' /C calc'!A0")
    text = shop.call("GET", "/api/v1/feedback", access_token(OWNER), query={"format": "csv"}).body.decode()
    assert ",'=cmd" in text


def _all() -> Any:
    from noren.chat.feedback import Wanted

    return Wanted()


def test_a_low_rating_shows_its_answer_and_becomes_a_canned_one(shop: Platform) -> None:
    feedback_id, session_key = talked(shop, OWNER)
    token, path = access_token(OWNER), f"/api/v1/feedback/{feedback_id}"
    shown = shop.json("GET", path, token)
    assert (shown["question"], shown["answer"], shown["sources"]) == ("ownerに営業時間は？", "ownerの答え", [])
    assert (shown["rating"], shown["user_session_key"], shown["canned_id"]) == (1, session_key, None)
    made = shop.json("POST", f"{path}/canned", token, {"answer": "10時からです。"}, headers={"idempotency-key": "k"})
    assert made["patterns"] == [{"kind": "normalized", "text": "ownerに営業時間は？"}]
    again = shop.json("POST", f"{path}/canned", token, {"answer": "10時からです。"}, headers={"idempotency-key": "k"})
    assert (again, made["answer"]) == (made, "10時からです。")
    assert len(shop.json("GET", f"/api/v1/sites/{made['site_id']}/canned", token)["items"]) == 1


def test_a_low_rating_becomes_a_pair_that_the_site_learns(shop: Platform) -> None:
    feedback_id, _ = talked(shop, OWNER)
    token, path = access_token(OWNER), f"/api/v1/feedback/{feedback_id}/qa"
    job = shop.json("POST", path, token, {"answer": "10時からです。"})
    assert (job["kind"], job["status"], job["site_id"]) == ("qa", "queued", shop.default_site(OWNER))
    assert (job["estimated_pages"], job["exceeds_quota"]) == (1, False)
    train(shop)
    (document,) = shop.json("GET", "/api/v1/documents", token)["items"]
    assert (document["kind"], document["title"]) == ("qa", "ownerに営業時間は？")
    assert shop.call("POST", path, with_role(shop, "viewer"), {}).status == 403


def told_of_feedback(shop: Platform) -> list[Any]:
    """The events that the owner's tenant gets of feedback, in order."""
    found = map(from_item, shop.services.dynamodb.scan(TableName="events")["Items"])
    ours = [each for each in found if each["pk"] == f"EVT#{shop.tenant_of(OWNER)}" and each["kind"] == "feedback"]
    return sorted(ours, key=lambda each: str(each["event_id"]))


def test_feedback_goes_out_as_one_event(shop: Platform) -> None:
    feedback_id, session_key = talked(shop, OWNER)
    (event,) = told_of_feedback(shop)
    created = event["data"].pop("created_at")
    assert event["data"].pop("updated_at") == created
    assert event["data"] == {
        "id": feedback_id,
        "site_id": shop.default_site(OWNER),
        "session_key": session_key,
        "rating": 1,
        "comment": "ownerの感想",
    }
    assert created.endswith("Z")


def test_what_changes_of_feedback_goes_out_as_further_events(shop: Platform) -> None:
    """The widget sends the thumb first, then the comment."""
    record = shop.services.usage.record_of(TenantId(shop.tenant_of(OWNER)), talked(shop, OWNER)[0])
    assert record is not None
    asker = Asker(record.tenant_id, record.caller, "member")

    def rate(rating: int, comment: str = "") -> None:
        shop.time.ahead += 1
        shop.services.feedback.rate(asker, record.request_id, rating, comment)

    rate(2)
    rate(2)
    rate(2, "It is Tuesday.")
    rate(2, "It is Tuesday.")
    events = told_of_feedback(shop)[1:]
    assert [(each["data"]["rating"], each["data"]["comment"]) for each in events] == [(2, ""), (2, "It is Tuesday.")]
    assert {each["key"].partition("#")[0] for each in events} == {record.request_id}
    for number in range(20):
        rate(1 + number % 5)
    assert len(told_of_feedback(shop)) == MOST_TOLD


def test_conversations_are_listed_and_read(shop: Platform) -> None:
    token = access_token(OWNER)
    talks = []
    for _ in range(3):
        shop.time.ahead += 1
        talks.append(talked(shop, OWNER))
    page = shop.json("GET", "/api/v1/conversations", token, query={"limit": "2"})
    rest = shop.json("GET", "/api/v1/conversations", token, query={"limit": "2", "cursor": page["next_cursor"]})
    rows = page["items"] + rest["items"]
    assert [each["session_key"] for each in rows] == [key for _, key in talks[::-1]]
    assert (rows[0]["kind"], rows[0]["title"], rows[0]["turns"]) == ("visitor", "ownerに営業時間は？", 1)
    assert rest["next_cursor"] is None
    assert shop.json("GET", "/api/v1/conversations", token, query={"to": "2025-01-01"})["items"] == []
    read = shop.json("GET", f"/api/v1/conversations/{talks[0][1]}", token)
    (turn,) = read["messages"]
    assert (turn["id"], turn["question"], turn["answer"]) == (talks[0][0], "ownerに営業時間は？", "ownerの答え")
    assert (turn["rating"], turn["comment"], turn["sources"], read["next_cursor"]) == (1, "ownerの感想", [], None)


def test_errors_are_listed_filtered_and_exported(shop: Platform) -> None:
    token, tenant_id = access_token(OWNER), TenantId(shop.tenant_of(OWNER))
    site_id, log = shop.default_site(OWNER), shop.services.error_log
    for code, where in (("busy", site_id), ("upstream_failed", site_id), ("busy", "")):
        shop.time.ahead += 60
        log.note(tenant_id, where, 503, code, "=Try again.", "c" * 32)
    items = shop.json("GET", "/api/v1/errors", token)["items"]
    assert [(each["code"], each["site_id"], each["count"]) for each in items] == [
        ("busy", None, 1),
        ("upstream_failed", site_id, 1),
        ("busy", site_id, 1),
    ]
    assert (items[0]["status"], items[0]["message"], items[0]["trace_id"]) == (503, "=Try again.", "c" * 32)
    (only,) = shop.json("GET", "/api/v1/errors", token, query={"code": "busy", "site_id": site_id})["items"]
    assert only["occurred_at"] == items[2]["occurred_at"]
    page = shop.json("GET", "/api/v1/errors", token, query={"limit": "2"})
    rest = shop.json("GET", "/api/v1/errors", token, query={"limit": "2", "cursor": page["next_cursor"]})
    assert [each["code"] for each in rest["items"]] == ["busy"]
    assert shop.json("GET", "/api/v1/errors", token, query={"to": "2025-01-01"})["items"] == []
    text = shop.call("GET", "/api/v1/errors", token, query={"format": "csv"}).body.decode()
    assert text.startswith("occurred_at,status,code,message,trace_id,site_id,count\r\n")
    assert ",'=Try again.," in text


def test_what_is_refused_shows_in_the_error_log(shop: Platform) -> None:
    viewer = with_role(shop, "viewer")
    site_id = shop.default_site(OWNER)
    for _ in range(3):
        assert shop.call("POST", f"/api/v1/sites/{site_id}/canned", viewer, CANNED).status == 403
    shop.time.ahead += 60
    found = shop.json("GET", "/api/v1/errors", access_token(OWNER), query={"code": "forbidden"})["items"]
    assert [(each["status"], each["site_id"]) for each in found] == [(403, site_id)]
    shop.services.error_log.flush()
    found = shop.json("GET", "/api/v1/errors", access_token(OWNER), query={"code": "forbidden"})["items"]
    assert sum(each["count"] for each in found) == 3


def test_events_once_told_are_not_told_again(shop: Platform) -> None:
    events = Events(shop.services.insight, shop.services.clock)
    tenant_id = TenantId(shop.tenant_of(OWNER))
    assert events.emit(tenant_id, "feedback", "req_1", {"rating": 1})
    assert not events.emit(tenant_id, "feedback", "req_1", {"rating": 5})
