"""Reading an index file: mapped into memory, opened in a moment, each block checked when it is read."""

from __future__ import annotations

import json
import mmap
import struct
import zlib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Literal, NamedTuple, Self

from noren.knowledge.analysis import ANALYSIS_VERSION
from noren.knowledge.index_format import (
    ALIGNMENT,
    CHECKSUM,
    FORMAT_VERSION,
    MAGIC,
    PREFIX,
    ROW_HEAD,
    TERM_BYTES,
    TERMS_PER_BLOCK,
    BadIndex,
    Head,
    Identity,
    decode_head,
    key_of,
)
from noren.knowledge.vectors import Signatures

_TERM_BLOCK = CHECKSUM.size + TERMS_PER_BLOCK * TERM_BYTES


class Term(NamedTuple):
    """What the dictionary says of a term."""

    chunks: int
    """How many have it."""
    place: int
    """Of its postings; of a term that only one chunk has, that chunk and its impact."""


class Postings(NamedTuple):
    """The chunks that have a term, in order, and how much it says of each (1 to 255)."""

    chunks: Sequence[int]
    impacts: Sequence[int]


class Symbols(NamedTuple):
    """A chunk as nearness sees it."""

    headings: list[int]
    text: list[int]


class Passage(NamedTuple):
    """A chunk with where it comes from."""

    document_id: str
    url: str
    title: str
    language: str
    headings: tuple[str, ...]
    anchor: str
    position: int
    text: str


