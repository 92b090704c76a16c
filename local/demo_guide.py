"""The bookshop's guide: pages to train an assistant on without leaving this machine, in three languages.

With a sitemap, robots.txt and ETags, as a well-kept site has them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from html import escape

from aiohttp import web

Article = tuple[str, tuple[tuple[str, str], ...]]
"""A title, and sections: a heading and what it says."""

ARTICLES: Mapping[str, Mapping[str, Article]] = {
    "en": {
        "shipping": (
            "Shipping and delivery",
            (
                ("Where we ship to", "We ship books to all of Japan, and by airmail to South Korea and Taiwan."),
                ("What it costs", "A parcel within Japan costs 520 yen. Orders above 6,000 yen travel free of charge."),
                ("How long it takes", "Parcels leave the shop on Tuesdays and Fridays and arrive two days later."),
            ),
        ),
        "gifts": (
            "Gift wrapping and book tokens",
            (
                ("Wrapping", "We wrap books in washi paper for 150 yen. A card with your words is included."),
                ("Book tokens", "Book tokens come at 1,000, 3,000 and 5,000 yen and are good for two years."),
            ),
        ),
        "events": (
            "Reading circle",
            (
                ("When we meet", "The reading circle meets on the second Saturday of the month at 19:30, upstairs."),
                ("Taking part", "It costs 800 yen with tea. Reserve a seat at the desk; there are twelve."),
            ),
        ),
        "returns": (
            "Returns and orders",
            (
                ("Returns", "New books can be returned within ten days with the receipt. Used books can't."),
                ("Ordering", "A book that is not in stock is ordered within four days; we call you when it is here."),
            ),
        ),
    },
    "ja": {
        "shipping": (
            "配送について",
            (
                ("お届け先", "日本全国へお送りします。韓国と台湾へは航空便でお届けします。"),
                ("送料", "国内の送料は1個口520円です。6,000円以上のご注文は送料無料です。"),
                ("お届けまでの日数", "発送は火曜日と金曜日で、二日後に届きます。"),
            ),
        ),
        "gifts": (
            "贈り物の包装と図書券",
            (
                ("包装", "和紙での包装を150円で承ります。メッセージカードをお付けします。"),
                ("図書券", "図書券は1,000円、3,000円、5,000円の三種類で、有効期間は二年間です。"),
            ),
        ),
        "events": (
            "読書会のご案内",
            (
                ("開催日", "読書会は毎月第2土曜日の19時30分から、二階で開きます。"),
                ("参加方法", "参加費はお茶付きで800円、定員は12名です。店頭でご予約ください。"),
            ),
        ),
        "returns": (
            "返品とお取り寄せ",
            (
                ("返品", "新刊はレシートがあれば十日以内に返品できます。古書の返品はお受けできません。"),
                ("お取り寄せ", "在庫のない本は四日以内に取り寄せ、届きましたらお電話します。"),
            ),
        ),
    },
    "ko": {
        "shipping": (
            "배송 안내",
            (
                ("배송 지역", "일본 전국으로 보내 드리며, 한국과 대만에는 항공편으로 보냅니다."),
                ("배송비", "일본 내 배송비는 한 상자에 520엔입니다. 6,000엔 이상 주문은 무료입니다."),
                ("걸리는 날짜", "화요일과 금요일에 발송하며 이틀 뒤에 도착합니다."),
            ),
        ),
        "gifts": (
            "선물 포장과 도서 상품권",
            (
                ("포장", "한지 포장은 150엔이며 메시지 카드가 포함됩니다."),
                ("도서 상품권", "도서 상품권은 1,000엔, 3,000엔, 5,000엔 세 가지이고 유효 기간은 2년입니다."),
            ),
        ),
        "events": (
            "독서 모임",
            (
                ("모이는 날", "독서 모임은 매월 둘째 토요일 19시 30분에 2층에서 열립니다."),
                ("참가 방법", "참가비는 차를 포함해 800엔이고 정원은 12명입니다. 매장에서 예약해 주세요."),
            ),
        ),
        "returns": (
            "반품과 주문",
            (
                ("반품", "새 책은 영수증이 있으면 열흘 안에 반품할 수 있습니다. 헌책은 반품할 수 없습니다."),
                ("주문", "재고가 없는 책은 나흘 안에 들여오며, 도착하면 전화로 알려 드립니다."),
            ),
        ),
    },
}
NAMES = {"en": "Komorebi Books: guide", "ja": "木漏れ日書店 ご案内", "ko": "코모레비 서점 안내"}


def page(language: str, slug: str) -> str:
    """A page of the guide; for "" the list of them."""
    title, sections = ARTICLES[language][slug] if slug else (NAMES[language], ())
    links = "".join(
        f'<li><a href="/guide/{language}/{each}">{escape(article[0])}</a></li>'
        for each, article in ARTICLES[language].items()
    )
    text = "".join(
        f'<h2 id="s{at}">{escape(heading)}</h2><p>{escape(words)}</p>' for at, (heading, words) in enumerate(sections)
    )
    return (
        f"<!doctype html><html lang={language}><head><meta charset=utf-8><title>{escape(title)}</title>"
        '<meta name=viewport content="width=device-width, initial-scale=1"><link rel=icon href="data:,">'
        f"<link rel=stylesheet href=/demo_page.css></head><body class=free><nav><ul>{links}</ul></nav>"
        f"<main><article><h1>{escape(title)}</h1>{text or f'<ul>{links}</ul>'}</article></main></body></html>"
    )


def add_routes(app: web.Application, shop: str) -> None:
    """Serve the guide below `/guide/`; `shop` is the origin that its sitemap names."""

    async def read(request: web.Request) -> web.StreamResponse:
        language, slug = request.match_info["language"], request.match_info.get("slug", "")
        if language not in ARTICLES or (slug and slug not in ARTICLES[language]):
            raise web.HTTPNotFound
        text = page(language, slug)
        etag = hashlib.sha256(text.encode()).hexdigest()[:16]
        if any(each.value == etag for each in request.if_none_match or ()):
            return web.Response(status=304, headers={"ETag": f'"{etag}"'})
        return web.Response(text=text, content_type="text/html", headers={"ETag": f'"{etag}"'})

    async def sitemap(_: web.Request) -> web.Response:
        paths = [f"/guide/{language}/{slug}" for language, slugs in ARTICLES.items() for slug in ("", *slugs)]
        urls = "".join(f"<url><loc>{shop}{each}</loc></url>" for each in paths)
        text = f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{urls}</urlset>'
        return web.Response(text=text, content_type="application/xml")

    async def robots(_: web.Request) -> web.Response:
        return web.Response(text=f"User-agent: *\nCrawl-delay: 0\nAllow: /\nSitemap: {shop}/sitemap.xml\n")

    app.router.add_get("/guide/{language}/", read)
    app.router.add_get("/guide/{language}/{slug}", read)
    app.router.add_get("/sitemap.xml", sitemap)
    app.router.add_get("/robots.txt", robots)
