"""The front door of the local run: one origin for the page and both APIs, as CloudFront and two domains are on AWS.

`/v1/*` and the inference paths go to the chat function's app, `/webhook/*`, `/health` and the rest of `/api/*` to the
platform's REST API, `/widget/*` are the built scripts of the widget, all else is a file of `web/page`. Bodies pass
through as they come, in both directions.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from local import mailbox, signup
from local.emulator import HOME, REGION, ROOT, die_with_parent
from noren.edge.trace import trace_id_of

PAGE = ROOT / "web" / "page"
HEADERS = ROOT / "web" / "headers.json"
WIDGET = HOME / "widget"
WIDGET_HEADERS = ROOT / "web" / "widget" / "headers.json"
"""Of scripts that pages of any origin load; their names carry their hash."""

INFERENCE = ("chat", "search", "sessions", "visitor-tokens", "canned", "ai/execute", "builder")
"""Below `/api/v1/`, and below `/api/` as aliases: what the inference API serves (chapter 1).

Feedback is given below `chat`; what owners read of it (`/api/v1/feedback`) is the platform API's.
"""
INFERENCE_PATHS = (
    "/v1",
    "/api/v1/embed/visitor",
    *(f"{root}/{path}" for root in ("/api/v1", "/api") for path in INFERENCE),
)
PLATFORM_PATHS = ("/api", "/webhook", "/health")

HOP_BY_HOP = {
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}
CLIENT_CLAIMS = {
    "forwarded",
    "x-real-ip",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
}
"""What a client may say about where it comes from is not believed."""
PAGE_ROUTES = {"/": "/index.html", "/billing": "/billing.html", "/training": "/training.html", "/invite": "/index.html"}
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True)
class Config:
    """Where everything is. `platform` may carry a path prefix (the emulator's invoke URL)."""

    platform: str
    inference: str
    emulator: str
    user_pool_id: str
    client_id: str
    region: str = REGION
    token_url: str = ""
    mailbox: bool = True

    def for_page(self) -> dict[str, str | None]:
        """What the page reads from `/config.json`; the web stack writes the same names on AWS."""
        return {
            "authority": self.emulator,
            "token_url": self.token_url or f"{self.emulator}/oauth2/token",
            "signup_url": "/signup",
            "client_id": self.client_id,
            "platform_url": "",
            "inference_url": "",
            "mailbox_url": "/mailbox" if self.mailbox else None,
        }


CONFIG = web.AppKey("config", Config)
CLIENT = web.AppKey("client", aiohttp.ClientSession)
SECURITY = web.AppKey("security", Mapping[str, str])


def security_headers(config: Config) -> dict[str, str]:
    """The page's headers; it may connect to its own origin and to the hosted login."""
    urls = [urlsplit(url) for url in (config.emulator, config.token_url or config.emulator)]
    origins = {f"{url.scheme}://{url.netloc}" for url in urls}
    headers: dict[str, str] = json.loads(HEADERS.read_text())
    return {name: value.replace("{connect}", " ".join(sorted(origins))) for name, value in headers.items()}


def _under(path: str, roots: tuple[str, ...]) -> bool:
    return any(path == root or path.startswith(root + "/") for root in roots)


def upstream(path: str, config: Config) -> str | None:
    """The base URL of the API that serves `path`; None where it is a file."""
    if _under(path, INFERENCE_PATHS):
        return config.inference
    return config.platform if _under(path, PLATFORM_PATHS) else None


def forwarded_headers(request: web.BaseRequest) -> CIMultiDict[str]:
    """The request's headers as an upstream may believe them."""
    named = {name.strip().lower() for name in request.headers.get("Connection", "").split(",")}
    dropped = HOP_BY_HOP | CLIENT_CLAIMS | named | {"host"}
    headers = CIMultiDict((name, value) for name, value in request.headers.items() if name.lower() not in dropped)
    headers["X-Forwarded-For"] = request.remote or ""
    headers["X-Forwarded-Proto"] = request.scheme
    headers["X-Forwarded-Host"] = request.host
    return headers


def _unreachable(request: web.Request, title: str) -> web.Response:
    """Like any error of the platform's; on `/v1/*` OpenAI's envelope goes along."""
    trace_id = trace_id_of({name.lower(): value for name, value in request.headers.items()})
    detail = "That part of the local run does not answer. See its log in .noren/logs, or `make stop start`."
    problem = {
        "type": "urn:noren:problem:bad_gateway",
        "title": title,
        "status": 502,
        "code": "bad_gateway",
        "detail": detail,
        "trace_id": trace_id,
        "error": {"message": f"{title}. {detail}", "type": "server_error", "param": None, "code": "bad_gateway"},
    }
    headers = {"x-trace-id": trace_id, "cache-control": "no-store"}
    return web.json_response(problem, status=502, content_type="application/problem+json", headers=headers)


async def proxy(request: web.Request, base: str) -> web.StreamResponse:
    """Pass a request on. When the client leaves, the server cancels this and with it the upstream request."""
    url = URL(base.rstrip("/") + request.raw_path, encoded=True)
    response: web.StreamResponse | None = None
    try:
        async with request.app[CLIENT].request(
            request.method,
            url,
            headers=forwarded_headers(request),
            data=request.content if request.body_exists else None,
            allow_redirects=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        ) as answer:
            named = {name.strip().lower() for name in answer.headers.get("Connection", "").split(",")}
            dropped = HOP_BY_HOP | named
            headers = CIMultiDict(
                (name, value) for name, value in answer.headers.items() if name.lower() not in dropped
            )
            response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=headers)
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response
    except aiohttp.ClientConnectorError:
        return _unreachable(request, "The service is not up")
    except aiohttp.ClientError:
        if response and request.transport:
            request.transport.abort()  # an answer cut short upstream must not look whole here
        return _unreachable(request, "The service broke off its answer")


