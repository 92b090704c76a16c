"""What a document's text is known by."""

from __future__ import annotations

import hashlib
import json

from noren.knowledge.text import Extracted


def content_hash(extracted: Extracted) -> str:
    """64 hex digits: the same exactly for the same title, language and blocks, however the page around them changes."""
    blocks = [(block.kind, block.text, block.level, block.anchor) for block in extracted.blocks]
    told = json.dumps([extracted.title, extracted.language, blocks], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()
