"""The audit trail and notifications as the API shows them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from noren.edge.paging import PageQuery
from noren.mail import Notice, WebhookNotice
from noren.mail_billing import BillingNotice
from platform_api.schemas import Answer, Body


class AuditOut(Answer):
    """One change. Of what was changed, `before` and `after` hold the members that differ.

    `outcome` is `failed` where we broke down in the middle: part of the change may stand.
    """

    audit_id: str
    occurred_at: str
    actor: str
    action: str
    entity_type: str
    entity_id: str
    outcome: Literal["done", "failed"]
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    trace_id: str
    address_prefix: str


class AdminAuditOut(AuditOut):
    """The same for the platform admin. `tenant_id` is null where the platform's own was changed."""

    tenant_id: str | None
    by_platform: bool


class AdminAuditQuery(PageQuery):
    """`tenant_id` picks a tenant's trail; without it, that of the platform's own: plans, models, rates, packages."""

    tenant_id: Annotated[str, StringConstraints(max_length=80)] | None = None


class NotificationOut(Answer):
    """Something that happened to the tenant. All members share it; `read_at` is null until one has read it."""

    notification_id: str
    kind: Notice | WebhookNotice | BillingNotice
    occurred_at: str
    read_at: str | None
    data: dict[str, Any] = Field(
        description="Of a limit: `what`, `period`, `used`, `limit` and, where something resets, `resets_at`. "
        "Of a payment: what it is about, as the mail says it. Of a webhook: `host` and `reason` (`gone`, `failing`)."
    )


class ReadIn(Body):
    """Notifications that have been read."""

    notification_ids: Annotated[
        list[Annotated[str, StringConstraints(min_length=1, max_length=80)]], Field(min_length=1, max_length=50)
    ]


class ReadOut(Answer):
    """Those of them that were there and unread."""

    notification_ids: list[str]
