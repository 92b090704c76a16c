"""What the security tests of the run send: for each route of both APIs a good body and ids that are somebody else's.

A new route needs its lines here; `test_every_route_has_its_fixtures` says which.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from chat.routes import ROUTES as INFERENCE
from noren.billing.seed import PACKAGES
from noren.edge.http import Access, Route
from platform_api.routes import ROUTES as PLATFORM
from tests.e2e.client import Client
from tests.e2e.security_world import World

ROUTES = (*PLATFORM, *INFERENCE)
PUBLIC = {
    "GET /health",
    "GET /api/v1/plans",
    "GET /api/v1/embed/script",
    "GET /api/v1/embed/config",
    "POST /api/v1/visitor-tokens",
    "POST /api/v1/embed/visitor",
}
"""What anybody may call. A route more needs a line here, on purpose."""

NOTHING = "0" * 32
NO_TENANT = f"ten_{NOTHING[:-1]}1"
NO_SITE = f"site_{NOTHING[:-1]}1"
"""All noughts is the platform's own."""
BOUGHT = {"package_id": PACKAGES[0].package_id, "payment_method": "stripe"}

CANNED = {"patterns": [{"kind": "exact", "text": "Nobody asks this."}], "answer": "All is free."}
TEXTS = [{"title": each, "text": f"{each}: ten to six."} for each in ("Weekdays", "Weekends")]
ARMS = [{"arm": "A", "version": 1, "weight": 1}, {"arm": "B", "version": 1, "weight": 1}]


def name(route: Route) -> str:
    return f"{route.method} {route.path}"


PROTECTED = [route for route in ROUTES if not route.access.public]
VISITORS = [route for route in PROTECTED if route.access == Access(visitor=True)]
"""What nobody but a page's visitor may call: tests/e2e/test_visitors.py, tests/unit/chat/test_canned.py."""
TENANTS = [route for route in PROTECTED if not route.access.platform_admin and route not in VISITORS]
ADMINS = [route for route in PROTECTED if route.access.platform_admin]

