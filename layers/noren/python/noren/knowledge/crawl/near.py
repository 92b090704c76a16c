"""Pages that say the same: a 64-bit SimHash of a page's text, near if few bits differ.

The text is cut into overlapping runs of characters (no words needed, so Japanese and Korean count like English), each
run is hashed, and each bit of the fingerprint is what most runs have there. Two pages are near duplicates if at most
MAX_DISTANCE bits differ and their titles are the same: the same page under another address, printed, or with another
date on it. Pages of two products that share all but a name differ in their titles and both stay.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Hashable
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise

from noren.knowledge.text import Extracted

MAX_DISTANCE = 5
"""Bits of 64. Of generated texts with another date on them, four in five are within it; of those of which a fifth is
another text, at most one in ten (with 3 it would be half, and none)."""
RUN = 6
MIN_CHARACTERS = 100
"""Shorter texts have too few runs to be judged; they are near only when they are the same."""
MAX_CHARACTERS = 60_000
_EDGES = [64 * place // (MAX_DISTANCE + 1) for place in range(MAX_DISTANCE + 2)]


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a page's text looks like."""

    bits: int
    title: str
    is_short: bool = False

    def is_near(self, other: Fingerprint) -> bool:
        """Whether the two pages say the same."""
        if self.title != other.title:
            return False
        most = 0 if self.is_short or other.is_short else MAX_DISTANCE
        return (self.bits ^ other.bits).bit_count() <= most

    @property
    def stored(self) -> str:
        """In a few characters; the title is kept elsewhere."""
        return f"{self.bits:016x}{'s' if self.is_short else ''}"

    @classmethod
    def restored(cls, stored: str, title: str) -> Fingerprint:
        """The reverse of `stored`, given the page's title."""
        return cls(int(stored[:16], 16), _plain(title), stored.endswith("s"))

    @property
    def bands(self) -> tuple[int, ...]:
        """The bits in six pieces; near ones share at least one, at the same place."""
        return tuple(self.bits >> low & (1 << high - low) - 1 for low, high in pairwise(_EDGES))


def fingerprint(extracted: Extracted) -> Fingerprint:
    """The fingerprint of a page."""
    text = _plain(" ".join(block.text for block in extracted.blocks))[:MAX_CHARACTERS]
    runs = {text[place : place + RUN] for place in range(max(len(text) - RUN + 1, 1))}
    columns = "".join(f"{int.from_bytes(blake2b(run.encode(), digest_size=8).digest()):064b}" for run in runs)
    half = len(runs) / 2
    bits = "".join("1" if columns[place::64].count("1") > half else "0" for place in range(64))
    return Fingerprint(int(bits, 2), _plain(extracted.title), len(text) < MIN_CHARACTERS)


class Near:
    """Finds, among the pages shown to it, one that a new page is a near duplicate of."""

    def __init__(self) -> None:
        self._bands: dict[tuple[int, int], list[tuple[Fingerprint, Hashable]]] = {}

    def add(self, key: Hashable, of: Fingerprint) -> Hashable | None:
        """The key of the first page that this one is near to; else None, and it is remembered."""
        for place, band in enumerate(of.bands):
            for other, name in self._bands.get((place, band), ()):
                if of.is_near(other):
                    return name
        for place, band in enumerate(of.bands):
            self._bands.setdefault((place, band), []).append((of, key))
        return None


def _plain(text: str) -> str:
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", text).lower())
