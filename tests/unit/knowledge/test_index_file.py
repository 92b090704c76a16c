"""The index file: what is written is read, and what is damaged is refused."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from noren.knowledge.chunks import Chunk
from noren.knowledge.index_build import Document, build_index, trust_vectors, without_vectors
from noren.knowledge.index_file import IndexFile
from noren.knowledge.index_format import MAGIC, PREFIX, BadIndex, Identity, VectorSpace, symbol_of
from noren.knowledge.search import Findings, search
from noren.knowledge.vectors import Compact, compact

OURS = Identity("ten_a", "site_a", "7")
SPACE = VectorSpace("test-model", 12, weight=0.5)
TEXTS = [
    ("料金", "大人は1,200円、子どもは600円です。"),
    ("交通", "汐見駅からバスで12分です。駐車場は20台分あります。"),
    ("주차", "주차장은 가게 뒤에 있습니다. 네 대까지 세울 수 있습니다."),
    ("Opening hours", "We open at nine and close at six. In winter we open at ten."),
    ("", "大人向けの夜のツアーは18時に出ます。"),
]
QUESTIONS = ["大人の料金", "駐車場はありますか", "주차할 수 있나요?", "when do you open", "バス", "夜 ツアー"]


def vector(seed: str) -> list[float]:
    drawn = random.Random(seed)
    return [drawn.gauss(0, 1) for _ in range(SPACE.dimensions)]


def documents() -> list[tuple[Document, list[Chunk]]]:
    return [
        (
            Document(f"doc_{number:02}", f"https://a.example/{number}", f"題{number}", "ja"),
            [
                Chunk((heading,) if heading else (), text, f"a{number}", 0, 20),
                Chunk(("二",), f"続き{number}。", "", 1, 9),
            ],
        )
        for number, (heading, text) in enumerate(TEXTS)
    ]


def vectors() -> dict[str, Compact]:
    return {chunk.content_hash: compact(vector(chunk.text)) for _, made in documents() for chunk in made}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("index") / "a.idx"
    build_index(path, OURS, documents(), SPACE, vectors().get)
    return path


def answers(path: Path) -> list[Findings]:
    with IndexFile(path, OURS) as index:
        index.verify()
        found = [search(index, question) for question in QUESTIONS]
        return found + [search(index, question, vector=vector(question)) for question in QUESTIONS]


def test_passages_come_back_as_they_were(built: Path) -> None:
    with IndexFile(built, OURS) as index:
        assert (index.head.identity, index.head.chunks, index.head.documents) == (OURS, 10, 5)
        passage = index.passage(4)
        assert (passage.document_id, passage.url, passage.title, passage.language) == (
            "doc_02",
            "https://a.example/2",
            "題2",
            "ja",
        )
        assert (passage.headings, passage.anchor, passage.position, passage.text) == (("주차",), "a2", 0, TEXTS[2][1])
        assert index.symbols(4).headings[-2:] == [symbol_of("주"), symbol_of("차")]
        index.verify()


def test_the_dictionary_knows_who_has_a_term(built: Path) -> None:
    with IndexFile(built, OURS) as index:
        term = index.lookup("大人")
        assert term is not None
        assert list(index.postings(term).chunks) == [0, 8]
        alone = index.lookup("바다") or index.lookup("汐見")
        assert alone is not None
        assert list(index.postings(alone).chunks) == [2]
        assert index.lookup("飛行") is None
        assert index.lookup("") is None


def test_the_same_documents_give_the_same_bytes_in_any_order(built: Path, tmp_path: Path) -> None:
    path = tmp_path / "again.idx"
    build_index(path, OURS, documents()[::-1], SPACE, vectors().get)
    assert path.read_bytes() == built.read_bytes()
    assert [each.name for each in tmp_path.iterdir()] == ["again.idx"]


def test_an_empty_site_has_an_index_too(tmp_path: Path) -> None:
    build_index(tmp_path / "e.idx", OURS, [])
    with IndexFile(tmp_path / "e.idx", OURS) as index:
        index.verify()
        assert search(index, "料金は？") == Findings((), 0.0, False)


def test_more_chunks_than_sixteen_bits_count(tmp_path: Path) -> None:
    many = [
        Chunk((), "last" if number == 65_999 else "odd" if number % 2 else "", "", 0, 0) for number in range(66_000)
    ]
    build_index(tmp_path / "m.idx", OURS, [(Document("doc", "", ""), many)])
    with IndexFile(tmp_path / "m.idx") as index:
        term = index.lookup("odd")
        assert term is not None
        assert list(index.postings(term).chunks) == list(range(1, 65_999, 2))
        assert [hit.chunk for hit in search(index, "last").hits] == [65_999]


@pytest.mark.parametrize("wrong", [Identity("ten_b", "site_a", "7"), Identity("ten_a", "site_b", "7")])
def test_another_sites_index_is_refused(built: Path, wrong: Identity) -> None:
    with pytest.raises(BadIndex, match="another site"):
        IndexFile(built, wrong)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "missing or empty"),
        (b"x", "not an index"),
        (b"PK\x03\x04" + bytes(500), "not an index"),
        (MAGIC, "not an index"),
        (PREFIX.pack(MAGIC, 99, 1, 0, 0), r"format 99\.1"),
        (PREFIX.pack(MAGIC, 1, 0, 0, 0), "Train the site again"),
    ],
)
def test_what_is_no_index_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "x.idx"
    path.write_bytes(content)
    with pytest.raises(BadIndex, match=said):
        IndexFile(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadIndex, match="missing"):
        IndexFile(tmp_path / "none.idx")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99, 0.9999, 1.01])
def test_a_file_cut_short_or_grown_is_refused(built: Path, tmp_path: Path, share: float) -> None:
    data = built.read_bytes()
    size = int(len(data) * share)
    (tmp_path / "t.idx").write_bytes((data + bytes(len(data)))[:size])
    with pytest.raises(BadIndex):
        IndexFile(tmp_path / "t.idx")


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 7)), min_size=1, max_size=3))
def test_flipped_bits_are_noticed_or_without_effect(
    built: Path, tmp_path: Path, flips: list[tuple[float, int]]
) -> None:
    """Reading a damaged file says so; it never crashes, and never tells anything else than the sound one."""
    data = bytearray(built.read_bytes())
    for place, bit in flips:
        data[int(place * len(data))] ^= 1 << bit
    if bytes(data) == built.read_bytes():
        return
    path = tmp_path / "f.idx"
    path.write_bytes(data)
    with pytest.raises(BadIndex):
        answers(path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(flip=st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 7)))
def test_questions_to_a_damaged_file_are_answered_rightly_or_refused(
    built: Path, tmp_path: Path, flip: tuple[float, int]
) -> None:
    data = bytearray(built.read_bytes())
    data[int(flip[0] * len(data))] ^= 1 << flip[1]
    path = tmp_path / "q.idx"
    path.write_bytes(data)
    with IndexFile(built) as sound:
        for question in QUESTIONS:
            try:
                with IndexFile(path, OURS) as index:
                    found = search(index, question, vector=vector(question))
            except BadIndex:
                continue
            assert found == search(sound, question, vector=vector(question))


def test_vectors_must_be_of_one_size(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="12"):
        build_index(tmp_path / "v.idx", OURS, documents(), SPACE, lambda hash: compact([1.0] * 11))
    assert not list(tmp_path.iterdir())


def test_a_chunk_without_a_vector_is_found_by_words_alone(built: Path, tmp_path: Path) -> None:
    kept = vectors()
    del kept[documents()[0][1][0].content_hash]
    build_index(tmp_path / "p.idx", OURS, documents(), SPACE, kept.get)
    with IndexFile(tmp_path / "p.idx", OURS) as index:
        index.verify()
        like = vector(TEXTS[2][1])
        hits = {hit.chunk: hit for hit in search(index, "大人の料金", vector=like).hits}
        assert hits[0].cosine is None
        assert hits[4].cosine == pytest.approx(1, abs=0.02)
        assert hits[0].score == 1
        assert search(index, "バス", vector=[0.5] * 11) == search(index, "バス"), "a vector of another model"


def test_vectors_can_be_cut_off(built: Path, tmp_path: Path) -> None:
    path, plain = tmp_path / "c.idx", tmp_path / "w.idx"
    path.write_bytes(built.read_bytes())
    without_vectors(path, None)
    build_index(plain, OURS, documents())
    assert path.read_bytes() == plain.read_bytes()
    path.write_bytes(built.read_bytes())
    without_vectors(path, SPACE)
    with IndexFile(path, OURS) as index:
        index.verify()
        assert index.head.vectors == SPACE
        like = vector("料金")
        assert search(index, "料金", vector=like) == search(index, "料金")
        elsewhere = search(index, "料金", vector=like, likeness=lambda asked, also: {7: 0.9, 3: 0.1})
        assert elsewhere.hits[0].cosine is None
        assert 7 in {hit.chunk for hit in elsewhere.hits}


def test_the_verdict_on_vectors_changes_the_head_alone(built: Path, tmp_path: Path) -> None:
    path = tmp_path / "g.idx"
    path.write_bytes(built.read_bytes())
    space = VectorSpace("test-model", 12, weight=0.0)
    trust_vectors(path, space)
    with IndexFile(path, OURS) as index, IndexFile(built, OURS) as before:
        index.verify()
        assert index.head.vectors == space
        assert search(index, "料金", vector=vector("料金")) == search(before, "料金")


def test_an_index_that_is_still_read_can_be_closed(built: Path) -> None:
    index = IndexFile(built)
    term = index.lookup("大人")
    assert term is not None
    postings = index.postings(term)
    index.close()
    assert list(postings.chunks) == [0, 8]


def test_vectors_are_never_all_in_memory(tmp_path: Path) -> None:
    """A site's largest index has half a gigabyte of them, and its builder two for everything."""
    space = replace(SPACE, dimensions=3072)
    one = compact([1.0] * space.dimensions)
    made = [(Document("doc", "", ""), [Chunk((), f"text{number}", "", number, 1) for number in range(1000)])]
    size = 1000 * len(one.numbers)

    def peak(work: Callable[[], object]) -> int:
        tracemalloc.start()
        try:
            work()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    def vector_of(_: str) -> Compact:
        return Compact(bytes(one.signs), one.step, bytes(bytearray(one.numbers)))

    path = tmp_path / "h.idx"
    plain = peak(lambda: build_index(path, OURS, made))
    assert peak(lambda: build_index(path, OURS, made, space, vector_of)) - plain < size / 2
    assert peak(lambda: trust_vectors(path, space)) < size
    assert path.stat().st_size > size
    assert peak(lambda: without_vectors(path, None)) < size
    with IndexFile(path, OURS) as index:
        index.verify()
