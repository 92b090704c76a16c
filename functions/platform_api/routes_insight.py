"""What happened: the audit trail and notifications."""

from __future__ import annotations

from dataclasses import asdict

from noren.clock import iso
from noren.edge.http import Access, Call, Route
from noren.edge.paging import Page, PageQuery, paged
from noren.ids import TenantId
from noren.insight.models import AuditRecord, Note
from noren.tenants.models import Role
from platform_api import schemas_insight as i
from platform_api import views


def audit(call: Call) -> Page[i.AuditOut]:
    """The tenant's own trail; who acted for the platform is the platform's business."""
    records = call.services.audit.records
    items, following = paged(call, "/api/v1/audit", lambda limit, at: records(call.tenant_id, limit, at))
    return Page(items=[_record(each) for each in items], next_cursor=following)


def admin_audit(call: Call) -> Page[i.AdminAuditOut]:
    """The platform's own trail, or one tenant's."""
    wanted = call.query.tenant_id
    tenant_id = call.services.tenants.get(TenantId(wanted)).tenant_id if wanted else None
    records = call.services.audit.records
    items, following = paged(call, "/api/v1/admin/audit", lambda limit, at: records(tenant_id, limit, at))
    return Page(items=[_whole_record(each) for each in items], next_cursor=following)


def notifications(call: Call) -> Page[i.NotificationOut]:
    """The tenant's notifications."""
    notes = call.services.notices.notes
    items, following = paged(call, "/api/v1/notifications", lambda limit, at: notes(call.tenant_id, limit, at))
    return Page(items=[_note(each) for each in items], next_cursor=following)


def read(call: Call) -> i.ReadOut:
    """Mark notifications read, for all members."""
    done = call.services.notices.mark_read(call.tenant_id, call.body.notification_ids, call.caller.principal)
    return i.ReadOut(notification_ids=done)


def _record(each: AuditRecord) -> i.AuditOut:
    plain = asdict(each) | {"occurred_at": iso(each.occurred_at)}
    return i.AuditOut.model_validate(plain | ({"actor": "platform", "address_prefix": ""} if each.by_platform else {}))


def _whole_record(each: AuditRecord) -> i.AdminAuditOut:
    return i.AdminAuditOut.model_validate(asdict(each) | {"occurred_at": iso(each.occurred_at)})


def _note(each: Note) -> i.NotificationOut:
    times = {"occurred_at": iso(each.occurred_at), "read_at": views.when(each.read_at)}
    return i.NotificationOut.model_validate(asdict(each) | times)


ROUTES = (
    Route(
        "GET",
        "/api/v1/audit",
        audit,
        Access(role=Role.ADMIN, scope="admin"),
        "Who changed what, newest first",
        answer=Page[i.AuditOut],
        query=PageQuery,
    ),
    Route(
        "GET",
        "/api/v1/admin/audit",
        admin_audit,
        Access(platform_admin=True),
        "Who changed what of the platform or of a tenant, newest first",
        answer=Page[i.AdminAuditOut],
        query=i.AdminAuditQuery,
    ),
    Route(
        "GET",
        "/api/v1/notifications",
        notifications,
        Access(role=Role.VIEWER, scope="read"),
        "Notifications, newest first",
        answer=Page[i.NotificationOut],
        query=PageQuery,
    ),
    Route(
        "POST",
        "/api/v1/notifications/read",
        read,
        Access(role=Role.EDITOR, scope="admin"),
        "Mark notifications read",
        i.ReadOut,
        i.ReadIn,
    ),
)
