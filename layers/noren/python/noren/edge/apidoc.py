"""OpenAPI documents for people: `docs/api.md`, and samples of schemas."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

Json = dict[str, Any]

HEAD = """# API

Made from the route tables and models by `make openapi`; don't edit.

- JSON is snake_case; times are ISO 8601 UTC with `Z`; charges are integers in the currency's minor unit; costs are
  decimal strings.
- Send `Authorization: Bearer <token>`: the Cognito **access** token, an API key (`nrn_…`), a visitor's or a device
  token. If you are a member of several tenants, `x-tenant-id` picks one.
- Lists take `limit` (1–100) and `cursor`, and answer `items` and `next_cursor`, newest first.
- Errors are `application/problem+json` with a stable `code`; `/v1/*` answers OpenAI's envelope.
- A POST marked *idempotent* takes an `Idempotency-Key`: same key and body within 24 h → the first answer again; other
  body → 422 `idempotency_key_reused`; still under way → 409 `in_progress`.
- Every answer carries `x-trace-id`.
"""


BY_NAME = {
    "granularity": "day",
    "group_by": "function",
    "from": "2026-11-01",
    "to": "2026-11-30",
    "month": "2026-11",
    "period": "2026-11-26",
    "group": "chatbot",
    "function": "chatbot",
    "late_cost_usd": "0",
    "revenue_usd": "52",
    "margin_usd": "51.99958",
    "id": "req_019ab2c4d5e67f8091a2b3c4d5e6f708",
    "token": "v1.eyJpbnZpdGF0aW9uIjoi.c2lnbmF0dXJl",
    "plan": "starter",
    "plans": "starter",
    "aliases": "ESSENTIAL",
    "email": "mei@example.com",
    "billing_email": "mei@example.com",
    "invoice_email": "mei@example.com",
    "stripe_payment_method_id": "pm_1QxZ2mKc0aTnVb9L",
    "stripe_payment_intent_id": "pi_3QxZ2mKc0aTnVb9L",
    "payment_method_id": "pm_1QxZ2mKc0aTnVb9L",
    "payment_intent_id": "pi_3QxZ2mKc0aTnVb9L",
    "subscription_id": "sub_1QxZ2mKc0aTnVb9L",
    "transaction_id": "ord_019ab2c4d5e67f8091a2b3c4d5e6f708",
    "current_period_end": "2026-12-20T03:00:00Z",
    "grace_until": "2026-11-27T03:00:00Z",
    "brand": "visa",
    "last4": "4242",
    "user_id": "7d9f0c6e-1f4b-4a53-9a55-0c0f4e7a2b11",
    "tenant_id": "ten_019ab2c4d5e67f8091a2b3c4d5e6f708",
    "default_site_id": "site_019ab2c4d5e67f8091a2b3c4d5e6f708",
    "site_id": "site_019ab2c4d5e67f8091a2b3c4d5e6f708",
    "request_id": "req_019ab2c4d5e67f8091a2b3c4d5e6f708",
    "invitation_id": "inv_019ab2c4d5e67f8091a2b3c4d5e6f708",
    "key_id": "key_019ab2c4d5e67f8091a2b3c4d5e6f708",
    "document_id": "doc_019ab2c4d5e67f8091a2b3c4d5e6f708",
    "session_key": "0b8e3a52-7c1d-4f1e-9f63-2a5a6f0d9c11",
    "title": "Opening hours",
    "url": "https://example.com/hours",
    "domains": "shop.example",
    "allowed_domains": "https://shop.example",
    "site_key": "pk_019ab2c4d5e67f8091a2b3c4d5e6f708_5b1f0c2a9d3e4f6071829304",
    "suggested_questions": "When are you open?",
    "prompt_profile": "prof_019ab2c4d5e67f8091a2b3c4d5e6f708",
    "default_model": "phi-3-mini",
    "embed_script_id": "emb_019ab2c4d5e67f8091a2b3c4d5e6f708",
    "embed_id": "emb_019ab2c4d5e67f8091a2b3c4d5e6f708",
    "previous_key_until": "2026-11-21T03:00:00Z",
    "last_trained_at": "2026-11-20T03:00:00Z",
    "restorable_until": "2026-12-20T03:00:00Z",
    "created_by": "user:7d9f0c6e-1f4b-4a53-9a55-0c0f4e7a2b11",
    "updated_by": "user:7d9f0c6e-1f4b-4a53-9a55-0c0f4e7a2b11",
    "deleted_by": "user:7d9f0c6e-1f4b-4a53-9a55-0c0f4e7a2b11",
    "integrity": "sha384-oqVuAfXRKap7fdgcCY5uykM6+R9GqQ8K/uxy9rx7HNQlGYl1kPzQho1wx4JwY8wC",
    "src": "https://console.example/widget/loader.81d75b79a569.js",
    "snippet": "We are open from nine to five.",
    "model_used": "microsoft/Phi-3-mini-4k-instruct",
    "provider": "runpod",
    "tier": "free",
    "reason": "plan",
    "fallbacks_tried": "mistral_7b",
    "amount": "0.063",
    "cost_local": "0.063",
    "inference_url": "https://inference.example",
    "plan_status": "active",
    "last_prompt_at": "2026-11-20T03:00:00Z",
    "message": "When are you open?",
    "model": "phi-3-mini",
    "currency": "JPY",
    "name": "Mei's shop",
    "timezone": "Asia/Tokyo",
    "effective_date": "2026-12-01",
    "rate": "150.5",
    "answer": "Nine to five.",
    "trace_id": "0af7651916cd43dd8448eb211c80319c",
    "cost_usd": "0.00042",
    "at": "2026-11-20T03:00:00Z",
    "created_at": "2026-11-20T03:00:00Z",
    "updated_at": "2026-11-20T03:00:00Z",
    "occurred_at": "2026-11-20T03:00:00Z",
    "expires_at": "2027-11-20T03:00:00Z",
    "resets_at": "2026-11-30T15:00:00Z",
    "valid_from": "2026-12-01T00:00:00Z",
    "valid_until": "2027-01-01T00:00:00Z",
    "deleted_at": "2026-11-20T03:00:00Z",
    "read_at": "2026-11-20T03:00:00Z",
    "discount_rate": "0.1",
    "package_id": "pkg_019ab2c4d5e67f8091a2b3c4d5e6f708",
    "audit_id": "aud_019ab2c4d5e67f8091a2b3c4d5e6f708",
    "notification_id": "note_019ab2c4d5e67f8091a2b3c4d5e6f708",
    "notification_ids": "note_019ab2c4d5e67f8091a2b3c4d5e6f708",
    "actor": "user:7d9f0c6e-1f4b-4a53-9a55-0c0f4e7a2b11",
    "action": "PATCH /api/v1/members/{user_id}",
    "entity_type": "members",
    "entity_id": "7d9f0c6e-1f4b-4a53-9a55-0c0f4e7a2b11",
    "address_prefix": "198.51.100.0/24",
}
"""What a text field of that name looks like, where its model gives no example."""


def resolve(schema: Json, schemas: Json) -> Json:
    """What a schema's reference leads to (or itself)."""
    while "$ref" in schema:
        schema = schemas[schema["$ref"].rsplit("/", 1)[1]]
    return schema


