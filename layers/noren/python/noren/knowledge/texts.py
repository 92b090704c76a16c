"""Texts as they lie in the bucket: what is put in can be read back, and its hash tells whether it has changed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any

from noren.knowledge.text import Block, Extracted

FORMAT = "1"
"""Part of every hash: raise it where texts of before must be made anew."""


def packed(text: Extracted) -> bytes:
    """A text as it is stored."""
    return json.dumps(asdict(text), ensure_ascii=False, separators=(",", ":")).encode()


def unpacked(data: bytes) -> Extracted:
    """The reverse of `packed`."""
    given: dict[str, Any] = json.loads(data)
    blocks = tuple(Block(**each) for each in given.pop("blocks"))
    return Extracted(**given, blocks=blocks)


def content_hash(text: Extracted) -> str:
    """Changes with whatever is stored."""
    return hashlib.sha256(FORMAT.encode() + packed(text)).hexdigest()[:32]


def written(title: str, text: str, language: str) -> Extracted:
    """What somebody has written for us: paragraphs with blank lines between them."""
    paragraphs = (" ".join(each.split()) for each in text.replace("\r\n", "\n").split("\n\n"))
    return Extracted(title, language, tuple(Block("paragraph", each) for each in paragraphs if each))


def asked(question: str, answer: str, language: str) -> Extracted:
    """A question with its answer."""
    paragraphs = written("", answer, "").blocks
    return Extracted(question, language, (Block("heading", question, level=1), *paragraphs))
