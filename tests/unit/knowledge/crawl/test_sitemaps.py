from __future__ import annotations

import gzip
import socket
import tracemalloc
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noren.fetching.client import Fetcher
from noren.knowledge.crawl.sitemaps import MAX_ENTRIES, Entry, Listed, SitemapBroken, entries, listed
from tests.unit.fetching.net import Net, says

HOME = "http://shop.example/"


def urlset(urls: Iterable[str], lastmod: str = "") -> bytes:
    day = f"<lastmod>{lastmod}</lastmod>" if lastmod else ""
    body = "".join(f"<url><loc>{url}</loc>{day}</url>" for url in urls)
    return f'<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{body}</urlset>'.encode()


def index(urls: Iterable[str]) -> bytes:
    return f"<sitemapindex>{''.join(f'<sitemap><loc>{url}</loc></sitemap>' for url in urls)}</sitemapindex>".encode()


def problem(body: bytes, **limits: int) -> str:
    with pytest.raises(SitemapBroken) as broken:
        list(entries(body, **limits))
    return broken.value.reason


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_urls_and_their_dates(pack: type[bytes]) -> None:
    assert list(entries(pack(urlset([HOME + "a", HOME + "b"], "2026-11-26")))) == [
        Entry(HOME + "a", "2026-11-26"),
        Entry(HOME + "b", "2026-11-26"),
    ]
    assert list(entries(pack(index([HOME + "1.xml"])))) == [Entry(HOME + "1.xml", is_sitemap=True)]
    assert list(entries(pack(f"{HOME}a\r\n\nnonsense\n{HOME}b".encode()))) == [Entry(HOME + "a"), Entry(HOME + "b")]


@pytest.mark.parametrize(
    ("said", "taken"),
    [
        ("2026-11-26", "2026-11-26"),
        (" 2026-11-26T10:00:00+09:00 ", "2026-11-26T10:00:00+09:00"),
        ("2026-11-26T10:00:00.123Z", "2026-11-26T10:00:00.123Z"),
        ("2026", "2026"),
        ("yesterday", ""),
        ("9" * 5000, ""),
    ],
)
def test_a_date_is_taken_if_it_is_one(said: str, taken: str) -> None:
    assert list(entries(urlset([HOME], said))) == [Entry(HOME, taken)]


def test_pictures_and_other_languages_of_a_page_are_no_pages() -> None:
    body = (
        b'<urlset xmlns:image="i" xmlns:x="http://www.w3.org/1999/xhtml"><url><loc>http://shop.example/a</loc>'
        b"<image:image><image:loc>http://shop.example/a.jpg</image:loc></image:image>"
        b'<x:link rel="alternate" href="http://shop.example/ko"/><!-- <loc>x</loc> --></url><url></url></urlset>'
    )
    assert list(entries(body)) == [Entry("http://shop.example/a")]


@pytest.mark.parametrize("charset", ["utf-8", "utf-16", "shift_jis", "euc-kr"])
def test_charsets(charset: str) -> None:
    text = f'<?xml version="1.0" encoding="{charset}"?><urlset><url><loc>{HOME}?q=あ</loc></url></urlset>'
    assert list(entries(text.encode(charset))) == [Entry(f"{HOME}?q=あ")]


BOMB = b"".join(b'<!ENTITY e%d "%s">' % (n, b"&e%d;" % (n - 1) * 10) for n in range(1, 10))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "broken"),
        (b"  \n", "broken"),
        (b"<urlset><url><loc>http://shop.example/a", "broken"),
        (b"<html><p>not found<br></html>", "broken"),
        (b'<!DOCTYPE x [<!ENTITY e0 "x">' + BOMB + b"]><urlset><url><loc>&e9;</loc></url></urlset>", "dtd"),
        (b'<!DOCTYPE x SYSTEM "http://evil.example/x.dtd"><urlset/>', "dtd"),
        (b'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><urlset><url><loc>&f;</loc></url></urlset>', "dtd"),
        ('<?xml version="1.0" encoding="utf-16"?><!DOCTYPE x><urlset/>'.encode("utf-16"), "dtd"),
        (b"<urlset>" + b" " * 65_525 + b"<!DOCTYPE x>", "dtd"),  # over the edge of two pieces
        (b"\x1f\x8bnonsense", "broken"),
        (b"<a>" * 5_000, "broken"),
        (b"<urlset>" + b"&e;" * 3 + b"</urlset>", "broken"),
    ],
)
def test_hostile_ones_are_refused(body: bytes, reason: str) -> None:
    assert problem(body) == reason


def test_limits() -> None:
    assert problem(urlset(HOME + str(n) for n in range(11)), max_entries=10) == "too_many"
    assert problem(b"<urlset>" + b" " * 1_000, max_bytes=1_000) == "too_large"
    assert problem(gzip.compress(b"<urlset>" + b" " * 1_000_000), max_bytes=100_000) == "too_large"


