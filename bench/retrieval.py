"""How well and how fast passages are found, beside the plain ways to do it, in one run.

    python bench/retrieval.py DATA.json [--json]

DATA has `corpus` (passages) and `queries` ([question, number of the passage that answers it, kind]). The same questions
go to Noren's index file, to BM25 over words as white space parts them, to SQLite's FTS5 with trigrams, and to a plain
search by vectors (hashed trigrams: no model is at hand offline). `--json` prints one last line for programs.

Abstention is measured on a part of the corpus: what is asked about the rest is not answered there. Questions about
passages that were used to fit the confidence are left out.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
import unicodedata
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "layers" / "noren" / "python")]

from bench.tables import table  # noqa: E402
from noren.knowledge import vectors  # noqa: E402
from noren.knowledge.chunks import Chunk  # noqa: E402
from noren.knowledge.gate import quality  # noqa: E402
from noren.knowledge.index_build import Document, build_index  # noqa: E402
from noren.knowledge.index_file import IndexFile  # noqa: E402
from noren.knowledge.index_format import Identity, VectorSpace  # noqa: E402
from noren.knowledge.search import search  # noqa: E402
from noren.knowledge.vectors import Compact  # noqa: E402

DEPTH = 10
APART = 25
"""Passages between what a cut site has and what is asked of it in vain: they may be about the same."""
DIMENSIONS = 512

Ranking = Callable[[str], list[int]]


@dataclass(frozen=True)
class Figures:
    """What one engine made of a set."""

    recall_at_1: float
    recall_at_5: float
    mrr_at_10: float
    query_p50_ms: float
    query_p99_ms: float
    build_s: float
    bytes: int


@dataclass(frozen=True)
class Abstention:
    """How well an index tells that it does not know."""

    precision: float
    """Of what it abstained from, the share that it really does not tell."""
    recall: float
    """Of what it does not tell, the share that it abstained from."""
    answered: float
    """Of what it tells, the share that it did not abstain from."""
    questions: int


class Set:
    """A set of passages and questions."""

    def __init__(self, path: Path) -> None:
        data = json.loads(path.read_text())
        self.name: str = data.get("name", path.stem)
        self.corpus: list[str] = data["corpus"]
        self.queries: list[tuple[str, int]] = [(each[0], each[1]) for each in data["queries"]]


def build(
    path: Path,
    corpus: Sequence[str],
    space: VectorSpace | None = None,
    vector_of: Callable[[str], Compact | None] | None = None,
) -> None:
    """Noren's index of passages, one to a document."""
    build_index(
        path,
        Identity("bench", "bench", "1"),
        [(Document(f"{number:08}", "", ""), [Chunk((), text, "", 0, 0)]) for number, text in enumerate(corpus)],
        space,
        vector_of,
    )


def noren(folder: Path, corpus: Sequence[str]) -> tuple[Ranking, int]:
    """Our index file."""
    path = folder / "noren.idx"
    build(path, corpus)
    index = IndexFile(path)
    return lambda question: [hit.chunk for hit in search(index, question, DEPTH).hits], path.stat().st_size


def bm25(folder: Path, corpus: Sequence[str]) -> tuple[Ranking, int]:
    """Okapi BM25 over what white space and punctuation part, in memory."""
    words = [re.findall(r"\w+", text.lower()) for text in corpus]
    mean = sum(map(len, words)) / len(words)
    postings: dict[str, list[tuple[int, float]]] = {}
    for number, each in enumerate(words):
        norm = 1.2 * (0.25 + 0.75 * len(each) / mean)
        for word, count in Counter(each).items():
            postings.setdefault(word, []).append((number, count * 2.2 / (count + norm)))

    def rank(question: str) -> list[int]:
        scores: dict[int, float] = {}
        for word in re.findall(r"\w+", question.lower()):
            found = postings.get(word, [])
            idf = math.log(1 + (len(corpus) - len(found) + 0.5) / (len(found) + 0.5))
            for number, weight in found:
                scores[number] = scores.get(number, 0.0) + idf * weight
        return sorted(scores, key=lambda number: (-scores[number], number))[:DEPTH]

    return rank, sum(len(word.encode()) + 8 * len(found) for word, found in postings.items())


def fts5(folder: Path, corpus: Sequence[str]) -> tuple[Ranking, int]:
    """SQLite's full-text search over trigrams, any of which may match, by its own BM25."""
    path = folder / "fts5.db"
    database = sqlite3.connect(path)
    database.execute("CREATE VIRTUAL TABLE passages USING fts5(text, tokenize='trigram')")
    database.executemany("INSERT INTO passages(rowid, text) VALUES (?, ?)", enumerate(corpus))
    database.commit()

    def rank(question: str) -> list[int]:
        wanted = " OR ".join('"' + gram.replace('"', '""') + '"' for gram in dict.fromkeys(_trigrams(question)))
        if not wanted:
            return []
        found = database.execute(
            "SELECT rowid FROM passages WHERE passages MATCH ? ORDER BY bm25(passages), rowid LIMIT ?", (wanted, DEPTH)
        )
        return [row[0] for row in found]

    return rank, path.stat().st_size


