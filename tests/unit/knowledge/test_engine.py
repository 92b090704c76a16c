"""From texts to a file that finds them, in three languages."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from noren.ids import TenantId, new_id
from noren.knowledge.chunks import Chunk, cut, measure
from noren.knowledge.engine import FileEngine, FileIndex
from noren.knowledge.models import Document, document_id
from noren.knowledge.publish import is_sound
from noren.knowledge.search import search
from noren.knowledge.text import Block, Extracted
from noren.knowledge.texts import asked, written
from noren.knowledge.trial import MOST
from noren.knowledge.vectors import Compact, compact

TENANT, SITE = TenantId(new_id("ten")), new_id("site")
TEXTS = (
    written("営業時間", "平日は10時から18時まで、土曜は9時から営業します。", "ja"),
    written("주차 안내", "주차장은 건물 뒤편에 있으며 두 시간 무료입니다.", "ko"),
    asked("Are dogs welcome?", "Small dogs may stay in two of our rooms.", "en"),
)


def document(text: Extracted) -> Document:
    return Document(
        document_id(SITE, text.title), TENANT, SITE, "text", "", text.title, text.language, "hash", 1, 1, 0.0, 0.0
    )


def test_each_text_is_found_by_its_title_and_by_what_it_says() -> None:
    pairs = [(document(text), cut(text)) for text in TEXTS]
    built = FileEngine().build(TENANT, SITE, 1, pairs, None)
    assert is_sound(built, pairs)
    for question, (wanted, _) in zip(("土曜は何時から", "무료 주차", "rooms for a dog"), pairs, strict=True):
        assert built.find(question, 3)[0] == wanted.document_id
    assert built.find("飛行機", 3) == []


def built_of(*texts: Extracted) -> tuple[list[tuple[Document, list[Chunk]]], FileIndex]:
    pairs = [(document(text), cut(text)) for text in texts]
    return pairs, FileEngine().build(TENANT, SITE, 1, pairs, None)


@pytest.mark.parametrize("count", [1, 2, 3, 20])
def test_an_index_without_its_documents_is_not_sound(count: int) -> None:
    texts = (*TEXTS, *(written(f"Part {number}", f"Number {number} is told here.", "en") for number in range(17)))
    pairs = [(document(text), cut(text)) for text in texts[:count]]
    for indexed in ([], pairs[: count // 3]):
        built = FileEngine().build(TENANT, SITE, 1, indexed, None)
        assert not is_sound(built, pairs)


@pytest.mark.parametrize(
    "title",
    [
        "Who are you?",
        "What is it?",
        "Can I?",
        "How do I do it?",
        "ありますか？",
        "★",
        "---",
        "How to",
        "教えてください",
    ],
)
def test_a_title_without_words_to_look_up_blocks_no_small_site(title: str) -> None:
    pairs, built = built_of(asked(title, "We are a small inn near the lake.", "en"))
    assert is_sound(built, pairs)
    pairs, built = built_of(asked(title, "We are a small inn near the lake.", "en"), *TEXTS)
    assert is_sound(built, pairs)


def test_texts_that_can_not_be_told_apart_block_no_site() -> None:
    same = [written(f"Photo {number}", "All rights reserved.", "en") for number in range(30)]
    general = [written("Shop", "Welcome to all of our things.", "en")]
    things = [
        written(f"Shop shop {number}", f"The shop sells shop things, number {number}.", "en") for number in range(30)
    ]
    for texts in (same, general + things, [written("写真", "★", "ja")], [written("空", "", "ja"), *TEXTS]):
        pairs, built = built_of(*texts)
        assert is_sound(built, pairs)


def test_a_site_without_documents_has_an_index_too() -> None:
    built = FileEngine().build(TENANT, SITE, 2, [], None)
    assert (built.chunks, built.find("営業", 3)) == (0, [])


def test_chunks_know_under_which_headings_they_stand() -> None:
    blocks = (
        Block("paragraph", "はじめに。"),
        Block("heading", "料金", 1, "fees"),
        Block("paragraph", "大人は千円。"),
        Block("heading", "割引", 2),
        Block("item", "学生は半額。"),
        Block("heading", "地図", 1),
        Block("paragraph", "駅の前。"),
    )
    made = cut(Extracted("店", "ja", blocks))
    assert [(each.headings, each.text, each.anchor) for each in made] == [
        ((), "はじめに。", ""),
        (("料金",), "大人は千円。", "fees"),
        (("料金", "割引"), "学生は半額。", ""),
        (("地図",), "駅の前。", ""),
    ]
    assert measure(Extracted("店", "ja", blocks)) == (4, sum(each.tokens for each in made))


def test_headings_without_text_are_text() -> None:
    blocks = (
        Block("heading", "River Inn", 1),
        Block("heading", "Open 9–18, closed Wednesdays", 2, "hours"),
        Block("heading", "Telephone 03-1234-5678", 2),
        Block("heading", "Parking", 2),
        Block("paragraph", "Behind the house."),
        Block("heading", "Access", 2),
        Block("heading", "Five minutes on foot", 3),
    )
    made = cut(Extracted("Inn", "en", blocks))
    assert [(each.headings, each.text, each.anchor) for each in made] == [
        (("River Inn",), "Open 9–18, closed Wednesdays", "hours"),
        (("River Inn",), "Telephone 03-1234-5678", ""),
        (("River Inn", "Parking"), "Behind the house.", ""),
        (("River Inn", "Access"), "Five minutes on foot", ""),
    ]
    assert [each.text for each in cut(Extracted("Inn", "en", blocks[:1]))] == ["River Inn"]


# -- vectors

TOPICS = 60


class Known:
    """Vectors as a publication has them: of a text by what `meaning` says it is about."""

    model, dimensions = "made-up", 64

    def __init__(self, meaning: Callable[[str], int | None]) -> None:
        self.meaning = meaning
        self.kept: dict[str, Compact] = {}
        self.asked: list[str] = []

    def get(self, hash: str) -> Compact | None:
        return self.kept.get(hash)

    def make(self, texts: Mapping[str, str], *, are_chunks: bool = True) -> int:
        self.asked += texts.values()
        for hash, text in texts.items():
            if (about := self.meaning(text)) is not None:
                self.kept[hash] = compact(like(about, text))
        return sum(hash not in self.kept for hash in texts)


def like(about: int, text: str) -> list[float]:
    drawn, own = random.Random(about), random.Random(text)
    return [drawn.gauss(0, 1) + 0.3 * own.gauss(0, 1) for _ in range(Known.dimensions)]


def site() -> list[tuple[Document, list[Chunk]]]:
    """No text shares a word with the title that it stands under."""
    return [
        (replace(document(TEXTS[0]), document_id=f"doc_{number:02}", title=f"thing{number}"), [said(number)])
        for number in range(TOPICS)
    ]


def said(number: int) -> Chunk:
    return cut(Extracted("", "en", (Block("paragraph", f"secret{number} is told here."),)))[0]


def with_vectors(known: Known) -> tuple[list[tuple[Document, list[Chunk]]], FileIndex]:
    documents = site()
    known.make({chunk.content_hash: chunk.text for _, chunks in documents for chunk in chunks})
    known.asked.clear()
    return documents, FileEngine().build(TENANT, SITE, 1, documents, known)  # type: ignore[arg-type]


def about_own(text: str) -> int | None:
    found = re.match(r"(?:secret|thing)(\d+)", text)
    return int(found[1]) if found else None


def test_vectors_that_find_what_words_do_not_are_trusted() -> None:
    documents, built = with_vectors(Known(about_own))
    assert (built.model, built.engine) == ("made-up", "file")
    space = built.opened.head.vectors
    assert space
    assert space.weight > 0
    asked = "how about it"
    number = 7
    hits = search(built.opened, asked, vector=like(number, asked)).hits
    assert hits[0].passage.document_id == documents[number][0].document_id


def test_vectors_that_do_not_help_are_cut_off() -> None:
    known = Known(lambda text: random.Random(text).randrange(10_000))
    documents, built = with_vectors(known)
    _, plain = documents, FileEngine().build(TENANT, SITE, 1, documents, None)
    assert built.model == ""
    assert built.data == plain.data
    assert 0 < len(known.asked) <= 2 * MOST


def test_vectors_count_only_where_most_chunks_have_one() -> None:
    def few(text: str) -> int | None:
        about = about_own(text)
        return about if about is None or about % 8 else None

    known = Known(few)
    assert with_vectors(known)[1].model == ""
    assert known.asked == [], "nothing is asked about vectors that don't count"


def test_vectors_count_for_nothing_where_words_find_as_much() -> None:
    known = Known(lambda text: int(re.findall(r"\d+", text)[0]))
    documents = [(each, [replace(chunk, text=f"{each.title} is told here.")]) for each, (chunk,) in site()]
    known.make({chunk.content_hash: chunk.text for _, (chunk,) in documents})
    assert FileEngine().build(TENANT, SITE, 1, documents, known).model == ""  # type: ignore[arg-type]


def test_headings_that_lead_to_several_places_ask_nothing() -> None:
    chunks = cut(
        Extracted(
            "",
            "en",
            tuple(
                each
                for number in range(3)
                for each in (
                    Block("heading", f"part{number}", 1),
                    Block("heading", "Prices", 2),
                    Block("paragraph", "x"),
                )
            ),
        )
    )
    first = replace(document(TEXTS[0]), document_id="doc_1", title="part0")
    second = replace(document(TEXTS[0]), document_id="doc_2", title="Only here")
    known = Known(lambda text: 1)
    pairs = [(first, chunks), (second, [said(1)])]
    known.make({chunk.content_hash: chunk.text for _, made in pairs for chunk in made})
    known.asked.clear()
    FileEngine().build(TENANT, SITE, 1, pairs, known)  # type: ignore[arg-type]
    assert sorted(known.asked) == ["Only here", "part0", "secret1 is told here.", "x"]


def test_headings_that_can_not_be_had_leave_words_alone() -> None:
    assert with_vectors(Known(lambda text: about_own(text) if "secret" in text else None))[1].model == ""
