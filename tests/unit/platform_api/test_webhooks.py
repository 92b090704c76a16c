"""Webhooks and checks over the API."""

from __future__ import annotations

import json
from typing import Any, cast

import boto3
import pytest

from noren.edge.events import Context
from noren.fetching.client import Fetcher
from noren.ids import TenantId
from noren.tables import from_item, to_item
from tests.unit.fetching.net import Net, says
from tests.unit.platform_api.changes import HOOK, webhook
from tests.unit.platform_api.kit import Platform, access_token
from tests.unit.webhooks.world import Subscriber


@pytest.fixture
def owner(platform: Platform) -> str:
    return platform.sign_up("owner")


def problem(platform: Platform, method: str, path: str, token: str, body: Any = None) -> tuple[int, str]:
    answer = platform.call(method, path, token, body)
    return answer.status, json.loads(answer.body)["code"]


def test_a_webhook_from_beginning_to_end(platform: Platform, owner: str) -> None:
    made = platform.json("POST", "/api/v1/webhooks", owner, HOOK | {"description": "orders"})
    secret = made.pop("secret")
    assert secret.startswith("whsec_")
    path = f"/api/v1/webhooks/{made['webhook_id']}"
    assert platform.json("GET", path, owner) == made
    assert platform.json("GET", "/api/v1/webhooks", owner)["items"] == [made]
    assert made["created_by"] == "user:owner"
    changed = platform.json("PATCH", path, owner, {"event_types": ["error", "feedback"], "enabled": False})
    assert (changed["event_types"], changed["enabled"]) == (["error", "feedback"], False)
    assert problem(platform, "POST", f"{path}/test", owner) == (409, "webhook_disabled")
    platform.json("PATCH", path, owner, {"enabled": True})
    renewed = platform.json("POST", f"{path}/secret", owner)
    assert renewed["secret"] != secret
    assert renewed["previous_secret_until"]
    sent = platform.json("POST", f"{path}/test", owner)
    assert (sent["event_type"], sent["status"], sent["attempts"]) == ("test", "pending", 0)
    assert platform.json("GET", f"{path}/deliveries", owner)["items"] == [sent]
    assert platform.call("DELETE", path, owner).status == 204
    assert platform.call("GET", path, owner).status == 404
    assert platform.call("GET", f"{path}/deliveries", owner).status == 404


def test_a_repeated_creation_shows_no_secret_again(platform: Platform, owner: str) -> None:
    once = {"idempotency-key": "once"}
    first = platform.json("POST", "/api/v1/webhooks", owner, HOOK, headers=once)
    again = platform.json("POST", "/api/v1/webhooks", owner, HOOK, headers=once)
    assert again == first | {"secret": None}
    assert len(platform.json("GET", "/api/v1/webhooks", owner)["items"]) == 1


@pytest.mark.parametrize(
    "body",
    [
        {"event_types": []},
        {"event_types": ["feedback", "feedback"]},
        {"event_types": ["test"]},
        {"event_types": ["webhook_disabled"]},
        {"callback_url": ""},
        {"callback_url": "https://shop.example/" + "x" * 2048},
        {"description": "a\nb"},
        {"secret": "mine"},
        {"webhook_id": "whk_1"},
    ],
)
def test_what_is_no_webhook_is_refused(platform: Platform, owner: str, body: dict[str, Any]) -> None:
    assert problem(platform, "POST", "/api/v1/webhooks", owner, HOOK | body) == (400, "invalid_request")
    path = webhook(platform)
    assert problem(platform, "PATCH", path, owner, body) == (400, "invalid_request")
    assert problem(platform, "PATCH", path, owner, {}) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://shop.example/", "blocked_scheme"),
        ("https://localhost/", "unreachable"),
        ("https://169.254.169.254/latest/", "unreachable"),
        ("https://[::ffff:10.0.0.1]/", "unreachable"),
        ("https://0x7f000001/", "invalid_url"),
        ("https://shop.example:25/", "blocked_port"),
    ],
)
def test_addresses_that_are_not_called_are_refused_with_advice(
    platform: Platform, owner: str, url: str, code: str
) -> None:
    assert problem(platform, "POST", "/api/v1/webhooks", owner, HOOK | {"callback_url": url}) == (422, code)
    assert not platform.json("GET", "/api/v1/webhooks", owner)["items"]


