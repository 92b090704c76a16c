"""The customer portal: the subscription, its card, its invoices."""

from __future__ import annotations

from html import escape

from aiohttp import web

from local.stripe import billing, cards, portal, setups, subscriptions
from local.stripe.account import ACCOUNT
from local.stripe.errors import Refusal
from local.stripe.lines import product_name
from local.stripe.pages.html import Words, card_fields, card_line, error, money, page, words_for
from local.stripe.world import Obj, World


def _session(request: web.Request) -> tuple[World, Obj, Words]:
    world = request.app[ACCOUNT].world
    world.tick()
    session = world.kinds.get("billing_portal.session", {}).get(request.match_info["session"])
    if session is None:
        raise web.HTTPNotFound
    return world, session, words_for(request, session["locale"])


async def show(request: web.Request) -> web.StreamResponse:
    """`GET /p/session/{session}`."""
    return _page(*_session(request))


def _page(world: World, session: Obj, words: Words, message: str = "", number: str = "") -> web.Response:
    if portal.is_over(world, session):
        return page(words, words("portal"), f"<section><p>{words('over')}</p></section>", status=410)
    customer = world.objects[session["customer"]]
    back = ""
    if session["return_url"]:
        back = f'<p><a href="{escape(session["return_url"])}">← {words("back")}</a></p>'
    body = f"<div>{back}<h1>{escape(world.settings['account_name'])}</h1>"
    body += f'<p class="soft">{words("portal")}: {escape(customer["email"] or "")}</p></div>'
    body += f"<section><h2>{words('plan')}</h2>{_plans(world, session, words)}</section>"
    body += f"<section><h2>{words('cards')}</h2>{error(message)}{_cards(world, session, words, number)}</section>"
    body += f"<section><h2>{words('invoices')}</h2>{_invoices(world, session, words)}</section>"
    return page(words, words("portal"), body, status=402 if message else 200)


def _button(session: Obj, action: str, target: str, label: str) -> str:
    url = f"/p/session/{session['id']}"
    return (
        f'<form method="post" action="{url}"><input type="hidden" name="target" value="{target}">'
        f'<button name="action" value="{action}">{label}</button></form>'
    )


def _plans(world: World, session: Obj, words: Words) -> str:
    shown = ""
    for each in portal.subscriptions_of(world, session["customer"]):
        names = ", ".join(
            f"{product_name(world, item['price'])}"
            f" {money(item['price']['unit_amount'] or 0, item['price']['currency'])}"
            for item in billing.items_of(each)
        )
        ending = each["cancel_at_period_end"]
        status = words("canceling" if ending else each["status"])
        when = f"{words('ends' if ending else 'renews')}: {words.date(billing.period_end(each))}"
        button = ""
        if not each["schedule"] and each["status"] != "incomplete":
            button = _button(session, "resume" if ending else "cancel", each["id"],
                             words("resume_plan" if ending else "cancel_plan"))  # fmt: skip
        shown += (
            f'<div class="item"><strong>{names}</strong> · {status}<br><span class="soft">{when}</span>{button}</div>'
        )
    return shown or f"<p>{words('no_plan')}</p>"


def _cards(world: World, session: Obj, words: Words, number: str) -> str:
    customer = world.objects[session["customer"]]
    charged = {each["default_payment_method"] for each in portal.subscriptions_of(world, customer["id"])} - {None}
    defaults = charged or {customer["invoice_settings"]["default_payment_method"]}
    shown = ""
    for each in world.find("payment_method", customer=customer["id"]):
        if each["type"] == "card":
            mark = f" · {words('default')}" if each["id"] in defaults else ""
            button = "" if mark else _button(session, "default", each["id"], words("make_default"))
            shown += f'<div class="item">{card_line(each)}{mark}{button}</div>'
    form = (
        f'<form method="post" action="/p/session/{session["id"]}">{card_fields(words, number)}'
        f'<button class="main" name="action" value="card">{words("save_card")}</button></form>'
    )
    opened = " open" if number or not shown else ""
    return f"{shown}<details{opened}><summary>{words('add_card')}</summary>{form}</details>"


def _invoices(world: World, session: Obj, words: Words) -> str:
    rows = ""
    for each in reversed(world.find("invoice", customer=session["customer"])):
        if each["number"]:
            link = f'<a href="{escape(each["hosted_invoice_url"])}">{escape(each["number"])}</a>'
            rows += f"<tr><td>{link}</td><td>{words.date(each['created'])}</td><td>{words(each['status'])}</td>"
            rows += f"<td>{money(each['total'], each['currency'])}</td></tr>"
    return f"<table><tbody>{rows}</tbody></table>" if rows else "<p>–</p>"


async def act(request: web.Request) -> web.StreamResponse:
    """`POST /p/session/{session}`: cancel or keep a subscription, save a card, choose the default."""
    world, session, words = _session(request)
    if portal.is_over(world, session):
        return _page(world, session, words)
    form = {name: str(value) for name, value in (await request.post()).items()}
    customer = world.objects[session["customer"]]
    try:
        match form.get("action"):
            case "cancel" | "resume" as action:
                _own(world, customer, "subscription", form.get("target", ""))
                subscriptions.update(world, {"cancel_at_period_end": action == "cancel"}, form["target"])
            case "default":
                _set_default(world, customer, _own(world, customer, "payment_method", form.get("target", "")))
            case "card":
                method = cards.keep(world, cards.from_number(world, form.get("number", "")))
                intent = setups.make(world, customer=customer["id"])
                setups.attempt(world, intent, method, return_url=session["url"])
                if intent["status"] == "requires_action":
                    raise web.HTTPSeeOther(intent["next_action"]["redirect_to_url"]["url"])
                _set_default(world, customer, method)
    except Refusal as refusal:
        return _page(world, session, words, str(refusal), form.get("number", ""))
    raise web.HTTPSeeOther(f"/p/session/{session['id']}")


def _own(world: World, customer: Obj, kind: str, identifier: str) -> Obj:
    found = world.get(kind, identifier)
    if found["customer"] != customer["id"]:
        raise Refusal(f"No such {kind}: '{identifier}'", status=404)
    return found


def _set_default(world: World, customer: Obj, method: Obj) -> None:
    """For the customer, and for subscriptions that had a card of their own."""
    with world.changing("customer.updated", customer):
        customer["invoice_settings"]["default_payment_method"] = method["id"]
    for each in portal.subscriptions_of(world, customer["id"]):
        if each["default_payment_method"]:
            with world.changing("customer.subscription.updated", each):
                each["default_payment_method"] = method["id"]
