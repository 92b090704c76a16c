"""An honest extractive answerer: quotes what the prompt's own facts and passages say about the question, or says that
it found nothing. No model, no randomness.

Quotable is only what stands inside `<facts>…</facts>` and `<passage …>…</passage>` of system messages; all other text
there is instructions. Passages were found for the question, the best first, and are quoted with their numbers. What
stands in `<otherwise>…</otherwise>` is said where nothing is found. A `<conversation>…</conversation>` in a system
message or the last one asks for a summary of it.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from noren.llm.language import Language, language
from noren.llm.models import Message
from noren.llm.tokens import estimate

NOT_FOUND: dict[Language, str] = {
    "ja": "申し訳ありませんが、手元の情報の中に、ご質問への答えは見つかりませんでした。",
    "ko": "죄송합니다. 가지고 있는 정보에서 질문에 대한 답을 찾지 못했습니다.",
    "en": "I'm sorry, I could not find an answer to that in the information I have.",
}

_BLOCK = re.compile(r"<(facts|passage)\b([^>]*)>(.*?)</\1>", re.DOTALL)
_ATTRIBUTE = re.compile(r'\b(n|title)="([^"]*)"')
_OTHERWISE = re.compile(r"<otherwise>(.*?)</otherwise>", re.DOTALL)
_CONVERSATION = re.compile(r"<conversation>(.*?)</conversation>", re.DOTALL)
_SENTENCE_END = re.compile(r"(?<=[。！？])\s*|(?<=[.!?])\s+|\n+")
_PIECE = re.compile(r"\s*(?:[A-Za-z0-9\u00c0-\u024f]+|[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]{1,2}|\S)|\s+\Z")
_CJK_RUN = re.compile(r"[\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff々]+")
_HANGUL_RUN = re.compile(r"[\uac00-\ud7a3]+")
_WORD = re.compile(r"[a-z0-9\u00df-\u024f]+")
_HIRAGANA = re.compile(r"[\u3041-\u309f]")
_KANJI = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")

_STOP_WORDS = frozenset(
    "a an and are as at be by can could do does did for from get has have how i in is it its me my need of on or our"
    " please so tell that the their there they this to us want was we what when where which who why will with would"
    " you your about any much many come go".split()
)
_KOREAN_STOP_WORDS = frozenset(
    "가능한가요 가능해요 나가야 됩니까 동안 되나요 돼요 되어 무엇 뭐 뭔가요 수 알려주세요 어떻게 어떤 어떤가요 있나요"
    " 있어요 있습니까 없나요 주세요 싶어요 좀 하나요 하려면 하면 하는 할 해야 해요".split()
)
_KOREAN_ENDING = re.compile(
    "(?:한가요|인가요|이에요|예요|에요|입니까|입니다|습니까|습니다|나요|까요|려면|에서|까지|부터|으로|이며|이고|은요|는요"
    "|은|는|이|가|을|를|에|의|도|로|와|과|요)\\Z"
)
_FILLERS = re.compile(
    "教えて(?:ください)?|お店|あり(?:ます|ません)か?|でき(?:ます|ません)か?|必要|使え(?:ます|る)か?|とは|何ですか|ですか"
    "|ますか|ください|(?:どう)?すれば(?:いい|よい)?|したい"
)

# What people most ask a shop, across the three languages: how a question asks for it, and how a sentence tells it where
# that differs. Topics are what a question is about, aspects what it wants to know of it.
_TOPICS: tuple[tuple[str, str], ...] = (
    (
        r"営業(?:時間)?|開店|閉店|開い|開き|開け|閉ま|受付|opening|\bopen\b|\bhours|\bclos(?:e|es|ing)\b"
        r"|영업(?:시간)?|여나|여세|열어|문 ?닫|접수",
        r"営業|開店|閉店|受付|opening|\bhours|(?:is|are) open|영업|접수",
    ),
    (r"定休|休み|休業|休日|休む|holiday|\bclosed|days? off|휴무|휴일|쉬는|쉬나", ""),
    (r"電話|連絡先|問い?合わせ|phone|contact|\bcall\b|전화|연락처|문의", ""),
    (r"駐車|parking|\bpark\b|주차", ""),
    (r"予約|reserv|\bbooking|\bbook (?:an?|the|my|seats?|rooms?|tables?|in)\b|예약", ""),
    (r"支払|クレジット|現金|決済|\bpay|credit card|\bcash|결제|지불|카드", ""),
    (r"配送|送料|届|発送|shipping|\bdeliver|배송|배달", ""),
    (r"返品|返金|払い?戻|キャンセル|取り?消|refund|\breturn|cancel|환불|반품|취소", ""),
    (
        r"買い?取|査定|売りた|売れ|売る|\bsell (?:my|our|used|books?)\b|\bbuy (?:my|used|back)\b"
        r"|중고책?|매입|팔 수|팔고",
        r"買い?取|査定|\bbought|\bbuy|매입",
    ),
    (r"身分証|免許証|\bid\b|\bidentity|신분증", ""),
    (r"チェックイン|check(?:ing)?[- ]?in|체크인", ""),
    (r"チェックアウト|check(?:ing)?[- ]?out|체크아웃", ""),
    (r"朝食|朝ご ?はん|breakfast|조식|아침 ?(?:식사|밥)?", ""),
    (r"子ども|子供|こども|小学生|\bchild|\bkids?\b|어린이|아이|초등학생", ""),
    (r"大人|\badult|성인|어른", ""),
    (r"風呂|温泉|入浴|\bbath|onsen|온천|목욕|입욕|가족탕", ""),
    (r"タオル|towel|수건|타월", ""),
    (r"座席(?:の?指定)?|指定席|\bseat|좌석", ""),
    (r"駅|\bstation|역(?=에서|까지|에|은|이)", ""),
    (r"ペット|犬|\bpets?\b|\bdogs?\b|반려|애완|강아지", ""),
)
_ASPECTS: tuple[tuple[str, str], ...] = (
    (r"手数料|수수료", r"手数料|수수료|\bfees?\b"),
    (
        r"料金|値段|価格|いくら|税込|\bprice|\bcosts?\b|how much|\bfees?\b|\bcharge|가격|얼마(?!나)|요금",
        r"料金|値段|価格|税込|[\d,]+ ?円|[¥￥$]\d|手数料|\d (?:yen|won)|\bprice|\bfees?\b|가격|요금|\d ?[엔원]",
    ),
    (
        r"何時|いつ|what time|\bwhen\b|몇 ?시|언제|시간",
        r"\d時|\d:\d\d|\d ?시|曜日|\d(?:日|か月)(?:前|以内)|\b(?:days?|months?) before|요일",
    ),
    (
        r"何分|何日間?|期間|どのくらい|どれくらい|how (?:long|far|many (?:days|minutes))"
        r"|얼마나(?: 오래)?|며칠|몇 ?[분일]",
        r"\d ?(?:分|日|週|か月)|\b(?:minutes|hours|days|weeks|months)\b|\d ?[분일]",
    ),
    (
        r"どこ|住所|場所|所在地|アクセス|最寄|行き方"
        r"|\bwhere|address|locat|directions|get there|어디|주소|위치|가는 ?길",
        r"住所|所在地|最寄|駅から|窓口|(?:is|are) at \d|address|locat|\bstation|\boffice|주소|위치|역에서",
    ),
)
_CONCEPTS = tuple((re.compile(asked), re.compile(told or asked)) for asked, told in (*_TOPICS, *_ASPECTS))

QUOTES = 3
SUMMARY_TOKENS = 350
_FOREIGN = 0.8
"""What a sentence in another language than the asker's counts."""
_ENOUGH = 0.5
"""Share of the question's weight that a sentence must cover to be quoted."""
_ENOUGH_OF_PASSAGE = 0.35
"""The same of a passage's: the search has found already that the passages answer."""
_UNDER_TITLE = 0.5
"""What a word counts that only the title above a sentence has."""
_UNKNOWN = 0.5
"""What a word counts that no passage has: they may tell it in other words."""
_PER_PLACE = 0.06
"""How much less a passage counts than the one before it."""


