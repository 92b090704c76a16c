"""How a site's widget looks and what it says: one strict model, since every value ends up in strangers' pages.

What is accepted can't inject anything wherever it is put: texts are plain text, and addresses, colours and fonts have
a grammar of their own without quotes, brackets or semicolons.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""They turn the direction of what follows, also of what is not theirs."""
GENERIC_FONTS = ("system-ui", "ui-sans-serif", "ui-serif", "ui-rounded", "sans-serif", "serif", "monospace")
DEFAULT_COLOR = "#1f4e79"

_NO_TEXT = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Categories of what is no text: controls, lone surrogates, line separators."""
_HTTPS = re.compile(
    r"https://(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?(?::[1-9][0-9]{0,4})?"
    r"(?:/[A-Za-z0-9._~!$&*+,;=:@%/-]*)?(?:\?[A-Za-z0-9._~!$&*+,;=:@%/?-]*)?",
    re.IGNORECASE,
)
_FONT = re.compile(r"[^\W_](?:[^\W_]|[ -](?=[^\W_])){0,49}")


def _text(text: str) -> str:
    for each in text:
        if unicodedata.category(each) in _NO_TEXT:
            raise ValueError("write plain text in one line, without control characters")
        if each in BIDI:
            raise ValueError("characters that turn the direction of writing are not allowed")
    return text


def _icon(text: str) -> str:
    if text and not _HTTPS.fullmatch(text):
        raise ValueError("write an https:// address without user name, or nothing for the usual icon")
    return text


def _font(text: str) -> str:
    names = [name.strip(" ") for name in text.split(",")] if text else []
    if len(names) > 5 or not all(_FONT.fullmatch(name) for name in names):
        raise ValueError("write up to five font names with commas between them: letters, digits, spaces and hyphens")
    return ", ".join(names)


def _distinct(texts: list[str]) -> list[str]:
    if len(set(texts)) < len(texts):
        raise ValueError("each question can be suggested once")
    return texts


Plain = Annotated[str, AfterValidator(_text)]
Question = Annotated[Plain, Field(min_length=1, max_length=120)]


class Widget(BaseModel):
    """A site's widget. An empty text is the widget's own, in the visitor's language."""

    model_config = ConfigDict(extra="forbid", strict=True)

    theme: Literal["light", "dark", "auto"] = "auto"
    bubble_icon_url: Annotated[str, StringConstraints(max_length=500), AfterValidator(_icon)] = ""
    welcome_message: Annotated[Plain, Field(max_length=500)] = ""
    color_primary: Annotated[str, StringConstraints(pattern=r"^#[0-9a-fA-F]{6}$", to_lower=True)] = DEFAULT_COLOR
    position: Literal["bottom-right", "bottom-left"] = "bottom-right"
    mode: Literal["popup", "fixed", "inline"] = "popup"
    radius: Annotated[int, Field(ge=0, le=32)] = 16
    """Of corners, in CSS pixels."""
    font: Annotated[str, StringConstraints(max_length=200), AfterValidator(_font)] = ""
    title: Annotated[Plain, Field(max_length=60)] = ""
    placeholder: Annotated[Plain, Field(max_length=100)] = ""
    suggested_questions: Annotated[list[Question], Field(max_length=6), AfterValidator(_distinct)] = []
    locale: Literal["ja", "ko", "en", "auto"] = "auto"
    show_sources: bool = True
    launcher_text: Annotated[Plain, Field(max_length=40)] = ""
    consent: bool = False
    """Nothing is stored, and nothing but the loader is fetched, before the visitor opens the chat."""


def merged(stored: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """What differs from the defaults after a change that has been checked."""
    return Widget.model_validate({**whole(stored).model_dump(), **given}).model_dump(exclude_defaults=True)


def whole(stored: Mapping[str, Any]) -> Widget:
    """The widget of stored settings; what is none of ours, or would not be accepted today, is as if never set."""
    known = {name: value for name, value in stored.items() if name in Widget.model_fields}
    try:
        return Widget.model_validate(known)
    except ValidationError as error:
        wrong = {each["loc"][0] for each in error.errors()}
        return Widget.model_validate({name: value for name, value in known.items() if name not in wrong})


def font_family(names: str) -> str:
    """The names as CSS has them, each in quotes unless it is a generic one, which always comes last."""
    families = [each if each in GENERIC_FONTS else f'"{each}"' for each in names.split(", ") if each]
    if not families or families[-1] not in GENERIC_FONTS:
        families.append("system-ui" if not families else "sans-serif")
    return ", ".join(families)
