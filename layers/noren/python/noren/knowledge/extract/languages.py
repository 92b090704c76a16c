"""Which language a text is in: as declared, unless its characters say otherwise."""

from __future__ import annotations

import re

_DECLARED = re.compile(r"\s*([a-z]{2})(?:[-_].*)?\s*", re.IGNORECASE | re.DOTALL)
_MISTAKES = {"jp": "ja", "kr": "ko"}
_LETTER = re.compile(r"[^\W\d_]")
_KANA = re.compile(r"[\u3041-\u309f\u30a1-\u30fa]")
_HANGUL = re.compile(r"[\u1100-\u11ff\uac00-\ud7a3]")
_HAN = re.compile(r"[\u4e00-\u9fff]")
_LATIN = re.compile(r"[a-zA-Z]")
_WORD = re.compile(r"[a-z]+")
_ENGLISH = frozenset(
    "the a an of to and in is are for on with that this it you your be we our or as by at from".split()
)
_SAMPLE = 20_000
_FEW = 20


def language_of(text: str, declared: str = "") -> str:
    """ISO 639-1, or "" where it can't be told. Templates often declare `en` for whatever is written in them."""
    found = _DECLARED.fullmatch(declared)
    said = _MISTAKES.get(found[1].lower(), found[1].lower()) if found else ""
    seen = _by_characters(text[:_SAMPLE], said)
    return said if seen is None else seen


def _by_characters(text: str, said: str) -> str | None:
    """None: the text may well be in the language that is declared."""
    letters = len(_LETTER.findall(text))
    if letters < _FEW and said:
        return None
    kana, hangul, han = (len(pattern.findall(text)) for pattern in (_KANA, _HANGUL, _HAN))
    if max(kana, hangul) >= 0.1 * letters > 0:
        return "ja" if kana > hangul else "ko"
    if han >= 0.3 * letters > 0:
        return None if said in ("ja", "zh") else "zh"
    if said and said not in ("ja", "ko", "zh"):
        return None
    words = _WORD.findall(text.lower())
    if len(_LATIN.findall(text)) >= 0.9 * letters and sum(word in _ENGLISH for word in words) >= 0.1 * len(words) > 0:
        return "en"
    return ""
