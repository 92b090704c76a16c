"""A diff says exactly how to get from one version to the other, in bounded time."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from noren.sites.prompt_diff import MOST_LINES, Hunk, Line, changes
from noren.sites.prompt_models import Content

TEXT = "\n".join(f"line {number}" for number in range(20))


def applied(text: str, hunks: tuple[Hunk, ...]) -> str:
    """The text after the changes, as `patch` makes them."""
    old, new, at = text.split("\n"), [], 0
    for hunk in hunks:
        new += old[at : hunk.from_line - 1]
        at = hunk.from_line - 1
        assert len(new) == hunk.to_line - 1
        for line in hunk.lines:
            if line.kind != "add":
                assert old[at] == line.text
                at += 1
            if line.kind != "remove":
                new.append(line.text)
    return "\n".join(new + old[at:])


def test_a_changed_line_is_shown_among_its_neighbours() -> None:
    before = Content(system_prompt=TEXT)
    after = replace(before, system_prompt=TEXT.replace("line 9", "line nine"), temperature=0.2)
    system, temperature = changes(before, after)
    (hunk,) = system.hunks
    assert (hunk.from_line, hunk.to_line) == (7, 7)
    assert [f"{each.kind} {each.text}" for each in hunk.lines] == [
        *("same line 6", "same line 7", "same line 8"),
        *("remove line 9", "add line nine"),
        *("same line 10", "same line 11", "same line 12"),
    ]
    assert temperature.field == "temperature"
    assert temperature.hunks == (Hunk(1, 1, (Line("remove", "0.7"), Line("add", "0.2"))),)


def test_changes_far_apart_are_hunks_of_their_own() -> None:
    after = TEXT.replace("line 2\n", "").replace("line 17", "line 17\nand more")
    ((_, hunks),) = [(each.field, each.hunks) for each in changes(Content(facts=TEXT), Content(facts=after))]
    assert [(hunk.from_line, hunk.to_line) for hunk in hunks] == [(1, 1), (16, 15)]


def test_equal_versions_differ_in_nothing() -> None:
    assert changes(Content(facts=TEXT), Content(facts=TEXT)) == []


LINES = st.lists(st.sampled_from(["a", "b", "", "c\r", " c"]), max_size=30).map("\n".join)


@given(LINES, LINES)
def test_what_a_diff_says_leads_from_one_to_the_other(before: str, after: str) -> None:
    found = changes(Content(facts=before), Content(facts=after))
    assert applied(before, found[0].hunks if found else ()) == after


def test_long_and_repetitive_texts_are_compared_too() -> None:
    before, after = "\n".join(["a", "b"] * 450), "\n".join(["b"] * 450 + ["a"] * 450)
    ((_, hunks),) = [(each.field, each.hunks) for each in changes(Content(facts=before), Content(facts=after))]
    assert applied(before, hunks) == after


def test_a_very_long_text_is_shown_as_replaced_whole() -> None:
    before, after = "a\n" * MOST_LINES, "b\n" * 10
    ((_, (hunk,)),) = [(each.field, each.hunks) for each in changes(Content(facts=before), Content(facts=after))]
    assert [each.kind for each in hunk.lines].count("same") == 0
    assert applied(before, (hunk,)) == after
