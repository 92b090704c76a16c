"""Latencies as counts in fixed buckets: they add up exactly over any periods, and give percentiles within 5 %."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field

LONGEST_MS = 900_000
"""Nothing of ours runs longer; what is claimed to counts as this long."""


def _bounds() -> Iterator[int]:
    bound = 1
    while bound < LONGEST_MS:
        yield bound
        bound = max(bound + 1, bound * 109 // 100)
    yield LONGEST_MS


BOUNDS = tuple(_bounds())
"""Upper ends of the buckets in ms, each at most 9 % above the one before. *Stored summaries mean these very buckets:
others would need a rebuild of all that is kept.*"""


@dataclass(slots=True)
class Histogram:
    """How many latencies fell into which bucket."""

    counts: dict[int, int] = field(default_factory=dict)

    def count(self, ms: int) -> None:
        """Count one latency."""
        bucket = bisect_left(BOUNDS, min(ms, LONGEST_MS))
        self.counts[bucket] = self.counts.get(bucket, 0) + 1

    def add(self, other: Histogram) -> None:
        """Take the other's counts in."""
        for bucket, number in other.counts.items():
            self.counts[bucket] = self.counts.get(bucket, 0) + number

    def percentile(self, percent: int) -> int | None:
        """The latency in ms that `percent` of all don't exceed (nearest rank), None without any.

        It is the middle of its bucket, so at most 5 % beside the exact one.
        """
        rank = -(-sum(self.counts.values()) * percent // 100)
        for bucket in sorted(self.counts):
            rank -= self.counts[bucket]
            if rank <= 0:
                low = BOUNDS[bucket - 1] + 1 if bucket else 1
                return (low + BOUNDS[bucket]) // 2
        return None

    def __str__(self) -> str:
        """`bucket:count` pairs, as they are stored."""
        return " ".join(f"{bucket}:{number}" for bucket, number in sorted(self.counts.items()))

    @classmethod
    def parse(cls, text: str) -> Histogram:
        """The reverse of `str`."""
        pairs = (pair.split(":") for pair in text.split())
        return cls({int(bucket): int(number) for bucket, number in pairs})
