"""Visitors of a site over real HTTP: pages of its origins chat there, others don't, and forged origins win nothing."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from tests.e2e.client import Client, Stack

pytestmark = pytest.mark.e2e

SHOP = "https://shop.example"
HOSTILE = (
    "null",
    "https://shop.example.evil.example",
    "https://evilshop.example",
    "https://www.shop.example",
    "https://shop.example:8443",
    "http://shop.example",
    "https://shop.example@evil.example",
    "https://xn--hop-ehd.example",
    "https://shop.example.",
    "https://SHOP.example",
    "https://shop.example/",
)
DAY = 5


@dataclass
class Shop:
    """A tenant with one site, and a page of it."""

    owner: Client
    site: dict[str, Any]

    def call(
        self, method: str, path: str, body: Any = None, token: str = "", origin: str = SHOP, **headers: str
    ) -> requests.Response:
        """What a page of that origin sends, with the site's key."""
        where = f"{path}?site_key={self.site['site_key']}"
        given = headers | ({"origin": origin} if origin else {})
        return Client(self.owner.base, token).call(method, where, body, **given)

    def enter(self, token: str | None = None, **more: Any) -> requests.Response:
        """What the loader asks for before anything else."""
        return self.call(
            "POST", "/api/v1/embed/visitor", {"embed_id": self.site["embed_script_id"], "token": token}, **more
        )

    def token(self, **more: Any) -> str:
        made = self.enter(**more)
        assert made.status_code == 201, made.text
        token: str = made.json()["token"]
        return token


def shop_of(stack: Stack, name: str, **settings: Any) -> Shop:
    owner, me = stack.newcomer(name)
    site_id = me["tenant"]["default_site_id"]
    site = owner.ok("PATCH", f"/api/v1/sites/{site_id}", {"allowed_domains": ["shop.example"], **settings})
    return Shop(owner, site)


@pytest.fixture(scope="module")
def shop(stack: Stack) -> Shop:
    return shop_of(stack, "shop")


def code(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def reader(answer: requests.Response) -> str:
    """Who may read it."""
    assert "Origin" in answer.headers["vary"]
    return answer.headers.get("access-control-allow-origin", "")


def test_a_page_of_the_site_chats_as_a_browser_does_it(shop: Shop) -> None:
    asks = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}
    preflight = shop.call("OPTIONS", "/api/v1/chat", **asks)
    assert (preflight.status_code, reader(preflight)) == (204, SHOP)
    assert "authorization" in preflight.headers["access-control-allow-headers"]
    token = shop.token()
    answer = shop.call("POST", "/api/v1/chat", {"message": "When are you open?"}, token)
    assert (answer.status_code, reader(answer)) == (200, SHOP)
    said = answer.json()
    assert set(said) >= {"id", "session_key", "answer", "sources", "finish_reason", "trace_id"}
    streamed = shop.call(
        "POST",
        "/api/v1/chat",
        {"message": "And on Sundays?", "session_key": said["session_key"], "stream": True},
        token,
    )
    assert reader(streamed) == SHOP
    names = [line.removeprefix("event: ") for line in streamed.text.splitlines() if line.startswith("event: ")]
    assert (names[0], names[-1]) == ("meta", "done")
    shown = shop.call("GET", f"/api/v1/sessions/{said['session_key']}", token=token)
    assert len(shown.json()["messages"]) == 2
    records = shop.owner.ok("GET", "/api/v1/usage/records")["items"]
    model = {record["model"] for record in records}
    for each in (answer, streamed, shown):
        for word in ("cost", "quota", "credits", "provider", "model", *model):
            assert word not in each.text, word


@pytest.mark.parametrize("origin", HOSTILE)
def test_no_other_origin_comes_in_or_reads_a_word(shop: Shop, origin: str) -> None:
    token = shop.token()
    asks = {"access-control-request-method": "POST"}
    assert reader(shop.call("OPTIONS", "/api/v1/chat", origin=origin, **asks)) == ""
    for answer in (
        shop.enter(token, origin=origin),
        shop.call("POST", "/api/v1/chat", {"message": "Hello"}, token, origin=origin),
        shop.call("GET", "/api/v1/sessions", token=token, origin=origin),
    ):
        assert (code(answer), reader(answer)) == ((403, "origin_not_allowed"), "")


def test_no_origin_at_all_is_for_sites_that_servers_may_call(stack: Stack, shop: Shop) -> None:
    assert code(shop.enter(origin="")) == (403, "origin_not_allowed")
    server = shop_of(stack, "server", allow_server_calls=True)
    token = server.token(origin="")
    assert server.call("POST", "/api/v1/chat", {"message": "Hello"}, token, origin="").status_code == 200
    assert code(server.call("GET", "/api/v1/sessions", token=token)) == (403, "origin_not_allowed")


def test_a_token_is_good_at_its_own_site_and_for_visitors_routes_alone(stack: Stack, shop: Shop) -> None:
    token, other = shop.token(), shop_of(stack, "rival")
    stolen = other.call("POST", "/api/v1/chat", {"message": "Hello"}, token)
    assert (code(stolen), reader(stolen)) == ((401, "invalid_token"), SHOP)
    body = {"message": "Hello", "site_id": other.site["site_id"]}
    assert code(shop.call("POST", "/api/v1/chat", body, token)) == (404, "not_found")
    for path in ("/api/v1/api-keys", "/api/v1/sites", "/api/v1/members", "/api/v1/usage", "/v1/models"):
        refused = shop.call("GET", path, token=token)
        assert (refused.status_code, reader(refused)) == (403, "")


def test_64_forged_origins_at_once_spend_no_more_than_the_sites_day(stack: Stack) -> None:
    """From one address here: its own limits hold most of them back, the day's ceiling the rest."""
    shop = shop_of(stack, "flooded", daily_quota=DAY)
    before = stack.model_calls()

    def one(_: int) -> str:
        made = shop.enter()
        if made.status_code != 201:
            return f"no token: {made.status_code} {made.json()['retry_after'] > 0}"
        answer = shop.call("POST", "/api/v1/chat", {"message": "Spend"}, made.json()["token"])
        assert reader(answer) == SHOP
        assert not {"plan", "price", "upgrade_url"} & set(answer.json())
        return f"{answer.status_code}"

    with ThreadPoolExecutor(64) as pool:
        found = Counter(pool.map(one, range(64)))
    assert found["200"] <= DAY, found
    assert set(found) <= {"200", "402", "429", "no token: 429 True"}, found
    assert found["no token: 429 True"] >= 3, found
    assert stack.model_calls() - before == found["200"]
    records = shop.owner.ok("GET", "/api/v1/usage/records?limit=100")["items"]
    assert len(records) == found["200"], json.dumps(records)
