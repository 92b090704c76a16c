"""An honest extractive answerer: quotes what the prompt's own facts and passages say about the question, or says that
it found nothing. No model, no randomness.

Quotable is only what stands inside `<facts>…</facts>` and `<passage …>…</passage>` of system messages; all other text
there is instructions. A `<conversation>…</conversation>` in a system message or the last one asks for a summary of it.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

from noren.llm.models import Message
from noren.llm.tokens import estimate

Language = Literal["ja", "ko", "en"]

NOT_FOUND: dict[Language, str] = {
    "ja": "申し訳ありませんが、手元の情報の中に、ご質問への答えは見つかりませんでした。",
    "ko": "죄송합니다. 가지고 있는 정보에서 질문에 대한 답을 찾지 못했습니다.",
    "en": "I'm sorry, I could not find an answer to that in the information I have.",
}

_BLOCK = re.compile(r"<(facts|passage)\b[^>]*>(.*?)</\1>", re.DOTALL)
_CONVERSATION = re.compile(r"<conversation>(.*?)</conversation>", re.DOTALL)
_SENTENCE_END = re.compile(r"(?<=[。！？])\s*|(?<=[.!?])\s+|\n+")
_PIECE = re.compile(r"\s*(?:[A-Za-z0-9\u00c0-\u024f]+|[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]{1,2}|\S)|\s+\Z")
_CJK_RUN = re.compile(r"[\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff々]+")
_HANGUL_RUN = re.compile(r"[\uac00-\ud7a3]+")
_WORD = re.compile(r"[a-z0-9\u00df-\u024f]+")
_HIRAGANA = re.compile(r"[\u3041-\u309f]")
_KANJI = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")

_STOP_WORDS = frozenset(
    "a an and are as at be by can could do does did for from have has how i in is it its me my of on or our please so "
    "tell that the their there they this to was we what when where which who why will with would you your about any"
    " much many".split()
)
_CONCEPTS: tuple[tuple[str, ...], ...] = (
    (
        "営業時間",
        "何時",
        "開店",
        "閉店",
        "開い",
        "いつまで",
        "open",
        "hours",
        "close",
        "what time",
        "영업",
        "몇 시",
        "몇시",
    ),
    ("定休", "休み", "休業", "休日", "holiday", "closed", "휴무", "휴일", "쉬는"),
    ("料金", "値段", "価格", "いくら", "税込", "price", "cost", "how much", "fee", "가격", "얼마", "요금"),
    ("住所", "場所", "どこ", "所在地", "アクセス", "最寄", "address", "where", "location", "주소", "어디", "위치"),
    ("電話", "連絡先", "問い合わせ", "phone", "telephone", "contact", "전화", "연락처", "문의"),
    ("駐車", "parking", "주차"),
    ("予約", "reserv", "book", "예약"),
    ("支払", "クレジット", "現金", "決済", "payment", "pay", "credit card", "cash", "결제", "지불", "카드"),
    ("配送", "送料", "届", "発送", "shipping", "delivery", "deliver", "배송", "배달"),
    ("返品", "返金", "交換", "refund", "return", "exchange", "환불", "반품", "교환"),
)
"""Ways to ask for the same thing, across the three languages: what people most ask a shop."""

QUOTES = 3
SUMMARY_TOKENS = 350
_ENOUGH = 0.3
"""Share of the question's weight that a sentence must cover to be quoted."""


def answer(messages: Sequence[Message]) -> str:
    """The answer to the last user message, in quotations; never empty."""
    last = next((message.content for message in reversed(messages) if message.role == "user"), "")
    for message in messages:
        if (message.role == "system" or message is messages[-1]) and (asked := _CONVERSATION.search(message.content)):
            return _summary(asked.group(1)) or NOT_FOUND[language(last)]
    sentences = list(_sentences(messages))
    best = _best(last, sentences)
    if not best:
        return NOT_FOUND[language(last)]
    return ("" if language(last) == "ja" else " ").join(_ended(sentence) for sentence in best)


def language(text: str) -> Language:
    """The asker's language by script."""
    if re.search(r"[\uac00-\ud7a3]", text):
        return "ko"
    return "ja" if re.search(r"[\u3041-\u30ff\u3400-\u9fff]", text) else "en"


def pieces(text: str) -> list[str]:
    """The text cut as a model would emit it; joined again it is the text."""
    return _PIECE.findall(text)


def _sentences(messages: Iterable[Message]) -> Iterable[str]:
    seen: set[str] = set()
    for message in messages:
        if message.role != "system":
            continue
        for block in _BLOCK.finditer(message.content):
            for part in _SENTENCE_END.split(block.group(2)):
                sentence = part.strip().lstrip("-*•・ ").strip()
                if sentence and sentence not in seen:
                    seen.add(sentence)
                    yield sentence


def _best(question: str, sentences: list[str]) -> list[str]:
    features = [_features(sentence) for sentence in sentences]
    known = Counter(feature for each in features for feature in each)
    wanted = _features(question)
    total = len(sentences)

    def weight(feature: str) -> float:
        return _base(feature) * math.log(1 + total / max(1, known[feature]))

    weights = {feature: weight(feature) for feature in wanted}
    sum_of_all = sum(weights.values())
    if not sum_of_all:
        return []
    own = language(question)
    scores = [
        sum(weights[feature] for feature in each & wanted) / sum_of_all * (1.0 if language(sentence) == own else 0.7)
        for sentence, each in zip(sentences, features, strict=True)
    ]
    top = max(scores, default=0.0)
    if top < _ENOUGH:
        return []
    bar = max(_ENOUGH, top * 0.75)
    chosen = sorted((i for i, score in enumerate(scores) if score >= bar), key=lambda i: (-scores[i], i))[:QUOTES]
    return [sentences[i] for i in sorted(chosen)]


def _base(feature: str) -> float:
    if feature.startswith("="):
        return 3.0  # a concept
    if kana := len(_HIRAGANA.findall(feature)):
        return 0.3 if kana < len(feature) else 0.1  # inflections and particles say little
    return 0.5 if len(feature) == 1 else 1.0


def _features(text: str) -> set[str]:
    folded = text.lower()
    found = {f"={number}" for number, ways in enumerate(_CONCEPTS) if any(way in folded for way in ways)}
    found |= {_stem(word) for word in _WORD.findall(folded) if word not in _STOP_WORDS}
    for run in _CJK_RUN.findall(folded):
        found |= {run[i : i + 2] for i in range(len(run) - 1)} | set(_KANJI.findall(run))
    for run in _HANGUL_RUN.findall(folded):
        found |= {run[i : i + 2] for i in range(len(run) - 1)}
    return found


def _stem(word: str) -> str:
    for ending in ("ing", "ies", "es", "ed", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)] + ("y" if ending == "ies" else "")
    return word


def _ended(sentence: str) -> str:
    if sentence[-1] in "。！？.!?":
        return sentence
    return sentence + ("。" if language(sentence) == "ja" else ".")


def _summary(conversation: str) -> str:
    """The first sentence of each turn, as many of the newest as a summary may hold: short, and true to the words."""
    kept: list[str] = []
    room = SUMMARY_TOKENS
    for line in reversed(conversation.splitlines()):
        if sentence := _SENTENCE_END.split(line.strip())[0][:200]:
            room -= estimate(sentence)
            if room < 0:
                break
            kept.append(sentence)
    return "\n".join(reversed(kept))
