"""Canned responses as the platform API takes and gives them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints

from noren.edge.paging import PageQuery
from noren.sites.canned_models import (
    LONGEST_ANSWER,
    LONGEST_PATTERN,
    MOST_PATTERNS,
    MOST_QUESTIONS,
    CannedResponse,
    Pattern,
    PatternKind,
)
from platform_api.schemas import Answer, Body
from platform_api.views import when


def _says_something(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


Phrase = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_PATTERN)]
Given = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_ANSWER), AfterValidator(_says_something)]


class PatternIn(Body):
    """What a question has to be.

    `exact`: the same text. `normalized`: the same but for full or half width, case, hiragana or katakana, punctuation
    and white space. `regex`: found anywhere in the question (`^` and `$` bind it to its ends), in RE2's syntax, so in
    time that grows with the question alone; it never leaves the server.
    """

    kind: PatternKind
    text: Phrase


Patterns = Annotated[list[PatternIn], Field(min_length=1, max_length=MOST_PATTERNS)]
Questions = Annotated[list[Phrase], Field(max_length=MOST_QUESTIONS)]


class CannedIn(Body):
    """A new response. `questions` are shown where it is offered; they match as well, like normalised patterns."""

    patterns: Patterns
    questions: Questions = Field(default_factory=list)
    answer: Given
    enabled: bool = True

    def given_patterns(self) -> list[Pattern]:
        """The patterns as the domain has them."""
        return [Pattern(each.kind, each.text) for each in self.patterns]


class CannedPatch(Body):
    """What changes; members left out, or null, stay as they are. `version`: only if it still is that one (else 409)."""

    patterns: Patterns | None = None
    questions: Questions | None = None
    answer: Given | None = None
    enabled: bool | None = None
    version: Annotated[int, Field(ge=1)] | None = None

    def given(self) -> dict[str, Any]:
        """The fields that were sent, as the domain has them."""
        found: dict[str, Any] = {"answer": self.answer, "enabled": self.enabled}
        found["questions"] = None if self.questions is None else tuple(self.questions)
        if self.patterns is not None:
            found["patterns"] = tuple(Pattern(each.kind, each.text) for each in self.patterns)
        return {name: value for name, value in found.items() if value is not None}


class CannedQuery(PageQuery):
    """`deleted`: those instead that can still be restored."""

    deleted: bool = False


class PatternOut(Answer):
    """A pattern."""

    kind: PatternKind
    text: str


class CannedOut(Answer):
    """A canned response. `hit_count` is about how often it has answered: it is counted without locks."""

    canned_id: str
    site_id: str
    patterns: list[PatternOut]
    questions: list[str]
    answer: str
    enabled: bool
    hit_count: int
    created_at: str
    created_by: str
    updated_at: str | None
    updated_by: str
    deleted_at: str | None
    deleted_by: str
    version: int

    @classmethod
    def of(cls, each: CannedResponse) -> CannedOut:
        """The response as it goes out."""
        plain = {name: getattr(each, name) for name in cls.model_fields}
        times = {name: when(getattr(each, name)) for name in ("created_at", "updated_at", "deleted_at")}
        return cls.model_validate(plain | times | {"questions": list(each.questions)})
