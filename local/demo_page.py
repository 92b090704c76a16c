"""A shop's page that carries the widget: another origin than the platform's, under a strict policy of its own.

`/` is the free demo tenant's bookshop in Japanese; `?plan=pro` and the like show the other tenants', `?lang=ko` or `en`
another language, `?pinned` the script line that names the loader by its hash, `?site_id=…` the widget of any other site
that lets this origin in. Nothing here is Noren's but that line.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
from collections.abc import Mapping
from html import escape
from pathlib import Path

from aiohttp import web

from local import demo_guide
from local.emulator import ROOT
from local.process import launch

STYLE = ROOT / "local" / "demo_page.css"
MANIFEST = ROOT / "functions" / "platform_api" / "widget.json"
LANGUAGES = {"ja": "日本語", "ko": "한국어", "en": "English"}

Words = Mapping[str, str]
"""A text by language."""


def _words(ja: str, ko: str, en: str) -> Words:
    return {"ja": ja, "ko": ko, "en": en}


SHOPS: Mapping[str, tuple[Words, Words, tuple[tuple[Words, Words], ...]]] = {
    "free": (
        _words("木漏れ日書店", "코모레비 서점", "Komorebi Books"),
        _words(
            "西荻窪の小さな本屋です。新刊も古書も、木漏れ日のように。",
            "니시오기쿠보의 작은 책방. 새 책과 헌책이 함께 있습니다.",
            "A small bookshop in Nishi-Ogikubo: new books and old ones, side by side.",
        ),
        (
            (
                _words("今月の一冊", "이달의 책", "Book of the month"),
                _words("『雨の図書館』", "『비의 도서관』", "The Rain Library"),
            ),
            (
                _words("古書の買取", "헌책 매입", "We buy books"),
                _words("毎日18時まで", "매일 18시까지", "every day until 18:00"),
            ),
            (
                _words("読書会", "독서 모임", "Reading circle"),
                _words("第2土曜の夜", "둘째 토요일 저녁", "second Saturday, evenings"),
            ),
        ),
    ),
    "starter": (
        _words("夕凪温泉", "유나기 온천", "Yunagi Onsen"),
        _words(
            "海を見ながら、日帰りでも。", "바다를 보며 당일 온천도.", "Hot springs by the sea, for a day or longer."
        ),
        (
            (_words("日帰り入浴", "당일 입욕", "Day bathing"), _words("大人900円", "성인 900엔", "adults 900 yen")),
            (
                _words("貸切風呂", "전세탕", "Private bath"),
                _words("45分3,300円", "45분 3,300엔", "45 minutes, 3,300 yen"),
            ),
            (_words("タオル", "수건", "Towels"), _words("200円", "200엔", "200 yen")),
        ),
    ),
    "pro": (
        _words("ハノクステイ・ソウル", "한옥스테이 서울", "Hanok Stay Seoul"),
        _words("韓屋で過ごす、静かな夜。", "한옥에서 보내는 고요한 밤.", "Quiet nights in an old Korean house."),
        (
            (_words("チェックイン", "체크인", "Check-in"), _words("15時から", "15시부터", "from 15:00")),
            (_words("朝食", "조식", "Breakfast"), _words("8時から10時", "8시부터 10시", "8:00 to 10:00")),
            (_words("チェックアウト", "체크아웃", "Check-out"), _words("11時まで", "11시까지", "until 11:00")),
        ),
    ),
    "enterprise": (
        _words("つばめレールパス", "츠바메 레일패스", "Tsubame Rail Pass"),
        _words("7日間、どこまでも。", "7일 동안 어디까지나.", "Seven days, as far as you like."),
        (
            (_words("料金", "요금", "Price"), _words("29,800円", "29,800엔", "29,800 yen")),
            (_words("有効期間", "유효기간", "Valid"), _words("連続7日間", "연속 7일간", "seven days in a row")),
            (_words("座席指定", "좌석 지정", "Seats"), _words("1か月前から", "1개월 전부터", "from one month before")),
        ),
    ),
}
"""For each demo tenant: the shop's name, what it says of itself, and three cards."""


