"""JSON from strangers, cursors, signatures, counting, errors."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from noren.edge import strict_json
from noren.edge.cursor import Cursors
from noren.edge.dispatch import RouteTable, dispatch, open_call
from noren.edge.http import Access, Call, Caller, Request, Route
from noren.edge.log import JsonFormatter
from noren.edge.respond import render_error
from noren.edge.security import MAX_ACTORS, SecurityEvents, address_prefix
from noren.edge.store import SecurityStore
from noren.edge.trace import trace_id_of
from noren.errors import (
    BadRequest,
    Busy,
    Conflict,
    Forbidden,
    MethodNotAllowed,
    NotFound,
    QuotaExceeded,
    RateLimited,
    TimedOut,
    Unauthenticated,
    Unprocessable,
    UpstreamFailed,
)
from noren.ids import TenantId
from noren.secrets import Secrets, Signer
from noren.settings import Settings
from noren.tables import dynamodb, from_item
from noren.tenants.models import Role
from noren.wiring import Services
from tests.unit.platform_api.kit import Time, create_tables
from tests.unit.sites.test_visitors import Fixed

HOSTILE = {
    "NaN": b'{"n": NaN}',
    "Infinity": b'{"n": -Infinity}',
    "1e999": b'{"n": 1e999}',
    "1e308": b'{"n": 1e308}',
    "39 digits": b'{"n": 123456789012345678901234567890123456789}',
    "many digits": b'{"n": ' + b"9" * 60000 + b"}",
    "long fraction": b'{"n": 0.' + b"1" * 100 + b"}",
    "twice": b'{"a": 1, "a": 2}',
    "twice, deeper": b'{"x": {"a": 1, "\\u0061": 2}}',
    "escaped NUL": b'{"a": "x\\u0000"}',
    "NUL in a name": b'{"\\u0000": 1}',
    "raw NUL": b'{"a": "\x00"}',
    "lone surrogate": b'{"a": "\\ud800"}',
    "raw surrogate": b'{"a": "\xed\xa0\x80"}',
    "not UTF-8": b'{"a": "\xff"}',
    "deep": b"[" * 21 + b"]" * 21,
    "very deep": b'{"a":' * 9000 + b"1" + b"}" * 9000,
    "too long": b'"' + b"x" * strict_json.MAX_BODY + b'"',
    "cut": b'{"a": ',
    "empty": b" ",
    "comment": b"{} // really",
    "BOM": b"\xef\xbb\xbf{}",
}


@pytest.mark.parametrize("kind", sorted(HOSTILE))
def test_hostile_json_is_refused(kind: str) -> None:
    with pytest.raises(BadRequest) as refused:
        strict_json.parse(HOSTILE[kind])
    assert refused.value.status in (400, 413)


def test_brackets_in_text_are_no_depth() -> None:
    text = "[" * 500 + '"\\{'
    assert strict_json.parse(json.dumps({"a": text}).encode()) == {"a": text}
    assert strict_json.parse('{"絵": "\\ud83d\\ude00 と 😀", "n": 1.5}'.encode()) == {"絵": "😀 と 😀", "n": 1.5}


@given(st.recursive(st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.text(), st.lists, max_leaves=10))
def test_what_is_plain_json_is_read_as_json_reads_it(value: Any) -> None:
    body = json.dumps(value).encode()
    try:
        assert strict_json.parse(body) == json.loads(body)
    except BadRequest:
        assert "\\u0000" in body.decode() or "\\ud" in body.decode()


def signer(clock: Time | None = None) -> Signer:
    return Signer(Fixed(), clock or Time())


def test_tokens_are_bound_to_purpose_time_and_every_bit() -> None:
    clock = Time()
    ours = signer(clock)
    token = ours.sign("cursor", {"a": "あ"}, ttl=10)
    assert ours.verify("cursor", token) == {"a": "あ"}
    assert ours.verify("device", token) is None
    for index in range(len(token)):
        for other in "AB.=-_+é":
            if token[index] != other:
                assert ours.verify("cursor", token[:index] + other + token[index + 1 :]) is None
    for bad in ("", ".", "a.b", token + "=", token + "A", " " + token, "あ.い"):
        assert ours.verify("cursor", bad) is None
    clock.ahead = 11
    assert ours.verify("cursor", token) is None


@pytest.mark.parametrize("secret", ["", "short"])
def test_an_empty_secret_refuses_to_start(secret: str) -> None:
    class Empty(Secrets):
        def signing_secret(self) -> str:
            return secret

    with pytest.raises(RuntimeError, match="secret"):
        Signer(Empty(Settings(), time.time), time.time)


def test_a_cursor_belongs_to_tenant_route_and_filter() -> None:
    cursors = Cursors(signer())
    cursor = cursors.encode("ten_a", "/things", {"site": "s1", "q": None}, {"sk": "x"})
    assert cursors.decode("ten_a", "/things", {"site": "s1"}, cursor) == {"sk": "x"}
    for tenant, route, filter in (
        ("ten_b", "/things", {"site": "s1"}),
        (None, "/things", {"site": "s1"}),
        ("ten_a", "/other", {"site": "s1"}),
        ("ten_a", "/things", {"site": "s2"}),
        ("ten_a", "/things", {}),
    ):
        with pytest.raises(BadRequest):
            cursors.decode(tenant, route, filter, cursor)
    with pytest.raises(BadRequest):
        cursors.decode("ten_a", "/things", {"site": "s1"}, signer().sign("device", {"d": "x"}))


def test_trace_ids() -> None:
    valid = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert trace_id_of({"traceparent": valid}) == "0af7651916cd43dd8448eb211c80319c"
    for bad in (
        "",
        valid.upper(),
        valid[:-1],
        valid.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32),
        valid.replace("b7ad6b7169203331", "0" * 16),
        "ff" + valid[2:],
        valid + '", "x": "',
    ):
        made = trace_id_of({"traceparent": bad})
        assert len(made) == 32
        assert made != "0af7651916cd43dd8448eb211c80319c"


def test_security_events_write_once_a_minute(aws: str) -> None:
    create_tables()
    clock, writes = Time(), []
    clock.ahead = 60 - time.time() % 60  # at a minute's beginning

    class Counting(SecurityStore):
        def write(self, minute: int, writer: str, counts: Mapping[str, int]) -> None:
            writes.append(dict(counts))
            super().write(minute, writer, counts)

    events = SecurityEvents(Counting(dynamodb(), "events"), clock)
    for number in range(1000):
        events.count("invalid_token", f"address:{number}")
    assert len(writes) == 1
    clock.ahead += 60
    events.flush()
    events.flush()
    assert len(writes) == 2
    assert sum(sum(each.values()) for each in writes) == 1000
    assert len(writes[1]) <= MAX_ACTORS + 1
    stored = [from_item(item) for item in boto3.client("dynamodb").scan(TableName="events")["Items"]]
    assert sorted(item["total"] for item in stored) == [1, 999]
    assert all(item["expires_at"] > clock() + 390 * 86400 for item in stored)


def test_counting_never_fails_a_request() -> None:
    class Broken(SecurityStore):
        def write(self, minute: int, writer: str, counts: Mapping[str, int]) -> None:
            raise OSError

    SecurityEvents(Broken(cast(Any, None), ""), Time()).count("x", "y")


def test_addresses_are_truncated() -> None:
    assert address_prefix("203.0.113.77") == "203.0.113.0/24"
    assert address_prefix("2001:db8:1:2::5") == "2001:db8:1::/48"
    assert address_prefix("x") == ""


class Ask(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    message: str


def _handler(call: Call) -> Any:
    if call.body and call.body.message == "boom":
        raise RuntimeError("the key is sk-hidden-in-the-error")
    return {"who": call.caller.principal}


def _failing(_: Call) -> Any:
    raise ERRORS[0]


ERRORS: list[Exception] = [RuntimeError()]
"""What the next call of `/api/v1/failing` raises."""
TENANT = TenantId("ten_1")

TABLE = RouteTable(
    (
        Route(
            "POST",
            "/api/v1/things",
            _handler,
            Access(role=Role.EDITOR, scope="chat"),
            "",
            body=Ask,
            aliases=("/api/things",),
        ),
        Route("GET", "/api/v1/things/{thing_id}", _handler, Access(public=True), ""),
        Route("POST", "/v1/things", _handler, Access(scope="chat"), "", body=Ask, openai=True),
        Route("GET", "/api/v1/admin", _handler, Access(platform_admin=True), ""),
        Route("GET", "/api/v1/failing", _failing, Access(role=Role.VIEWER, visitor=True), ""),
    )
)


class Stub:
    """Services for the edge alone."""

    def __init__(self, caller: Caller | Exception) -> None:
        self.settings = Settings(console_url="https://console.example/app")
        self.security = SimpleNamespace(
            count=lambda reason, actor: self.counted.append((reason, actor)), flush=lambda: None, note=lambda *_: None
        )
        self.counted: list[tuple[str, str]] = []
        self.noted: list[tuple[Any, ...]] = []
        self.error_log = SimpleNamespace(note=lambda *what: self.noted.append(what), flush=lambda: None)
        self.sites = SimpleNamespace(get=self._site)
        plan = SimpleNamespace(limits=SimpleNamespace(requests_per_minute=100))
        self.plans, self.tenants = SimpleNamespace(entitlement=lambda _: plan), SimpleNamespace(get=lambda _: None)
        self.limiter = SimpleNamespace(check=lambda *_: None)
        self.audit = SimpleNamespace(write=lambda **what: self.recorded.append(what["outcome"]))
        self.recorded: list[str] = []
        self.authenticator = self
        self._caller = caller

    def _site(self, tenant_id: str, site_id: str) -> Any:
        if (tenant_id, site_id) != ("ten_1", "site_1"):
            raise NotFound
        return SimpleNamespace(site_id=site_id)

    def authenticate(self, request: Request) -> Caller:
        if isinstance(self._caller, Exception):
            raise self._caller
        return self._caller


def send(caller: Caller | Exception, method: str, path: str, body: bytes = b"", **headers: str) -> Any:
    services = Stub(caller)
    request = Request(method, path, headers, {}, body, "198.51.100.7", "t" * 32)
    answer = dispatch(TABLE, request, cast(Services, services))
    return SimpleNamespace(
        status=answer.status,
        headers=answer.headers,
        json=json.loads(answer.body) if answer.body else None,
        text=answer.body.decode(),
        counted=services.counted,
        noted=services.noted,
        recorded=services.recorded,
    )


EDITOR = Caller("member", user_id="u1", role=Role.EDITOR)
GOOD = b'{"message": "hi"}'


def test_routes_are_matched() -> None:
    assert TABLE.match("GET", "/api/v1/things/a%2Fb")[1] == {"thing_id": "a/b"}
    assert TABLE.match("POST", "/api/things")[0] is TABLE.match("POST", "/api/v1/things")[0]
    for missing in ("/api/v1/things/", "/api/v1/things/a/b", "/API/v1/things", "/api/v1/things\n", "/" + "x" * 5000):
        with pytest.raises(NotFound):
            TABLE.match("GET", missing)
    with pytest.raises(MethodNotAllowed):
        TABLE.match("DELETE", "/api/v1/things/a")
    answer = send(EDITOR, "DELETE", "/api/v1/things")
    assert (answer.status, answer.headers["allow"], answer.json["code"]) == (405, "POST", "method_not_allowed")


@pytest.mark.parametrize(
    ("caller", "status"),
    [
        (EDITOR, 200),
        (Caller("member", user_id="u", role=Role.OWNER), 200),
        (Caller("member", user_id="u", role=Role.VIEWER), 403),
        (Caller("user", user_id="u"), 403),
        (Caller("api_key", key_id="k", scopes=frozenset({"chat"})), 200),
        (Caller("api_key", key_id="k", scopes=frozenset({"read", "admin"})), 403),
        (Caller("anonymous", device="d"), 403),
        (Caller("public"), 401),
        (Unauthenticated(), 401),
    ],
)
def test_who_may(caller: Caller | Exception, status: int) -> None:
    answer = send(caller, "POST", "/api/v1/things", GOOD)
    assert answer.status == status
    assert bool(answer.counted) == (status in (401, 403))
    person = isinstance(caller, Caller) and caller.kind in ("member", "user", "api_key")
    assert answer.recorded == (["done"] if status == 200 and person else [])
    if status == 401:
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.counted[0][1] == "address:198.51.100.0/24"


def test_refusal_comes_before_reading_the_body() -> None:
    assert send(Caller("public"), "POST", "/api/v1/things", b"{" * 70000).status == 401


def test_validation_names_fields_and_echoes_nothing() -> None:
    answer = send(EDITOR, "POST", "/api/v1/things", b'{"message": 5, "more": "my-private-text"}')
    assert answer.status == 400
    assert {each["field"] for each in answer.json["errors"]} == {"message", "more"}
    assert "my-private-text" not in answer.text
    assert set(answer.json) >= {"type", "title", "status", "code", "detail", "trace_id"}
    assert answer.headers["content-type"] == "application/problem+json"
    assert send(EDITOR, "POST", "/api/v1/things").status == 400


def test_an_unexpected_failure_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        answer = send(EDITOR, "POST", "/api/v1/things", b'{"message": "boom"}')
    assert (answer.status, answer.json["code"]) == (500, "internal_error")
    assert answer.recorded == ["failed"]
    assert "sk-hidden" not in answer.text
    lines = [JsonFormatter("test").format(record) for record in caplog.records]
    assert any('"error": "RuntimeError"' in line for line in lines)
    assert not any("sk-hidden" in line for line in lines)
    access = next(json.loads(line) for line in lines if '"noren.access"' in line)
    assert (access["status"], access["user"], access["route"]) == (500, "user:u1", "/api/v1/things")


@pytest.mark.parametrize(
    ("error", "noted"),
    [
        (RuntimeError("sk-hidden"), (500, "internal_error", "Something went wrong on our side")),
        (UpstreamFailed("The model broke off.", code="upstream_cut"), (502, "upstream_cut", "The model broke off.")),
        (Busy(), (503, "busy", "Busy just now, please try again")),
        (TimedOut(), (504, "timed_out", "This took too long")),
        (QuotaExceeded("Used up."), (402, "quota_exceeded", "Used up.")),
        (Forbidden("Suspended.", code="suspended"), (403, "suspended", "Suspended.")),
        (RateLimited(), (429, "rate_limited", "Too many requests")),
        (NotFound(), None),
        (BadRequest(), None),
        (Conflict(), None),
        (Unprocessable(), None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_an_owner_can_use_goes_into_the_error_log(error: Exception, noted: tuple[int, str, str] | None) -> None:
    caller = Caller("member", TENANT, user_id="u1", role=Role.EDITOR)
    services = Stub(caller)
    ERRORS[0] = error
    for site_id, known in (("site_1", "site_1"), ("site_2", ""), ("<b>", ""), ("", "")):
        request = Request("GET", "/api/v1/failing", {}, {"site_id": site_id}, b"", "198.51.100.7", "t" * 32)
        dispatch(TABLE, request, cast(Services, services))
        expected = [("ten_1", known, *noted, "t" * 32)] if noted else []
        assert services.noted == expected
        services.noted.clear()


@pytest.mark.parametrize(
    "caller",
    [Caller("public"), Unauthenticated(), Forbidden(), Caller("user", user_id="u1"), Caller("anonymous", device="d")],
    ids=str,
)
def test_strangers_write_nothing_into_the_error_log(caller: Caller | Exception) -> None:
    ERRORS[0] = RuntimeError()
    for path in ("/api/v1/failing", "/api/v1/things/x", "/api/v1/admin", "/nowhere"):
        assert send(caller, "GET", path).noted == []


def test_what_is_refused_on_admin_routes_is_no_tenants_business() -> None:
    assert send(Caller("member", TENANT, user_id="u1", role=Role.OWNER), "GET", "/api/v1/admin").noted == []


def test_a_visitors_errors_are_of_their_site() -> None:
    visitor = Caller("visitor", TENANT, device="d", site_id="site_9", origin="https://a.example")
    ((tenant, site, *_),) = send(visitor, "GET", "/api/v1/failing").noted
    assert (tenant, site) == ("ten_1", "site_9")


def test_openai_envelope() -> None:
    key = Caller("api_key", key_id="k", scopes=frozenset({"chat"}))
    answer = send(key, "POST", "/v1/things", b"{}")
    assert answer.status == 400
    assert answer.json["error"] == {
        "message": "The request is not valid: message: Field required",
        "type": "invalid_request_error",
        "param": "message",
        "code": "invalid_request",
    }


def test_quota_and_visitors() -> None:
    services = cast(Services, Stub(EDITOR))
    request = Request("POST", "/", {}, {}, b"", "", "t" * 32)
    error = QuotaExceeded("used up", plan="pro", price=19800, upgrade_url="https://x", resets_at="2026-12-01T00:00:00Z")
    plain = json.loads(render_error(error, None, request, services).body)
    assert (plain["plan"], plain["price"], plain["status"]) == ("pro", 19800, 402)
    visitor = json.loads(render_error(error, None, request, services, visitor=True).body)
    assert not {"plan", "price", "upgrade_url"} & set(visitor)
    assert visitor["resets_at"]
    openai = render_error(error, TABLE.routes[2], request, services)
    assert (openai.status, openai.headers["x-should-retry"]) == (429, "false")
    assert json.loads(openai.body)["error"]["code"] == "insufficient_quota"
    limited = render_error(RateLimited(retry_after=7), None, request, services)
    assert (limited.headers["retry-after"], json.loads(limited.body)["retry_after"]) == ("7", 7)


def test_cors_is_for_the_console_alone() -> None:
    ours = send(EDITOR, "OPTIONS", "/api/v1/things", origin="https://console.example")
    assert (ours.status, ours.headers["access-control-allow-origin"]) == (204, "https://console.example")
    assert "idempotency-key" in ours.headers["access-control-allow-headers"]
    for origin in ("https://evil.example", "null", "https://console.example.evil.example", "http://console.example"):
        for method, body in (("OPTIONS", b""), ("POST", GOOD)):
            answer = send(EDITOR, method, "/api/v1/things", body, origin=origin)
            assert "access-control-allow-origin" not in answer.headers
            assert answer.headers["vary"] == "Origin"


def test_headers_of_every_answer() -> None:
    answer = send(EDITOR, "POST", "/api/v1/things", GOOD)
    assert answer.headers["x-trace-id"] == "t" * 32
    assert answer.headers["cache-control"] == "no-store"
    assert send(EDITOR, "GET", "/nowhere").headers["x-trace-id"] == "t" * 32


def test_the_steps_before_the_handler_can_be_used_alone() -> None:
    route, params = TABLE.match("POST", "/api/v1/things")
    request = Request("POST", "/api/v1/things", {}, {}, GOOD, "", "t")
    call = open_call(route, params, request, cast(Services, Stub(EDITOR)))
    assert (call.caller, call.body.message) == (EDITOR, "hi")
