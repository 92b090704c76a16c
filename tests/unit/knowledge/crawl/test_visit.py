"""One visit against a site on this machine: what it is told as, and that nothing is asked that may not be."""

from __future__ import annotations

import socket
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest

from noren.fetching.client import Fetcher, Limits
from noren.knowledge.crawl.known import Known
from noren.knowledge.crawl.scope import Scope
from noren.knowledge.crawl.visit import Failed, Fresh, Gone, Skipped, Unchanged, Visitor, error_page_of
from tests.unit.fetching.net import Net, Script, leads, says

HOME = "http://shop.example/"
URL = HOME + "a"
NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
TEXT = "Orders over fifty dollars ship for free. " * 20


def page(text: str = TEXT, head: str = "", links: str = "") -> bytes:
    return (
        f"<html lang=en><head><title>Shipping</title>{head}</head>"
        f"<body><main><h1>Shipping</h1><p>{text}</p>{links}</main></body></html>"
    ).encode()


def answers(body: bytes | None = None, status: str = "200 OK", **headers: Any) -> Script:
    return says(page() if body is None else body, status=status, **{"content_type": "text/html", **headers})


def visitor(net: Net, **options: object) -> Visitor:
    scope = Scope(HOME, exclude=["/secret*"], max_depth=5)
    return Visitor(
        Fetcher(network=net),
        scope,
        lambda url: "/robots-no" not in url,
        limits=Limits(seconds=5, raw_bytes=50_000, bytes=50_000),
        now=lambda: NOW,
        **options,  # type: ignore[arg-type]
    )


def fresh(net: Net, known: Known | None = None, **options: object) -> Fresh:
    found = visitor(net).visit(URL, known, **options)  # type: ignore[arg-type]
    assert isinstance(found, Fresh), found
    return found


def test_a_page_is_read(net: Net) -> None:
    links = '<a href="/b?utm_source=x">b</a><a href="https://other.example/">o</a><a href="/a#x">self</a>'
    net.serve(answers(page(links=links), etag='"1"', last_modified="Thu, 26 Nov 2026 00:00:00 GMT"))
    found = fresh(net, lastmod="2026-11-26")
    assert (found.url, found.is_changed, found.links) == (URL, True, (HOME + "b",))
    assert found.extracted.title == "Shipping"
    assert found.known == Known(found.content_hash, '"1"', "Thu, 26 Nov 2026 00:00:00 GMT", "2026-11-26")


@pytest.mark.parametrize(
    ("status", "headers", "told"),
    [
        ("404 Not Found", {}, Gone(URL, "missing")),
        ("410 Gone", {}, Gone(URL, "missing")),
        ("401 Unauthorized", {}, Skipped(URL, "forbidden")),
        ("403 Forbidden", {}, Skipped(URL, "forbidden")),
        ("400 Bad", {}, Skipped(URL, "refused")),
        ("302 Found", {}, Skipped(URL, "refused")),
        ("304 Not Modified", {}, Skipped(URL, "refused")),
        ("429 Slow down", {"retry_after": "120"}, Failed(URL, "busy", 120.0)),
        ("503 Busy", {"retry_after": "999999"}, Failed(URL, "busy", 3_600.0)),
        ("503 Busy", {"retry_after": format_datetime(NOW.replace(minute=2))}, Failed(URL, "busy", 120.0)),
        ("503 Busy", {"retry_after": format_datetime(NOW.replace(year=1999))}, Failed(URL, "busy", 1.0)),
        ("503 Busy", {"retry_after": "soon"}, Failed(URL, "busy", 60.0)),
        ("500 Oops", {}, Failed(URL, "server_error", 60.0)),
        ("200 OK", {"x_robots_tag": "noindex"}, Skipped(URL, "noindex")),
        ("200 OK", {"content_type": "image/png"}, Skipped(URL, "content_type")),
        ("200 OK", {"content_type": "application/json"}, Skipped(URL, "content_type")),
    ],
)
def test_answers_are_told_as_what_they_mean(net: Net, status: str, headers: dict[str, Any], told: object) -> None:
    net.serve(answers(status=status, **headers))
    assert visitor(net).visit(URL) == told


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", Skipped(URL, "empty")),
        (b"<html><body></body></html>", Skipped(URL, "empty")),
        (page("x" * 60_000), Skipped(URL, "too_large")),
        (
            page(head='<meta name="robots" content="noindex">', links="<a href=/b>b</a>"),
            Skipped(URL, "noindex", links=(HOME + "b",)),
        ),
        (page(head='<meta name="robots" content="none">', links="<a href=/b>b</a>"), Skipped(URL, "noindex")),
        (page(head='<link rel="canonical" href="/real">'), Skipped(URL, "duplicate", other=HOME + "real")),
        (b"<title>404 Not Found</title><h1>Page not found</h1><p>Sorry.</p>", Gone(URL, "soft_404")),
        (b'<title>Shop</title><div id="root"></div><script src="/app.js"></script>', Skipped(URL, "needs_js")),
    ],
)
def test_pages_that_are_not_kept(net: Net, body: bytes, told: object) -> None:
    net.serve(answers(body))
    assert visitor(net).visit(URL) == told