def sample(schema: Json, schemas: Json, name: str = "") -> Any:
    """A plausible value of a schema: its own example where it has one. `name` is that of the field."""
    schema = resolve(schema, schemas)
    if "examples" in schema:
        return schema["examples"][0]
    for key in ("const", "default"):
        if schema.get(key) is not None:
            return schema[key]
    if "enum" in schema:
        return schema["enum"][0]
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            options = [option for option in schema[key] if option.get("type") != "null"]
            return sample(options[0], schemas, name) if options else None
    kind = schema.get("type")
    if kind == "object" or "properties" in schema:
        parts = schema.get("properties", {})
        required = schema.get("required", ())
        shown = [
            field
            for field, part in parts.items()
            if field in required or "examples" in part or resolve(part, schemas).get("default", 0) is not None
        ]
        return {field: sample(parts[field], schemas, field) for field in shown or parts}
    if kind == "array":
        return [sample(schema["items"], schemas, name)] if schema.get("items") else []
    if kind == "string":
        formats = {"date-time": "2026-11-20T03:00:00Z", "date": "2026-11-20", "email": "mei@example.com"}
        return formats.get(schema.get("format", "")) or BY_NAME.get(name, "…")
    numbers: dict[str, Any] = {"integer": schema.get("minimum", 1), "number": schema.get("minimum", 0.5)}
    return {**numbers, "boolean": True}.get(kind or "")


