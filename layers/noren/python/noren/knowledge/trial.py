"""Whether vectors help a site, tried on its own headings: each asks for the text under it.

In the site's index a heading is part of its text, so that words find nearly all of them; visitors ask in words of their
own. Therefore a small index is made for the trial of some sections without their headings and titles: there words and
vectors alike have to tell from the text alone what it is about.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from noren.knowledge import gate, index_build
from noren.knowledge.chunks import Chunk, Cut
from noren.knowledge.gate import Probe
from noren.knowledge.index_file import IndexFile
from noren.knowledge.index_format import VectorSpace
from noren.knowledge.models import Document
from noren.knowledge.site_vectors import Vectors
from noren.knowledge.vectors import restored
from noren.llm import tokens

MOST = 60
"""Headings that ask."""
TEXT_TOKENS = 100
"""Of the text under each: what is embedded for the trial alone is small beside a site."""
MOST_CHARACTERS = 500
"""Of a heading that asks."""


class _Section(NamedTuple):
    """The beginning of a text with a heading of its own."""

    heading: str
    document_id: str
    text: Chunk
    """Without its headings."""


def judged(index: IndexFile, documents: Sequence[Cut], vectors: Vectors, folder: Path) -> VectorSpace:
    """The vectors of a site's index with the weight that a trial gives them: 0 where words alone find as much.

    Raises `ValueError` for an index without vectors, and what `Vectors.make` raises.
    """
    sections = sorted(_sections(documents), key=lambda each: _hash(each.heading))[:MOST]
    vectors.make({_hash(each.heading): each.heading for each in sections}, are_chunks=False)
    vectors.make({each.text.content_hash: each.text.embedded for each in sections}, are_chunks=False)
    asked = [(each, restored(vector)) for each in sections if (vector := vectors.get(_hash(each.heading)))]
    path = folder / "trial"
    texts = [(index_build.Document(str(number), "", ""), [each.text]) for number, (each, _) in enumerate(asked)]
    index_build.build_index(path, index.head.identity, texts, index.head.vectors, vectors.get)
    with IndexFile(path) as trial:
        own = [Probe(each.heading, str(number), vector) for number, (each, vector) in enumerate(asked)]
        space = gate.trusted(trial, own)
    if not space.weight:
        return space
    # Among all texts a first hit must be more alike to be sure of than among a hundred.
    everywhere = [Probe(each.heading, each.document_id, vector) for each, vector in asked]
    return replace(space, sure_cosine=gate.sure_cosine(index, everywhere, space.weight))


def hashes_of_trial(documents: Sequence[Cut]) -> frozenset[str]:
    """Under which the vectors of all that may be tried are kept."""
    return frozenset(hash for each in _sections(documents) for hash in (_hash(each.heading), each.text.content_hash))


def _sections(documents: Sequence[Cut]) -> list[_Section]:
    """Those to which a heading or title leads that leads nowhere else."""
    found: defaultdict[str, dict[tuple[str, tuple[str, ...]], _Section]] = defaultdict(dict)
    for document, chunks in documents:
        for heading, chunk in _headed(document, chunks):
            text = Chunk((), tokens.cut(chunk.text, TEXT_TOKENS), "", 0, TEXT_TOKENS)
            place = document.document_id, chunk.headings
            found[heading].setdefault(place, _Section(heading, document.document_id, text))
    return [next(iter(places.values())) for places in found.values() if len(places) == 1]


def _headed(document: Document, chunks: Sequence[Chunk]) -> Iterator[tuple[str, Chunk]]:
    for place, chunk in enumerate(chunks):
        for heading in (*([document.title] if not place else []), *chunk.headings[-1:]):
            if heading.strip() and len(heading) <= MOST_CHARACTERS:
                yield heading, chunk


def _hash(heading: str) -> str:
    """Another than that of a text that says the same: what asks and what is read may be embedded differently."""
    return hashlib.blake2b(heading.encode(errors="replace"), digest_size=16, person=b"heading").hexdigest()