class IndexFile:
    """The index of one site in one version. Not changed by anything; shared by threads.

    Every method that reads raises `BadIndex` where the file is not as its builder wrote it.
    """

    def __init__(self, source: Path | IO[bytes], identity: Identity | None = None) -> None:
        """Open a file (one that is open already may be closed afterwards), which must be the index of `identity` if
        that is given.
        """
        try:
            with source.open("rb") if isinstance(source, Path) else nullcontext(source) as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:  # ValueError: an empty file can't be mapped
            raise BadIndex("The index file is missing or empty. Train the site again.") from error
        self._view = memoryview(self._map)
        try:
            self.head, self._start = read_head(self._view)
            if identity is not None and self.head.identity != identity:
                raise BadIndex("The index file is of another site or version.")
            if self._start + sum(length for _, length in self.head.sections.values()) != len(self._view):
                raise BadIndex("The index file is cut short or has grown. Fetch it again.")
            self._term_directory = self._directory("term_directory")
            self._chunk_starts = self._directory("chunk_directory", self.head.chunks + 1)
            self._document_starts = self._directory("document_directory", self.head.documents + 1)
        except BaseException:
            self.close()
            raise
        self._chunk_width: Literal["H", "I"] = "H" if self.head.chunks <= 0x10000 else "I"
        self._signatures: Signatures | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the memory back, at the latest when whoever still reads is done. Nothing may be read afterwards."""
        with suppress(BufferError):
            self._view.release()
            self._map.close()

    def lookup(self, term: str) -> Term | None:
        """The dictionary's entry of a term; None if no chunk has it."""
        key = key_of(term)
        number = bisect_right(self._term_directory, key) - 1
        if number < 0:
            return None
        length = min(_TERM_BLOCK, self._section("terms")[1] - number * _TERM_BLOCK)
        columns = self._block("terms", number * _TERM_BLOCK, length).cast("I")
        count = len(columns) // 3
        place = bisect_left(columns, key, 0, count)
        if place == count or columns[place] != key:
            return None
        return Term(columns[count + place], columns[2 * count + place])

    def postings(self, term: Term) -> Postings:
        """The chunks that have a term."""
        if term.chunks == 1:
            return Postings((term.place >> 8,), bytes((term.place & 0xFF,)))
        split = term.chunks * (2 if self._chunk_width == "H" else 4)
        length = CHECKSUM.size + -(-(split + term.chunks) // ALIGNMENT) * ALIGNMENT
        block = self._block("postings", term.place * ALIGNMENT, length)
        return Postings(block[:split].cast(self._chunk_width), block[split : split + term.chunks])

    def symbols(self, chunk: int) -> Symbols:
        """The symbols of a chunk, in reading order."""
        block = self._chunk(chunk)
        headings, count = struct.unpack_from("<II", block)
        symbols = block[8 : 8 + 2 * count].cast("H").tolist()
        return Symbols(symbols[:headings], symbols[headings:])

    def passage(self, chunk: int) -> Passage:
        """A chunk's text and where it comes from."""
        block = self._chunk(chunk)
        _, count = struct.unpack_from("<II", block)
        try:
            record = zlib.decompressobj().decompress(block[8 + 2 * count :])
            number, position, anchor, headings, text = json.loads(record)
            starts = self._document_starts
            document = json.loads(
                bytes(self._block("documents", starts[number] * ALIGNMENT, self._length_of(starts, number))).rstrip(
                    b"\0"
                )
            )
            document_id, url, title, language = document
        except (zlib.error, ValueError, TypeError, IndexError) as error:
            raise BadIndex("A passage of the index file is malformed. Train the site again.") from error
        return Passage(document_id, url, title, language, tuple(headings), anchor, position, text)

    @property
    def has_vectors(self) -> bool:
        """Whether the file itself holds vectors."""
        return self.head.vectors is not None and "vectors" in self.head.sections

    def signatures(self) -> Signatures:
        """The signs of every chunk's vector; read once."""
        if self._signatures is None:
            width = -(-self._dimensions() // 8)
            block = self._block("signatures", 0, self._section("signatures")[1])
            self._signatures = Signatures(bytes(block[: width * self.head.chunks]), self._dimensions())
        return self._signatures

    def vector(self, chunk: int) -> tuple[float, memoryview[int]]:
        """The step and the int8 numbers of a chunk's vector."""
        dimensions = self._dimensions()
        length = ROW_HEAD.size + -(-dimensions // ALIGNMENT) * ALIGNMENT
        block = self._block("vectors", chunk * length, length)
        return struct.unpack_from("<f", block)[0], block[4 : 4 + dimensions].cast("b")

    def verify(self) -> None:
        """Read all of it: what a worker does before a version is published. Slow in proportion to the file."""
        for chunk in range(self.head.chunks):
            self.symbols(chunk)
            self.passage(chunk)
            if self.has_vectors:
                self.vector(chunk)
        if self.has_vectors:
            self.signatures()
        terms = 0
        for number in range(len(self._term_directory)):
            length = min(_TERM_BLOCK, self._section("terms")[1] - number * _TERM_BLOCK)
            columns = self._block("terms", number * _TERM_BLOCK, length).cast("I")
            count = len(columns) // 3
            terms += count
            for place in range(count):
                chunks, _ = self.postings(Term(columns[count + place], columns[2 * count + place]))
                if chunks[-1] >= self.head.chunks:
                    raise BadIndex("The index file lists a chunk that it does not have. Train the site again.")
        if terms != self.head.terms:
            raise BadIndex("The index file lacks some of its terms. Train the site again.")

    def _dimensions(self) -> int:
        if self.head.vectors is None:
            raise BadIndex("The index file has no vectors.")
        return self.head.vectors.dimensions

    def _section(self, name: str) -> tuple[int, int]:
        try:
            return self.head.sections[name]
        except KeyError:
            raise BadIndex(f"The index file has no {name}. Train the site again.") from None

    def _directory(self, name: str, count: int | None = None) -> array[int]:
        values = array("I", self._block(name, 0, self._section(name)[1]).tobytes())
        if count is not None and len(values) != count:
            raise BadIndex("The index file counts otherwise than it is. Train the site again.")
        return values

    def _chunk(self, chunk: int) -> memoryview:
        starts = self._chunk_starts
        return self._block("chunks", starts[chunk] * ALIGNMENT, self._length_of(starts, chunk))

    @staticmethod
    def _length_of(starts: array[int], number: int) -> int:
        return (starts[number + 1] - starts[number]) * ALIGNMENT

    def _block(self, section: str, start: int, length: int) -> memoryview:
        """The payload of a block, which is as it was written."""
        first, size = self._section(section)
        if not 0 <= start <= start + length <= size or length < CHECKSUM.size:
            raise BadIndex("The index file points beyond itself. Train the site again.")
        block = self._view[self._start + first + start : self._start + first + start + length]
        if zlib.crc32(block[CHECKSUM.size :]) != CHECKSUM.unpack_from(block)[0]:
            raise BadIndex("The index file is damaged. Fetch it again.")
        return block[CHECKSUM.size :]


def read_head(data: memoryview | bytes) -> tuple[Head, int]:
    """The head of an index, and where what follows it begins. Raises `BadIndex`."""
    if len(data) < PREFIX.size or bytes(data[: len(MAGIC)]) != MAGIC:
        raise BadIndex("This is not an index file.")
    _, version, analysis, length, checksum = PREFIX.unpack_from(data)
    if (version, analysis) != (FORMAT_VERSION, ANALYSIS_VERSION):
        raise BadIndex(
            f"The index file has format {version}.{analysis}, this release reads {FORMAT_VERSION}.{ANALYSIS_VERSION}."
            " Train the site again."
        )
    text = bytes(data[PREFIX.size : PREFIX.size + length])
    if len(text) != length or zlib.crc32(text) != checksum:
        raise BadIndex("The head of the index file is damaged. Fetch it again.")
    return decode_head(text), PREFIX.size + length