def static(path: str) -> web.Response:
    """A file of the page, never anything outside its folder."""
    files = {f"/{file.name}": file for file in PAGE.iterdir() if file.suffix in TYPES}
    file = files.get(PAGE_ROUTES.get(path, path))
    if file is None:
        raise web.HTTPNotFound
    headers = {"Content-Type": TYPES[file.suffix], "Cache-Control": "no-cache"}
    return web.Response(body=file.read_bytes(), headers=headers)


async def widget(request: web.Request) -> web.Response:
    """`/widget/…`: a script that `web/widget/build.mjs` made."""
    files = {file.name: file for file in WIDGET.glob("*.js")}
    file = files.get(request.match_info["name"])
    if file is None:
        raise web.HTTPNotFound
    headers: dict[str, str] = json.loads(WIDGET_HEADERS.read_text())
    headers |= {"Content-Type": TYPES[".js"], "Cache-Control": "public, max-age=31536000, immutable"}
    return web.Response(body=file.read_bytes(), headers=headers)


async def handle(request: web.Request) -> web.StreamResponse:
    """Every request that no local page answers."""
    base = upstream(request.path, request.app[CONFIG])
    if base:
        return await proxy(request, base)
    if request.method not in ("GET", "HEAD"):
        raise web.HTTPMethodNotAllowed(request.method, ["GET", "HEAD"])
    return static(request.path)


async def page_config(request: web.Request) -> web.Response:
    """`/config.json`."""
    return web.json_response(request.app[CONFIG].for_page(), headers={"Cache-Control": "no-store"})


async def mailbox_page(request: web.Request) -> web.Response:
    """`/mailbox`: the mail that the emulator's SES was given."""
    try:
        async with request.app[CLIENT].get(request.app[CONFIG].emulator + mailbox.STORE) as answer:
            mails = mailbox.parse(await answer.json())
    except aiohttp.ClientError:
        return _unreachable(request, "The embedded cloud is not up")
    return web.Response(text=mailbox.render(mails), content_type="text/html", headers={"Cache-Control": "no-store"})


async def signup_form(request: web.Request) -> web.Response:
    """`/signup`: what the emulator's hosted login lacks."""
    return web.Response(text=signup.render(request.query), content_type="text/html")


async def signup_submit(request: web.Request) -> web.StreamResponse:
    """Make the account, then go on to the hosted login."""
    if request.headers.get("Origin", "").split("://")[-1] != request.host:
        raise web.HTTPForbidden
    config, form = request.app[CONFIG], await request.post()
    email, password = str(form.get("email", "")), str(form.get("password", ""))
    pool = signup.Pool(config.emulator, config.region, config.user_pool_id, config.client_id)
    error = await asyncio.to_thread(pool.create, email, password)
    if error:
        return web.Response(text=signup.render(request.query, email, error), content_type="text/html", status=400)
    raise web.HTTPSeeOther(URL(f"{config.emulator}/oauth2/authorize").with_query(request.query))


@web.middleware
async def _secure(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        response = await handler(request)
    except web.HTTPException as error:
        error.headers.update(request.app[SECURITY])
        raise
    if not response.prepared:
        for name, value in request.app[SECURITY].items():
            response.headers.setdefault(name, value)
    return response


async def _client(app: web.Application) -> None:
    app[CLIENT] = aiohttp.ClientSession(
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        # Idle connections are let go before uvicorn does so, after 5 s: it might just when the next request is sent.
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=3),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=5),
    )


async def _close(app: web.Application) -> None:
    await app[CLIENT].close()


def application(config: Config) -> web.Application:
    """The front door as an aiohttp application. Serve it with `handler_cancellation=True`."""
    app = web.Application(middlewares=[_secure])
    app[CONFIG] = config
    app[SECURITY] = security_headers(config)
    app.on_startup.append(_client)
    app.on_cleanup.append(_close)
    app.router.add_get("/config.json", page_config)
    app.router.add_get("/mailbox", mailbox_page)
    app.router.add_get("/signup", signup_form)
    app.router.add_post("/signup", signup_submit)
    app.router.add_get("/widget/{name}", widget)
    app.router.add_route("*", "/{path:.*}", handle)
    return app


def start(port: int, *, config: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start the front door on 127.0.0.1:`port` as our child; returns when it answers.

    `config` is a JSON file with the fields of `Config`. Raises RuntimeError with the log's path after 60 s.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "local.frontdoor", "--port", str(port), "--config", str(config)]
    with log.open("ab") as out:
        process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=out, preexec_fn=die_with_parent)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/config.json", timeout=1):
                return process
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    process.kill()
    raise RuntimeError(f"the front door did not start; its log: {log}")


def main() -> None:
    """`python -m local.frontdoor --port 8080 --config .noren/frontdoor.json`."""
    parser = argparse.ArgumentParser(prog="local.frontdoor", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--config", type=Path, required=True, help="JSON with the fields of Config")
    options = parser.parse_args()
    app = application(Config(**json.loads(options.config.read_text())))
    web.run_app(
        app,
        host="127.0.0.1",
        port=options.port,
        handler_cancellation=True,
        shutdown_timeout=1,  # an answer under way does not keep Ctrl-C waiting
        access_log=None,
        print=None,
    )


if __name__ == "__main__":
    main()
