"""For every route that changes something: a call that succeeds. What walks the route table takes them from here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from noren.billing.seed import PACKAGES
from noren.chat.models import Asker, Turn
from noren.edge.http import Route
from noren.ids import TenantId, new_id
from noren.insight.models import Event
from noren.usage.models import UsageRecord
from noren.webhooks import fanout as deliveries
from platform_api.routes import ROUTES
from tests.unit.knowledge.training_world import Messages
from tests.unit.platform_api.kit import Platform, access_token

LATER = "2999-01-01"
OWNER, MATE, BOSS = "owner", "mate", "boss"

CHANGING = [route for route in ROUTES if route.method != "GET"]


@dataclass(frozen=True)
class Change:
    """One good call. `owned` says whose trail it belongs to: the owner's tenant or the platform."""

    path: str
    body: Any = None
    owned: bool = True


def name(route: Route) -> str:
    return f"{route.method} {route.path}"


def people(platform: Platform) -> None:
    """An owner, a colleague who is a viewer in the same tenant, and a platform admin."""
    owner = platform.sign_up(OWNER)
    platform.sign_up(BOSS, admin=True, totp=True)
    tenant = platform.services.tenants.get(platform.services.tenants.memberships(OWNER)[0].tenant_id)
    platform.services.tenants.set_overrides(tenant.tenant_id, {"members": 10}, "test")
    platform.people.add(MATE, f"{MATE}@example.jp")
    platform.json("POST", "/api/v1/invitations", owner, {"email": f"{MATE}@example.jp", "role": "viewer"})
    platform.json("POST", "/api/v1/invitations/accept", access_token(MATE), {"token": invitation_token(platform)})


def invitation_token(platform: Platform) -> str:
    """The token of the last invitation's link."""
    link: str = platform.outbox.mails[-1]["data"]["link"]
    return link.partition("token=")[2]


def token(platform: Platform, route: Route) -> str:
    """The credential of somebody who may."""
    if route.access.platform_admin:
        return platform.sign_up(BOSS, admin=True, totp=True)
    return access_token("guest" if route.path.endswith("/accept") else OWNER)


def _tenant(platform: Platform) -> str:
    return f"/api/v1/admin/tenants/{platform.tenant_of(OWNER)}"


def _invited(platform: Platform) -> str:
    body = {"email": "guest@example.jp", "role": "viewer"}
    made = platform.json("POST", "/api/v1/invitations", access_token(OWNER), body)
    return f"/api/v1/invitations/{made['invitation_id']}"


def _accepting(platform: Platform) -> Change:
    _invited(platform)
    platform.people.add("guest", "guest@example.jp")
    return Change("/api/v1/invitations/accept", {"token": invitation_token(platform)})


def _key(platform: Platform) -> str:
    made = platform.json("POST", "/api/v1/api-keys", access_token(OWNER), {"name": "k", "scopes": ["read"]})
    return f"/api/v1/api-keys/{made['key_id']}"


def _stopped(platform: Platform) -> str:
    platform.services.tenants.stop(platform.services.tenants.memberships(OWNER)[0].tenant_id, "manual", "r", "test")
    return f"{_tenant(platform)}/stops/manual"


PACKAGE = {
    "plans": ["pro"],
    "credits_amount": 100,
    "prices": {"JPY": 300, "KRW": 2_800, "USD": 200},
    "display_name": {"ja": "百", "ko": "백", "en": "A hundred"},
}


def _package(platform: Platform) -> str:
    boss = platform.sign_up(BOSS, admin=True, totp=True)
    made = platform.json("POST", "/api/v1/admin/packages", boss, PACKAGE)
    return f"/api/v1/admin/packages/{made['package_id']}"


def _deleted_package(platform: Platform) -> str:
    path = _package(platform)
    platform.json("DELETE", path, platform.sign_up(BOSS, admin=True, totp=True))
    return path


BOUGHT = {"package_id": PACKAGES[0].package_id, "payment_method": "stripe"}


