"""Who hears of what happens to payments and plans."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from noren.billing.orders import Contest, Order, Subscribed
from noren.mail_billing import BillingNotice

if TYPE_CHECKING:
    from noren.tenants.models import Tenant


class Told(Protocol):
    """Each is told at least once, before what is told of is written down: a repetition has to be no news."""

    def order(self, order: Order) -> None:
        """An order has come to its status."""

    def invoice(self, order: Order, page: str, email: str) -> None:
        """A company's invoice is on its way; its page, and who else wants to have it."""

    def plan(self, tenant: Tenant, row: Subscribed, plan: str) -> None:
        """A tenant (as it was) comes to the plan and status of its subscription."""

    def trial(self, row: Subscribed) -> None:
        """A trial ends soon."""

    def action(self, row: Subscribed, invoice_id: str, amount: int, page: str) -> None:
        """The bank wants a renewal to be confirmed, on that page."""

    def contest(self, contest: Contest) -> None:
        """A payment is disputed."""

    def auto(self, tenant: Tenant, kind: BillingNotice, key: str, facts: Mapping[str, str]) -> None:
        """An automatic purchase was made, failed, or was not to be made."""


class Nobody:
    """Hears nothing."""

    def order(self, order: Order) -> None: ...

    def invoice(self, order: Order, page: str, email: str) -> None: ...

    def plan(self, tenant: Tenant, row: Subscribed, plan: str) -> None: ...

    def trial(self, row: Subscribed) -> None: ...

    def action(self, row: Subscribed, invoice_id: str, amount: int, page: str) -> None: ...

    def contest(self, contest: Contest) -> None: ...

    def auto(self, tenant: Tenant, kind: BillingNotice, key: str, facts: Mapping[str, str]) -> None: ...
