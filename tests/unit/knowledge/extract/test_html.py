from __future__ import annotations

import re
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noren.knowledge.extract import html
from noren.knowledge.extract.errors import ExtractFailed
from noren.knowledge.text import Block
from tests.unit.knowledge.extract.pages import SAMPLES, Sample

URL = "https://shop.example/help/a"


def read(text: str) -> html.Page:
    return html.read(text.encode(), URL)


def blocks(body: str) -> list[Block]:
    return list(read(f"<html><body><main>{body}</main></body></html>").extracted.blocks)


def pairs(texts: list[str]) -> set[str]:
    """Every two neighbouring characters: a measure that needs no words."""
    text = re.sub(r"\W+", "", "".join(texts))
    return {text[place : place + 2] for place in range(len(text) - 1)}


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.language)
def test_the_text_is_found_among_the_furniture(sample: Sample) -> None:
    found = read(sample.html).extracted
    got, wanted = pairs([block.text for block in found.blocks]), pairs(list(sample.main))
    precision, recall = len(got & wanted) / len(got), len(got & wanted) / len(wanted)
    assert 2 * precision * recall / (precision + recall) > 0.95
    assert (found.title, found.language) == (sample.title, sample.language)
    told = "\n".join(block.text for block in found.blocks)
    assert not [each for each in sample.furniture if each in told]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.language)
def test_its_structure_is_kept(sample: Sample) -> None:
    found = read(sample.html).extracted.blocks
    assert [block.text for block in found] == list(sample.main)
    assert [block.kind for block in found] == ["heading", "paragraph", "heading", "paragraph", "item", "item", "table"]
    assert [block.level for block in found] == [1, 0, 2, 0, 0, 0, 0]
    assert found[2].anchor == {"ja": "days", "ko": "how", "en": "limescale"}[sample.language]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.language)
def test_the_same_without_any_semantic_elements(sample: Sample) -> None:
    """Many shops have `<div>`s alone: then class names and trafilatura have to tell."""
    text = re.sub(r"<(/?)(?:main|header|section)\b", r"<\1div", sample.html)
    for name in ("nav", "aside", "footer"):
        text = text.replace(f"<{name}>", f'<div class="{name}">').replace(f"</{name}>", "</div>")
    told = [block.text for block in read(text).extracted.blocks]
    assert set(sample.main) <= set(told)
    got, wanted = pairs(told), pairs(list(sample.main))
    assert len(got & wanted) / len(got) > 0.75


@pytest.mark.parametrize("element", ["main", "article", "section", "div"])
@pytest.mark.parametrize("head", ["", "<html>", "<head>", "<meta charset=utf-8>"])
def test_a_page_may_leave_out_its_head_and_body_tags(head: str, element: str) -> None:
    page = read(f"<!doctype html>{head}<title>Shop</title><{element}><h1>Rooms</h1><p>All have a bath.</{element}>")
    assert [each.text for each in page.extracted.blocks] == ["Rooms", "All have a bath."]
    assert page.extracted.title == "Shop"


def test_blocks() -> None:
    assert blocks("<p>a<br>b</p><p>c<br><br>d</p>") == [
        Block("paragraph", "a\nb"),
        Block("paragraph", "c"),
        Block("paragraph", "d"),
    ]
    assert blocks("<pre>x = 1\n  y</pre>") == [Block("code", "x = 1\n  y")]
    assert blocks("<dl><dt>term<dd>meaning</dl>") == [Block("item", "term"), Block("item", "meaning")]
    assert blocks("<ul><li>a<ul><li>b</ul>c</ul>") == [Block("item", each) for each in "abc"]
    assert blocks("<h2 id=x>Head<a href=#x>¶</a></h2><p>t") == [
        Block("heading", "Head", 2, "x"),
        Block("paragraph", "t"),
    ]
    assert blocks("text <i>and</i> more<div>block</div>rest") == [
        Block("paragraph", each) for each in ("text and more", "block", "rest")
    ]
    assert blocks("<p>日本\n   語</p><p>two\nwords</p><p>한국\n말</p>") == [
        Block("paragraph", each) for each in ("日本語", "two words", "한국 말")
    ]
    assert blocks("<table><tr><td><table><tr><td>a<td>b|c</table></table>") == [Block("table", "a | b c")]
    assert blocks("<table><tr><td>only a layout</table>") == [Block("paragraph", "only a layout")]
    assert blocks(
        "<p>se\u200bcr\u00adet\u202e</p><p hidden>h</p><p style='display: none'>n</p><p aria-hidden=true>x"
    ) == [Block("paragraph", "secret")]
    assert blocks("<script>1</script><noscript>no</noscript><form>f</form><template>t</template><p>p") == [
        Block("paragraph", "p")
    ]


