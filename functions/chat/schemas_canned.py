"""A site's canned responses for front ends, which may match a question before they ask."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from noren.sites.canned_models import CannedResponse


class CannedQuery(BaseModel):
    """`site_id`: the default site if left out; visitors are at the one site of their token."""

    model_config = ConfigDict(extra="forbid")

    site_id: Annotated[str, Field(max_length=64)] | None = None


class PatternOut(BaseModel):
    """A pattern that a front end can match. Regular expressions stay with the server."""

    kind: Literal["exact", "normalized"]
    text: str


class CannedItem(BaseModel):
    """One response. `questions` are to be shown; they match like normalised patterns."""

    canned_id: str
    questions: list[str]
    patterns: list[PatternOut]
    answer: str


class CannedSet(BaseModel):
    """The enabled responses of a site, oldest first: of several that match, the first is meant."""

    items: list[CannedItem]

    @classmethod
    def of(cls, responses: tuple[CannedResponse, ...]) -> CannedSet:
        """The set as it goes out, without those that only the server can match."""
        items = [
            CannedItem(
                canned_id=each.canned_id,
                questions=list(each.questions),
                patterns=[
                    PatternOut(kind=pattern.kind, text=pattern.text)
                    for pattern in each.patterns
                    if pattern.kind != "regex"
                ],
                answer=each.answer,
            )
            for each in responses
            if each.phrases
        ]
        return cls(items=items)
