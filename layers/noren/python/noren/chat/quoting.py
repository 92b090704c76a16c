"""Text from outside as inert data: nothing in it opens or closes a delimiter, leads anywhere or loads anything."""

from __future__ import annotations

import re
from urllib.parse import quote

_LESS = "<＜﹤≮˂ᐸ❮❰⟨"
"""What is, looks like, or is made into the sign that opens a tag."""
_WRITTEN_LESS = re.compile(
    r"&(?:amp;?)*(?:lt|#0*(?:60|65308|65124)(?!\d)|#x0*(?:3c|ff1c|fe64)(?![0-9a-f]));?|\\u003c|\\x3c|%3c", re.IGNORECASE
)
"""The same as an entity (readers take it without its semicolon too) or an escape."""
_TEMPLATE = re.compile(r"\[(/?(?:INST|SYS|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT))\]", re.I)
"""What begins and ends turns in Mistral's chat template; others have tags."""

_INVISIBLE = dict.fromkeys(
    number
    for first, last in (
        *((0x00, 0x08), (0x0B, 0x0C), (0x0E, 0x1F), (0x7F, 0x9F)),
        *((0x200B, 0x200B), (0x200E, 0x200F), (0x202A, 0x202E), (0x2060, 0x2060), (0x2066, 0x2069)),
        *((0xFEFF, 0xFEFF), (0xE0000, 0xE007F)),
    )
    for number in range(first, last + 1)
)
"""Controls, marks that turn text around, and letters that only machines see."""
_INERT = _INVISIBLE | dict.fromkeys(map(ord, _LESS), "‹")

_LABEL = r"\[((?:[^\[\]]|\[[^\[\]]*\])*)\]"
_LINK = re.compile(rf"!?{_LABEL}\s?\((?:[^()\n]|\([^()\n]*\))*\)")
_REFERENCE = re.compile(rf"!?{_LABEL}\s?\[[^\[\]\n]*\]")
_DEFINITION = re.compile(r"^[ \t]{0,3}\[[^\[\]\n]+\]:.*$", re.MULTILINE)
_ADDRESS = re.compile(
    r"(?:\b[a-z][a-z0-9+.-]{1,20}:[/\\]{2,}|(?<![\w/\\:])[/\\]{2}(?=[\w-]+\.\w))"
    r"([^\s?#\"'‹>）)」』]*)(?:[?#][^\s\"'‹>）)」』]*)?",
    re.IGNORECASE,
)
_REST = r"[?#][^\s\"'‹>）)」』]*"
_NAME = r"(?:[a-z0-9-]+\.)+[a-z]{2,24}(?::\d{1,5})?"
_PATH = r"[^\s?#\"'‹>）)」』]*"
_BARE = re.compile(
    rf"(?<![a-z0-9@/\\.-])(www\.{_PATH}|{_NAME}/{_PATH}|{_NAME}(?=[?#][^\s=]{{0,80}}=)){_REST}", re.IGNORECASE
)
"""An address without a scheme, which some make a link of all the same."""
_SCRIPT = re.compile(r"\b(javascript|vbscript|data(?=\s*:\s*[a-z]+/))\s*:", re.IGNORECASE)

_IN_URL = "/:?#[]@!$&()*+,;=%-._~"
MOST_URL = 500
"""Characters of an address beyond which it is no use to anybody."""


def untrusted(text: str) -> str:
    """Text that can neither open nor close a delimiter of ours or of a chat template."""
    return _TEMPLATE.sub(r"(\1)", _WRITTEN_LESS.sub("‹", text.translate(_INERT)))


def quotable(text: str) -> str:
    """`untrusted` text without links and pictures: their words stay, addresses lose scheme and parameters."""
    text = _DEFINITION.sub("", untrusted(text))
    text = _REFERENCE.sub(r"\1", _LINK.sub(r"\1", text))
    text = _BARE.sub(r"\1", _ADDRESS.sub(r"\1", text))
    text = _SCRIPT.sub(r"\1 ", text).replace("](", "] (").replace("![", "! [")
    return untrusted(text)  # what was taken out may have parted something


def attribute(text: str) -> str:
    """`quotable` text as the value of an attribute in double quotes, on one line."""
    text = quotable(text).translate({ord('"'): "”", ord("＂"): "”", ord(">"): "›", ord("＞"): "›", ord("&"): "＆"})
    return " ".join(text.split())


def safe_url(url: str, anchor: str = "") -> str:
    """A page's address with the anchor in it; "" for what is no address of a page."""
    if not re.match(r"https?://[^/\s]", url, re.IGNORECASE) or len(url) > MOST_URL:
        return ""
    whole = f"{url.partition('#')[0]}#{quote(anchor, safe='-._~')}" if anchor else url
    return quote(whole, safe=_IN_URL)