def markdown(documents: Iterable[Json]) -> str:
    """`docs/api.md`."""
    lines = [HEAD]
    for document in documents:
        schemas = document["components"]["schemas"]
        lines += [f"# {document['info']['title']}\n", f"{document['info']['description']}\n"]
        for tag in (each["name"] for each in document["tags"]):
            lines.append(f"## {tag}\n")
            for path, methods in document["paths"].items():
                for method, operation in methods.items():
                    if tag in operation["tags"]:
                        lines += _operation(method.upper(), path, operation, schemas)
    return "\n".join(lines).rstrip() + "\n"


def _operation(method: str, path: str, operation: Json, schemas: Json) -> Iterator[str]:
    yield f"### `{method} {path}`\n"
    marks = [operation["description"]]
    parameters = operation.get("parameters", [])
    if any(each.get("$ref", "").endswith("/IdempotencyKey") for each in parameters):
        marks.append("*Idempotent.*")
    if aliases := operation.get("x-aliases"):
        marks.append("Also at " + ", ".join(f"`{alias}`" for alias in aliases) + ".")
    yield f"{operation['summary'].rstrip('.')}. {' '.join(marks)}\n"
    if queries := [each for each in parameters if each.get("in") == "query"]:
        yield "Query: " + ", ".join(f"`{each['name']}` ({kind(each['schema'], schemas)})" for each in queries) + ".\n"
    if body := operation.get("requestBody"):
        content = body["content"]["application/json"]
        yield from _fields("Body", content["schema"], schemas)
        yield f"```json\n{json.dumps(content['example'], indent=2, ensure_ascii=False)}\n```\n"
    for status, response in operation["responses"].items():
        if int(status) >= 400:
            continue
        content = response.get("content", {})
        if "application/json" in content:
            schema = content["application/json"]["schema"]
            answer, *visitors = schema.get("anyOf", [schema])
            yield from _fields(f"Answer {status}", answer, schemas)
            for less in visitors:
                yield f"Visitors of a site get {kind(less, schemas)}.\n"
            example = json.dumps(content["application/json"]["example"], indent=2, ensure_ascii=False)
            yield f"<details><summary>Example</summary>\n\n```json\n{example}\n```\n\n</details>\n"
        else:
            yield f"Answer {status}, {', '.join(f'`{media}`' for media in content) or 'no body'}.\n"
        if "text/csv" in content:
            yield "With `format=csv` or `Accept: text/csv`, a table; where it is long, its `Link` header leads on.\n"
        if "text/event-stream" in content:
            yield "With `stream: true`, server-sent events:\n"
            yield f"```\n{content['text/event-stream']['example'].strip()}\n```\n"
    errors = [status for status in operation["responses"] if int(status) >= 400]
    yield f"Errors: {', '.join(errors)}.\n"


def _fields(title: str, schema: Json, schemas: Json) -> Iterator[str]:
    found = resolve(schema, schemas)
    if "properties" not in found:
        yield f"{title}: {kind(schema, schemas)}.\n"
        return
    yield f"{title}:\n"
    yield "| field | type | |\n|---|---|---|"
    for name, part in found["properties"].items():
        needed = "" if name in found.get("required", ()) or title.startswith("Answer") else "optional. "
        about = part.get("description") or resolve(part, schemas).get("description", "")
        text = (needed + " ".join(about.split())).strip().replace("|", "\\|")
        yield f"| `{name}` | {kind(part, schemas)} | {text} |"
    yield ""


def kind(schema: Json, schemas: Json) -> str:
    """A schema's type in a few words."""
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " or ".join(dict.fromkeys(kind(option, schemas) for option in schema[key]))
    found = resolve(schema, schemas)
    if "const" in found:
        return f"`{found['const']}`"
    if "enum" in found:
        return " ".join(f"`{value}`" for value in found["enum"])
    what = found.get("type", "any")
    if what == "array":
        return f"list of {kind(found.get('items', {}), schemas)}"
    if what == "object" and "properties" in found:
        return "{" + ", ".join(found["properties"]) + "}"
    if what in ("integer", "number") and "minimum" in found and "maximum" in found:
        return f"{what} {found['minimum']}–{found['maximum']}"
    if what == "string" and "maxLength" in found:
        return f"string ≤ {found['maxLength']}"
    return str(what)
