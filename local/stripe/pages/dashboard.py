"""The dashboard: what happened in the account, and buttons for what banks, stores and time would do."""

from __future__ import annotations

from html import escape

from aiohttp import web

from local.stripe import disputes, payments, refunds
from local.stripe.account import ACCOUNT, Account
from local.stripe.errors import Refusal
from local.stripe.pages.html import Words, error, money, page, words_for
from local.stripe.world import DAY, Obj, World

_STEPS = {"hour": 3600, "day": DAY, "week": 7 * DAY, "month": 31 * DAY}
_SHOWN = 30


async def show(request: web.Request) -> web.StreamResponse:
    """`GET /`."""
    account = request.app[ACCOUNT]
    account.world.tick()
    return _page(account, words_for(request))


def _page(account: Account, words: Words, message: str = "") -> web.Response:
    world = account.world
    stats = account.outbox.stats()
    steps = "".join(f'<button name="advance" value="{name}">+1 {words(f"step_{name}")}</button>' for name in _STEPS)
    delivered = sum(count for outcome, count in stats["outcomes"].items() if outcome.startswith("2"))
    hooks = words("webhooks", url=account.webhook_url or "–", done=delivered, left=stats["waiting"])
    body = (
        f"<section><h1>{words('dashboard')}</h1>{error(message)}"
        f"<p>{words('clock')}: <strong>{words.moment(world.now())}</strong></p>"
        f'<form method="post" action="/dashboard" class="steps">{steps}</form>'
        f'<p class="soft">{hooks}</p>'
        f"</section><section><h2>{words('payments')}</h2>{_payments(world, words)}</section>"
        f"<section><h2>{words('subscriptions')}</h2>{_subscriptions(world, words)}</section>"
        f"<section><h2>{words('events')}</h2>{_events(world, words)}</section>"
    )
    return page(words, words("dashboard"), body, wide=True, status=409 if message else 200)


def _payments(world: World, words: Words) -> str:
    rows = ""
    for each in reversed(world.all("payment_intent")[-_SHOWN:]):
        charge = world.objects.get(each["latest_charge"] or "", {})
        rows += f"<tr><td><code>{each['id']}</code><br>{_who(world, each)}</td><td>{escape(each['status'])}"
        rows += f"{_fate(charge, words)}</td><td>{money(each['amount'], each['currency'])}"
        rows += f"{_actions(world, each, charge, words)}</td></tr>"
    return f"<table><tbody>{rows}</tbody></table>" if rows else "<p>–</p>"


def _who(world: World, intent: Obj) -> str:
    customer = world.objects.get(intent["customer"] or "", {})
    return escape(customer.get("email") or intent["receipt_email"] or "")


def _fate(charge: Obj, words: Words) -> str:
    if charge.get("disputed"):
        return f"<br>{words('disputed')}"
    if charge.get("amount_refunded"):
        return f"<br>{words('refunded', amount=money(charge['amount_refunded'], charge['currency']))}"
    return ""


def _actions(world: World, intent: Obj, charge: Obj, words: Words) -> str:
    target, wanted = intent["id"], []
    dispute = next((each for each in world.all("dispute") if each["charge"] == charge.get("id")), None)
    if dispute and dispute["status"] not in disputes.OVER:
        target, wanted = dispute["id"], ["won", "lost"]
    elif intent["status"] == "succeeded" and not charge.get("disputed") and not charge.get("refunded"):
        wanted = ["refund", "dispute"]
    elif intent["status"] == "requires_action" and "konbini_display_details" in (intent["next_action"] or {}):
        wanted = ["slip_paid", "slip_expired"]
    buttons = "".join(f'<button name="action" value="{each}">{words(each)}</button>' for each in wanted)
    hidden = f'<input type="hidden" name="target" value="{target}">'
    return f'<form method="post" action="/dashboard" class="steps">{hidden}{buttons}</form>' if wanted else ""


def _subscriptions(world: World, words: Words) -> str:
    rows = ""
    for each in reversed(world.all("subscription")[-_SHOWN:]):
        item = each["items"]["data"][0]
        until = words.date(item["current_period_end"])
        rows += f"<tr><td><code>{each['id']}</code><br>{_who(world, {**each, 'receipt_email': None})}</td>"
        amount = money(item["price"]["unit_amount"] or 0, each["currency"])
        rows += f"<td>{words(each['status'])}<br>{until}</td><td>{amount}</td></tr>"
    return f"<table><tbody>{rows}</tbody></table>" if rows else "<p>–</p>"


def _events(world: World, words: Words) -> str:
    rows = "".join(
        f"<tr><td>{words.moment(each['created'])}</td><td>{each['type']}</td>"
        f"<td>{words('waiting') if each['pending_webhooks'] else words('delivered')}</td></tr>"
        for each in reversed(world.all("event")[-_SHOWN:])
    )
    return f"<table><tbody>{rows}</tbody></table>" if rows else "<p>–</p>"


async def act(request: web.Request) -> web.StreamResponse:
    """`POST /dashboard`. Only from this page: another one in the browser must not move the clock."""
    if request.headers.get("Origin", "").split("://")[-1] != request.host:
        raise web.HTTPForbidden
    account = request.app[ACCOUNT]
    form = {name: str(value) for name, value in (await request.post()).items()}
    try:
        _do(account, form)
    except Refusal as refusal:
        return _page(account, words_for(request), str(refusal))
    raise web.HTTPSeeOther("/")


def _do(account: Account, form: dict[str, str]) -> None:
    world, target = account.world, form.get("target", "")
    if form.get("advance") in _STEPS:
        world.advance(_STEPS[form["advance"]])
        account.outbox.hurry()
    match form.get("action"):
        case "refund":
            refunds.create(world, {"payment_intent": target, "reason": "requested_by_customer"})
        case "dispute":
            charge = world.get("payment_intent", target)["latest_charge"]
            disputes.open_for(world, world.get("charge", charge))
        case "won" | "lost" as outcome:
            disputes.close_as(world, world.get("dispute", target), outcome)
        case "slip_paid" | "slip_expired" as action:
            intent = world.get("payment_intent", target)
            payments.finish_later(world, intent, "succeeded" if action == "slip_paid" else "failed")
