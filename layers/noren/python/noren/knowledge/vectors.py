"""Vectors in few bytes, compared without a numeric library.

A vector is kept twice: as signs (one bit a dimension), which sort all chunks by Hamming distance in milliseconds, and
as int8, by which the best of those are compared exactly enough.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from heapq import nsmallest
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

_STEPS = 127
_SHIFT = bytes(range(128, 256)) + bytes(range(128))
"""From an int8 to the byte that is greater by 128: a tuple of bytes is made several times as fast as one of int8."""
COARSE_SHARE = 4
"""One sign in so many is compared first."""
KEPT_SHARE = 8
"""One chunk in so many is compared by all its signs."""
FEW = 2_000
"""So few chunks are all compared by all signs."""


class Compact(NamedTuple):
    """A vector of length 1 as it is kept; one whose step is 0 is none."""

    signs: bytes
    step: float
    numbers: bytes
    """One int8 a dimension."""


def compact(vector: Sequence[float]) -> Compact:
    """A vector in few bytes. Raises `ValueError` for one of no length."""
    unit = normalized(vector)
    return Compact(signature(unit), *quantized(unit))


def absent(dimensions: int) -> Compact:
    """What stands for a vector that could not be had."""
    return Compact(bytes(-(-dimensions // 8)), 0.0, bytes(dimensions))


def restored(kept: Compact) -> list[float]:
    """The numbers of a vector that was kept, each within half a step."""
    return [kept.step * number for number in memoryview(kept.numbers).cast("b")]


def normalized(vector: Sequence[float]) -> list[float]:
    """The vector of length 1 in the same direction. Raises `ValueError` for one that has none."""
    length = math.sqrt(sum(value * value for value in vector))
    if not (length > 0 and math.isfinite(length)):
        raise ValueError("A vector of no length has no direction.")
    return [value / length for value in vector]


def signature(vector: Sequence[float]) -> bytes:
    """The signs of a vector, one bit each, padded to whole bytes."""
    bits = "".join("1" if value > 0 else "0" for value in vector)
    return int(bits, 2).to_bytes(-(-len(bits) // 8), "little")


def quantized(vector: Sequence[float]) -> tuple[float, bytes]:
    """The step and the int8 numbers of a vector: number x step is within half a step of the value."""
    step = max(max(vector), -min(vector)) / _STEPS
    if not step:
        return 0.0, bytes(len(vector))
    return step, struct.pack(f"{len(vector)}b", *(round(value / step) for value in vector))


def nearest(signatures: Sequence[int], wanted: int, count: int) -> list[int]:
    """The places of the `count` signatures that differ least from `wanted`, the nearest first."""
    distances = [(each ^ wanted).bit_count() for each in signatures]
    if count < len(distances):
        bound = nsmallest(count, distances)[-1]
        places = [place for place, distance in enumerate(distances) if distance <= bound]
    else:
        places = list(range(len(distances)))
    return sorted(places, key=distances.__getitem__)[:count]


class Signatures:
    """The signatures of many vectors, in their order."""

    def __init__(self, block: bytes, dimensions: int) -> None:
        width = -(-dimensions // 8)
        coarse = width // COARSE_SHARE
        self._whole = [int.from_bytes(block[at : at + width], "little") for at in range(0, len(block), width)]
        self._coarse = (
            [int.from_bytes(block[at : at + coarse], "little") for at in range(0, len(block), width)]
            if len(self._whole) > FEW and coarse
            else []
        )
        self._mask = (1 << 8 * coarse) - 1

    def nearest(self, wanted: int, count: int) -> list[int]:
        """The places of `count` signatures that differ least from `wanted`, the nearest first: nearly always those."""
        if not self._coarse or count > len(self._coarse) // KEPT_SHARE:
            return nearest(self._whole, wanted, count)
        start = wanted & self._mask
        sample = sorted([(each ^ start).bit_count() for each in self._coarse[::KEPT_SHARE]])
        bound = sample[len(sample) // KEPT_SHARE]
        places = [place for place, each in enumerate(self._coarse) if (each ^ start).bit_count() <= bound]
        if len(places) < count:  # the sample was not like the rest
            return nearest(self._whole, wanted, count)
        found = nearest([self._whole[place] for place in places], wanted, count)
        return [places[each] for each in found]


class Asked:
    """A vector of length 1 that many are compared with."""

    def __init__(self, vector: Sequence[float]) -> None:
        self._scale = _STEPS / max(max(vector), -min(vector))
        self._shifted = tuple([self._scale * value + 128 for value in vector])

    def cosine(self, step: float, numbers: Buffer) -> float:
        """Likeness to a quantized vector of length 1.

        By the law of cosines: how far two points are apart is what the standard library reckons fastest.
        """
        apart = math.dist(self._shifted, tuple(bytes(numbers).translate(_SHIFT)))
        return step * (self._scale**2 + step**-2 - apart**2) / (2 * self._scale)
