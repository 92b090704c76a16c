"""The one composition root: settings in, services out. Once per container; tests build it with working fakes.

Each part is made on first use, so that a function pays only for what it needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from noren.learning import Learning
from noren.settings import Settings

if TYPE_CHECKING:
    from noren.billing.auto import AutoBuyer
    from noren.billing.auto_purchase import AutoPurchases
    from noren.billing.events import Events as BillingEvents
    from noren.billing.inbox import Inbox
    from noren.billing.order_store import OrderStore
    from noren.billing.packages import Packages
    from noren.billing.service import Billing
    from noren.billing.settlement import Settlement
    from noren.billing.store import BillingStore
    from noren.billing.stripe import Stripe
    from noren.billing.sync import Sync
    from noren.chat.conversations import Conversations
    from noren.chat.feedback import Feedbacks
    from noren.chat.models import Feedback
    from noren.chat.research import Research
    from noren.chat.service import Chats
    from noren.chat.sessions import Sessions
    from noren.chat.store import SessionStore
    from noren.chat.summary import Summaries
    from noren.edge.authenticate import Authenticator
    from noren.edge.security import SecurityEvents
    from noren.ids import TenantId
    from noren.insight.audit import Audit
    from noren.insight.billing_watch import BillingWatch
    from noren.insight.error_log import ErrorLog
    from noren.insight.events import Events
    from noren.insight.experiment_results import ExperimentResults
    from noren.insight.limit_watch import LimitWatch
    from noren.insight.margins import Margins
    from noren.insight.notices import Notices
    from noren.ledger.journal import Journal
    from noren.ledger.reconcile import Reconciler
    from noren.mail import WebhookReason
    from noren.queues import Queue
    from noren.sites.canned import CannedResponses
    from noren.sites.management import SiteManagement
    from noren.sites.visitors import Visitors
    from noren.tenants.directory import Directory
    from noren.webhooks.delivery_store import DeliveryStore
    from noren.webhooks.fanout import Fanout
    from noren.webhooks.sender import Sender
    from noren.webhooks.service import Webhooks
    from noren.webhooks.store import EndpointStore


@dataclass(frozen=True)
class Services(Learning):
    """Everything a handler may call."""

    @cached_property
    def directory(self) -> Directory:
        from noren.tenants.directory import Directory

        return Directory(self.settings, self.clock)

    @cached_property
    def visitors(self) -> Visitors:
        from noren.sites.visitors import Visitors

        return Visitors(self.sites, lambda each: self.tenants.get(each).is_suspended, self.signer, self.limiter)

    @cached_property
    def authenticator(self) -> Authenticator:
        from noren.edge.authenticate import Authenticator

        parts = self.tenants, self.directory, self.signer, self.visitors
        return Authenticator(self.settings, *parts, self.clock)

    @cached_property
    def security(self) -> SecurityEvents:
        from noren.edge.security import SecurityEvents
        from noren.edge.store import SecurityStore

        return SecurityEvents(SecurityStore(self.dynamodb, self.settings.events_table), self.clock)

    @cached_property
    def reconciler(self) -> Reconciler:
        from noren.ledger.reconcile import Reconciler

        return Reconciler(self.accounts, self.books, self.usage_records, self.clock)

    @cached_property
    def journal(self) -> Journal:
        from noren.ledger.journal import Journal

        return Journal(self.books, self.usage_records)

    @cached_property
    def margins(self) -> Margins:
        from noren.insight.margins import Margins

        return Margins(self.tenants, self.plans, self.usage_reports, self.clock)

    @cached_property
    def site_management(self) -> SiteManagement:
        from noren.sites.management import SiteManagement

        parts = self.sites, self.site_store, self.tenants.fresh, self.plans
        return SiteManagement(*parts, self.settings.console_url, self.clock)

    @cached_property
    def experiment_results(self) -> ExperimentResults:
        from noren.insight.experiment_results import ExperimentResults

        def zone_of(tenant_id: TenantId) -> str:
            return self.tenants.get(tenant_id).timezone

        return ExperimentResults(self.sites.experiments, self.usage_reports, zone_of, self.clock)

    @cached_property
    def canned(self) -> CannedResponses:
        from noren.sites.canned import CannedResponses
        from noren.sites.canned_store import CannedStore

        return CannedResponses(CannedStore(self.dynamodb, self.settings.sites_table), self.clock)

    @cached_property
    def billing_store(self) -> BillingStore:
        from noren.billing.store import BillingStore

        return BillingStore(self.dynamodb, self.settings.credits_table)

    @cached_property
    def packages(self) -> Packages:
        from noren.billing.packages import Packages

        return Packages(self.billing_store, self.plans, self.settings, self.clock)

    @cached_property
    def stripe(self) -> Stripe:
        from noren.billing.stripe import Stripe

        return Stripe(lambda: self.secrets.payment_key("stripe_secret_key"), self.settings.stripe_api_base)

    @cached_property
    def orders(self) -> OrderStore:
        from noren.billing.order_store import OrderStore

        return OrderStore(self.dynamodb, self.settings.billing_table)

    @cached_property
    def settlement(self) -> Settlement:
        from noren.billing.settlement import Settlement

        return Settlement(self.stripe, self.orders, self.credits, self.tenants, self.clock, self.billing_watch)

    @cached_property
    def billing(self) -> Billing:
        from noren.billing.service import Billing

        parts = self.packages, self.plans, self.settlement, self.settings
        return Billing(self.stripe, self.orders, *parts, self.clock)

    @cached_property
    def billing_queue(self) -> Queue:
        from noren.queues import Queue

        return Queue(self.settings.billing_queue_url)

    @cached_property
    def inbox(self) -> Inbox:
        from noren.billing.inbox import Inbox

        secret = self.secrets.payment_key("stripe_webhook_secret")
        return Inbox(secret, lambda: self.stripe.is_live, self.orders, self.billing_queue, self.clock)

    @cached_property
    def billing_events(self) -> BillingEvents:
        from noren.billing.events import Events

        return Events(self.settlement, self.stripe)

    @cached_property
    def billing_sync(self) -> Sync:
        from noren.billing.sync import Sync

        return Sync(self.settlement, self.orders, self.tenants.every_id, self.clock)

    def _buy_soon(self, tenant_id: TenantId) -> None:
        """Have an automatic purchase considered, if the tenant wants any."""
        if self.auto_purchases.get(tenant_id).enabled:
            self.billing_queue.send({"auto_purchase": tenant_id})

    @cached_property
    def auto_buyer(self) -> AutoBuyer:
        from noren.billing.auto import AutoBuyer

        parts = self.auto_purchases, self.packages, self.billing, self.orders, self.credits
        return AutoBuyer(*parts, self.tenants.get, self.billing_watch, self.clock)

    @cached_property
    def auto_purchases(self) -> AutoPurchases:
        from noren.billing.auto_purchase import AutoPurchases

        return AutoPurchases(self.billing_store, self.clock)

    @cached_property
    def audit(self) -> Audit:
        from noren.insight.audit import Audit

        return Audit(self.insight, self.clock)

    @cached_property
    def events(self) -> Events:
        from noren.insight.events import Events

        return Events(self.insight, self.clock)

    @cached_property
    def error_log(self) -> ErrorLog:
        from noren.insight.error_log import ErrorLog
        from noren.insight.error_store import ErrorStore

        return ErrorLog(ErrorStore(self.dynamodb, self.settings.events_table), self.events, self.clock)

    @cached_property
    def notices(self) -> Notices:
        from noren.insight.notices import Notices

        return Notices(self.events, self.insight, self.mailer, self.settings, self.clock)

    @cached_property
    def billing_watch(self) -> BillingWatch:
        from noren.insight.billing_watch import BillingWatch

        return BillingWatch(self.notices, self.tenants.get)

    @cached_property
    def webhook_endpoints(self) -> EndpointStore:
        from noren.webhooks.store import EndpointStore

        return EndpointStore(self.dynamodb, self.settings.webhooks_table)

    @cached_property
    def webhook_deliveries(self) -> DeliveryStore:
        from noren.webhooks.delivery_store import DeliveryStore

        return DeliveryStore(self.dynamodb, self.settings.webhooks_table)

    @cached_property
    def webhook_queue(self) -> Queue:
        from noren.queues import Queue

        return Queue(self.settings.webhook_queue_url)

    @cached_property
    def webhook_fanout(self) -> Fanout:
        from noren.webhooks.fanout import Fanout

        return Fanout(self.webhook_endpoints, self.webhook_deliveries, self.webhook_queue)

    @cached_property
    def webhooks(self) -> Webhooks:
        from noren.webhooks.service import Webhooks

        stores = self.webhook_endpoints, self.webhook_deliveries
        return Webhooks(*stores, self.webhook_fanout, self.fetcher, self.vault, self.clock)

    @cached_property
    def webhook_sender(self) -> Sender:
        from noren.webhooks.sender import Sender

        def told(tenant_id: TenantId, host: str, reason: WebhookReason, key: str) -> None:
            self.notices.webhook_disabled(self.tenants.get(tenant_id), host, reason, key)

        stores = self.webhook_endpoints, self.webhook_deliveries
        return Sender(*stores, self.webhook_fanout, self.fetcher, self.vault, self.limiter, told, self.clock)

    @cached_property
    def sessions(self) -> Sessions:
        from noren.chat.sessions import Sessions
        from noren.chat.summary import SummaryQueue

        queue = SummaryQueue(self.settings.summary_queue_url)
        return Sessions(self.session_store, queue, self.sites, self.clock)

    @cached_property
    def session_store(self) -> SessionStore:
        from noren.chat.store import SessionStore

        return SessionStore(self.dynamodb, self.settings.sites_table)

    @cached_property
    def feedback(self) -> Feedbacks:
        from noren.chat.feedback import Feedbacks
        from noren.clock import iso

        def tell(tenant_id: TenantId, given: Feedback) -> None:
            what = {"rating": given.rating, "comment": given.comment, "created_at": iso(given.created_at)}
            what |= {"updated_at": iso(given.updated_at)}
            where = {"id": given.request_id, "site_id": given.site_id, "session_key": given.session_key}
            self.events.emit(tenant_id, "feedback", f"{given.request_id}#{given.revision}", {**where, **what})

        stores = self.feedback_store, self.session_store
        return Feedbacks(*stores, self.usage, self.canned, tell, self.clock)

    @cached_property
    def conversations(self) -> Conversations:
        from noren.chat.conversation_store import ConversationStore
        from noren.chat.conversations import Conversations

        def sites_of(tenant_id: TenantId) -> list[str]:
            return [each.site_id for each in self.sites.every(tenant_id) if each.status != "deleted"]

        store = ConversationStore(self.dynamodb, self.settings.sites_table)
        return Conversations(store, self.feedback_store, sites_of, self.clock)

    @cached_property
    def limit_watch(self) -> LimitWatch:
        from noren.insight.day_store import DayStore
        from noren.insight.limit_watch import LimitWatch

        days = DayStore(self.dynamodb, self.settings.usage_table)
        parts = self.notices, days, self.tenants.get, self.sites.every
        return LimitWatch(*parts, lambda each: self.auto_purchases.get(each).threshold, self._buy_soon, self.clock)

    @cached_property
    def research(self) -> Research:
        from noren.chat.research import Research

        return Research(self.retrieval, self.embeddings, self.clock)

    @cached_property
    def chats(self) -> Chats:
        from noren.chat.service import Chats
        from noren.chat.store import SignalStore

        return Chats(
            tenants=self.tenants,
            plans=self.plans,
            sites=self.sites,
            ledger=self.ledger,
            usage=self.usage,
            limiter=self.limiter,
            idempotency=self.idempotency,
            router=self.router,
            sessions=self.sessions,
            canned=self.canned,
            research=self.research,
            signals=SignalStore(self.dynamodb, self.settings.runtime_table),
            pool=self.pool,
            short_of_credits=self._buy_soon,
            clock=self.clock,
            console_url=self.settings.console_url,
        )

    @cached_property
    def summaries(self) -> Summaries:
        from noren.chat.summary import Summaries

        return Summaries(
            tenants=self.tenants,
            plans=self.plans,
            sites=self.sites,
            usage=self.usage,
            router=self.router,
            sessions=self.session_store,
            clock=self.clock,
        )


def build(settings: Settings) -> Services:
    """The services for these settings; nothing is connected before it is used."""
    return Services(settings)
