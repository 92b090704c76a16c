"""Writing an index file. The same documents give the same bytes, in whatever order they come."""

from __future__ import annotations

import json
import os
import struct
import zlib
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import IO

from noren.knowledge.analysis import terms
from noren.knowledge.chunks import Chunk
from noren.knowledge.index_file import read_head
from noren.knowledge.index_format import (
    ALIGNMENT,
    MAX_CHUNKS,
    TERMS_PER_BLOCK,
    Head,
    Identity,
    VectorSpace,
    key_of,
    sealed,
    symbol_of,
)
from noren.knowledge.vectors import Compact, absent

SATURATION, LENGTH_NORM = 1.2, 0.75
"""BM25's k1 and b."""
IMPACT_STEPS = 255
VECTOR_SECTIONS = ("signatures", "vectors")
PIECE_BYTES = 1 << 20
"""Of a file that is copied."""
HEADING_WEIGHT = 2
"""A term of a heading counts as often as so many in the text."""


@dataclass(frozen=True, slots=True)
class Document:
    """Where chunks come from."""

    document_id: str
    url: str
    title: str
    language: str = ""


class _Corpus:
    """What is gathered from chunks before anything can be written."""

    def __init__(self) -> None:
        self.lengths = array("I")
        self.postings: dict[int, array[int]] = {}
        """Key → its chunks in order, each with how often it is there in the lowest 8 bits."""
        self.blocks: list[bytes] = []
        self._of_term: dict[str, array[int]] = {}
        """The same lists by the terms themselves, which are hashed once only."""

    def add(self, document: int, title: str, chunk: Chunk) -> None:
        number = len(self.lengths)
        heads, body = terms("\n".join(dict.fromkeys((title, *chunk.headings)))), terms(chunk.text)
        counts = Counter(body.keys)
        for key in heads.keys:
            counts[key] += HEADING_WEIGHT
        for term, count in counts.items():
            found = self._of_term.get(term)
            if found is None:
                found = self._of_term[term] = self.postings.setdefault(key_of(term), array("I"))
            if not found or found[-1] >> 8 != number:  # else another term with the same key was here
                found.append(number << 8 | min(count, 255))
        self.lengths.append(sum(counts.values()))
        symbols = array("H", map(symbol_of, heads.symbols + body.symbols))
        record = json.dumps([document, chunk.position, chunk.anchor, chunk.headings, chunk.text], ensure_ascii=False)
        self.blocks.append(
            sealed(
                struct.pack("<II", len(heads.symbols), len(symbols))
                + symbols.tobytes()
                + zlib.compress(record.encode(errors="replace"))
            )
        )


class _Sections:
    """Sections of a file in the making."""

    def __init__(self) -> None:
        self.parts: list[Iterable[bytes]] = []
        self.places: dict[str, tuple[int, int]] = {}
        self._length = 0

    def add(self, name: str, parts: Sequence[bytes]) -> None:
        self.add_made(name, parts, sum(map(len, parts)))

    def add_made(self, name: str, parts: Iterable[bytes], length: int) -> None:
        """Parts that are made when they are written, of so many bytes together."""
        self.places[name] = (self._length, length)
        self.parts.append(parts)
        self._length += length


def build_index(
    path: Path,
    identity: Identity,
    documents: Iterable[tuple[Document, Sequence[Chunk]]],
    space: VectorSpace | None = None,
    vector_of: Callable[[str], Compact | None] | None = None,
) -> Head:
    """Write the index of a site to `path`, whole or not at all.

    With `space`, `vector_of` gives the vector of a chunk by its `content_hash`; a chunk without one is found by words
    alone. Raises `ValueError` when one has other dimensions, and when there are more chunks than a file can hold.
    """
    ordered = sorted(documents, key=lambda pair: pair[0].document_id)
    corpus = _Corpus()
    hashes: list[str] = []
    for number, (document, chunks) in enumerate(ordered):
        for chunk in chunks:
            corpus.add(number, document.title, chunk)
            hashes.append(chunk.content_hash)
    if len(corpus.lengths) > MAX_CHUNKS:
        raise ValueError(f"An index file holds at most {MAX_CHUNKS} chunks.")
    sections = _Sections()
    _add_terms(sections, corpus)
    _add_blocks(sections, "chunk", corpus.blocks)
    _add_blocks(
        sections,
        "document",
        [
            sealed(json.dumps([d.document_id, d.url, d.title, d.language], ensure_ascii=False).encode(errors="replace"))
            for d, _ in ordered
        ],
    )
    if space:
        _add_vectors(sections, space, hashes, vector_of or (lambda _: None))
    head = Head(identity, len(corpus.lengths), len(ordered), len(corpus.postings), space, sections.places)
    _write(path, chain([head.encode()], *sections.parts))
    return head