def test_what_has_us_call_somebody_is_limited(platform: Platform, owner: str) -> None:
    path = f"/api/v1/sites/{platform.json('GET', '/api/v1/me', owner)['tenant']['default_site_id']}/icon/check"
    tenant_id = TenantId(platform.tenant_of("owner"))
    platform.services.tenants.set_overrides(tenant_id, {"requests_per_minute": 1_000}, "test")
    platform.time.to_next_minute()
    answers = [platform.call("POST", path, owner, {"url": "https://127.0.0.1/"}).status for _ in range(31)]
    assert answers == [200] * 30 + [429]


def test_others_cursors_and_deliveries_lead_nowhere(platform: Platform, owner: str) -> None:
    one, two = webhook(platform), webhook(platform)
    for path in (one, two):
        platform.json("POST", f"{path}/test", owner)
    page = platform.json("GET", f"{one}/deliveries", owner, query={"limit": "1"})
    assert page["next_cursor"]
    stolen = platform.call("GET", f"{two}/deliveries", owner, query={"limit": "1", "cursor": page["next_cursor"]})
    assert stolen.status == 400
    delivery_id = page["items"][0]["delivery_id"]
    assert platform.call("POST", f"{two}/deliveries/{delivery_id}/replay", owner).status == 404


# The functions behind it


