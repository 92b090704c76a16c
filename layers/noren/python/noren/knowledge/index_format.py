"""How an index file is laid out: numbered blocks, each with its own checksum.

    magic · format · length and checksum of the head · head (JSON) · sections

The head names the sections and whose index it is. Whatever is read is checked when it is read, so that opening costs
nothing in proportion to the site, and a damaged byte is found before it is believed. All numbers are little-endian.
"""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from noren.errors import NorenError
from noren.knowledge.analysis import ANALYSIS_VERSION

FORMAT_VERSION = 1
MAGIC = b"\x89NRNIDX\n"
"""Not text, and spoilt by transfers that change line ends."""
PREFIX = struct.Struct("<8sHHII")
"""Magic, format version, analysis version, length of the head, checksum of the head."""
CHECKSUM = struct.Struct("<I")
ALIGNMENT = 4
TERMS_PER_BLOCK = 64
TERM_BYTES = 12
"""Key, number of chunks that have it, and where they are listed: 4 bytes each."""
ROW_HEAD = struct.Struct("<If")
"""Of a vector: checksum, length of one step of its int8 numbers."""
MAX_CHUNKS = 1 << 24
"""A term of one chunk keeps that chunk's number in 24 bits."""


class BadIndex(NorenError):
    """An index file that can't be believed: missing, cut short, damaged, foreign, or of another site."""

    status = 503
    code = "index_unavailable"
    title = "What this site knows can't be read just now"


class Identity(NamedTuple):
    """Whose index a file is. It is part of the file, not only of its name."""

    tenant_id: str
    site_id: str
    version: str


@dataclass(frozen=True, slots=True)
class VectorSpace:
    """What the vectors of an index are, and how far they are to be trusted (`noren.knowledge.gate`)."""

    model: str
    dimensions: int
    weight: float = 0.0
    """Share of likeness in a fused score; 0 leaves vectors out of the ranking."""
    sure_cosine: float = 1.0
    """A passage at least so like the question answers it, whatever words they share."""


@dataclass(frozen=True, slots=True)
class Head:
    """What is known of an index before anything in it is read."""

    identity: Identity
    chunks: int
    documents: int
    terms: int
    vectors: VectorSpace | None
    sections: dict[str, tuple[int, int]]
    """Name → first byte (counted from the end of the head) and length."""

    def encode(self) -> bytes:
        """Prefix and head as they stand at the beginning of a file."""
        text = json.dumps(asdict(self), ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
        text += b" " * (-(PREFIX.size + len(text)) % ALIGNMENT)
        return PREFIX.pack(MAGIC, FORMAT_VERSION, ANALYSIS_VERSION, len(text), zlib.crc32(text)) + text


def key_of(term: str) -> int:
    """A term as the index keeps it. Two terms of one site rarely share a key, and then merely count as one."""
    return zlib.crc32(term.encode())


def symbol_of(symbol: str) -> int:
    """A symbol in 16 bits: a character is itself, a word a hash (a clash may only add to a chunk's nearness)."""
    if len(symbol) == 1 and (code := ord(symbol)) < 0x10000:
        return code
    return zlib.crc32(symbol.encode()) & 0xFFFF


def sealed(payload: bytes) -> bytes:
    """A block: checksum, payload, and zeros up to the alignment (which the checksum covers)."""
    payload += b"\0" * (-len(payload) % ALIGNMENT)
    return CHECKSUM.pack(zlib.crc32(payload)) + payload


def decode_head(text: bytes) -> Head:
    """The head of a file, once its checksum was right. Raises `BadIndex` if it says what no builder writes."""
    try:
        value: dict[str, Any] = json.loads(text)
        value["identity"] = Identity(*value["identity"])
        value["sections"] = {name: (int(start), int(length)) for name, (start, length) in value["sections"].items()}
        value["vectors"] = VectorSpace(**value["vectors"]) if value["vectors"] else None
        return Head(**value)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadIndex("The head of the index file is malformed. Train the site again.") from error
