"""Every route × a foreign id: no other tenant's datum shows, and foreign answers exactly like missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from noren.edge.http import Response, Route
from noren.ids import TenantId
from platform_api.routes import ROUTES
from tests.unit.platform_api.changes import (
    ARMS,
    BOUGHT,
    CANNED,
    DELIVERY,
    FILES,
    HOOK,
    PAIRS,
    TEXTS,
    canned,
    experiment,
    prompt,
    saved_card,
    scheduled,
    talked,
    trained,
    webhook,
)
from tests.unit.platform_api.kit import Platform, access_token

MISSING = "0" * 32


def _member(platform: Platform) -> tuple[str, str]:
    return "victim", "nobody"


def _invitation(platform: Platform) -> tuple[str, str]:
    made = platform.json(
        "POST", "/api/v1/invitations", access_token("victim"), {"email": "guest@example.jp", "role": "viewer"}
    )
    return made["invitation_id"], f"inv_{MISSING}"


def _key(platform: Platform) -> tuple[str, str]:
    made = platform.json("POST", "/api/v1/api-keys", access_token("victim"), {"name": "k", "scopes": ["read"]})
    return made["key_id"], f"key_{MISSING}"


def _tenant(platform: Platform) -> tuple[str, str]:
    return platform.tenant_of("victim"), f"ten_{MISSING[:-1]}1"


def _order(platform: Platform) -> tuple[str, str]:
    made = platform.json("POST", "/api/v1/credits/purchase", access_token("victim"), BOUGHT)
    return made["purchase"]["transaction_id"], f"ord_{MISSING}"


def _card(platform: Platform) -> tuple[str, str]:
    return saved_card(platform, "victim"), "pm_" + "9" * 8


def _profile(platform: Platform) -> tuple[str, str]:
    return prompt(platform, "victim").rsplit("/", 1)[1], f"prof_{MISSING}"


def _experiment(platform: Platform) -> tuple[str, str]:
    return experiment(platform, "victim").rsplit("/", 1)[1], f"exp_{MISSING}"


def _site(platform: Platform) -> tuple[str, str]:
    """Not the default one, which can't be deleted."""
    platform.services.tenants.set_overrides(TenantId(platform.tenant_of("victim")), {"sites": 2}, "test")
    made = platform.json("POST", "/api/v1/sites", access_token("victim"), {"name": "victim's second"})
    return made["site_id"], f"site_{MISSING[:-1]}1"


def _webhook(platform: Platform) -> tuple[str, str]:
    return webhook(platform, "victim").rsplit("/", 1)[1], f"whk_{MISSING}"


def _canned(platform: Platform) -> tuple[str, str]:
    site_id, _, canned_id = canned(platform, "victim").split("/")[-3:]
    return f"{site_id}/{canned_id}", f"site_{MISSING[:-1]}1/can_{MISSING}"


def _feedback(platform: Platform) -> tuple[str, str]:
    return talked(platform, "victim")[0], f"req_{MISSING}"


def _conversation(platform: Platform) -> tuple[str, str]:
    return talked(platform, "victim")[1], "00000000-0000-7000-8000-000000000000"


def _job(platform: Platform) -> tuple[str, str]:
    return trained(platform, "victim")[0], f"job_{MISSING}"


def _schedule(platform: Platform) -> tuple[str, str]:
    return scheduled(platform, "victim"), f"sch_{MISSING}"


def _document(platform: Platform) -> tuple[str, str]:
    return trained(platform, "victim")[1], f"doc_{MISSING}"


FOREIGN: dict[str, Callable[[Platform], tuple[str, str]]] = {
    "site_id/canned_id": _canned,
    "feedback_id": _feedback,
    "session_key": _conversation,
    "user_id": _member,
    "invitation_id": _invitation,
    "key_id": _key,
    "order_id": _order,
    "payment_method_id": _card,
    "site_id": _site,
    "profile_id": _profile,
    "experiment_id": _experiment,
    "webhook_id": _webhook,
    "job_id": _job,
    "schedule_id": _schedule,
    "document_id": _document,
}
"""Path parameters -> (another tenant's ids, ids that don't exist)."""

