"""A tenant's credits: balance, lines, overage, and what a platform admin puts right."""

from __future__ import annotations

import hashlib
from decimal import Decimal
from typing import TYPE_CHECKING

from noren.clock import day_of, iso
from noren.edge.http import Access, Call, Route
from noren.edge.paging import Page, PageQuery, paged
from noren.ids import TenantId, new_id
from noren.ledger.credits import Balance, Correction, Split
from noren.ledger.lots import Entry
from noren.money import cost_places
from noren.tenants.models import Role, Tenant
from noren.usage.reports import Wanted
from platform_api import schemas_ledger as c
from platform_api.schemas_credits import AutoPurchaseOut
from platform_api.views import when

if TYPE_CHECKING:
    from noren.wiring import Services

DAYS = 30
TYPES = {"bonus": "BONUS", "refund": "REFUND", "adjustment": "ADJUSTMENT"}


def balance(call: Call) -> c.CreditsOut:
    """The tenant's credits whole."""
    services, tenant = call.services, call.services.tenants.get(call.tenant_id)
    use = _use(services, tenant)
    return c.CreditsOut(
        account=c.AccountOut(tenant_id=tenant.tenant_id, plan=tenant.plan, overage=tenant.overage),
        balance=_balance(services.credits.balance(tenant.tenant_id), use),
        auto_purchase=AutoPurchaseOut.model_validate(services.auto_purchases.get(tenant.tenant_id)),
        usage=use,
    )


def transactions(call: Call) -> Page[c.TransactionOut]:
    """The account's lines."""
    credits, tenant_id = call.services.credits, call.tenant_id

    def read(limit: int, at: dict[str, str] | None) -> tuple[list[Entry], dict[str, str] | None]:
        entries, following = credits.entries(tenant_id, limit, at["at"] if at else None)
        return entries, {"at": following} if following else None

    entries, following = paged(call, "/api/v1/credits/transactions", read)
    splits = credits.splits(tenant_id, entries)
    items = [_transaction(each, splits.get(each.entry_id)) for each in entries]
    return Page(items=items, next_cursor=following)


def patch_overage(call: Call) -> c.OverageOut:
    """Switch overage."""
    tenant = call.services.tenants.set_overage(call.tenant_id, call.body.enabled, call.caller.principal)
    return _overage(call, tenant)


def overage_before(call: Call) -> c.OverageOut:
    """Overage as it was."""
    return _overage(call, call.services.tenants.fresh(call.tenant_id))


def correct(call: Call) -> c.TransactionOut:
    """Book an admin's decision. Its `Idempotency-Key` names the entry, so that even a day later it is booked once."""
    tenant_id, body = TenantId(call.params["tenant_id"]), call.body
    key = call.request.headers.get("idempotency-key")
    named = hashlib.sha256(f"{call.caller.principal} {key}".encode()).hexdigest()[:32] if key else new_id("adm")
    correction = Correction(
        correction_id=named,
        type=TYPES[body.type],  # type: ignore[arg-type]
        credits=body.credits,
        reason=body.reason,
        actor=call.caller.principal,
        valid_days=int(call.services.settings.purchased_credits_valid_days)
        if body.valid_days is None
        else body.valid_days,
    )
    tenant = call.services.tenants.fresh(tenant_id)
    return _transaction(call.services.credits.correct(tenant.tenant_id, correction), None)


def days_left(services: Services, tenant: Tenant, balance: int) -> int | None:
    """How long so many credits last by the last 30 days' use; None without any."""
    used = sum(day.credits for day in _use(services, tenant).daily)
    return max(0, balance) * DAYS // used if used else None


def _use(services: Services, tenant: Tenant) -> c.UseOut:
    now = services.clock()
    first, last = (day_of(at, tenant.timezone) for at in (now - (DAYS - 1) * 86_400, now))
    rows = services.usage_reports.rows(Wanted(tenant.tenant_id, tenant.timezone, "day", first, last, "function"))
    days: dict[str, int] = {}
    functions: dict[str, int] = {}
    for row in rows:
        if row.tally.credits:
            days[row.period] = days.get(row.period, 0) + row.tally.credits
            functions[row.group] = functions.get(row.group, 0) + row.tally.credits
    total = sum(functions.values())
    top = sorted(functions.items(), key=lambda each: (-each[1], each[0]))
    return c.UseOut(
        top_functions=[
            c.FunctionShare(function_type=name, credits=credits, share=round(credits / total, 4))
            for name, credits in top
        ],
        daily=[c.DayUse(day=day, credits=credits) for day, credits in sorted(days.items(), reverse=True)],
    )


def _balance(each: Balance, use: c.UseOut) -> c.BalanceOut:
    used = sum(day.credits for day in use.daily)
    plain = {name: getattr(each, name) for name in c.BalanceOut.model_fields if hasattr(each, name)}
    days_left = max(0, each.current) * DAYS // used if used else None
    times = {"resets_at": iso(each.resets_at), "next_expiry": when(each.next_expiry)}
    return c.BalanceOut.model_validate(plain | times | {"estimated_days_left": days_left})


def _overage(call: Call, tenant: Tenant) -> c.OverageOut:
    price = call.services.plans.entitlement(tenant).limits.credits_per_overage_chat
    return c.OverageOut(tenant_id=tenant.tenant_id, enabled=tenant.overage, credits_per_chat=price)


def _transaction(each: Entry, split: Split | None) -> c.TransactionOut:
    count = Decimal(-each.credits)
    details = {name: value for name, value in each.details.items() if name != "execution_time_ms"}
    return c.TransactionOut(
        entry_id=each.entry_id,
        type=each.type,
        credits=each.credits,
        occurred_at=iso(each.at),
        balance_after=each.balance_after,
        buckets=split.by_kind if split else None,
        total_cost=split.paid if split else None,
        cost_per_credit={currency: cost_places(paid / count) for currency, paid in split.paid.items()}
        if split
        else None,
        function_type=each.function_type or None,
        execution_time_ms=each.details.get("execution_time_ms"),
        user_id=each.user_id or None,
        description=each.description or None,
        reference_id=each.reference_id or None,
        paid=each.paid,
        currency=each.currency or None,
        details=details,
    )


READERS = Access(role=Role.VIEWER, scope="read")
ADMIN = Access(platform_admin=True)

ROUTES = (
    Route(
        "GET",
        "/api/v1/credits/balance",
        balance,
        READERS,
        "Credits: balance, standing order, the last 30 days' use",
        answer=c.CreditsOut,
        rate="analytics",
    ),
    Route(
        "GET",
        "/api/v1/credits/transactions",
        transactions,
        READERS,
        "Every credit that came or went, newest first",
        answer=Page[c.TransactionOut],
        query=PageQuery,
        rate="analytics",
    ),
    Route(
        "PATCH",
        "/api/v1/credits/overage",
        patch_overage,
        Access(role=Role.OWNER),
        "Pay chats beyond the plan's by credits, or stop there",
        c.OverageOut,
        c.OveragePatch,
        before=overage_before,
    ),
    Route(
        "POST",
        "/api/v1/admin/tenants/{tenant_id}/credits",
        correct,
        ADMIN,
        "Give a bonus, give credits back, put a balance right",
        c.TransactionOut,
        c.CorrectionIn,
        status=201,
        idempotent=True,
    ),
)
