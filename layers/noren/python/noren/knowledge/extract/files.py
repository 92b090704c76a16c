"""Which kind a file is, and its text."""

from __future__ import annotations

from typing import Literal

from noren.knowledge.extract.errors import ExtractFailed
from noren.knowledge.text import Extracted

Kind = Literal["html", "pdf", "docx", "markdown", "csv", "text"]
_TYPES: dict[str, Kind] = {
    "text/html": "html",
    "application/xhtml+xml": "html",
    "application/pdf": "pdf",
    "application/x-pdf": "pdf",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "text/markdown": "markdown",
    "text/x-markdown": "markdown",
    "text/csv": "csv",
    "text/tab-separated-values": "csv",
    "text/plain": "text",
}
_ENDINGS: dict[str, Kind] = {
    "html": "html",
    "htm": "html",
    "xhtml": "html",
    "pdf": "pdf",
    "docx": "docx",
    "md": "markdown",
    "markdown": "markdown",
    "csv": "csv",
    "tsv": "csv",
    "txt": "text",
}
_VAGUE = ("", "application/octet-stream", "binary/octet-stream", "text/plain", "application/zip")


def kind_of(body: bytes, *, name: str = "", content_type: str = "") -> Kind | None:
    """A file's kind, by its first bytes, its type, the ending of its name; None for kinds that are not read."""
    if body.startswith(b"%PDF-"):
        return "pdf"
    declared = content_type.partition(";")[0].strip().lower()
    ending = name.rpartition(".")[2].lower() if "." in name else ""
    if declared not in _VAGUE:
        return _TYPES.get(declared)
    if ending in _ENDINGS:
        return _ENDINGS[ending]
    if body[:500].lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype html", b"<html")):
        return "html"
    return _TYPES.get(declared)


def read_file(body: bytes, *, name: str = "", content_type: str = "") -> Extracted:
    """The text of a file of any kind that is read; `name` is its file name. Raises ExtractFailed."""
    from noren.knowledge.extract import docx, html, pdf, plain

    kind = kind_of(body, name=name, content_type=content_type)
    stem = name.rpartition("/")[2].rpartition(".")[0] or name
    match kind:
        case "html":
            page = html.read(body, content_type=content_type)
            if not page.extracted.blocks:
                raise ExtractFailed("empty")
            return page.extracted
        case "pdf":
            return pdf.read(body, name=stem)
        case "docx":
            return docx.read(body, name=stem)
        case "markdown":
            return plain.read_markdown(body, name=stem, content_type=content_type)
        case "csv":
            return plain.read_csv(body, name=stem, content_type=content_type)
        case "text":
            return plain.read_text(body, name=stem, content_type=content_type)
        case None:
            raise ExtractFailed("unsupported")
