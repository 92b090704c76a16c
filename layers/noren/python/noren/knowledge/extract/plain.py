"""Plain text, Markdown and CSV, in whatever charset."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence

from noren.knowledge.extract.blocks import clean
from noren.knowledge.extract.charsets import decode
from noren.knowledge.extract.errors import ExtractFailed
from noren.knowledge.extract.languages import language_of
from noren.knowledge.text import Block, BlockKind, Extracted

MAX_BYTES = 10_000_000
MAX_ROWS = 50_000
MAX_COLUMNS = 200
ROWS_A_BLOCK = 20
"""A CSV file becomes tables of so many rows, each with the head: a row without it says nothing."""
_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(.*)")
_CLOSING = re.compile(r"[ \t]+#+[ \t]*$")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_ITEM = re.compile(r"\s{0,12}(?:[-*+]|\d{1,9}[.)])[ \t]+(.*)")
_RULE = re.compile(r"\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*")
_LINK = re.compile(r"!?\[([^\[\]]{0,500})\]\([^()\s]{0,2000}(?:[ \t]+\"[^\"]{0,200}\")?\)")
_MARKS = re.compile(r"(\*{1,3}|__|~~|`)(?=\S)([^*_~`\n]{1,500})(?<=\S)\1")
_FRONT = re.compile(r"---[ \t]*\n(.{0,5000}?)\n---[ \t]*(?:\n|$)", re.DOTALL)
_FRONT_TITLE = re.compile(r"^title:[ \t]*[\"']?(.*?)[\"']?[ \t]*$", re.MULTILINE)


def read_text(body: bytes, *, name: str = "", content_type: str = "", max_bytes: int = MAX_BYTES) -> Extracted:
    """Plain text: paragraphs between empty lines. `name` is its title. Raises ExtractFailed."""
    lines = _text(body, content_type, max_bytes).split("\n")
    return _extracted(name, [Block("paragraph", text) for text in _paragraphs(lines)])


def read_markdown(body: bytes, *, name: str = "", content_type: str = "", max_bytes: int = MAX_BYTES) -> Extracted:
    """Markdown: headings, paragraphs, items, tables, code. Its title is the front matter's, the first heading, or
    `name`. Raises ExtractFailed.
    """
    text = _text(body, content_type, max_bytes)
    title = ""
    if front := _FRONT.match(text):
        text = text[front.end() :]
        if found := _FRONT_TITLE.search(front[1]):
            title = clean(found[1])
    blocks = list(_markdown(text.split("\n")))
    return _extracted(title or next((block.text for block in blocks if block.level), name), blocks)


def read_csv(
    body: bytes, *, name: str = "", content_type: str = "", max_bytes: int = MAX_BYTES, max_rows: int = MAX_ROWS
) -> Extracted:
    """A table, whose first row is its head. Raises ExtractFailed."""
    text = _text(body, content_type, max_bytes)
    delimiter = max(",;\t|", key=lambda each: min((line.count(each) for line in _opening(text)), default=0))
    rows: list[list[str]] = []
    try:
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
            if len(rows) > max_rows or len(row) > MAX_COLUMNS:
                raise ExtractFailed("too_large")
            if any(cell.strip() for cell in row):
                rows.append([clean(cell.replace("|", "/")) for cell in row])
    except csv.Error:
        raise ExtractFailed("broken") from None
    return _extracted(name, list(_tables(rows)))


def _opening(text: str) -> list[str]:
    return [line for line in text[:10_000].split("\n")[:5] if line.strip()]


def _tables(rows: Sequence[Sequence[str]]) -> Iterator[Block]:
    if len(rows) == 1:
        yield Block("table", " | ".join(rows[0]))
    for start in range(1, len(rows), ROWS_A_BLOCK):
        part = (rows[0], *rows[start : start + ROWS_A_BLOCK])
        yield Block("table", "\n".join(" | ".join(row) for row in part))


def _text(body: bytes, content_type: str, max_bytes: int) -> str:
    if len(body) > max_bytes:
        raise ExtractFailed("too_large")
    if b"\0" in body[:1_000] and not body.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ExtractFailed("unsupported")
    return decode(body, content_type=content_type).text.replace("\r\n", "\n").replace("\r", "\n")


def _extracted(title: str, blocks: Sequence[Block]) -> Extracted:
    if not blocks:
        raise ExtractFailed("empty")
    return Extracted(title[:300], language_of(" ".join(block.text for block in blocks[:200])), tuple(blocks))


def _paragraphs(lines: Sequence[str]) -> Iterator[str]:
    running: list[str] = []
    for line in (*lines, ""):
        if line.strip():
            running.append(line)
            continue
        if text := clean("\n".join(running)):
            yield text
        running = []


def _markdown(lines: Sequence[str]) -> Iterator[Block]:
    running: list[str] = []
    fence = ""
    code: list[str] = []
    for line in lines:
        if fence:
            if line.strip().startswith(fence) and not line.strip().strip(fence[0]):
                yield from _code(code)
                fence, code = "", []
            else:
                code.append(line)
            continue
        opening, heading, underline = _FENCE.match(line), _HEADING.fullmatch(line), _UNDERLINE.fullmatch(line)
        if opening:
            yield from _prose(running)
            running, fence = [], opening[1]
        elif heading:
            yield from _prose(running)
            running = []
            yield from _one("heading", _CLOSING.sub("", heading[2]), len(heading[1]))
        elif underline and running and not _ITEM.match(running[-1]) and "|" not in running[-1]:
            yield from _prose(running[:-1])
            yield from _one("heading", running[-1], 1 if underline[1][0] == "=" else 2)
            running = []
        elif line.strip():
            running.append(line)
        else:
            yield from _prose(running)
            running = []
    yield from _prose(running)
    yield from _code(code)


def _code(lines: Sequence[str]) -> Iterator[Block]:
    text = "\n".join(lines).strip("\n")
    if text.strip():
        yield Block("code", text)


def _prose(lines: Sequence[str]) -> Iterator[Block]:
    """Lines without an empty one between them: a table, or paragraphs and items."""
    if len(lines) > 1 and "|" in lines[0] and _RULE.fullmatch(lines[1].strip()):
        rows = [" | ".join(_plain(cell) for cell in line.strip().strip("|").split("|")) for line in lines]
        yield Block("table", "\n".join([rows[0], *rows[2:]]))
        return
    kind: BlockKind = "paragraph"
    running: list[str] = []
    for line in lines:
        if item := _ITEM.fullmatch(line):
            yield from _one(kind, "\n".join(running))
            kind, running = "item", [item[1]]
        else:
            running.append(line.strip().lstrip(">").strip())
    yield from _one(kind, "\n".join(running))


def _one(kind: BlockKind, text: str, level: int = 0) -> Iterator[Block]:
    if plain := _plain(text):
        yield Block(kind, plain, level)


def _plain(text: str) -> str:
    return clean(_MARKS.sub(r"\2", _LINK.sub(r"\1", text)))