def hashed(folder: Path, corpus: Sequence[str]) -> tuple[Ranking, int]:
    """A plain search by vectors: trigrams hashed into so many dimensions, nearest by cosine."""
    grams = [set(_trigrams(text)) for text in corpus]
    spread = Counter(gram for each in grams for gram in each)

    def embed(found: set[str]) -> list[float]:
        vector = [0.0] * DIMENSIONS
        for gram in found:
            code = zlib.crc32(gram.encode())
            rarity = math.log(1 + len(corpus) / (1 + spread.get(gram, 0)))
            vector[code % DIMENSIONS] += rarity if code & 0x10000 else -rarity
        return vectors.normalized(vector) if any(vector) else vector

    columns = list(zip(*(embed(each) for each in grams), strict=True))

    def rank(question: str) -> list[int]:
        scores = [0.0] * len(corpus)
        for weight, column in zip(embed(set(_trigrams(question))), columns, strict=True):
            if weight:
                scores = [score + weight * value for score, value in zip(scores, column, strict=True)]
        return sorted(range(len(corpus)), key=lambda number: -scores[number])[:DEPTH]

    return rank, len(corpus) * DIMENSIONS * 4


def _trigrams(text: str) -> Iterator[str]:
    text = unicodedata.normalize("NFKC", text).lower()
    return (text[place : place + 3] for place in range(len(text) - 2))


def figures(make: Callable[[Path, Sequence[str]], tuple[Ranking, int]], data: Set, folder: Path) -> Figures:
    """Build an engine and ask it everything."""
    begun = time.perf_counter()
    rank, size = make(folder, data.corpus)
    built = time.perf_counter() - begun
    ranks: list[int | None] = []
    took: list[float] = []
    for question, wanted in data.queries:
        begun = time.perf_counter()
        found = rank(question)
        took.append(time.perf_counter() - begun)
        ranks.append(found.index(wanted) if wanted in found else None)
    took.sort()
    return Figures(*quality(ranks), took[len(took) // 2] * 1e3, took[len(took) * 99 // 100] * 1e3, built, size)


def cold_open(path: Path, question: str) -> tuple[float, float]:
    """Milliseconds to open an index and to answer a first question, in a new process, its file not in memory."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    program = (
        "import sys, time; from pathlib import Path; from noren.knowledge.search import search\n"
        "from noren.knowledge.index_file import IndexFile\n"
        "a = time.perf_counter(); index = IndexFile(Path(sys.argv[1])); b = time.perf_counter()\n"
        "search(index, sys.argv[2]); c = time.perf_counter(); print((b - a) * 1e3, (c - b) * 1e3)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path), question],
        env={**os.environ, "PYTHONPATH": str(ROOT / "layers" / "noren" / "python")},
        capture_output=True,
        text=True,
        check=True,
    )
    opened, first = map(float, done.stdout.split())
    return opened, first


def abstention(data: Set, folder: Path) -> Abstention:
    """What a site that has the first part of the corpus says to questions about either part, equally many."""
    half = sorted(wanted for _, wanted in data.queries)[len(data.queries) // 2]
    path = folder / "half.idx"
    build(path, data.corpus[:half])
    told = silent = 0
    right = wrong = 0
    with IndexFile(path) as index:
        for question, wanted in data.queries:
            if zlib.crc32(str(wanted).encode()) % 2 == 0 or half <= wanted < half + APART:
                continue
            is_answered = search(index, question, 1).is_answered
            if wanted < half:
                told += 1
                wrong += not is_answered
            else:
                silent += 1
                right += not is_answered
    return Abstention(right / (right + wrong or 1), right / (silent or 1), 1 - wrong / (told or 1), told + silent)


def main() -> None:
    """Measure one set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    data = Set(arguments.data)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = {engine.__name__: figures(engine, data, folder) for engine in (noren, bm25, fts5, hashed)}
        opened, first = cold_open(folder / "noren.idx", data.queries[0][0])
        unsure = abstention(data, folder)
    print(f"{data.name}: {len(data.corpus)} passages, {len(data.queries)} questions\n")
    names = {"noren": "Noren", "bm25": "BM25, white space", "fts5": "FTS5, trigrams", "hashed": "hashed vectors"}
    rows = [
        [
            names[name],
            *(f"{value:.3f}" for value in (each.recall_at_1, each.recall_at_5, each.mrr_at_10)),
            *(f"{value:.1f}" for value in (each.query_p50_ms, each.query_p99_ms, each.build_s, each.bytes / 1e6)),
        ]
        for name, each in made.items()
    ]
    print(table(["", "Recall@1", "Recall@5", "MRR@10", "p50 ms", "p99 ms", "build s", "MB"], rows))
    print(f"\nCold: opened in {opened:.1f} ms, first question in {first:.1f} ms more.")
    print(
        f"Abstention ({unsure.questions} questions to a part of the corpus): precision {unsure.precision:.3f},"
        f" recall {unsure.recall:.3f}; of what is there, {unsure.answered:.3f} was answered."
    )
    if arguments.json:
        line = {name: asdict(each) for name, each in made.items()}
        line["noren"] |= {"cold_open_ms": opened, "first_query_ms": first, "abstention": asdict(unsure)}
        print(json.dumps(line))


if __name__ == "__main__":
    main()
