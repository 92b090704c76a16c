"""Texts as they lie in the bucket, and texts that were not read from a page or file but written for us."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from noren.knowledge.text import Block, Extracted


def packed(text: Extracted) -> bytes:
    """A text as it is stored."""
    return json.dumps(asdict(text), ensure_ascii=False, separators=(",", ":")).encode()


def unpacked(data: bytes) -> Extracted:
    """The reverse of `packed`."""
    given: dict[str, Any] = json.loads(data)
    blocks = tuple(Block(**each) for each in given.pop("blocks"))
    return Extracted(**given, blocks=blocks)


def written(title: str, text: str, language: str) -> Extracted:
    """What somebody has written for us: paragraphs with blank lines between them."""
    paragraphs = (" ".join(each.split()) for each in text.replace("\r\n", "\n").split("\n\n"))
    return Extracted(title, language, tuple(Block("paragraph", each) for each in paragraphs if each))


def asked(question: str, answer: str, language: str) -> Extracted:
    """A question with its answer."""
    paragraphs = written("", answer, "").blocks
    return Extracted(question, language, (Block("heading", question, level=1), *paragraphs))