BODIES: dict[str, Any] = {
    "POST /api/v1/sites/{site_id}/icon/check": {"url": "https://shop.example/icon.png"},
    "POST /api/v1/sites/{site_id}/embed/check": {"url": "https://shop.example/"},
    "POST /api/v1/webhooks": {"callback_url": "https://shop.example/hook", "event_types": ["feedback"]},
    "PATCH /api/v1/webhooks/{webhook_id}": {"description": "taken over"},
    "POST /api/v1/train/text": {"site_id": NO_SITE, "texts": [{"title": "Taken over", "text": "All is free."}]},
    "POST /api/v1/train/qa": {"site_id": NO_SITE, "pairs": [{"question": "Price?", "answer": "All is free."}]},
    "POST /api/v1/train/uploads": {"site_id": NO_SITE},
    "POST /api/v1/train/estimate": {"site_id": NO_SITE, "url": "https://shop.example/"},
    "POST /api/v1/train/url": {"site_id": NO_SITE, "url": "https://shop.example/"},
    "POST /api/v1/train/files": {"site_id": NO_SITE, "files": [{"upload_id": f"upl_{NOTHING}", "name": "a.txt"}]},
    "PATCH /api/v1/tenant": {"name": "Taken over"},
    "PATCH /api/v1/members/{user_id}": {"role": "viewer"},
    "PATCH /api/v1/api-keys/{key_id}": {"scopes": ["admin"]},
    "PATCH /api/v1/invitations/{invitation_id}": {"role": "viewer"},
    "POST /api/v1/invitations": {"email": "accomplice@noren.example", "role": "admin"},
    "POST /api/v1/invitations/accept": {"token": "x" * 43},
    "POST /api/v1/api-keys": {"name": "back door", "scopes": ["admin"]},
    "PATCH /api/v1/admin/tenants/{tenant_id}": {"plan": "enterprise", "overrides": {"chats_per_month": 10**6}},
    "POST /api/v1/admin/tenants/{tenant_id}/stops": {"cause": "manual", "reason": "spite"},
    "POST /api/v1/admin/plans": {
        "plan": "free",
        "tier": "vip",
        "prices": {"JPY": 0, "KRW": 0, "USD": 0},
        "limits": dict.fromkeys(
            (
                "chats_per_month",
                "embedding_tokens_per_month",
                "requests_per_day_per_site",
                "concurrent_chats",
                "requests_per_minute",
                "max_tokens",
                "sites",
                "members",
            ),
            1,
        ),
        "effective_date": "2099-01-01",
    },
    "POST /api/v1/admin/model-policies": {
        "id": "own-model",
        "name": "Own",
        "type": "chat",
        "provider": "openai",
        "model": "own",
        "plans": ["free"],
        "effective_date": "2099-01-01",
        "context_window": 8192,
        "input_usd": "0",
        "output_usd": "0",
    },
    "PATCH /api/v1/admin/model-policies/{policy_id}": {"enabled": False},
    "POST /api/v1/admin/exchange-rates": {"currency": "JPY", "rate": "1", "effective_date": "2099-01-01"},
    "POST /api/v1/notifications/read": {"notification_ids": [f"note_{NOTHING}"]},
    "PATCH /api/v1/credits/auto-purchase": {"enabled": True},
    "PATCH /api/v1/credits/overage": {"enabled": True},
    "POST /api/v1/admin/tenants/{tenant_id}/credits": {"type": "bonus", "credits": 10**6, "reason": "own"},
    "POST /api/v1/admin/packages": {
        "plans": ["free"],
        "credits_amount": 10**6,
        "prices": {"JPY": 1, "KRW": 1, "USD": 1},
        "display_name": {"ja": "Own", "ko": "Own", "en": "Own"},
    },
    "PATCH /api/v1/admin/packages/{package_id}": {"prices": {"JPY": 1, "KRW": 1, "USD": 1}},
    "POST /api/v1/checkout": {"plan": "pro"},
    "POST /api/v1/subscription": {"plan": "pro"},
    "PATCH /api/v1/subscription": {"plan": "starter"},
    "POST /api/v1/credits/purchase": BOUGHT,
    "PATCH /api/v1/billing/cards/{payment_method_id}": {"is_default": True},
    "POST /api/v1/prompts": {"profile_name": "Own"},
    "PATCH /api/v1/prompts/{profile_id}": {"profile_name": "Taken over"},
    "POST /api/v1/prompts/{profile_id}/versions": {"base_version": 1, "content": {"facts": "All is free."}},
    "POST /api/v1/prompts/{profile_id}/publish": {"version": 1},
    "POST /api/v1/prompts/{profile_id}/rollback": {},
    "POST /api/v1/experiments": {"profile_id": f"prof_{NOTHING}", "name": "Own", "arms": ARMS},
    "POST /api/v1/experiments/{experiment_id}/promote": {"arm": "A"},
    "POST /api/v1/sites": {"name": "Own"},
    "PATCH /api/v1/sites/{site_id}": {"allowed_domains": ["https://evil.example"], "daily_quota": 0},
    "POST /api/v1/sites/{site_id}/key": {"overlap_hours": 0},
    "POST /api/v1/sites/{site_id}/canned": CANNED,
    "PATCH /api/v1/sites/{site_id}/canned/{canned_id}": {"answer": "All is free."},
    "POST /api/v1/feedback/{feedback_id}/canned": CANNED,
    "POST /api/v1/feedback/{feedback_id}/qa": {"answer": "All is free."},
    "POST /api/v1/chat": {"message": "When are you open?"},
    "POST /api/v1/chat/{id}/feedback": {"rating": 1},
    "POST /v1/chat/completions": {"model": "default", "messages": [{"role": "user", "content": "When are you open?"}]},
    "POST /v1/embeddings": {"model": "default", "input": "When are you open?"},
    "POST /api/v1/search": {"query": "When are you open?"},
}
"""A good body for each route that takes one, so that nothing is refused for the wrong reason."""

# Ids in paths: the victim's own, and one that does not exist.


@contextmanager
def member(world: World) -> Iterator[tuple[str, str]]:
    yield world.victim_me["user"]["user_id"], "00000000-0000-0000-0000-000000000000"


@contextmanager
def invitation(world: World) -> Iterator[tuple[str, str]]:
    email = f"guest-{time.time_ns()}@noren.example"
    made = world.victim.ok("POST", "/api/v1/invitations", {"email": email, "role": "viewer"})
    yield made["invitation_id"], f"inv_{NOTHING}"


@contextmanager
def key(world: World) -> Iterator[tuple[str, str]]:
    made = world.victim.ok("POST", "/api/v1/api-keys", {"name": "server", "scopes": ["read"]})
    yield made["key_id"], f"key_{NOTHING}"


