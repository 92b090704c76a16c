"""OpenAI's answer to a request for vectors, read with the distrust that it deserves."""

from __future__ import annotations

import json
import math
import struct
import sys
from array import array
from base64 import b64decode
from collections.abc import Sequence
from typing import Any

from noren.llm import tokens
from noren.llm.models import Embedded, ProviderFault, TokenUsage

MOST_DIMENSIONS = 16_000


def read(body: bytes, texts: Sequence[str], dimensions: int | None, asked: str) -> Embedded:
    """The vectors of `texts` in `body`; their model is `asked` where it names none. Raises ProviderFault(garbage).

    Compatible servers may give numbers where base64 was asked for, and no counts; order is what `index` says.
    """
    try:
        document = json.loads(body)
        rows: dict[int, bytes] = {}
        for number, each in enumerate(document["data"]):
            rows[int(each.get("index", number))] = _floats(each["embedding"])
        if len(document["data"]) != len(texts) or rows.keys() != set(range(len(texts))):
            raise ValueError("not one vector a text")
        size = dimensions or len(rows[0]) // 4
        if not 1 <= size <= MOST_DIMENSIONS or any(len(row) != 4 * size for row in rows.values()):
            raise ValueError("not of one size")
        usage = document.get("usage") or {}
        billed = int(usage.get("prompt_tokens") or usage.get("total_tokens") or 0)
        model = str(document.get("model") or asked)[:200]
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, struct.error) as error:
        raise lost("garbage", f"unreadable vectors: {type(error).__name__}", texts) from error
    vectors = tuple(rows[number] for number in range(len(texts)))
    if billed <= 0:
        return Embedded(vectors, estimated(texts), model, estimated=True)
    return Embedded(vectors, min(billed, bound(texts)), model)


def lost(kind: Any, detail: str, texts: Sequence[str]) -> ProviderFault:
    """The fault of a call whose texts the upstream took (and bills), but whose vectors never came."""
    usage = TokenUsage(input=estimated(texts), estimated=True)
    return ProviderFault(kind, detail, produced=True, usage=usage)


def estimated(texts: Sequence[str]) -> int:
    """Tokens of the texts by our own count."""
    return sum(max(1, tokens.estimate(text)) for text in texts)


def bound(texts: Sequence[str]) -> int:
    """More tokens than the texts can have: no vocabulary makes more than one of a byte, and two mark a text's ends."""
    return sum(len(text.encode(errors="replace")) + 2 for text in texts)


def _floats(given: Any) -> bytes:
    """Numbers or their base64 as little-endian float32. Raises ValueError for what is no finite number."""
    if isinstance(given, str):
        packed = b64decode(given, validate=True)
        numbers = array("f")
        numbers.frombytes(packed)
        if sys.byteorder == "big":
            numbers.byteswap()
    elif isinstance(given, list):
        if not all(isinstance(each, float | int) and not isinstance(each, bool) for each in given):
            raise ValueError("not numbers")
        packed = struct.pack(f"<{len(given)}f", *given)
        numbers = array("f", given)
    else:
        raise ValueError("neither numbers nor base64")
    if not all(map(math.isfinite, numbers)):
        raise ValueError("not finite")
    return packed
