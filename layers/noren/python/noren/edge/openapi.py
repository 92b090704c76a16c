"""The OpenAPI 3.1 documents of both APIs, made from their route tables and models, and `docs/api.md` from those.

`python -m noren.edge.openapi --write` writes them; `--check` fails if the files in the repository differ.
"""

from __future__ import annotations

import argparse
import importlib
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from noren.edge.apidoc import markdown, sample
from noren.edge.http import Access, Route

ROOT = Path(__file__).resolve().parents[5]
REF = "#/components/schemas/{model}"
Json = dict[str, Any]
References = Mapping[tuple[Any, JsonSchemaMode], Json]
"""By model and use of it (`validation`: as sent, `serialization`: as answered)."""


class FieldProblem(BaseModel):
    """What is wrong with one field."""

    field: str
    message: str


class Price(BaseModel):
    """An amount in the currency's minor unit (JPY and KRW have none)."""

    amount: int = Field(examples=[7800])
    currency: str = Field(examples=["JPY"])


class Problem(BaseModel):
    """An error as RFC 9457 has it. `code` is stable; `detail` is for people and says what to do next."""

    type: str = Field(examples=["urn:noren:problem:quota_exceeded"])
    title: str = Field(examples=["The quota is used up"])
    status: int = Field(examples=[402])
    code: str = Field(examples=["quota_exceeded"])
    detail: str = Field(examples=["All 100 chats of this month are used. The plan starter would fit."])
    trace_id: str = Field(examples=["0af7651916cd43dd8448eb211c80319c"])
    retry_after: int | None = Field(None, description="Seconds to wait before the next try.", examples=[5])
    errors: list[FieldProblem] | None = Field(None, description="Which fields were refused, and why.")
    plan: str | None = Field(None, description="The plan that would fit.", examples=["starter"])
    price: Price | None = Field(None, description="That plan's price for one month.")
    upgrade_url: str | None = Field(None, description="Where to buy it.", examples=["https://console.example/plans"])
    resets_at: str | None = Field(None, description="When the quota renews.", examples=["2026-11-30T15:00:00Z"])


class OpenAiProblem(BaseModel):
    """What OpenAI's clients expect inside `error`."""

    message: str
    type: str = Field(examples=["insufficient_quota"])
    param: str | None = None
    code: str | None = Field(None, examples=["insufficient_quota"])


class OpenAiError(BaseModel):
    """OpenAI's error envelope."""

    error: OpenAiProblem


@dataclass(frozen=True, slots=True)
class Api:
    """One of the two APIs and where its route table is."""

    name: str
    title: str
    description: str
    routes: str
    """`module:attribute`."""

    def table(self) -> Sequence[Route]:
        """The routes, imported only when a document is made."""
        module, attribute = self.routes.split(":")
        routes: Sequence[Route] = getattr(importlib.import_module(module), attribute)
        return routes


APIS = (
    Api(
        "platform",
        "Noren platform API",
        "Identity, plans and usage. Sign in with Cognito, then start at `GET /api/v1/me`.",
        "platform_api.routes:ROUTES",
    ),
    Api(
        "inference",
        "Noren inference API",
        "Chat, sessions and feedback, and OpenAI's wire format under `/v1`. `GET /api/v1/me` of the platform API gives "
        "the base URL.",
        "chat.routes:ROUTES",
    ),
)

ERRORS = {
    400: "The request is malformed; `errors` lists the fields.",
    401: "No valid credential.",
    402: "The quota is used up; the answer names the plan that would fit.",
    403: "Known, but not allowed (role, scope, suspended tenant, model outside the plan).",
    404: "No such thing in this tenant.",
    409: "A request with this Idempotency-Key is still under way.",
    422: "This Idempotency-Key was used with another body.",
    429: "Too many requests; `retry_after` says how long to wait.",
    502: "The models failed; nothing is charged.",
    503: "Temporarily out of capacity; `retry_after` says how long to wait.",
}
TRACE = {"x-trace-id": {"$ref": "#/components/headers/TraceId"}}
SECURITY_SCHEMES = {
    "cognito": {
        "type": "oauth2",
        "description": "Hosted login: authorization code with PKCE (S256). Send the **access** token as bearer.",
        "flows": {
            "authorizationCode": {
                "authorizationUrl": "https://auth.example/oauth2/authorize",
                "tokenUrl": "https://auth.example/oauth2/token",
                "refreshUrl": "https://auth.example/oauth2/token",
                "scopes": {"openid": "who you are", "email": "your address", "profile": "your name"},
            }
        },
    },
    "apiKey": {"type": "http", "scheme": "bearer", "description": "An API key (`nrn_…`) with the scopes named."},
    "deviceToken": {
        "type": "http",
        "scheme": "bearer",
        "description": "Somebody not signed in: a token of `POST /api/v1/visitor-tokens`.",
    },
    "visitorToken": {
        "type": "http",
        "scheme": "bearer",
        "description": "A visitor of a site: a token of `POST /api/v1/embed/visitor`, with `site_key` in the URL.",
    },
}


