"""A page's main text and what its head says about it.

Our own walk over the tree gives the structure; trafilatura says which of it is the main text. Pages that are too large
for it are read by resiliparse. Where either finds next to nothing, everything but the page's furniture is kept: on a
shop's short pages a missing line is worse than a needless one.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal
from urllib.parse import urljoin

from lxml import etree
from lxml.html import HtmlElement, HTMLParser, document_fromstring

from noren.knowledge.crawl.addresses import canonical
from noren.knowledge.extract.blocks import MAX_BLOCKS, blocks_of, clean
from noren.knowledge.extract.charsets import decode
from noren.knowledge.extract.errors import ExtractFailed
from noren.knowledge.extract.languages import language_of
from noren.knowledge.extract.verdicts import FEW, is_soft_404, needs_js, weight
from noren.knowledge.text import Block, Extracted

MAX_BYTES = 4_000_000
MAX_LINKS = 2_000
THOROUGH_ELEMENTS = 15_000
"""trafilatura's time grows with the tree: 26 ms for a usual page, seconds for a very large one."""
_WINDOW = 8
_MOST_MAIN = 400_000
_BEGIN_BODY = frozenset("main article section header footer nav aside figure".split())
_ROBOTS = frozenset(("robots", "noren"))
_SEPARATOR = re.compile(r"\s+[|\-–—:·»]\s+|\s*[｜|]\s*")
_DAY = re.compile(r"\s*(\d{4}-\d\d-\d\d)")
_JSON_DAY = re.compile(r'"datePublished"\s{0,9}:\s{0,9}"(\d{4}-\d\d-\d\d)')
_DATES = frozenset(
    "article:published_time og:published_time datepublished date dc.date dc.date.issued dcterms.issued pubdate".split()
)
_NUL = re.compile(r"[\x00\x0b\x0c\ud800-\udfff]")
_LONG_TAG = re.compile(r"<[a-zA-Z][^<>]{10000,}>?")
"""A hundred thousand attributes of one element take parsers minutes; a picture inside a tag is no text."""

Verdict = Literal["", "soft_404", "needs_js"]

for _name in ("trafilatura", "htmldate", "courlan", "justext"):
    logging.getLogger(_name).setLevel(logging.CRITICAL + 1)  # they log what pages say


@dataclass(frozen=True, slots=True)
class Directives:
    """What a page or its headers ask of robots."""

    noindex: bool = False
    nofollow: bool = False

    def __or__(self, other: Directives) -> Directives:
        return Directives(self.noindex or other.noindex, self.nofollow or other.nofollow)


@dataclass(frozen=True, slots=True)
class Page:
    """What an HTML page says. `links` are absolute in canonical form, those with rel=nofollow left out."""

    extracted: Extracted
    canonical: str
    """Where the page says it lives, in canonical form; "" if it does not say."""
    links: tuple[str, ...]
    directives: Directives
    verdict: Verdict
    charset: str


def read(body: bytes, url: str = "", *, content_type: str = "", max_bytes: int = MAX_BYTES) -> Page:
    """Read a page; `url` is where it came from. A page without text has no blocks. Raises ExtractFailed."""
    if len(body) > max_bytes:
        raise ExtractFailed("too_large")
    decoded = decode(body, content_type=content_type, is_markup=True)
    text = _LONG_TAG.sub(" ", _NUL.sub(" ", decoded.text))
    tree = _tree(text)
    try:
        walked = blocks_of(tree, max_blocks=MAX_BLOCKS)
        blocks = tuple(_main(tree, walked))
        title = _title(tree, walked)
        base = _base(tree, url)
        extracted = Extracted(title, _language(tree, title, blocks), blocks, _published(tree))
        verdict: Verdict = "soft_404" if is_soft_404(title, walked) else "needs_js" if needs_js(tree, walked) else ""
        return Page(extracted, _canonical(tree, base), _links(tree, base), _directives(tree), verdict, decoded.charset)
    except (RecursionError, MemoryError, etree.LxmlError):
        raise ExtractFailed("broken") from None


def directives_of(text: str) -> Directives:
    """What `noindex, nofollow` or `none` say. In a header, what follows another robot's name is not for us."""
    words: set[str] = set()
    for part in text.lower().split(","):
        agent, colon, rest = part.rpartition(":")
        if not colon or agent.strip() in _ROBOTS:
            words.add(rest.strip())
    return Directives(bool(words & {"noindex", "none"}), bool(words & {"nofollow", "none"}))


def _base(tree: HtmlElement, url: str) -> str:
    found = next((each.get("href") for each in tree.iter("base") if each.get("href")), "")
    try:
        return urljoin(url, found.strip()) if found else url
    except ValueError:
        return url


def _tree(text: str) -> HtmlElement:
    try:
        tree = document_fromstring(text.encode(), parser=HTMLParser(encoding="utf-8", no_network=True, huge_tree=False))
    except (etree.LxmlError, ValueError, AssertionError):
        return document_fromstring("<html><body></body></html>")
    _begin_body(tree)
    return tree


