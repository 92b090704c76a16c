"""Tenants as Stripe's customers, and their cards."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import replace
from typing import Any

from noren.billing.order_store import OrderStore
from noren.billing.orders import Subscribed
from noren.billing.stripe import Missing, Stripe
from noren.errors import NotFound, Unprocessable
from noren.settings import Settings
from noren.tenants.models import Tenant

COUNTRIES = {"JPY": "JP", "KRW": "KR"}
"""Where who pays in a currency is, as far as that can be told."""


class Customers:
    """Each tenant has one, made when it is first needed."""

    def __init__(self, stripe: Stripe, store: OrderStore, settings: Settings) -> None:
        self._stripe, self._store, self._settings = stripe, store, settings

    def of(self, tenant: Tenant) -> str:
        """The tenant's customer at Stripe: exactly one, made when it is first needed."""
        row = self._store.subscribed(tenant.tenant_id)
        if row and row.customer and not row.is_gone:
            return row.customer
        number = self._settings.invoice_registration_number
        params: dict[str, Any] = {
            "name": tenant.name,
            "preferred_locales": [tenant.locale],
            "metadata": {"tenant_id": tenant.tenant_id},
        }
        if tenant.billing_email:
            params["email"] = tenant.billing_email
        country = COUNTRIES.get(tenant.currency)
        if country and self._settings.stripe_tax == "true":
            params["address"] = {"country": country}  # tax is reckoned by it, until the customer says better
        if number:
            params["invoice_settings"] = {
                "custom_fields": [{"name": "登録番号", "value": number}],
                "footer": f"適格請求書発行事業者登録番号 {number}",
            }
        # The key holds what is sent: a tenant renamed between two tries makes another, unused one, never an error.
        digest = hashlib.sha256(repr(sorted(params.items())).encode()).hexdigest()[:16]
        seen = row.version if row else 0  # the answer for one that has been deleted since is not to come again
        customer = self._stripe.make_customer(params, f"customer-{tenant.tenant_id}-{seen}-{digest}")
        self._store.put_customer(tenant.tenant_id, customer)
        self._store.put_subscribed(replace(row or Subscribed(tenant.tenant_id, ""), customer=customer, is_gone=False))
        made = self._store.subscribed(tenant.tenant_id)
        assert made is not None
        return made.customer

    def check_card(self, tenant: Tenant, payment_method: str) -> None:
        """Raises NotFound for somebody else's card; a new one is nobody's yet."""
        with suppress(Missing):
            card = self._stripe.card(payment_method)
            if card.customer and str(card.customer) != self.of(tenant):
                raise NotFound("There is no such card.")

    def own_card(self, tenant: Tenant, payment_method: str) -> str:
        """The customer whose card it is. Raises NotFound unless that is the tenant's."""
        row = self._store.subscribed(tenant.tenant_id)
        try:
            card = self._stripe.card(payment_method)
        except Missing:
            raise NotFound("There is no such card.") from None
        if row is None or str(card.customer) != row.customer:
            raise NotFound("There is no such card.")
        return row.customer

    def default_card(self, customer: str, *, required: bool = True) -> str:
        """The card that pays unless another is named; any saved one if `required`. Raises Unprocessable."""
        settings = self._stripe.customer(customer).invoice_settings
        default = str(settings.default_payment_method or "") if settings else ""
        if not default and required:
            cards = self._stripe.cards(customer)
            if not cards:
                raise Unprocessable("There is no saved card. Pay by a new one.", code="no_saved_card")
            return str(cards[0].id)
        return default
