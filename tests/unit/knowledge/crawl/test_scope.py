from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noren.knowledge.crawl.addresses import canonical
from noren.knowledge.crawl.scope import MAX_VARIANTS, Scope, Variants, folder_of, variant_key

HOME = "https://www.shop.example/"
TODAY = date(2026, 11, 26)


def refusal(url: str, **options: object) -> str | None:
    scope = Scope(HOME, today=TODAY, **options)  # type: ignore[arg-type]
    address = canonical(url, HOME)
    assert address
    return scope.refusal(address)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://shop.example/a", None),
        ("http://www.shop.example/a", None),
        ("https://help.shop.example/a", None),
        ("https://www.shop.example:8443/a", None),
        ("https://brand.example/a", None),
        ("https://www.brand.example/a", None),
        ("https://other.example/", "other_site"),
        ("https://notshop.example/", "other_site"),
        ("https://shop.example.evil.example/", "other_site"),
        ("https://evil.example/?https://shop.example/", "other_site"),
        ("https://evil.example/shop.example", "other_site"),
    ],
)
def test_a_site_is_its_host_all_below_it_and_its_domains(url: str, why: str | None) -> None:
    assert refusal(url, domains=["brand.example"]) == why


@pytest.mark.parametrize(
    ("start", "url", "is_in"),
    [
        ("https://mine.platform.example/", "https://yours.platform.example/", False),
        ("https://mine.platform.example/", "https://platform.example/", False),
        ("https://www.example/", "https://www.example/a", True),
        ("https://www.example/", "https://other.example/", False),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000/a", True),
        ("http://[2001:db9::1]/", "http://[2001:db9::1]/a", True),
        ("http://[2001:db9::1]/", "http://[2001:db9::2]/a", False),
    ],
)
def test_neighbours_on_a_shared_host_stay_out(start: str, url: str, is_in: bool) -> None:
    assert Scope(start).has_host(url) is is_in


@pytest.mark.parametrize(
    ("include", "exclude", "url", "why"),
    [
        (["/help/*"], [], "/help/a", None),
        (["/help/*"], [], "/help", "excluded"),
        (["/help/*"], [], "/", None),  # the start is always read, or nothing would be
        (["/help/*", "/faq"], [], "/faq", None),
        ([], ["/admin*", "*print=1*"], "/admin/x", "excluded"),
        ([], ["/admin*", "*print=1*"], "/a?print=1", "excluded"),
        ([], ["/admin*", "*print=1*"], "/a", None),
        (["/a/*/c"], [], "/a/b/c", None),
        (["/a/*/c"], [], "/a/c", "excluded"),
        (["https://help.shop.example/*"], [], "https://help.shop.example/q", None),
        (["https://help.shop.example/*"], [], "/q", "excluded"),
        (["/a*a"], [], "/a", "excluded"),
        (["/[ab]?"], [], "/[ab]?", "excluded"),  # no other signs than the star: an empty query is none
        (["*"], [], "/anything?x=1", None),
    ],
)
def test_patterns(include: list[str], exclude: list[str], url: str, why: str | None) -> None:
    assert refusal(url, include=include, exclude=exclude) == why


def test_patterns_take_linear_time() -> None:
    scope = Scope(HOME, include=["*a" * 500 + "b"], today=TODAY)
    assert scope.refusal(HOME + "a" * 1000) == "excluded"


@pytest.mark.parametrize(
    "url",
    [
        "/" + "a/" * 3,
        "/a/b/a/b",
        "/x/products/shoes/products/shoes",
        "/1/2/3/4/5/6/7/8/9/10/11/12/13",
        "/" + "a" * 1100,
        "/list?a=1&b=2&c=3&d=4&e=5&f=6&g=7",
        "/list?sort=a&color=red&size=9",
        "/calendar/2031/05",
        "/events?year=2099&month=1",
        "/schedule/2028-01-01",
        "/%E3%82%AB%E3%83%AC%E3%83%B3%E3%83%80%E3%83%BC/2050/01",
    ],
)
def test_traps(url: str) -> None:
    assert refusal(url) == "trap"


@pytest.mark.parametrize(
    "url",
    [
        "/blog/2024/01/01/a",
        "/p/209912",
        "/products/2050-12",
        "/list?page=3&sort=price",
        "/calendar/2027/05",
        "/schedule/2026-12-01",
        "/a/b/c/d/e",
        "/docs/guide/docs",
        "/manual.pdf",
        "/version-1.2",
    ],
)
def test_honest_pages_are_none(url: str) -> None:
    assert refusal(url) is None