def document(api: Api) -> Json:
    """The OpenAPI document of one API."""
    routes = api.table()
    names, schemas = _schemas(routes)
    paths: Json = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, names, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": api.title, "version": "1", "description": api.description},
        "servers": [{"url": "/", "description": "The base URL of your installation"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(_tag(route) for route in routes)],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": _errors(routes, names),
            "securitySchemes": SECURITY_SCHEMES,
            "headers": {
                "TraceId": {
                    "description": "Names this request in logs and records.",
                    "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
                }
            },
            "parameters": {
                "IdempotencyKey": {
                    "name": "Idempotency-Key",
                    "in": "header",
                    "description": "The same key and body within 24 hours get the first answer again.",
                    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
                },
                "SiteKey": {
                    "name": "site_key",
                    "in": "query",
                    "description": "A visitor's site, by its public key. Browsers let pages of its origins read on.",
                    "schema": {"type": "string", "pattern": "^pk_[0-9a-f]{32}_[0-9a-f]{24}$"},
                },
                "TenantId": {
                    "name": "x-tenant-id",
                    "in": "header",
                    "description": "Which of your tenants; it only selects among your memberships.",
                    "schema": {"type": "string"},
                },
            },
        },
    }


def _schemas(routes: Iterable[Route]) -> tuple[References, Json]:
    """A reference for each model and use of it, and what the references lead to."""
    wanted: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {}
    for route in routes:
        if route.body:
            wanted[route.body, "validation"] = None
        if route.answer:
            wanted[route.answer, "serialization"] = None
        if route.visitor_answer:
            wanted[route.visitor_answer, "serialization"] = None
        wanted[(OpenAiError if route.openai else Problem), "serialization"] = None
    references, definitions = models_json_schema(list(wanted), ref_template=REF)
    return references, _decimals_as_text(definitions["$defs"])


def _decimals_as_text(node: Any) -> Any:
    """Decimals are strings in both directions; pydantic's schema would allow binary floats too."""
    if isinstance(node, list):
        return [_decimals_as_text(each) for each in node]
    if not isinstance(node, dict):
        return node
    options = node.get("anyOf", [])
    text = next((option for option in options if option.get("type") == "string"), None)
    if text and any(option.get("type") == "number" for option in options):
        rest = [option for option in options if option.get("type") != "number"]
        node = {**node, "anyOf": rest} if len(rest) > 1 else {**node, **text}
        if len(rest) == 1:
            del node["anyOf"]
    return {key: _decimals_as_text(value) for key, value in node.items()}


def _operation(route: Route, names: References, schemas: Json) -> Json:
    operation: Json = {
        "operationId": _operation_id(route),
        "tags": [_tag(route)],
        "summary": route.summary,
        "description": access(route.access),
        "security": _security(route.access),
    }
    if parameters := _parameters(route):
        operation["parameters"] = parameters
    if route.body:
        schema = names[route.body, "validation"]
        content = {"schema": schema, "example": sample(schema, schemas)}
        operation["requestBody"] = {"required": True, "content": {"application/json": content}}
    operation["responses"] = _responses(route, names, schemas)
    if route.aliases:
        operation["x-aliases"] = list(route.aliases)
    return operation


def _operation_id(route: Route) -> str:
    words = re.sub(r"^/api/v1|[{}]", "", route.path)
    return re.sub(r"\W+", "_", f"{route.method.lower()}{words}").strip("_")


def _tag(route: Route) -> str:
    parts = re.sub(r"^/(api/)?v1/", "", route.path.lstrip()).strip("/").split("/")
    return "openai" if route.openai else parts[0]


def access(rule: Access) -> str:
    """Who may call, in a sentence."""
    who = []
    if rule.public:
        return "Public; pages that the site allows may read it." if rule.visitor else "Public."
    if rule.role is not None:
        who.append(f"members from the role `{rule.role.name.lower()}` up")
    elif rule.user:
        who.append("anybody signed in")
    if rule.scope:
        who.append(f"API keys with the scope `{rule.scope}`")
    if rule.anonymous:
        who.append("visitors with a device token")
    if rule.visitor:
        who.append("visitors of a site (with its `site_key`)")
    if rule.platform_admin:
        who.append("platform admins (with TOTP)")
    return f"For {', '.join(who)}."


def _security(rule: Access) -> list[dict[str, list[str]]]:
    options: list[dict[str, list[str]]] = []
    if rule.role is not None or rule.user or rule.platform_admin:
        options.append({"cognito": ["openid"]})
    if rule.scope:
        options.append({"apiKey": [rule.scope]})
    if rule.anonymous:
        options.append({"deviceToken": []})
    if rule.visitor and not rule.public:
        options.append({"visitorToken": []})
    return options


