from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noren.knowledge.extract import pdf
from noren.knowledge.extract.errors import ExtractFailed
from noren.knowledge.text import Block

Lines = list[tuple[int, int, str]]
"""Size, distance from the bottom, text."""


def made(pages: list[Lines], *, title: str = "", locked: bool = False, kids: str = "") -> bytes:
    """A PDF of the simplest kind, in Latin letters."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", ""]
    objects.append("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>")
    objects.append(f"<< /Title ({title}) >>")
    names = []
    for lines in pages:
        drawn = "BT " + " ".join(f"/F {size} Tf 1 0 0 1 50 {y} Tm ({text}) Tj" for size, y, text in lines) + " ET"
        names.append(f"{len(objects) + 1} 0 R")
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents {len(objects) + 2} 0 R "
            "/Resources << /Font << /F 3 0 R >> >> >>"
        )
        objects.append(f"<< /Length {len(drawn)} >>\nstream\n{drawn}\nendstream")
    objects[1] = f"<< /Type /Pages /Count {len(pages)} /Kids [{kids or ' '.join(names)}] >>"
    body, places = "%PDF-1.7\n", []
    for number, each in enumerate(objects, 1):
        places.append(len(body))
        body += f"{number} 0 obj\n{each}\nendobj\n"
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    lock = f"/Encrypt << /Filter /Standard /V 1 /R 2 /P -4 /O <{'0' * 64}> /U <{'1' * 64}> >> /ID [<00> <00>]"
    trailer = f"<< /Size {len(objects) + 1} /Root 1 0 R /Info 4 0 R {lock if locked else ''} >>"
    table = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}"
    return f"{body}{table}trailer\n{trailer}\nstartxref\n{len(body)}\n%%EOF".encode()


MANUAL: list[Lines] = [
    [
        (24, 750, "Kettle manual"),
        (11, 700, "Rinse the kettle before you use it for the"),
        (11, 686, "first time. Never put it into a dishwasher."),
        (16, 640, "Limescale"),
        (11, 610, "Boil water and vinegar."),
        (11, 560, "Let it stand for an hour."),
    ],
    [(16, 750, "Warranty"), (11, 720, "Two years from the day that you bought it.")],
]


def reason(body: bytes, **limits: object) -> str:
    with pytest.raises(ExtractFailed) as failed:
        pdf.read(body, **limits)  # type: ignore[arg-type]
    return failed.value.reason


def test_paragraphs_headings_and_pages() -> None:
    found = pdf.read(made(MANUAL, title="Manual K-100"))
    assert (found.title, found.language) == ("Manual K-100", "en")
    assert found.blocks == (
        Block("heading", "Kettle manual", 1, "page=1"),
        Block(
            "paragraph",
            "Rinse the kettle before you use it for the first time. Never put it into a dishwasher.",
            0,
            "page=1",
        ),
        Block("heading", "Limescale", 2, "page=1"),
        Block("paragraph", "Boil water and vinegar.", 0, "page=1"),
        Block("paragraph", "Let it stand for an hour.", 0, "page=1"),
        Block("heading", "Warranty", 2, "page=2"),
        Block("paragraph", "Two years from the day that you bought it.", 0, "page=2"),
    )


def test_a_title_is_found_or_the_files_name() -> None:
    assert pdf.read(made(MANUAL), name="k100").title == "Kettle manual"
    assert pdf.read(made([[(11, 700, "Only text.")]]), name="k100").title == "k100"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (made(MANUAL, locked=True), "encrypted"),
        (b"", "broken"),
        (b"%PDF-1.7\nnonsense", "broken"),
        (made(MANUAL)[:300], "broken"),
        (made([[]]), "empty"),
        (made([[(11, 700, "x")]], kids="2 0 R"), "empty"),  # a tree of pages that contains itself
    ],
)
def test_what_gives_no_text(body: bytes, why: str) -> None:
    assert reason(body) in {why, "broken"}
    if why == "encrypted":
        assert reason(body) == "encrypted"


def test_limits() -> None:
    assert reason(made(MANUAL), max_bytes=100) == "too_large"
    assert reason(made(MANUAL), max_pages=1) == "too_large"
    assert reason(made(MANUAL), max_characters=200) == "too_large"
    ticks = count()
    assert reason(made(MANUAL), max_seconds=1.5, clock=lambda: float(next(ticks))) == "too_slow"
    assert len(pdf.read(made([MANUAL[1]] * 300)).blocks) == 600


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=30), st.integers(0, 1_500))
def test_any_damage_is_read_or_told(damage: bytes, place: int) -> None:
    whole = made(MANUAL)
    for body in (damage, b"%PDF-1.7" + damage, whole[:place] + damage + whole[place + len(damage) :]):
        try:
            pdf.read(body)
        except ExtractFailed as failed:
            assert failed.reason in ("broken", "empty", "encrypted")  # noqa: PT017
