"""Which of a site's documents its assistant answers from."""

from __future__ import annotations

from collections.abc import Iterable

from noren.knowledge.crawl.near import Fingerprint, Near
from noren.knowledge.models import Document


def current(documents: Iterable[Document], now: float) -> list[Document]:
    """Those that are there, have not expired, and say what no other says; in the order of their ids."""
    valid = [each for each in documents if is_valid(each, now)]
    copies = copies_among(valid)
    return [each for each in valid if each.document_id not in copies]


def is_valid(document: Document, now: float) -> bool:
    """Whether a document is there and has not expired."""
    return document.status == "active" and (document.valid_until is None or document.valid_until > now)


def copies_among(documents: Iterable[Document]) -> frozenset[str]:
    """The ids of pages that are near duplicates of others. Of several the one with the shortest address stays, one over
    TLS before any: so it is always the same, in whatever order they were read.
    """
    near = Near()
    pages = [each for each in documents if each.kind == "page" and each.fingerprint]
    pages.sort(key=lambda each: (each.url.startswith("http:"), len(each.url), each.url))
    found = ((each, near.add(each.document_id, Fingerprint.restored(each.fingerprint, each.title))) for each in pages)
    return frozenset(each.document_id for each, other in found if other is not None)
