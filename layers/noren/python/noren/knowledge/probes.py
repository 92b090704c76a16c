"""Questions whose answer is known, for the gate: a site's own titles, headings and the questions of its Q&A pairs.

All of these are words of the index, so that words find nearly all of them; visitors ask otherwise. Therefore those that
words do not find first, if there are any, are a share of what is asked: about as many as of visitors' questions.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from noren.knowledge.chunks import Chunk
from noren.knowledge.gate import Probe
from noren.knowledge.index_file import IndexFile
from noren.knowledge.models import Document
from noren.knowledge.search import search
from noren.knowledge.site_vectors import Vectors
from noren.knowledge.vectors import restored

MOST = 100
"""Probes: one call to the model."""
TRIED = 400
"""Of so many it is looked up whether words find them."""
HARD_SHARE = 0.25
"""Of the probes are such as words do not find first (of three shops' visitors' questions words miss .07 to .23)."""
MOST_CHARACTERS = 500


def probes(index: IndexFile, documents: Sequence[tuple[Document, Sequence[Chunk]]], vectors: Vectors) -> list[Probe]:
    """At most `MOST` probes with their vectors, as far as those can be had; the same ones for the same site.

    Raises what `Vectors.make` raises.
    """
    answers = _known(documents)
    tried = sorted(answers, key=_hash)[:TRIED]
    hard = [each for each in tried if not _is_first(index, each, answers[each])]
    rest = set(hard)
    easy = [each for each in tried if each not in rest]
    # No more hard ones than their share of what is there to ask.
    hard = hard[: int(min(MOST, len(easy) / (1 - HARD_SHARE)) * HARD_SHARE)]
    chosen = sorted([*hard, *easy[: MOST - len(hard)]], key=_hash)
    vectors.make({_hash(each): each for each in chosen})
    found = ((each, vectors.get(_hash(each))) for each in chosen)
    return [Probe(each, answers[each], restored(vector)) for each, vector in found if vector]


def hashes_of_probes(documents: Sequence[tuple[Document, Sequence[Chunk]]]) -> frozenset[str]:
    """Under which the vectors of all that may be asked are kept."""
    return frozenset(map(_hash, _known(documents)))


def _known(documents: Sequence[tuple[Document, Sequence[Chunk]]]) -> Mapping[str, str]:
    """What leads to one document alone, and to which."""
    leads = defaultdict[str, set[str]](set)
    for document, chunks in documents:
        for text in _named(document, chunks):
            leads[text].add(document.document_id)
    return {text: next(iter(found)) for text, found in leads.items() if len(found) == 1}


def _named(document: Document, chunks: Sequence[Chunk]) -> Iterator[str]:
    for text in (document.title, *(chunk.headings[-1] for chunk in chunks if chunk.headings)):
        if text.strip() and len(text) <= MOST_CHARACTERS:
            yield text


def _is_first(index: IndexFile, question: str, document_id: str) -> bool:
    hits = search(index, question, 1).hits
    return bool(hits) and hits[0].passage.document_id == document_id


def _hash(text: str) -> str:
    """Another than a chunk's that says the same: what is asked and what is read may be embedded differently."""
    return hashlib.blake2b(text.encode(errors="replace"), digest_size=16, person=b"probe").hexdigest()
