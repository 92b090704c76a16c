"""When two questions are the same one, whatever way they are typed in. The widget does the same in TypeScript.

`web/widget/canned-vectors.json` holds the rules as a table and the cases that both sides are tested by.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from itertools import pairwise

SHORTEST_ALIKE = 3
"""Characters of a normalised question below which it is like no other."""

_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
_SELECTORS = (range(0x180B, 0x1810), range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0))
"""Invisible too, though Unicode files them under letters and marks."""
_COMPOUND = (range(0x32C0, 0x32CC), range(0x3358, 0x3371), range(0x33E0, 0x33FF))
"""㋀, ㍘, ㏠ and their kin begin with digits once they are taken apart, as what is in category No does."""
_WAVES = frozenset("~∼−─")
"""Typed for ranges, as dashes (category Pd) are; the third is the minus sign."""
_KATAKANA = {code: code - 0x60 for code in (*range(0x30A1, 0x30F7), 0x30FD, 0x30FE)}
_THOUSANDS = re.compile(r"([0-9]),(?=[0-9]{3}(?![0-9]))")
_NUMBER = re.compile(r"[~.]?[\d〇一二三四五六七八九十百千万]+")


def normalized(text: str) -> str:
    """The question without what doesn't change it: width, case, kana, punctuation. Doing it twice changes nothing.

    What might change it stays: what stands between digits, signs with a meaning, ranges, long vowels.
    """
    while (plainer := _plainer(text)) != text:  # an accent that has come to its letter may make that one Latin
        text = plainer
    return text


def _plainer(text: str) -> str:
    plain = unicodedata.normalize("NFKC", "".join(map(_seen, text))).lower().translate(_KATAKANA)
    out: list[str] = []
    gap = ""
    for char in plain:
        if not _is_kept(char):
            gap += char
            continue
        if gap:
            out.append(_bridge(out[-1][-1:] if out else "", gap, char))
            gap = ""
        out.append(char)
    return unicodedata.normalize("NFKC", _THOUSANDS.sub(r"\1", "".join(out)))


def numbers(phrase: str) -> list[str]:
    """The numbers in a normalised question, also those in kanji."""
    return _NUMBER.findall(phrase)


def grams(phrase: str) -> list[tuple[str, int]]:
    """The pairs of neighbouring characters, each with the how-manieth of its kind it is; none where it is too short."""
    if len(phrase) < SHORTEST_ALIKE:
        return []
    seen: Counter[str] = Counter()
    found = []
    for pair in map("".join, pairwise(phrase)):
        found.append((pair, seen[pair]))
        seen[pair] += 1
    return found


def _seen(char: str) -> str:
    code, category = ord(char), unicodedata.category(char)
    if category in ("Cf", "Cs") or char in _INVISIBLE or any(code in each for each in _SELECTORS):
        return ""
    # ² and ½ must not run into the digits beside them
    return f" {char} " if category == "No" or any(code in each for each in _COMPOUND) else char


def _is_kept(char: str) -> bool:
    category = unicodedata.category(char)
    if category[0] in "LN" or category in ("Mn", "Mc", "Sc"):
        return True
    return char in "#%&@" or (category == "Sm" and char != "|" and char not in _WAVES)


def _bridge(before: str, gap: str, after: str) -> str:
    """What stays of the characters between two that are kept; `before` is "" at the beginning."""
    solid = "".join(char for char in gap if not _is_blank(char))
    if _is_digit(before) and _is_digit(after):
        return solid or " "
    if _is_digit(after) and solid and (solid[-1] == "." or _is_range(solid[-1])):
        return "." if solid[-1] == "." else "~"
    if not before:
        return ""
    if _is_latin(before) and _is_latin(after):
        return " " if len(solid) < len(gap) else ""
    is_joined = _is_digit(before) and _is_latin(after)  # 24-hour
    return "~" if not is_joined and any(map(_is_range, solid)) else ""


def _is_digit(char: str) -> bool:
    return char != "" and unicodedata.category(char) == "Nd"


def _is_latin(char: str) -> bool:
    return "a" <= char <= "z" or ("ß" <= char <= "\u024f" and char != "÷") or "\u1e00" <= char <= "\u1eff"


def _is_range(char: str) -> bool:
    return char in _WAVES or unicodedata.category(char) == "Pd"


def _is_blank(char: str) -> bool:
    category = unicodedata.category(char)
    return category[0] == "Z" or category == "Cc"
