"""Vectors in few bytes, compared without a numeric library.

A vector is kept twice: as signs (one bit a dimension), which sort all chunks by Hamming distance in milliseconds, and
as int8, by which the best of those are compared exactly enough.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from operator import mul
from typing import NamedTuple

_STEPS = 127
_dot: Callable[[Sequence[float], Sequence[int]], float] = getattr(math, "sumprod", lambda a, b: sum(map(mul, a, b)))
"""`math.sumprod` came with Python 3.12 and is several times as fast."""


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
        bound = sorted(distances)[count]
        places = [place for place, distance in enumerate(distances) if distance <= bound]
    else:
        places = list(range(len(distances)))
    return sorted(places, key=distances.__getitem__)[:count]


def cosine(question: Sequence[float], step: float, numbers: Sequence[int]) -> float:
    """Likeness of a normalized question and a quantized vector of length 1."""
    return step * float(sum(map(mul, question, numbers)))