@pytest.mark.parametrize("where", ["/", "https://other.example/x", "/a", "/secret", "javascript:x"])
def test_a_canonical_link_that_can_not_be_meant_is_not_believed(net: Net, where: str) -> None:
    net.serve(answers(page(head=f'<link rel="canonical" href="{where}">')))
    fresh(net)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        (HOME + "secret/a", "excluded"),
        (HOME + "robots-no", "robots"),
        ("http://other.example/", "other_site"),
        (HOME + "a.png", "not_a_page"),
    ],
)
def test_what_may_not_be_read_is_not_asked_for(net: Net, url: str, why: str) -> None:
    net.serve(answers())
    found = visitor(net).visit(url)
    assert (found, net.is_untouched) == (Skipped(url, why), True)  # type: ignore[arg-type]
    assert visitor(net).visit(URL, depth=6) == Skipped(URL, "too_deep")


@pytest.mark.parametrize(
    ("to", "told"),
    [
        ("http://other.example/", Skipped(URL, "other_site")),
        ("/secret", Skipped(URL, "excluded")),
        ("/robots-no", Skipped(URL, "robots")),
        ("/a", Skipped(URL, "redirect_loop")),
    ],
)
def test_redirects_stay_within_scope_and_robots(net: Net, to: str, told: object) -> None:
    net.serve(leads(to))
    net.names["other.example"] = [["93.184.216.34"]]
    assert visitor(net).visit(URL) == told
    assert "other.example" not in net.asked
    assert all(request.startswith(b"GET /a ") for request in net.requests)


def test_a_page_that_has_moved_is_told_by_its_new_address(net: Net) -> None:
    def script(sock: socket.socket, head: bytes) -> None:
        (leads("/new") if head.startswith(b"GET /a ") else answers())(sock, head)

    net.serve(script)
    assert visitor(net).visit(URL) == Skipped(URL, "redirected", other=HOME + "new")
    assert len(net.requests) == 1  # what is there is read in its own turn


def test_an_address_that_leads_to_another_spelling_of_itself_is_read(net: Net) -> None:
    def script(sock: socket.socket, head: bytes) -> None:
        (leads("/a?utm_source=x#top") if head.startswith(b"GET /a ") else answers())(sock, head)

    net.serve(script)
    assert fresh(net).url == URL


def test_failures_of_the_network(net: Net) -> None:
    assert visitor(net).visit(URL) == Failed(URL, "unreachable", 60.0)
    net.serve(answers(), address="10.0.0.1")
    net.names["shop.example"] = [["10.0.0.1"]]
    assert visitor(net).visit(URL) == Failed(URL, "unreachable", 60.0)  # as if nobody answered
    net.serve(lambda sock, _: sock.sendall(b"nonsense\r\n\r\n"), name="www.shop.example")
    found = visitor(net).visit("http://www.shop.example/")
    assert found == Failed("http://www.shop.example/", "bad_response", 60.0)


