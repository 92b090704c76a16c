"""Every number that a route takes, found in its model: what is no fitting number is refused, and nothing changes.

A new field or route is tried by being there. Its good call comes from `changes.py`, so that the number alone is wrong.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Literal

import boto3
import pytest
from pydantic import BaseModel

from noren.edge.http import Route
from noren.edge.paging import PageQuery
from noren.ids import TenantId
from noren.limits import RATES, Rate
from noren.tables import from_item
from platform_api.routes import ROUTES
from tests.unit.platform_api import changes
from tests.unit.platform_api.changes import CHANGES, CHANGING, OWNER, name
from tests.unit.platform_api.kit import TABLES, Platform

Path = tuple[str | int, ...]
Kind = Literal["integer", "decimal", "float"]

NONE: tuple[Any, ...] = (math.nan, math.inf, -math.inf, 1e308, -1e308, 10**39 - 1, -(10**39) + 1, True, False)
"""What no field of either kind takes."""
HOSTILE: dict[Kind, tuple[Any, ...]] = {
    "integer": (*NONE, -1, -(10**17), 1.5, 1.0, 0.1, "1", "0x10", "١", [], [1], {}),
    "float": (*NONE, -1, -0.1, "1", "0.5", "NaN", "", [], [1], {}),
    "decimal": (*NONE, -1, "-1", 1.5, 1.0, "NaN", "Infinity", "1e308", "1e5", "9" * 39, "1.", " 1", "0x10", "١", [1]),
}
HOSTILE_QUERIES = ("-1", "1.5", "1e3", "1e308", "NaN", "Infinity", "9" * 39, "true", "0x10", "", "[]")


def numbers(model: type[BaseModel] | None) -> Iterator[tuple[Path, Kind, dict[str, Any]]]:
    """Where a model holds numbers: the path to each (`*`: any member, 0: any element), its kind and schema."""
    if model is not None:
        schema = model.model_json_schema()
        yield from _numbers(schema, schema.get("$defs", {}), ())


def _numbers(
    schema: dict[str, Any], definitions: dict[str, Any], path: Path
) -> Iterator[tuple[Path, Kind, dict[str, Any]]]:
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rsplit("/", 1)[1]]
    options = schema.get("anyOf", [])
    kinds = {option.get("type") for option in options}
    if "number" in kinds or schema.get("type") == "number":
        kind: Kind = "decimal" if "string" in kinds else "float"  # what is no money is a number in JSON too
        yield path, kind, next((each for each in options if each.get("type") == "number"), schema)
        return
    if schema.get("type") == "integer":
        yield path, "integer", schema
    for option in options:
        yield from _numbers(option, definitions, path)
    for field, part in schema.get("properties", {}).items():
        yield from _numbers(part, definitions, (*path, field))
    if isinstance(schema.get("additionalProperties"), dict):
        yield from _numbers(schema["additionalProperties"], definitions, (*path, "*"))
    if "items" in schema:
        yield from _numbers(schema["items"], definitions, (*path, 0))


def values(kind: Kind, schema: dict[str, Any]) -> tuple[Any, ...]:
    """What is hostile to a field: what no number field takes, and what lies just beyond its own bounds."""
    beyond: list[Any] = []
    if "maximum" in schema:
        beyond.append(schema["maximum"] + 1)
    if "exclusiveMaximum" in schema:
        beyond.append(schema["exclusiveMaximum"])
    if schema.get("minimum", 0) > 0 or "exclusiveMinimum" in schema:
        beyond.append(0)
    return (*HOSTILE[kind], *(str(each) if kind == "decimal" else each for each in beyond))


def placed(body: Any, path: Path, value: Any) -> Any:
    """The body with the value put where the path leads."""
    made = copy.deepcopy(body)
    here = made
    for step, following in pairwise(path):
        here = here[0] if step == 0 else here.setdefault(step, [] if following == 0 else {})
    last = path[-1]
    if last == "*":
        here[next(iter(here))] = value
    elif last == 0:
        here[:] = [value]
    else:
        here[last] = value
    return made


def state() -> list[str]:
    """All that is stored, but for rates and counted refusals."""
    client = boto3.client("dynamodb")
    found = [
        json.dumps(from_item(item), sort_keys=True, default=str)
        for table in TABLES
        if table != "runtime"
        for item in client.scan(TableName=table, ConsistentRead=True)["Items"]
        if not item["pk"]["S"].startswith("SECURITY#")
    ]
    return sorted(found)


BODIES = [route for route in CHANGING if any(numbers(route.body))]
QUERIES = [route for route in ROUTES if any(numbers(route.query))]


def test_numbers_are_found_wherever_they_stand() -> None:
    found = {(name(route), path) for route in BODIES for path, _, _ in numbers(route.body)}
    for route, path in (
        ("POST /api/v1/admin/plans", ("prices", "JPY")),
        ("POST /api/v1/admin/plans", ("limits", "free_credits_per_month")),
        ("POST /api/v1/admin/model-policies", ("gpu_second_usd",)),
        ("POST /api/v1/admin/exchange-rates", ("rate",)),
        ("PATCH /api/v1/admin/tenants/{tenant_id}", ("overrides", "*")),
        ("PATCH /api/v1/admin/packages/{package_id}", ("prices", "USD")),
        ("POST /api/v1/admin/packages", ("discount_rate",)),
        ("PATCH /api/v1/credits/auto-purchase", ("monthly_cap",)),
        ("PATCH /api/v1/api-keys/{key_id}", ("expires_in_days",)),
    ):
        assert (route, path) in found
    lists = [route for route in ROUTES if route.query and issubclass(route.query, PageQuery)]
    assert all("limit" in [path[-1] for path, _, _ in numbers(route.query)] for route in lists)


@pytest.mark.parametrize("route", BODIES, ids=name)
def test_what_is_no_fitting_number_is_refused(
    platform: Platform, route: Route, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RATES, "train", Rate(10**6, 60))  # refused for what it is, not for how often
    changes.people(platform)
    change = CHANGES[name(route)](platform)
    token = changes.token(platform, route)
    for who in (OWNER, changes.BOSS):
        platform.services.tenants.set_overrides(
            TenantId(platform.tenant_of(who)), {"requests_per_minute": 10**9}, "test"
        )
    before = state()
    for path, kind, schema in numbers(route.body):
        for value in values(kind, schema):
            raw = json.dumps(placed(change.body, path, value)).encode()
            answer = platform.call(route.method, change.path, token, raw=raw)
            assert 400 <= answer.status < 500, (path, value, answer.status, answer.body)
            assert answer.status != 429
    assert state() == before
    assert platform.call(route.method, change.path, token, change.body).status < 400, "the good call must be good"


@pytest.mark.parametrize("route", QUERIES, ids=name)
def test_what_is_no_fitting_number_in_a_query_is_refused(platform: Platform, route: Route) -> None:
    token = platform.sign_up("boss", admin=True, totp=True)
    path = route.path.replace("{tenant_id}", platform.tenant_of("boss"))
    for (field, *_), _, schema in numbers(route.query):
        beyond = [str(schema["maximum"] + 1)] if "maximum" in schema else []
        beyond += ["0"] if schema.get("minimum", 0) > 0 else []
        for text in (*HOSTILE_QUERIES, *beyond):
            answer = platform.call(route.method, path, token, query={str(field): text})
            assert answer.status == 400, (field, text, answer.body)