def evergreen(base: str, site: str) -> str:
    """The line that an owner pastes."""
    return f'<script src="{base}/api/embed/script?site_id={site}" async></script>'


def pinned(base: str, site: str) -> str:
    """The line of an owner who wants to say which script runs."""
    made = json.loads(MANIFEST.read_text())
    return (
        f'<script src="{base}/widget/{made["loader_file"]}" integrity="{made["loader_integrity"]}" '
        f'crossorigin="anonymous" data-site-id="{site}" data-api="{base}" '
        f'data-panel="{base}/widget/{made["bundle_file"]}" '
        f'data-panel-integrity="{made["bundle_integrity"]}" async></script>'
    )


def render(plan: str, language: str, snippet: str) -> str:
    """The page, with the line that brings the widget at its end."""
    name, motto, cards = SHOPS[plan]
    shown = "".join(
        f"<li><b>{escape(title[language])}</b><span>{escape(text[language])}</span></li>" for title, text in cards
    )
    links = "".join(
        f'<a lang={code} href="?plan={plan}&amp;lang={code}"{" aria-current=page" * (code == language)}>{label}</a>'
        for code, label in LANGUAGES.items()
    )
    title = escape(name[language])
    guide = f'<p><a href="/guide/{language}/">{escape(demo_guide.NAMES[language])}</a></p>' if plan == "free" else ""
    return (
        f"<!doctype html><html lang={language}><head><meta charset=utf-8><title>{title}</title>"
        '<meta name=viewport content="width=device-width, initial-scale=1"><link rel=icon href="data:,">'
        f'<link rel=stylesheet href=/demo_page.css></head><body class="{plan}">'
        f"<header><b>{title}</b><nav aria-label=Language>{links}</nav></header>"
        f"<main><h1>{title}</h1><p>{escape(motto[language])}</p><ul>{shown}</ul>{guide}</main>{snippet}</body></html>"
    )


def policy(base: str) -> str:
    """What the shop's page lets in: its own style sheet, and the widget from where the platform is."""
    return (
        f"default-src 'none'; style-src 'self'; script-src {base}; connect-src {base}; img-src data: {base}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types noren"
    )


def application(base: str, sites: Mapping[str, str], shop: str) -> web.Application:
    """The shop, at the origin `shop`, as an aiohttp application. `sites` has the site's id for each plan's tenant."""

    async def page(request: web.Request) -> web.Response:
        plan, language = request.query.get("plan", "free"), request.query.get("lang", "ja")
        site = request.query.get("site_id") or sites.get(plan, "")
        if plan not in SHOPS or language not in LANGUAGES or not re.fullmatch(r"\w{1,64}", site, re.ASCII):
            raise web.HTTPNotFound
        snippet = (pinned if "pinned" in request.query else evergreen)(base, site)
        headers = {"Content-Security-Policy": policy(base), "Cache-Control": "no-store"}
        return web.Response(text=render(plan, language, snippet), content_type="text/html", headers=headers)

    async def style(_: web.Request) -> web.Response:
        return web.Response(body=STYLE.read_bytes(), content_type="text/css")

    app = web.Application()
    app.router.add_get("/", page)
    app.router.add_get("/demo_page.css", style)
    demo_guide.add_routes(app, shop)
    return app


def start(port: int, *, base: str, sites: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Start the shop on 127.0.0.1:`port` as our child; returns when it answers."""
    arguments = ["-m", "local.demo_page", "--port", str(port), "--base", base, "--sites", json.dumps(dict(sites))]
    return launch(arguments, log=log, ready=f"http://127.0.0.1:{port}/")


def main() -> None:
    """`python -m local.demo_page --port 8086 --base http://localhost:8080 --sites '{"free": "site_…"}'`."""
    parser = argparse.ArgumentParser(prog="local.demo_page", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--base", required=True, help="where the platform is")
    parser.add_argument("--sites", type=json.loads, required=True, help="JSON: plan to site id")
    options = parser.parse_args()
    app = application(options.base, options.sites, f"http://localhost:{options.port}")
    web.run_app(app, host="127.0.0.1", port=options.port, access_log=None, print=None)


if __name__ == "__main__":
    main()