@pytest.mark.parametrize(
    ("head", "title"),
    [
        ("<title>Kettles | Shop</title>", "Kettles | Shop"),
        ("<title>Kettles | Shop</title><meta property=og:title content=Kettles>", "Kettles"),
        ("<title>Kettles | Shop</title><meta property=og:title content='Buy now'>", "Kettles | Shop"),
        ("<meta property=og:title content=Kettles>", "Kettles"),
        ("<title>Big head - Shop</title>", "Big head"),
        ("", "Big head"),
        (f"<title>{'x' * 999}</title>", "x" * 300),
    ],
)
def test_titles(head: str, title: str) -> None:
    assert read(f"<html><head>{head}</head><body><h1>Big head</h1><p>text</p>").extracted.title == title


@pytest.mark.parametrize(
    ("head", "day"),
    [
        ('<meta property="article:published_time" content="2026-03-04T05:06:07+09:00">', "2026-03-04"),
        ('<meta name="date" content="2026-03-04">', "2026-03-04"),
        ('<script type="application/ld+json">{"datePublished": "2026-03-04T00:00"}</script>', "2026-03-04"),
        ('<time itemprop="datePublished" datetime="2026-03-04">', "2026-03-04"),
        ('<meta name="date" content="2026-99-99">', ""),
        ('<meta name="date" content="spring">', ""),
        ('<time datetime="2026-03-04">', ""),
    ],
)
def test_the_day_is_what_the_page_declares(head: str, day: str) -> None:
    assert read(f"<html><head>{head}</head><body><p>text</p>").extracted.published == day


@pytest.mark.parametrize(
    ("content", "noindex", "nofollow"),
    [
        ("noindex", True, False),
        ("NoIndex, NoFollow", True, True),
        ("none", True, True),
        ("index, follow", False, False),
        ("max-snippet:-1, noindex", True, False),
        ("googlebot: noindex", False, False),
        ("noren: noindex", True, False),
    ],
)
def test_what_is_asked_of_robots(content: str, noindex: bool, nofollow: bool) -> None:
    wanted = html.Directives(noindex, nofollow)
    assert html.directives_of(content) == wanted
    assert read(f"<head><meta name=ROBOTS content='{content}'></head><p>x").directives == wanted
    assert read(f"<head><meta name=googlebot content='{content}'></head><p>x").directives == html.Directives()


def test_links_and_canonical_are_absolute_in_one_form() -> None:
    page = read(
        "<head><base href='/b/'><link rel=canonical href='c?utm_source=1'></head>"
        "<a href='x#y'>1</a><a href=x>2</a><area href='//o.example/'><a href='mailto:a@b.c'>3</a><a href='#top'>4</a>"
        "<a rel='nofollow ugc' href=/no>5</a><a href='javascript:alert(1)'>6</a><a>7</a><a href='http://[x'>8</a>"
    )
    assert page.links == ("https://shop.example/b/x", "https://o.example/")
    assert page.canonical == "https://shop.example/b/c"
    many = read("".join(f"<a href=/{number}>x</a>" for number in range(5_000)))
    assert len(many.links) == html.MAX_LINKS


@pytest.mark.parametrize(
    ("title", "text", "verdict"),
    [
        ("404 Not Found", "The page was not found.", "soft_404"),
        ("Shop", "Sorry, this page doesn't exist", "soft_404"),
        ("Shop", "The product is no longer available.", "soft_404"),
        ("みどり茶房", "お探しのページは見つかりませんでした。", "soft_404"),
        ("ページが見つかりません", "トップへ戻る", "soft_404"),
        ("みどり茶房", "ご指定のページは削除されたか、移動した可能性があります。", "soft_404"),
        ("푸른찻집", "요청하신 페이지를 찾을 수 없습니다.", "soft_404"),
        ("페이지를 찾을 수 없습니다", "홈으로", "soft_404"),
        ("존재하지 않는 상품입니다", "다른 상품을 둘러보세요.", "soft_404"),
        ("How we fixed our 404 errors", "An article about errors. " * 60, ""),
        ("Room 4042", "A room with a view.", ""),
        ("404", "", "soft_404"),
        ("404 | Tea House", "The page can't be found.", "soft_404"),
        ("Error 404 (Not Found)!!", "", "soft_404"),
        ("Tea House - Page Not Found", "Perhaps you are looking for our teas, cups or gift cards?", "soft_404"),
        ("Tea House", "Oops! The page you are looking for could not be found. Go to our home page.", "soft_404"),
        ("煎茶 100g | 茶舗", "1,404円（税込）静岡県産の一番茶です。香り高く、まろやかな味わいです。", ""),
        ("Sencha 100g", "¥1,404 (tax included). First-flush tea from Shizuoka, steamed deeply.", ""),
        ("Room 404", "A quiet double room on the fourth floor with a view of the river. 12,000 yen a night.", ""),
        (
            "404 | Hotel Aoi",
            "A quiet room with a bath of its own and a view of the river. " * 2 + "12,000 yen a night.",
            "",
        ),
        ("お問い合わせ", "TEL 03-404-1234 営業時間 9:00-18:00", ""),
        ("Peugeot 404 (1:43)", "Die-cast model, 3,200 yen.", ""),
        ("よくある質問", "商品が見つかりません。お探しの商品は店頭でお尋ねください。送料は五百円です。", ""),
        ("Lost property", "If your item was not found at the station, call us at 03-1234-5678 from 9 to 18.", ""),
        ("Help", "If the page can't be found, call us.", ""),
        ("Page not found?", "Ask us by telephone, from nine to six.", ""),
        ("配送について", "ページが見つからない場合は、お電話ください。", ""),
        ("고객센터", "페이지를 찾을 수 없는 경우 02-404-1234로 전화해 주세요.", ""),
        (
            "Gift box",
            "This item is no longer available in red. It is sold in blue and in green, for 1,404 yen each.",
            "",
        ),
        ("Lost and found", "What guests left behind is kept for a month.", ""),
        ("ページの使い方", "ページは三つあります。", ""),
        ("상품 안내", "이 페이지에서 상품을 찾을 수 있습니다.", ""),
    ],
)
def test_error_pages_that_say_200(title: str, text: str, verdict: str) -> None:
    assert read(f"<title>{title}</title><h1>{title}</h1><p>{text}</p>").verdict == verdict


