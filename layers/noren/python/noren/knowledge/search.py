"""From a question to passages: BM25 over script-aware terms, then nearness, then (where it helps) likeness.

1. The rarer terms of a question bring in chunks by their postings; commoner ones only add to those that lead by then.
2. The leading chunks are read: what counts is how much of the question stands close together, and in the chunk at all.
3. With a question's vector, and where the site's gate found vectors to help, likeness is weighed in.
"""

from __future__ import annotations

import heapq
import math
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from noren.knowledge import vectors
from noren.knowledge.analysis import terms
from noren.knowledge.confidence import ANSWERED, confidence
from noren.knowledge.index_file import IndexFile, Passage, Symbols, Term
from noren.knowledge.index_format import symbol_of

READ = 30
"""Chunks that are read for nearness."""
LEADING = 64
"""Chunks that commoner terms still add to."""
LIKE = 64
"""Chunks that are compared by their vectors besides those found by words."""
ADDING_SHARE = 0.25
"""Terms that together hold less than this share of a question's weight bring no new chunks in: they lead nowhere."""
MAX_TERMS = 100
"""Of a question: the rarest."""
WINDOW = 32
"""Symbols: what stands within so many is near."""
NEAR_WEIGHT, PRESENT_WEIGHT = 2.0, 1.0
MAX_QUESTION = 2_000
"""Characters of a question that are looked up."""


UNKNOWN_ENDING = 0.5
"""What a pair that a site has nowhere weighs in shares where it looks like an ending rather than a word."""
_ENDING = re.compile(r"[\u3041-\u309f]+|[\uac00-\ud7a3]+")
_REQUEST = re.compile(
    r"(?:について)?(?:を|が)?(?:教えて|知りたい|おしえて)(?:ください|下さい|です|のですが)?|(?:을|를)?\s*(?:알려\s?(?:줘|주세요)|궁금합니다|궁금해요)"
    r"|\b(?:please\s+)?(?:tell|show)\s+me(?:\s+about)?\b|\bi(?:'d| would) like to know\b",
    re.IGNORECASE,
)
"""What asks for an answer without saying which."""


Likeness = Callable[[Sequence[float], Iterable[int]], Mapping[int, float]]
"""The cosines of a vector of length 1 with the chunks that are nearest to it, and with those that are given."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk that may answer."""

    chunk: int
    score: float
    near: float
    """Share of the question's weight that stands close together in it, 0 to 1."""
    present: float
    """Share of the question's weight that is in it anywhere, 0 to 1."""
    cosine: float | None
    passage: Passage


@dataclass(frozen=True, slots=True)
class Findings:
    """What a site has for a question, best first."""

    hits: tuple[Hit, ...]
    confidence: float
    """Calibrated probability that the best passages answer the question."""
    is_answered: bool
    """False: say that the site does not tell."""
    own: float = 1.0
    """Share of the weight of `own`, a part of the question, that is in the best passage; 1 where it has no weight."""


@dataclass(slots=True)
class _Candidate:
    chunk: int
    words: float
    """Score by words alone."""
    near: float = 0.0
    present: float = 0.0
    cosine: float | None = None
    score: float = 0.0


