"""Cutting a page into chunks: along its structure, between sentences, within a number of tokens."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from noren.knowledge.models import Document
from noren.knowledge.text import Extracted
from noren.llm import tokens

MAX_TOKENS = 400
"""Of a chunk's text with its heading path: what is embedded and what a prompt is charged for."""
OVERLAP_TOKENS = 60
"""At most so much of a chunk's end is said again at the beginning of the next one."""
_HEADING_SHARE = 4
"""Headings may take one part in so many of a chunk; longer paths lose their outer levels."""

_CLOSING = "」』）】〉》〕”’\"')\\]"
_SENTENCE_END = re.compile(
    rf"[。｡！？]+[{_CLOSING}]*"  # Japanese needs no space
    r"|(?:(?<![A-Z])(?<!\b[A-Z][a-z])(?<!\b[A-Z][a-z][a-z])(?<!\be\.g)(?<!\bi\.e)(?<!\bvs)(?<!\betc)\.+|[!?…]+)"
    rf"[{_CLOSING}]*(?=\s|\Z)"
    r"|\n+"
)
_CLAUSE_END = re.compile(r"[、，,;；:：]\s*|\s+")
_GOES_ON = re.compile(rf"[{_CLOSING}][とっがをはにのでもや、]")
"""「はい。」と言う: what was quoted has ended, the sentence has not."""
_BRACKETS = {"「": 1, "『": 1, "（": 1, "(": 1, "【": 1, "」": -1, "』": -1, "）": -1, ")": -1, "】": -1}
_STRETCH = 100
"""Characters: what has no boundary at all is cut at every so many. They cost less than any chunk's room."""


@dataclass(frozen=True, slots=True)
class Section:
    """A stretch of a page under one heading."""

    headings: tuple[str, ...]
    """From the page's own heading down to this section's."""
    text: str
    anchor: str = ""
    """The fragment that leads to it, without `#`."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """What is found, embedded and quoted as one."""

    headings: tuple[str, ...]
    text: str
    anchor: str
    position: int
    """Its place within the document, from 0."""
    tokens: int
    """Estimated, of `embedded`."""

    @property
    def embedded(self) -> str:
        """The text that stands for the chunk before a model: its heading path, then itself."""
        return "\n".join((*([" > ".join(self.headings)] if self.headings else []), self.text))

    @property
    def content_hash(self) -> str:
        """Equal for chunks that say the same under the same headings, wherever they stand (32 hex digits)."""
        return hashlib.blake2b(self.embedded.encode(errors="replace"), digest_size=16).hexdigest()


Cut = tuple[Document, Sequence[Chunk]]
"""A document with its chunks."""


def chunks(sections: Iterable[Section]) -> list[Chunk]:
    """The chunks of a document, in order. A sentence is cut only if it is longer than a whole chunk."""
    made: list[Chunk] = []
    for section in sections:
        headings = _shortened(section.headings)
        room = MAX_TOKENS - tokens.estimate(" > ".join(headings))
        for text in filter(None, _pieces(section.text, room)):
            chunk = Chunk(headings, text, section.anchor, len(made), 0)
            made.append(Chunk(headings, text, section.anchor, len(made), tokens.estimate(chunk.embedded)))
    return made


def cut(text: Extracted) -> list[Chunk]:
    """The chunks of a text as it was read. One without any has none."""
    return chunks(_sections(text))


def measure(text: Extracted) -> tuple[int, int]:
    """How many chunks and tokens a text comes to."""
    made = cut(text)
    return len(made), sum(each.tokens for each in made)


def _sections(text: Extracted) -> Iterator[Section]:
    """The text under each heading, with the path of headings that leads there. One under which nothing stands, neither
    text nor a heading of its own, is text itself: opening hours are often written so.
    """
    path: list[tuple[int, str]] = []
    anchor, said = "", list[str]()

    def section() -> Iterator[Section]:
        if said:
            yield Section(tuple(each for _, each in path), "\n".join(said), anchor)
        elif path:
            yield Section(tuple(each for _, each in path[:-1]), path[-1][1], anchor)

    for block in text.blocks:
        if block.kind != "heading":
            said.append(block.text)
            continue
        if said or (path and block.level <= path[-1][0]):
            yield from section()
        path = [each for each in path if each[0] < block.level] + [(block.level, block.text)]
        anchor, said = block.anchor, []
    yield from section()


def sentences(text: str) -> Iterator[str]:
    """The sentences and lines of a text; joined they are the text again. A quotation belongs to what quotes it."""
    start = seen = depth = 0
    for match in _SENTENCE_END.finditer(text):
        depth = max(0, depth + sum(_BRACKETS.get(character, 0) for character in text[seen : match.end()]))
        seen = match.end()
        if match.group()[0] == "\n":
            depth = 0
        if depth == 0 and text[start:seen].strip() and not _GOES_ON.match(text, seen - 1):
            yield text[start:seen]
            start = seen
    if start < len(text):
        yield text[start:]


def _ends_within(text: str) -> Iterator[str]:
    return _split(text, _SENTENCE_END)


def _clauses(text: str) -> Iterator[str]:
    return _split(text, _CLAUSE_END)


def _split(text: str, end: re.Pattern[str]) -> Iterator[str]:
    start = 0
    for match in end.finditer(text):
        yield text[start : match.end()]
        start = match.end()
    if start < len(text):
        yield text[start:]


def _stretches(text: str) -> Iterator[str]:
    """`text` cut where it need not have an end; short enough for any room."""
    return (text[start : start + _STRETCH] for start in range(0, len(text), _STRETCH))


_WAYS = (sentences, _ends_within, _clauses, _stretches)
"""How a text is cut, the mildest first."""


def _units(text: str, room: int, way: int = 0) -> Iterator[tuple[str, int]]:
    """What is never cut, with its tokens: sentences; of one longer than `room` what it consists of."""
    for part in _WAYS[way](text):
        cost = tokens.estimate(part)
        if cost <= room or way == len(_WAYS) - 1:
            yield part, cost
        else:
            yield from _units(part, room, way + 1)


def _pieces(text: str, room: int) -> Iterator[str]:
    """Runs of sentences of at most `room` tokens, each beginning with the end of the one before."""
    run: list[tuple[str, int]] = []
    size = 0
    for unit, cost in _units(text, room):
        if run and size + cost > room:
            yield "".join(part for part, _ in run).strip()
            run = _tail(run, min(OVERLAP_TOKENS, room - cost))
            size = sum(tokens for _, tokens in run)
        run.append((unit, cost))
        size += cost
    yield "".join(part for part, _ in run).strip()


def _tail(run: list[tuple[str, int]], room: int) -> list[tuple[str, int]]:
    """The last sentences that fit into `room` tokens: fewer than all, since the run left no room for the next one."""
    kept: list[tuple[str, int]] = []
    for unit, cost in reversed(run):
        room -= cost
        if room < 0:
            break
        kept.insert(0, (unit, cost))
    return kept


def _shortened(headings: tuple[str, ...]) -> tuple[str, ...]:
    """The heading path without outer levels that would leave too little room for the text."""
    most = MAX_TOKENS // _HEADING_SHARE
    while len(headings) > 1 and tokens.estimate(" > ".join(headings)) > most:
        headings = headings[1:]
    return tuple(tokens.cut(heading, most) for heading in headings)
