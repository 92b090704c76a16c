"""What a search takes and gives: passages alone, no answer."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr, field_validator

from noren.chat.grounds import snippet_of
from noren.chat.quoting import safe_url
from noren.chat.research import ranked
from noren.knowledge.retrieval import Found


class SearchBody(BaseModel):
    """A question."""

    model_config = ConfigDict(extra="forbid", strict=True)

    query: Annotated[StrictStr, Field(min_length=1, max_length=2000)]
    site_id: Annotated[StrictStr, Field(max_length=64)] | None = None
    """The tenant's default site where it is left out."""
    limit: Annotated[StrictInt, Field(ge=1, le=20)] = 8

    @field_validator("query")
    @classmethod
    def _says_something(cls, query: str) -> str:
        if not query.strip():
            raise ValueError("must not be blank")
        return query


class PassageOut(BaseModel):
    """A passage of a document, as the site says it: text from outside, to be shown as text."""

    title: str
    url: str
    """Of its page, with the anchor; "" where it comes from no page."""
    anchor: str
    document_id: str
    version: int
    """Of the index."""
    score: float
    """How sure it is that the passage answers, 0 to 1."""
    headings: list[str]
    """Those it stands under, the outermost first."""
    language: str
    snippet: str
    text: str


class SearchOut(BaseModel):
    """The passages that answer best, the best first."""

    passages: list[PassageOut]
    confidence: float
    """Probability that they answer, 0 to 1."""
    is_answered: bool
    """False: the site does not tell. Chats get no passage then."""
    index_version: int
    """0 where the site was never trained."""

    @classmethod
    def of(cls, found: Found | None) -> SearchOut:
        """The findings as they go out."""
        if found is None:
            return cls(passages=[], confidence=0.0, is_answered=False, index_version=0)
        version = found.pointer.version
        passages = [
            PassageOut(
                title=hit.passage.title,
                url=safe_url(hit.passage.url, hit.passage.anchor),
                anchor=hit.passage.anchor,
                document_id=hit.passage.document_id,
                version=version,
                score=score,
                headings=list(hit.passage.headings),
                language=hit.passage.language,
                snippet=snippet_of(hit.passage.text),
                text=hit.passage.text,
            )
            for hit, score in ranked(found, least=0.0)
        ]
        findings = found.findings
        sure = round(findings.confidence, 3)
        return cls(passages=passages, confidence=sure, is_answered=findings.is_answered, index_version=version)
