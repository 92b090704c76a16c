"""The control plane's two faces: the public job API, and the protocol that the worker SDK pulls its jobs by."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from aiohttp import web

from local.runpod.jobs import FINAL, Endpoint, Job

_ENDPOINTS = web.AppKey("endpoints", dict[str, Endpoint])
_KEY = web.AppKey("key", str)
QUEUE_MAX = 500
TAKE_SECONDS = 1.5
"""How long a worker's question is held open: as long does a worker take to end."""
STREAM_SECONDS = 0.5
"""How long a look at a stream without news is held open."""
TICK = 0.02


def make_app(api_key: str, endpoints: Sequence[str]) -> web.Application:
    """The control plane of `endpoints`. Without `api_key` nobody is let in."""
    app = web.Application(client_max_size=20 << 20, middlewares=[_gate])
    app[_KEY] = api_key
    app[_ENDPOINTS] = {name: Endpoint(name) for name in endpoints}
    app.cleanup_ctx.append(_watchdog)
    base = "/v2/{endpoint}"
    app.add_routes(
        [
            web.get("/_stats", _stats),
            web.post("/_control", _control),
            web.post(base + "/run", _run),
            web.post(base + "/runsync", _runsync),
            web.get(base + "/status/{id}", _status),
            web.post(base + "/status/{id}", _status),
            web.get(base + "/stream/{id}", _stream),
            web.post(base + "/stream/{id}", _stream),
            web.post(base + "/cancel/{id}", _cancel),
            web.get(base + "/health", _health),
            web.get(base + "/job-take/{worker}", _take),
            web.get(base + "/job-take-batch/{worker}", _take),
            web.get(base + "/job-stop/{worker}", _stop),
            web.post(base + "/job-done/{worker}/{id}", _done),
            web.post(base + "/job-stream/{worker}/{id}", _chunk),
            web.get(base + "/ping/{worker}", _ping),
        ]
    )
    return app


@web.middleware
async def _gate(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Keys, endpoints and injected faults, for everything under /v2."""
    if not request.path.startswith("/v2/"):
        return await handler(request)
    given = request.headers.get("authorization", "").removeprefix("Bearer ")
    if not given or not hmac.compare_digest(given.encode(), request.app[_KEY].encode()):
        return web.Response(status=401)
    endpoint = request.app[_ENDPOINTS].get(request.match_info.get("endpoint", ""))
    if endpoint is None:
        return web.json_response({"error": "endpoint not found"}, status=404)
    operation = request.path.split("/")[3]
    match endpoint.meet("run" if operation == "runsync" else operation):
        case "garbage":
            return web.Response(text="<html>Bad gateway</html>", content_type="text/html")
        case "cut":
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        case "429":
            return web.json_response({"error": "too many requests"}, status=429, headers={"retry-after": "1"})
        case str(status):
            return web.json_response({"error": f"injected {status}"}, status=int(status))
    return await handler(request)


async def _watchdog(app: web.Application) -> AsyncIterator[None]:
    async def look() -> None:
        while True:
            for endpoint in app[_ENDPOINTS].values():
                endpoint.enforce()
            await asyncio.sleep(0.1)

    task = asyncio.create_task(look())
    yield
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def _stats(request: web.Request) -> web.Response:
    return web.json_response({name: each.stats() for name, each in request.app[_ENDPOINTS].items()})


async def _control(request: web.Request) -> web.Response:
    change = await request.json()
    name = change.get("endpoint", "*")
    for each in request.app[_ENDPOINTS].values():
        if name in ("*", each.name):
            each.control(change)
    return web.json_response({})


# What clients call


async def _run(request: web.Request) -> web.Response:
    job = await _add(request, "async")
    return web.json_response({"id": job.id, "status": job.state})


async def _runsync(request: web.Request) -> web.Response:
    wait = min(max(int(request.query.get("wait", 90_000)), 1000), 300_000) / 1000
    job = await _add(request, "sync")
    until = time.monotonic() + wait
    while job.state not in FINAL and time.monotonic() < until:
        await asyncio.sleep(TICK)
    return web.json_response(job.view())


async def _add(request: web.Request, kind: str) -> Job:
    endpoint = _endpoint(request)
    try:
        body = await request.json()
    except ValueError:
        body = None
    if not isinstance(body, dict) or "input" not in body:
        raise web.HTTPBadRequest(text=json.dumps({"error": "input is required"}), content_type="application/json")
    if sum(job.state == "IN_QUEUE" for job in endpoint.queue) >= QUEUE_MAX:
        raise web.HTTPTooManyRequests(text=json.dumps({"error": "queue full"}), content_type="application/json")
    return endpoint.add(body, kind)


async def _status(request: web.Request) -> web.Response:
    return web.json_response(_job(request).view())


async def _stream(request: web.Request) -> web.Response:
    job = _job(request)
    until = time.monotonic() + STREAM_SECONDS
    while not job.chunks and job.state not in FINAL and time.monotonic() < until:
        job.changed.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(job.changed.wait(), until - time.monotonic())
        if job.state == "IN_PROGRESS" and not job.chunks:
            break  # the look that sees the start comes back at once
    chunks, job.chunks = job.chunks, []
    return web.json_response({"status": job.state, "stream": [{"metrics": {}, "output": each} for each in chunks]})


async def _cancel(request: web.Request) -> web.Response:
    job = _job(request)
    _endpoint(request).stop(job, "CANCELLED")
    return web.json_response(job.view())


async def _health(request: web.Request) -> web.Response:
    return web.json_response(_endpoint(request).health())


# What workers call


async def _take(request: web.Request) -> web.Response:
    endpoint, worker = _endpoint(request), request.match_info["worker"]
    count = int(request.query.get("batch_size", 1))
    until = time.monotonic() + TAKE_SECONDS
    while not (taken := endpoint.take(worker, count)):
        if time.monotonic() > until:
            return web.Response(status=204)
        await asyncio.sleep(TICK)
    jobs = [{"id": job.id, "input": job.input, "webhook": None} for job in taken]
    return web.json_response(jobs if "job-take-batch" in request.path else jobs[0])


async def _stop(request: web.Request) -> web.Response:
    endpoint, worker = _endpoint(request), request.match_info["worker"]
    endpoint.workers[worker] = time.time()
    until = time.monotonic() + TAKE_SECONDS
    while not endpoint.to_stop.get(worker):
        if time.monotonic() > until:
            return web.Response(status=204)
        await asyncio.sleep(TICK)
    return web.json_response({"jobsToStop": endpoint.to_stop.pop(worker)})


async def _done(request: web.Request) -> web.Response:
    # The SDK posts JSON as a form's body.
    result = json.loads(await request.text() or "{}")
    job = _job(request)
    if result.get("error"):
        job.end("FAILED", error=result["error"])
    else:
        job.end("COMPLETED", output=result.get("output"))
    return web.json_response({})


async def _chunk(request: web.Request) -> web.Response:
    chunk = json.loads(await request.text() or "{}")
    job = _job(request)
    if "output" in chunk and job.state not in FINAL:
        job.chunks.append(chunk["output"])
        job.changed.set()
    return web.json_response({})


async def _ping(request: web.Request) -> web.Response:
    _endpoint(request).workers[request.match_info["worker"]] = time.time()
    return web.json_response({})


def _endpoint(request: web.Request) -> Endpoint:
    return request.app[_ENDPOINTS][request.match_info["endpoint"]]


def _job(request: web.Request) -> Job:
    job = _endpoint(request).jobs.get(request.match_info["id"])
    if job is None:
        raise web.HTTPNotFound(text=json.dumps({"error": "job not found"}), content_type="application/json")
    return job
