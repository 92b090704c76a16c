"""How an index file grows: 1,000 to 100,000 chunks, and what a question then takes.

    python -m bench.search_scale [DATA.json …] [--chunks 1000 5000 20000 50000 100000] [--dimensions 1536]

The chunks are the passages of the sets (by default those of `../shared/data/retrieval`) and others made of their
sentences, drawn by chance, so that words are as common as in real text. Each index answers 300 of the set's questions.
With `--dimensions` each chunk has a vector of so many, and each question is asked a second time with one: all made up,
for what they take, not for what they find.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "layers" / "noren" / "python")]

from bench.retrieval import Set, build, cold_open  # noqa: E402
from bench.tables import print_table  # noqa: E402
from noren.knowledge import vectors  # noqa: E402
from noren.knowledge.chunks import sentences  # noqa: E402
from noren.knowledge.index_file import IndexFile  # noqa: E402
from noren.knowledge.index_format import VectorSpace  # noqa: E402
from noren.knowledge.search import search  # noqa: E402

SETS = sorted((ROOT.parent / "shared" / "data" / "retrieval").glob("*.json"))
ASKED = 300


def passages(data: Set, count: int) -> list[str]:
    """So many passages: the set's own first, then sentences of it in new company."""
    drawn = random.Random(7)
    parts = [sentence for text in data.corpus for sentence in sentences(text)]
    each = max(1, len(parts) // len(data.corpus))
    made = ["".join(drawn.choices(parts, k=each)) for _ in range(count - len(data.corpus))]
    return (data.corpus + made)[:count]


def made_up(seed: str, dimensions: int) -> vectors.Compact:
    """A vector of length 1 by chance."""
    numbers = random.Random(seed).randbytes(dimensions)
    values = memoryview(numbers).cast("b").tolist()
    return vectors.Compact(vectors.signature(values), 1 / math.dist(values, [0] * dimensions), numbers)


def measure(data: Set, count: int, folder: Path, dimensions: int) -> list[str]:
    """A row of the table."""
    path = folder / f"{count}.idx"
    texts = passages(data, count)
    space = VectorSpace("made-up", dimensions, 0.5) if dimensions else None
    begun = time.perf_counter()
    build(path, texts, space, lambda hash: made_up(hash, dimensions))
    built = time.perf_counter() - begun
    size = path.stat().st_size
    opened, first = cold_open(path, data.queries[0][0])
    asked = [question for question, _ in random.Random(3).sample(data.queries, ASKED)]
    with IndexFile(path) as index:
        by_words = [_took(index, question, None) for question in asked]
        fused = [_took(index, each, vectors.restored(made_up(each, dimensions))) for each in asked] if space else []
    path.unlink()
    return [
        f"{data.name}, {count:,}",
        *_percentiles(by_words),
        *(_percentiles(fused) if space else ()),
        f"{opened:.1f}",
        f"{first:.1f}",
        f"{built:.1f}",
        f"{size / 1e6:.1f}",
        f"{size / count / 1e3:.1f}",
    ]


def _took(index: IndexFile, question: str, vector: Sequence[float] | None) -> float:
    """Milliseconds that a question takes."""
    begun = time.perf_counter()
    search(index, question, vector=vector)
    return (time.perf_counter() - begun) * 1e3


def _percentiles(took: list[float]) -> tuple[str, str]:
    took.sort()
    return f"{took[len(took) // 2]:.1f}", f"{took[len(took) * 99 // 100]:.1f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="*", type=Path, default=SETS)
    parser.add_argument("--chunks", nargs="+", type=int, default=[1_000, 5_000, 20_000, 50_000, 100_000])
    parser.add_argument("--dimensions", type=int, default=0)
    chosen = parser.parse_args(arguments)
    fused = ["with vectors: p50 ms", "p99 ms"] if chosen.dimensions else []
    head = ["chunks", "p50 ms", "p99 ms", *fused, "cold open ms", "first question ms", "build s", "MB", "kB a chunk"]
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            measure(Set(path), count, Path(folder), chosen.dimensions)
            for path in chosen.data
            for count in chosen.chunks
        ]
    print_table(head, rows)


if __name__ == "__main__":
    main()
