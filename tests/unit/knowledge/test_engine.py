"""From texts to a file that finds them, in three languages."""

from __future__ import annotations

from noren.ids import TenantId, new_id
from noren.knowledge.engine import FileEngine, cut
from noren.knowledge.models import Document, document_id
from noren.knowledge.publish import is_sound
from noren.knowledge.text import Block, Extracted
from noren.knowledge.texts import asked, written

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
    assert is_sound(built, [each for each, _ in pairs])
    for question, (wanted, _) in zip(("土曜は何時から", "무료 주차", "rooms for a dog"), pairs, strict=True):
        assert built.find(question, 3)[0] == wanted.document_id
    assert built.find("飛行機", 3) == []


def test_an_index_without_its_documents_is_not_sound() -> None:
    pairs = [(document(text), cut(text)) for text in TEXTS]
    built = FileEngine().build(TENANT, SITE, 1, pairs[:1], None)
    assert not is_sound(built, [each for each, _ in pairs])


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
    assert FileEngine().measure(Extracted("店", "ja", blocks)) == (4, sum(each.tokens for each in made))