class Sentence(NamedTuple):
    """What may be quoted."""

    text: str
    title: str = ""
    """Of its passage, with the headings above it."""
    number: str = ""
    """Of its passage."""
    place: int | None = None
    """Of its passage among all; None for a fact."""


def answer(messages: Sequence[Message]) -> str:
    """The answer to the last user message, in quotations; never empty."""
    last = next((message.content for message in reversed(messages) if message.role == "user"), "")
    for message in messages:
        if (message.role == "system" or message is messages[-1]) and (asked := _CONVERSATION.search(message.content)):
            return _summary(asked.group(1)) or NOT_FOUND[language(last)]
    best = _best(last, _telling(list(_sentences(messages))))
    if not best:
        return _otherwise(messages) or NOT_FOUND[language(last)]
    quotes = [_ended(each.text) + (f" [{each.number}]" if each.number else "") for each in best]
    return ("" if language(last) == "ja" else " ").join(quotes)


def pieces(text: str) -> list[str]:
    """The text cut as a model would emit it; joined again it is the text."""
    return _PIECE.findall(text)


def _otherwise(messages: Iterable[Message]) -> str:
    found = (_OTHERWISE.search(message.content) for message in messages if message.role == "system")
    return next((match.group(1).strip() for match in found if match), "")


def _sentences(messages: Iterable[Message]) -> Iterable[Sentence]:
    seen: set[str] = set()
    place = -1
    for message in messages:
        if message.role != "system":
            continue
        for block in _BLOCK.finditer(message.content):
            kind, attributes, text = block.groups()
            named = dict(_ATTRIBUTE.findall(attributes))
            place += kind == "passage"
            for part in _SENTENCE_END.split(text):
                sentence = part.strip().lstrip("-*•・ ").strip()
                if not sentence or sentence in seen:
                    continue
                seen.add(sentence)
                if kind == "facts":
                    yield Sentence(sentence)
                else:
                    yield Sentence(sentence, named.get("title", ""), named.get("n", ""), place)