def test_an_event_comes_to_a_subscriber_through_both_functions(
    platform: Platform, owner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a table's stream and a queue would call them."""
    from event_stream import main as stream
    from webhook_sender import main as sender

    monkeypatch.setattr(stream, "SERVICES", platform.services)
    monkeypatch.setattr(sender, "SERVICES", platform.services)
    subscriber = Subscriber()
    try:
        allow = frozenset({("127.0.0.1", subscriber.port)})
        platform.services.__dict__["fetcher"] = Fetcher(allow=allow)
        body = {"callback_url": subscriber.url, "event_types": ["limit_near"]}
        made = platform.json("POST", "/api/v1/webhooks", owner, body)
        tenant = platform.services.tenants.get(TenantId(platform.tenant_of("owner")))
        platform.services.notices.limit(tenant, "limit_near", "chats", "2026-11", 1_600, 2_000)
        items = boto3.client("dynamodb").scan(TableName="events")["Items"]
        records = [{"dynamodb": {"SequenceNumber": str(number), "NewImage": item}} for number, item in enumerate(items)]
        records.append({"dynamodb": {"SequenceNumber": "x"}})  # expired
        assert stream.handler({"Records": records}, cast(Context, None)) == {"batchItemFailures": []}
        assert stream.handler({"Records": records}, cast(Context, None)) == {"batchItemFailures": []}
        posted = platform.services.__dict__["webhook_queue"].due()
        assert len(posted) == 1, "an event that is known is no news"
        messages = [{"messageId": str(number), "body": json.dumps(each)} for number, each in enumerate(posted)]
        assert sender.handler({"Records": messages}, cast(Context, None)) == {"batchItemFailures": []}
        (got,) = subscriber.got
        assert got.is_signed_by(made["secret"])
        assert got.data["type"] == "limit_near"
        assert got.data["data"]["what"] == "chats"
        assert sender.handler({"job": "webhooks"}, cast(Context, None)) == {"due": 0}
    finally:
        subscriber.close()


def test_a_stream_goes_on_where_it_failed(platform: Platform, owner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from event_stream import main as stream

    monkeypatch.setattr(stream, "SERVICES", platform.services)
    platform.json("POST", "/api/v1/webhooks", owner, HOOK)
    tenant_id = platform.tenant_of("owner")
    now = int(platform.services.clock()) + 1
    records: list[Any] = []
    for number in range(3):
        item: dict[str, Any] = {
            "pk": f"EVT#{tenant_id}",
            "sk": f"feedback#{number}",
            "tenant_id": tenant_id,
            "kind": "feedback",
        }
        item |= {"event_id": f"evt_{number:032x}", "key": str(number), "data": {}, "occurred_at": now}
        records.append({"dynamodb": {"SequenceNumber": str(number), "NewImage": to_item(item)}})
    whole = records[1]["dynamodb"]["NewImage"]
    records[1]["dynamodb"]["NewImage"] = whole | {"data": {"M": {"odd": {"B": b"bytes are no JSON"}}}}
    failed = stream.handler({"Records": records}, cast(Context, None))
    assert failed == {"batchItemFailures": [{"itemIdentifier": "1"}]}
    records[1]["dynamodb"]["NewImage"] = whole
    assert stream.handler({"Records": records[1:]}, cast(Context, None)) == {"batchItemFailures": []}
    stored = [from_item(each) for each in boto3.client("dynamodb").scan(TableName="webhooks")["Items"]]
    assert sorted(each["sk"] for each in stored if each["pk"].startswith("DLV#")) == [
        f"dlv_{number:032x}" for number in range(3)
    ]


def test_a_disabled_webhook_is_told_of(platform: Platform, owner: str) -> None:
    webhook(platform)
    tenant = platform.services.tenants.get(TenantId(platform.tenant_of("owner")))
    for _ in range(2):
        platform.services.notices.webhook_disabled(tenant, "shop.example", "failing", "whk_1#1")
    (note,) = platform.json("GET", "/api/v1/notifications", owner)["items"]
    assert (note["kind"], note["data"]) == ("webhook_disabled", {"host": "shop.example", "reason": "failing"})
    mail = platform.outbox.mails[-1]
    assert (mail["to"], mail["template"]) == ("owner@example.jp", "webhook_disabled")


# Checks


def test_an_icon_and_a_page_are_looked_at(platform: Platform, owner: str) -> None:
    net = Net()
    platform.services.__dict__["fetcher"] = Fetcher(network=net)
    site_id = platform.json("GET", "/api/v1/me", owner)["tenant"]["default_site_id"]
    path = f"/api/v1/sites/{site_id}"
    platform.json("PATCH", path, owner, {"allowed_domains": ["https://shop.example"]})
    snippet = platform.json("GET", f"{path}/snippets", owner)["evergreen"]["html"]
    try:
        net.serve(says(f"<body>{snippet}".encode(), content_type="text/html"), tls="shop.example")
        answer = platform.json("POST", f"{path}/embed/check", owner, {"url": "https://shop.example/"})
        assert answer == {"page": "https://shop.example/", "found": True, "kind": "evergreen", "problems": []}
        net.serve(says(b"<p>nothing", content_type="text/html"), tls="shop.example")
        answer = platform.json("POST", f"{path}/embed/check", owner, {"url": "https://shop.example/"})
        assert [each["code"] for each in answer["problems"]] == ["not_found"]
        net.serve(says(b"\x89PNG\r\n\x1a\n", content_type="image/png"), tls="shop.example")
        answer = platform.json("POST", f"{path}/icon/check", owner, {"url": "https://shop.example/i.png"})
        assert answer == {"content_type": "image/png", "size": 8, "problems": []}
    finally:
        net.close()


def test_checks_are_for_editors(platform: Platform, owner: str) -> None:
    site_id = platform.json("GET", "/api/v1/me", owner)["tenant"]["default_site_id"]
    key = platform.json("POST", "/api/v1/api-keys", owner, {"name": "k", "scopes": ["read"]})["secret"]
    for what in ("icon/check", "embed/check"):
        url = {"url": "https://shop.example/"}
        assert platform.call("POST", f"/api/v1/sites/{site_id}/{what}", key, url).status == 403
        assert platform.call("POST", f"/api/v1/sites/{site_id}/{what}", access_token("nobody"), url).status in (
            401,
            403,
        )
