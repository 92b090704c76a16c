"""Checks of what owners name, as the API takes and gives them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from noren.fetching.urls import MAX_URL
from platform_api.schemas import Answer, Body


class UrlIn(Body):
    """What is to be looked at."""

    url: Annotated[str, StringConstraints(min_length=1, max_length=MAX_URL)]


class ProblemOut(Answer):
    """What is wrong, as a code, and what to do about it."""

    code: str
    advice: str


class IconCheckOut(Answer):
    """Whether a picture can be the widget's icon. It can if there are no problems."""

    content_type: str
    size: int = Field(description="Bytes")
    problems: list[ProblemOut]


class EmbedCheckOut(Answer):
    """Whether a page carries the site's snippet. It will work there if it is found and there are no problems."""

    page: str = Field(description="Where the page was, after redirects")
    found: bool
    kind: Literal["evergreen", "pinned", "none"]
    problems: list[ProblemOut]