@pytest.mark.parametrize("url", ["/a.JPG", "/a/style.css", "/x.zip?v=1", "/feed.xml", "/app.mjs"])
def test_what_is_no_page_by_its_name(url: str) -> None:
    assert refusal(url) == "not_a_page"


def test_depth_is_bounded() -> None:
    scope = Scope(HOME, max_depth=2)
    assert [scope.refusal(HOME + "a", depth) for depth in (0, 2, 3)] == [None, None, "too_deep"]


@pytest.mark.parametrize(
    ("start", "inside", "outside"),
    [
        ("https://shop.example/", "/ /a /ja/ /a/b", ""),
        ("https://shop.example/?lang=ja", "/ /a /a/b", ""),
        ("https://shop.example/index.html", "/ /a /ja/ /a.html", ""),
        ("https://shop.example/Home", "/ /a", ""),
        ("https://shop.example/shop.php?id=3", "/ /a /shop.php?id=4", ""),
        ("https://shop.example/ja/", "/ja/ /ja/a /ja/a/b", "/ /a /en/ /jam/ /jam"),
        ("https://shop.example/ja", "/ja /ja?a=1 /ja/ /ja/a", "/ /en/ /jam"),
        ("https://shop.example/ja/index.html", "/ja/ /ja/a", "/ /en/"),
        ("https://blogs.example/me/shop/", "/me/shop/ /me/shop/a", "/ /me/ /me/other/ /you/"),
    ],
)
def test_a_start_means_its_folder(start: str, inside: str, outside: str) -> None:
    scope = Scope(start, include=folder_of(start))
    host = "/".join(start.split("/")[:3])
    assert [path for path in inside.split() if scope.refusal(host + path)] == []
    assert [path for path in outside.split() if scope.refusal(host + path) != "excluded"] == []
    assert scope.refusal(start) is None


def test_queries_of_a_path_are_bounded() -> None:
    variants = Variants()
    taken = [variants.admit(f"https://shop.example/list?page={number}") for number in range(MAX_VARIANTS + 10)]
    assert sum(taken) == MAX_VARIANTS
    assert taken[:MAX_VARIANTS] == [True] * MAX_VARIANTS
    assert variants.admit("https://shop.example/other?page=1")
    assert all(variants.admit(f"https://shop.example/p/{number}") for number in range(1000))


@pytest.mark.parametrize(
    "query",
    [
        "product_id={}",
        "product_no={}&cate_no=24&display_group=1",  # Cafe24
        "branduid={}&xcode=004&mcode=001",  # MakeShop
        "goodsNo={}",
        "bo_table=notice&wr_id={}",
        "document_srl={}",
        "pid={}&mode=detail",
        "p={}",
        "category_id={}",
        "item=tea-{}",
        "review_no={}",
    ],
)
def test_an_id_makes_a_page_of_its_own_with_its_own_queries(query: str) -> None:
    variants = Variants()
    assert all(variants.admit(f"https://shop.example/view?{query.format(number)}") for number in range(200))
    more = [variants.admit(f"https://shop.example/view?{query.format(7)}&sort={number}") for number in range(100)]
    assert MAX_VARIANTS - 1 <= sum(more) <= MAX_VARIANTS


@pytest.mark.parametrize(
    "query", ["page={}", "page_no={}", "sort={}", "color={}", "color_id={}", "add-to-cart={}", "token_id={}", "id=a/{}"]
)
def test_other_parameters_are_queries_of_one_page(query: str) -> None:
    variants = Variants()
    assert sum(variants.admit(f"https://shop.example/view?{query.format(number)}") for number in range(100)) == 40


def test_calendars_are_one_path() -> None:
    keys = {variant_key(f"https://shop.example/calendar/2026/{month:02}") for month in range(1, 13)}
    assert keys == {"https://shop.example/calendar/#/#"}
    assert variant_key("https://shop.example/a") is None


@given(st.text(max_size=80), st.lists(st.text(max_size=10), max_size=3))
def test_nothing_crashes(text: str, patterns: list[str]) -> None:
    address = canonical(text, HOME)
    if address:
        Scope(HOME, include=patterns, exclude=patterns, today=TODAY).refusal(address)
        Variants().admit(address)
