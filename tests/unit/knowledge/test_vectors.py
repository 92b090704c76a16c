"""Vectors in few bytes."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noren.knowledge import vectors

numbers = st.lists(st.floats(-10, 10, allow_subnormal=False), min_size=1, max_size=40).filter(
    lambda values: sum(value * value for value in values) > 1e-6
)


@given(numbers)
def test_quantized_values_are_within_half_a_step(values: list[float]) -> None:
    step, stored = vectors.quantized(values)
    for value, number in zip(values, memoryview(stored).cast("b"), strict=True):
        assert abs(value - step * number) <= step / 2 + 1e-9


@given(numbers)
def test_a_vector_is_most_like_itself(values: list[float]) -> None:
    unit = vectors.normalized(values)
    assert math.isclose(sum(value * value for value in unit), 1, rel_tol=1e-9)
    step, stored = vectors.quantized(unit)
    assert vectors.cosine(unit, step, memoryview(stored).cast("b")) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("values", [[], [0.0, 0.0], [math.inf, 1.0], [math.nan]])
def test_what_has_no_direction_is_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="direction"):
        vectors.normalized(values)


def test_signs_are_bits() -> None:
    assert vectors.signature([1.0, -1.0, 0.5, 0.0]) == bytes([0b1010])
    assert len(vectors.signature([1.0] * 9)) == 2


def test_all_zeros_have_no_step() -> None:
    assert vectors.quantized([0.0, 0.0]) == (0.0, b"\0\0")


@given(st.lists(st.integers(0, 255), max_size=60), st.integers(0, 255), st.integers(1, 70))
def test_nearest_is_what_sorting_all_would_give(signatures: list[int], wanted: int, count: int) -> None:
    found = vectors.nearest(signatures, wanted, count)
    distances = [(each ^ wanted).bit_count() for each in signatures]
    assert [distances[place] for place in found] == sorted(distances)[:count]
    assert len(set(found)) == len(found)


def test_the_nearest_by_signs_hold_the_nearest_by_cosine() -> None:
    """What is compared exactly are a hundred: the best of 2,000 must be among them."""
    drawn = random.Random(5)
    centres = [[drawn.gauss(0, 1) for _ in range(256)] for _ in range(50)]
    rows = [
        vectors.normalized([value + 0.8 * drawn.gauss(0, 1) for value in centres[number % 50]])
        for number in range(2_000)
    ]
    signs = [int.from_bytes(vectors.signature(row), "little") for row in rows]
    kept = 0
    for question in range(20):
        asked = vectors.normalized([value + 0.8 * drawn.gauss(0, 1) for value in centres[question]])
        best = sorted(range(2_000), key=lambda each: -sum(a * b for a, b in zip(asked, rows[each], strict=True)))[:10]
        near = set(vectors.nearest(signs, int.from_bytes(vectors.signature(asked), "little"), 100))
        kept += len(near & set(best))
    assert kept >= 0.97 * 200
