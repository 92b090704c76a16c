"""What a tenant is told of when it happens: an event, a notification in the console and a mail to its owner."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from noren.clock import Clock, iso, zone
from noren.ids import TenantId
from noren.insight.events import Events
from noren.insight.models import Event, Note
from noren.insight.store import InsightStore
from noren.mail import Mailer, Notice, Template, WebhookReason
from noren.mail_billing import BillingNotice
from noren.settings import Settings
from noren.tables import Position
from noren.tenants.models import Tenant


class Notices:
    """Tells tenants of their limits, credits and payments.

    Its producers deliver at least once, so each step can be repeated: the event is put once and carries the id that
    the notification is put under once; the mail is queued; then the event is marked as told, after which a repetition
    costs one refused write and does nothing. Who dies in between is repeated from the start: the notification stays
    one, and the mail goes out a second time only if death (or a second producer) came between queue and mark.
    """

    def __init__(self, events: Events, store: InsightStore, mailer: Mailer, settings: Settings, clock: Clock) -> None:
        self._events = events
        self._store = store
        self._mailer = mailer
        self._console_url = settings.console_url.rstrip("/")
        self._billing_url = self._console_url + "/billing.html"
        self._clock = clock

    def limit(
        self,
        tenant: Tenant,
        kind: Notice,
        what: str,
        period: str,
        used: int,
        limit: int,
        resets_at: float | None = None,
    ) -> bool:
        """Tell of `used` out of `limit`, once per kind, thing and period; whether it was news.

        `what` is `chats`, `embedding_tokens`, `credits` or a site's id; `period` the month or day in the tenant's zone
        (`2026-11`, `2026-11-20`). Of `credits_low`, `used` is the balance and `limit` the threshold.
        """
        data = {"what": what, "period": period, "used": used, "limit": limit}
        data |= {"resets_at": iso(resets_at)} if resets_at is not None else {}
        event = self._events.ensure(tenant.tenant_id, kind, f"{what}#{period}", data)
        if not event.told:
            self._store.put_note(_note(event))
            self._mail(tenant, kind, what, used, limit, resets_at)
            self._store.mark_told(event)
        return event.is_new

    def billing(
        self,
        tenant: Tenant,
        kind: BillingNotice,
        key: str,
        facts: Mapping[str, str],
        *,
        until: float | None = None,
        link: str = "",
        also_to: str = "",
    ) -> bool:
        """Tell of a payment or plan, once per kind and key; whether it was news.

        `facts` fill the kind's text and show in the console, `order` leads there. `link` is for the mail alone: a page
        of Stripe's that opens without a sign-in. `also_to` gets the mail too.
        """
        data = dict(facts) | ({"until": iso(until)} if until is not None else {})
        event = self._events.ensure(tenant.tenant_id, kind, key, data)
        if not event.told:
            self._store.put_note(_note(event))
            page = f"{self._billing_url}?order={facts['order']}" if "order" in facts else self._billing_url
            filled = dict(facts) | {"tenant": tenant.name, "link": link or page}
            filled |= {"until": _local(until, tenant.timezone)} if until is not None else {}
            for address in dict.fromkeys((tenant.billing_email, also_to)):
                self._send(address, kind, filled, tenant.locale)
            self._store.mark_told(event)
        return event.is_new

    def webhook_disabled(self, tenant: Tenant, host: str, reason: WebhookReason, key: str) -> None:
        """Tell that we send no more webhooks to `host`, once per key."""
        event = self._events.ensure(tenant.tenant_id, "webhook_disabled", key, {"host": host, "reason": reason})
        if not event.told:
            self._store.put_note(_note(event))
            data = {"tenant": tenant.name, "host": host, "what": f"webhook_{reason}", "link": self._console_url}
            self._send(tenant.billing_email, "webhook_disabled", data, tenant.locale)
            self._store.mark_told(event)

    def notes(self, tenant_id: TenantId, limit: int, position: Position | None) -> tuple[list[Note], Position | None]:
        """A tenant's notifications, newest first."""
        return self._store.notes(tenant_id, limit, position)

    def mark_read(self, tenant_id: TenantId, notification_ids: list[str], actor: str) -> list[str]:
        """Mark notifications read; those that were there and unread."""
        now = self._clock()
        return [each for each in notification_ids if self._store.mark_read(tenant_id, each, now, actor)]

    def _mail(self, tenant: Tenant, kind: Notice, what: str, used: int, limit: int, resets_at: float | None) -> None:
        data = {
            "tenant": tenant.name,
            "what": what,
            "used": f"{used:,}",
            "limit": f"{limit:,}",
            "resets": _local(resets_at, tenant.timezone) if resets_at is not None else "",
            "link": self._billing_url,
        }
        self._send(tenant.billing_email, kind, data, tenant.locale)

    def _send(self, address: str, kind: Template, data: Mapping[str, str], locale: str) -> None:
        if address:  # the platform's own tenant has none
            self._mailer.queue(address, kind, data, locale)


def _note(event: Event) -> Note:
    """The event's notification: made again, it has the same id."""
    return Note(
        notification_id="note_" + event.event_id.partition("_")[2],
        tenant_id=event.tenant_id,
        kind=event.kind,
        data=event.data,
        occurred_at=event.occurred_at,
    )


def _local(epoch: float, tz: str) -> str:
    """`2026-12-01 00:00 (Asia/Tokyo)`."""
    return f"{datetime.fromtimestamp(epoch, zone(tz)):%Y-%m-%d %H:%M} ({tz})"
