"""From bytes to text: what is declared is tried first, and believed only if the text then looks like one.

Japanese and Korean pages are often declared wrongly, and their charsets decode each other's bytes without an error,
into nonsense. So each candidate's text is judged by its characters, and a clearly better one wins over the declared.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

_SAMPLE = 200_000
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_NAMES = {
    "shift_jis": "cp932",
    "shift-jis": "cp932",
    "sjis": "cp932",
    "x-sjis": "cp932",
    "windows-31j": "cp932",
    "ms_kanji": "cp932",
    "euc-jp": "euc_jp",
    "x-euc-jp": "euc_jp",
    "euc-kr": "cp949",
    "ks_c_5601-1987": "cp949",
    "ksc5601": "cp949",
    "uhc": "cp949",
    "windows-949": "cp949",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "iso-8859-1": "cp1252",
    "latin1": "cp1252",
    "us-ascii": "cp1252",
}
"""Names that mean more than Python takes them for (encoding.spec.whatwg.org)."""
_SAFE = re.compile(r"utf-8|cp\d+|iso8859-\d+|iso2022_\w+|euc_\w+|gb\w+|big5\w*|koi8\S*|mac\S*|johab|tis-620")
_HERE = ("utf-8", "cp932", "euc_jp", "cp949")
_CHARSET = re.compile(r"charset\s*=\s*[\"']?\s*([\w.:-]{1,40})", re.IGNORECASE)
_META = re.compile(rb"<meta[^>]{0,300}?charset\s*=\s*[\"']?\s*([\w.:-]{1,40})", re.IGNORECASE)
_XML = re.compile(rb"\s*<\?xml[^>]{0,100}?encoding\s*=\s*[\"']([\w.:-]{1,40})", re.IGNORECASE)
_COMMON = bytes(byte for lead in range(0xB0, 0xC9) for trail in range(0xA1, 0xFF) for byte in (lead, trail)).decode(
    "euc_kr"
)
"""The 2,350 Korean syllables that texts are made of. Japanese bytes read as Korean give the other 8,800."""
_KANA = re.compile(r"[\u3041-\u309f\u30a1-\u30ff]")
_HAN = re.compile(r"[\u4e00-\u9fff]")
_WEIGHTS = (
    (_KANA, 1.0),
    (re.compile(f"[{_COMMON}]"), 1.5),
    (re.compile(r"[\uac00-\ud7a3]"), -0.5),
    (re.compile(r"[\u3000-\u303f\uff01-\uff5e\u2010-\u203f]"), 0.8),  # punctuation, full-width forms
    (_HAN, 0.5),
    (re.compile(r"[\u00a0-\u024f\u0370-\u052f]"), 0.4),  # European letters
    (re.compile(r"[\uff61-\uff9f\u3131-\u318e]"), -1.0),  # half-width kana, lone Korean letters: mostly a wrong guess
    (re.compile(r"[\x80-\x9f\ue000-\uf8ff\ufffd]"), -10.0),
)
_CLEARLY = 0.2
_FEW_BYTES = 8


@dataclass(frozen=True, slots=True)
class Decoded:
    """A text and the charset that it was in, by Python's name."""

    text: str
    charset: str


def decode(body: bytes, *, content_type: str = "", is_markup: bool = False) -> Decoded:
    """The text of a body. Never fails: what can't be decoded is U+FFFD.

    By a byte order mark, else by the header, `<meta>` (with `is_markup`), and what the characters look like.
    """
    for mark, name in _BOMS:
        if body.startswith(mark):
            return Decoded(body[len(mark) :].decode(name, "replace"), name)
    declared = _declared(body, content_type, is_markup)
    if body.isascii():
        escaped = b"\x1b$" in body or b"\x1b(" in body
        name = "iso2022_jp" if escaped else "utf-8"
        return Decoded(body.decode(name, "replace"), name)
    if _is_utf8(body) and (declared in ([], ["utf-8"]) or _count(body) > _FEW_BYTES):
        return Decoded(body.decode("utf-8"), "utf-8")
    name = _best(body, declared)
    return Decoded(body.decode(name, "replace"), name)


def _declared(body: bytes, content_type: str, is_markup: bool) -> list[str]:
    labels = [match[1] for match in [_CHARSET.search(content_type)] if match]
    if is_markup:
        labels += [match[1].decode("ascii") for match in (_XML.match(body), _META.search(body[:8_192])) if match]
    return list(dict.fromkeys(name for label in labels if (name := _known(label))))


def _known(label: str) -> str:
    """Python's name for a charset; "" for none, and for codecs that are none (`idna`, `base64`)."""
    try:
        name = codecs.lookup(_NAMES.get(label.lower(), label)).name
    except (LookupError, ValueError):
        return ""
    return name if _SAFE.fullmatch(name) else ""


def _best(body: bytes, declared: list[str]) -> str:
    sample = body if _count(body[:_SAMPLE]) < _FEW_BYTES else body[:_SAMPLE]
    scores = {name: _score(sample, name) for name in dict.fromkeys((*declared, *_HERE))}
    best = max(scores, key=lambda name: scores[name])
    for name in declared:
        if scores[name] > 0 and scores[name] + _CLEARLY >= scores[best]:
            return name
    if scores[best] >= _CLEARLY:
        return best
    return _detected(sample) or (declared[0] if declared else "cp1252")


def _detected(sample: bytes) -> str:
    """What statistics say: other languages' charsets."""
    from charset_normalizer import from_bytes

    found = from_bytes(sample[:20_000]).best()
    return found.encoding if found else ""


def _score(sample: bytes, name: str) -> float:
    """How much a charset's text looks like one, per character beyond ASCII; a character cut off at the end is none."""
    text = codecs.getincrementaldecoder(name)("replace").decode(sample)
    count = sum(character > "\x7f" for character in text)
    if not count:
        return -1.0
    total = sum(weight * len(pattern.findall(text)) for pattern, weight in _WEIGHTS)
    if name.startswith(("gb", "big5")):  # they have kana too, at the same places as Japanese charsets
        total -= 2.0 * len(_KANA.findall(text))
    elif name == "cp949":  # Korean is written without them
        total -= 2.0 * len(_HAN.findall(text))
    return total / count


def _count(body: bytes) -> int:
    """Bytes beyond ASCII."""
    return len(body) - len(body.translate(None, bytes(range(128, 256))))


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