WITHIN = {"version": "1", "delivery_id": DELIVERY}
"""Parameters that mean nothing but within what another one names."""

BODIES: dict[str, Any] = {
    "POST /api/v1/sites/{site_id}/canned": CANNED,
    "PATCH /api/v1/sites/{site_id}/canned/{canned_id}": {"enabled": False},
    "POST /api/v1/feedback/{feedback_id}/canned": {"answer": "mine"},
    "POST /api/v1/feedback/{feedback_id}/qa": {"answer": "mine"},
    "POST /api/v1/prompts": {"profile_name": "mine"},
    "PATCH /api/v1/prompts/{profile_id}": {"profile_name": "mine"},
    "POST /api/v1/prompts/{profile_id}/versions": {"base_version": 2, "content": {"facts": "mine"}},
    "POST /api/v1/prompts/{profile_id}/publish": {"version": 1},
    "POST /api/v1/prompts/{profile_id}/rollback": {},
    "POST /api/v1/experiments": {"profile_id": f"prof_{MISSING}", "name": "mine", "arms": ARMS},
    "POST /api/v1/experiments/{experiment_id}/promote": {"arm": "A"},
    "PATCH /api/v1/members/{user_id}": {"role": "viewer"},
    "PATCH /api/v1/tenant": {"name": "mine"},
    "POST /api/v1/invitations": {"email": "x@example.jp"},
    "POST /api/v1/invitations/accept": {"token": "x" * 43},
    "POST /api/v1/api-keys": {"name": "k", "scopes": ["read"]},
    "PATCH /api/v1/api-keys/{key_id}": {"name": "mine"},
    "PATCH /api/v1/invitations/{invitation_id}": {"role": "viewer"},
    "POST /api/v1/notifications/read": {"notification_ids": [f"note_{MISSING}"]},
    "PATCH /api/v1/credits/auto-purchase": {"enabled": True},
    "PATCH /api/v1/credits/overage": {"enabled": True},
    "POST /api/v1/checkout": {"plan": "starter"},
    "POST /api/v1/subscription": {"plan": "starter"},
    "PATCH /api/v1/subscription": {"plan": "pro"},
    "POST /api/v1/credits/purchase": BOUGHT,
    "PATCH /api/v1/billing/cards/{payment_method_id}": {"is_default": True},
    "POST /api/v1/sites": {"name": "mine"},
    "PATCH /api/v1/sites/{site_id}": {"name": "mine"},
    "POST /api/v1/sites/{site_id}/key": {"overlap_hours": 0},
    "POST /api/v1/sites/{site_id}/icon/check": {"url": "https://shop.example/icon.png"},
    "POST /api/v1/sites/{site_id}/embed/check": {"url": "https://shop.example/"},
    "POST /api/v1/webhooks": HOOK,
    "PATCH /api/v1/webhooks/{webhook_id}": {"enabled": False},
    "POST /api/v1/train/text": {"site_id": f"site_{MISSING}", "texts": TEXTS},
    "POST /api/v1/train/qa": {"site_id": f"site_{MISSING}", "pairs": PAIRS},
    "POST /api/v1/train/files": {"site_id": f"site_{MISSING}", "files": FILES},
    "POST /api/v1/train/uploads": {"site_id": f"site_{MISSING}"},
    "POST /api/v1/train/estimate": {"site_id": f"site_{MISSING}", "url": "https://shop.example/"},
    "POST /api/v1/train/url": {"site_id": f"site_{MISSING}", "url": "https://shop.example/"},
}

QUERIES: dict[str, tuple[str, Callable[[Platform], str], str]] = {
    "GET /api/v1/usage/records": (
        "site_id",
        lambda platform: platform.services.tenants.get(TenantId(platform.tenant_of("victim"))).default_site_id,
        f"site_{MISSING}",
    ),
    "GET /api/v1/usage": (
        "site_id",
        lambda platform: platform.services.tenants.get(TenantId(platform.tenant_of("victim"))).default_site_id,
        f"site_{MISSING}",
    ),
    **{
        f"GET /api/v1/{each}": ("site_id", lambda platform: platform.default_site("victim"), f"site_{MISSING}")
        for each in ("feedback", "conversations", "errors", "train/jobs", "train/schedules", "documents")
    },
}
"""Routes whose query takes an id."""

