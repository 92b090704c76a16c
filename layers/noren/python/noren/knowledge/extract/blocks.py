"""From an HTML tree to blocks: headings with their anchors, paragraphs, items, tables, code; without furniture."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lxml.html import HtmlElement

from noren.knowledge.extract.errors import ExtractFailed
from noren.knowledge.text import Block, BlockKind

_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_DROPPED = frozenset(
    "script style noscript template svg math iframe object embed canvas audio video nav aside footer form button select"
    " option input textarea dialog menu head".split()
)
_BLOCKS = frozenset(
    "address article blockquote body caption center dd details div dl dt fieldset figcaption figure header hgroup hr"
    " html legend li main ol p section summary table tbody td tfoot th thead tr ul".split()
)
_ITEMS = frozenset(("li", "dt", "dd"))
_ROLES = frozenset("navigation banner contentinfo search dialog alertdialog complementary menu menubar toolbar".split())
_FURNITURE = frozenset(
    "nav navbar navigation breadcrumb breadcrumbs topicpath pagination pager sidebar side-bar cookie cookies"
    " cookie-banner cookie-notice consent share social sns sns-share"
    " related recommend skip-link site-header site-footer"
    " global-nav gnav gnb lnb globalnav header-nav footer-nav footer sr-only visually-hidden".split()
)
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_BREAK = "\u2028"
_CJK = r"[\u3000-\u30ff\u3400-\u9fff\uff00-\uffef]"
_WRAPPED = re.compile(rf"(?<={_CJK})[ \t\r\f\v]*\n\s*(?={_CJK})|(?<=[。、！？])[ \t\r\f\v]*\n\s*")
_SPACE = re.compile(r"[^\S\u2028]+")
_BREAKS = re.compile(rf" ?(?:{_BREAK} ?)+")
_INVISIBLE = re.compile(r"[\x00-\x08\x0e-\x1f\x7f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\uffff]")
_CELL = re.compile(r"\s*\|\s*|\s+")
MAX_BLOCKS = 20_000


def blocks_of(root: HtmlElement, *, max_blocks: int = MAX_BLOCKS) -> list[Block]:
    """The blocks of a tree in reading order. Raises ExtractFailed (`too_large`)."""
    walker = _Walker(max_blocks)
    walker.walk(root, "paragraph", inside=False)
    walker.flush("paragraph")
    return walker.blocks


def clean(text: str) -> str:
    """One line of text: white space collapsed, what can't be seen dropped, lines of Japanese joined without a space."""
    return _SPACE.sub(" ", _WRAPPED.sub("", _INVISIBLE.sub("", text))).replace(_BREAK, " ").strip()


class _Walker:
    def __init__(self, max_blocks: int) -> None:
        self.blocks: list[Block] = []
        self._max, self._parts, self._anchor = max_blocks, list[str](), ""

    def walk(self, element: HtmlElement, kind: BlockKind, *, inside: bool) -> None:
        """`inside` the main text (`<main>`, `<article>`) a `<header>` is the text's own."""
        tag = element.tag
        if not isinstance(tag, str) or _is_furniture(element, inside=inside):
            return
        if anchor := element.get("id") or (element.get("name") if tag == "a" else None):
            self._anchor = anchor
        if tag in _HEADINGS:
            self.flush(kind)
            self._heading(element, _HEADINGS[tag])
        elif tag == "pre":
            self.flush(kind)
            self._add("code", _INVISIBLE.sub("", "".join(element.itertext())).strip("\n").rstrip())
        elif tag == "table" and (rows := _rows(element)):
            self.flush(kind)
            self._add("table", "\n".join(rows))
        elif tag == "br":
            self._parts.append(_BREAK)
        elif tag in _BLOCKS:
            self.flush(kind)
            inner: BlockKind = "item" if tag in _ITEMS else kind
            self._children(element, inner, inside=inside or tag in ("main", "article"))
            self.flush(inner)
        else:
            self._children(element, kind, inside=inside)

    def flush(self, kind: BlockKind) -> None:
        """End the running block."""
        text = _WRAPPED.sub("", _INVISIBLE.sub("", "".join(self._parts)))
        self._parts = []
        for piece in re.split(rf"(?:{_BREAK}\s*){{2,}}", _SPACE.sub(" ", text)):
            self._add(kind, _BREAKS.sub("\n", piece).strip())

    def _children(self, element: HtmlElement, kind: BlockKind, *, inside: bool) -> None:
        if element.text:
            self._parts.append(element.text)
        for child in element:
            self.walk(child, kind, inside=inside)
            if child.tail:
                self._parts.append(child.tail)

    def _heading(self, element: HtmlElement, level: int) -> None:
        inner = next((each.get("id") or each.get("name") for each in element.iter("a", "span") if _named(each)), "")
        text = clean("".join(_visible(element))).removesuffix("¶").removesuffix("#").strip()
        if text:
            self._add("heading", text, level, element.get("id") or inner or self._anchor)

    def _add(self, kind: BlockKind, text: str, level: int = 0, anchor: str = "") -> None:
        if not text:
            return
        if len(self.blocks) >= self._max:
            raise ExtractFailed("too_large")
        self.blocks.append(Block(kind, text, level, clean(anchor)[:200]))
        self._anchor = ""


def _named(element: HtmlElement) -> bool:
    return bool(element.get("id") or element.get("name"))


def _is_furniture(element: HtmlElement, *, inside: bool) -> bool:
    tag = element.tag
    if tag in _DROPPED or (tag == "header" and not inside):
        return True
    if element.get("hidden") is not None or element.get("aria-hidden") == "true" or element.get("role") in _ROLES:
        return True
    if _HIDDEN.search(element.get("style", "")):
        return True
    names = f"{element.get('class', '')} {element.get('id', '')}".lower().split()
    return tag not in ("html", "body", "main", "article") and any(name in _FURNITURE for name in names)


def _visible(element: HtmlElement) -> Iterator[str]:
    """The text of an element without what is hidden or no text in it."""
    if not isinstance(element.tag, str) or element.tag in _DROPPED or element.get("aria-hidden") == "true":
        return
    if element.tag == "br":
        yield "\n"
    yield element.text or ""
    for child in element:
        yield from _visible(child)
        yield child.tail or ""


def _rows(table: HtmlElement) -> list[str]:
    """A data table's rows; none if it only lays out a page (tables or headings in it, or a single column)."""
    if table.find(".//table") is not None or any(True for _ in table.iter(*_HEADINGS)):
        return []
    rows = []
    for row in table.iter("tr"):
        cells = [_CELL.sub(" ", clean("".join(_visible(cell)))).strip() for cell in row if cell.tag in ("td", "th")]
        if any(cells):
            rows.append(cells)
    if max((len(row) for row in rows), default=0) < 2:
        return []
    return [" | ".join(row) for row in rows]
