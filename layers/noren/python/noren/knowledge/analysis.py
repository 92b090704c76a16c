"""What a text is looked up by: terms that know how Japanese, Korean and English are written.

Japanese has no spaces: every two neighbouring characters are a term, and so is each kanji and each unbroken run of
kanji or of katakana (mostly a word). Korean glues particles to the ends of words: every two neighbouring syllables
are a term, the first one marked as a word's beginning, so that an ending can only match less. Everything else is cut
into words; English ones are stemmed. What only holds a sentence together (the, です, 습니다) is left out. Passages and
questions go through the same function.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

ANALYSIS_VERSION = 2
"""Raised by every change here that gives other terms: an index is only read by the analysis that it was built with."""

_KANJI = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff々〆"
_KATAKANA = "\u30a1-\u30fc"
_JAPANESE = f"{_KANJI}{_KATAKANA}\u3041-\u309f"
_HANGUL = "\u1100-\u11ff\u3131-\u318e\uac00-\ud7a3"
_LETTER = rf"[^\W_{_JAPANESE}{_HANGUL}]"
_RUN = re.compile(rf"(?P<korean>[{_HANGUL}]+)|(?P<japanese>[{_JAPANESE}]+)|(?P<word>{_LETTER}+(?:[-._'’,]{_LETTER}+)*)")
_IS_KANJI = re.compile(rf"[{_KANJI}]")
_SAME_SCRIPT = re.compile(rf"[{_KANJI}]{{2,}}|[{_KATAKANA}]{{2,}}")
_JOINT = re.compile(r"[-._'’,]")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3})")
_NUMBER = re.compile(r"\d+\Z")

_STOP_WORDS = frozenset(
    "a am an and any are as at be been being but by can could did do does for from had has have he her his how i if in"
    " is it its my of on or our she should so that the their them there they this to was we were what when where which"
    " who why with would you your".split()
)
_STOP_PAIRS = frozenset(
    # Japanese: endings of verbs, copulas, particles and question words, all in hiragana
    "した すか たか です って てい され れた して まし でし いた"
    " する いる ます だっ いま なっ によ とし られ より りま だろ"
    " ない ある あり あっ でき てお なり なる いう とい こと もの"
    " ため よう のは のか のが のこ るの るか たの なの には では"
    " とは から まで など どこ どの どち ちら どれ なに なん いつ"
    " だれ なぜ どう この その これ それ ここ そこ しょ ょう くだ"
    " ださ さい ませ せん かっ れて れる まれ きま しま つい いて るこ たこ であ"
    # Korean: the same
    " 니다 습니 합니 입니 됩니 니까 까요 나요 가요 인가 있나 하는"
    " 하고 하면 하여 해서 에서 으로 에는 있는 있습 것은 것을"
    " 것이 어떻 떻게 무엇 엇인 어디 되나 려면 하려 하기 지만 십시 시오 이란 는지 세요".split()
)
_ENDINGS = ("ing", "ed", "ly", "er", "ion", "al", "e")


class Terms(NamedTuple):
    """A text as the index sees it."""

    symbols: list[str]
    """In reading order, what nearness is measured on: characters of Japanese, syllables of Korean, words of others."""
    keys: list[str]
    """What the text is found by, with repetitions."""


def terms(text: str) -> Terms:
    """The terms of a passage or a question. Linear in its length."""
    symbols: list[str] = []
    keys: list[str] = []
    number, number_end = "", -1
    for match in _RUN.finditer(unicodedata.normalize("NFKC", text).lower()):
        run = match.group()
        if match.lastgroup == "word":
            _add_word(run, symbols, keys)
            digits = _NUMBER.search(run)
            number, number_end = (digits.group() if digits else ""), match.end()
            continue
        if number and match.start() == number_end:  # 8世紀, 3층: the figure belongs to what it counts
            keys.append(number + run[0])
        if match.lastgroup == "korean":
            run = "^" + run
            keys += _pairs(run)
        else:
            keys += _pairs(run)
            keys += _IS_KANJI.findall(run)
            keys += ["#" + same for same in _SAME_SCRIPT.findall(run)]
            if len(run) == 1 and run not in keys[-1:]:
                keys.append(run)
        symbols += run
    return Terms(symbols, keys)


def _pairs(run: str) -> list[str]:
    return [pair for place in range(len(run) - 1) if (pair := run[place : place + 2]) not in _STOP_PAIRS]


def _add_word(run: str, symbols: list[str], keys: list[str]) -> None:
    """`wi-fi` is found as `wi fi` and as `wifi`, `3,500` as `3500`."""
    parts = [part for part in _JOINT.split(_THOUSANDS.sub("", run).removesuffix("'s").removesuffix("’s")) if part]
    if len(parts) > 1:
        keys.append(".".join(parts) if all(part.isdigit() for part in parts) else stem("".join(parts)))
    words = [stem(part) for part in parts if part not in _STOP_WORDS]
    symbols += words
    keys += words


@lru_cache(maxsize=50_000)
def stem(word: str) -> str:
    """A word without its English inflection and its accents: not a word of the language, only a key.

    It strips at most a plural, one ending and a doubled last letter, and leaves short stems alone; on the sets of
    `docs/retrieval.md` that finds as much as a full Porter stemmer.
    """
    if not word.isascii():
        return "".join(c for c in unicodedata.normalize("NFKD", word) if not unicodedata.combining(c))
    if len(word) > 4 and word.endswith("ies"):
        word = word[:-3] + "y"
    elif len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            word = word.removesuffix(ending)
            break
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "aeious0123456789" else word
