"""URLs: one reading, or none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noren.fetching.errors import FetchFailed
from noren.fetching.urls import Url, follow, parse

GOOD = {
    "https://shop.example.jp": "https://shop.example.jp/",
    "HTTPS://Shop.Example.JP:443/A?b=C#d": "https://shop.example.jp/A?b=C",
    "http://shop.example:8080?x=1": "http://shop.example:8080/?x=1",
    "https://8.8.8.8/": "https://8.8.8.8/",
    "https://[2606:4700:4700:0::1111]:8443/": "https://[2606:4700:4700::1111]:8443/",
    "https://日本語.jp/カタログ?q=茶碗": "https://xn--wgv71a119e.jp/%E3%82%AB%E3%82%BF%E3%83%AD%E3%82%B0?q=%E8%8C%B6%E7%A2%97",
    "https://shop.example/a%20b?q=a|b": "https://shop.example/a%20b?q=a%7Cb",
    "http://localhost/": "http://localhost/",
}

BAD = {
    "userinfo": "https://user@shop.example/ https://user:@shop.example/ https://shop.example@10.0.0.1/ https://@a.example/",
    "decimal": "http://2130706433/ http://127.1/ http://10.1/ http://1.2.3/ http://0/ http://1.2.3.4.5/",
    "hexadecimal": "http://0x7f000001/ http://0x7f.0.0.1/ http://127.0.0.0x1/ http://shop.0x7f/ http://1.2.3.0x/",
    "octal": "http://0177.0.0.1/ http://017700000001/ http://127.0.0.01/ http://127.00.0.1/",
    "out of range": "http://256.0.0.1/ http://127.0.0.256/ http://1.2.3.999999/",
    "a name that ends in a number": "http://shop.1/ http://a.b.007/",
    "other digits": "http://１２７.0.0.1/ http://①②⑦.⓪.⓪.①/ http://127。0。0。1/ http://१२७.0.0.1/ http://𝟏𝟐𝟕.0.0.1/",
    "other letters": "http://ⓛocalhost/ http://ｌocalhost/ http://shop。example/ http://shop．example/ http://ſhop\u00ad.example/",
    "percent": "http://%31%32%37.0.0.1/ http://shop%2eexample/ http://shop.example%00.evil.example/ http://shop%20.example/",
    "trailing dot": "http://shop.example./ http://127.0.0.1./ http://localhost./",
    "empty labels": "http://.shop.example/ http://shop..example/ http:/// http://:80/",
    "zone": "http://[fe80::1%25eth0]/ http://[fe80::1%eth0]/",
    "brackets": "http://[::1/ http://::1/ http://[::1]evil/ http://[127.0.0.1]/ http://[v1.fe80]/ http://[]/ http://[::1]:/",
    "ports": "http://a.example:/ http://a.example:0/ http://a.example:65536/ http://a.example:８０/ http://a.example:80:80/",
    "backslash": "http:\\\\a.example/ http://a.example\\@b.example/ https:/\\a.example/ http://a.example\\.b.example/",
    "control": "http://a.example/\x00 http://a.example/\r\nHost:b http://a\t.example/ \nhttp://a.example/ http://a.example/\x7f",
    "hyphens": "http://-a.example/ http://a-.example/",
    "underscore": "http://a_b.example/",
    "no URL": "shop.example //shop.example/ https:shop.example https:/shop.example",
    "long": "https://shop.example/"
    + "x" * 2048
    + " http://"
    + "a." * 127
    + "example/ http://"
    + "a" * 64
    + ".example/",
}
SCHEMES = "file:///etc/passwd ftp://a.b/ gopher://a.b/ data://a javascript://a.b/ dict://a.b/ ws://a.b/ httpx://a.b/"


@pytest.mark.parametrize("text", GOOD)
def test_good_urls_have_one_form(text: str) -> None:
    parsed = parse(text)
    assert str(parsed) == GOOD[text]
    assert parse(str(parsed)) == parsed


@pytest.mark.parametrize("what", BAD)
def test_what_could_be_read_in_two_ways_is_refused(what: str) -> None:
    for text in BAD[what].split(" "):
        with pytest.raises(FetchFailed) as refused:
            parse(text)
        assert refused.value.reason == "invalid_url", text


def test_other_schemes_are_refused() -> None:
    for text in SCHEMES.split():
        with pytest.raises(FetchFailed) as refused:
            parse(text)
        assert refused.value.reason == "blocked_scheme", text


BASE = parse("https://shop.example/a/b?c")


@pytest.mark.parametrize(
    ("location", "leads"),
    [
        ("/x", "https://shop.example/x"),
        ("x?y", "https://shop.example/a/x?y"),
        ("?y", "https://shop.example/a/b?y"),
        ("../../../x", "https://shop.example/x"),
        ("//other.example/x", "https://other.example/x"),
        ("http://other.example:8080", "http://other.example:8080/"),
        ("/茶".encode().decode("latin-1"), "https://shop.example/%E8%8C%B6"),
    ],
)
def test_redirects_lead_where_a_browser_would_go(location: str, leads: str) -> None:
    assert str(follow(BASE, location)) == leads


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("//user@10.0.0.1/", "invalid_url"),
        ("http://2130706433/", "invalid_url"),
        ("/\t/10.0.0.1/", "invalid_url"),
        ("\\\\10.0.0.1", "invalid_url"),
        ("http://[::1", "invalid_url"),
        ("http://日本.jp/".encode().decode("latin-1"), "invalid_url"),
        ("file:///etc/passwd", "blocked_scheme"),
        ("gopher://10.0.0.1:70/", "blocked_scheme"),
    ],
)
def test_redirects_are_read_as_strictly(location: str, reason: str) -> None:
    with pytest.raises(FetchFailed) as refused:
        follow(BASE, location)
    assert refused.value.reason == reason


@given(
    st.text(max_size=80) | st.text(alphabet="htps:/@.[]%0123x\\\t#?１", max_size=40).map(lambda text: "http://" + text)
)
def test_no_text_does_anything_else(text: str) -> None:
    try:
        parsed = parse(text)
    except FetchFailed:
        return
    assert parse(str(parsed)) == parsed
    assert isinstance(parsed, Url)
    assert str(parsed).isascii()
    assert "@" not in parsed.host
    assert not set(str(parsed)) & set(" \r\n\t\\\x00")
