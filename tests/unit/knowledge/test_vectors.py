"""Vectors in few bytes."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noren.knowledge import vectors
from noren.knowledge.search import LIKE

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
    asked = vectors.Asked(unit)
    assert asked.cosine(step, stored) == asked.cosine(step, memoryview(stored).cast("b")) == pytest.approx(1, abs=0.02)


def test_likeness_is_as_exact_as_what_is_kept() -> None:
    drawn = random.Random(2)
    pairs = [[vectors.normalized([drawn.gauss(0, 1) for _ in range(1_536)]) for _ in "ab"] for _ in range(20)]
    for left, right in pairs:
        mixed = vectors.normalized([a + b for a, b in zip(left, right, strict=True)])
        for each in (left, right, mixed):
            exact = sum(a * b for a, b in zip(mixed, each, strict=True))
            assert vectors.Asked(mixed).cosine(*vectors.quantized(each)) == pytest.approx(exact, abs=2e-3)


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


@pytest.mark.parametrize("count", [1, LIKE, 3_000, 5_000])
def test_comparing_a_part_of_the_signs_first_loses_next_to_nothing(count: int) -> None:
    drawn = random.Random(3)
    centres = [drawn.getrandbits(512) for _ in range(60)]

    def signs(number: int) -> int:
        noise = drawn.getrandbits(512) & drawn.getrandbits(512)  # a quarter of the bits
        return centres[number % 60] ^ noise

    whole = [signs(number) for number in range(4_000)]
    many = vectors.Signatures(b"".join(each.to_bytes(64, "little") for each in whole), 512)
    assert len(whole) == 4_000 > vectors.FEW
    same = 0
    for number in range(20):
        wanted = signs(number)
        found = many.nearest(wanted, count)
        distances = [(whole[place] ^ wanted).bit_count() for place in found]
        assert distances == sorted(distances)
        assert len(set(found)) == len(found) == min(count, 4_000)
        same += len(set(found[:LIKE]) & set(vectors.nearest(whole, wanted, min(count, LIKE))))
    assert same >= 0.95 * 20 * min(count, LIKE)


def test_few_are_all_compared_by_all_signs() -> None:
    drawn = random.Random(4)
    whole = [drawn.getrandbits(64) for _ in range(vectors.FEW)]
    few = vectors.Signatures(b"".join(each.to_bytes(8, "little") for each in whole), 64)
    assert few.nearest(whole[7], 50) == vectors.nearest(whole, whole[7], 50)


def test_the_nearest_by_signs_hold_the_nearest_by_cosine() -> None:
    """What is compared exactly are a few: the best of 2,000 must be among them."""
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
        near = set(vectors.nearest(signs, int.from_bytes(vectors.signature(asked), "little"), LIKE))
        kept += len(near & set(best))
    assert kept >= 0.97 * 200
