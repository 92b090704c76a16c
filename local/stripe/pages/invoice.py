"""The hosted invoice: a qualified invoice (適格請求書) when the account's registration number is on it."""

from __future__ import annotations

from html import escape

from aiohttp import web

from local.stripe import cards, invoices, payments
from local.stripe.account import ACCOUNT
from local.stripe.errors import Refusal
from local.stripe.pages.html import Words, card_fields, error, money, page, words_for
from local.stripe.world import Obj, World


def _invoice(request: web.Request) -> tuple[World, Obj, Words]:
    world = request.app[ACCOUNT].world
    world.tick()
    found = world.kinds.get("invoice", {}).get(request.match_info["invoice"])
    if found is None or found.get("_token") != request.match_info["token"]:
        raise web.HTTPNotFound
    return world, found, words_for(request)


async def show(request: web.Request) -> web.StreamResponse:
    """`GET /i/{invoice}/{token}`, and `…/print` without the form."""
    world, invoice, words = _invoice(request)
    return _page(world, invoice, words, form=not request.path.endswith("/print"))


def _page(
    world: World, invoice: Obj, words: Words, message: str = "", number: str = "", *, form: bool = True
) -> web.Response:
    currency = invoice["currency"]
    facts = [("number", invoice["number"]), ("issued", words.date(invoice["created"]))]
    facts += [("due", words.date(invoice["due_date"]))] if invoice["due_date"] else []
    rows = "".join(f"<dt>{words(key)}</dt><dd>{escape(value)}</dd>" for key, value in facts)
    extra = invoice["custom_fields"] or []
    rows += "".join(f"<dt>{escape(each['name'])}</dt><dd>{escape(each['value'])}</dd>" for each in extra)
    ids = [world.objects[each]["value"] for each in invoice["account_tax_ids"] or [] if each in world.objects]
    registered = "".join(f"<br>{words('registration')}: {escape(each)}" for each in ids)
    to = escape(invoice["customer_name"] or invoice["customer_email"] or "")
    body = (
        f"<section><h1>{words('invoice')} · {words(invoice['status'])}</h1>"
        f'<p class="amount">{money(invoice["total"], currency)}</p><dl>{rows}</dl>'
        f"<p><strong>{words('from')}</strong><br>{escape(invoice['account_name'] or '')}{registered}</p>"
        f"<p><strong>{words('to')}</strong><br>{to}</p></section><section>{_lines(invoice, words)}"
        f'<p class="soft">{escape(invoice["footer"] or "")}</p></section>'
    )
    if form and invoice["status"] == "open":
        pay = words("pay_amount", amount=money(invoice["amount_due"], currency))
        body += (
            f"<section><h2>{words('payment')}</h2>{error(message)}"
            f'<form method="post" action="/i/{invoice["id"]}/{invoice["_token"]}">{card_fields(words, number)}'
            f'<button class="main">{pay}</button></form></section>'
        )
    return page(words, words("invoice"), body, status=402 if message else 200)


def _lines(invoice: Obj, words: Words) -> str:
    currency = invoice["currency"]
    rows = "".join(
        f"<tr><td>{escape(each['description'] or '')}</td><td>{money(each['amount'], currency)}</td></tr>"
        for each in invoice["lines"]["data"]
    )
    rows += f"<tr><td>{words('subtotal')}</td><td>{money(invoice['subtotal'], currency)}</td></tr>"
    off = sum(each["amount"] for each in invoice["total_discount_amounts"])
    rows += f"<tr><td>{words('discount')}</td><td>{money(-off, currency)}</td></tr>" if off else ""
    for each in invoice["total_taxes"]:
        key = "tax" if each["tax_behavior"] == "exclusive" else "tax_included"
        rows += f"<tr><td>{words(key)}</td><td>{money(each['amount'], currency)}</td></tr>"
    total = f"<tr><th>{words('total')}</th><th>{money(invoice['total'], currency)}</th></tr>"
    return f"<table><tbody>{rows}{total}</tbody></table>"


async def pay(request: web.Request) -> web.StreamResponse:
    """`POST /i/{invoice}/{token}`."""
    world, invoice, words = _invoice(request)
    form = await request.post()
    number = str(form.get("number", ""))
    intent = invoices.intent_of(world, invoice)
    try:
        if intent and invoice["status"] == "open":
            method = cards.keep(world, cards.from_number(world, number))
            payments.attempt(world, intent, method, return_url=invoice["hosted_invoice_url"])
    except Refusal as refusal:
        return _page(world, invoice, words, str(refusal), number)
    if intent and intent["status"] == "requires_action":
        raise web.HTTPSeeOther(intent["next_action"]["redirect_to_url"]["url"])
    raise web.HTTPSeeOther(f"/i/{invoice['id']}/{invoice['_token']}")
