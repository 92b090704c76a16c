"""A tenant's webhooks: where its events are sent, and what has become of each."""

from __future__ import annotations

from dataclasses import asdict

from noren.clock import iso
from noren.edge.http import Access, Call, Response, Route
from noren.edge.paging import Page, PageQuery, listed, paged
from noren.ids import TenantId
from noren.tenants.models import Role
from noren.webhooks.models import Delivery, Endpoint
from platform_api import schemas_webhooks as w
from platform_api.views import when

ADMIN = Access(role=Role.ADMIN, scope="admin")
LIST = "/api/v1/webhooks"
ONE = f"{LIST}/{{webhook_id}}"
DELIVERIES = f"{ONE}/deliveries"


def list_webhooks(call: Call) -> Page[w.WebhookOut]:
    """Newest first, without secrets."""
    return listed(call, LIST, call.services.webhooks.every(call.tenant_id), lambda each: _view(call, each))


def create_webhook(call: Call) -> w.WebhookMade:
    """The only time that the secret is shown."""
    given = call.body.model_dump()
    given["event_types"] = tuple(given["event_types"])
    made, secret = call.services.webhooks.create(call.tenant_id, given, call.caller.principal)
    return _made(call, made, secret)


def get_webhook(call: Call) -> w.WebhookOut:
    """One webhook, without its secret."""
    return _view(call, call.services.webhooks.get(*_which(call)))


def patch_webhook(call: Call) -> w.WebhookOut:
    """Change a webhook."""
    given = call.body.model_dump(exclude_none=True)
    if "event_types" in given:
        given["event_types"] = tuple(given["event_types"])
    return _view(call, call.services.webhooks.change(*_which(call), given, call.caller.principal))


def delete_webhook(call: Call) -> Response:
    """For good; what waits for it is not sent."""
    call.services.webhooks.delete(*_which(call))
    return Response(status=204)


def renew_secret(call: Call) -> w.WebhookMade:
    """A new secret."""
    changed, secret = call.services.webhooks.renew_secret(*_which(call), call.caller.principal)
    return _made(call, changed, secret)


def without_secret(made: w.WebhookMade) -> w.WebhookMade:
    """What a replay answers."""
    return made.model_copy(update={"secret": None})


def send_test(call: Call) -> w.DeliveryOut:
    """A `test` event."""
    return _delivery(call.services.webhooks.send_test(*_which(call)))


def list_deliveries(call: Call) -> Page[w.DeliveryOut]:
    """The last 30 days, newest first."""
    tenant_id, webhook_id = _which(call)
    read = call.services.webhooks.deliveries
    route = DELIVERIES.format(webhook_id=webhook_id)
    items, following = paged(call, route, lambda limit, at: read(tenant_id, webhook_id, limit, at))
    return Page(items=[_delivery(each) for each in items], next_cursor=following)


def replay(call: Call) -> w.DeliveryOut:
    """Send it again."""
    return _delivery(call.services.webhooks.replay(*_which(call), call.params["delivery_id"]))


def delivery_before(call: Call) -> w.DeliveryOut:
    """The delivery as it was."""
    return _delivery(call.services.webhooks.delivery(*_which(call), call.params["delivery_id"]))


def _which(call: Call) -> tuple[TenantId, str]:
    return call.tenant_id, call.params["webhook_id"]


def _plain(call: Call, each: Endpoint) -> dict[str, object]:
    is_overlap = call.services.clock() < each.previous_until
    return asdict(each) | {
        "event_types": list(each.event_types),
        "failing_since": when(each.failing_since),
        "previous_secret_until": iso(each.previous_until) if is_overlap else None,
        "created_at": iso(each.created_at),
        "updated_at": iso(each.updated_at),
    }


def _view(call: Call, each: Endpoint) -> w.WebhookOut:
    return w.WebhookOut.model_validate(_plain(call, each))


def _made(call: Call, each: Endpoint, secret: str) -> w.WebhookMade:
    return w.WebhookMade.model_validate(_plain(call, each) | {"secret": secret})


def _delivery(each: Delivery) -> w.DeliveryOut:
    return w.DeliveryOut.model_validate(
        asdict(each)
        | {
            "next_attempt_at": iso(each.next_at) if each.status == "pending" else None,
            "last_duration_ms": each.last_ms,
            "created_at": iso(each.created_at),
            "finished_at": when(each.finished_at),
        }
    )


ROUTES = (
    Route("GET", LIST, list_webhooks, ADMIN, "Webhooks, newest first", Page[w.WebhookOut], query=PageQuery),
    Route(
        "POST",
        LIST,
        create_webhook,
        ADMIN,
        "Have events sent to an address; its secret is shown once",
        w.WebhookMade,
        w.WebhookIn,
        status=201,
        idempotent=True,
        replay=without_secret,
        rate="fetch",
    ),
    Route("GET", ONE, get_webhook, ADMIN, "A webhook", w.WebhookOut),
    Route(
        "PATCH",
        ONE,
        patch_webhook,
        ADMIN,
        "Change a webhook, or enable it again",
        w.WebhookOut,
        w.WebhookPatch,
        before=get_webhook,
        rate="fetch",
    ),
    Route("DELETE", ONE, delete_webhook, ADMIN, "Delete a webhook for good", status=204, before=get_webhook),
    Route(
        "POST",
        f"{ONE}/secret",
        renew_secret,
        ADMIN,
        "A new secret, shown once; the one before signs too for 24 hours",
        w.WebhookMade,
        idempotent=True,
        before=get_webhook,
        replay=without_secret,
    ),
    Route(
        "POST",
        f"{ONE}/test",
        send_test,
        ADMIN,
        "Send a `test` event the way that all go",
        w.DeliveryOut,
        status=202,
        idempotent=True,
        rate="fetch",
    ),
    Route(
        "GET",
        DELIVERIES,
        list_deliveries,
        ADMIN,
        "What was sent in the last 30 days, newest first",
        Page[w.DeliveryOut],
        query=PageQuery,
    ),
    Route(
        "POST",
        f"{DELIVERIES}/{{delivery_id}}/replay",
        replay,
        ADMIN,
        "Send a delivery again, under its old id",
        w.DeliveryOut,
        status=202,
        idempotent=True,
        before=delivery_before,
        rate="fetch",
    ),
)
