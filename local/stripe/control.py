"""What a test or a person does to the stand-in from outside: the clock, faults, banks, stores, the dashboard."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from aiohttp import web

from local.stripe import cards, disputes, paying, payments, refunds
from local.stripe.account import ACCOUNT, Account
from local.stripe.errors import Refusal
from local.stripe.outbox import Outbox
from local.stripe.render import render
from local.stripe.world import Obj

Control = Callable[[Account, Obj], Obj]


def clock(account: Account, given: Obj) -> Obj:
    """`{"advance": seconds}`: what falls due happens in its order."""
    account.world.advance(int(given.get("advance", 0)))
    account.outbox.hurry()
    return {"now": account.world.now()}


def webhooks(account: Account, given: Obj) -> Obj:
    """`{duplicate, drop, reorder: n, delay: seconds, pause, resume, retry: true}`."""
    account.collect()  # what has happened is not to meet what is set now
    account.outbox.control(given)
    return account.outbox.stats()


def fault(account: Account, given: Obj) -> Obj:
    """`{status | hang | slow | (cut), after, times, method, path}`; `{"clear": true}` forgets what is planned."""
    if given.get("clear"):
        account.faults.planned.clear()
    else:
        account.faults.plan(**{name: value for name, value in given.items() if name != "cut"})
    return {"planned": len(account.faults.planned), "met": account.faults.met}


def dispute(account: Account, given: Obj) -> Obj:
    """`{charge | payment_intent, amount?, reason?}` opens one, `{dispute, outcome: won|lost}` closes it."""
    world = account.world
    if "dispute" in given:
        return disputes.close_as(world, world.get("dispute", given["dispute"]), given.get("outcome", "lost"))
    charge = given.get("charge") or world.get("payment_intent", given.get("payment_intent", ""))["latest_charge"]
    more = {name: given[name] for name in ("amount", "reason") if name in given}
    return disputes.open_for(world, world.get("charge", charge or ""), **more)


def async_payment(account: Account, given: Obj) -> Obj:
    """`{session | payment_intent, outcome: succeeded|failed|processing}`: what was to be paid at a store."""
    world = account.world
    intent = given.get("payment_intent")
    intent = intent or world.get("checkout.session", given.get("session", ""))["payment_intent"] or ""
    return payments.finish_later(world, world.get("payment_intent", intent), given.get("outcome", "succeeded"))


def refund(account: Account, given: Obj) -> Obj:
    """A refund as from the dashboard: `{charge | payment_intent, amount?, reason?}`."""
    return refunds.create(account.world, given)


def pay(account: Account, given: Obj) -> Obj:
    """`{session, card: number, email?, name?, later?}`: what the hosted page would do, for scripts.

    The answer is the session; `next` in it is the page of 3-D Secure where the card wants it.
    """
    world = account.world
    session = world.get("checkout.session", given.get("session", ""))
    person = paying.Person(email=given.get("email"), name=given.get("name"))
    after = None
    if given.get("later"):
        paying.submit_later(world, session, person)
    else:
        method = cards.from_number(world, given.get("card", "4242424242424242"))
        after = paying.submit(world, session, method, person)
    return {**render(world, session), "next": after}


def authenticate(account: Account, given: Obj) -> Obj:
    """`{intent | session, passed?}`: what the person does on the page of 3-D Secure."""
    world = account.world
    wanted = given.get("intent") or given.get("session")
    waiting = [each for each in world.all("_challenge") if each["intent"] == wanted]
    if not waiting:
        raise Refusal(f"Nothing waits for 3-D Secure: {wanted}", status=404)
    return payments.authenticate(world, waiting[-1]["id"], passed=given.get("passed", True))


def settings(account: Account, given: Obj) -> Obj:
    """`{after_dunning: cancel|unpaid|past_due, dunning_days: [3, 5, 7], account_name}`."""
    account.world.settings |= given
    return {name: value for name, value in account.world.settings.items() if name[:1] != "_"}


def reset(account: Account, given: Obj) -> Obj:
    """An account as new. The address of the webhook and the keys stay."""
    account.world = account.api.world = account.world.afresh()
    account.api.kept.clear()
    account.api.calls.clear()
    account.faults.planned.clear()
    account.outbox = Outbox()
    return {}


CONTROLS: dict[str, Control] = {
    each.__name__: each
    for each in (clock, webhooks, fault, dispute, async_payment, refund, pay, authenticate, settings, reset)
}


async def control(request: web.Request) -> web.Response:
    """`POST /_control/{name}` with JSON."""
    account = request.app[ACCOUNT]
    do = CONTROLS.get(request.match_info["name"])
    if do is None:
        return web.json_response({"error": f"one of {', '.join(CONTROLS)}"}, status=404)
    try:
        given = await request.json() if request.body_exists else {}
        answer = do(account, given)
    except Refusal as refusal:
        return web.json_response({"error": refusal.error}, status=refusal.status)
    except json.JSONDecodeError:
        return web.json_response({"error": "send JSON"}, status=400)
    return web.json_response(render(account.world, answer))


async def stats(request: web.Request) -> web.Response:
    """`GET /_stats`."""
    account = request.app[ACCOUNT]
    account.collect()
    world = account.world
    kinds: dict[str, Any] = {kind: len(found) for kind, found in world.kinds.items() if kind[:1] != "_"}
    return web.json_response(
        {
            "now": world.now(),
            "objects": kinds,
            "events": dict(Counter(each["type"] for each in world.all("event"))),
            "calls": account.api.calls,
            "faults": {"planned": len(account.faults.planned), "met": account.faults.met},
            "deliveries": account.outbox.stats(),
        }
    )
