"""Vectors of a site's chunks as they lie in the bucket: packs of many, each vector under the hash of its text.

A pack is never changed, and named by what is in it: whoever writes it twice writes the same. What no text has any more
goes when packs are joined.
"""

from __future__ import annotations

import hashlib
import logging
import struct
import zlib
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import Executor

from noren.knowledge.blobs import BlobMissing, Blobs
from noren.knowledge.vectors import Compact

MAGIC = b"NRNVEC1\n"
HEAD = struct.Struct("<8sIII")
"""Magic, dimensions, number of vectors, checksum of the rest: hashes of 16 bytes, then the rows."""
HASH_BYTES = 16
JOINED_BYTES = 32 * 1024 * 1024
"""Of a pack that is made of others."""
MANY = 8
"""So many packs are joined."""
USELESS = 0.25
"""Packs of which more than this share is not needed are made anew."""

_log = logging.getLogger("noren.knowledge")


class _Pack:
    """One pack, held as it was read."""

    def __init__(self, key: str, stored: float, data: bytes) -> None:
        self.key, self.stored, self._data = key, stored, data
        magic, self.dimensions, self.count, checksum = HEAD.unpack_from(data)
        self._row = -(-self.dimensions // 8) + 4 + self.dimensions
        self._rows = HEAD.size + HASH_BYTES * self.count
        if magic != MAGIC or len(data) != self._rows + self._row * self.count:
            raise ValueError("This is not a pack of vectors.")
        if zlib.crc32(memoryview(data)[HEAD.size :]) != checksum:
            raise ValueError("This pack is damaged.")

    def hashes(self) -> Iterable[bytes]:
        return (self._data[place : place + HASH_BYTES] for place in range(HEAD.size, self._rows, HASH_BYTES))

    def row(self, number: int) -> Compact:
        start = self._rows + self._row * number
        signs = start + self._row - 4 - self.dimensions
        (step,) = struct.unpack_from("<f", self._data, signs)
        return Compact(self._data[start:signs], step, self._data[signs + 4 : start + self._row])


class VectorPacks:
    """The vectors of one site by one model."""

    def __init__(self, blobs: Blobs, prefix: str, pool: Executor) -> None:
        self._blobs, self._prefix, self._pool = blobs, prefix, pool
        self._packs: dict[str, _Pack] = {}
        self._damaged: dict[str, float] = {}
        self._places: dict[bytes, tuple[_Pack, int]] = {}
        self._newest: _Pack | None = None

    def read(self) -> None:
        """Read the packs that are new."""
        listed = dict(self._blobs.listed(self._prefix))
        new = sorted(
            (key for key in listed if key not in self._packs and key not in self._damaged), key=listed.__getitem__
        )
        for key, data in zip(new, self._pool.map(self._data_of, new), strict=True):
            if data is not None:
                self._take(key, listed[key], data)

    @property
    def dimensions(self) -> int:
        """Of the vectors that were stored last; 0 where there are none."""
        return self._newest.dimensions if self._newest else 0

    def get(self, hash: str, since: float = 0.0) -> Compact | None:
        """The vector of the text with that hash (32 hex digits), if one was stored at `since` or later."""
        pack, number = self._places.get(bytes.fromhex(hash), (None, 0))
        return pack.row(number) if pack and pack.stored >= since and pack.dimensions == self.dimensions else None

    def add(self, vectors: Mapping[str, Compact], now: float) -> None:
        """Store vectors by the hashes of their texts."""
        key, data = _packed(self._prefix, vectors)
        self._blobs.put(key, data)
        self._take(key, now, data)

    def join(self, wanted: Collection[str], until: float) -> None:
        """Keep of the packs stored at `until` or before what is wanted, and of the size of the last vectors, in few:
        where that is worth it.
        """
        old = [each for each in self._packs.values() if each.stored <= until]
        damaged = [key for key, stored in self._damaged.items() if stored <= until]
        numbers = (
            (hash, self._places[bytes.fromhex(hash)]) for hash in sorted(wanted) if bytes.fromhex(hash) in self._places
        )
        among = {each.key for each in old}
        kept = [
            (hash, pack, number)
            for hash, (pack, number) in numbers
            if pack.key in among and pack.dimensions == self.dimensions
        ]
        useless = 1 - len(kept) / max(1, sum(each.count for each in old))
        if len(old) < MANY and useless <= USELESS and not damaged:
            return
        size = max(1, JOINED_BYTES // max(1, 2 * self.dimensions))
        made = set[str]()
        for start in range(0, len(kept), size):
            some = {hash: pack.row(number) for hash, pack, number in kept[start : start + size]}
            key, data = _packed(self._prefix, some)
            self._blobs.put(key, data)
            made.add(key)
        self._blobs.delete([*(among - made), *damaged])

    def _data_of(self, key: str) -> bytes | None:
        try:
            return self._blobs.get(key)
        except BlobMissing:  # somebody has joined it: what it held is read next time
            return None

    def _take(self, key: str, stored: float, data: bytes) -> None:
        try:
            pack = self._packs[key] = _Pack(key, stored, data)
        except (ValueError, struct.error):
            _log.error("a pack of vectors is damaged: its texts are embedded anew")
            self._damaged[key] = stored
            return
        if self._newest is None or pack.stored >= self._newest.stored:
            self._newest = pack
        self._places.update((hash, (pack, number)) for number, hash in enumerate(pack.hashes()))


def _packed(prefix: str, vectors: Mapping[str, Compact]) -> tuple[str, bytes]:
    """A pack's key and what is in it. All vectors have the size of the first; those of another are left out."""
    dimensions = len(next(iter(vectors.values())).numbers)
    rows = {hash: each for hash, each in vectors.items() if len(each.numbers) == dimensions}
    body = b"".join(map(bytes.fromhex, rows))
    body += b"".join(
        part for each in rows.values() for part in (each.signs, struct.pack("<f", each.step), each.numbers)
    )
    data = HEAD.pack(MAGIC, dimensions, len(rows), zlib.crc32(body)) + body
    return f"{prefix}{hashlib.sha256(data).hexdigest()[:32]}.pack", data