def _subscribed(platform: Platform) -> None:
    platform.json("POST", "/api/v1/subscription", access_token(OWNER), {"plan": "starter"})


def _changed_plan(platform: Platform, path: str = "/api/v1/subscription", body: Any = None) -> Change:
    _subscribed(platform)
    return Change(path, body)


def _cancelled(platform: Platform) -> Change:
    _subscribed(platform)
    platform.json("DELETE", "/api/v1/subscription", access_token(OWNER))
    return Change("/api/v1/subscription/resume")


def saved_card(platform: Platform, sub: str = OWNER) -> str:
    """A card of somebody's; its id."""
    tenant = platform.services.tenants.get(platform.services.tenants.memberships(sub)[0].tenant_id)
    return platform.stripe.save_card(platform.services.billing.customer_of(tenant), "pm_" + "1" * 8)


def _card(platform: Platform, body: Any = None) -> Change:
    return Change(f"/api/v1/billing/cards/{saved_card(platform)}", body)


ARMS = [{"arm": "A", "version": 1, "weight": 7}, {"arm": "B", "version": 1, "weight": 3}]
SAID = {"facts": "Open from nine.", "temperature": 0.5, "max_tokens": 500}


def prompt(platform: Platform, sub: str = OWNER) -> str:
    """A prompt profile of somebody's with a second version, a draft; its path."""
    made = platform.json("POST", "/api/v1/prompts", access_token(sub), {"profile_name": "Shop"})
    path = f"/api/v1/prompts/{made['profile_id']}"
    platform.json("POST", f"{path}/versions", access_token(sub), {"base_version": 1, "content": SAID})
    return path


def _deleted_prompt(platform: Platform) -> Change:
    path = prompt(platform)
    platform.json("DELETE", path, access_token(OWNER))
    return Change(f"{path}/restore")


def _republished_prompt(platform: Platform) -> Change:
    path = prompt(platform)
    platform.json("POST", f"{path}/publish", access_token(OWNER), {"version": 2})
    return Change(f"{path}/rollback", {"version": 1, "note": "too long-winded"})


def experiment(platform: Platform, sub: str = OWNER, *, runs: bool = False) -> str:
    """An experiment of somebody's; its path."""
    body = {"profile_id": prompt(platform, sub).rsplit("/", 1)[1], "name": "Tone", "arms": ARMS}
    path = (
        f"/api/v1/experiments/{platform.json('POST', '/api/v1/experiments', access_token(sub), body)['experiment_id']}"
    )
    if runs:
        platform.json("POST", f"{path}/start", access_token(sub))
    return path


def _planned(platform: Platform) -> Change:
    profile_id = prompt(platform).rsplit("/", 1)[1]
    return Change("/api/v1/experiments", {"profile_id": profile_id, "name": "Tone", "arms": ARMS})


def _site(platform: Platform) -> str:
    tenant_id = platform.services.tenants.memberships(OWNER)[0].tenant_id
    platform.services.tenants.set_overrides(tenant_id, {"sites": 9}, "test")
    made = platform.json("POST", "/api/v1/sites", access_token(OWNER), {"name": "Second"})
    return f"/api/v1/sites/{made['site_id']}"


def _new_site(platform: Platform) -> Change:
    _site(platform)
    return Change("/api/v1/sites", {"name": "Third", "daily_quota": 3, "widget_config": {"radius": 4}})


def _deleted_site(platform: Platform) -> str:
    path = _site(platform)
    platform.json("DELETE", path, access_token(OWNER))
    return path


def _rotated_site(platform: Platform) -> str:
    path = _site(platform)
    platform.json("POST", f"{path}/key", access_token(OWNER), {})
    return path


HOOK = {"callback_url": "https://shop.example/hook", "event_types": ["feedback"]}
DELIVERY = "dlv_" + "0" * 32


