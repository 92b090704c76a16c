"""Visitors of a site: what they may ask, what they are told, and what holds whatever origin they claim."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import requests

from chat.routes import ROUTES as INFERENCE
from noren.chat.models import Asker
from noren.edge.dispatch import authorise
from noren.edge.http import Caller
from noren.errors import Forbidden, QuotaExceeded, RateLimited
from noren.ids import TenantId, new_id
from noren.limits import VISITOR_CALLS_OF_ADDRESS, VISITOR_CHATS, VISITOR_CHATS_AT_ONCE, VISITOR_SHARE
from noren.llm.breaker import CACHE_SECONDS
from noren.sites.models import Site
from noren.sites.service import Sites
from noren.sites.store import SiteStore
from platform_api.routes import ROUTES as PLATFORM
from tests.faults import Faulty
from tests.unit.chat.rig import LIMITS, MODEL, Container, Rig
from tests.unit.chat.web import Visit, Web, events_of, served

ASK = {"message": "When do you open?"}
SHOP, OTHER = "https://shop.example", "https://other.example"
ANSWER = {"id", "session_key", "answer", "sources", "suggestions", "canned_id", "finish_reason", "trace_id"}
SECRET = (
    "cost",
    "quota",
    "credits",
    "provider",
    "model",
    "tokens_consumed",
    "tier",
    "price",
    MODEL,
    "small",
    "offline",
)
"""What no visitor reads anywhere."""


THEIRS = {
    "GET /api/v1/embed/script",
    "GET /api/v1/embed/config",
    "POST /api/v1/embed/visitor",
    "POST /api/v1/chat",
    "POST /api/v1/chat/{id}/cancel",
    "POST /api/v1/chat/{id}/feedback",
    "GET /api/v1/sessions",
    "GET /api/v1/sessions/{key}",
    "DELETE /api/v1/sessions/{key}",
    "GET /api/v1/canned",
    "POST /api/v1/canned/{canned_id}/hits",
}
"""What visitors may call. A route more needs a line here, on purpose."""


def site_of(rig: Rig, **changes: Any) -> Site:
    """The rig's site, open to a shop's pages."""
    site = rig.sites.create_default(rig.tenant)
    return rig.sites.save_site(replace(site, **({"allowed_domains": (SHOP,)} | changes)))


def visitor_of(rig: Rig, number: int, address: str = "203.0.113.9") -> Asker:
    """A device at the rig's site."""
    return Asker(rig.tenant.tenant_id, f"visitor:{number:032x}", "visitor", address, "203.0.113.0/24")


@pytest.fixture
def web(rig: Rig) -> Iterator[Web]:
    with served(rig) as running:
        yield running


@pytest.fixture
def site(rig: Rig) -> Site:
    return site_of(rig)


def silent(*answers: requests.Response) -> None:
    for answer in answers:
        assert answer.headers["access-control-allow-origin"] == SHOP
        text = answer.text.lower()
        assert not [word for word in SECRET if word.lower() in text], answer.text


