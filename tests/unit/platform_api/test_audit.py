"""Each change by a person leaves exactly one audit record, whatever the route; a refused one leaves none."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

import boto3
import pytest

from noren.edge.http import Route
from noren.edge.log import JsonFormatter
from noren.errors import Busy
from noren.tables import from_item
from tests.unit.platform_api import changes
from tests.unit.platform_api.changes import BOSS, CHANGES, CHANGING, MATE, OWNER, Change, name
from tests.unit.platform_api.kit import Platform, access_token

TRACE = "0af7651916cd43dd8448eb211c80319c"


def trail(platform: Platform) -> list[dict[str, Any]]:
    """Every audit record there is, oldest first."""
    items = [from_item(each) for each in boto3.client("dynamodb").scan(TableName="events")["Items"]]
    return sorted((each for each in items if each["pk"].startswith("AUDIT#")), key=lambda each: str(each["sk"]))


@pytest.fixture
def peopled(platform: Platform) -> Platform:
    changes.people(platform)
    return platform


def test_every_changing_route_is_tried() -> None:
    assert {name(route) for route in CHANGING} == set(CHANGES)


def test_what_is_replaced_or_removed_is_shown_as_it_was() -> None:
    blind = [name(each) for each in CHANGING if each.method in ("PUT", "PATCH", "DELETE") and each.before is None]
    assert blind == []


@pytest.mark.parametrize("route", CHANGING, ids=name)
def test_a_change_leaves_one_record(peopled: Platform, route: Route) -> None:
    change = CHANGES[name(route)](peopled)
    token = changes.token(peopled, route)
    earlier = trail(peopled)
    _try_in_vain(peopled, route, change, token)
    assert trail(peopled) == earlier, "a refused one leaves none"
    key = {"idempotency-key": "once"} if route.idempotent else {}
    answer = peopled.call(route.method, change.path, token, change.body, headers=key)
    assert answer.status < 400, answer.body
    (record,) = [each for each in trail(peopled) if each not in earlier]
    whose = f"AUDIT#{peopled.tenant_of(OWNER)}" if change.owned else "AUDIT#PLATFORM"
    assert record["pk"] == whose
    assert record["action"] == name(route)
    assert record["actor"] == f"user:{_sub(route)}"
    assert record["by_platform"] is route.access.platform_admin
    assert (record["trace_id"], record["address_prefix"], record["outcome"]) == (TRACE, "203.0.113.0/24", "done")
    assert record["entity_id"]
    assert 0 <= record["expires_at"] - record["occurred_at"] - 396 * 86400 < 1
    assert "before" in record or "after" in record
    if "before" in record and "after" in record:
        assert record["before"].keys() == record["after"].keys()
        assert record["before"] != record["after"]
    if key:
        again = peopled.call(route.method, change.path, token, change.body, headers=key)
        assert again.headers["idempotency-replayed"] == "true"
        assert len(trail(peopled)) == len(earlier) + 1


def _try_in_vain(peopled: Platform, route: Route, change: Change, token: str) -> None:
    """The change in every way that must be refused."""
    somebody = {"x-tenant-id": peopled.tenant_of(OWNER)}
    refused = [
        peopled.call(route.method, change.path, body=change.body),
        peopled.call(route.method, change.path, "nrn_" + "A" * 43, change.body),
        peopled.call(route.method, change.path, access_token("stranger"), change.body, headers=somebody),
    ]
    if not _open_to_viewers(route):
        refused.append(peopled.call(route.method, change.path, access_token(MATE), change.body, headers=somebody))
    if route.body:
        refused.append(peopled.call(route.method, change.path, token, change.body | {"surplus": 1}))
    if "{" in route.path:
        *_, last = change.path.split("/")
        refused.append(peopled.call(route.method, change.path.removesuffix(last) + "nothing", token, change.body))
    assert {each.status // 100 for each in refused} == {4}, [each.body for each in refused]


def test_before_and_after_hold_what_changed_alone(peopled: Platform) -> None:
    owner, boss = access_token(OWNER), peopled.sign_up(BOSS, admin=True, totp=True)
    peopled.json("PATCH", "/api/v1/tenant", owner, {"name": "Kurashiki", "locale": "ja"})
    tenant = peopled.tenant_of(OWNER)
    peopled.json("PATCH", f"/api/v1/admin/tenants/{tenant}", boss, {"overrides": {"sites": 9}})
    peopled.json("DELETE", f"/api/v1/members/{MATE}", owner)
    named, moved, removed = trail(peopled)[-3:]
    assert (named["before"], named["after"]) == ({"name": OWNER}, {"name": "Kurashiki"})
    assert named["entity_type"] == "tenant"
    assert named["entity_id"] == tenant
    assert moved["before"] == {"overrides": {"members": 10}}
    assert moved["after"] == {"overrides": {"members": 10, "sites": 9}}
    assert removed["before"]["email"] == f"{MATE}@example.jp"
    assert "after" not in removed
    assert (removed["entity_type"], removed["entity_id"]) == ("members", MATE)


def test_no_secret_gets_into_the_trail(peopled: Platform) -> None:
    owner = access_token(OWNER)
    made = peopled.json("POST", "/api/v1/api-keys", owner, {"name": "k", "scopes": ["read"]})
    change = CHANGES["POST /api/v1/invitations/accept"](peopled)
    peopled.json("POST", change.path, access_token("guest"), change.body)
    text = json.dumps(trail(peopled), default=str)
    assert made["key_id"] in text
    assert made["secret"] not in text
    assert change.body["token"] not in text


def test_a_key_and_an_accepted_invitation_are_named(peopled: Platform) -> None:
    made = peopled.json("POST", "/api/v1/api-keys", access_token(OWNER), {"name": "k", "scopes": ["admin"]})
    peopled.json("PATCH", "/api/v1/tenant", made["secret"], {"name": "By a server"})
    assert trail(peopled)[-1]["actor"] == f"key:{made['key_id']}"
    change = CHANGES["POST /api/v1/invitations/accept"](peopled)
    peopled.services.tenants.ensure_tenant("guest", "guest@example.jp")  # has a tenant of their own
    peopled.json("POST", change.path, access_token("guest"), change.body)
    joined = trail(peopled)[-1]
    assert joined["actor"] == "user:guest"
    assert joined["pk"] == f"AUDIT#{peopled.tenant_of(OWNER)}"  # of the tenant joined


def test_the_trail_is_read_by_those_whom_it_concerns(peopled: Platform) -> None:
    owner, boss = access_token(OWNER), peopled.sign_up(BOSS, admin=True, totp=True)
    tenant = peopled.tenant_of(OWNER)
    for number in range(3):
        peopled.time.ahead += 1
        peopled.json("PATCH", "/api/v1/tenant", owner, {"name": f"Name {number}"})
    peopled.time.ahead += 1
    peopled.json("POST", f"/api/v1/admin/tenants/{tenant}/stops", boss, {"cause": "billing", "reason": "unpaid"})
    rate = CHANGES["POST /api/v1/admin/exchange-rates"](peopled)
    peopled.json("POST", rate.path, boss, rate.body)

    seen, cursor = [], None
    while True:
        page = peopled.json(
            "GET", "/api/v1/audit", owner, query={"limit": "2"} | ({"cursor": cursor} if cursor else {})
        )
        seen += page["items"]
        cursor = page["next_cursor"]
        if not cursor:
            break
        assert len(page["items"]) == 2
    assert [each["occurred_at"] for each in seen] == sorted((each["occurred_at"] for each in seen), reverse=True)
    stopped, named, *_ = seen
    assert (stopped["actor"], stopped["address_prefix"]) == ("platform", "")
    assert stopped["after"]["stop_mode"] == "billing"
    assert (named["actor"], named["after"]) == (f"user:{OWNER}", {"name": "Name 2"})
    assert not [each for each in seen if "exchange-rates" in each["action"]]

    of_tenant = peopled.json("GET", "/api/v1/admin/audit", boss, query={"tenant_id": tenant})["items"]
    assert (of_tenant[0]["actor"], of_tenant[0]["address_prefix"]) == (f"user:{BOSS}", "203.0.113.0/24")
    assert len(of_tenant) == len(seen)
    (own,) = peopled.json("GET", "/api/v1/admin/audit", boss)["items"]
    assert (own["entity_id"], own["after"]) == ("JPY", {"rate": "151.5", "effective_date": changes.LATER})
    assert peopled.call("GET", "/api/v1/admin/audit", boss, query={"tenant_id": "ten_" + "1" * 32}).status == 404
    assert peopled.call("GET", "/api/v1/audit", access_token(MATE), headers={"x-tenant-id": tenant}).status == 403


def test_a_change_stands_without_its_record_and_somebody_is_told(
    peopled: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(JsonFormatter("test"))
    logging.getLogger("noren.audit").addHandler(handler)

    def gone(_: Any) -> None:
        raise Busy

    monkeypatch.setattr(peopled.services.insight, "put_record", gone)
    earlier = trail(peopled)
    answer = peopled.json("PATCH", "/api/v1/tenant", access_token(OWNER), {"name": "Stands"})
    logging.getLogger("noren.audit").removeHandler(handler)
    assert answer["name"] == "Stands"
    assert trail(peopled) == earlier, "a refused one leaves none"
    line = json.loads(out.getvalue())
    assert (line["AuditLost"], line["actor"], line["action"]) == (1, f"user:{OWNER}", "PATCH /api/v1/tenant")
    assert "Stands" not in out.getvalue()


def test_a_change_that_broke_down_half_way_is_recorded_as_failed(
    peopled: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: Any, **__: Any) -> None:
        raise RuntimeError("the queue is gone")

    monkeypatch.setattr(peopled.services.mailer, "queue", breaks)
    body = {"email": "guest@example.jp", "role": "viewer"}
    assert peopled.call("POST", "/api/v1/invitations", access_token(OWNER), body).status == 500
    record = trail(peopled)[-1]
    assert (record["outcome"], record["action"]) == ("failed", "POST /api/v1/invitations")
    assert "after" not in record


def test_nothing_is_changed_where_one_of_two_changes_is_refused(peopled: Platform) -> None:
    boss = peopled.sign_up(BOSS, admin=True, totp=True)
    path = f"/api/v1/admin/tenants/{peopled.tenant_of(OWNER)}"
    before = peopled.json("GET", path, boss)
    for body in (
        {"plan": "pro", "overrides": {"nonsense": 1}},
        {"plan": "no-such-plan", "overrides": {"members": 4}},
    ):
        assert peopled.call("PATCH", path, boss, body).status in (404, 422)
        assert peopled.json("GET", path, boss) == before


def _sub(route: Route) -> str:
    return BOSS if route.access.platform_admin else "guest" if route.path.endswith("/accept") else OWNER


def _open_to_viewers(route: Route) -> bool:
    """Leaving a tenant is for everybody, accepting an invitation for whom it was sent to."""
    return route.access.user or name(route) == "DELETE /api/v1/members/{user_id}"
