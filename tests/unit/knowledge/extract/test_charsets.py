from __future__ import annotations

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noren.knowledge.extract.charsets import decode
from noren.knowledge.extract.languages import language_of

JA = "送料は全国一律 550 円です。五千円以上のお買い上げで無料になります。カードもご利用いただけます。"
KO = "배송비는 전국 동일하게 3,000원입니다. 5만원 이상 구매하시면 무료로 배송해 드립니다."
EN = "Shipping costs five dollars; orders over fifty are free – “always”."
TEXTS = {
    "shift_jis": JA,
    "cp932": JA + "①",
    "euc_jp": JA,
    "iso2022_jp": JA,
    "euc_kr": KO,
    "cp949": KO + "똠",
    "utf-8": JA + KO,
}


@pytest.mark.parametrize("charset", TEXTS)
def test_nothing_declared(charset: str) -> None:
    assert decode(TEXTS[charset].encode(charset)).text == TEXTS[charset]


@pytest.mark.parametrize(
    "wrong", ["utf-8", "shift_jis", "euc-jp", "euc-kr", "iso-8859-1", "windows-1252", "gb2312", "big5"]
)
@pytest.mark.parametrize("charset", TEXTS)
def test_wrongly_declared(charset: str, wrong: str) -> None:
    text = TEXTS[charset]
    assert decode(text.encode(charset), content_type=f"text/html; charset={wrong}").text == text
    page = f'<meta charset="{wrong}"><p>{text}</p>'
    assert decode(page.encode(charset), is_markup=True).text == page


@pytest.mark.parametrize(
    ("name", "charset", "text"),
    [
        ("Shift_JIS", "cp932", JA + "①㈱"),
        ("x-sjis", "cp932", JA),
        ("EUC-JP", "euc_jp", JA),
        ("EUC-KR", "cp949", KO + "똠방각하"),
        ("ks_c_5601-1987", "cp949", KO),
        ("gb2312", "gb18030", "运费全国统一,满五百元免费。"),
        ("big5", "big5", "運費全國統一,滿五百元免費。"),
        ("iso-8859-1", "cp1252", "Déjà vu – “café”"),
        ("windows-1251", "cp1251", "Доставка по всей стране"),
        ("UTF-8", "utf-8", "é"),
    ],
)
def test_rightly_declared(name: str, charset: str, text: str) -> None:
    for declared in (f"text/html; charset={name}", f'text/html;charset="{name.lower()}"'):
        assert decode(text.encode(charset), content_type=declared).text == text
    markup = f'<meta http-equiv="content-type" content="text/html; charset={name}"><p>{text}'
    assert decode(markup.encode(charset), is_markup=True).text == markup
    xml = f'<?xml version="1.0" encoding="{name}"?><p>{text}'
    assert decode(xml.encode(charset), is_markup=True).text == xml


@pytest.mark.parametrize("mark", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_beats_all(mark: str) -> None:
    assert decode((JA + KO).encode(mark), content_type="text/plain; charset=euc-kr").text == JA + KO
    assert decode(codecs.BOM_UTF16_BE + JA.encode("utf-16-be")).text == JA


def test_the_header_beats_the_page_where_both_make_sense() -> None:
    page = '<meta charset="euc-jp">§±'.encode("cp1252")
    assert decode(page, content_type="text/html; charset=windows-1252", is_markup=True).charset == "cp1252"


def test_some_broken_bytes_do_not_change_the_charset() -> None:
    for text, charset in ((JA, "euc_jp"), (JA, "cp932"), (KO, "cp949")):
        body = (text * 20).encode(charset)
        found = decode(body[:-1] + b"\xff", content_type=f"text/plain; charset={charset}")
        assert found.text.startswith(text * 19)


@pytest.mark.parametrize(
    "name", ["base64", "idna", "utf-7", "unicode_escape", "rot13", "utf-16", "undefined", "none", "x" * 99]
)
def test_codecs_that_are_no_charsets_are_not_believed(name: str) -> None:
    assert decode(JA.encode(), content_type=f"text/html; charset={name}").text == JA
    assert decode(JA.encode("cp932"), content_type=f"text/html; charset={name}").text == JA


@given(st.binary(max_size=300), st.text(max_size=20))
def test_any_bytes_are_a_text(body: bytes, name: str) -> None:
    assert isinstance(decode(body, content_type=f"text/html; charset={name}", is_markup=True).text, str)


@pytest.mark.parametrize(
    ("text", "declared", "language"),
    [
        (JA, "ja-JP", "ja"),
        (JA, "", "ja"),
        (JA, "en", "ja"),  # a template's
        (KO, "en-US", "ko"),
        (KO, "", "ko"),
        (KO + " Galaxy S24 Ultra", "kr", "ko"),
        (EN, "", "en"),
        (EN, "ja", "en"),
        (EN, "en-GB", "en"),
        ("Die Lieferung ist ab fünfzig Euro kostenlos", "de", "de"),
        ("運費全國統一,滿五百元免費,歡迎選購本店各式商品與服務。", "zh-TW", "zh"),
        ("会社概要 代表取締役 所在地 東京都 設立 資本金 従業員数", "ja", "ja"),
        ("OK", "jp", "ja"),
        ("12345", "", ""),
        ("", "nonsense", ""),
    ],
)
def test_languages(text: str, declared: str, language: str) -> None:
    assert language_of(text, declared) == language
