"""Whether to trust an index: how well it finds what is known to be in it, with and without vectors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from statistics import mean, stdev
from typing import NamedTuple

from noren.knowledge.index_file import IndexFile
from noren.knowledge.index_format import VectorSpace
from noren.knowledge.search import Hit, search

WEIGHTS = (0.25, 0.5, 0.75)
"""Shares of likeness that are tried."""
LEAST_PROBES = 20
"""Fewer say nothing about vectors."""
LEAST_GAIN = 0.01
"""Of the mean reciprocal rank: less is noise, and vectors cost a call per question."""
_DEPTH = 10


class Probe(NamedTuple):
    """A question whose document is known: a title, a heading, or the question of a pair that the owner wrote."""

    question: str
    document_id: str
    vector: Sequence[float] | None = None


class Quality(NamedTuple):
    """How well a ranking finds what it should, each 0 to 1."""

    recall_at_1: float
    recall_at_5: float
    mrr_at_10: float


def quality(ranks: Iterable[int | None]) -> Quality:
    """The figures for the ranks (from 0) at which the right ones were found; None for one not found at all."""
    found = list(ranks)
    if not found:
        return Quality(0.0, 0.0, 0.0)
    return Quality(
        sum(rank == 0 for rank in found) / len(found),
        sum(rank is not None and rank < 5 for rank in found) / len(found),
        sum(1 / (rank + 1) for rank in found if rank is not None and rank < _DEPTH) / len(found),
    )


def measure(index: IndexFile, probes: Iterable[Probe], weight: float | None = None) -> Quality:
    """How well the index finds the documents of `probes`; with `weight` in place of what it gives its vectors."""
    return quality(_rank(search(index, probe.question, _DEPTH, probe.vector, weight).hits, probe) for probe in probes)


def trusted(index: IndexFile, probes: Sequence[Probe]) -> VectorSpace:
    """The vectors of an index with the weight that finds most, or with 0 where words alone find as much.

    Half of the probes choose the weight, the other half must confirm the gain beyond chance. Write the result into the
    file with `noren.knowledge.index_build.trust_vectors`. Raises `ValueError` for an index without vectors.
    """
    if index.head.vectors is None:
        raise ValueError("This index has no vectors.")
    asked = [probe for probe in probes if probe.vector is not None]
    choosing, confirming = asked[::2], asked[1::2]
    weight, sure = 0.0, 1.0
    if len(asked) >= LEAST_PROBES:
        best = max(WEIGHTS, key=lambda each: measure(index, choosing, each).mrr_at_10)
        if _sure_gain(index, confirming, best) >= LEAST_GAIN:
            weight, sure = best, sure_cosine(index, asked, best)
    return replace(index.head.vectors, weight=weight, sure_cosine=sure)


def _sure_gain(index: IndexFile, probes: Sequence[Probe], weight: float) -> float:
    """By how much likeness raises the mean reciprocal rank, less two standard errors of that.

    What words don't find counts as if the chunks came in any order: that alone is no merit of vectors.
    """
    chance = sum(1 / (rank + 1) for rank in range(_DEPTH)) / max(index.head.chunks, _DEPTH)
    gains = []
    for probe in probes:
        words, fused = (
            _rank(search(index, probe.question, _DEPTH, probe.vector, each).hits, probe) for each in (0.0, weight)
        )
        gains.append((0.0 if fused is None else 1 / (fused + 1)) - (chance if words is None else 1 / (words + 1)))
    return mean(gains) - 2 * stdev(gains) / math.sqrt(len(gains))


def sure_cosine(index: IndexFile, probes: Sequence[Probe], weight: float) -> float:
    """The cosine above which a first hit was right for at least nineteen in twenty probes; 1 if there is none."""
    firsts = []
    for probe in probes:
        hits = search(index, probe.question, _DEPTH, probe.vector, weight).hits
        if hits and hits[0].cosine is not None:
            firsts.append((hits[0].cosine, hits[0].passage.document_id == probe.document_id))
    firsts.sort(reverse=True)
    sure, right = 1.0, 0
    for number, (cosine, is_right) in enumerate(firsts, 1):
        right += is_right
        if number >= LEAST_PROBES // 2 and right >= 0.95 * number:
            sure = cosine
    return sure


def _rank(hits: Sequence[Hit], probe: Probe) -> int | None:
    return next((rank for rank, hit in enumerate(hits) if hit.passage.document_id == probe.document_id), None)
