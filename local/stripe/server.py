"""The stand-in as a server: the API with its faults, the control endpoints, the hosted pages, and the webhook."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
from aiohttp import web

from local.stripe import pages, webhooks
from local.stripe.account import ACCOUNT, Account
from local.stripe.api import Call, Request, Response
from local.stripe.control import control, stats
from local.stripe.faults import Fault, refused
from local.stripe.outbox import Delivery

STATE = web.AppKey("state", Path)
TICK = 0.1
SAVE_SECONDS = 2.0
AT_ONCE = 2
"""Deliveries under way at the same time, so that one that hangs does not hold up the rest."""
TIMEOUT = aiohttp.ClientTimeout(total=60)  # what starts cold on this machine is no failure


def make_app(account: Account, state: Path | None = None) -> web.Application:
    """The server. With `state` the account is kept in that file."""
    app = web.Application(client_max_size=2 << 20)
    app[ACCOUNT] = account
    if state is not None:
        app[STATE] = state
    app.cleanup_ctx.append(_running)
    app.add_routes(
        [
            web.get("/_stats", stats),
            web.post("/_control/{name}", control),
            *pages.routes(),
            web.route("*", "/v1/{tail:.*}", call),
        ]
    )
    return app


async def call(request: web.Request) -> web.StreamResponse:
    """One call of the API, with the fault that it is to meet."""
    account = request.app[ACCOUNT]
    api = account.api
    asked = Request(request.method, request.raw_path, dict(request.headers), await request.text())
    fault = account.faults.next(asked)
    opened = api.open(asked)
    if isinstance(opened, Call):
        if fault is not None:
            try:
                return await _faulty(request, account, opened, fault)
            except asyncio.CancelledError:
                if not fault.after:
                    api.drop(opened)
                raise
        opened = api.run(opened)
    return _answer(opened)


async def _faulty(request: web.Request, account: Account, opened: Call, fault: Fault) -> web.StreamResponse:
    if fault.slow:
        await asyncio.sleep(fault.slow)
        if fault.status is None:
            return _answer(account.api.run(opened))
    if fault.after:
        account.api.run(opened)
    else:
        account.api.drop(opened)
    if fault.hang:
        await asyncio.Event().wait()
    if fault.status is not None:
        return _answer(refused(fault.status))
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _answer(response: Response) -> web.Response:
    return web.Response(status=response.status, body=response.body.encode(), headers=response.headers)


async def _running(app: web.Application) -> AsyncIterator[None]:
    """Time, deliveries and saving, as long as the server lives."""
    account = app[ACCOUNT]
    async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
        tasks = [asyncio.create_task(_tick(account)), asyncio.create_task(_deliver(account, session))]
        if STATE in app:
            tasks.append(asyncio.create_task(_save(account, app[STATE])))
        yield
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
    if STATE in app:
        account.save(app[STATE])


async def _tick(account: Account) -> None:
    while True:
        account.world.tick()
        await asyncio.sleep(TICK)


async def _save(account: Account, path: Path) -> None:
    """Save when something has happened since the last time."""
    seen = 0
    while True:
        await asyncio.sleep(SAVE_SECONDS)
        changes = sum(account.api.calls.values()) + len(account.world.all("event"))
        if changes != seen:
            seen = changes
            account.save(path)


async def _deliver(account: Account, session: aiohttp.ClientSession) -> None:
    room = asyncio.Semaphore(AT_ONCE)
    running: set[asyncio.Task[None]] = set()

    async def one(delivery: Delivery) -> None:
        try:
            account.outbox.done(delivery, await _post(account, session, delivery), time.time())
        finally:
            room.release()

    while True:
        account.collect()
        for delivery in account.outbox.take(time.time()) if account.webhook_url else []:
            await room.acquire()
            task = asyncio.create_task(one(delivery))
            running.add(task)
            task.add_done_callback(running.discard)
        await asyncio.sleep(0.02)


async def _post(account: Account, session: aiohttp.ClientSession, delivery: Delivery) -> str:
    """Deliver once. Signed at the real time, which is what the receiver compares with."""
    payload = webhooks.body(delivery.event)
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        "Stripe-Signature": webhooks.signature(payload, account.webhook_secret, int(time.time())),
    }
    try:
        async with session.post(
            account.webhook_url, data=payload.encode(), headers=headers, allow_redirects=False
        ) as answer:
            return str(answer.status)
    except (aiohttp.ClientError, TimeoutError) as error:
        return type(error).__name__
