"""What owners are told of their icons and pages, by a guarded client before a hostile internet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noren.fetching.client import Fetcher
from noren.ids import TenantId
from noren.sites import csp
from noren.sites.checks import ICON_BYTES, Addresses, EmbedCheck, check_embed, check_icon
from noren.sites.models import Site
from noren.sites.page_scan import scan
from tests.unit.fetching.net import Net, leads, says

PAGE = "https://shop.example/"
SITE = Site("site_" + "1" * 32, TenantId("ten_1"), "Shop", "prof_1", 0.0, allowed_domains=("https://shop.example",))
WHERE = Addresses("https://api.noren.example", "https://chat.noren.example", "https://noren.example")
EVERGREEN = f'<script src="https://api.noren.example/api/embed/script?site_id={SITE.site_id}" async></script>'
PINNED = (
    f'<script src="https://noren.example/widget/loader.1a2b.js" integrity="sha384-x" crossorigin="anonymous" '
    f'data-site-id="{SITE.site_id}" data-api="https://api.noren.example" '
    'data-panel="https://noren.example/widget/panel.3c4d.js" data-panel-integrity="sha384-y" async></script>'
)
OTHER = EVERGREEN.replace("1" * 32, "2" * 32)


@pytest.fixture
def net() -> Iterator[Net]:
    made = Net()
    yield made
    made.close()


def embed(net: Net, body: str, site: Site = SITE, url: str = PAGE, **headers: str) -> EmbedCheck:
    given = {"content_type": "text/html; charset=utf-8"} | headers
    net.serve(says(body.encode(), **given), tls="shop.example")
    return check_embed(Fetcher(network=net), site, url, WHERE)


def codes(check: EmbedCheck) -> list[str]:
    return [each.code for each in check.problems]


# The snippet


@pytest.mark.parametrize(
    ("snippet", "kind"),
    [
        (EVERGREEN, "evergreen"),
        (EVERGREEN.replace("/api/embed", "/api/v1/embed"), "evergreen"),
        (EVERGREEN.replace("?site_id", "?ver=6&amp;site_id"), "evergreen"),
        (
            EVERGREEN.replace('"', "'")
            .upper()
            .replace(
                "HTTPS://API.NOREN.EXAMPLE/API/EMBED/SCRIPT?SITE_ID=SITE",
                "https://api.noren.example/api/embed/script?site_id=site",
            ),
            "evergreen",
        ),
        (
            f"<script async\n src = https://api.noren.example/api/embed/script?site_id={SITE.site_id} ></script>",
            "evergreen",
        ),
        (f"<!-- {OTHER} --><script>if (1 < 2) '{OTHER[:8]}'</script>{EVERGREEN}", "evergreen"),
        (PINNED, "pinned"),
    ],
)
def test_a_snippet_is_found(net: Net, snippet: str, kind: str) -> None:
    check = embed(net, f"<!doctype html><html><head><title>店 <script></title></head><body>{snippet}</body>")
    assert (check.found, check.kind, check.problems) == (True, kind, ())


@pytest.mark.parametrize(
    "page",
    [
        "",
        "<p>hello</p>",
        f"<!-- {EVERGREEN} -->",
        f"<noscript>{EVERGREEN}</noscript>",
        f"<template>{EVERGREEN}</template>",
        f"<textarea>{EVERGREEN}</textarea>",
        f"<script>document.write('{EVERGREEN.replace('</script>', '')}')</script>",
        EVERGREEN.replace("https://api.noren.example", "https://api.noren.example.evil.example"),
        EVERGREEN.replace("https://", "https://x@"),
        EVERGREEN.replace("/api/embed/script", "/api/embed/scripts"),
        EVERGREEN.replace("src=", "data-src="),
        PINNED.replace("loader.", "panel."),
    ],
)
def test_what_is_no_snippet_is_not_found(net: Net, page: str) -> None:
    check = embed(net, page)
    assert (check.found, check.kind, codes(check)) == (False, "none", ["not_found"])


def test_what_is_wrong_is_said(net: Net) -> None:
    assert codes(embed(net, OTHER)) == ["other_site", "not_found"]
    assert codes(embed(net, OTHER + EVERGREEN)) == ["other_site"]
    assert codes(embed(net, EVERGREEN * 2)) == ["twice"]
    for pin in (" integrity", " crossorigin", " data-panel=", " data-panel-integrity"):
        assert codes(embed(net, PINNED.replace(pin, f" was-{pin.strip()}"))) == ["not_pinned"]
    assert codes(embed(net, PINNED.replace("sha384-x", ""))) == ["not_pinned"]
    assert codes(embed(net, EVERGREEN, status="404 Not Found")) == ["bad_status"]
    assert codes(embed(net, EVERGREEN, content_type="text/plain")) == ["not_html"]
    assert codes(embed(net, EVERGREEN, replace(SITE, is_embed_enabled=False))) == ["embed_disabled"]
    assert codes(embed(net, EVERGREEN, replace(SITE, status="disabled"))) == ["site_disabled"]


def test_the_origin_is_that_of_the_page_after_redirects(net: Net) -> None:
    net.serve(leads("https://www.other.example/"), tls="shop.example")
    body = says(EVERGREEN.encode(), content_type="text/html")
    net.serve(body, name="www.other.example", address="8.8.8.8", tls="www.other.example")
    check = check_embed(Fetcher(network=net), SITE, PAGE, WHERE)
    assert (check.url, codes(check)) == ("https://www.other.example/", ["origin_not_allowed"])
    assert "https://www.other.example" in check.problems[0].advice


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://127.0.0.1/", "unreachable"),
        ("https://inner.example/", "unreachable"),
        ("https://nowhere.example/", "unreachable"),
        ("file:///etc/passwd", "blocked_scheme"),
        ("https://shop.example:22/", "blocked_port"),
        ("shop.example", "invalid_url"),
    ],
)
def test_a_page_that_is_not_fetched_is_not_told_of(net: Net, url: str, code: str) -> None:
    net.names["inner.example"] = [["10.0.0.1"]]
    check = check_embed(Fetcher(network=net), SITE, url, WHERE)
    assert (check.found, codes(check)) == (False, [code])
    assert not net.connected


# The page's policy

GOOD = "script-src https://api.noren.example https://noren.example; connect-src https://chat.noren.example"


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("", []),
        (GOOD, []),
        ("default-src * data:", []),
        ("default-src https:", []),
        ("img-src 'self'; frame-ancestors 'none'", []),
        ("script-src *.noren.example https://noren.example/widget/; connect-src *", []),
        ("script-src api.noren.example:443 noren.example:*; connect-src chat.noren.example", []),
        ("default-src 'none'", ["csp_scripts", "csp_calls"]),
        ("default-src 'self'", ["csp_scripts", "csp_calls"]),
        ("script-src 'self' https://api.noren.example", ["csp_scripts"]),
        ("script-src *.noren.example", ["csp_scripts"]),
        (GOOD.replace("https://noren.example", "https://noren.example/other/"), ["csp_scripts"]),
        (GOOD.replace("https://noren.example", "https://noren.example:8443"), ["csp_scripts"]),
        (GOOD.replace("https://noren.example", "http://noren.example"), []),
        (GOOD + "; script-src-elem 'self'", ["csp_scripts"]),
        (GOOD + "; connect-src *", []),
        (GOOD.replace("connect-src", "connect-src 'self';x"), ["csp_calls"]),
        ("script-src 'nonce-abc' 'strict-dynamic' https:; connect-src https:", ["csp_scripts"]),
        (GOOD + "; require-trusted-types-for 'script'; trusted-types default", ["csp_trusted_types"]),
        (GOOD + "; require-trusted-types-for 'script'; trusted-types default noren", []),
        ("script-src https://api.noren.example:" + "9" * 5000, ["csp_scripts"]),
    ],
)
@pytest.mark.parametrize("by_meta", [False, True])
def test_the_pages_policy_is_read_as_browsers_do(net: Net, policy: str, expected: list[str], by_meta: bool) -> None:
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    if by_meta:
        check = embed(net, meta + EVERGREEN)
    else:
        check = embed(net, EVERGREEN, content_security_policy=policy)
    assert codes(check) == expected


def test_commas_part_the_policies_of_headers_alone(net: Net) -> None:
    two = f"{GOOD}; img-src *, default-src 'self'"
    assert codes(embed(net, EVERGREEN, content_security_policy=two)) == ["csp_scripts", "csp_calls"]
    assert codes(embed(net, f'<meta http-equiv="Content-Security-Policy" content="{two}">{EVERGREEN}')) == []


def test_a_nonce_lets_the_snippet_in(net: Net) -> None:
    policy = "script-src 'nonce-abc' 'strict-dynamic'; connect-src https:"
    with_nonce = EVERGREEN.replace("<script", '<script nonce="abc"')
    assert codes(embed(net, with_nonce, content_security_policy=policy)) == []
    wrong = EVERGREEN.replace("<script", '<script nonce="abd"')
    assert codes(embed(net, wrong, content_security_policy=policy)) == ["csp_scripts"]


def test_the_pinned_snippet_needs_other_addresses(net: Net) -> None:
    policy = "script-src https://noren.example; connect-src https://chat.noren.example"
    check = embed(net, PINNED, content_security_policy=policy)
    assert codes(check) == ["csp_calls"]
    assert "https://api.noren.example" in check.problems[0].advice


def test_the_icon_needs_its_place_too(net: Net) -> None:
    site = replace(SITE, widget_config={"bubble_icon_url": "https://cdn.example/i.png"})
    check = embed(net, EVERGREEN, site, content_security_policy="img-src 'self'")
    assert codes(check) == ["csp_icon"]
    assert "https://cdn.example to img-src" in check.problems[0].advice


def test_self_is_the_page_itself() -> None:
    every = csp.policies("connect-src 'self'")
    assert csp.allows(every, csp.CALLS, "https://shop.example/x", PAGE)
    assert csp.allows(every, csp.CALLS, "https://shop.example/x", "http://shop.example/")
    assert not csp.allows(every, csp.CALLS, "http://shop.example/x", PAGE)
    assert not csp.allows(every, csp.CALLS, "https://shop.example:8443/x", PAGE)
    assert not csp.allows(every, csp.CALLS, "https://www.shop.example/x", PAGE)


# Hostile pages


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "piece", ["<a", "<!", "<!--", "</a ", "<a b='", "<script>", "<script x='", "<script x=", "<meta ", "<?", "&#", "<"]
)
def test_a_hostile_page_takes_no_longer_than_others(piece: str) -> None:
    """The standard parser takes minutes for a tenth of some of these."""
    assert not scan((piece * 1_000_000)[:1_000_000].encode(), PAGE).scripts


def test_a_comment_ends_where_browsers_end_it() -> None:
    """Where none does, the rest of the page is comment: looked through once, not again for each that begins in it."""
    script = '<script src="a.js"></script>'
    assert not scan(f"<!--<meta x>{script}".encode(), PAGE).scripts
    for ended in ("<!-->", "<!--->", "<!-- a -->", "<!-- <!-- --!>", "<!-- -- > -->"):
        assert len(scan(f"{ended}{script}".encode(), PAGE).scripts) == 1, ended


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "piece",
    ["<!--<meta x>", "<!--><meta x>", '<meta "<meta x>', "<meta \"'<meta x>", "<script><!--</script>", "<title>"],
)
def test_a_page_of_many_tags_takes_no_longer_than_others(piece: str) -> None:
    many = piece * 5000
    assert not scan((many + " " * (3_000_000 - len(many))).encode(), PAGE).scripts


@pytest.mark.parametrize("piece", [",", "a,", ";", "a;", "script-src a;", "connect-src * *,", "a ", "trusted-types,"])
def test_of_a_hostile_policy_little_is_kept(piece: str) -> None:
    text = piece * 100_000
    pages = [f'<meta http-equiv=content-security-policy content="{text[:7900]}">'] * 380
    policies = csp.policies(text, scan("".join(pages).encode(), PAGE).policies)
    assert len(policies) <= 2 * csp.MOST_POLICIES
    assert sum(len(sources) + 1 for each in policies for sources in each.values()) <= 2 * csp.MOST_POLICIES * 500


@given(st.binary(max_size=300) | st.text(alphabet="<>script/src='\" =!-meta", max_size=200).map(str.encode))
def test_no_page_breaks_the_scanner(page: bytes) -> None:
    scan(page, PAGE)


def test_addresses_are_resolved_by_the_pages_base() -> None:
    page = b'<base href="/sub/"><base href="/no/"><script src="a.js"></script><script src="//x.example/b.js"></script>'
    assert [each.src for each in scan(page, PAGE).scripts] == [
        "https://shop.example/sub/a.js",
        "https://x.example/b.js",
    ]


# Icons

PICTURES = {
    "image/png": b"\x89PNG\r\n\x1a\nrest",
    "image/jpeg": b"\xff\xd8\xff\xe0rest",
    "image/gif": b"GIF89arest",
    "image/webp": b"RIFF\x00\x00\x00\x00WEBPrest",
    "image/avif": b"\x00\x00\x00 ftypavif",
    "image/x-icon": b"\x00\x00\x01\x00rest",
    "image/svg+xml": b"  <svg xmlns='http://www.w3.org/2000/svg'/>",
}


@pytest.mark.parametrize("content_type", PICTURES)
def test_pictures_are_known_by_type_and_content(net: Net, content_type: str) -> None:
    fetcher, url = Fetcher(network=net), "https://shop.example/icon"
    net.serve(says(PICTURES[content_type], content_type=content_type), tls="shop.example")
    check = check_icon(fetcher, url)
    assert (check.content_type, check.problems) == (content_type, ())
    for other, body in PICTURES.items():
        if body != PICTURES[content_type]:
            net.serve(says(body, content_type=content_type), tls="shop.example")
            assert [each.code for each in check_icon(fetcher, url).problems] == ["not_an_image"], other


def test_what_is_no_icon_is_said(net: Net) -> None:
    def icon(body: bytes, url: str = "https://shop.example/icon", **headers: str) -> list[str]:
        net.serve(says(body, **headers), tls="shop.example" if url.startswith("https") else "")
        return [each.code for each in check_icon(Fetcher(network=net), url).problems]

    png = PICTURES["image/png"]
    assert icon(b"<html>", content_type="text/html") == ["not_an_image"]
    assert icon(png, content_type="text/html") == ["not_an_image"]
    assert icon(png, content_type="") == ["not_an_image"]
    assert icon(png + b"x" * ICON_BYTES, content_type="image/png") == ["too_large"]
    assert icon(png, content_type="image/png", status="403 No") == ["bad_status"]
    assert icon(png, "http://shop.example/icon", content_type="image/png") == ["not_https"]
    assert icon(png, "https://169.254.169.254/", content_type="image/png") == ["unreachable"]
