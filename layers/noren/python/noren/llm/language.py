"""Which of our three languages a text is in."""

from __future__ import annotations

import re
from typing import Literal

Language = Literal["ja", "ko", "en"]

_HANGUL = re.compile(r"[\uac00-\ud7a3]")
_KANA = re.compile(r"[\u3041-\u30ff]")
_KANJI = re.compile(r"[\u3400-\u9fff]")


def language(text: str) -> Language:
    """By script: of two that are mixed, the one that more of the text is in; `en` for all that is neither."""
    korean, kana = len(_HANGUL.findall(text)), len(_KANA.findall(text))
    if korean > kana:
        return "ko"
    return "ja" if kana or _KANJI.search(text) else "en"