def _parameters(route: Route) -> list[Json]:
    parameters: list[Json] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"\{(\w+)\}", route.path)
    ]
    if route.query:
        schema = route.query.model_json_schema()
        definitions = schema.get("$defs", {})
        for name, described in schema["properties"].items():
            parameter = {"name": name, "in": "query", "schema": _inlined(described, definitions)}
            if name in schema.get("required", ()):
                parameter["required"] = True
            parameters.append(parameter)
    if route.access.visitor:
        parameters.append({"$ref": "#/components/parameters/SiteKey"})
    if route.access.role is not None or route.access.user:
        parameters.append({"$ref": "#/components/parameters/TenantId"})
    if route.idempotent:
        parameters.append({"$ref": "#/components/parameters/IdempotencyKey"})
    return parameters


def _inlined(schema: Any, definitions: Json) -> Any:
    """A query field's schema with what it refers to in place (query models are flat)."""
    if isinstance(schema, list):
        return [_inlined(each, definitions) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(definitions[schema["$ref"].rsplit("/", 1)[1]], definitions)
    return {key: _inlined(value, definitions) for key, value in schema.items() if key != "title"}


def _responses(route: Route, names: References, schemas: Json) -> Json:
    good: Json = {"description": "Done.", "headers": TRACE}
    if route.answer:
        schema = names[route.answer, "serialization"]
        good["description"] = schemas[schema["$ref"].rsplit("/", 1)[1]].get("description", "The answer.")
        if route.visitor_answer:
            schema = {"anyOf": [schema, names[route.visitor_answer, "serialization"]]}
        good["content"] = {"application/json": {"schema": schema, "example": sample(schema, schemas)}}
    if route.media:
        good["content"] = {route.media: {"schema": {"type": "string"}}}
    if route.csv:
        good["content"]["text/csv"] = {"schema": {"type": "string"}}
    if route.streams:
        good.setdefault("content", {})["text/event-stream"] = {"schema": {"type": "string"}, "example": _events(route)}
    responses: Json = {str(route.status): good}
    for status in _statuses(route):
        responses[str(status)] = {"$ref": f"#/components/responses/{_error(status, openai=route.openai)}"}
    return responses


def _error(status: int, *, openai: bool) -> str:
    return f"{'OpenAi' if openai else ''}Error{status}"


def _errors(routes: Iterable[Route], names: References) -> Json:
    """The errors that operations refer to."""
    errors: Json = {}
    for openai, status in sorted({(route.openai, status) for route in routes for status in _statuses(route)}):
        kind, media = (OpenAiError, "application/json") if openai else (Problem, "application/problem+json")
        content = {media: {"schema": names[kind, "serialization"]}}
        told = {"description": ERRORS[status], "headers": TRACE, "content": content}
        errors[_error(status, openai=openai)] = told
    return errors


def _statuses(route: Route) -> list[int]:
    statuses = {429}
    if route.access.visitor:
        statuses |= {403, 404}
    if route.body or route.query:
        statuses.add(400)
    if not route.access.public:
        statuses |= {401, 403}
    if "{" in route.path:
        statuses.add(404)
    if route.idempotent:
        statuses |= {409, 422}
    if route.streams:
        statuses |= {502, 503} | (set() if route.openai else {402})
    return sorted(statuses)


def _events(route: Route) -> str:
    if route.openai:
        return 'data: {"object":"chat.completion.chunk",…}\n\ndata: [DONE]\n\n'
    return (
        'event: meta\ndata: {"id":"…","session_key":"…",…}\n\n'
        'event: delta\ndata: {"text":"Nine "}\n\n'
        'event: delta\ndata: {"text":"to five."}\n\n'
        "event: done\ndata: {…the buffered answer…}\n\n"
    )


def files() -> dict[Path, str]:
    """Every generated file and its text."""
    documents = {api.name: document(api) for api in APIS}
    texts = {
        ROOT / "docs" / "openapi" / f"{name}.json": json.dumps(made, indent=0, ensure_ascii=False) + "\n"
        for name, made in documents.items()
    }
    return texts | {ROOT / "docs" / "api.md": markdown(documents.values())}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 1 if `--check` finds a difference."""
    parser = argparse.ArgumentParser(prog="python -m noren.edge.openapi", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--write", action="store_true", help="write the files")
    what.add_argument("--check", action="store_true", help="fail if they differ from what would be written")
    options = parser.parse_args(arguments)
    stale = [path for path, text in files().items() if not path.is_file() or path.read_text() != text]
    if options.write:
        for path, text in files().items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return 0
    for path in stale:
        sys.stderr.write(f"{path.relative_to(ROOT)} is out of date: run `make openapi`\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
