"""Entries as owners write them, and which origins they let in: a table, and whatever Hypothesis thinks of."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noren.ids import TenantId
from noren.sites.models import Site
from noren.sites.origins import allows, is_origin, parse_entry

SITE = Site("site_1", TenantId("ten_1"), "Shop", "prof_1", 0.0)


def site(*entries: str, servers: bool = False) -> Site:
    return replace(SITE, allowed_domains=tuple(map(parse_entry, entries)), allow_server_calls=servers)


GOOD = {
    "shop.example": "https://shop.example",
    "Shop.EXAMPLE": "https://shop.example",
    "https://shop.example": "https://shop.example",
    "https://shop.example/": "https://shop.example",
    "HTTPS://shop.example:443": "https://shop.example",
    "http://shop.example:80": "http://shop.example",
    "http://shop.example:443": "http://shop.example:443",
    "https://shop.example:8443": "https://shop.example:8443",
    "shop.example:8443": "https://shop.example:8443",
    "http://localhost:3000": "http://localhost:3000",
    "localhost": "https://localhost",
    "http://192.0.2.7:8080": "http://192.0.2.7:8080",
    "*.shop.example": "https://*.shop.example",
    "https://*.shop.example:8443": "https://*.shop.example:8443",
    "bücher.example": "https://xn--bcher-kva.example",
    "faß.example": "https://xn--fa-hia.example",
    "*.かぶき.jp": "https://*.xn--u8je6j.jp",
    "ｓｈｏｐ．example": "https://shop.example",
    "XN--BCHER-KVA.example": "https://xn--bcher-kva.example",
    "my_shop.example": "https://my_shop.example",
}


@pytest.mark.parametrize("text", GOOD)
def test_an_entry_has_one_spelling(text: str) -> None:
    assert parse_entry(text) == GOOD[text]
    assert parse_entry(GOOD[text]) == GOOD[text]


@pytest.mark.parametrize(
    "text",
    [
        "",
        " shop.example",
        "shop.example ",
        "shop .example",
        "shop.example\n",
        "shop\u3000.example",
        "shop\u200b.example",
        "shop\x00.example",
        "https://shop.example/cart",
        "https://shop.example//",
        "shop.example?x=1",
        "shop.example#top",
        "shop.example\\cart",
        "https://mika@shop.example",
        "mika:secret@shop.example",
        "*",
        "https://*",
        "*.",
        "*.com",
        "*.localhost",
        "shop.*",
        "*shop.example",
        "*.*.example",
        "a.*.shop.example",
        "*.192.0.2.7",
        "*.0x7f.1",
        "null",
        "shop",
        "shop.example.",
        "shop.example。",
        ".shop.example",
        "shop..example",
        "-shop.example",
        "shop-.example",
        "shop.example:",
        "shop.example:0",
        "shop.example:080",
        "shop.example:65536",
        "shop.example:99999999999999999999",
        "shop.example:８０",
        "shop.example:80:80",
        "ftp://shop.example",
        "javascript://shop.example",
        "https:shop.example",
        "https:/shop.example",
        "https://https://shop.example",
        "//shop.example",
        "https://",
        "http://[::1]:3000",
        "0x7f.1",
        "2130706433",
        "127.1",
        "127.0.0.01",
        "256.0.0.1",
        "sh%6fp.example",
        "shop.example,evil.example",
        "<script>.example",
        "☃.example",
        "a" * 64 + ".example",
        "a." * 126 + "example",
        "x" * 301,
    ],
)
def test_what_names_no_origin_is_no_entry(text: str) -> None:
    with pytest.raises(ValueError, match=r"^[A-Z][^\n]+\.$"):
        parse_entry(text)


OURS = site("shop.example", "http://localhost:3000", "https://desk.example:8443", "*.kura.example", "bücher.example")
ORIGINS = {
    "exact": ("https://shop.example", True),
    "local": ("http://localhost:3000", True),
    "its port": ("https://desk.example:8443", True),
    "sub-domain of a wildcard": ("https://www.kura.example", True),
    "deep sub-domain of a wildcard": ("https://a.b.kura.example", True),
    "punycode": ("https://xn--bcher-kva.example", True),
    "null": ("null", False),
    "nothing but a scheme": ("https://", False),
    "the name alone": ("shop.example", False),
    "suffix look-alike": ("https://shop.example.evil.example", False),
    "prefix look-alike": ("https://evilshop.example", False),
    "prefix look-alike, dashed": ("https://evil-shop.example", False),
    "look-alike of a wildcard": ("https://evilkura.example", False),
    "suffix look-alike of a wildcard": ("https://www.kura.example.evil.example", False),
    "apex of a wildcard": ("https://kura.example", False),
    "empty label before a wildcard's": ("https://.kura.example", False),
    "sub-domain of an exact one": ("https://www.shop.example", False),
    "parent of an exact one": ("https://example", False),
    "other port": ("https://shop.example:8443", False),
    "default port spelt out": ("https://shop.example:443", False),
    "no port": ("https://desk.example", False),
    "longer port": ("https://desk.example:84430", False),
    "port with a zero ahead": ("https://desk.example:08443", False),
    "port of a wildcard": ("https://www.kura.example:8443", False),
    "http for https": ("http://shop.example", False),
    "http for https below a wildcard": ("http://www.kura.example", False),
    "https for http": ("https://localhost:3000", False),
    "other scheme": ("chrome-extension://shop.example", False),
    "upper-case scheme": ("HTTPS://shop.example", False),
    "upper case": ("https://SHOP.example", False),
    "upper case below a wildcard": ("https://WWW.kura.example", False),
    "userinfo": ("https://shop.example@evil.example", False),
    "userinfo ahead": ("https://evil.example@shop.example", False),
    "userinfo below a wildcard": ("https://evil.example@www.kura.example", False),
    "path": ("https://shop.example/", False),
    "path with a wildcard's host": ("https://evil.example/.kura.example", False),
    "query with a wildcard's host": ("https://evil.example?.kura.example", False),
    "fragment with a wildcard's host": ("https://evil.example#.kura.example", False),
    "backslash with a wildcard's host": ("https://evil.example\\.kura.example", False),
    "port in place of a label": ("https://evil.example:1.kura.example", False),
    "trailing dot": ("https://shop.example.", False),
    "trailing dot below a wildcard": ("https://www.kura.example.", False),
    "letters for punycode": ("https://bücher.example", False),
    "punycode look-alike": ("https://xn--bcher-kva.example.evil.example", False),
    "Cyrillic look-alike": ("https://ѕhop.example", False),
    "its punycode": ("https://xn--hop-ehd.example", False),
    "full width": ("https://ｓhop.example", False),
    "two origins": ("https://shop.example, https://evil.example", False),
    "two origins, spaced": ("https://shop.example https://evil.example", False),
    "space ahead": (" https://shop.example", False),
    "line break behind": ("https://shop.example\n", False),
    "NUL": ("https://shop.example\x00.evil.example", False),
    "star": ("*", False),
    "an entry itself": ("https://*.kura.example", False),
    "percent": ("https://%77ww.kura.example", False),
    "too long": ("https://" + "a." * 130 + "kura.example", False),
}


@pytest.mark.parametrize("kind", ORIGINS)
def test_an_origin_is_let_in_exactly(kind: str) -> None:
    origin, let_in = ORIGINS[kind]
    assert allows(OURS, origin) is let_in
    assert allows(replace(OURS, allow_server_calls=True), origin) is let_in  # which is about requests without any
    assert not allows(SITE, origin)


def test_a_missing_origin_is_for_servers_where_the_owner_lets_them_in() -> None:
    assert not allows(OURS, "")
    assert allows(site(servers=True), "")
    assert not allows(site("null.example", servers=True), "null")


_labels = st.from_regex(r"[a-z0-9-]{1,8}", fullmatch=True)
_hosts = st.lists(_labels, min_size=1, max_size=4).map(".".join)
_noise = st.sampled_from(["", "", ".", "@", ":443", ":8443", "/", "#", "?", "\\", " ", "\n", "\x00", "evil.example"])


@given(
    scheme=st.sampled_from(["https://", "http://", "HTTPS://", "https:/", ""]),
    parts=st.lists(
        st.one_of(_hosts, st.sampled_from(["shop.example", "kura.example", ".kura.example"]), _noise), max_size=5
    ),
)
def test_no_origin_is_let_in_whose_host_is_not_an_entrys_or_below_a_wildcards(scheme: str, parts: list[str]) -> None:
    origin = scheme + "".join(parts)
    if not allows(OURS, origin):
        return
    assert is_origin(origin)
    found = re.fullmatch(r"(https?)://([a-z0-9_.-]+)(:\d+)?", origin)
    assert found
    exact = {"https://shop.example", "http://localhost:3000", "https://desk.example:8443", GOOD["bücher.example"]}
    below = found[1] == "https" and found[2].endswith(".kura.example") and not found[3]
    assert origin in exact or below


@given(st.text(max_size=40))
def test_whatever_is_taken_as_an_entry_is_an_origin_or_a_wildcard_of_one(text: str) -> None:
    try:
        entry = parse_entry(text)
    except ValueError:
        return
    assert parse_entry(entry) == entry
    assert is_origin(entry.replace("*.", "", 1))
    assert allows(site(text), entry.replace("*.", "www.", 1))
    assert allows(site(text), entry) is ("*" not in entry)
