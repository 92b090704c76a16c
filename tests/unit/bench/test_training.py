"""The bench of training measures what it says: every page learnt, then those that were edited."""

from __future__ import annotations

from bench import training


def test_all_pages_are_learnt_then_the_edited_ones() -> None:
    found = training.measure(30)
    first, again = found["first"]["job"], found["again"]["job"]
    assert (first["status"], first["found"], first["changed"] + first["skipped"]) == ("succeeded", 30, 30)
    assert (again["changed"], found["edited"]) == (1, 1)
    assert found["first"]["crawled"]["mb"] > 20
    assert found["peer"]["characters"] > 1_000