def webhook(platform: Platform, sub: str = OWNER) -> str:
    """A webhook of somebody's, with one finished delivery; its path."""
    made = platform.json("POST", "/api/v1/webhooks", access_token(sub), HOOK)
    now = platform.services.clock()
    tenant_id = platform.services.tenants.memberships(sub)[0].tenant_id
    event = Event("evt_" + "0" * 32, tenant_id, "feedback", "x", {}, now)
    endpoint = platform.services.webhooks.get(tenant_id, made["webhook_id"])
    delivery = deliveries.made(event, "feedback", endpoint, now)
    platform.services.webhook_deliveries.add(delivery)
    platform.services.webhook_deliveries.advance(replace(delivery, status="failed", finished_at=now), 0)
    return f"/api/v1/webhooks/{made['webhook_id']}"


CANNED = {"patterns": [{"kind": "normalized", "text": "営業時間は？"}], "answer": "9時からです。"}


def canned(platform: Platform, sub: str = OWNER) -> str:
    """A canned response of somebody's default site; its path."""
    path = f"/api/v1/sites/{platform.default_site(sub)}/canned"
    return f"{path}/{platform.json('POST', path, access_token(sub), CANNED)['canned_id']}"


def _deleted_canned(platform: Platform) -> Change:
    path = canned(platform)
    platform.json("DELETE", path, access_token(OWNER))
    return Change(f"{path}/restore")


def talked(platform: Platform, sub: str = OWNER, rating: int = 1) -> tuple[str, str]:
    """A visitor's talk at somebody's default site, whose one answer was rated; the ids of answer and session."""
    services, now = platform.services, platform.time()
    tenant_id, site_id = TenantId(platform.tenant_of(sub)), platform.default_site(sub)
    asker = Asker(tenant_id, f"visitor:{sub}", "visitor")
    record = UsageRecord(new_id("req", now), tenant_id, site_id, now, caller=asker.principal)
    conversation = services.sessions.begin()
    record.session_key = conversation.session_key
    turn = Turn(record.request_id, record.session_key, f"{sub}に営業時間は？", f"{sub}の答え", now)
    services.sessions.add_turn(asker, site_id, conversation, turn)
    services.usage.put_uncharged(record)
    services.feedback.rate(asker, record.request_id, rating, f"{sub}の感想")
    return record.request_id, record.session_key


TEXTS = [{"title": "営業時間", "text": "平日は10時からです。"}]
PAIRS = [{"question": "駐車場は？", "answer": "裏にあります。"}]
FILES = [{"upload_id": "upl_" + "0" * 32, "name": "menu.txt"}]


def trained(platform: Platform, sub: str = OWNER) -> tuple[str, str]:
    """A job of somebody's default site that is through, and the document that it made; their ids."""
    body = {"site_id": platform.default_site(sub), "texts": TEXTS}
    job_id = platform.json("POST", "/api/v1/train/text", access_token(sub), body)["job_id"]
    train(platform)
    return job_id, platform.json("GET", "/api/v1/documents", access_token(sub))["items"][0]["document_id"]


def train(platform: Platform) -> None:
    """Have all messages of both queues of training worked off."""
    services = platform.services
    reading: Messages = services.train_queue  # type: ignore[assignment]
    publishing: Messages = services.publish_queue  # type: ignore[assignment]
    while reading.waiting or publishing.waiting:
        if reading.waiting:
            step = reading.waiting.pop(0)
            services.train_worker.work(step["tenant_id"], step["job_id"], step["what"], step.get("page", ""))
        else:
            step = publishing.waiting.pop(0)
            services.publishing.work(step["tenant_id"], step["job_id"])


def scheduled(platform: Platform, sub: str = OWNER) -> str:
    """The id of a schedule of somebody's default site."""
    platform.services.tenants.set_plan(TenantId(platform.tenant_of(sub)), "starter", "test")
    body = {"site_id": platform.default_site(sub), "url": "https://shop.example/", "schedule": "monthly"}
    platform.json("POST", "/api/v1/train/url", access_token(sub), body)
    (made,) = platform.json("GET", "/api/v1/train/schedules", access_token(sub))["items"]
    return str(made["schedule_id"])