@contextmanager
def running(world: World) -> Iterator[tuple[str, str]]:
    world.stack.control("*", pace_ms=1500)
    events = world.victim.stream("Tell me all about yourself, at length.")
    try:
        first = next(events)
        assert next(events).name == "delta", "the model has been called"
        yield first.data["id"], f"req_{NOTHING}"
    finally:
        world.stack.control("*")
        assert [event.name for event in events][-1] == "done"


@contextmanager
def answer(world: World) -> Iterator[tuple[str, str]]:
    yield world.answer["id"], f"req_{NOTHING}"


@contextmanager
def session(world: World) -> Iterator[tuple[str, str]]:
    yield world.victim.chat("Hello")["session_key"], "00000000-0000-7000-8000-000000000000"


@contextmanager
def model(world: World) -> Iterator[tuple[str, str]]:
    yield "claude-haiku", "no-such-model"


@contextmanager
def order(world: World) -> Iterator[tuple[str, str]]:
    made = world.victim.ok("POST", "/api/v1/credits/purchase", BOUGHT)
    yield made["purchase"]["transaction_id"], f"ord_{NOTHING}"


@contextmanager
def card(world: World) -> Iterator[tuple[str, str]]:
    yield world.stack.save_card(world.victim), "pm_" + NOTHING


@contextmanager
def profile(world: World) -> Iterator[tuple[str, str]]:
    yield _profile(world)


@contextmanager
def experiment(world: World) -> Iterator[tuple[str, str]]:
    body = {"profile_id": _profile(world)[0], "name": "Tone", "arms": ARMS}
    yield world.victim.ok("POST", "/api/v1/experiments", body)["experiment_id"], f"exp_{NOTHING}"


def _profile(world: World) -> tuple[str, str]:
    made = world.victim.ok("POST", "/api/v1/prompts", {"profile_name": "Shop"})
    return made["profile_id"], f"prof_{NOTHING}"


@contextmanager
def further_site(world: World) -> Iterator[tuple[str, str]]:
    """Not the default one, which can't be deleted."""
    there = [each for each in world.victim.ok("GET", "/api/v1/sites")["items"] if not each["is_default"]]
    made = there[0] if there else world.victim.ok("POST", "/api/v1/sites", {"name": "Second"})
    yield made["site_id"], NO_SITE


@contextmanager
def webhook(world: World) -> Iterator[tuple[str, str]]:
    """One with a delivery; nobody listens there."""
    there = world.victim.ok("GET", "/api/v1/webhooks")["items"]
    body = {"callback_url": world.stack["webhook_url"], "event_types": ["training_failed"]}
    made = there[0] if len(there) > 4 else world.victim.ok("POST", "/api/v1/webhooks", body)
    sent = world.victim.ok("POST", f"/api/v1/webhooks/{made['webhook_id']}/test")
    WITHIN["{delivery_id}"] = sent["delivery_id"]
    yield made["webhook_id"], f"whk_{NOTHING}"


@contextmanager
def canned(world: World) -> Iterator[tuple[str, str]]:
    own = site(world)[0]
    made = world.victim.ok("POST", f"/api/v1/sites/{own}/canned", CANNED)
    yield f"{own}/{made['canned_id']}", f"{NO_SITE}/can_{NOTHING}"


@contextmanager
def job(world: World) -> Iterator[tuple[str, str]]:
    yield _job(world), f"job_{NOTHING}"


@contextmanager
def document(world: World) -> Iterator[tuple[str, str]]:
    _job(world)
    deadline = time.monotonic() + 60
    while len(there := world.victim.ok("GET", "/api/v1/documents")["items"]) < len(TEXTS):
        assert time.monotonic() < deadline, "no text was learnt"
        time.sleep(0.2)
    yield there[0]["document_id"], f"doc_{NOTHING}"


def _job(world: World) -> str:
    made: str = world.victim.ok("POST", "/api/v1/train/text", {"site_id": site(world)[0], "texts": TEXTS})["job_id"]
    return made


