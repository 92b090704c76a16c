"""A site's page on one origin, and on another what the widget speaks to there, answering as the test says.

The widget's scripts are the built ones, served by the real front door; the API behind it is a stand-in.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from local import frontdoor
from local.emulator import ROOT, free_port
from tests.browser.standin import Api, Stream, problem, serve

MANIFEST = ROOT / "functions" / "platform_api" / "widget.json"
SITE = "site_1"
KEY = "pk_1_abc"
EMBED = "emb_1"
CONFIG: dict[str, Any] = {
    "theme": "auto",
    "bubble_icon_url": "",
    "welcome_message": "Welcome to **Komorebi Books**. How can we help?",
    "color_primary": "#1f4e79",
    "position": "bottom-right",
    "mode": "popup",
    "radius": 16,
    "font": "",
    "title": "Komorebi Books",
    "placeholder": "",
    "suggested_questions": ["When are you open?", "Do you buy used books?"],
    "locale": "auto",
    "show_sources": True,
    "launcher_text": "",
    "consent": False,
}
META = {"id": "chat_1", "session_key": "sess-1", "sources": [], "suggestions": []}
DONE = {"id": "chat_1", "session_key": "sess-1", "sources": [], "suggestions": [], "finish_reason": "stop"}


@dataclass
class WidgetApi(Api):
    """Both APIs as a visitor's browser meets them; `scripts` answers a chat by its message."""

    config: dict[str, Any] = field(default_factory=lambda: dict(CONFIG))
    canned: list[dict[str, Any]] = field(default_factory=list)
    enabled: bool = True
    tokens: list[str] = field(default_factory=list)
    """Visitors' tokens that are good."""
    base: str = ""
    integrity: str = ""
    """Instead of the bundle's own."""

    def boot(self) -> dict[str, Any]:
        made = json.loads(MANIFEST.read_text())
        bundle = {
            "url": f"{self.base}/widget/{made['bundle_file']}",
            "integrity": self.integrity or made["bundle_integrity"],
        }
        return {
            "enabled": True,
            "site_id": SITE,
            "site_key": KEY,
            "embed_id": EMBED,
            "api": self.base,
            "config": self.config,
            "bundle": bundle,
        }

    def script(self) -> str:
        """The evergreen loader with this site's settings inside."""
        settings = json.dumps(self.boot()).replace("<", "\\u003c")
        loader: str = json.loads(MANIFEST.read_text())["loader"]
        return loader.replace("__NOREN__", settings)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.method == "OPTIONS":
            return web.Response(status=204)
        match request.path:
            case "/api/v1/embed/script":
                return web.Response(text=self.script(), content_type="text/javascript")
            case "/icon.png":
                return web.Response(status=404)
            case "/api/v1/embed/config":
                return web.json_response(self.boot() if self.enabled else {"enabled": False})
        if request.query.get("site_key") != KEY:
            return problem(404, "not_found")
        if request.path == "/api/v1/embed/visitor":
            self.seen.append((request.method, request.path, dict(request.headers), await request.json()))
            told = self.told.get("POST /api/v1/embed/visitor")
            if told:
                return problem(told[0], told[1])
            if self.seen[-1][3].get("embed_id") != EMBED:
                return problem(400, "invalid_request")
            self.tokens.append(f"visitor-{len(self.tokens) + 1}")
            return web.json_response({"token": self.tokens[-1], "token_type": "Bearer", "expires_in": 3600})
        if request.headers.get("Authorization", "").removeprefix("Bearer ") not in self.tokens:
            return problem(401, "unauthenticated")
        if request.path == "/api/v1/canned":
            return web.json_response({"items": self.canned})
        if request.path.endswith("/hits"):
            self.seen.append((request.method, request.path, dict(request.headers), None))
            return web.Response(status=204)
        return await super().handle(request)


async def _cors(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.setdefault("Access-Control-Allow-Origin", request.headers.get("Origin", "*"))
    response.headers["Access-Control-Allow-Headers"] = "authorization, content-type, idempotency-key"
    response.headers["Access-Control-Allow-Methods"] = "GET, POST, DELETE"
    response.headers["Access-Control-Max-Age"] = "600"


@dataclass
class Shop:
    """A page that carries the widget."""

    api: WidgetApi
    url: str
    """Of the page; its origin is not that of the API."""
    html: str = ""
    """What stands in the page's body, before the snippet."""
    head: str = ""
    script: str = ""
    """The page's own: `/page.js`, where `head` names it."""
    snippet: str = ""
    policy: str = ""
    language: str = "en"

    def pinned(self) -> str:
        """The snippet that names the loader by its hash."""
        made = json.loads(MANIFEST.read_text())
        return (
            f'<script src="{self.api.base}/widget/{made["loader_file"]}" integrity="{made["loader_integrity"]}" '
            f'crossorigin="anonymous" data-site-id="{SITE}" data-api="{self.api.base}" '
            f'data-panel="{self.api.base}/widget/{made["bundle_file"]}" '
            f'data-panel-integrity="{made["bundle_integrity"]}" async></script>'
        )

    async def page(self, request: web.Request) -> web.Response:
        if request.path == "/page.js":
            return web.Response(text=self.script, content_type="text/javascript")
        if request.path == "/page.css":
            return web.Response(text="[data-noren] { height: 500px }", content_type="text/css")
        if request.path != "/":
            return web.Response(status=404)
        text = (
            f"<!doctype html><html lang={self.language}><meta charset=utf-8><title>Shop</title>"
            f'<meta name=viewport content="width=device-width">{self.head}'
            f"<header>Shop</header><main><h1>A shop</h1><p>Lines of the page.</p>{self.html}</main>"
            f"{self.snippet}</html>"
        )
        headers = {"Content-Security-Policy": self.policy}
        return web.Response(text=text, content_type="text/html", headers=headers)


@contextmanager
def shop() -> Iterator[Shop]:
    """A page under a strict policy, the real front door and the stand-in behind it."""
    api = WidgetApi()
    behind = web.Application()
    behind.on_response_prepare.append(_cors)
    behind.router.add_route("*", "/{path:.*}", api.handle)
    page = web.Application()
    with serve(behind, free_port()) as base:
        front = frontdoor.application(frontdoor.Config(base, base, base, "", ""))
        with serve(front, free_port()) as api.base:
            port = free_port()
            there = Shop(api, f"http://127.0.0.1:{port}/")
            there.snippet = f'<script src="{api.base}/api/v1/embed/script?site_id={SITE}" async></script>'
            there.policy = (
                f"default-src 'none'; style-src 'self'; script-src 'self' {api.base}; connect-src {api.base}; "
                f"img-src {api.base}; "
                "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types noren"
            )
            page.router.add_route("*", "/{path:.*}", there.page)
            with serve(page, port):
                yield there


__all__ = ["CONFIG", "DONE", "EMBED", "KEY", "META", "SITE", "Shop", "Stream", "WidgetApi", "problem", "shop"]
