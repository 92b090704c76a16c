"""Which pages may read what: the console all, a site's pages what visitors may call at that site, others nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from noren.edge.dispatch import RouteTable, dispatch
from noren.edge.http import Access, Call, Caller, Request, Response, Route
from noren.edge.paging import PageQuery
from noren.edge.security import SecurityEvents
from noren.edge.store import SecurityStore
from noren.errors import QuotaExceeded
from noren.settings import Settings
from noren.tenants.models import Role
from noren.wiring import Services
from tests.unit.sites.test_visitors import KURA, SHOP, Doors, Ticks

CONSOLE = "https://console.example"
EVIL = "https://evil.example"
A = {"site_key": "a"}


def _talk(call: Call) -> Any:
    if call.request.body:
        raise QuotaExceeded(
            "used up", plan="pro", price=1, upgrade_url="x", resets_at="2026-12-01T00:00:00Z", model="m"
        )
    return {"limit": call.query.limit}


TABLE = RouteTable(
    (
        Route("POST", "/talk", _talk, Access(role=Role.VIEWER, visitor=True), "", query=PageQuery),
        Route("GET", "/admin", lambda _: {}, Access(role=Role.OWNER), ""),
        Route("GET", "/config", lambda _: {}, Access(public=True, visitor=True), ""),
        Route("GET", "/health", lambda _: {}, Access(public=True), ""),
    ),
    unaudited=True,
)


class Writes(SecurityStore):
    """Remembers what was written."""

    def __init__(self) -> None:
        self.written: list[dict[str, int]] = []

    def write(self, minute: int, writer: str, counts: Mapping[str, int]) -> None:
        self.written.append(dict(counts))


class Desk:
    """The edge over two sites, with a visitor who is known already."""

    def __init__(self) -> None:
        self.clock = Ticks()
        self.doors, self.writes = Doors(self.clock), Writes()
        self.sites = self.doors.known
        self.settings = Settings(console_url=f"{CONSOLE}/app")
        self.security = SecurityEvents(self.writes, self.clock)
        self.error_log = SimpleNamespace(note=lambda *_: None, flush=lambda: None)
        self.authenticator = self
        self.tenants = SimpleNamespace(get=lambda _: None)
        limits = SimpleNamespace(limits=SimpleNamespace(requests_per_minute=100))
        self.plans = SimpleNamespace(entitlement=lambda _: limits)
        self.limiter = SimpleNamespace(check=lambda *_: None)

    def authenticate(self, request: Request) -> Caller:
        token = request.headers["authorization"]
        found = self.doors.visitors.visitor(token, request.query.get("site_key", ""), request.headers.get("origin", ""))
        return Caller("visitor", found.tenant_id, device=found.device, site_id=found.site_id, origin=found.origin)

    def send(
        self,
        method: str,
        path: str,
        origin: str = "",
        token: str = "",
        body: bytes = b"",
        asks: str = "",
        query: Mapping[str, str] = A,
    ) -> Response:
        headers = {"authorization": token}
        headers |= {"origin": origin} if origin else {}
        headers |= {"access-control-request-method": asks} if asks else {}
        request = Request(method, path, headers, query, body, "198.51.100.7", "t" * 32)
        return dispatch(TABLE, request, cast(Services, self))


def reader(answer: Response) -> str:
    """Who may read the answer."""
    assert answer.headers["vary"] == "Origin"
    assert "access-control-allow-credentials" not in answer.headers
    return answer.headers.get("access-control-allow-origin", "")


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.mark.parametrize(
    ("method", "path", "origin", "query", "reads"),
    [
        ("POST", "/talk", SHOP, A, True),
        ("POST", "/talk", "https://www.shop.example", A, True),
        ("POST", "/talk", KURA, {"site_key": "b"}, True),
        ("POST", "/talk", CONSOLE, {}, True),
        ("POST", "/talk", CONSOLE, A, True),
        ("POST", "/talk", KURA, A, False),
        ("POST", "/talk", SHOP, {"site_key": "c"}, False),
        ("POST", "/talk", SHOP, {"site_key": ""}, False),
        ("POST", "/talk", SHOP, {}, False),
        ("POST", "/talk", SHOP, {"site_id": "site_a"}, False),
        ("POST", "/talk", EVIL, A, False),
        ("POST", "/talk", "null", A, False),
        ("POST", "/talk", SHOP.upper(), A, False),
        ("GET", "/config", SHOP, {"site_id": "site_a"}, True),
        ("GET", "/config", SHOP, A, True),
        ("GET", "/config", EVIL, {"site_id": "site_a"}, False),
        ("GET", "/config", SHOP, {"site_id": "site_c"}, False),
        ("GET", "/admin", SHOP, A, False),
        ("GET", "/admin", CONSOLE, {}, True),
        ("GET", "/health", SHOP, A, False),
        ("GET", "/nowhere", SHOP, A, False),
        ("DELETE", "/talk", SHOP, A, False),
    ],
)
def test_who_may_read_what(desk: Desk, method: str, path: str, origin: str, query: dict[str, str], reads: bool) -> None:
    preflight = desk.send("OPTIONS", path, origin, asks=method, query=query)
    assert (preflight.status, preflight.body) == (204, b"")
    assert reader(preflight) == (origin if reads else "")
    assert ("access-control-allow-headers" in preflight.headers) is reads
    assert desk.writes.written == []
    # and so the answer itself, whatever it is: here mostly a refusal, since the token is none
    assert reader(desk.send(method, path, origin, query=query)) == (origin if reads else "")


def test_visitors_pages_may_send_less_than_the_console(desk: Desk) -> None:
    sent = [desk.send("OPTIONS", "/talk", origin, asks="POST").headers for origin in (SHOP, CONSOLE)]
    visitors, console = (set(each["access-control-allow-headers"].split(", ")) for each in sent)
    assert visitors == {"authorization", "content-type", "idempotency-key"}
    assert console > visitors


def test_a_visitors_page_reads_answers_and_refusals_alike(desk: Desk) -> None:
    token = desk.doors.token()
    good = desk.send("POST", "/talk", SHOP, token, query={"site_key": "a", "limit": "7"})
    assert (good.status, json.loads(good.body), reader(good)) == (200, {"limit": 7}, SHOP)
    spent = desk.send("POST", "/talk", SHOP, token, b"x")
    problem = json.loads(spent.body)
    assert (spent.status, problem["code"], reader(spent)) == (402, "quota_exceeded", SHOP)
    assert set(problem) == {"type", "title", "status", "code", "detail", "trace_id", "resets_at"}
    desk.clock.now += 3600
    expired = desk.send("POST", "/talk", SHOP, token)
    assert (expired.status, json.loads(expired.body)["code"], reader(expired)) == (401, "token_expired", SHOP)
    token = desk.doors.token()
    desk.sites.change(is_embed_enabled=False)
    off = desk.send("POST", "/talk", SHOP, token)
    assert (off.status, json.loads(off.body)["code"], reader(off)) == (403, "embed_disabled", SHOP)


def test_a_refused_origin_is_counted_without_a_write_of_its_own(desk: Desk) -> None:
    for number in range(500):
        desk.send("OPTIONS", "/talk", f"https://evil{number}.example", asks="POST")
    desk.send("OPTIONS", "/talk", SHOP, asks="POST")
    desk.send("OPTIONS", "/talk", "", asks="POST")
    assert desk.writes.written == []
    refused = desk.send("POST", "/talk", EVIL, desk.doors.token())
    assert (refused.status, json.loads(refused.body)["code"]) == (403, "origin_not_allowed")
    assert desk.writes.written == [{"origin_not_allowed address:198.51.100.0/24": 501}]


def test_storage_that_gives_in_costs_the_reader_not_the_answer(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(key: str) -> Any:
        raise TimeoutError

    monkeypatch.setattr(desk.sites, "of_key", broken)
    assert desk.send("OPTIONS", "/talk", SHOP, asks="POST").status == 204
    answer = desk.send("GET", "/config", SHOP)
    assert (answer.status, reader(answer)) == (200, "")
