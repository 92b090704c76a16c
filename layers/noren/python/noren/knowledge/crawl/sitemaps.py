"""The URLs that a site lists: XML sitemaps, indexes of them, plain lists; packed or not.

All of it is read as a stream: unpacked in pieces, parsed in pieces, each entry dropped when it is told. A sitemap with
a DTD is refused; entities are never resolved.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Literal

from lxml import etree

from noren.fetching.client import Fetcher, Limits
from noren.fetching.errors import FetchFailed
from noren.knowledge.crawl.addresses import canonical

MAX_ENTRIES = 50_000
"""In one file, by the protocol (sitemaps.org)."""
MAX_BYTES = 50_000_000
"""Of one file unpacked, by the protocol."""
MAX_DEPTH = 3
"""An index in an index in an index."""
STEP = 65_536
_MAX_TEXT = 4_096
_DATE = re.compile(r"\d{4}(?:-\d\d(?:-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?)?)?)?")
_DTD = re.compile(rb"<!\s*(?:DOCTYPE|ENTITY)", re.IGNORECASE)

Problem = Literal["unreachable", "missing", "broken", "dtd", "too_large", "too_deep", "too_many"]


class SitemapBroken(Exception):
    """A sitemap that is not read on: `broken`, `dtd`, `too_large`, `too_many`. What came before stays good."""

    def __init__(self, reason: Problem) -> None:
        super().__init__(reason)
        self.reason: Problem = reason


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a sitemap."""

    url: str
    lastmod: str = ""
    """As the site says it, if it is a date: `2026-11-26` or with a time."""
    is_sitemap: bool = False
    """Whether it is itself a sitemap, listed in an index."""


@dataclass(slots=True)
class Listed:
    """What a site's sitemaps list: canonical URLs with their `lastmod`, in order, and which sitemaps failed how."""

    pages: dict[str, str] = field(default_factory=dict)
    problems: dict[str, Problem] = field(default_factory=dict)
    is_cut: bool = False
    """Whether there were more URLs or sitemaps than asked for."""


def entries(body: bytes, *, max_entries: int = MAX_ENTRIES, max_bytes: int = MAX_BYTES) -> Iterator[Entry]:
    """The entries of one sitemap, in bounded memory whatever its size. Raises SitemapBroken."""
    pieces = _pieces(body, max_bytes)
    first = next(pieces, b"")
    if not first.strip():
        raise SitemapBroken("broken")
    is_xml = first.lstrip(b"\xef\xbb\xbf\xff\xfe\x00 \t\r\n").startswith(b"<")
    read = _xml if is_xml else _lines
    for count, entry in enumerate(read(first, pieces)):
        if count >= max_entries:
            raise SitemapBroken("too_many")
        yield entry


