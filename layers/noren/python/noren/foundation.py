"""What all services stand on: storage, secrets, limits, sites, the way out, usage. A part of `noren.wiring`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from noren.clock import Clock
from noren.settings import Settings

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from mypy_boto3_dynamodb import DynamoDBClient

    from noren.chat.feedback_store import FeedbackStore
    from noren.fetching.client import Fetcher
    from noren.idempotency import Idempotency
    from noren.ids import TenantId
    from noren.insight.store import InsightStore
    from noren.mail import Mailer
    from noren.ratelimit import Limiter
    from noren.runtime.store import RuntimeStore
    from noren.secrets import Secrets, Signer
    from noren.sites.service import Sites
    from noren.sites.store import SiteStore
    from noren.usage.proof import Prover
    from noren.usage.reports import UsageReports
    from noren.usage.service import Usage
    from noren.usage.store import UsageStore
    from noren.usage.summaries import UsageSummaries
    from noren.usage.summary_store import SummaryStore
    from noren.vault import Vault


@dataclass(frozen=True)
class Foundation:
    """Each part is made on first use."""

    settings: Settings
    clock: Clock = time.time

    @cached_property
    def dynamodb(self) -> DynamoDBClient:
        """The ordinary storage client, with botocore's own retries."""
        from noren import tables

        return tables.dynamodb()

    @cached_property
    def ledger_dynamodb(self) -> DynamoDBClient:
        """The ledger's client: one attempt, each retry is the ledger's own."""
        from noren import tables

        return tables.dynamodb(single_attempt=True)

    @cached_property
    def secrets(self) -> Secrets:
        from noren.secrets import Secrets

        return Secrets(self.settings, self.clock)

    @cached_property
    def signer(self) -> Signer:
        from noren.secrets import Signer

        return Signer(self.secrets, self.clock)

    @cached_property
    def vault(self) -> Vault:
        from noren.vault import Vault

        return Vault(self.settings.data_key_arn, self.clock)

    @cached_property
    def fetcher(self) -> Fetcher:
        """The only way to what others name: pages, icons, subscribers."""
        from noren.fetching.client import Fetcher

        return Fetcher(allow=self.settings.fetch_allowed)

    @cached_property
    def mailer(self) -> Mailer:
        from noren.mail import Mailer

        return Mailer(self.settings)

    @cached_property
    def usage_records(self) -> UsageStore:
        """Usage records as the ledger writes them: one attempt at each call."""
        from noren.usage.store import UsageStore

        return UsageStore(self.ledger_dynamodb, self.settings.usage_table)

    @cached_property
    def usage(self) -> Usage:
        from noren.usage.service import Usage
        from noren.usage.store import UsageStore

        return Usage(UsageStore(self.dynamodb, self.settings.usage_table))

    @cached_property
    def usage_reports(self) -> UsageReports:
        from noren.usage.reports import UsageReports

        return UsageReports(self.usage_sums)

    @cached_property
    def usage_summaries(self) -> UsageSummaries:
        from noren.tenants.store import TenantStore
        from noren.usage.store import UsageStore
        from noren.usage.summaries import UsageSummaries

        tenants = TenantStore(self.dynamodb, self.settings.tenants_table)

        def zone_of(tenant_id: TenantId) -> str:
            tenant = tenants.tenant(tenant_id)
            return tenant.timezone if tenant else "UTC"

        return UsageSummaries(self.usage_sums, UsageStore(self.dynamodb, self.settings.usage_table), zone_of)

    @cached_property
    def usage_prover(self) -> Prover:
        from noren.usage.proof import Prover

        return Prover(self.usage_sums, self.usage_summaries, self.clock)

    @cached_property
    def usage_sums(self) -> SummaryStore:
        from noren.usage.summary_store import SummaryStore

        return SummaryStore(self.dynamodb, self.settings.usage_table)

    @cached_property
    def runtime(self) -> RuntimeStore:
        from noren.runtime.store import RuntimeStore

        return RuntimeStore(self.dynamodb, self.settings.runtime_table)

    @cached_property
    def limiter(self) -> Limiter:
        from noren.ratelimit import Limiter

        return Limiter(self.runtime, self.clock)

    @cached_property
    def idempotency(self) -> Idempotency:
        from noren.idempotency import Idempotency

        return Idempotency(self.runtime, self.clock)

    @cached_property
    def sites(self) -> Sites:
        from noren.sites.service import Sites

        return Sites(self.site_store, self.clock)

    @cached_property
    def site_store(self) -> SiteStore:
        from noren.sites.store import SiteStore

        return SiteStore(self.dynamodb, self.settings.sites_table)

    @cached_property
    def feedback_store(self) -> FeedbackStore:
        from noren.chat.feedback_store import FeedbackStore

        return FeedbackStore(self.dynamodb, self.settings.sites_table)

    @cached_property
    def insight(self) -> InsightStore:
        from noren.insight.store import InsightStore

        return InsightStore(self.dynamodb, self.settings.events_table)

    @cached_property
    def pool(self) -> Executor:
        """Threads for storage calls that don't wait for each other; none is started before it is needed."""
        from concurrent.futures import ThreadPoolExecutor

        return ThreadPoolExecutor(16, "storage")
