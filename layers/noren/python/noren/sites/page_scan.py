"""What a page of somebody else's loads, read in linear time whatever the page is.

`html.parser` takes minutes for a hundred kilobytes of unclosed tags (quadratic, in Python 3.11 at least), so this looks
for the few tags that matter with an engine that does not backtrack.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from html import unescape
from typing import TYPE_CHECKING
from urllib.parse import urljoin

if TYPE_CHECKING:
    from re2 import _Regexp

MOST_TAGS = 5_000
LONGEST_TAG = 8_000
RAW = ("script", "style", "textarea", "title", "noscript", "template", "iframe")
"""Elements of which nothing inside is a tag of the page's."""


@dataclass(frozen=True, slots=True)
class Script:
    """A script that the page loads. `attributes` have lower-case names; without a value they are ""."""

    src: str
    """Absolute."""
    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Scanned:
    """What matters of a page."""

    scripts: tuple[Script, ...]
    policies: tuple[str, ...]
    """Content security policies of its meta tags."""


def scan(page: bytes, url: str) -> Scanned:
    """Read a page that came from `url`. Markup is ASCII in every charset that pages are written in but UTF-16."""
    scripts, policies, base = [], [], url
    for name, attributes in _tags(page):
        match name:
            case "base" if base == url and "href" in attributes:
                base = _absolute(url, attributes["href"])
            case "script" if "src" in attributes:
                scripts.append(Script(_absolute(base, attributes["src"]), attributes))
            case "meta" if attributes.get("http-equiv", "").strip().lower() == "content-security-policy":
                policies.append(attributes.get("content", ""))
    return Scanned(tuple(scripts), tuple(policies))


def _tags(page: bytes) -> Iterator[tuple[str, dict[str, str]]]:
    """The opening tags that matter, in order.

    A comment that nothing ends goes on to the page's end: else each would be searched for its end, to the page's end.
    """
    at = 0
    for _ in range(MOST_TAGS):
        found = _pattern(
            r"(?is)<!--(?:-?>|.*?(?:--!?>|\z))|<(base|meta|"
            + "|".join(RAW)
            + r")([\s/](?:[^>\"']|\"[^\"]*\"|'[^']*')*)?>"
        ).search(page, at)
        if not found:
            return
        at = found.end()
        if found[1] is None:
            continue
        name = found[1].decode().lower()
        if len(found[0]) <= LONGEST_TAG:
            yield name, _attributes(found[2] or b"")
        if name in RAW:
            end = _pattern(rf"(?is)</{name}[\s/>]").search(page, at)
            if not end:
                return
            at = end.end()


def _attributes(text: bytes) -> dict[str, str]:
    """A tag's attributes; of one that stands twice the first, as in browsers."""
    found: dict[str, str] = {}
    one = _pattern(r"([^\s=/>\"']+)(?:\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+)))?")
    for match in one.finditer(text):
        value = next((each for each in match.groups()[1:] if each is not None), b"")
        found.setdefault(match[1].decode("ascii", "replace").lower(), unescape(value.decode("utf-8", "replace")))
    return found


def _absolute(base: str, reference: str) -> str:
    try:
        return urljoin(base, reference.strip())
    except ValueError:
        return ""


@cache
def _pattern(text: str) -> _Regexp:
    import re2  # only for who checks a page

    options = re2.Options()
    options.encoding, options.log_errors = re2.Options.Encoding.LATIN1, False
    return re2.compile(text.encode(), options)