def _training(platform: Platform, *, cancelled: bool = False) -> str:
    """A job that nobody works on yet; its path."""
    body = {"site_id": platform.default_site(OWNER), "texts": TEXTS}
    path = f"/api/v1/train/jobs/{platform.json('POST', '/api/v1/train/text', access_token(OWNER), body)['job_id']}"
    if cancelled:
        platform.json("POST", f"{path}/cancel", access_token(OWNER))
    return path


def _published_twice(platform: Platform) -> Change:
    trained(platform)
    body = {"site_id": platform.default_site(OWNER), "pairs": PAIRS}
    platform.json("POST", "/api/v1/train/qa", access_token(OWNER), body)
    train(platform)
    return Change(f"/api/v1/sites/{platform.default_site(OWNER)}/index/rollback")


def _of_default_site(path: str, **body: Any) -> Callable[[Platform], Change]:
    return lambda platform: Change(path, {"site_id": platform.default_site(OWNER), **body})


CHANGES: dict[str, Callable[[Platform], Change]] = {
    "POST /api/v1/sites/{site_id}/canned": lambda platform: Change(
        f"/api/v1/sites/{platform.default_site(OWNER)}/canned", CANNED
    ),
    "PATCH /api/v1/sites/{site_id}/canned/{canned_id}": lambda platform: Change(
        canned(platform), {"answer": "10時からです。", "enabled": False, "version": 1}
    ),
    "DELETE /api/v1/sites/{site_id}/canned/{canned_id}": lambda platform: Change(canned(platform)),
    "POST /api/v1/sites/{site_id}/canned/{canned_id}/restore": _deleted_canned,
    "POST /api/v1/feedback/{feedback_id}/canned": lambda platform: Change(
        f"/api/v1/feedback/{talked(platform)[0]}/canned", {"answer": "10時からです。"}
    ),
    "POST /api/v1/feedback/{feedback_id}/qa": lambda platform: Change(
        f"/api/v1/feedback/{talked(platform)[0]}/qa", {"answer": "10時からです。"}
    ),
    "POST /api/v1/train/text": _of_default_site("/api/v1/train/text", texts=TEXTS),
    "POST /api/v1/train/qa": _of_default_site("/api/v1/train/qa", pairs=PAIRS),
    "POST /api/v1/train/uploads": _of_default_site("/api/v1/train/uploads"),
    "POST /api/v1/train/estimate": _of_default_site("/api/v1/train/estimate", url="https://shop.example/"),
    "POST /api/v1/train/url": _of_default_site("/api/v1/train/url", url="https://shop.example/"),
    "DELETE /api/v1/train/schedules/{schedule_id}": lambda platform: Change(
        f"/api/v1/train/schedules/{scheduled(platform)}"
    ),
    "POST /api/v1/train/files": _of_default_site("/api/v1/train/files", files=FILES),
    "POST /api/v1/train/jobs/{job_id}/cancel": lambda platform: Change(f"{_training(platform)}/cancel"),
    "POST /api/v1/train/jobs/{job_id}/retry": lambda platform: Change(f"{_training(platform, cancelled=True)}/retry"),
    "DELETE /api/v1/documents/{document_id}": lambda platform: Change(f"/api/v1/documents/{trained(platform)[1]}"),
    "POST /api/v1/sites/{site_id}/index/rollback": _published_twice,
    "PATCH /api/v1/tenant": lambda _: Change("/api/v1/tenant", {"name": "New name"}),
    "PATCH /api/v1/members/{user_id}": lambda _: Change(f"/api/v1/members/{MATE}", {"role": "editor"}),
    "DELETE /api/v1/members/{user_id}": lambda _: Change(f"/api/v1/members/{MATE}"),
    "POST /api/v1/invitations": lambda _: Change(
        "/api/v1/invitations", {"email": "guest@example.jp", "role": "viewer"}
    ),
    "PATCH /api/v1/invitations/{invitation_id}": lambda platform: Change(_invited(platform), {"role": "editor"}),
    "DELETE /api/v1/invitations/{invitation_id}": lambda platform: Change(_invited(platform)),
    "POST /api/v1/invitations/accept": _accepting,
    "POST /api/v1/api-keys": lambda _: Change("/api/v1/api-keys", {"name": "server", "scopes": ["read"]}),
    "PATCH /api/v1/api-keys/{key_id}": lambda platform: Change(_key(platform), {"name": "renamed"}),
    "DELETE /api/v1/api-keys/{key_id}": lambda platform: Change(_key(platform)),
    "POST /api/v1/admin/plans": lambda platform: Change(
        "/api/v1/admin/plans",
        {
            "plan": "free",
            "tier": "free",
            "prices": {"JPY": 1, "KRW": 1, "USD": 1},
            "limits": {
                "chats_per_month": 7,
                "embedding_tokens_per_month": 1,
                "requests_per_day_per_site": 1,
                "concurrent_chats": 1,
                "requests_per_minute": 1,
                "max_tokens": 1,
                "sites": 1,
                "members": 1,
            },
            "effective_date": LATER,
        },
        owned=False,
    ),
    "POST /api/v1/admin/model-policies": lambda _: Change(
        "/api/v1/admin/model-policies",
        {
            "id": "extra",
            "name": "Extra",
            "type": "chat",
            "provider": "openai",
            "model": "m",
            "plans": ["pro"],
            "effective_date": LATER,
            "context_window": 4096,
            "input_usd": "0.1",
            "output_usd": "0.1",
        },
        owned=False,
    ),
    "PATCH /api/v1/admin/model-policies/{policy_id}": lambda _: Change(
        "/api/v1/admin/model-policies/phi-3-mini", {"name": "Phi"}, owned=False
    ),
    "POST /api/v1/admin/exchange-rates": lambda _: Change(
        "/api/v1/admin/exchange-rates", {"currency": "JPY", "rate": "151.5", "effective_date": LATER}, owned=False
    ),
    "PATCH /api/v1/admin/tenants/{tenant_id}": lambda platform: Change(
        _tenant(platform), {"plan": "pro", "overrides": {"members": 3}}
    ),
    "POST /api/v1/admin/tenants/{tenant_id}/stops": lambda platform: Change(
        f"{_tenant(platform)}/stops", {"cause": "manual", "reason": "r"}
    ),
    "DELETE /api/v1/admin/tenants/{tenant_id}/stops/{cause}": lambda platform: Change(_stopped(platform)),
    "PATCH /api/v1/credits/auto-purchase": lambda _: Change(
        "/api/v1/credits/auto-purchase", {"enabled": True, "threshold": 40, "amount": 600, "monthly_cap": 1_200}
    ),
    "PATCH /api/v1/credits/overage": lambda _: Change("/api/v1/credits/overage", {"enabled": True}),
    "POST /api/v1/admin/tenants/{tenant_id}/credits": lambda platform: Change(
        f"{_tenant(platform)}/credits", {"type": "bonus", "credits": 50, "reason": "sorry"}
    ),
    "POST /api/v1/admin/packages": lambda _: Change("/api/v1/admin/packages", PACKAGE, owned=False),
    "PATCH /api/v1/admin/packages/{package_id}": lambda platform: Change(
        _package(platform), {"credits_amount": 200, "prices": {"JPY": 500, "KRW": 5_000, "USD": 400}}, owned=False
    ),
    "DELETE /api/v1/admin/packages/{package_id}": lambda platform: Change(_package(platform), owned=False),
    "POST /api/v1/admin/packages/{package_id}/restore": lambda platform: Change(
        f"{_deleted_package(platform)}/restore", owned=False
    ),
    "POST /api/v1/checkout": lambda _: Change("/api/v1/checkout", {"plan": "starter"}),
    "POST /api/v1/billing/portal": lambda _: Change("/api/v1/billing/portal"),
    "POST /api/v1/subscription": lambda _: Change("/api/v1/subscription", {"plan": "starter"}),
    "PATCH /api/v1/subscription": lambda platform: _changed_plan(platform, body={"plan": "pro"}),
    "DELETE /api/v1/subscription": _changed_plan,
    "POST /api/v1/subscription/resume": _cancelled,
    "POST /api/v1/credits/purchase": lambda _: Change("/api/v1/credits/purchase", BOUGHT),
    "POST /api/v1/billing/cards": lambda _: Change("/api/v1/billing/cards"),
    "PATCH /api/v1/billing/cards/{payment_method_id}": lambda platform: _card(platform, {"is_default": True}),
    "DELETE /api/v1/billing/cards/{payment_method_id}": _card,
    "POST /api/v1/prompts": lambda _: Change("/api/v1/prompts", {"profile_name": "Shop", "content": SAID}),
    "PATCH /api/v1/prompts/{profile_id}": lambda platform: Change(prompt(platform), {"profile_name": "Second shop"}),
    "DELETE /api/v1/prompts/{profile_id}": lambda platform: Change(prompt(platform)),
    "POST /api/v1/prompts/{profile_id}/restore": _deleted_prompt,
    "POST /api/v1/prompts/{profile_id}/versions": lambda platform: Change(
        f"{prompt(platform)}/versions", {"base_version": 2, "content": SAID, "note": "shorter", "publish": True}
    ),
    "POST /api/v1/prompts/{profile_id}/publish": lambda platform: Change(f"{prompt(platform)}/publish", {"version": 2}),
    "POST /api/v1/prompts/{profile_id}/rollback": _republished_prompt,
    "POST /api/v1/experiments": _planned,
    "POST /api/v1/experiments/{experiment_id}/start": lambda platform: Change(f"{experiment(platform)}/start"),
    "POST /api/v1/experiments/{experiment_id}/stop": lambda platform: Change(f"{experiment(platform, runs=True)}/stop"),
    "POST /api/v1/experiments/{experiment_id}/promote": lambda platform: Change(
        f"{experiment(platform, runs=True)}/promote", {"arm": "B"}
    ),
    "POST /api/v1/sites": _new_site,
    "PATCH /api/v1/sites/{site_id}": lambda platform: Change(
        _site(platform), {"name": "New name", "daily_quota": 3, "version": 1, "widget_config": {"radius": 4}}
    ),
    "DELETE /api/v1/sites/{site_id}": lambda platform: Change(_site(platform)),
    "POST /api/v1/sites/{site_id}/restore": lambda platform: Change(f"{_deleted_site(platform)}/restore"),
    "POST /api/v1/sites/{site_id}/key": lambda platform: Change(f"{_site(platform)}/key", {"overlap_hours": 1}),
    "DELETE /api/v1/sites/{site_id}/key/previous": lambda platform: Change(f"{_rotated_site(platform)}/key/previous"),
    "POST /api/v1/sites/{site_id}/embed": lambda platform: Change(f"{_site(platform)}/embed"),
    "POST /api/v1/sites/{site_id}/icon/check": lambda platform: Change(
        f"{_site(platform)}/icon/check", {"url": "https://shop.example/icon.png"}
    ),
    "POST /api/v1/sites/{site_id}/embed/check": lambda platform: Change(
        f"{_site(platform)}/embed/check", {"url": "https://shop.example/"}
    ),
    "POST /api/v1/webhooks": lambda _: Change("/api/v1/webhooks", HOOK),
    "PATCH /api/v1/webhooks/{webhook_id}": lambda platform: Change(webhook(platform), {"description": "orders"}),
    "DELETE /api/v1/webhooks/{webhook_id}": lambda platform: Change(webhook(platform)),
    "POST /api/v1/webhooks/{webhook_id}/secret": lambda platform: Change(f"{webhook(platform)}/secret"),
    "POST /api/v1/webhooks/{webhook_id}/test": lambda platform: Change(f"{webhook(platform)}/test"),
    "POST /api/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/replay": lambda platform: Change(
        f"{webhook(platform)}/deliveries/{DELIVERY}/replay"
    ),
    "POST /api/v1/notifications/read": lambda _: Change(
        "/api/v1/notifications/read", {"notification_ids": ["note_" + "0" * 32]}
    ),
}
