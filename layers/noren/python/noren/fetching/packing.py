"""Bodies as they are sent: unpacked step by step, so that a bomb is noticed before it is in memory."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Protocol

from noren.fetching.errors import FetchFailed

STEP = 65_536
"""About so many bytes are unpacked at a time."""
ACCEPTED = "gzip, br" if find_spec("brotli") else "gzip"
"""What a request asks for. Brotli is there where pages are read: its package is in the extract layer."""


class Unpacker(Protocol):
    """Takes pieces of a body."""

    def unpacked(self, piece: bytes) -> Iterator[bytes]:
        """What is in a piece, in steps. Raises FetchFailed where it is not packed as was said."""

    def is_whole(self) -> bool:
        """Whether all has come."""


def unpacker(encoding: str) -> Unpacker:
    """For a `Content-Encoding`. Raises FetchFailed for one that is not spoken here."""
    match encoding.strip().lower():
        case "" | "identity":
            return _Plain()
        case "gzip" | "x-gzip" | "deflate":
            return _Zlib()
        case "br" if "br" in ACCEPTED:
            return _Brotli()
    raise FetchFailed("bad_response")


class _Plain:
    def unpacked(self, piece: bytes) -> Iterator[bytes]:
        yield piece

    def is_whole(self) -> bool:
        return True


class _Zlib:
    def __init__(self) -> None:
        self._inflater = zlib.decompressobj(zlib.MAX_WBITS | 32)
        self._begun = False

    def unpacked(self, piece: bytes) -> Iterator[bytes]:
        self._begun = True
        try:
            made = self._inflater.decompress(piece, STEP)
            while made:
                yield made
                made = self._inflater.decompress(self._inflater.unconsumed_tail, STEP)
        except zlib.error:
            raise FetchFailed("bad_response") from None

    def is_whole(self) -> bool:
        return self._inflater.eof or not self._begun


class _Brotli:
    def __init__(self) -> None:
        import brotli

        self._error: type[Exception] = brotli.error
        self._decompressor = brotli.Decompressor()
        self._begun = False

    def unpacked(self, piece: bytes) -> Iterator[bytes]:
        self._begun = True
        try:
            made: bytes = self._decompressor.process(piece, output_buffer_limit=STEP)
            while made:
                yield made
                made = b"" if self.is_whole() else self._decompressor.process(b"", output_buffer_limit=STEP)
        except self._error:
            raise FetchFailed("bad_response") from None

    def is_whole(self) -> bool:
        return bool(self._decompressor.is_finished()) or not self._begun
