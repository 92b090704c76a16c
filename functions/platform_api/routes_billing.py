"""The owner's billing: plans by Checkout or in the app, credits, cards."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from noren.billing.orders import Order, Subscribed
from noren.billing.service import Started, Wanted
from noren.clock import iso
from noren.edge.http import Access, Call, Response, Route
from noren.ids import new_id
from noren.tenants.models import Role, Tenant
from platform_api import schemas_billing as b
from platform_api.routes_ledger import days_left

OWNER = Access(role=Role.OWNER)
STATUS = {"paid": "completed", "open": "pending", "requires_action": "requires_action"}


def checkout(call: Call) -> b.PageOut:
    """Subscribe on a page of Stripe's."""
    billing, tenant = call.services.billing, _tenant(call)
    return b.PageOut(url=billing.checkout_plan(tenant, call.body.plan, call.caller.principal, _key(call)))


def portal(call: Call) -> b.PageOut:
    """Stripe's page for cards and invoices."""
    return b.PageOut(url=call.services.billing.portal(_tenant(call)))


def subscription(call: Call) -> b.SubscriptionOut:
    """The subscription as it stands."""
    return _subscription(call.services.billing.subscribed(_tenant(call)))


def subscribe(call: Call) -> b.SubscriptionOut:
    """Subscribe in the app."""
    return _subscription(*call.services.billing.subscribe(_tenant(call), call.body.plan, _key(call)))


def preview(call: Call) -> b.PreviewOut:
    """What a change would cost."""
    invoice: Any = call.services.billing.preview(_tenant(call), call.query.plan)
    taxes = invoice.total_taxes or []
    return b.PreviewOut(
        plan=call.query.plan,
        amount_due=invoice.amount_due,
        tax=sum(each.amount for each in taxes),
        currency=invoice.currency.upper(),
        lines=[
            b.PreviewLine(description=each.description or "", amount=each.amount) for each in invoice.lines.data[:20]
        ],
    )


def change(call: Call) -> b.SubscriptionOut:
    """Another plan: dearer at once, cheaper at the period's end."""
    return _subscription(*call.services.billing.change_plan(_tenant(call), call.body.plan))


def cancel(call: Call) -> b.SubscriptionOut:
    """End it when what is paid for is over."""
    return _subscription(call.services.billing.cancel_plan(_tenant(call)))


def resume(call: Call) -> b.SubscriptionOut:
    """Take that back."""
    return _subscription(call.services.billing.resume_plan(_tenant(call)))


def purchase(call: Call) -> b.PurchaseAnswer:
    """Buy a package."""
    body: b.PurchaseIn = call.body
    details = body.payment_details
    wanted = Wanted(
        package_id=body.package_id,
        method=body.payment_method,
        payment_method=details.stripe_payment_method_id or "",
        payment_intent=details.stripe_payment_intent_id or "",
        invoice_email=details.invoice_email or "",
        source=body.metadata.source,
    )
    tenant = _tenant(call)
    started = call.services.billing.buy(tenant, wanted, call.caller.principal, _key(call))
    return _purchase(call, tenant, started)


def order(call: Call) -> b.PurchaseAnswer:
    """One order, as it stands."""
    billing, tenant = call.services.billing, _tenant(call)
    order = billing.order(tenant, call.params["order_id"])
    return _purchase(call, tenant, Started(order, url=billing.page_of(order)))


def cards(call: Call) -> b.CardsOut:
    """The saved cards."""
    found, default = call.services.billing.cards(_tenant(call))
    return b.CardsOut(items=[_card(each, default) for each in found])


def save_card(call: Call) -> b.CardSetupOut:
    """Begin to save a card."""
    return b.CardSetupOut(client_secret=call.services.billing.save_card(_tenant(call), _key(call)))


def patch_card(call: Call) -> b.CardsOut:
    """Make it the default."""
    call.services.billing.set_default_card(_tenant(call), call.params["payment_method_id"])
    return cards(call)


def forget_card(call: Call) -> Response:
    """Detach it."""
    call.services.billing.forget_card(_tenant(call), call.params["payment_method_id"])
    return Response(status=204)


def _tenant(call: Call) -> Tenant:
    return call.services.tenants.fresh(call.tenant_id)


def _key(call: Call) -> str:
    """The caller's own key where there is one, so that even a lost answer leads to the same order."""
    given = call.request.headers.get("idempotency-key")
    return f"{call.caller.principal} {given}" if given else new_id("key")