def problem(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_a_visitor_chats_and_is_told_nothing_of_money_or_models(web: Web, site: Site) -> None:
    visit = web.visit(site, SHOP)
    plain = visit.call("POST", "/api/v1/chat", ASK)
    answer = plain.json()
    assert (plain.status_code, set(answer), answer["answer"]) == (200, ANSWER, "Open from nine.")
    again = ASK | {"session_key": answer["session_key"], "site_id": site.site_id, "stream": True}
    streamed = visit.call("POST", "/api/v1/chat", again)
    events = dict(events_of(streamed))
    assert set(events["meta"]) == ANSWER - {"answer", "finish_reason"}
    assert set(events["done"]) == ANSWER
    session = f"/api/v1/sessions/{answer['session_key']}"
    shown, listed = visit.call("GET", session), visit.call("GET", "/api/v1/sessions?limit=1")
    told = {"id", "message", "answer", "sources", "finish_reason", "at"}
    assert [set(turn) for turn in shown.json()["messages"]] == [told] * 2
    assert [row["session_key"] for row in listed.json()["items"]] == [answer["session_key"]]
    rated = visit.call("POST", f"/api/v1/chat/{answer['id']}/feedback", {"rating": 5})
    assert rated.status_code == 200
    over = visit.call("POST", f"/api/v1/chat/{answer['id']}/cancel")
    assert problem(over) == (404, "not_found")
    silent(plain, streamed, shown, listed, rated, over)
    assert visit.call("DELETE", session).status_code == 204
    records = web.rig.records()
    assert {(record.site_id, record.tenant_id) for record in records} == {(site.site_id, site.tenant_id)}
    assert {record.caller.partition(":")[0] for record in records} == {"visitor"}


def test_visitors_come_to_their_own_routes_alone() -> None:
    routes = (*PLATFORM, *INFERENCE)
    assert {f"{route.method} {route.path}" for route in routes if route.access.visitor} <= THEIRS
    visitor = Caller("visitor", TenantId("ten_1"), device="d", site_id="site_1", origin=SHOP)
    for route in routes:
        if not route.access.visitor and not route.access.public:
            with pytest.raises(Forbidden):
                authorise(route.access, visitor)


def test_a_session_is_its_sites_and_its_devices(web: Web, site: Site) -> None:
    rig = web.rig
    visit = web.visit(site, SHOP)
    session = visit.call("POST", "/api/v1/chat", ASK).json()["session_key"]
    other_site = rig.sites.new(rig.tenant, "Second", site.prompt_profile)
    rig.sites.add(replace(other_site, allowed_domains=(SHOP,)), room=9)
    strangers = [
        web.visit(site, SHOP),  # another device
        web.visit(other_site, SHOP, old=visit.token),  # the same one at another site of the tenant
    ]
    for stranger in strangers:
        missing = stranger.call("GET", f"/api/v1/sessions/{'0' * 8}-0000-7000-8000-{'0' * 12}")
        for method in ("GET", "DELETE"):
            refused = stranger.call(method, f"/api/v1/sessions/{session}")
            assert refused.json() | {"trace_id": ""} == missing.json() | {"trace_id": ""}
            assert refused.status_code == 404
        assert stranger.call("POST", "/api/v1/chat", ASK | {"session_key": session}).status_code == 404
        assert stranger.call("GET", "/api/v1/sessions").json()["items"] == []
    # a token that was renewed goes on with its device's sessions
    renewed = web.visit(site, SHOP, old=visit.token)
    assert renewed.call("GET", f"/api/v1/sessions/{session}").status_code == 200


def test_a_visitor_chooses_neither_site_nor_model(web: Web, site: Site) -> None:
    visit = web.visit(site, SHOP)
    theirs = web.rig.sites.create_default(web.rig.add_tenant())
    answers = [
        visit.call("POST", "/api/v1/chat", ASK | {"site_id": site_id})
        for site_id in (theirs.site_id, new_id("site"), "x")
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert len({json.dumps(answer.json() | {"trace_id": ""}) for answer in answers}) == 1
    for choice in ({"model": "large"}, {"max_tokens": 4000}, {"temperature": 2}):
        refused = visit.call("POST", "/api/v1/chat", ASK | choice)
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, *choice)
    body = {"model": "default", "messages": [{"role": "user", "content": "Hi"}]}
    assert visit.call("POST", "/v1/chat/completions", body).status_code == 403
    assert visit.call("GET", "/v1/models").status_code == 403
    assert (web.rig.records(), web.rig.script.prompts) == ([], [])


@pytest.mark.parametrize("origin", ["", "null", OTHER, "https://shop.example.evil.example", "https://SHOP.example"])
def test_who_comes_from_elsewhere_is_refused_and_costs_nothing(web: Web, site: Site, origin: str) -> None:
    headers = {"origin": origin} if origin else {}
    body = {"embed_id": site.embed_script_id}
    made = web.call("POST", f"/api/v1/embed/visitor?site_key={site.site_key}", body, token="", headers=headers)
    assert problem(made) == (403, "origin_not_allowed")
    token = web.visit(site, SHOP).token
    thief = Visit(web, site.site_key, origin, token)
    refused = thief.call("POST", "/api/v1/chat", ASK)
    assert problem(refused) == (403, "origin_not_allowed")
    for answer in (made, refused):
        assert "access-control-allow-origin" not in answer.headers
    assert web.services.security.seen["origin_not_allowed"] == 2  # type: ignore[attr-defined]
    assert (web.rig.records(), web.rig.script.prompts, web.rig.open_holds()) == ([], [], 0)


def test_keys_that_are_none_lead_nowhere(web: Web, site: Site) -> None:
    token = web.visit(site, SHOP).token
    other = web.rig.sites.create_default(web.rig.add_tenant())
    web.rig.sites.save_site(replace(other, allowed_domains=(SHOP,)))
    for key, expected in (
        (site.site_key[:-1] + "x", (404, "not_found")),
        ("", (404, "not_found")),
        (other.site_key, (401, "invalid_token")),
    ):
        assert problem(Visit(web, key, SHOP, token).call("POST", "/api/v1/chat", ASK)) == expected
    made = web.call(
        "POST", "/api/v1/embed/visitor", {"embed_id": site.embed_script_id}, token="", headers={"origin": SHOP}
    )
    assert problem(made) == (404, "not_found")


def test_a_new_embed_script_voids_tokens_and_loaders_within_30_seconds(web: Web, site: Site) -> None:
    rig = web.rig
    visit = web.visit(site, SHOP)
    elsewhere = Sites(SiteStore(rig.client, "sites"), rig.clock)
    renewed = elsewhere.save_site(replace(site, embed_script_id=new_id("emb")))
    rig.clock.skip(30)
    assert problem(visit.call("POST", "/api/v1/chat", ASK)) == (401, "invalid_token")
    assert problem(visit.call("GET", "/api/v1/sessions")) == (401, "invalid_token")
    where, headers = f"/api/v1/embed/visitor?site_key={site.site_key}", {"origin": SHOP}
    for body, told in (
        ({"embed_id": site.embed_script_id}, (403, "embed_replaced")),
        ({"embed_id": site.embed_script_id, "token": visit.token}, (403, "embed_replaced")),
        ({"token": visit.token}, (400, "invalid_request")),
    ):
        refused = web.call("POST", where, body, token="", headers=headers)
        assert (problem(refused), refused.headers["access-control-allow-origin"]) == (told, SHOP)
    assert web.visit(renewed, SHOP).call("POST", "/api/v1/chat", ASK).status_code == 200


def test_a_spent_day_is_told_in_a_visitors_words(rig: Rig) -> None:
    site = site_of(rig, daily_quota=1)
    with served(rig) as web:
        visit = web.visit(site, SHOP)
        assert visit.call("POST", "/api/v1/chat", ASK).status_code == 200
        spent = visit.call("POST", "/api/v1/chat", ASK | {"stream": True})
        assert problem(spent) == (402, "quota_exceeded")
        body = spent.json()
        assert body["detail"] == "The assistant has answered all it may for now."
        assert set(body) == {"type", "title", "status", "code", "detail", "trace_id", "resets_at"}
        assert spent.headers["access-control-allow-origin"] == SHOP
        rig.registry.tenants[rig.tenant.tenant_id] = replace(rig.tenant, plan_status="suspended")
        for call in (("POST", "/api/v1/chat", ASK), ("GET", "/api/v1/canned")):
            stopped = visit.call(*call)
            assert problem(stopped) == (403, "site_disabled")
            assert "account" not in stopped.text


def test_too_much_is_refused_with_when_to_come_again(rig: Rig) -> None:
    site = site_of(rig)
    rig.clock.to_next_minute()
    with served(rig) as web:
        visit = web.visit(site, SHOP)
        answers = [visit.call("POST", "/api/v1/chat", ASK) for _ in range(VISITOR_CHATS["device"] + 1)]
    assert [answer.status_code for answer in answers] == [200] * VISITOR_CHATS["device"] + [429]
    assert 1 <= answers[-1].json()["retry_after"] <= 60
    assert answers[-1].headers["retry-after"] == str(answers[-1].json()["retry_after"])
    assert answers[-1].headers["access-control-allow-origin"] == SHOP
    assert len(rig.script.prompts) == VISITOR_CHATS["device"]


def test_an_address_calls_only_so_often_besides_chats(rig: Rig) -> None:
    site = site_of(rig)
    rig.clock.to_next_minute()
    with served(rig) as web:
        visit = web.visit(site, SHOP)
        answers = [visit.call("GET", "/api/v1/sessions") for _ in range(VISITOR_CALLS_OF_ADDRESS + 1)]
    assert {answer.status_code for answer in answers[:-1]} == {200}
    assert (answers[-1].status_code, answers[-1].json()["code"]) == (429, "rate_limited")


def outcomes(rig: Rig, askers: Any, process: Container | None = None) -> list[str]:
    """What became of one chat of each, all at once."""

    def one(asker: Any) -> str:
        try:
            (process or rig).chats.reply(asker, rig.ask(), rig.run())
        except RateLimited as limited:
            return f"429 {limited.extra['retry_after'] > 0}"
        except QuotaExceeded:
            return "402"
        return "answered"

    with ThreadPoolExecutor(64) as pool:
        return list(pool.map(one, askers))


def test_64_forged_origins_at_once_spend_no_more_than_the_sites_day(aws: str) -> None:
    """Each with an address and a device of its own, as a botnet has them: nothing but the ceiling holds them."""
    rig = Rig(replace(LIMITS, concurrent_chats=64))
    site_of(rig, daily_quota=10)
    found = outcomes(rig, [visitor_of(rig, n, f"198.51.100.{n}") for n in range(64)])
    assert (found.count("answered"), found.count("402")) == (10, 54)
    assert (len(rig.script.prompts), rig.chats_used(), rig.open_holds()) == (10, 10, 0)


def test_what_an_address_and_a_site_may_ask_a_minute(aws: str) -> None:
    rig = Rig(replace(LIMITS, concurrent_chats=64, chats_per_month=1000, requests_per_minute=100))
    site_of(rig)
    rig.clock.to_next_minute()
    of_site = round(100 * VISITOR_SHARE)
    one_address = [visitor_of(rig, n) for n in range(VISITOR_CHATS["address"] + 6)]
    found = outcomes(rig, one_address)
    assert (found.count("answered"), found.count("429 True")) == (VISITOR_CHATS["address"], 6)
    left = of_site - VISITOR_CHATS["address"]
    many = [visitor_of(rig, 1000 + n, f"198.51.100.{n}") for n in range(left + 6)]
    found = outcomes(rig, many)
    assert (found.count("answered"), found.count("429 True")) == (left, 6)
    client = Faulty(rig.client)
    process = Container(client, rig)
    outcomes(rig, one_address[:1], process)
    client.calls.clear()
    assert outcomes(rig, one_address, process) == ["429 True"] * len(one_address)
    assert client.calls == []  # what is known to be too much asks storage nothing
    member, _ = rig.chats.reply(rig.member(), rig.ask(), rig.run())
    assert member.answer  # whom no visitor locks out


def test_a_device_asks_two_things_at_once_and_no_more(rig: Rig) -> None:
    site_of(rig)
    visitor = visitor_of(rig, 1)
    streams = [rig.chats.stream(visitor, rig.ask(), rig.run()) for _ in range(VISITOR_CHATS_AT_ONCE)]
    for each in streams:
        next(each)
    with pytest.raises(RateLimited) as limited:
        rig.chats.reply(visitor, rig.ask(), rig.run())
    assert 1 <= limited.value.extra["retry_after"] <= 5
    streams[0].close()  # left or stopped: its place is free
    assert rig.chats.reply(visitor, rig.ask(), rig.run())[0].answer
    assert list(streams[1])
    assert rig.open_holds() == 0


def test_a_visitors_limits_are_asked_at_once_with_the_rest(rig: Rig) -> None:
    site_of(rig)
    client, visitor = Faulty(rig.client), visitor_of(rig, 1)
    process = Container(client, rig)
    answer, _ = process.chats.reply(visitor, rig.ask(), rig.run())
    rig.clock.skip(CACHE_SECONDS)
    client.calls.clear()
    gate = threading.Barrier(6)
    met: list[str] = []

    def meet(name: str, options: dict[str, Any]) -> None:
        if len(met) < 6:
            met.append(f"{name} {options['TableName']}")
            gate.wait(20)  # breaks unless the others are under way too

    client.before = meet
    process.chats.reply(visitor, rig.ask(session_key=answer.session_key), rig.run())
    assert sorted(met) == ["get_item runtime", "get_item sites", "query sites", *["update_item runtime"] * 3]
