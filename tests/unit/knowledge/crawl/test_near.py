from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noren.knowledge.crawl.near import Fingerprint, Near, fingerprint
from noren.knowledge.text import Block, Extracted

WORDS = {
    "en": "delivery order return shop price tea leaf cup green season box gift card store open close day week".split(),
    "ja": "送料 注文 返品 店舗 価格 お茶 抹茶 急須 季節 贈り物 包装 営業 時間 配達 地域 北海道 沖縄 税込 在庫".split(),
    "ko": "배송 주문 반품 매장 가격 녹차 말차 찻잔 계절 선물 포장 영업 시간 배달 지역 제주 서울 재고 결제".split(),
}
GLUE = {"en": " ", "ja": "", "ko": " "}


def text_of(language: str, seed: int, words: int = 400) -> list[str]:
    return random.Random(seed).choices(WORDS[language], k=words)


def page(words: list[str], language: str = "en", title: str = "Title") -> Fingerprint:
    return fingerprint(Extracted(title, language, (Block("paragraph", GLUE[language].join(words)),)))


@pytest.mark.parametrize("language", WORDS)
def test_a_page_with_another_date_or_counter_is_near(language: str) -> None:
    near = 0
    for seed in range(20):
        words = text_of(language, seed)
        changed = [*words[:200], "2026-11-26", *words[200:], "1,234"]
        near += page(words, language).is_near(page(changed, language))
    assert near >= 16


@pytest.mark.parametrize("language", WORDS)
def test_other_pages_are_not(language: str) -> None:
    near = 0
    for seed in range(20):
        other = text_of(language, seed)[:320] + text_of(language, seed + 100, 80)  # a fifth is another text
        near += page(text_of(language, seed), language).is_near(page(other, language))
        assert not page(text_of(language, seed), language).is_near(page(text_of(language, seed + 1), language))
    assert near <= 2


def test_products_that_share_all_but_a_name_both_stay() -> None:
    words = text_of("en", 1)
    assert not page(words, title="Green cup").is_near(page(words, title="Blue cup"))
    assert page(words, title="Green  CUP!").is_near(page(words, title="green cup"))


BRANCHES = [
    ("Phone 075-111-2222.", "Phone 06-333-4444."),
    ("Call +8175111222 today.", "Call +8163334444 today."),
    ("Call (555) 123-4567.", "Call (555) 123-9999."),
    ("1588-1234", "1588-9999"),
    ("お一人様 12,000円（平日）", "お一人様 18,000円（土日祝）"),
    ("Single room ¥12,000 a night.", "Single room ￥18,000 a night."),
    ("Delivery costs 1,200 yen.", "Delivery costs 1,900 yen."),
    ("배송비는 3,000원입니다", "배송비는 5,000원입니다"),
    ("〒604-8001", "〒530-0001"),
    ("京都市中京区三丁目5番", "京都市中京区四丁目5番"),
    ("서울 종로구 세종로 12", "서울 종로구 세종로 98"),
    ("12 Baker Street, London", "98 Baker Street, London"),
    ("梅田1-2-3", "梅田9-8-7"),
]


@pytest.mark.parametrize(("one", "other"), BRANCHES)
def test_pages_that_differ_in_what_is_asked_for_both_stay(one: str, other: str) -> None:
    words = text_of("en", 1, 900)
    assert not page([one, *words], title="Inn").is_near(page([other, *words], title="Inn"))
    assert page([one, *words], title="Inn").is_near(page([one, *words, "2026-11-26", "12", "at 10:30"], title="Inn"))


def test_a_date_or_a_counter_marks_no_page() -> None:
    words = text_of("en", 1, 900)
    for one, other in [("2026-11-26", "2025-01-02"), ("26-11-2026", "01.02.2025"), ("Visitor 1,234", "Visitor 9,876")]:
        assert page([one, *words]).mark == page([other, *words]).mark, one


def test_pages_under_one_title_differ_by_their_heading() -> None:
    words = (Block("paragraph", " ".join(text_of("en", 1, 900))),)

    def branch(name: str) -> Fingerprint:
        return fingerprint(Extracted("River Inn", "en", (Block("heading", name, 1), *words)))

    kyoto, osaka = branch("Kyoto branch"), branch("Osaka branch")
    assert not kyoto.is_near(osaka)
    assert kyoto.is_near(branch("KYOTO  Branch"))
    assert Fingerprint.restored(kyoto.stored, "River Inn") == kyoto


def test_short_pages_are_near_only_if_the_same() -> None:
    assert page(["Open from 9 to 5"]).is_near(page(["Open: from 9 to 5."]))
    assert not page(["Open from 9 to 5"]).is_near(page(["Open from 9 to 6"]))


def test_the_first_of_near_pages_is_found_among_many() -> None:
    near = Near()
    for seed in range(100):
        assert near.add(seed, page(text_of("ja", seed), "ja")) is None
    assert near.add("copy", page([*text_of("ja", 77), "2026"], "ja")) == 77
    assert near.add("empty", fingerprint(Extracted("", "", ()))) is None
    assert near.add("again", fingerprint(Extracted("", "", ()))) == "empty"


@given(st.integers(0, 2**64 - 1), st.sets(st.integers(0, 63), max_size=5))
def test_near_ones_always_share_a_band(bits: int, flipped: set[int]) -> None:
    one, two = Fingerprint(bits, ""), Fingerprint(bits ^ sum(1 << place for place in flipped), "")
    assert one.is_near(two)
    assert any(a == b for a, b in zip(one.bands, two.bands, strict=True))
