"""Standing orders: what a tenant wants bought when credits run low. Kept here; buying comes with billing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from noren.billing.models import AutoPurchase
from noren.billing.store import BillingStore
from noren.clock import Clock
from noren.errors import Conflict, Unprocessable
from noren.ids import TenantId


class AutoPurchases:
    """The tenants' standing orders."""

    def __init__(self, store: BillingStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def get(self, tenant_id: TenantId) -> AutoPurchase:
        """The tenant's standing order; switched off where none was ever given."""
        return self._store.auto_purchase(tenant_id) or AutoPurchase()

    def put(self, tenant_id: TenantId, given: Mapping[str, Any], actor: str) -> AutoPurchase:
        """Replace the given fields. Raises Unprocessable for a cap under one purchase, Conflict."""
        read = self.get(tenant_id)
        order = replace(read, **given, version=read.version + 1)
        if order.monthly_cap < order.amount:
            raise Unprocessable("monthly_cap can't be below amount: nothing could be bought.", code="cap_below_amount")
        if not self._store.put_auto_purchase(tenant_id, order, int(self._clock()), actor):
            raise Conflict("The settings have just been changed by somebody else. Look again.")
        return order
