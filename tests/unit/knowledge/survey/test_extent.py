from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noren.knowledge.survey.extent import Level, Part, Span, share, total, unseen

SIZES = st.lists(st.floats(0, 1e6), max_size=30)
PARTS = st.lists(st.tuples(st.integers(0, 500), SIZES), max_size=6).map(
    lambda parts: [Part(max(more, 0) + len(read), read) for more, read in parts]
)


@given(PARTS)
def test_what_is_likely_lies_within_and_what_was_read_counts_as_it_is(parts: list[Part]) -> None:
    told = total(parts)
    seen = sum(value for part in parts for value in part.read)
    assert 0 <= told.low <= told.likely <= told.high
    assert told.likely >= int(seen) - 1
    if all(part.size == len(part.read) for part in parts):
        assert told == Span(round(seen), round(seen), round(seen))


@given(PARTS)
def test_a_share_is_never_more_than_there_are(parts: list[Part]) -> None:
    kept = [Part(part.size, [float(value > 100) for value in part.read]) for part in parts]
    told = share(kept)
    assert 0 <= told.low <= told.likely <= told.high <= sum(part.size for part in parts)
    assert told.low >= sum(value for part in kept for value in part.read)


@pytest.mark.parametrize(("spread", "wanted"), [(0.5, 0.95), (1.0, 0.9), (1.3, 0.88)])
@pytest.mark.parametrize(("pages", "read"), [(300, 25), (900, 40)])
def test_nine_of_ten_totals_lie_within(spread: float, wanted: float, pages: int, read: int) -> None:
    chance, within = random.Random(5), 0
    for _ in range(150):
        sizes = [chance.lognormvariate(6, spread) for _ in range(pages)]
        told = total([Part(pages, sizes[:read])])
        within += told.low <= sum(sizes) <= told.high
    assert within >= wanted * 150


def test_parts_that_differ_are_told_apart() -> None:
    chance = random.Random(1)
    short = [chance.uniform(90, 110) for _ in range(20)]
    long = [chance.uniform(9_000, 11_000) for _ in range(20)]
    apart = total([Part(900, short), Part(100, long)])
    assert apart.low <= 900 * 100 + 100 * 10_000 <= apart.high
    together = total([Part(1_000, short + long)])
    assert together.likely > 3 * apart.likely  # the long ones were read ten times as often as they come


def test_a_complete_list_leads_nowhere_and_a_tree_goes_on() -> None:
    assert unseen([Level(0, [12]), Level(0, [0] * 12)], 1_000) == (0, 0)
    likely, most = unseen([Level(0, [10]), Level(6, [10, 10, 10, 10])], 1_000)
    assert likely == 60
    assert most >= 60
    assert unseen([Level(0, [10]), Level(6, [10, 10, 10, 10])], 50) == (50, 50)
    assert unseen([], 10) == (0, 0)
    # The first page of a level finds what all its level share.
    assert unseen([Level(0, [40]), Level(30, [9, 0, 0, 0, 0])], 1_000)[0] == 0


@given(st.lists(st.tuples(st.integers(0, 1_000), st.lists(st.integers(0, 100), max_size=9)), max_size=6))
def test_there_are_never_more_unseen_than_there_is_room(levels: list[tuple[int, list[int]]]) -> None:
    likely, most = unseen([Level(*each) for each in levels], 500)
    assert 0 <= likely <= most <= 500
