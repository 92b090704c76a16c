"""Tells tenants what happens to their payments and plans: each thing once, whoever sees it and however often."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from noren.billing.orders import Contest, Order, Subscribed
from noren.ids import TenantId
from noren.insight.notices import Notices
from noren.mail_billing import BillingNotice
from noren.money import shown
from noren.tenants.models import Tenant


class BillingWatch:
    """What `noren.billing.told.Told` wants."""

    def __init__(self, notices: Notices, tenant_of: Callable[[TenantId], Tenant]) -> None:
        self._notices, self._tenant_of = notices, tenant_of

    def order(self, order: Order) -> None:
        """Automatic purchases that fail are told of by who makes them: it knows what comes next."""
        is_auto = order.method == "auto"
        kind: BillingNotice | None = None
        match order.status:
            case "paid":
                kind = "auto_purchase_paid" if is_auto else "credits_bought"
            case "failed" if not is_auto:
                kind = "purchase_failed"
        if kind:
            why = {"why": order.error or "-"} if kind == "purchase_failed" else {}
            self._tell(order.tenant_id, kind, order.order_id, _facts(order) | why)

    def invoice(self, order: Order, page: str, email: str) -> None:
        """Once per order."""
        tenant = self._tenant_of(order.tenant_id)
        self._notices.billing(tenant, "invoice_sent", order.order_id, _facts(order), link=page, also_to=email)

    def plan(self, tenant: Tenant, row: Subscribed, plan: str) -> None:
        """Of an end, a change, a payment that has failed; whichever of them is new."""
        if row.plan_status == "canceled":
            if tenant.plan != plan:
                self._notices.billing(tenant, "plan_ended", row.subscription, {"plan": tenant.plan})
            return
        if tenant.plan != plan:
            key = f"{row.subscription}#{row.version}"
            self._notices.billing(tenant, "plan_changed", key, {"plan": plan})
        if row.plan_status == "past_due" and tenant.plan_status != "past_due":
            key = f"{row.subscription}#{row.grace_until}"
            self._notices.billing(tenant, "plan_past_due", key, {"plan": plan}, until=row.grace_until)

    def trial(self, row: Subscribed) -> None:
        """Once per trial."""
        tenant, key = self._tenant_of(row.tenant_id), f"{row.subscription}#{row.period_end}"
        self._notices.billing(tenant, "trial_ending", key, {"plan": row.plan}, until=row.period_end)

    def action(self, row: Subscribed, invoice_id: str, amount: int, page: str) -> None:
        """Once per invoice."""
        facts = {"amount": shown(amount, row.currency), "plan": row.plan}
        self._notices.billing(self._tenant_of(row.tenant_id), "payment_action", invoice_id, facts, link=page)

    def contest(self, contest: Contest) -> None:
        """Once per dispute that is open."""
        if contest.is_open:
            facts = {"order": contest.order_id} if contest.order_id else {}
            self._tell(contest.tenant_id, "payment_disputed", contest.dispute_id, facts)

    def auto(self, tenant: Tenant, kind: BillingNotice, key: str, facts: Mapping[str, str]) -> None:
        """Once per kind and key."""
        self._notices.billing(tenant, kind, key, facts)

    def _tell(self, tenant_id: TenantId, kind: BillingNotice, key: str, facts: Mapping[str, str]) -> None:
        self._notices.billing(self._tenant_of(tenant_id), kind, key, facts)


def _facts(order: Order) -> dict[str, str]:
    amount = shown(order.amount, order.currency)
    return {"credits": f"{order.credits:,}", "amount": amount, "order": order.order_id}