def _begin_body(tree: HtmlElement) -> None:
    """A page may leave out `</head>` and `<body>`. The parser knows HTML 4: to it, `<main>` doesn't end the head."""
    head = tree.find("head")
    places = [] if head is None else [at for at, each in enumerate(head) if each.tag in _BEGIN_BODY]
    if head is None or not places:
        return
    body = tree.find("body")
    if body is None:
        body = etree.SubElement(tree, "body")
    for at, each in enumerate(head[places[0] :]):
        body.insert(at, each)


def _main(tree: HtmlElement, walked: Sequence[Block]) -> Sequence[Block]:
    """Those of the walked blocks that are the main text."""
    main = _condensed(_main_text(tree))[:_MOST_MAIN]
    windows = {main[place : place + _WINDOW] for place in range(len(main) - _WINDOW + 1)}
    kept = [_is_in(_condensed(block.text), main, windows) for block in walked]
    for place, block in enumerate(walked[1:], 1):
        kept[place] |= kept[place - 1] and block.kind in ("table", "code")  # seldom furniture, often overlooked
    _keep_headings(walked, kept)
    chosen = [block for block, keep in zip(walked, kept, strict=True) if keep]
    return chosen if sum(weight(block.text) for block in chosen) > 2 * FEW else walked


def _main_text(tree: HtmlElement) -> str:
    if sum(1 for _ in tree.iter()) <= THOROUGH_ELEMENTS:
        from trafilatura import bare_extraction

        try:
            found = bare_extraction(tree, include_comments=False, favor_recall=True)
        except Exception:  # whatever a hostile page makes it raise, the other reader is still there
            found = None
        if text_found := getattr(found, "text", None):
            return str(text_found)
    from resiliparse.extract.html2text import extract_plain_text

    try:
        # Of the tree, not of the page: libxml2 has bounded its depth, in which resiliparse's time is quadratic.
        return str(extract_plain_text(etree.tostring(tree, encoding="unicode", method="html"), main_content=True))
    except Exception:
        return ""


def _condensed(text: str) -> str:
    return re.sub(r"[\W_]+", "", text.lower())


def _is_in(block: str, main: str, windows: set[str]) -> bool:
    """Whether most of a block is in the main text."""
    if len(block) < 2 * _WINDOW:
        return block in main
    places = range(0, len(block) - _WINDOW + 1, _WINDOW // 2)
    return sum(block[place : place + _WINDOW] in windows for place in places) * 2 > len(places)


def _keep_headings(blocks: Sequence[Block], kept: list[bool]) -> None:
    """A heading stays exactly if something below it does."""
    below = [False] * 7
    for place in range(len(blocks) - 1, -1, -1):
        level = blocks[place].level
        if not level:
            below = [True] * 7 if kept[place] else below
            continue
        kept[place] = below[level]
        below[level:] = [False] * (7 - level)


def _title(tree: HtmlElement, blocks: Sequence[Block]) -> str:
    """The page's own title, without the shop's name where `<h1>` or `og:title` tell which part that is."""
    whole = clean(next((each.text_content() for each in tree.iter("title")), ""))[:300]
    shorter = [_meta(tree, "og:title"), *(block.text for block in blocks if block.level == 1)]
    for each in shorter:
        if 0 < len(each) <= 300 and (not whole or each in _SEPARATOR.split(whole)):
            return each
    return whole or next((block.text[:300] for block in blocks if block.level), "")


def _language(tree: HtmlElement, title: str, blocks: Sequence[Block]) -> str:
    root = next(tree.iter("html"), tree)
    declared = root.get("lang") or root.get("{http://www.w3.org/XML/1998/namespace}lang") or root.get("xml:lang") or ""
    return language_of(" ".join([title, *(block.text for block in blocks[:200])]), declared)


def _meta(tree: HtmlElement, name: str) -> str:
    for each in tree.iter("meta"):
        if (each.get("property") or each.get("name") or "").lower() == name:
            return clean(each.get("content") or "")
    return ""


def _published(tree: HtmlElement) -> str:
    """Only what the page declares: a date guessed from its text is often another one."""
    said = [
        each.get("content") or each.get("datetime") or ""
        for each in tree.iter("meta", "time")
        if (each.get("property") or each.get("name") or each.get("itemprop") or "").lower() in _DATES
        or each.get("pubdate") is not None
    ]
    for script in tree.iter("script"):
        if script.get("type") == "application/ld+json":
            said += _JSON_DAY.findall(script.text or "")[:1]
    for each in said:
        found = _DAY.match(each)
        try:
            return date.fromisoformat(found[1]).isoformat() if found else ""
        except ValueError:
            continue
    return ""


def _canonical(tree: HtmlElement, base: str) -> str:
    for each in tree.iter("link"):
        if "canonical" in (each.get("rel") or "").lower().split() and each.get("href"):
            return canonical(each.get("href"), base) or ""
    return ""


def _directives(tree: HtmlElement) -> Directives:
    found = Directives()
    for each in tree.iter("meta"):
        if (each.get("name") or "").strip().lower() in _ROBOTS:
            found |= directives_of(each.get("content") or "")
    return found


def _links(tree: HtmlElement, base: str) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for each in tree.iter("a", "area"):
        href = each.get("href")
        if not href or href.startswith("#") or "nofollow" in (each.get("rel") or "").lower().split():
            continue
        if (address := canonical(href, base)) is not None:
            found[address] = None
            if len(found) >= MAX_LINKS:
                break
    return tuple(found)
