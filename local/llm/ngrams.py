"""Stand-in vectors: character n-grams, hashed to signed places of a vector. Texts with words in common come out near.

What the server bills is a closed form of its own, a little off anybody's estimate, as a real vocabulary is.
"""

from __future__ import annotations

import math
import unicodedata
from array import array
from collections import Counter
from functools import lru_cache
from hashlib import blake2b

from noren.llm import tokens

SIZES = {"text-embedding-3-small": 1_536, "text-embedding-3-large": 3_072}
SIZE = 384
"""Of any other model's vectors."""
PLACES = 4
"""Places of a vector that one n-gram touches."""


def vector(text: str, dimensions: int) -> bytes:
    """The text's unit vector, `dimensions` float32 numbers; the same for the same text."""
    numbers = array("f", bytes(4 * dimensions))
    for gram, count in Counter(_grams(text)).items():
        weight = 1 + math.log(count)
        for place, sign in _places(gram):
            numbers[place % dimensions] += sign * weight
    length = math.sqrt(math.fsum(each * each for each in numbers)) or 1.0
    return array("f", (each / length for each in numbers)).tobytes()


def billed(text: str) -> int:
    """Tokens that the text costs here."""
    return max(1, tokens.estimate(text) + len(text) % 5 - 2)


def _grams(text: str) -> list[str]:
    plain = " ".join(unicodedata.normalize("NFKC", text).lower().split())
    padded = f" {plain} "
    return [padded[place : place + size] for size in (2, 3) for place in range(len(padded) - size + 1)]


@lru_cache(maxsize=100_000)
def _places(gram: str) -> tuple[tuple[int, int], ...]:
    digest = blake2b(gram.encode("utf-8", "replace"), digest_size=4 * PLACES).digest()
    numbers = (int.from_bytes(digest[at : at + 4]) for at in range(0, len(digest), 4))
    return tuple((number >> 1, 1 if number & 1 else -1) for number in numbers)
