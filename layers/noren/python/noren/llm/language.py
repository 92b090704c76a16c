"""Which of our three languages a text is in."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

Language = Literal["ja", "ko", "en"]

_HANGUL = re.compile(r"[\uac00-\ud7a3]")
_HIRAGANA = re.compile(r"[\u3041-\u309f]")
_KATAKANA = re.compile(r"[\u30a1-\u30ff]")
_KANJI = re.compile(r"[\u3400-\u9fff]")
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f]")

_PER_SIGN = 2
"""A Japanese or Korean character says about as much as this many Latin letters."""
_PER_HIRAGANA = 3
"""Names and loans are seldom written so, but what joins them into a sentence is."""


class _Letters(NamedTuple):
    hangul: int
    hiragana: int
    katakana: int
    kanji: int
    latin: int


def language(text: str) -> Language:
    """By script: of those that are mixed, the one that says most of the text; `en` for all that is none of ours.

    Kanji alone are Japanese, though they may be Chinese: `named` tells.
    """
    has = _letters(text)
    japanese = _PER_HIRAGANA * has.hiragana + _PER_SIGN * (has.katakana + has.kanji)
    korean = _PER_SIGN * has.hangul
    if max(japanese, korean, 1) < has.latin:
        return "en"
    kana = has.hiragana + has.katakana
    if has.hangul > kana:
        return "ko"
    return "ja" if japanese else "en"


def named(text: str) -> Language | None:
    """The text's language where its script leaves no doubt: nobody who asks in another is answered in it."""
    has = _letters(text)
    own = has.hangul + has.hiragana + has.katakana
    found = language(text)
    return found if found != "en" and own and own + has.kanji >= has.latin else None


def _letters(text: str) -> _Letters:
    return _Letters(*(len(each.findall(text)) for each in (_HANGUL, _HIRAGANA, _KATAKANA, _KANJI, _LATIN)))