def test_files_are_read_by_kind(net: Net) -> None:
    net.serve(answers(b"name,price\ncup,300\n", content_type="text/csv"))
    found = visitor(net).visit(HOME + "files/%E5%80%A4.csv")
    assert isinstance(found, Fresh)
    assert (found.extracted.title, found.extracted.blocks[0].text) == ("値", "name | price\ncup | 300")
    net.serve(answers(b"%PDF-1.4 nonsense", content_type="application/pdf"))
    assert visitor(net).visit(URL) == Failed(URL, "broken")


# What is known


def known_to(net: Net, **headers: Any) -> Known:
    net.serve(answers(**headers))
    return fresh(net, lastmod="2026-01-01").known


def test_an_unchanged_page_is_not_sent_again(net: Net) -> None:
    known = known_to(net, etag='"1"', last_modified="yesterday")
    net.serve(answers(b"", status="304 Not Modified", etag='"1b"', content_type=""))
    found = visitor(net).visit(URL, known, lastmod="2026-01-02")
    assert found == Unchanged(URL, replace(known, etag='"1b"', lastmod="2026-01-02"))
    assert b'if-none-match: "1"' in net.requests[-1].lower()
    assert b"if-modified-since: yesterday" in net.requests[-1].lower()


def test_a_page_sent_again_with_the_same_text_has_not_changed(net: Net) -> None:
    known = known_to(net, etag='"1"')
    net.serve(answers(page(head="<meta name=nonce content=42>"), etag='"2"'))
    found = fresh(net, known)
    assert (found.is_changed, found.content_hash, found.known.etag) == (False, known.content_hash, '"2"')


def test_what_a_site_says_is_believed_until_it_was_wrong(net: Net) -> None:
    known = known_to(net, etag='"always"', last_modified="long ago")
    net.serve(answers(page(TEXT + "Now changed."), etag='"always"', last_modified="just now"))
    found = fresh(net, known, lastmod="2026-01-01", audit=True)
    assert b"if-none-match" not in net.requests[-1].lower()  # an audit asks without conditions
    assert found.is_changed
    assert found.known.distrusted == {"etag", "lastmod"}
    assert found.known.conditions() == {"if-modified-since": "just now"}
    assert found.known.is_due("2026-01-01")
    net.serve(answers(page("Again another text. " * 30), etag='"always"', last_modified="just now"))
    assert fresh(net, found.known).known.conditions() == {}


def test_a_sitemaps_date_spares_a_fetch_only_while_it_stays_and_was_right() -> None:
    known = Known("hash", lastmod="2026-01-01")
    assert not known.is_due("2026-01-01")
    assert known.is_due("2026-01-02")
    assert known.is_due("")
    assert replace(known, distrusted=frozenset({"lastmod"})).is_due("2026-01-01")
    assert Known(lastmod="2026-01-01").is_due("2026-01-01")  # never read


# Error pages that say 200


def test_a_page_like_the_sites_error_page_is_gone(net: Net) -> None:
    error = page("This is what we show when there is nothing: our offers of the week, and more of them. " * 5)
    net.serve(answers(error))
    seen = error_page_of(Fetcher(network=net), HOME)
    assert seen is not None
    assert net.requests[-1].startswith(b"GET /noren-")
    assert visitor(net, error_page=seen).visit(URL) == Gone(URL, "soft_404")
    assert isinstance(visitor(net, error_page=seen).visit(HOME), Fresh)  # the home page may be what is shown
    net.serve(answers())
    assert isinstance(visitor(net, error_page=seen).visit(URL), Fresh)


@pytest.mark.parametrize("script", [answers(status="404 Not Found"), leads("/"), answers(b"")])
def test_most_sites_have_none(net: Net, script: Script) -> None:
    net.serve(script)
    assert error_page_of(Fetcher(network=net), HOME) is None
