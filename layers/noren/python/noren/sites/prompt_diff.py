"""What differs between two versions of a profile, line by line, fit to be drawn."""

from __future__ import annotations

from dataclasses import dataclass, fields
from difflib import SequenceMatcher
from typing import Literal

from noren.sites.prompt_models import Content

CONTEXT = 3
"""Unchanged lines shown around a change."""
MOST_LINES = 1_000
"""Of one field: what is longer is shown as replaced whole, so that comparing stays quick whatever the text."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of either text, or of both (`same`)."""

    kind: Literal["add", "remove", "same"]
    text: str


@dataclass(frozen=True, slots=True)
class Hunk:
    """Neighbouring changes. `from_line` and `to_line` count from 1 where it begins in either text."""

    from_line: int
    to_line: int
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """A field that differs."""

    field: str
    hunks: tuple[Hunk, ...]


def changes(before: Content, after: Content) -> list[Change]:
    """The fields that differ, in the order in which they stand in `Content`; numbers are lines of their own."""
    found = []
    for each in fields(Content):
        old, new = getattr(before, each.name), getattr(after, each.name)
        if old != new:
            found.append(Change(each.name, _hunks(_lines(old), _lines(new))))
    return found


def _lines(value: str | float) -> list[str]:
    """The lines of a text. Only `\\n` ends one, so that nothing but lines is lost: put together they are the text."""
    return value.split("\n") if isinstance(value, str) else [format(value, "g")]


def _hunks(old: list[str], new: list[str]) -> tuple[Hunk, ...]:
    if max(len(old), len(new)) > MOST_LINES:
        return (Hunk(1, 1, (*_of("remove", old), *_of("add", new))),)
    groups = SequenceMatcher(None, old, new).get_grouped_opcodes(CONTEXT)
    hunks = []
    for group in groups:
        lines: list[Line] = []
        for tag, low, high, to_low, to_high in group:
            if tag == "equal":
                lines += _of("same", old[low:high])
            else:
                lines += [*_of("remove", old[low:high]), *_of("add", new[to_low:to_high])]
        hunks.append(Hunk(group[0][1] + 1, group[0][3] + 1, tuple(lines)))
    return tuple(hunks)


def _of(kind: Literal["add", "remove", "same"], texts: list[str]) -> list[Line]:
    return [Line(kind, text) for text in texts]
