"""Reads all hostile pages and sitemaps in a process of its own, as workers do, and says what became of each.

    python -m tests.websites.crawl_hostile PORT

One JSON line: outcomes by path, and how many megabytes the process has grown by.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

from noren.fetching.client import Fetcher, Limits
from noren.knowledge.crawl.scope import Scope
from noren.knowledge.crawl.sitemaps import listed
from noren.knowledge.crawl.visit import Fresh, Visitor
from noren.knowledge.extract.files import read_file
from tests.websites.hostile import PAGES, SITEMAPS

PAGE = Limits(seconds=30.0, raw_bytes=4_000_000, bytes=20_000_000)
QUICK = Limits(seconds=0.3, raw_bytes=4_000_000, bytes=20_000_000)
SLOW = ("/slow", "/silent")


def page(fetcher: Fetcher, origin: str, path: str) -> str:
    """What becomes of a page: its reason or its text."""
    limits = QUICK if path in SLOW else PAGE
    visitor = Visitor(fetcher, Scope(origin + "/"), lambda _: True, limits=limits)
    visited = visitor.visit(origin + path)
    if isinstance(visited, Fresh):
        return " ".join(block.text for block in visited.extracted.blocks)
    return str(getattr(visited, "reason", "unchanged"))


def sitemap(fetcher: Fetcher, origin: str, path: str) -> tuple[str, int]:
    """Which problem a sitemap has, and how many pages it led to."""
    found = listed(
        fetcher,
        [origin + path],
        admits=lambda _: True,
        max_urls=5_000,
        max_files=8,
        seconds=0.3 if "slow" in path else 60.0,
    )
    return next(iter(found.problems.values()), ""), len(found.pages)


def peak() -> float:
    """Megabytes that the process ever had.

    Linux hands the parent's peak on in `ru_maxrss`, also over exec, so that a large parent would hide any growth.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """See the module."""
    origin = f"http://127.0.0.1:{sys.argv[1]}"
    fetcher = Fetcher(allow=frozenset({("127.0.0.1", int(sys.argv[1]))}))
    for body, name in ((b"<html><body><p>warm</p></body></html>", "a.html"), (b"# warm\n\nwarm", "a.md")):
        read_file(body, name=name)
    before, told, grown = peak(), {}, {}
    for path in (*PAGES, *SITEMAPS):
        start = peak()
        told[path] = page(fetcher, origin, path) if path in PAGES else sitemap(fetcher, origin, path)
        grown[path] = round(peak() - start)
    print(json.dumps({"told": told, "grown": grown, "peak": round(peak() - before)}))


if __name__ == "__main__":
    main()
