"""Canned responses: what a site answers by itself, without a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from noren.ids import TenantId

PatternKind = Literal["exact", "normalized", "regex"]

MOST_RESPONSES = 200
"""Of a site."""
MOST_REGEXES = 50
"""Of a site: each is tried on every question."""
MOST_PATTERNS = 10
MOST_QUESTIONS = 5
LONGEST_PATTERN = 300
LONGEST_ANSWER = 4000
LONGEST_QUESTION = 1000
"""UTF-16 units of a visitor's question, as browsers count them; a longer one is never matched."""
MOST_SUGGESTIONS = 3


@dataclass(frozen=True, slots=True)
class Pattern:
    """What a question has to be: `text` itself, the same as `text` once both are normalised, or found by it."""

    kind: PatternKind
    text: str


@dataclass(frozen=True, slots=True)
class CannedResponse:
    """One of a site's. Times are epoch seconds."""

    canned_id: str
    """`can_…`, sorts by time."""
    tenant_id: TenantId
    site_id: str
    patterns: tuple[Pattern, ...]
    answer: str
    created_at: float
    questions: tuple[str, ...] = ()
    """As they are shown where the response is offered; each also matches like a normalised pattern."""
    enabled: bool = True
    hit_count: int = 0
    """About how often it has answered: counted without locks, also by visitors' browsers."""
    created_by: str = ""
    updated_at: float | None = None
    updated_by: str = ""
    deleted_at: float | None = None
    deleted_by: str = ""
    version: int = 1

    @property
    def phrases(self) -> tuple[str, ...]:
        """The questions that it answers, as people write them; a regular expression is none."""
        return tuple(dict.fromkeys((*self.questions, *(each.text for each in self.patterns if each.kind != "regex"))))

    @property
    def regexes(self) -> int:
        """How many of its patterns are regular expressions."""
        return sum(each.kind == "regex" for each in self.patterns)


@dataclass(frozen=True, slots=True)
class Match:
    """What a site's canned responses have to say to a question.

    `response` answers it; without one, `suggestions` are like it and may be offered, the most alike first.
    """

    response: CannedResponse | None = None
    kind: PatternKind | None = None
    suggestions: tuple[CannedResponse, ...] = ()


NO_MATCH = Match()
