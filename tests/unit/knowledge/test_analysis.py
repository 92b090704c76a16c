"""Terms of Japanese, Korean and English."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noren.knowledge.analysis import stem, terms


def keys(text: str) -> set[str]:
    return set(terms(text).keys)


@pytest.mark.parametrize(
    ("question", "passage"),
    [
        # Japanese: other endings, widths and spellings
        ("営業時間は何時ですか", "営業時間：10時から18時"),
        ("泊まれますか", "泊まる"),
        ("ﾁｪｯｸｲﾝ", "チェックイン"),
        ("Ｗｉ－Ｆｉ", "Wi-Fi"),
        ("３，５００円", "3500円"),
        ("1,200円", "１２００円"),
        ("東京", "東京都"),
        ("8世紀", "８世紀"),
        # Korean: the same word with other particles and endings
        ("주차장은", "주차장이"),
        ("예약을", "예약하기"),
        ("환불하고 싶어요", "환불은"),
        ("배송비가", "배송비는"),
        ("데비안에서", "데비안은"),
        ("3층", "3층에"),
        # English: inflections and compounds
        ("bookings", "booking"),
        ("cancelled", "cancels"),
        ("selling", "sells"),
        ("running", "runs"),
        ("wifi", "wi-fi"),
        ("E-mail", "email"),
        ("café", "CAFE"),
        ("the hotel's pool", "hotel pools"),
        ("cities", "city"),
    ],
)
def test_what_means_the_same_shares_terms(question: str, passage: str) -> None:
    assert keys(question) & keys(passage)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("りんご", "みかん"),
        ("사과", "바나나"),
        ("가방", "나가다"),  # the beginning of a word is marked
        ("is the", "the was"),
        ("ですか", "です。"),
        ("습니다", "합니까"),
    ],
)
def test_what_differs_shares_none(one: str, other: str) -> None:
    assert not {key for key in keys(one) & keys(other) if not key.isdigit()}


def test_japanese_is_found_by_pairs_kanji_and_runs() -> None:
    found = terms("東大寺の仏像")
    assert found.symbols == list("東大寺の仏像")
    assert set(found.keys) == {"東大", "大寺", "寺の", "の仏", "仏像", "東", "大", "寺", "仏", "像", "#東大寺", "#仏像"}


def test_a_lone_kanji_counts_once() -> None:
    assert terms("湯").keys == ["湯"]


def test_korean_marks_where_a_word_begins() -> None:
    assert terms("주차 안내").keys == ["^주", "주차", "^안", "안내"]
    assert terms("주차").symbols == ["^", "주", "차"]


def test_figures_belong_to_what_they_count() -> None:
    assert "8世" in terms("シャルル8世").keys
    assert "8世" not in terms("8 世紀").keys
    assert {"10", "30"} <= keys("10:30")
    assert "3.5" in keys("3.5 km")


@pytest.mark.parametrize(
    ("words", "key"),
    [("house houses", "hous"), ("quickly quick", "quick"), ("status", "status"), ("12s", "12s"), ("bus", "bus")],
)
def test_english_words_are_stemmed(words: str, key: str) -> None:
    assert {stem(word) for word in words.split()} == {key}


@pytest.mark.parametrize("text", ["", "   ", "？！…", "the of and", "です。ます。", "👍🏽"])
def test_nothing_to_look_up_is_no_term(text: str) -> None:
    assert terms(text).keys == []


@given(st.text(max_size=200))
def test_any_text_has_terms_and_always_the_same(text: str) -> None:
    found = terms(text)
    assert found == terms(text)
    assert all(found.keys)
    assert all(found.symbols)