def _telling(sentences: list[Sentence]) -> list[Sentence]:
    """Without those that are a passage's title over again, as lists of links are: they tell nothing."""
    titles = {part for each in sentences for part in each.title.split(" › ")}
    return [each for each in sentences if each.place is None or each.text not in titles]


def _best(question: str, sentences: list[Sentence]) -> list[Sentence]:
    """The sentences that cover most of what the question says, in one language; the asker's, where it is known there.

    A question on a topic that no fact is about is not answered by facts, however well the rest of it fits.
    """
    features = [_features(each.text) for each in sentences]
    titles = {each.title: _features(each.title) for each in sentences}
    wanted = _asked(question)
    facts = [each for each, sentence in zip(features, sentences, strict=True) if sentence.place is None]
    about = {feature for each in facts for feature in each}
    strange = any(topic not in about for topic in wanted if topic in _TOPIC_FEATURES)
    known = Counter(feature for each in features for feature in each)
    weights = {each: _base(each) * math.log(1 + len(sentences) / max(1, known[each])) for each in wanted}
    sum_of_all = sum(weights.values())
    if not sum_of_all:
        return []
    own = language(question)
    told = {feature for each in titles.values() for feature in each} | set(known)
    sum_of_told = sum(weight if each in told else weight * _UNKNOWN for each, weight in weights.items())
    scores: list[float] = []
    for sentence, each in zip(sentences, features, strict=True):
        score = sum(weights[feature] for feature in each & wanted)
        score += _UNDER_TITLE * sum(weights[feature] for feature in (titles[sentence.title] - each) & wanted)
        score *= 1.0 if language(sentence.text) == own else _FOREIGN
        score /= sum_of_all if sentence.place is None else sum_of_told
        if sentence.place is None:
            scores.append(score if score >= _ENOUGH and not strange else 0.0)
        else:
            nearer = max(0.5, 1 - _PER_PLACE * sentence.place)
            scores.append(score * nearer if score >= _ENOUGH_OF_PASSAGE else 0.0)
    best = max(range(len(sentences)), key=lambda i: (scores[i], -i), default=None)
    if best is None or not scores[best]:
        return []
    spoken = language(sentences[best].text)
    bar = max(scores[best] * 0.75, _ENOUGH if sentences[best].place is None else 0.0)
    fit = [i for i, score in enumerate(scores) if score >= bar and language(sentences[i].text) == spoken]
    chosen = sorted(fit, key=lambda i: (-scores[i], i))[:QUOTES]
    return [sentences[i] for i in sorted(chosen)]


def _features(text: str) -> set[str]:
    """The concepts that a text tells of, and its words."""
    lower = text.lower()
    return _words(text) | {f"={number}" for number, (_, told) in enumerate(_CONCEPTS) if told.search(lower)}


def _asked(question: str) -> set[str]:
    """The concepts that a question names, and its other words."""
    rest, found = question.lower(), set()
    for number, (asked, _) in enumerate(_CONCEPTS):
        rest, times = asked.subn(" ", rest)
        if times:
            found.add(f"={number}")
    return found | _words(_FILLERS.sub(" ", rest))


_TOPIC_FEATURES = frozenset(f"={number}" for number in range(len(_TOPICS)))


def _base(feature: str) -> float:
    if feature.startswith("="):
        return 3.0 if feature in _TOPIC_FEATURES else 1.5
    if kana := len(_HIRAGANA.findall(feature)):
        return 0.3 if kana < len(feature) else 0.1  # inflections and particles say little
    return 0.5 if len(feature) == 1 else 1.0


def _words(text: str) -> set[str]:
    """Latin words by their stems, pairs of characters of all other scripts."""
    folded = text.lower()
    found = {_stem(word) for word in _WORD.findall(folded) if word not in _STOP_WORDS}
    for run in _CJK_RUN.findall(folded):
        found |= {run[i : i + 2] for i in range(len(run) - 1)} | set(_KANJI.findall(run))
    for run in _HANGUL_RUN.findall(folded):
        word = _KOREAN_ENDING.sub("", run)
        if run not in _KOREAN_STOP_WORDS:
            found |= {word[i : i + 2] for i in range(len(word) - 1)}
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
