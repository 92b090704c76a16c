"""The text of a PDF, page by page: paragraphs by the gaps between lines, headings by the size of their letters.

A PDF has no structure that could be relied on: what is set clearly larger than most of the text, on a short line, is
taken for a heading. Each block's anchor is its page (`page=3`), which browsers open. PDFium runs in one thread only.
"""

from __future__ import annotations

import ctypes
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, pairwise

import pypdfium2
from pypdfium2 import raw

from noren.knowledge.extract.blocks import clean
from noren.knowledge.extract.errors import ExtractFailed
from noren.knowledge.extract.languages import language_of
from noren.knowledge.text import Block, BlockKind, Extracted

MAX_BYTES = 50_000_000
MAX_PAGES = 2_000
MAX_CHARACTERS = 4_000_000
MAX_SECONDS = 60.0
"""Checked between pages; a page is bounded by its characters."""
_LARGER = 1.15
_HEADING_LENGTH = 100
_GAP = 1.7
"""Lines further apart than this many letter heights belong to two paragraphs."""
_CJK = re.compile(r"[\u3000-\u30ff\u3400-\u9fff\uff00-\uffef]")
_HYPHENS = re.compile("[\x02\u00ad\ufffe]")


@dataclass(frozen=True, slots=True)
class _Line:
    text: str
    height: float
    top: float
    page: int


def read(
    body: bytes,
    *,
    name: str = "",
    max_bytes: int = MAX_BYTES,
    max_pages: int = MAX_PAGES,
    max_characters: int = MAX_CHARACTERS,
    max_seconds: float = MAX_SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> Extracted:
    """Read a PDF; `name` is its title if it has none. Raises ExtractFailed."""
    if len(body) > max_bytes:
        raise ExtractFailed("too_large")
    end = clock() + max_seconds
    document = _opened(body)
    try:
        if len(document) > max_pages:
            raise ExtractFailed("too_large")
        lines: list[_Line] = []
        left = max_characters
        for number in range(len(document)):
            if clock() > end:
                raise ExtractFailed("too_slow")
            found, count = _page(document, number, left)
            left -= count
            lines += found
        blocks = tuple(_blocks(lines))
        title = clean(document.get_metadata_dict().get("Title", ""))[:300]
    except (pypdfium2.PdfiumError, ValueError, UnicodeError):
        raise ExtractFailed("broken") from None
    finally:
        document.close()
    if not blocks:
        raise ExtractFailed("empty")
    largest = next((block.text for block in blocks if block.level == 1), "")
    text = " ".join(block.text for block in blocks[:200])
    return Extracted(title or largest or name, language_of(text), blocks)


def _opened(body: bytes) -> pypdfium2.PdfDocument:
    try:
        return pypdfium2.PdfDocument(body)
    except pypdfium2.PdfiumError as error:
        is_locked = getattr(error, "err_code", None) in (raw.FPDF_ERR_PASSWORD, raw.FPDF_ERR_SECURITY)
        raise ExtractFailed("encrypted" if is_locked else "broken") from None


def _page(document: pypdfium2.PdfDocument, number: int, left: int) -> tuple[list[_Line], int]:
    """A page's lines and how many characters it has. A page that can't be read is as good as empty."""
    try:
        page = document[number]
    except pypdfium2.PdfiumError:
        return [], 0
    try:
        text = page.get_textpage()
        count = text.count_chars()
        if count > left:
            raise ExtractFailed("too_large")
        return list(_lines(text, count, number + 1)), count
    finally:
        page.close()


def _lines(text: pypdfium2.PdfTextPage, count: int, page: int) -> Iterator[_Line]:
    letters: list[str] = []
    first = -1
    for place in chain(range(count), (-1,)):
        code = raw.FPDFText_GetUnicode(text, place) if place >= 0 else 10
        letter = chr(code) if code < 0x110000 and not 0xD800 <= code < 0xE000 else " "
        if letter not in "\r\n":
            if first < 0 and not letter.isspace():
                first = place
            letters.append(letter)
        elif first >= 0:
            box = raw.FS_RECTF()
            raw.FPDFText_GetLooseCharBox(text, first, ctypes.byref(box))
            yield _Line("".join(letters).strip(), round(abs(box.top - box.bottom), 1), box.top, page)
            letters, first = [], -1


def _blocks(lines: list[_Line]) -> Iterator[Block]:
    if not lines:
        return
    sizes = Counter[float]()
    for line in lines:
        sizes[line.height] += len(line.text)
    usual = sizes.most_common(1)[0][0]
    large = sorted({line.height for line in lines if _is_heading(line, usual)}, reverse=True)[:6]
    levels = {height: level for level, height in enumerate(large, 1)}
    running = [lines[0]]
    for before, line in pairwise(lines):
        if _belongs(before, line, usual):
            running.append(line)
        else:
            yield from _block(running, usual, levels)
            running = [line]
    yield from _block(running, usual, levels)


def _is_heading(line: _Line, usual: float) -> bool:
    return usual > 0 and line.height > _LARGER * usual and len(line.text) <= _HEADING_LENGTH


def _belongs(before: _Line, line: _Line, usual: float) -> bool:
    """Whether a line goes on with the paragraph (or the heading) of the line before."""
    if before.page != line.page or _is_heading(before, usual) != _is_heading(line, usual):
        return False
    return 0 < before.top - line.top <= _GAP * max(before.height, line.height, 1.0)


def _block(lines: list[_Line], usual: float, levels: dict[float, int]) -> Iterator[Block]:
    text = lines[0].text
    for line in lines[1:]:
        if _HYPHENS.search(text[-1:]):
            text = text[:-1] + line.text
        else:
            is_cjk = _CJK.match(text[-1:]) and _CJK.match(line.text)
            text += line.text if is_cjk else " " + line.text
    text = clean(_HYPHENS.sub("", text))
    level = levels.get(lines[0].height, 6) if _is_heading(lines[0], usual) else 0
    kind: BlockKind = "heading" if level else "paragraph"
    if text:
        yield Block(kind, text, level, f"page={lines[0].page}")
