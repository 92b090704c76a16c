"""The text of a Word document: its headings, paragraphs, lists and tables.

A DOCX is a ZIP of XML: what it would unpack to is checked before anything is unpacked, and XML with a DTD is refused
before it is parsed.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import replace

from lxml.html import document_fromstring

from noren.knowledge.extract.blocks import blocks_of, clean
from noren.knowledge.extract.errors import ExtractFailed
from noren.knowledge.extract.languages import language_of
from noren.knowledge.text import Extracted

MAX_BYTES = 50_000_000
MAX_ENTRIES = 5_000
MAX_UNPACKED = 200_000_000
"""All entries together, pictures too (they are not unpacked)."""
MAX_XML = 12_000_000
"""All XML that is parsed; in memory it is some twenty times as large."""
MAX_RATIO = 200
"""Unpacked to packed, of one entry of more than a megabyte: text packs to a tenth, a bomb to a thousandth."""
_BOMB_FROM = 1_000_000
_DTD = re.compile(rb"<!\s*(?:DOCTYPE|ENTITY)", re.IGNORECASE)
_TITLE = re.compile(r"<dc:title>([^<]{1,300})</dc:title>")


def read(
    body: bytes,
    *,
    name: str = "",
    max_bytes: int = MAX_BYTES,
    max_entries: int = MAX_ENTRIES,
    max_unpacked: int = MAX_UNPACKED,
    max_xml: int = MAX_XML,
) -> Extracted:
    """Read a document; `name` is its title if it has none. Raises ExtractFailed."""
    if len(body) > max_bytes:
        raise ExtractFailed("too_large")
    if body.startswith(b"\xd0\xcf\x11\xe0"):  # Office's container: an encrypted DOCX, or an old DOC
        raise ExtractFailed("encrypted" if "EncryptedPackage".encode("utf-16-le") in body else "unsupported")
    core = _checked(body, max_entries, max_unpacked, max_xml)
    html = _html(body)
    if not html.strip():
        raise ExtractFailed("empty")
    blocks = tuple(replace(block, anchor="") for block in blocks_of(document_fromstring(f"<body>{html}</body>")))
    if not blocks:
        raise ExtractFailed("empty")
    own = _TITLE.search(core)
    title = clean(own[1]) if own else next((block.text[:300] for block in blocks if block.level), name)
    return Extracted(title or name, language_of(" ".join(block.text for block in blocks[:200])), blocks)


def _checked(body: bytes, max_entries: int, max_unpacked: int, max_xml: int) -> str:
    """The document's properties, once the archive is known to be harmless."""
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            entries = archive.infolist()
            _check_sizes(entries, max_entries, max_unpacked)
            markup = [entry for entry in entries if entry.filename.lower().endswith((".xml", ".rels"))]
            if sum(entry.file_size for entry in markup) > max_xml:
                raise ExtractFailed("too_large")
            core = ""
            for entry in markup:  # zipfile gives no byte more than the entry's declared size
                text = archive.read(entry)
                if _DTD.search(text.replace(b"\0", b"")):
                    raise ExtractFailed("broken")
                if entry.filename == "docProps/core.xml":
                    core = text.decode("utf-8", "replace")
            return core
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, OSError, ValueError, RuntimeError):
        raise ExtractFailed("broken") from None


def _check_sizes(entries: Sequence[zipfile.ZipInfo], max_entries: int, max_unpacked: int) -> None:
    if len(entries) > max_entries or sum(entry.file_size for entry in entries) > max_unpacked:
        raise ExtractFailed("too_large")
    if any(entry.flag_bits & 1 for entry in entries):
        raise ExtractFailed("encrypted")
    if len({entry.filename for entry in entries}) != len(entries):
        raise ExtractFailed("broken")
    for entry in entries:
        if entry.file_size > _BOMB_FROM and entry.file_size > MAX_RATIO * max(entry.compress_size, 1):
            raise ExtractFailed("broken")


def _html(body: bytes) -> str:
    import mammoth

    try:
        return str(
            mammoth.convert_to_html(
                io.BytesIO(body), include_embedded_style_map=False, convert_image=mammoth.images.img_element(_no_image)
            ).value
        )
    except Exception:  # mammoth promises nothing about what odd XML makes it raise
        raise ExtractFailed("broken") from None


def _no_image(_: object) -> dict[str, str]:
    return {}