GOOD_QUERIES = {"GET /api/v1/prompts/{profile_id}/diff": {"from": "1", "to": "2"}}
"""What a route can't do without."""

NO_IDS = {
    "GET /api/v1/prompts",
    "POST /api/v1/prompts",
    "GET /api/v1/experiments",
    "POST /api/v1/experiments",  # a profile's id in the body: test_prompts.py
    "GET /api/v1/me",
    "PATCH /api/v1/tenant",
    "GET /api/v1/members",
    "POST /api/v1/invitations",
    "GET /api/v1/invitations",
    "POST /api/v1/invitations/accept",
    "POST /api/v1/api-keys",
    "GET /api/v1/api-keys",
    "GET /api/v1/audit",
    "GET /api/v1/notifications",
    "GET /api/v1/credits/packages",
    "PATCH /api/v1/credits/auto-purchase",
    "PATCH /api/v1/credits/overage",
    "GET /api/v1/credits/balance",
    "GET /api/v1/usage/metrics",
    "GET /api/v1/credits/transactions",
    "POST /api/v1/checkout",
    "POST /api/v1/billing/portal",
    "GET /api/v1/subscription",
    "POST /api/v1/subscription",
    "GET /api/v1/subscription/preview",
    "PATCH /api/v1/subscription",
    "DELETE /api/v1/subscription",
    "POST /api/v1/subscription/resume",
    "POST /api/v1/credits/purchase",  # a payment's id in the body: test_billing.py
    "GET /api/v1/billing/cards",
    "GET /api/v1/sites",
    "GET /api/v1/webhooks",
    "POST /api/v1/webhooks",
    "POST /api/v1/sites",  # a prompt profile's id in the body: test_sites.py
    "POST /api/v1/billing/cards",
    *(
        f"POST /api/v1/train/{each}" for each in ("text", "qa", "files", "uploads", "estimate", "url")
    ),  # in the body: test_train.py
    "POST /api/v1/notifications/read",  # ids in the body: tests/unit/insight/test_notices.py
}
"""Routes that take no id: they answer from the caller's own tenant."""


def name(route: Route) -> str:
    return f"{route.method} {route.path}"


def is_tenants(route: Route) -> bool:
    return not route.access.public and not route.access.platform_admin


TENANT_ROUTES = [route for route in ROUTES if is_tenants(route)]
ADMIN_ROUTES = [route for route in ROUTES if route.access.platform_admin]


def parameters(route: Route) -> str:
    """The parameters that name something, as `FOREIGN` has them."""
    found = (part[1:-1] for part in route.path.split("/") if part.startswith("{"))
    return "/".join(each for each in found if each not in WITHIN)


def filled(route: Route, values: str) -> str:
    """The route's path with those ids; where there are fewer, with the last one again."""
    left, parts = values.split("/"), []
    for part in route.path.split("/"):
        value = WITHIN.get(part[1:-1]) if part.startswith("{") else part
        parts.append(value or (left.pop(0) if len(left) > 1 else left[0]) if part else "")
    return "/".join(parts)


def plain(answer: Response) -> tuple[int, Any]:
    body = json.loads(answer.body) if answer.body else None
    if isinstance(body, dict):
        body.pop("trace_id", None)
    return answer.status, body


@pytest.fixture
def both(platform: Platform) -> Platform:
    platform.sign_up("victim")
    platform.sign_up("attacker")
    return platform


def test_every_route_is_covered() -> None:
    for route in TENANT_ROUTES:
        ids = parameters(route)
        assert not ids or ids in FOREIGN, f"{name(route)}: no foreign-id fixture"
        assert ids or name(route) in NO_IDS or name(route) in QUERIES, f"{name(route)}: is it tenant-scoped?"
        if route.body is not None:
            assert name(route) in BODIES, f"{name(route)}: no body"


