"""How an index file grows: 1,000 to 100,000 chunks, and what a question then takes.

    python -m bench.search_scale [DATA.json …] [--chunks 1000 5000 20000 50000 100000]

The chunks are the passages of the sets (by default those of `../shared/data/retrieval`) and others made of their
sentences, drawn by chance, so that words are as common as in real text. Each index answers 300 of the set's questions.
"""

from __future__ import annotations

import argparse
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
from noren.knowledge.chunks import sentences  # noqa: E402
from noren.knowledge.index_file import IndexFile  # noqa: E402
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


def measure(data: Set, count: int, folder: Path) -> list[str]:
    """A row of the table."""
    path = folder / f"{count}.idx"
    texts = passages(data, count)
    begun = time.perf_counter()
    build(path, texts)
    built = time.perf_counter() - begun
    size = path.stat().st_size
    opened, first = cold_open(path, data.queries[0][0])
    took = []
    with IndexFile(path) as index:
        for question, _ in random.Random(3).sample(data.queries, ASKED):
            begun = time.perf_counter()
            search(index, question)
            took.append((time.perf_counter() - begun) * 1e3)
    path.unlink()
    took.sort()
    return [
        f"{data.name}, {count:,}",
        f"{took[len(took) // 2]:.1f}",
        f"{took[len(took) * 99 // 100]:.1f}",
        f"{opened:.1f}",
        f"{first:.1f}",
        f"{built:.1f}",
        f"{size / 1e6:.1f}",
        f"{size / count / 1e3:.1f}",
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="*", type=Path, default=SETS)
    parser.add_argument("--chunks", nargs="+", type=int, default=[1_000, 5_000, 20_000, 50_000, 100_000])
    chosen = parser.parse_args(arguments)
    head = ["chunks", "p50 ms", "p99 ms", "cold open ms", "first question ms", "build s", "MB", "kB a chunk"]
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(Set(path), count, Path(folder)) for path in chosen.data for count in chosen.chunks]
    print_table(head, rows)


if __name__ == "__main__":
    main()
