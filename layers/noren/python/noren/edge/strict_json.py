"""JSON from strangers: everything that parsers disagree about or choke on is refused before it means anything."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from noren.errors import BadRequest, TooLarge

MAX_BODY = 64 * 1024
MAX_DEPTH = 20
MAX_DIGITS = 18
"""Of an integer: what a signed 64-bit number surely holds."""
MAX_FLOAT = 1e15

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")
_UNFIT = re.compile("[\x00\ud800-\udfff]")


def parse(body: bytes, max_body: int = MAX_BODY) -> Any:
    """The JSON value in `body`. Raises TooLarge, or BadRequest with a reason that holds nothing of the body."""
    if len(body) > max_body:
        raise TooLarge(f"The body may have {max_body} bytes at most.")
    _check_depth(body)
    try:
        text = body.decode("utf-8")
        value = json.loads(
            text, object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant
        )
    except (UnicodeDecodeError, json.JSONDecodeError):
        raise BadRequest("The body is not valid JSON in UTF-8.") from None
    if b"\\u" in body:  # only an escape can bring in NUL or a lone surrogate
        _check_text(value)
    return value


def check_plain(text: str) -> None:
    """Refuse text with NUL or a lone surrogate (query strings, path parameters). Raises BadRequest."""
    if _UNFIT.search(text):
        raise BadRequest("Text may not hold NUL or lone surrogates.")


def _check_depth(body: bytes) -> None:
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return
    depth = 0
    for bracket in _BRACKET.findall(_STRING.sub(b"", body)):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_DEPTH:
            raise BadRequest(f"The body is nested deeper than {MAX_DEPTH} levels.")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise BadRequest("The body names the same member twice.")
    return made


def _integer(literal: str) -> int:
    if len(literal.lstrip("-")) > MAX_DIGITS:
        raise BadRequest("The body holds a number that is too large.")
    return int(literal)


def _float(literal: str) -> float:
    value = float(literal)
    if len(literal) > 40 or not math.isfinite(value) or abs(value) > MAX_FLOAT:
        raise BadRequest("The body holds a number that is out of range.")
    return value


def _constant(literal: str) -> float:
    raise BadRequest("The body holds NaN or Infinity, which JSON does not know.")


def _check_text(value: Any) -> None:
    match value:
        case str():
            check_plain(value)
        case list():
            for each in value:
                _check_text(each)
        case dict():
            for name, each in value.items():
                check_plain(name)
                _check_text(each)
