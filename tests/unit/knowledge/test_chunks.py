"""Chunks: bounded, overlapping, along sentences and headings."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noren.knowledge.chunks import MAX_TOKENS, OVERLAP_TOKENS, Section, chunks, sentences
from noren.llm import tokens

JAPANESE = "当館は海のそばにあります。夕食は18時からです。「予約は要りますか。」と聞かれますが、要りません。"
KOREAN = "저희 가게는 바다 옆에 있습니다. 저녁은 여섯 시부터예요! 예약이 필요할까요? 아니요, 필요 없습니다."
ENGLISH = 'We are by the sea. Dinner costs $3.50 at Mr. Tanaka\'s. "Do I need to book?" No, e.g. not in winter.'


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (
            JAPANESE,
            [
                "当館は海のそばにあります。",
                "夕食は18時からです。",
                "「予約は要りますか。」と聞かれますが、要りません。",
            ],
        ),
        ("彼は「はい。」と言った。次へ。", ["彼は「はい。」と言った。", "次へ。"]),
        ("終わり（注。ここまで。）\n次", ["終わり（注。ここまで。）", "\n次"]),
        (
            KOREAN,
            [
                "저희 가게는 바다 옆에 있습니다.",
                " 저녁은 여섯 시부터예요!",
                " 예약이 필요할까요?",
                " 아니요, 필요 없습니다.",
            ],
        ),
        (
            ENGLISH,
            [
                "We are by the sea.",
                " Dinner costs $3.50 at Mr. Tanaka's.",
                ' "Do I need to book?"',
                " No, e.g. not in winter.",
            ],
        ),
        ("一行目\n二行目\n", ["一行目\n", "二行目\n"]),
        ("開いた「まま\n次の行。", ["開いた「まま\n", "次の行。"]),
    ],
)
def test_sentences(text: str, parts: list[str]) -> None:
    assert list(sentences(text)) == parts


@given(st.text(alphabet="あ。「」（）\n .!?aB漢가", max_size=80))
def test_sentences_are_the_text(text: str) -> None:
    assert "".join(sentences(text)) == text


@pytest.mark.parametrize("text", [JAPANESE, KOREAN, ENGLISH])
def test_long_texts_are_cut_between_sentences_and_overlap(text: str) -> None:
    numbered = [f"{number}: {part.strip()}" for number in range(40) for part in sentences(text)]
    made = chunks([Section(("宿",), " ".join(numbered))])
    assert len(made) > 3
    assert [chunk.position for chunk in made] == list(range(len(made)))
    said = [[part.strip() for part in sentences(chunk.text)] for chunk in made]
    for chunk, parts in zip(made, said, strict=True):
        assert set(parts) <= set(numbered)  # none is torn
        assert tokens.estimate(chunk.embedded) <= chunk.tokens <= MAX_TOKENS
    assert {part for parts in said for part in parts} == set(numbered)  # none is lost
    for before, after in pairwise(said):
        again = [part for part in after if part in before]
        assert again
        assert after[: len(again)] == before[-len(again) :]
        assert tokens.estimate(" ".join(again)) <= OVERLAP_TOKENS


def test_a_long_sentence_leaves_little_room_for_overlap() -> None:
    short, long = "あいうえおかきくけこ。" * 12, "あ" * 385 + "。"
    made = chunks([Section((), short + long + short + long)])
    assert [chunk.tokens <= MAX_TOKENS for chunk in made] == [True] * 4
    assert [chunk.text.endswith(long) for chunk in made] == [False, True, False, True]


def test_sections_keep_headings_and_anchors_apart() -> None:
    made = chunks(
        [Section(("宿", "料金"), "一泊一万円です。", "fee"), Section(("宿", "交通"), "駅から歩けます。", "way")]
    )
    assert [(chunk.headings, chunk.anchor, chunk.text) for chunk in made] == [
        (("宿", "料金"), "fee", "一泊一万円です。"),
        (("宿", "交通"), "way", "駅から歩けます。"),
    ]
    assert made[0].embedded == "宿 > 料金\n一泊一万円です。"


def test_equal_text_under_equal_headings_has_an_equal_hash() -> None:
    one, moved, other = chunks(
        [Section(("宿",), "犬は可。", "a"), Section(("宿",), "犬は可。", "b"), Section(("店",), "犬は可。", "a")]
    )
    assert one.content_hash == moved.content_hash != other.content_hash


def test_blank_sections_have_no_chunks() -> None:
    assert chunks([Section(("宿",), " \n "), Section((), "")]) == []


@pytest.mark.parametrize(
    "text",
    ["あ" * 20_000, "x" * 100_000, "語、" * 9_000, "word " * 20_000, "😀" * 3_000, "「" + "はい。" * 3_000 + "」"],
    ids=["kana", "letters", "clauses", "words", "emoji", "quotation"],
)
def test_what_has_no_ends_is_bounded_too(text: str) -> None:
    made = chunks([Section(("見出し" * 400, "小見出し"), text)])
    assert all(chunk.tokens <= MAX_TOKENS for chunk in made)
    assert sum(len(chunk.text) for chunk in made) >= len(text.strip())


@settings(max_examples=60)
@given(
    st.lists(
        st.builds(
            Section,
            st.lists(st.text(max_size=300), max_size=3).map(tuple),
            st.text(max_size=2_000),
        ),
        max_size=3,
    )
)
def test_no_text_makes_a_chunk_too_large(sections: list[Section]) -> None:
    for chunk in chunks(sections):
        assert tokens.estimate(chunk.embedded) <= chunk.tokens <= MAX_TOKENS
        assert chunk.text
        assert len(chunk.content_hash) == 32