def trust_vectors(path: Path, space: VectorSpace) -> None:
    """Write what a gate found about an index's vectors into its head; everything else stays as it is."""
    with path.open("rb") as file:
        head, start = read_head(file.read(1 << 20))
        rest = _pieces(file, start, max(first + length for first, length in head.sections.values()))
        _write(path, chain([replace(head, vectors=space).encode()], rest))


def without_vectors(path: Path, space: VectorSpace | None) -> None:
    """Cut an index's vectors off. `space` says what was found about them where they are kept elsewhere."""
    with path.open("rb") as file:
        head, start = read_head(file.read(1 << 20))
        sections = {name: place for name, place in head.sections.items() if name not in VECTOR_SECTIONS}
        rest = _pieces(file, start, max(first + length for first, length in sections.values()))
        _write(path, chain([replace(head, vectors=space, sections=sections).encode()], rest))


def _pieces(file: IO[bytes], start: int, length: int) -> Iterator[bytes]:
    """What is there, never much of it in memory."""
    file.seek(start)
    while length > 0 and (piece := file.read(min(length, PIECE_BYTES))):
        length -= len(piece)
        yield piece


def _checked(vector: Compact | None, space: VectorSpace) -> Compact:
    if vector is None:
        return absent(space.dimensions)
    if len(vector.numbers) != space.dimensions:
        raise ValueError(f"A vector has {len(vector.numbers)} dimensions, the others have {space.dimensions}.")
    return vector


def _add_terms(sections: _Sections, corpus: _Corpus) -> None:
    """Dictionary and postings: keys in order, `TERMS_PER_BLOCK` to a block, the first key of each in a directory."""
    width = "H" if len(corpus.lengths) <= 0x10000 else "I"
    mean = sum(corpus.lengths) / max(1, len(corpus.lengths)) or 1.0  # a site may have nothing to look up
    norms = [SATURATION * (1 - LENGTH_NORM + LENGTH_NORM * length / mean) for length in corpus.lengths]
    single = [_impact(1, norm) for norm in norms]
    lists: list[bytes] = []
    written = 0
    dictionary: list[bytes] = []
    keys = sorted(corpus.postings)
    for first in range(0, len(keys), TERMS_PER_BLOCK):
        block = keys[first : first + TERMS_PER_BLOCK]
        sizes, places = array("I"), array("I")
        for key in block:
            found = corpus.postings[key]
            impacts = bytes(
                [single[each >> 8] if each & 255 == 1 else _impact(each & 255, norms[each >> 8]) for each in found]
            )
            sizes.append(len(found))
            if len(found) == 1:  # half of all terms: no list of its own
                places.append(found[0] & ~255 | impacts[0])
                continue
            places.append(written // ALIGNMENT)
            lists.append(sealed(array(width, [each >> 8 for each in found]).tobytes() + impacts))
            written += len(lists[-1])
        dictionary.append(sealed(array("I", block).tobytes() + sizes.tobytes() + places.tobytes()))
    sections.add("term_directory", [sealed(array("I", keys[::TERMS_PER_BLOCK]).tobytes())])
    sections.add("terms", dictionary)
    sections.add("postings", lists)


def _impact(count: int, norm: float) -> int:
    """What BM25 gives a term for being in a chunk so often, of 255: between 1 and 255."""
    return max(1, round(IMPACT_STEPS * count / (count + norm)))


def _add_blocks(sections: _Sections, name: str, blocks: Sequence[bytes]) -> None:
    """Numbered blocks and the directory of where each begins and the last one ends."""
    starts = array("I", [0])
    for block in blocks:
        starts.append(starts[-1] + len(block) // ALIGNMENT)
    sections.add(f"{name}_directory", [sealed(starts.tobytes())])
    sections.add(f"{name}s", blocks)


def _add_vectors(
    sections: _Sections, space: VectorSpace, hashes: Sequence[str], vector_of: Callable[[str], Compact | None]
) -> None:
    """Last of all sections, so that `without_vectors` can cut them off. All of them at once may be half the memory that
    a builder has: so each is asked for when it is written.
    """

    def rows() -> Iterator[Compact]:
        return (_checked(vector_of(each), space) for each in hashes)

    sections.add("signatures", [sealed(b"".join(row.signs for row in rows()))])
    made = (sealed(struct.pack("<f", row.step) + row.numbers) for row in rows())
    sections.add_made("vectors", made, len(hashes) * len(sealed(bytes(4 + space.dimensions))))


def _write(path: Path, parts: Iterable[bytes]) -> None:
    unfinished = path.with_name(path.name + ".part")
    with unfinished.open("wb") as file:
        file.writelines(parts)
    os.replace(unfinished, path)