def test_a_million_urls_take_no_memory() -> None:
    one = b"<url><loc>http://shop.example/page/000000</loc><lastmod>2026-11-26</lastmod></url>"
    packed = gzip.compress(b"<urlset>" + one * 1_000_000 + b"</urlset>", 1)
    reading = entries(packed, max_bytes=100_000_000)
    tracemalloc.start(1)
    try:
        found = sum(1 for _ in islice(reading, 3_000))
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()
    with pytest.raises(SitemapBroken, match="too_many"):
        deque(islice(reading, MAX_ENTRIES - found + 1), maxlen=0)
    assert found == 3_000


def test_elements_that_mean_nothing_take_no_memory() -> None:
    """lxml's own memory is not traced: what is left of the tree is counted."""
    from noren.knowledge.crawl.sitemaps import _Reader

    reader = _Reader()
    assert list(reader.feed(b"<urlset>" + b"<x a='b'><y/></x>" * 3_000)) == []
    assert list(reader.feed(b"<url>" + b"<z/>" * 3_000 + b"<loc>http://shop.example/</loc>" + b"<z/>" * 3_000)) == []
    assert list(reader.feed(b"</url></urlset>")) == [Entry("http://shop.example/")]
    assert sum(1 for _ in reader._parser.close().iter()) < 5


class Maps:
    """Serves bodies by path; counts."""

    def __init__(self, net: Net, bodies: dict[str, bytes]) -> None:
        self.asked: list[str] = []

        def script(sock: socket.socket, head: bytes) -> None:
            path = head.split()[1].decode()
            self.asked.append(path)
            found = bodies.get(path)
            says(found or b"", status="200 OK" if found is not None else "404 Not Found")(sock, head)

        net.serve(script)


def read(net: Net, *paths: str, max_urls: int = 100, max_files: int = 100) -> Listed:
    sitemaps = [HOME + path for path in paths]
    return listed(
        Fetcher(network=net),
        sitemaps,
        admits=lambda url: url.startswith(HOME),
        max_urls=max_urls,
        max_files=max_files,
    )


def test_indexes_are_followed_and_pages_told_once(net: Net) -> None:
    maps = Maps(
        net,
        {
            "/i.xml": index([HOME + "1.xml", HOME + "2.xml.gz", HOME + "gone.xml"]),
            "/1.xml": urlset([HOME + "a?utm_source=x", "/b", "http://other.example/c", "javascript:1"], "2026-01-02"),
            "/2.xml.gz": gzip.compress(urlset([HOME + "a", HOME + "d#x"])),
        },
    )
    found = read(net, "i.xml", "1.xml")
    assert found.pages == {HOME + "a": "2026-01-02", HOME + "b": "2026-01-02", HOME + "d": ""}
    assert found.problems == {HOME + "gone.xml": "missing"}
    assert not found.is_cut
    assert maps.asked == ["/i.xml", "/1.xml", "/2.xml.gz", "/gone.xml"]


def test_loops_end(net: Net) -> None:
    maps = Maps(net, {"/i.xml": index([HOME + "i.xml", HOME + "j.xml"]), "/j.xml": index([HOME + "i.xml"])})
    assert read(net, "i.xml").pages == {}
    assert maps.asked == ["/i.xml", "/j.xml"]


def test_indexes_nest_three_deep(net: Net) -> None:
    bodies = {f"/{n}.xml": index([f"{HOME}{n + 1}.xml"]) for n in range(9)}
    maps = Maps(net, bodies)
    assert read(net, "0.xml").problems == {HOME + "2.xml": "too_deep"}
    assert maps.asked == ["/0.xml", "/1.xml", "/2.xml"]


def test_urls_and_files_are_bounded(net: Net) -> None:
    maps = Maps(
        net, {"/a.xml": urlset(f"{HOME}{n}" for n in range(60)), "/i.xml": index(f"{HOME}{n}" for n in range(99))}
    )
    cut = read(net, "a.xml", max_urls=50)
    assert (len(cut.pages), cut.is_cut) == (50, True)
    maps.asked.clear()
    assert read(net, "i.xml", max_files=5).is_cut
    assert len(maps.asked) == 5


def test_what_came_before_the_break_is_kept(net: Net) -> None:
    Maps(net, {"/a.xml": urlset([HOME + "a"])[:-5]})
    found = read(net, "a.xml")
    assert (found.pages, found.problems) == ({HOME + "a": ""}, {HOME + "a.xml": "broken"})


def test_a_dead_host_is_told(net: Net) -> None:
    assert read(net, "a.xml").problems == {HOME + "a.xml": "unreachable"}


@given(st.binary(max_size=300) | st.text(max_size=200).map(lambda text: f"<urlset>{text}</urlset>".encode()))
def test_any_bytes_are_entries_or_broken(body: bytes) -> None:
    for each in (body, gzip.compress(body)):
        with suppress(SitemapBroken):
            list(entries(each))