def _subscription(row: Subscribed | None, client_secret: str = "") -> b.SubscriptionOut:
    return b.SubscriptionOut(
        subscription_id=(row.subscription if row else "") or None,
        plan=(row.plan if row else "") or None,
        status=(row.status if row else "") or "none",
        amount=row.amount if row else 0,
        currency=(row.currency if row else "") or None,
        current_period_end=iso(row.period_end) if row and row.period_end else None,
        cancel_at_period_end=bool(row and row.cancel_at_period_end),
        next_plan=(row.next_plan if row else "") or None,
        grace_until=iso(row.grace_until) if row and row.grace_until else None,
        client_secret=client_secret or None,
    )


def _purchase(call: Call, tenant: Tenant, started: Started) -> b.PurchaseAnswer:
    order = started.order
    balance = call.services.credits.balance(tenant.tenant_id).current
    percentage = Decimal(order.discount_rate) * 100
    return b.PurchaseAnswer(
        purchase=b.PurchaseOut(
            transaction_id=order.order_id,
            package_id=order.package_id,
            credits_added=order.credits if order.status == "paid" else 0,
            total_cost=order.amount,
            currency=order.currency,
            discount=b.DiscountOut(type="package", percentage=percentage) if percentage else None,
        ),
        payment=_payment(order, started),
        account=b.BuyerAccount(new_balance=balance, estimated_days_left=days_left(call.services, tenant, balance)),
    )


def _payment(order: Order, started: Started) -> b.PaymentOut:
    return b.PaymentOut(
        status=STATUS.get(order.status, "failed"),  # type: ignore[arg-type]
        payment_intent_id=order.payment_intent or None,
        client_secret=started.client_secret or None,
        error_message=order.error or None,
        url=started.url or None,
    )


def _card(each: Any, default: str) -> b.CardOut:
    card = each.card
    return b.CardOut(
        payment_method_id=each.id,
        brand=card.brand,
        last4=card.last4,
        exp_month=card.exp_month,
        exp_year=card.exp_year,
        is_default=each.id == default,
    )


CARD = "/api/v1/billing/cards/{payment_method_id}"

ROUTES = (
    Route(
        "POST",
        "/api/v1/checkout",
        checkout,
        OWNER,
        "Subscribe to a plan on a page of Stripe's",
        b.PageOut,
        b.PlanChoice,
        idempotent=True,
        rate="purchase",
        aliases=("/api/checkout",),
    ),
    Route(
        "POST",
        "/api/v1/billing/portal",
        portal,
        OWNER,
        "Stripe's page for cards, invoices and the subscription",
        b.PageOut,
        idempotent=True,
        rate="purchase",
    ),
    Route("GET", "/api/v1/subscription", subscription, OWNER, "The subscription", b.SubscriptionOut),
    Route(
        "POST",
        "/api/v1/subscription",
        subscribe,
        OWNER,
        "Subscribe in the app: incomplete until it is paid",
        b.SubscriptionOut,
        b.PlanChoice,
        status=201,
        idempotent=True,
        rate="purchase",
    ),
    Route(
        "GET",
        "/api/v1/subscription/preview",
        preview,
        OWNER,
        "What changing the plan now would cost",
        b.PreviewOut,
        query=b.PlanQuery,
        rate="analytics",
    ),
    Route(
        "PATCH",
        "/api/v1/subscription",
        change,
        OWNER,
        "Change the plan: dearer at once, cheaper at the period's end",
        b.SubscriptionOut,
        b.PlanChoice,
        before=subscription,
    ),
    Route(
        "DELETE",
        "/api/v1/subscription",
        cancel,
        OWNER,
        "End the subscription when what is paid for is over",
        b.SubscriptionOut,
        before=subscription,
    ),
    Route(
        "POST",
        "/api/v1/subscription/resume",
        resume,
        OWNER,
        "Take a cancellation or a coming change back",
        b.SubscriptionOut,
        idempotent=True,
    ),
    Route(
        "POST",
        "/api/v1/credits/purchase",
        purchase,
        OWNER,
        "Buy a package of credits",
        b.PurchaseAnswer,
        b.PurchaseIn,
        status=201,
        idempotent=True,
        rate="purchase",
    ),
    Route(
        "GET",
        "/api/v1/credits/purchases/{order_id}",
        order,
        OWNER,
        "One order, as it stands",
        b.PurchaseAnswer,
        rate="analytics",
    ),
    Route("GET", "/api/v1/billing/cards", cards, OWNER, "Saved cards", b.CardsOut, rate="analytics"),
    Route(
        "POST",
        "/api/v1/billing/cards",
        save_card,
        OWNER,
        "Begin to save a card",
        b.CardSetupOut,
        status=201,
        idempotent=True,
        rate="purchase",
    ),
    Route("PATCH", CARD, patch_card, OWNER, "Pay what comes by this card", b.CardsOut, b.CardPatch, before=cards),
    Route("DELETE", CARD, forget_card, OWNER, "Forget a card", status=204, before=cards),
)
