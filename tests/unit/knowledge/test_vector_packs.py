"""Packs of vectors: what is stored is had again, by its hash; what is damaged or foreign is not believed."""

from __future__ import annotations

import hashlib
import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from noren.knowledge.vector_packs import MANY, VectorPacks
from noren.knowledge.vectors import Compact, compact
from tests.unit.knowledge.training_world import Memory

PREFIX = "ten_a/site_a/vectors/m/"
POOL = ThreadPoolExecutor(2)
DAY = 86400


class Place:
    """A bucket and its time."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.bucket = Memory(lambda: self.now)

    def packs(self) -> VectorPacks:
        made = VectorPacks(self.bucket, PREFIX, POOL)
        made.read()
        return made

    def keys(self) -> list[str]:
        return sorted(self.bucket.objects)


@pytest.fixture
def place() -> Place:
    return Place()


def name(number: int) -> str:
    return hashlib.blake2b(str(number).encode(), digest_size=16).hexdigest()


def some(*numbers: int, size: int = 13) -> dict[str, Compact]:
    return {
        name(each): compact([random.Random(each * size + at).gauss(0, 1) for at in range(size)]) for each in numbers
    }


def test_what_is_stored_is_had_again(place: Place) -> None:
    packs, rows = place.packs(), some(1, 2, 3)
    assert (packs.dimensions, packs.get(name(1))) == (0, None)
    packs.add(rows, place.now)
    for each in (packs, place.packs()):
        assert each.dimensions == 13
        for hash, row in rows.items():
            found = each.get(hash)
            assert found
            assert (found.signs, found.numbers) == (row.signs, row.numbers)
            assert found.step == pytest.approx(row.step)
        assert each.get(name(4)) is None
    packs.add(rows, place.now)
    assert len(place.keys()) == 1, "the same vectors have the same name"


def test_what_another_has_stored_meanwhile_is_read(place: Place) -> None:
    packs = place.packs()
    place.packs().add(some(1), place.now)
    packs.read()
    assert packs.get(name(1))


def test_a_vector_has_an_age(place: Place) -> None:
    packs = place.packs()
    packs.add(some(1), place.now)
    assert packs.get(name(1), since=place.now)
    assert packs.get(name(1), since=place.now + 1) is None


def test_vectors_of_another_size_than_the_last_are_none(place: Place) -> None:
    packs = place.packs()
    packs.add(some(1), place.now)
    packs.add(some(2, size=5), place.now + 1)
    assert packs.dimensions == 5
    assert (packs.get(name(1)), bool(packs.get(name(2)))) == (None, True)


def test_vectors_of_another_size_than_the_last_go_when_packs_are_joined(place: Place) -> None:
    packs, numbers = place.packs(), sorted(range(8), key=name)
    packs.add(some(*numbers), place.now)
    packs.add(some(*numbers[1:], size=5), place.now + 1)
    packs.join([name(each) for each in numbers], place.now + 1)
    left = place.packs()
    assert left.dimensions == 5
    assert [each for each in numbers if left.get(name(each))] == numbers[1:]
    assert len(place.keys()) == 1


@pytest.mark.parametrize("at", [0, 9, 25, 60, -1])
def test_a_damaged_pack_is_not_believed(place: Place, at: int) -> None:
    place.packs().add(some(1, 2), place.now)
    ((key, (data, stored)),) = place.bucket.objects.items()
    spoilt = bytearray(data)
    spoilt[at] ^= 1
    place.bucket.objects[key] = (bytes(spoilt), stored)
    packs = place.packs()
    assert packs.get(name(1)) is None
    packs.add(some(1, 2), place.now)
    assert packs.get(name(1))


def test_many_packs_become_one_and_what_is_not_needed_goes(place: Place) -> None:
    packs = place.packs()
    for number in range(MANY):
        packs.add(some(number), place.now)
    place.now += 2 * DAY
    packs.add(some(100), place.now)
    packs.join([name(each) for each in (0, 1, 2, 100)], place.now - DAY)
    assert len(place.keys()) == 2, "the one of today is left alone"
    left = place.packs()
    assert [number for number in [*range(MANY), 100] if left.get(name(number))] == [0, 1, 2, 100]
    left.join([name(each) for each in (0, 1, 2)], place.now - DAY)
    assert len(place.keys()) == 2, "it is not worth it"
    left.join([], place.now)
    assert place.keys() == []


def test_a_few_packs_are_joined_where_much_of_them_is_not_needed(place: Place) -> None:
    place.packs().add(some(*range(4)), place.now)
    packs = place.packs()
    packs.join([name(each) for each in range(3)], place.now)
    assert place.packs().get(name(3))
    packs.join([name(each) for each in range(2)], place.now)
    left = place.packs()
    assert [bool(left.get(name(each))) for each in range(4)] == [True, True, False, False]