@contextmanager
def schedule(world: World) -> Iterator[tuple[str, str]]:
    there = world.victim.ok("GET", "/api/v1/train/schedules")["items"]
    if not there:
        address = {"site_id": site(world)[0], "url": world.stack["demo_page_url"]}
        body = address | {"scope": {"max_pages": 1}, "schedule": "daily"}
        world.victim.ok("POST", "/api/v1/train/url", body)
        there = world.victim.ok("GET", "/api/v1/train/schedules")["items"]
    yield there[0]["schedule_id"], f"sch_{NOTHING}"


@contextmanager
def rated(world: World) -> Iterator[tuple[str, str]]:
    given = world.victim.chat("Hello")["id"]
    world.victim.ok("POST", f"/api/v1/chat/{given}/feedback", {"rating": 1, "comment": "wrong"})
    yield given, f"req_{NOTHING}"


def fail_twice(world: World) -> None:
    """Two rows in the victim's error log."""
    secret = world.victim.ok("POST", "/api/v1/api-keys", {"name": "chats", "scopes": ["chat"]})["secret"]
    for query in ("", f"?site_id={site(world)[0]}"):
        assert Client(world.victim.base, secret).call("GET", f"/api/v1/usage{query}").status_code == 403


IDS: dict[str, Callable[[World], Any]] = {
    "GET /api/v1/sites/{site_id}/canned/{canned_id}": canned,
    "PATCH /api/v1/sites/{site_id}/canned/{canned_id}": canned,
    "DELETE /api/v1/sites/{site_id}/canned/{canned_id}": canned,
    "POST /api/v1/sites/{site_id}/canned/{canned_id}/restore": canned,
    "GET /api/v1/train/schedules/{schedule_id}": schedule,
    "DELETE /api/v1/train/schedules/{schedule_id}": schedule,
    "GET /api/v1/train/jobs/{job_id}": job,
    "GET /api/v1/train/jobs/{job_id}/pages": job,
    "POST /api/v1/train/jobs/{job_id}/cancel": job,
    "POST /api/v1/train/jobs/{job_id}/retry": job,
    "GET /api/v1/documents/{document_id}": document,
    "DELETE /api/v1/documents/{document_id}": document,
    "GET /api/v1/feedback/{feedback_id}": rated,
    "POST /api/v1/feedback/{feedback_id}/canned": rated,
    "POST /api/v1/feedback/{feedback_id}/qa": rated,
    "GET /api/v1/conversations/{session_key}": session,
    "GET /api/v1/sites/{site_id}/canned": further_site,
    "POST /api/v1/sites/{site_id}/canned": further_site,
    "DELETE /api/v1/billing/cards/{payment_method_id}": card,
    "GET /api/v1/credits/purchases/{order_id}": order,
    "PATCH /api/v1/billing/cards/{payment_method_id}": card,
    "DELETE /api/v1/api-keys/{key_id}": key,
    "DELETE /api/v1/invitations/{invitation_id}": invitation,
    "DELETE /api/v1/members/{user_id}": member,
    "DELETE /api/v1/sessions/{key}": session,
    "GET /api/v1/sessions/{key}": session,
    "GET /v1/models/{model}": model,
    "PATCH /api/v1/api-keys/{key_id}": key,
    "PATCH /api/v1/invitations/{invitation_id}": invitation,
    "PATCH /api/v1/members/{user_id}": member,
    "POST /api/v1/chat/{id}/cancel": running,
    "POST /api/v1/chat/{id}/feedback": answer,
    "GET /api/v1/prompts/{profile_id}": profile,
    "PATCH /api/v1/prompts/{profile_id}": profile,
    "DELETE /api/v1/prompts/{profile_id}": profile,
    "POST /api/v1/prompts/{profile_id}/restore": profile,
    "GET /api/v1/prompts/{profile_id}/versions": profile,
    "POST /api/v1/prompts/{profile_id}/versions": profile,
    "GET /api/v1/prompts/{profile_id}/versions/{version}": profile,
    "GET /api/v1/prompts/{profile_id}/diff": profile,
    "POST /api/v1/prompts/{profile_id}/publish": profile,
    "POST /api/v1/prompts/{profile_id}/rollback": profile,
    "GET /api/v1/experiments/{experiment_id}": experiment,
    "POST /api/v1/experiments/{experiment_id}/start": experiment,
    "POST /api/v1/experiments/{experiment_id}/stop": experiment,
    "POST /api/v1/experiments/{experiment_id}/promote": experiment,
    "GET /api/v1/sites/{site_id}": further_site,
    "PATCH /api/v1/sites/{site_id}": further_site,
    "DELETE /api/v1/sites/{site_id}": further_site,
    "POST /api/v1/sites/{site_id}/restore": further_site,
    "POST /api/v1/sites/{site_id}/key": further_site,
    "DELETE /api/v1/sites/{site_id}/key/previous": further_site,
    "POST /api/v1/sites/{site_id}/embed": further_site,
    "GET /api/v1/sites/{site_id}/snippets": further_site,
    "GET /api/v1/sites/{site_id}/index": further_site,
    "POST /api/v1/sites/{site_id}/index/rollback": further_site,
    "POST /api/v1/sites/{site_id}/icon/check": further_site,
    "POST /api/v1/sites/{site_id}/embed/check": further_site,
    "GET /api/v1/webhooks/{webhook_id}": webhook,
    "PATCH /api/v1/webhooks/{webhook_id}": webhook,
    "DELETE /api/v1/webhooks/{webhook_id}": webhook,
    "POST /api/v1/webhooks/{webhook_id}/secret": webhook,
    "POST /api/v1/webhooks/{webhook_id}/test": webhook,
    "GET /api/v1/webhooks/{webhook_id}/deliveries": webhook,
    "POST /api/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/replay": webhook,
}


