"""The OpenAPI documents: complete, sound, and as strict about access as the routes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel, Field

from noren.edge import openapi
from noren.edge.apidoc import markdown
from noren.edge.http import Access, Route
from noren.edge.paging import PageQuery
from noren.tenants.models import Role


class Order(BaseModel):
    """An order."""

    item: str = Field(examples=["tea"])
    count: int = Field(1, ge=1, le=9)


class Placed(BaseModel):
    """What was ordered."""

    id: str
    order: Order
    note: str | None = None


class PlacedForVisitors(BaseModel):
    """What visitors see of an order."""

    id: str


def _nothing(call: Any) -> None:
    return None


ROUTES = (
    Route("GET", "/api/v1/orders", _nothing, Access(role=Role.VIEWER, scope="read"), "List", Placed, query=PageQuery),
    Route(
        "POST",
        "/api/v1/orders/{order_id}",
        _nothing,
        Access(role=Role.ADMIN),
        "Place",
        Placed,
        Order,
        status=201,
        idempotent=True,
        aliases=("/api/orders/{order_id}",),
    ),
    Route("POST", "/v1/chat", _nothing, Access(scope="chat"), "Chat", Placed, Order, openai=True, streams=True),
    Route("GET", "/api/v1/prices", _nothing, Access(public=True), "Prices", Placed),
    Route(
        "GET",
        "/api/v1/talk",
        _nothing,
        Access(scope="chat", visitor=True),
        "Talk",
        Placed,
        visitor_answer=PlacedForVisitors,
    ),
)


def refs(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from refs(value)
    elif isinstance(node, list):
        for value in node:
            yield from refs(value)


def sound(document: dict[str, Any]) -> None:
    """What any OpenAPI reader relies on."""
    assert json.loads(json.dumps(document)) == document
    for ref in refs(document):
        target: Any = document
        for part in ref.removeprefix("#/").split("/"):
            target = target[part]
    ids = []
    for path, methods in document["paths"].items():
        assert path.startswith("/")
        for operation in methods.values():
            ids.append(operation["operationId"])
            assert operation["responses"]
            declared = [each["name"] for each in operation.get("parameters", []) if each.get("in") == "path"]
            assert sorted(declared) == sorted(re.findall(r"\{(\w+)\}", path))
            for requirement in operation["security"]:
                assert set(requirement) <= set(document["components"]["securitySchemes"])
            for response in operation["responses"].values():
                assert response.get("description") or response["$ref"].startswith("#/components/responses/")
    assert len(ids) == len(set(ids))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr("importlib.import_module", lambda name: SimpleNamespace(ROUTES=ROUTES))
    return openapi.document(openapi.Api("test", "Test API", "For tests.", "nowhere:ROUTES"))


def test_the_document_is_sound(made: dict[str, Any]) -> None:
    sound(made)
    assert made["openapi"] == "3.1.0"


def test_access_becomes_security(made: dict[str, Any]) -> None:
    orders = made["paths"]["/api/v1/orders"]["get"]
    assert orders["security"] == [{"cognito": ["openid"]}, {"apiKey": ["read"]}]
    assert "role `viewer`" in orders["description"]
    assert made["paths"]["/api/v1/prices"]["get"]["security"] == []
    assert set(made["paths"]["/api/v1/prices"]["get"]["responses"]) == {"200", "429"}


def test_what_visitors_send_and_get_is_said(made: dict[str, Any]) -> None:
    talk = made["paths"]["/api/v1/talk"]["get"]
    assert talk["security"] == [{"apiKey": ["chat"]}, {"visitorToken": []}]
    assert {"$ref": "#/components/parameters/SiteKey"} in talk["parameters"]
    schema = talk["responses"]["200"]["content"]["application/json"]["schema"]
    assert [each["$ref"].rsplit("/", 1)[1] for each in schema["anyOf"]] == ["Placed", "PlacedForVisitors"]
    assert "Visitors of a site get {id}." in markdown([made])


def test_paging_and_idempotency_are_parameters(made: dict[str, Any]) -> None:
    queries = {each["name"]: each for each in made["paths"]["/api/v1/orders"]["get"]["parameters"] if "name" in each}
    assert queries["limit"]["schema"]["maximum"] == 100
    assert "cursor" in queries
    place = made["paths"]["/api/v1/orders/{order_id}"]["post"]
    assert {"$ref": "#/components/parameters/IdempotencyKey"} in place["parameters"]
    assert {"201", "400", "401", "403", "404", "409", "422", "429"} == set(place["responses"])
    assert place["x-aliases"] == ["/api/orders/{order_id}"]


def test_examples_are_valid(made: dict[str, Any]) -> None:
    example = made["paths"]["/v1/chat"]["post"]["requestBody"]["content"]["application/json"]["example"]
    assert Order.model_validate(example) == Order(item="tea", count=1)


def test_errors_and_streams_have_their_media_types(made: dict[str, Any]) -> None:
    chat = made["paths"]["/v1/chat"]["post"]["responses"]
    assert set(chat["200"]["content"]) == {"application/json", "text/event-stream"}
    errors = made["components"]["responses"]
    assert chat["429"] == {"$ref": "#/components/responses/OpenAiError429"}
    assert errors["OpenAiError429"]["content"]["application/json"]["schema"]["$ref"].endswith("OpenAiError")
    assert "402" not in chat
    place = made["paths"]["/api/v1/orders/{order_id}"]["post"]["responses"]
    assert place["404"] == {"$ref": "#/components/responses/Error404"}
    assert list(errors["Error404"]["content"]) == ["application/problem+json"]


def test_check_finds_drift(
    made: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(openapi, "ROOT", tmp_path)
    assert openapi.main(["--check"]) == 1
    assert openapi.main(["--write"]) == 0
    assert openapi.main(["--check"]) == 0
    text = (tmp_path / "docs" / "api.md").read_text()
    assert "### `POST /api/v1/orders/{order_id}`" in text
    assert "| `count` | integer 1–9 | optional." in text
    (tmp_path / "docs" / "api.md").write_text(text + "\n")
    capsys.readouterr()
    assert openapi.main(["--check"]) == 1
    assert "docs/api.md is out of date" in capsys.readouterr().err


@pytest.mark.parametrize("api", openapi.APIS, ids=lambda api: api.name)
def test_the_real_apis_are_sound(api: openapi.Api) -> None:
    sound(openapi.document(api))


@pytest.mark.parametrize("api", openapi.APIS, ids=lambda api: api.name)
def test_every_example_body_is_accepted_by_its_own_model(api: openapi.Api) -> None:
    made = openapi.document(api)
    for route in api.table():
        if route.body:
            operation = made["paths"][route.path][route.method.lower()]
            route.body.model_validate(operation["requestBody"]["content"]["application/json"]["example"])


def test_the_committed_documents_are_current() -> None:
    assert openapi.main(["--check"]) == 0
