from __future__ import annotations

import io
import zipfile
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noren.knowledge.extract import docx
from noren.knowledge.extract.errors import ExtractFailed
from noren.knowledge.text import Block

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
MAIN = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
TYPES = f"""<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">
<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>
<Override PartName="/word/document.xml" ContentType="{MAIN}"/></Types>"""
RELS = f"""<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">
<Relationship Id="r1" Type="{OFFICE}/officeDocument" Target="word/document.xml"/></Relationships>"""
STYLES_RELS = f"""<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">
<Relationship Id="r1" Type="{OFFICE}/styles" Target="styles.xml"/></Relationships>"""
STYLES = f"""<w:styles {W}><w:style w:type="paragraph" w:styleId="1"><w:name w:val="heading 1"/></w:style>
<w:style w:type="paragraph" w:styleId="2"><w:name w:val="heading 2"/></w:style></w:styles>"""


def paragraph(text: str, style: str = "") -> str:
    props = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f"<w:p>{props}<w:r><w:t>{text}</w:t></w:r></w:p>"


def row(*cells: str) -> str:
    return "<w:tr>" + "".join(f"<w:tc>{paragraph(cell)}</w:tc>" for cell in cells) + "</w:tr>"


def document(body: str) -> str:
    return f'<?xml version="1.0"?><w:document {W}><w:body>{body}</w:body></w:document>'


def made(xml: str | bytes, **more: str | bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        parts = {
            "[Content_Types].xml": TYPES,
            "_rels/.rels": RELS,
            "word/_rels/document.xml.rels": STYLES_RELS,
            "word/styles.xml": STYLES,
            "word/document.xml": xml,
        }
        for name, content in (parts | more).items():
            archive.writestr(name, content)
    return out.getvalue()


TEXT = document(
    paragraph("返品について", "1")
    + paragraph("商品の到着から七日以内にご連絡ください。")
    + paragraph("手順", "2")
    + "<w:tbl>"
    + row("理由", "送料")
    + row("不良品", "無料")
    + "</w:tbl>"
)


def reason(body: bytes, **limits: Any) -> str:
    with pytest.raises(ExtractFailed) as failed:
        docx.read(body, **limits)
    return failed.value.reason


def test_headings_paragraphs_and_tables() -> None:
    found = docx.read(made(TEXT), name="returns")
    assert (found.title, found.language) == ("返品について", "ja")
    assert found.blocks == (
        Block("heading", "返品について", 1),
        Block("paragraph", "商品の到着から七日以内にご連絡ください。"),
        Block("heading", "手順", 2),
        Block("table", "理由 | 送料\n不良品 | 無料"),
    )


def test_titles() -> None:
    core = '<cp:coreProperties xmlns:cp="c" xmlns:dc="d"><dc:title>Returns</dc:title></cp:coreProperties>'
    assert docx.read(made(TEXT, **{"docProps/core.xml": core})).title == "Returns"
    assert docx.read(made(document(paragraph("Text."))), name="file").title == "file"


BOMB = "<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;'>]>"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "broken"),
        (b"PK\x03\x04nonsense", "broken"),
        (made(TEXT)[:200], "broken"),
        (made("<not xml"), "broken"),
        (made(document("")), "empty"),
        (made(BOMB + TEXT.removeprefix('<?xml version="1.0"?>')), "broken"),
        (made(TEXT, **{"word/notes.xml": BOMB.encode("utf-16")}), "broken"),
        (made(TEXT, **{"word/media/a.bin": b"\0" * 5_000_000}), "broken"),  # packed to a thousandth
        (made(TEXT, **{"word/document2.xml": b"<a>" * 1_500_000}), "broken"),
        (made(document("<w:p>" * 4_000)), "broken"),
        (made(document("<w:tbl><w:tr><w:tc>" * 900 + "</w:tc></w:tr></w:tbl>" * 900)), "broken"),
        (b"\xd0\xcf\x11\xe0" + b"\0" * 100, "unsupported"),
        (b"\xd0\xcf\x11\xe0" + "EncryptedPackage".encode("utf-16-le"), "encrypted"),
    ],
)
def test_what_gives_no_text(body: bytes, why: str) -> None:
    assert reason(body) == why


def test_limits() -> None:
    assert reason(made(TEXT), max_bytes=100) == "too_large"
    assert reason(made(TEXT), max_entries=3) == "too_large"
    assert reason(made(TEXT), max_unpacked=500) == "too_large"
    assert reason(made(TEXT), max_xml=500) == "too_large"


def test_an_entry_that_lies_about_its_size_is_broken() -> None:
    body = made(TEXT, **{"word/media/a.bin": b"\0" * 900_000})
    size = (900_000).to_bytes(4, "little")
    assert body.count(size) == 2
    with suppress(ExtractFailed):  # the part is not read; a part that is read is cut off where it says that it ends
        docx.read(body.replace(size, (10).to_bytes(4, "little")))
    length = len(TEXT.encode()).to_bytes(4, "little")
    assert reason(made(TEXT).replace(length, (10).to_bytes(4, "little"))) == "broken"


def test_pictures_and_linked_files_are_never_opened() -> None:
    drawing = (
        '<w:p><w:r><w:drawing><wp:inline xmlns:wp="http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing">'
        '<a:graphic xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"><a:graphicData>'
        '<pic:pic xmlns:pic="http://schemas.openxmlformats.org/drawingml/2006/picture"><pic:blipFill>'
        f'<a:blip xmlns:r="{OFFICE}" r:link="r9"/></pic:blipFill></pic:pic></a:graphicData></a:graphic></wp:inline>'
        "</w:drawing></w:r></w:p>"
    )
    linked = STYLES_RELS.replace(
        "</Relationships>",
        f'<Relationship Id="r9" Type="{OFFICE}/image" TargetMode="External" Target="/etc/passwd"/></Relationships>',
    )
    found = docx.read(made(document(paragraph("Text.") + drawing), **{"word/_rels/document.xml.rels": linked}))
    assert [block.text for block in found.blocks] == ["Text."]


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=40), st.integers(0, 1_500), st.text(max_size=60))
def test_any_damage_is_read_or_told(damage: bytes, place: int, text: str) -> None:
    whole = made(TEXT)
    for body in (damage, whole[:place] + damage + whole[place + len(damage) :], made(text), made(document(text))):
        with suppress(ExtractFailed):
            docx.read(body)
