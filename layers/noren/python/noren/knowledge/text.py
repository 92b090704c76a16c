"""The text of a page or file after extraction: what chunks are cut from, and what is kept of a document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

BlockKind = Literal["heading", "paragraph", "item", "table", "code"]


@dataclass(frozen=True, slots=True)
class Block:
    """One piece of a document, in reading order."""

    kind: BlockKind
    text: str
    """Plain text. A table is a line a row, its cells joined by ` | `; the first row is its head."""
    level: int = 0
    """Of a heading: 1 to 6."""
    anchor: str = ""
    """The fragment that leads there, without `#`; "" where there is none."""


@dataclass(frozen=True, slots=True)
class Extracted:
    """A document's main text without its page's furniture."""

    title: str
    language: str
    """`ja`, `ko`, `en`, another ISO 639-1 code, or "" where it can't be told."""
    blocks: tuple[Block, ...]
    published: str = ""
    """The day it was published, `2026-11-26`; "" where the page does not say."""
