"""Packed bodies, in whatever pieces they come."""

from __future__ import annotations

import gzip
import zlib

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noren.fetching.errors import FetchFailed
from noren.fetching.packing import STEP, unpacker

PACKERS = {"gzip": gzip.compress, "deflate": zlib.compress, "br": brotli.compress, "identity": bytes}


@pytest.mark.parametrize("encoding", PACKERS)
@given(st.binary(max_size=300), st.integers(1, 900), st.integers(1, 70_000))
def test_a_body_is_unpacked_whole_in_small_steps(encoding: str, text: bytes, times: int, size: int) -> None:
    body = text * times
    packed, opened = PACKERS[encoding](body), unpacker(encoding)
    steps = [step for at in range(0, len(packed), size) for step in opened.unpacked(packed[at : at + size]) if step]
    assert b"".join(steps) == body
    assert opened.is_whole()
    assert max(map(len, steps), default=0) <= max(2 * STEP, size)


def test_what_is_not_spoken_is_refused() -> None:
    with pytest.raises(FetchFailed):
        unpacker("zstd")