class _Question:
    """A question against one index."""

    def __init__(self, index: IndexFile, text: str) -> None:
        found = terms(_REQUEST.sub(" ", text[:MAX_QUESTION]))
        self.terms: list[tuple[Term, float]] = []
        """Entries of the dictionary with their weights, rarest first."""
        total = index.head.chunks
        rarity: dict[str, float] = {}
        for key, count in Counter(found.keys).items():
            term = index.lookup(key)
            has = term.chunks if term else 0
            rarity[key] = math.log(1 + (total - has + 0.5) / (has + 0.5))
            if term is None and _ENDING.fullmatch(key):
                rarity[key] *= UNKNOWN_ENDING
            if term:
                self.terms.append((term, count * rarity[key]))
        self.terms = sorted(self.terms, key=lambda pair: pair[0])[:MAX_TERMS]
        self._weights = {symbol_of(symbol): rarity.get(symbol, 0.0) for symbol in found.symbols}
        for left, right in zip(found.symbols, found.symbols[1:], strict=False):
            weight = rarity.get(left + right, min(rarity.get(left, 0.0), rarity.get(right, 0.0)))
            if weight:
                self._weights[symbol_of(left) << 16 | symbol_of(right)] = weight
        self._weights = {feature: weight for feature, weight in self._weights.items() if weight}
        self._ends = {feature & 0xFFFF for feature in self._weights}
        self._weight = sum(self._weights.values())

    @property
    def has_weight(self) -> bool:
        """Whether it asks for anything that passages could hold."""
        return self._weight > 0

    def nearness(self, symbols: Symbols) -> tuple[float, float]:
        """Shares of the question's weight: in the best window of a chunk with its headings, and anywhere in it."""
        if not self._weight:
            return 0.0, 0.0
        weights = self._weights
        always = {feature for _, feature in self._features(symbols.headings)}
        found = [each for each in self._features(symbols.text) if each[1] not in always]
        base = sum(weights[feature] for feature in always)
        counts = dict.fromkeys((feature for _, feature in found), 0)
        current = best = 0.0
        first = 0
        for place, feature in found:
            counts[feature] += 1
            if counts[feature] == 1:
                current += weights[feature]
            while place - found[first][0] >= WINDOW:
                gone = found[first][1]
                counts[gone] -= 1
                if not counts[gone]:
                    current -= weights[gone]
                first += 1
            if current > best:
                best = current
        present = base + sum(weights[feature] for feature in counts)
        return (base + best) / self._weight, present / self._weight

    def _features(self, symbols: list[int]) -> list[tuple[int, int]]:
        """Where symbols of the question stand, and pairs of neighbours that are neighbours in it too."""
        weights, ends = self._weights, self._ends
        found: list[tuple[int, int]] = []
        for place in [place for place, symbol in enumerate(symbols) if symbol in ends]:
            symbol = symbols[place]
            if symbol in weights:
                found.append((place, symbol))
            if place and (pair := symbols[place - 1] << 16 | symbol) in weights:
                found.append((place, pair))
        return found


def search(
    index: IndexFile,
    question: str,
    limit: int = 8,
    vector: Sequence[float] | None = None,
    weight: float | None = None,
    likeness: Likeness | None = None,
    own: str = "",
) -> Findings:
    """The passages of a site for a question in any language.

    `vector` is the question's embedding by the model of the index; it is ignored where the index has no trusted ones
    or ones of another size. `weight` stands in for what the index gives its vectors (a gate tries some). `likeness`
    knows the vectors where the file does not hold them. `own` is a part of the question that is weighed by itself.
    Raises `BadIndex`, and `ValueError` for a vector of no length.
    """
    asked = _Question(index, question)
    candidates = _read(index, asked, _collect(index, asked), limit)
    space = index.head.vectors
    share = 0.0 if space is None else space.weight if weight is None else weight
    compare = likeness or _likeness(index)
    if share and compare and space and vector is not None and len(vector) == space.dimensions:
        candidates = _fuse(compare, candidates, vectors.normalized(vector), share)
    hits: list[Hit] = []
    seen: set[str] = set()
    for each in candidates:
        if len(hits) == limit:
            break
        passage = index.passage(each.chunk)
        if passage.text not in seen:
            seen.add(passage.text)
            hits.append(Hit(each.chunk, each.score, each.near, each.present, each.cosine, passage))
    if not hits:
        return Findings((), 0.0, False)
    sure = confidence(hits[0].near, hits[0].present, index.head.chunks)
    if space is not None and (hits[0].cosine or 0.0) >= space.sure_cosine:
        sure = max(sure, ANSWERED)
    part = _Question(index, own)
    held = part.nearness(index.symbols(hits[0].chunk))[1] if part.has_weight else 1.0
    return Findings(tuple(hits), sure, sure >= ANSWERED, held)