def listed(
    fetcher: Fetcher,
    sitemaps: Iterable[str],
    *,
    admits: Callable[[str], bool],
    max_urls: int,
    max_files: int = 100,
    may_fetch: Callable[[str], bool] = lambda url: True,
    follows: Callable[[str], bool] = lambda url: True,
    pause: Callable[[], object] = lambda: None,
    seconds: float = 20.0,
) -> Listed:
    """Read sitemaps and those they lead to, until `max_urls` pages are found or `max_files` are read.

    `admits` says whether a canonical URL counts, `may_fetch` whether a sitemap's may be called, `follows` whether one
    that it redirects to may; `pause` lies between two, `seconds` is for each.
    """
    found, waiting, seen = Listed(), [(url, 1) for url in sitemaps], set[str]()
    limits = Limits(seconds=seconds, raw_bytes=MAX_BYTES // 2, bytes=MAX_BYTES)
    while waiting and not found.is_cut:
        url, depth = waiting.pop(0)
        if url in seen or not may_fetch(url):
            continue
        if len(seen) >= max_files:
            found.is_cut = True
            break
        if seen:
            pause()
        seen.add(url)
        try:
            _read(fetcher, url, limits, follows, depth, found, waiting, admits, max_urls)
        except SitemapBroken as broken:
            found.problems[url] = broken.reason
    return found


def _read(
    fetcher: Fetcher,
    url: str,
    limits: Limits,
    follows: Callable[[str], bool],
    depth: int,
    found: Listed,
    waiting: list[tuple[str, int]],
    admits: Callable[[str], bool],
    max_urls: int,
) -> None:
    try:
        got = fetcher.get(url, limits=limits, follows=follows)
    except FetchFailed as failed:
        raise SitemapBroken("too_large" if failed.reason == "too_large" else "unreachable") from None
    if got.status != 200:
        raise SitemapBroken("missing" if got.status < 500 else "unreachable")
    for entry in entries(got.body):
        address = canonical(entry.url, got.url)
        if address is None:
            continue
        if entry.is_sitemap:
            if depth >= MAX_DEPTH:
                raise SitemapBroken("too_deep")
            if len(waiting) < MAX_ENTRIES:
                waiting.append((address, depth + 1))
        elif address not in found.pages and admits(address):
            if len(found.pages) >= max_urls:
                found.is_cut = True
                return
            found.pages[address] = entry.lastmod


def _pieces(body: bytes, max_bytes: int) -> Iterator[bytes]:
    """The body in steps, unpacked if it is gzip."""
    if not body.startswith(b"\x1f\x8b"):
        if len(body) > max_bytes:
            raise SitemapBroken("too_large")
        for place in range(0, len(body), STEP):
            yield body[place : place + STEP]
        return
    inflater, total = zlib.decompressobj(zlib.MAX_WBITS | 16), 0
    for place in range(0, len(body), STEP):
        rest = body[place : place + STEP]
        while rest and not inflater.eof:
            try:
                piece = inflater.decompress(rest, STEP)
            except zlib.error:
                raise SitemapBroken("broken") from None
            rest = inflater.unconsumed_tail
            total += len(piece)
            if total > max_bytes:
                raise SitemapBroken("too_large")
            if piece:
                yield piece


class _Reader:
    """Takes XML in pieces. Every element is dropped at its end, so that no more than one branch is in memory."""

    def __init__(self) -> None:
        self._parser = etree.XMLPullParser(
            events=("end",), resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
        )
        self._texts: dict[str, str] = {}
        self._tail = b""

    def feed(self, piece: bytes) -> Iterator[Entry]:
        """The entries that end in this piece."""
        if _DTD.search((self._tail + piece).replace(b"\0", b"")):
            raise SitemapBroken("dtd")
        self._tail = piece[-32:]
        self._parser.feed(piece)
        for _, element in self._parser.read_events():
            name, parent = _name(element), element.getparent()
            if name in ("url", "sitemap"):
                if entry := self._entry(is_sitemap=name == "sitemap"):
                    yield entry
                self._texts = {}
            elif name in ("loc", "lastmod") and _name(parent) in ("url", "sitemap"):
                self._texts[name] = (element.text or "").strip()
            element.clear()
            if parent is not None:
                while element.getprevious() is not None:
                    del parent[0]

    def close(self) -> None:
        """Nothing may be missing. Raises LxmlError."""
        self._parser.close()

    def _entry(self, *, is_sitemap: bool) -> Entry | None:
        url, lastmod = self._texts.get("loc", ""), self._texts.get("lastmod", "")
        if not url or len(url) > _MAX_TEXT:
            return None
        return Entry(url, lastmod if _DATE.fullmatch(lastmod) else "", is_sitemap)


def _name(element: etree._Element | None) -> str:
    return etree.QName(element).localname if element is not None and isinstance(element.tag, str) else ""


def _xml(first: bytes, rest: Iterator[bytes]) -> Iterator[Entry]:
    reader = _Reader()
    try:
        for piece in chain((first,), rest):
            yield from reader.feed(piece)
        reader.close()
    except etree.LxmlError:
        raise SitemapBroken("broken") from None


def _lines(first: bytes, rest: Iterator[bytes]) -> Iterator[Entry]:
    """A plain list: one URL a line, in UTF-8."""
    line = first.removeprefix(b"\xef\xbb\xbf")
    while True:
        *whole, line = re.split(rb"[\r\n]+", line)
        yield from (Entry(text) for each in whole if (text := _line(each)))
        piece = next(rest, None)
        if piece is None:
            break
        if len(line) > _MAX_TEXT:
            raise SitemapBroken("broken")
        line += piece
    if text := _line(line):
        yield Entry(text)


def _line(line: bytes) -> str:
    text = line.decode("utf-8", "replace").strip()
    return text if text.startswith(("http://", "https://")) and len(text) <= _MAX_TEXT else ""
