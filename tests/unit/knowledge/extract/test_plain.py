from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noren.knowledge.extract.digest import content_hash
from noren.knowledge.extract.errors import ExtractFailed
from noren.knowledge.extract.files import kind_of, read_file
from noren.knowledge.extract.plain import ROWS_A_BLOCK, read_csv, read_markdown, read_text
from noren.knowledge.text import Block

MARKDOWN = """---
title: "Kettle"
---
# Kettle manual #

Rinse it **first**, see [the guide](https://x.example/ "t").
Never use `soap`.

Limescale
---------
- Boil *vinegar*.
- Let it
  stand.
1. One

> Quoted

| Model | Litres |
|-------|:------:|
| K-100 | 1.2 |

```python
# no heading
x = 1
```
text after
"""


def test_markdown() -> None:
    found = read_markdown(MARKDOWN.encode(), name="file")
    assert (found.title, found.language) == ("Kettle", "en")
    assert found.blocks == (
        Block("heading", "Kettle manual", 1),
        Block("paragraph", "Rinse it first, see the guide. Never use soap."),
        Block("heading", "Limescale", 2),
        Block("item", "Boil vinegar."),
        Block("item", "Let it stand."),
        Block("item", "One"),
        Block("paragraph", "Quoted"),
        Block("table", "Model | Litres\nK-100 | 1.2"),
        Block("code", "# no heading\nx = 1"),
        Block("paragraph", "text after"),
    )
    assert read_markdown(b"# Head\ntext", name="file").title == "Head"
    assert read_markdown(b"text\n```\nopen", name="file").blocks[1] == Block("code", "open")


@pytest.mark.parametrize("charset", ["utf-8", "utf-8-sig", "utf-16", "cp932", "euc_jp"])
def test_text(charset: str) -> None:
    found = read_text("送料は無料です。\r\n翌日に届きます。\r\n\r\n返品もできます。".encode(charset), name="送料")
    assert (found.title, found.language) == ("送料", "ja")
    assert [block.text for block in found.blocks] == ["送料は無料です。翌日に届きます。", "返品もできます。"]


@pytest.mark.parametrize("delimiter", ",;\t|")
def test_csv(delimiter: str) -> None:
    rows = [["name", "price"], *([f"cup {number}", "300"] for number in range(ROWS_A_BLOCK + 1))]
    found = read_csv("\n".join(delimiter.join(row) for row in rows).encode(), name="prices")
    assert [block.text.split("\n")[0] for block in found.blocks] == ["name | price"] * 2
    assert found.blocks[1].text == f"name | price\ncup {ROWS_A_BLOCK} | 300"


def test_csv_cells_stay_whole() -> None:
    assert read_csv(b'q,a\n"one, two","a\nb | ""c"""\n,\n').blocks == (Block("table", 'q | a\none, two | a b / "c"'),)
    assert read_csv("이름,가격\n찻잔,300".encode("cp949")).language == "ko"
    assert read_csv(b"only,head").blocks == (Block("table", "only | head"),)


def test_limits() -> None:
    for body, read in (
        (b"x" * 11, lambda body: read_text(body, max_bytes=10)),
        (b"x" * 11, lambda body: read_markdown(body, max_bytes=10)),
        (b"a,b\n" * 12, lambda body: read_csv(body, max_rows=10)),
        (b"a," * 500, read_csv),
    ):
        with pytest.raises(ExtractFailed, match="too_large"):
            read(body)


def test_hostile_markdown_takes_linear_time() -> None:
    for text in (
        "[" * 50_000,
        "*" * 50_000,
        "**a" * 20_000,
        "`" * 50_000,
        "- " * 50_000,
        "|-" * 50_000,
        "---\n" * 20_000,
        "![](" * 20_000,
    ):
        with suppress(ExtractFailed):
            read_markdown(f"a|b\n{text}\n".encode())


@pytest.mark.parametrize(
    ("body", "name", "content_type", "kind"),
    [
        (b"%PDF-1.7", "x", "text/html", "pdf"),
        (b"", "a.PDF", "", "pdf"),
        (b"", "x", "text/html; charset=utf-8", "html"),
        (b"", "x.md", "text/plain", "markdown"),
        (b"", "x.md", "application/octet-stream", "markdown"),
        (b"", "x", "text/plain", "text"),
        (b"\xef\xbb\xbf\n<!DOCTYPE HTML>", "x", "", "html"),
        (b"", "x.csv", "text/csv", "csv"),
        (b"", "x.docx", "application/zip", "docx"),
        (b"", "x.html", "image/png", None),
        (b"GIF89a", "x", "", None),
        (b"", "", "", None),
    ],
)
def test_kinds(body: bytes, name: str, content_type: str, kind: str | None) -> None:
    assert kind_of(body, name=name, content_type=content_type) == kind


@pytest.mark.parametrize(
    ("body", "name", "why"),
    [
        (b"GIF89a", "a.gif", "unsupported"),
        (b"\0\1\2", "a.txt", "unsupported"),
        (b"  \n", "a.txt", "empty"),
        (b"", "a.csv", "empty"),
        (b"<html></html>", "a.html", "empty"),
        (b"x", "a.pdf", "broken"),
        (b"x", "a.docx", "broken"),
    ],
)
def test_files_without_text(body: bytes, name: str, why: str) -> None:
    with pytest.raises(ExtractFailed, match=why):
        read_file(body, name=name)


def test_a_text_is_known_by_its_hash() -> None:
    one, same = read_file(b"# A\nb", name="x.md"), read_file(b"A\n=\n\nb", name="y.md")
    assert content_hash(one) == content_hash(same)
    assert content_hash(one) != content_hash(read_file(b"# A\nb.", name="x.md"))
    assert len(content_hash(one)) == 64


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode), st.sampled_from(["txt", "md", "csv", "html"]))
def test_any_bytes_are_read_or_told(body: bytes, ending: str) -> None:
    with suppress(ExtractFailed):
        assert read_file(body, name=f"a.{ending}").blocks