def _collect(index: IndexFile, asked: _Question) -> list[tuple[int, float]]:
    """The chunks that lead by BM25, with their scores, best first."""
    scores: dict[int, float] = {}
    known = scores.get
    left = sum(weight for _, weight in asked.terms)
    enough = left * ADDING_SHARE
    adding = 0
    for term, weight in asked.terms:
        if left < enough:
            break
        for chunk, impact in zip(*index.postings(term), strict=True):
            scores[chunk] = known(chunk, 0.0) + weight * impact
        left -= weight
        adding += 1
    leading = sorted(_highest(scores, LEADING))
    for term, weight in asked.terms[adding:]:
        chunks, impacts = index.postings(term)
        place = 0
        for chunk in leading:
            place = bisect_left(chunks, chunk, place)
            if place == term.chunks:
                break
            if chunks[place] == chunk:
                scores[chunk] += weight * impacts[place]
    return sorted(((chunk, scores[chunk]) for chunk in leading), key=lambda pair: (-pair[1], pair[0]))


def _highest(scores: dict[int, float], count: int) -> list[int]:
    """The `count` chunks with the highest scores (with those that tie), in no order."""
    if len(scores) <= count:
        return list(scores)
    least = heapq.nlargest(count, scores.values())[-1]
    return [chunk for chunk, score in scores.items() if score >= least][: 2 * count]


def _read(index: IndexFile, asked: _Question, leading: list[tuple[int, float]], limit: int) -> list[_Candidate]:
    """The leading chunks in the order that reading them gives. What can't come among the first `limit` is not read."""
    read: list[_Candidate] = []
    best: list[float] = []
    for chunk, words in leading[:READ]:
        if len(best) == limit and words * (1 + NEAR_WEIGHT + PRESENT_WEIGHT) <= best[0]:
            break
        near, present = asked.nearness(index.symbols(chunk))
        score = words * (1 + NEAR_WEIGHT * near * near + PRESENT_WEIGHT * present)
        read.append(_Candidate(chunk, words, near, present, score=score))
        (heapq.heappush if len(best) < limit else heapq.heappushpop)(best, score)
    read.sort(key=lambda each: -each.score)
    return read


def _likeness(index: IndexFile) -> Likeness | None:
    """By the vectors that the file holds, if it does."""
    if not index.has_vectors:
        return None

    def compared(vector: Sequence[float], also: Iterable[int]) -> dict[int, float]:
        wanted = int.from_bytes(vectors.signature(vector), "little")
        chunks = dict.fromkeys((*also, *index.signatures().nearest(wanted, LIKE)))
        asked = vectors.Asked(vector)
        rows = ((chunk, *index.vector(chunk)) for chunk in chunks)
        return {chunk: asked.cosine(step, numbers) for chunk, step, numbers in rows if step}

    return compared


def _fuse(compare: Likeness, words: list[_Candidate], vector: Sequence[float], weight: float) -> list[_Candidate]:
    """Candidates by words and by likeness, in the order of both: each scaled to the best of its kind.

    One that has no vector is weighed by words alone.
    """
    known = {each.chunk: each for each in words}
    cosines = compare(vector, known)
    if not cosines:
        return words
    for chunk in cosines:
        known.setdefault(chunk, _Candidate(chunk, 0.0))
    highest = max((each.score for each in words), default=0.0) or 1.0
    low, high = min(cosines.values()), max(cosines.values())
    for each in known.values():
        each.score /= highest
        each.cosine = cosines.get(each.chunk)
        if each.cosine is not None:
            each.score += weight * ((each.cosine - low) / (high - low or 1.0) - each.score)
    return sorted(known.values(), key=lambda each: -each.score)
