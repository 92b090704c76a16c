"""The Checkout page."""

from __future__ import annotations

import math
from html import escape

from aiohttp import web

from local.stripe import cards, paying
from local.stripe.account import ACCOUNT
from local.stripe.checkout import use_code
from local.stripe.errors import Refusal
from local.stripe.pages.html import Words, card_fields, error, field, money, page, words_for
from local.stripe.world import DAY, Obj, World, currency_symbol


async def show(request: web.Request) -> web.StreamResponse:
    """`GET /c/pay/{session}`: the form, or on to where the session has led."""
    world, session = _session(request)
    failed = session.pop("_error", None)
    intent = world.objects.get(session["payment_intent"] or session["setup_intent"] or "", {})
    last = intent.get("last_payment_error") or intent.get("last_setup_error")
    words = words_for(request, session["locale"])
    if session["status"] == "open" and (failed or (last and request.query.get("redirect_status") == "failed")):
        return _form(world, session, words, words.text("secure_failed"))
    return _shown(world, session, words)


async def submit(request: web.Request) -> web.StreamResponse:
    """`POST /c/pay/{session}`: pay, pay later, use a code, or cancel."""
    world, session = _session(request)
    words = words_for(request, session["locale"])
    if session["status"] != "open":
        return _shown(world, session, words)
    form = {name: str(value) for name, value in (await request.post()).items()}
    action = form.get("action", "pay")
    if action == "cancel":
        raise web.HTTPSeeOther(session["cancel_url"] or session["success_url"])
    email = form.get("email", "").strip() or None
    tax = form.get("tax_id", "").strip()
    tax_id = {"type": "jp_trn", "value": tax} if tax else None
    person = paying.Person(email=email, name=form.get("name", "").strip() or None, tax_id=tax_id)
    try:
        if action == "code":
            use_code(world, session, form.get("code", ""))
            return _form(world, session, words, "", form)
        if action == "later":
            paying.submit_later(world, session, person)
            raise web.HTTPSeeOther(f"/konbini/{session['payment_intent']}")
        method = cards.from_number(world, form.get("number", ""), **_expiry(form), name=person.name)
        method["billing_details"]["email"] = email
        if after := paying.submit(world, session, method, person):
            raise web.HTTPSeeOther(after)
    except Refusal as refusal:
        return _form(world, session, words, str(refusal), form, status=402)
    return _shown(world, session, words)


def _expiry(form: dict[str, str]) -> dict[str, int]:
    month, _, year = form.get("expiry", "").partition("/")
    try:
        return {"month": int(month), "year": 2000 + int(year) % 100}
    except ValueError:
        raise Refusal("Your card's expiration date is incomplete.", code="invalid_expiry_month", status=402) from None


def _session(request: web.Request) -> tuple[World, Obj]:
    world = request.app[ACCOUNT].world
    world.tick()
    session = world.kinds.get("checkout.session", {}).get(request.match_info["session"])
    if session is None:
        raise web.HTTPNotFound
    return world, session


def _shown(world: World, session: Obj, words: Words) -> web.StreamResponse:
    if session["status"] == "complete":
        raise web.HTTPSeeOther(session["success_url"].replace("{CHECKOUT_SESSION_ID}", session["id"]))
    if session["status"] == "expired":
        return page(words, words("payment"), f"<section><p>{words('over')}</p></section>", status=410)
    return _form(world, session, words)


def _form(
    world: World, session: Obj, words: Words, message: str = "", form: dict[str, str] | None = None, status: int = 200
) -> web.Response:
    form = form or {}
    customer = world.objects.get(session["customer"] or "", {})
    email = customer.get("email") or session["customer_email"] or ""
    inputs = field(
        "email",
        words("email"),
        form.get("email", email),
        more='type="email" autocomplete="email" required' + (" readonly" if email else ""),
    )
    inputs += card_fields(words, form.get("number", ""))
    name = form.get("name", customer.get("name") or "")
    inputs += field("name", words("name"), name, more='autocomplete="name"')
    if session["tax_id_collection"]["enabled"]:
        inputs += field("tax_id", words("tax_id"), form.get("tax_id", ""), more='pattern="T[0-9]{13}"')
    later = ""
    if session["mode"] == "payment" and "konbini" in session["payment_method_types"]:
        later = f'<button name="action" value="later" formnovalidate>{words("pay_later")}</button>'
    cancel = f'<button name="action" value="cancel" formnovalidate>{words("cancel")}</button>'
    pay = f'<button class="main" name="action" value="pay">{_verb(session, words)}</button>'
    body = (
        f"<section><h1>{escape(world.settings['account_name'])}</h1>{_summary(session, words)}</section>"
        f"<section><h2>{words('payment')}</h2>{error(message)}"
        f'<form method="post" action="/c/pay/{session["id"]}">'
        f"{inputs}{pay}{later if session['payment_status'] == 'unpaid' else ''}{cancel}</form></section>"
    )
    return page(words, words("payment"), body, two=True, status=status)


def _verb(session: Obj, words: Words) -> str:
    if session["mode"] == "setup":
        return words("save_card")
    if session["mode"] == "subscription":
        return words("subscribe")
    return words("pay_amount", amount=money(session["amount_total"], session["currency"]))


def _summary(session: Obj, words: Words) -> str:
    if session["mode"] == "setup":
        return f"<p>{words('save_card')}</p>"
    currency = session["currency"]
    rows = ""
    for line in session["_lines"]:
        every = (line["price"]["recurring"] or {}).get("interval")
        rhythm = f" <span class=soft>{words(f'per_{every}')}</span>" if every in ("month", "year") else ""
        many = f" × {line['quantity']}" if (line["quantity"] or 1) > 1 else ""
        rows += f"<dt>{escape(line['description'])}{many}{rhythm}</dt>"
        rows += f"<dd>{money(line['amount_subtotal'], currency)}</dd>"
    details = session["total_details"]
    rows += f"<dt>{words('subtotal')}</dt><dd>{money(session['amount_subtotal'], currency)}</dd>"
    if details["amount_discount"]:
        rows += f"<dt>{words('discount')}</dt><dd>{money(-details['amount_discount'], currency)}</dd>"
    if details["amount_tax"]:
        added = sum(line["_added"] for line in session["_lines"])
        rows += f"<dt>{words('tax' if added else 'tax_included')}</dt><dd>{money(details['amount_tax'], currency)}</dd>"
    total = money(session["amount_total"], currency)
    rows += f'<dt class="sum">{words("total")}</dt><dd class="sum">{total}</dd>'
    return f'<p class="amount">{total}</p>{_trial(session, words)}<h2>{words("summary")}</h2><dl>{rows}</dl>' + _code(
        session, words
    )


def _trial(session: Obj, words: Words) -> str:
    data = session["_subscription_data"]
    days = data.get("trial_period_days")
    if data.get("trial_end"):
        days = math.ceil((data["trial_end"] - session["created"]) / DAY)
    if not days:
        return ""
    due = sum(
        each["price"]["unit_amount"] * each["quantity"] for each in session["_lines"] if each["price"]["recurring"]
    )
    return f'<p class="soft">{words("trial", days=days, amount=currency_symbol(due, session["currency"]))}</p>'


def _code(session: Obj, words: Words) -> str:
    if not session["allow_promotion_codes"] or session["discounts"]:
        return ""
    apply = f'<button name="action" value="code">{words("apply")}</button>'
    code = field("code", words("code"), more='autocomplete="off" required')
    return (
        f'<form method="post" action="/c/pay/{session["id"]}">'
        f'<div class="row"><div style="flex:1">{code}</div>{apply}</div></form>'
    )
