"""Which language somebody writes in, where several scripts are mixed."""

from __future__ import annotations

import pytest

from noren.llm.language import Language, language, named


@pytest.mark.parametrize(
    ("text", "best", "sure"),
    [
        ("営業時間は？", "ja", "ja"),
        ("Wi-Fiはありますか", "ja", "ja"),
        ("iPhone 15 Proの在庫は？", "ja", None),
        ("환불 되나요?", "ko", "ko"),
        ("송료(送料)는 얼마예요?", "ko", "ko"),
        ("환불はできますか", "ja", "ja"),
        ("What does 送料 mean?", "en", None),
        ("Is the Kyoto (京都) shop open?", "en", None),
        ("How much is the ポケモン set?", "en", None),
        ("How much is the おにぎり set?", "en", None),
        ("Do you ship to 東京都?", "en", None),
        ("Do you have 떡볶이 today?", "en", None),
        ("请问运费多少钱？", "ja", None),
        ("您好，营业时间是几点？", "ja", None),
        ("營業時間", "ja", None),
        ("Quels sont vos horaires ?", "en", None),
        ("Когда вы открыты?", "en", None),
        ("", "en", None),
        ("?!", "en", None),
    ],
)
def test_the_askers_language(text: str, best: Language, sure: Language | None) -> None:
    assert (language(text), named(text)) == (best, sure)