@pytest.mark.parametrize(
    ("body", "verdict"),
    [
        ('<div id="root"></div><script src=a.js></script>', "needs_js"),
        ('<div id="__next">Loading…</div><script>1</script>', "needs_js"),
        ("<noscript>Please enable JavaScript.</noscript><script>1</script>", "needs_js"),
        ("<app-root></app-root><script>1</script>", "needs_js"),
        ('<div id="root"></div>', ""),
        ("<p>Hello</p><script>1</script>", ""),
        (f'<div id="root"><p>{"Rendered on the server. " * 20}</p></div><script>1</script>', ""),
    ],
)
def test_shells_that_only_a_browser_fills(body: str, verdict: str) -> None:
    assert read(body).verdict == verdict


# Hostile pages


@pytest.mark.parametrize(
    "text",
    [
        "<div>" * 20_000 + "deep" + "</div>" * 20_000,
        "<p>" * 15_000,
        "<table><tr><td>" * 2_000,
        "<a href=" * 5_000,
        "<b><i>" * 3_000 + "x",
        "<!--" * 10_000,
        "<!DOCTYPE x [<!ENTITY a 'b'>]><p>&a;&a;</p>",
        "<?xml version='1.0' encoding='utf-32'?><p>x</p>",
        "<meta charset=utf-7><p>x</p>",
        "<h1>" * 500 + "x",
        "<svg><script>" * 300,
        "\0" * 1_000,
        "&#x110000;&#xd800;&#0;" * 100,
        "<p " + "a=1 " * 20_000 + ">",
        "<p " + " ".join(f"a{number}=1" for number in range(200_000)) + ">x",
        "<title>" * 3_000,
        "",
    ],
)
def test_hostile_pages_are_read_or_refused(text: str) -> None:
    with suppress(ExtractFailed):
        read(text)


def test_size_is_bounded() -> None:
    for body in (b"x" * (html.MAX_BYTES + 1), b"<p>x</p>" * 25_000):
        with pytest.raises(ExtractFailed, match="too_large"):
            html.read(body)


def test_very_large_pages_are_read_all_the_same() -> None:
    text = "<main>" + "".join(f"<p>Paragraph number {number} of a very long page.</p>" for number in range(16_000))
    assert len(read(text).extracted.blocks) == 16_000


TAGS = st.sampled_from(
    (
        "<p> </p> <h1> <h2 id=a> <ul> <li> </ul> <table> <tr> <td> </table> <pre> <br> <div> </div> <a href=/x>"
        " </a> <main> <script> </script> <!-- --> <title> <meta charset=euc-kr> <base href=//> <svg> <head>"
        " <body> <template> &amp; 日本 한국 x"
    ).split()
)


@settings(max_examples=60, deadline=None)
@given(st.lists(TAGS | st.text(max_size=8), max_size=40).map("".join), st.sampled_from(["utf-8", "cp932", "utf-16"]))
def test_any_markup_is_a_page(text: str, charset: str) -> None:
    html.read(text.encode(charset, "replace"), URL, content_type=f"text/html; charset={charset}")


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_a_page(body: bytes) -> None:
    html.read(body, URL)
