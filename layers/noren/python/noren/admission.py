"""Tenants, plans, the ledger and the models: what lets work in and pays for it. A part of `noren.wiring`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from noren.foundation import Foundation

if TYPE_CHECKING:
    from noren.ids import TenantId
    from noren.knowledge.embeddings import Embeddings
    from noren.ledger.book_store import BookStore
    from noren.ledger.credits import Credits
    from noren.ledger.service import Ledger
    from noren.ledger.store import LedgerStore
    from noren.llm.router import Router
    from noren.plans.service import Plans
    from noren.tenants.service import Tenants


@dataclass(frozen=True)
class Admission(Foundation):
    """Each part is made on first use."""

    @cached_property
    def plans(self) -> Plans:
        from noren.plans.service import Plans
        from noren.plans.store import PlanStore

        return Plans(PlanStore(self.dynamodb, self.settings.tenants_table), self.settings, self.clock)

    @cached_property
    def tenants(self) -> Tenants:
        from noren.tenants.seat_store import SeatStore
        from noren.tenants.seats import Seats
        from noren.tenants.service import Tenants
        from noren.tenants.store import TenantStore

        table = self.dynamodb, self.settings.tenants_table
        store = TenantStore(*table)
        parts = self.plans, self.ledger, self.sites, self.mailer, self.settings
        return Tenants(store, Seats(store, SeatStore(*table)), *parts, self.clock)

    @cached_property
    def accounts(self) -> LedgerStore:
        from noren.ledger.store import LedgerStore

        return LedgerStore(self.ledger_dynamodb, self.settings.quotas_table)

    @cached_property
    def books(self) -> BookStore:
        from noren.ledger.book_store import BookStore

        return BookStore(self.ledger_dynamodb, self.settings.quotas_table, self.settings.credits_table)

    @cached_property
    def ledger(self) -> Ledger:
        from noren.ledger.service import Ledger

        return Ledger(self.accounts, self.usage_records, self.credits, clock=self.clock)

    @cached_property
    def credits(self) -> Credits:
        from noren.ledger.credits import Credits

        # Made when a month ends, not before: few processes ever fold one.
        def most_used(tenant_id: TenantId, month: str, zone: str) -> str | None:
            return self.usage_reports.most_used(tenant_id, month, zone)

        return Credits(self.accounts, self.books, self.clock, most_used=most_used)

    @cached_property
    def router(self) -> Router:
        from noren.llm import providers
        from noren.llm.breaker import Breaker
        from noren.llm.router import Router
        from noren.llm.store import BreakerStore

        breaker = Breaker(BreakerStore(self.settings.runtime_table, self.dynamodb), self.clock)
        return Router(providers.build(self.settings, self.secrets.provider_key), breaker, clock=self.clock)

    @cached_property
    def embeddings(self) -> Embeddings:
        from noren.knowledge.embeddings import Embeddings
        from noren.llm.embedder import Embedder

        embedder = Embedder(self.router.providers, self.router.breaker, clock=self.clock)
        return Embeddings(self.plans, self.ledger, embedder, self.clock, self.settings.console_url)