def site(world: World) -> tuple[str, str]:
    return world.victim_me["tenant"]["default_site_id"], NO_SITE


IDS_IN_QUERIES: dict[str, dict[str, Callable[[World], tuple[str, str]]]] = {
    "GET /api/v1/usage": {"site_id": site},
    "GET /api/v1/usage/records": {"site_id": site},
    "GET /api/v1/feedback": {"site_id": site},
    "GET /api/v1/conversations": {"site_id": site},
    "GET /api/v1/errors": {"site_id": site},
    "GET /api/v1/train/jobs": {"site_id": site},
    "GET /api/v1/train/schedules": {"site_id": site},
    "GET /api/v1/documents": {"site_id": site},
    "GET /api/v1/documents/{document_id}": {"site_id": site},
    "DELETE /api/v1/documents/{document_id}": {"site_id": site},
    "GET /api/v1/canned": {"site_id": site},
}
IDS_IN_BODIES: dict[str, dict[str, Callable[[World], tuple[str, str]]]] = {
    "POST /api/v1/chat": {
        "site_id": site,
        "session_key": lambda world: (world.answer["session_key"], "00000000-0000-7000-8000-000000000000"),
    },
    "POST /api/v1/search": {"site_id": site},
    "POST /api/v1/experiments": {"profile_id": _profile},
    "POST /api/v1/train/text": {"site_id": site},
    "POST /api/v1/train/qa": {"site_id": site},
    "POST /api/v1/train/uploads": {"site_id": site},
    "POST /api/v1/train/estimate": {"site_id": site},
    "POST /api/v1/train/url": {"site_id": site},
    "POST /api/v1/train/files": {"site_id": site},
}
EVERYBODYS = {"package_id"}
"""Names in the catalogue, which is the same for all tenants."""
ADMINS_IDS = {"tenant_id", "policy_id", "package_id", "cause"}
"""A platform admin may name any of these; nobody else comes that far."""


WITHIN = {"{version}": "1", "{delivery_id}": f"dlv_{NOTHING}"}
"""Parameters that mean nothing but within what another one names."""
NEEDED = {"GET /api/v1/prompts/{profile_id}/diff": "?from=1&to=1"}
"""Queries that a route can't do without."""


def parameters(route: Route) -> list[str]:
    return [part[1:-1] for part in route.path.split("/") if part.startswith("{") and part not in WITHIN]


def path(route: Route, values: str) -> str:
    """The route's path with those ids; where there are fewer, with the last one again."""
    left, parts = values.split("/"), []
    for part in route.path.split("/"):
        value = WITHIN.get(part) if part.startswith("{") else part
        parts.append(value or (left.pop(0) if len(left) > 1 else left[0]) if part else "")
    return "/".join(parts) + NEEDED.get(name(route), "")


def admin_path(world: World, route: Route) -> str:
    values = {"tenant_id": world.victim_me["tenant"]["tenant_id"], "policy_id": "phi-3-mini", "cause": "manual"}
    values |= {"package_id": PACKAGES[0].package_id}
    return route.path.format(**values) if route.access.platform_admin else path(route, world.answer["id"])
