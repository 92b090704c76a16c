"""The small pages on the way: 3-D Secure, the payment slip, a form for a client secret, a receipt."""

from __future__ import annotations

from html import escape
from urllib.parse import urlencode

from aiohttp import web

from local.stripe import cards, payments, setups
from local.stripe.account import ACCOUNT
from local.stripe.errors import Refusal
from local.stripe.pages.html import card_fields, error, money, page, words_for
from local.stripe.world import Obj, World

_SECRETS = {"pi": "payment_intent", "seti": "setup_intent"}


def _find(request: web.Request, kind: str, name: str) -> tuple[World, Obj]:
    world = request.app[ACCOUNT].world
    world.tick()
    found = world.kinds.get(kind, {}).get(request.match_info[name])
    if found is None:
        raise web.HTTPNotFound
    return world, found


async def secure(request: web.Request) -> web.StreamResponse:
    """`GET /3ds/{challenge}`."""
    world, challenge = _find(request, "_challenge", "challenge")
    words = words_for(request)
    of = world.objects[challenge["intent"]]
    amount = of.get("amount", of.get("amount_total"))
    shown = f'<p class="amount">{money(amount, of["currency"])}</p>' if amount else ""
    body = (
        f"<section><h1>{words('secure')}</h1>{shown}<p>{words('secure_text')}</p>"
        f'<form method="post"><button class="main" name="outcome" value="complete">{words("secure_ok")}</button>'
        f'<button name="outcome" value="fail">{words("secure_fail")}</button></form></section>'
    )
    return page(words, words("secure"), body)


async def secure_done(request: web.Request) -> web.StreamResponse:
    """`POST /3ds/{challenge}`: go back to where the person came from."""
    world, challenge = _find(request, "_challenge", "challenge")
    form = await request.post()
    after = payments.authenticate(world, challenge["id"], passed=form.get("outcome") == "complete")
    words = words_for(request)
    back = challenge["return_url"]
    if not back:
        return page(words, words("secure"), f"<section><p>{words('done')}</p></section>")
    raise web.HTTPSeeOther(returned(back, after))


def returned(back: str, intent: Obj) -> str:
    """The return URL with what Stripe adds to it."""
    if intent["object"] == "checkout.session":
        return back
    kind = intent["object"]
    ok = intent["status"] in ("succeeded", "processing")
    added = {
        kind: intent["id"],
        f"{kind}_client_secret": intent["client_secret"],
        "redirect_status": "succeeded" if ok else "failed",
    }
    return f"{back}{'&' if '?' in back else '?'}{urlencode(added)}"


async def slip(request: web.Request) -> web.StreamResponse:
    """`GET /konbini/{intent}`: the payment slip, with what the store's till would say."""
    world, intent = _find(request, "payment_intent", "intent")
    words = words_for(request)
    buttons = ""
    if intent["status"] in ("requires_action", "processing"):
        buttons = (
            f'<form method="post"><button class="main" name="outcome" value="succeeded">{words("slip_paid")}</button>'
            f'<button name="outcome" value="failed">{words("slip_expired")}</button></form>'
        )
    text = words("slip_text") if buttons else words("done")
    session = world.objects.get(intent.get("_session") or "")
    shop = session["success_url"].replace("{CHECKOUT_SESSION_ID}", session["id"]) if session else ""
    body = (
        f"<section><h1>{words('slip')}</h1>"
        f'<p class="amount">{money(intent["amount"], intent["currency"])}</p><p>{text}</p>{buttons}'
        + (f'<p><a href="{escape(shop)}">{words("shop")} →</a></p>' if shop else "")
        + "</section>"
    )
    return page(words, words("slip"), body)


async def slip_done(request: web.Request) -> web.StreamResponse:
    """`POST /konbini/{intent}`."""
    world, intent = _find(request, "payment_intent", "intent")
    form = await request.post()
    try:
        payments.finish_later(world, intent, "succeeded" if form.get("outcome") == "succeeded" else "failed")
    except Refusal as refusal:
        raise web.HTTPConflict(text=str(refusal)) from None
    raise web.HTTPSeeOther(request.path)


def _of_secret(request: web.Request) -> tuple[World, Obj]:
    world = request.app[ACCOUNT].world
    secret = request.match_info["secret"]
    identifier = secret.partition("_secret_")[0]
    found = world.objects.get(identifier, {})
    if found.get("client_secret") != secret:
        raise web.HTTPNotFound
    return world, found


async def element(request: web.Request) -> web.StreamResponse:
    """`GET /elements/{client_secret}?return_url=…`: what Stripe.js would show inside a page of ours."""
    world, intent = _of_secret(request)
    return _element(request, world, intent)


def _element(request: web.Request, world: World, intent: Obj, message: str = "", number: str = "") -> web.Response:
    words = words_for(request)
    amount = intent.get("amount")
    shown = money(amount, intent["currency"]) if amount else ""
    verb = words("pay_amount", amount=shown) if amount else words("save_card")
    action = escape(request.path_qs)
    form = (
        f'<form method="post" action="{action}">{card_fields(words, number)}<button class="main">{verb}</button></form>'
    )
    if intent["status"] in ("succeeded", "canceled"):
        form = f"<p>{words('done')}</p>"
    head = f'<p class="amount">{shown}</p>' if shown else ""
    name = escape(world.settings["account_name"])
    body = f"<section><h1>{name}</h1>{head}{error(message)}{form}</section>"
    return page(words, words("payment"), body, status=402 if message else 200)


async def element_done(request: web.Request) -> web.StreamResponse:
    """`POST /elements/{client_secret}`: confirm, then go back."""
    world, intent = _of_secret(request)
    form = await request.post()
    back = request.query.get("return_url")
    number = str(form.get("number", ""))
    try:
        method = cards.keep(world, cards.from_number(world, number))
        if intent["object"] == "setup_intent":
            setups.attempt(world, intent, method, return_url=back)
        else:
            payments.attempt(world, intent, method, return_url=back)
    except Refusal as refusal:
        return _element(request, world, intent, str(refusal), number)
    if intent["status"] == "requires_action":
        raise web.HTTPSeeOther(intent["next_action"]["redirect_to_url"]["url"])
    if back and back.startswith(("http://", "https://")):
        raise web.HTTPSeeOther(returned(back, intent))
    return _element(request, world, intent)


async def receipt(request: web.Request) -> web.StreamResponse:
    """`GET /receipts/{intent}`."""
    _, intent = _find(request, "payment_intent", "intent")
    words = words_for(request)
    amount = money(intent["amount_received"], intent["currency"])
    body = f'<section><h1>{words("receipt")}</h1><p class="amount">{amount}</p>'
    return page(words, words("receipt"), f"{body}<p>{words.date(intent['created'])}</p></section>")
