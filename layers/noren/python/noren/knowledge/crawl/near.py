"""Pages that say the same: a 64-bit SimHash of a page's text, near if few bits differ.

The text is cut into overlapping runs of characters (no words needed, so Japanese and Korean count like English), each
run is hashed, and each bit of the fingerprint is what most runs have there. Two pages are near duplicates if at most
MAX_DISTANCE bits differ and their marks are the same: the same page under another address, printed, or with another
date on it. The marks are the title, the first heading, and what a question may be about: prices, telephone numbers,
addresses. So the pages of two branches or of two products, which share all but those, both stay.
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


_FIGURES = re.compile(
    r"[¥$€£₩] ?\d[\d,.]{0,12}"
    r"|(?<![\d,.])\d[\d,.]{0,12} ?(?:円|万|원|元|yen|won|usd|dollars?|euros?|eur|pounds?|jpy|krw)"
    r"|(?<![\d-])(?!\d{1,2}[-. ]\d{1,2}[-. ](?:19|20)\d\d)"
    r"(?:(?:\+\d{1,3}[-. ]?)?\(?0\d{1,4}\)?[-. ]?\d{1,4}[-. ]\d{3,4}|\+\d{8,14}|\(?\d{3}\)?[-. ]\d{3}[-. ]\d{4}"
    r"|1[5-8]\d\d-\d{4}|\d{3}-\d{4})(?![\d-])"
    r"|(?<![\d-])\d{1,3}-\d{1,3}-\d{1,3}(?![\d-])|[\d〇一二三四五六七八九十]{1,4}(?:丁目|番|号)"
    r"|[가-힣]{1,9}(?:로|길) ?\d{1,4}"
    r"|(?<!\d)\d{1,5} (?:\w{1,20} ){1,3}(?:street|st|road|rd|avenue|ave|lane|drive|boulevard)\b",
    re.IGNORECASE,
)
"""Prices, telephone numbers, postal codes, addresses; no dates and no counters."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a page's text looks like."""

    bits: int
    title: str
    is_short: bool = False
    mark: str = ""
    """Of what else tells it from others that say nearly the same."""

    def is_near(self, other: Fingerprint) -> bool:
        """Whether the two pages say the same."""
        if (self.title, self.mark) != (other.title, other.mark):
            return False
        most = 0 if self.is_short or other.is_short else MAX_DISTANCE
        return (self.bits ^ other.bits).bit_count() <= most

    @property
    def stored(self) -> str:
        """In a few characters; the title is kept elsewhere."""
        return f"{self.bits:016x}{'s' if self.is_short else '-'}{self.mark}"

    @classmethod
    def restored(cls, stored: str, title: str) -> Fingerprint:
        """The reverse of `stored`, given the page's title."""
        return cls(int(stored[:16], 16), _plain(title), stored[16:17] == "s", stored[17:])

    @property
    def bands(self) -> tuple[int, ...]:
        """The bits in six pieces; near ones share at least one, at the same place."""
        return tuple(self.bits >> low & (1 << high - low) - 1 for low, high in pairwise(_EDGES))


def fingerprint(extracted: Extracted) -> Fingerprint:
    """The fingerprint of a page."""
    said = " ".join(block.text for block in extracted.blocks)
    text = _plain(said)[:MAX_CHARACTERS]
    runs = {text[place : place + RUN] for place in range(max(len(text) - RUN + 1, 1))}
    columns = "".join(f"{int.from_bytes(blake2b(run.encode(), digest_size=8).digest()):064b}" for run in runs)
    half = len(runs) / 2
    bits = "".join("1" if columns[place::64].count("1") > half else "0" for place in range(64))
    return Fingerprint(int(bits, 2), _plain(extracted.title), len(text) < MIN_CHARACTERS, _mark(extracted, said))


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


def _mark(extracted: Extracted, said: str) -> str:
    headings = [block for block in extracted.blocks if block.level]
    first = next((block for block in headings if block.level == 1), headings[0] if headings else None)
    figures = {_plain(each[0]) for each in _FIGURES.finditer(unicodedata.normalize("NFKC", said[:MAX_CHARACTERS]))}
    marks = [_plain(first.text) if first else "", *sorted(figures)]
    return blake2b("\n".join(marks).encode(), digest_size=4).hexdigest()


def _plain(text: str) -> str:
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", text).lower())
