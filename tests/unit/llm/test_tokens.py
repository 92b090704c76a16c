"""Our count beside what real documentation was billed, as `bench/tokens.py --write` counted it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noren.llm import tokens

COUNTED = json.loads(Path(__file__).with_name("cl100k.json").read_text())


def ours(counted: Any) -> float:
    """Half a token a text is what rounding up adds."""
    costs = (count * tokens.COSTS[name] for name, count in counted["parts"].items())
    return float(sum(costs) + counted["texts"] / 2)


@pytest.mark.parametrize("counted", COUNTED, ids=lambda each: f"{each['name']}-{each['language']}")
def test_a_documentation_is_counted_within_five_percent(counted: Any) -> None:
    assert ours(counted) == pytest.approx(counted["tokens"], rel=0.05)


def test_a_language_is_counted_within_three_percent() -> None:
    real, said = Counter[str](), Counter[str]()
    for each in COUNTED:
        real[each["language"]] += each["tokens"]
        said[each["language"]] += round(ours(each))
    assert set(real) == {"ja", "ko", "en"}
    assert {name: said[name] for name in real} == pytest.approx(dict(real), rel=0.03)


@given(st.text(max_size=60), st.text(max_size=60))
def test_a_text_counts_no_more_than_its_pieces_and_no_less_than_each(one: str, other: str) -> None:
    whole = tokens.estimate(one + other)
    assert max(tokens.estimate(one), tokens.estimate(other)) <= whole
    assert whole <= tokens.estimate(one) + tokens.estimate(other) + 1