@pytest.mark.parametrize("route", [each for each in TENANT_ROUTES if parameters(each)], ids=name)
def test_a_foreign_id_answers_like_a_missing_one(both: Platform, route: Route) -> None:
    foreign, missing = FOREIGN[parameters(route)](both)
    token, body, query = access_token("attacker"), BODIES.get(name(route)), GOOD_QUERIES.get(name(route))
    theirs = plain(both.call(route.method, filled(route, foreign), token, body, query=query))
    nobodys = plain(both.call(route.method, filled(route, missing), token, body, query=query))
    assert theirs == nobodys
    assert theirs[0] == 404
    ours = both.call(route.method, filled(route, foreign), access_token("victim"), body, query=query)
    assert ours.status != 404, "the fixture's id must exist for its owner"


@pytest.mark.parametrize("route", [each for each in TENANT_ROUTES if name(each) in QUERIES], ids=name)
def test_a_foreign_id_in_the_query_answers_like_a_missing_one(both: Platform, route: Route) -> None:
    parameter, foreign, missing = QUERIES[name(route)]
    token = access_token("attacker")
    theirs = plain(both.call(route.method, route.path, token, query={parameter: foreign(both)}))
    nobodys = plain(both.call(route.method, route.path, token, query={parameter: missing}))
    assert theirs == nobodys
    assert theirs[0] == 404
    ours = both.call(route.method, route.path, access_token("victim"), query={parameter: foreign(both)})
    assert ours.status == 200


def test_a_foreign_tenant_header_is_refused_everywhere(both: Platform) -> None:
    header, token = {"x-tenant-id": both.tenant_of("victim")}, access_token("attacker")
    for route in TENANT_ROUTES:
        answer = both.call(route.method, filled(route, "x"), token, BODIES.get(name(route)), headers=header)
        assert answer.status == 403, name(route)


def test_platform_routes_are_for_platform_admins(both: Platform) -> None:
    key = both.json("POST", "/api/v1/api-keys", access_token("attacker"), {"name": "k", "scopes": ["admin"]})["secret"]
    for route in ADMIN_ROUTES:
        path = filled(route, both.tenant_of("attacker"))
        assert both.call(route.method, path).status == 401, name(route)
        assert both.call(route.method, path, access_token("attacker")).status == 403, name(route)
        assert both.call(route.method, path, key).status == 403, name(route)


def test_nobody_is_let_in_without_a_credential(both: Platform) -> None:
    for route in TENANT_ROUTES:
        answer = both.call(route.method, filled(route, "x"), body=BODIES.get(name(route)))
        assert answer.status == 401, name(route)


def test_lists_never_show_another_tenant(both: Platform) -> None:
    secrets = (both.tenant_of("victim"), "victim", _invitation(both)[0], _key(both)[0], "guest@example.jp")
    for route in TENANT_ROUTES:
        if route.method == "GET":
            text = both.call("GET", route.path, access_token("attacker")).body.decode()
            assert not [each for each in secrets if each in text], name(route)


def test_a_platform_admin_finds_missing_tenants_missing(both: Platform) -> None:
    admin = both.sign_up("boss", admin=True, totp=True)
    _, missing = _tenant(both)
    for method, path, body in (
        ("GET", f"/api/v1/admin/tenants/{missing}", None),
        ("PATCH", f"/api/v1/admin/tenants/{missing}", {"plan": "pro"}),
        ("POST", f"/api/v1/admin/tenants/{missing}/stops", {"cause": "manual", "reason": "x"}),
        ("DELETE", f"/api/v1/admin/tenants/{missing}/stops/manual", None),
        ("GET", "/api/v1/admin/tenants/META", None),
    ):
        assert both.call(method, path, admin, body).status == 404, path
    assert both.call("DELETE", f"/api/v1/admin/tenants/{both.tenant_of('victim')}/stops/x", admin).status == 404
