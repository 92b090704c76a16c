"""`POST /api/v1/search`: passages alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from chat.routes import ROUTES
from noren.edge.dispatch import authorise
from noren.edge.http import Caller
from noren.errors import Forbidden
from noren.ids import new_id
from noren.tenants.models import Role
from tests.unit.chat.rig import Rig
from tests.unit.chat.test_passages import ABOUT_DOGS, ASKED, BILLED, PETS, SITE, STRANGE, VectorRig
from tests.unit.chat.web import Web, served

PATH = "/api/v1/search"


@pytest.fixture
def web(rig: Rig) -> Iterator[Web]:
    rig.train(*SITE)
    with served(rig) as running:
        yield running


def search(web: Web, query: str, token: str = "mika", **more: Any) -> Any:
    return web.call("POST", PATH, {"query": query, **more}, token)


@pytest.mark.parametrize("language", ["ja", "ko", "en"])
def test_passages_come_with_where_they_are_from(web: Web, language: Any) -> None:
    question, told, url = ASKED[language]
    for token in ("mika", "key"):
        found = search(web, question, token).json()
        first = found["passages"][0]
        assert (first["url"], found["is_answered"], found["index_version"], first["version"]) == (url, True, 1, 1)
        assert told in first["text"]
        assert 0.25 <= first["score"] == found["confidence"] <= 1
        assert set(first) == {
            *("title", "url", "anchor", "document_id", "version", "score", "headings", "language", "snippet", "text")
        }
    assert web.rig.records() == []  # words alone cost nothing


def test_headings_and_anchor_are_told(web: Web) -> None:
    first = search(web, ASKED["ja"][0]).json()["passages"][0]
    assert (first["title"], first["headings"], first["anchor"]) == ("ご利用案内", ["営業時間"], "hours")


def test_a_site_that_does_not_tell(web: Web) -> None:
    found = search(web, STRANGE["en"]).json()
    assert found["is_answered"] is False
    assert found["confidence"] < 0.25


def test_a_site_that_was_never_trained(web: Web) -> None:
    found = search(web, ASKED["en"][0], "stranger").json()
    assert found == {"passages": [], "confidence": 0.0, "is_answered": False, "index_version": 0}


def test_what_was_just_published_is_found_at_once(web: Web) -> None:
    assert search(web, ABOUT_DOGS).json()["is_answered"] is False
    web.rig.train(*SITE, PETS)
    assert search(web, ABOUT_DOGS).json()["index_version"] == 2


def test_no_more_than_asked_for(web: Web) -> None:
    assert len(search(web, "営業時間と支払い", limit=1).json()["passages"]) == 1


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"query": ""},
        {"query": " \n"},
        {"query": "x" * 2001},
        {"query": 5},
        {"query": "x", "limit": 0},
        {"query": "x", "limit": 21},
        {"query": "x", "limit": "3"},
        {"query": "x", "tenant_id": "ten_1"},
    ],
)
def test_what_is_refused(web: Web, body: dict[str, Any]) -> None:
    assert web.call("POST", PATH, body).status_code == 400


def test_another_tenants_site_is_none(web: Web) -> None:
    foreign = web.rig.sites.default_id(web.rig.tenant)
    answers = [search(web, "Returns?", "stranger", site_id=each) for each in (foreign, new_id("site"), "site_x")]
    assert [each.status_code for each in answers] == [404, 404, 404]
    assert len({(each.json()["code"], each.json()["detail"]) for each in answers}) == 1


def test_who_may_search() -> None:
    """No visitor: documents may be files that were never public, of which answers quote but snippets."""
    (access,) = [each.access for each in ROUTES if each.path == PATH]
    tenant = None
    for refused in (
        Caller("visitor", tenant, device="d", site_id="site_1"),
        Caller("anonymous", tenant, device="d"),
        Caller("api_key", tenant, key_id="k", scopes=frozenset({"read"})),
        Caller("user", tenant, user_id="u"),
    ):
        with pytest.raises(Forbidden):
            authorise(access, refused)
    authorise(access, Caller("member", tenant, user_id="u", role=Role.VIEWER))
    authorise(access, Caller("api_key", tenant, key_id="k", scopes=frozenset({"chat"})))


def test_an_index_that_cannot_be_read_is_a_503(web: Web) -> None:
    web.rig.bucket.fault = ConnectionError("secret")
    answer = search(web, ASKED["en"][0])
    assert (answer.status_code, answer.json()["code"]) == (503, "index_unavailable")
    assert "secret" not in answer.text


def test_a_questions_vector_is_a_request_of_its_own(aws: str) -> None:
    rig = VectorRig()
    with served(rig, process=rig.process) as web:
        found = search(web, ABOUT_DOGS, "key").json()
        assert found["passages"][0]["url"] == PETS[2]
        assert found["is_answered"]
        record = rig.records()[-1]
        assert (record.source, record.function, record.chats, record.caller) == ("query", "embedding", 0, "key:k1")
        assert rig.used() == BILLED
        headers = {"idempotency-key": "search-1"}
        body = {"query": ABOUT_DOGS}
        first, second = (web.call("POST", PATH, body, "key", headers=headers) for _ in range(2))
        assert first.json() == second.json() == found
        assert rig.used() == 2 * BILLED


def test_without_tokens_words_alone_are_searched(aws: str) -> None:
    rig = VectorRig(3)
    with served(rig, process=rig.process) as web:
        assert search(web, ABOUT_DOGS).json()["is_answered"] is False
        assert search(web, ASKED["en"][0]).json()["is_answered"] is True
    assert rig.used() == 0


def test_a_suspended_tenant_searches_nothing(web: Web) -> None:
    rig = web.rig
    rig.registry.tenants[rig.tenant.tenant_id] = replace(rig.tenant, plan_status="suspended")
    answer = search(web, ASKED["en"][0])
    assert (answer.status_code, answer.json()["code"]) == (403, "suspended")
