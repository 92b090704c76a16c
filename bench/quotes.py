"""How often a quote's range contains the bill: sites quoted over HTTP on this machine, then read whole.

    python -m bench.quotes [NAME …] [--pages N]     (after bench/setup.sh: it has the vocabulary)

Generated sites (three languages, with and without a sitemap, lengths of all skews, pages left out) and real
documentation, NAMEs of `tests/websites/documentation.py`. A quote reads at most N pages (40). The bill is what the
vocabulary itself counts of the chunks of every page that a crawl without limits finds.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "layers" / "noren" / "python")]

from bench.tables import table  # noqa: E402
from bench.tokens import billed  # noqa: E402
from noren.knowledge.chunks import cut  # noqa: E402
from noren.knowledge.crawl.robots import robots_of  # noqa: E402
from noren.knowledge.crawl.scope import Scope, Variants  # noqa: E402
from noren.knowledge.crawl.sitemaps import listed  # noqa: E402
from noren.knowledge.crawl.visit import Fresh, Skipped, Visitor, error_page_of  # noqa: E402
from noren.knowledge.survey.models import Ask, Reach, Survey  # noqa: E402
from noren.knowledge.survey.surveyor import Patience, Surveyor  # noqa: E402
from tests.websites.documentation import Unavailable, documentation, start_of  # noqa: E402
from tests.websites.generated import Plan, generate  # noqa: E402
from tests.websites.server import Website  # noqa: E402

REAL = ("faq-en", "faq-ja", "faq-ko", "aptitude-ja", "install-en", "install-ja", "install-ko")
GENERATED = tuple(
    Plan(
        seed=100 + number,
        language=("ja", "ko", "en")[number % 3],
        pages=(30, 60, 120, 250, 500)[number % 5],
        skew=(0.5, 1.0, 1.3)[number // 3 % 3],
        has_sitemap=number % 4 != 3,
        bad_share=(0.0, 0.1, 0.3)[number // 2 % 3],
        is_split=number % 2 == 1,
    )
    for number in range(24)
)
MOST = 5_000
ENOUGH = 0.9


@dataclass(frozen=True)
class Outcome:
    """A site's quote and its bill."""

    name: str
    quote: Survey
    seconds: float
    pages: int
    tokens: int

    @property
    def contains_pages(self) -> bool:
        """Whether the range has the real number of pages in it."""
        return self.quote.pages.low <= self.pages <= self.quote.pages.high

    @property
    def contains_bill(self) -> bool:
        """Whether the range has the real number of tokens in it."""
        return self.quote.tokens.low <= self.tokens <= self.quote.tokens.high

    def row(self) -> tuple[str, ...]:
        """A line of the table."""
        pages, tokens = self.quote.pages, self.quote.tokens
        return (
            self.name,
            f"{self.pages:,}",
            f"{pages.low:,}–{pages.high:,}",
            "yes" if self.contains_pages else "no",
            f"{self.tokens:,}",
            f"{tokens.likely:,}",
            f"{tokens.low:,}–{tokens.high:,}",
            "yes" if self.contains_bill else "no",
            f"{self.seconds:.1f}",
        )


@contextmanager
def generated(plan: Plan) -> Iterator[Website]:
    """A generated site, served."""
    with tempfile.TemporaryDirectory() as folder, Website(Path(folder)) as site:
        generate(Path(folder), plan, site.url[:-1])
        yield site


@contextmanager
def real(name: str) -> Iterator[Website]:
    """A real documentation, served. Raises Unavailable."""
    with Website(documentation(name)) as site:
        yield site


def whole(site: Website, start: str) -> list[list[str]]:
    """The chunks of every page that a crawl without limits finds."""
    fetcher, scope, variants = site.fetcher, Scope(start, max_depth=50), Variants()
    robots = robots_of(fetcher, site.url)
    visitor = Visitor(fetcher, scope, robots.allows, error_page=error_page_of(fetcher, site.url))
    found = listed(fetcher, robots.sitemaps, admits=lambda url: not scope.refusal(url), max_urls=MOST)
    waiting = deque([(scope.start, 0), *((url, 1) for url in found.pages if url != scope.start)])
    seen = {url for url, _ in waiting}
    chunks: list[list[str]] = []
    while waiting:
        url, depth = waiting.popleft()
        visited = visitor.visit(url, depth=depth)
        if isinstance(visited, Fresh):
            chunks.append([each.embedded for each in cut(visited.extracted)])
        if isinstance(visited, Fresh | Skipped):
            others = (*visited.links, visited.other) if isinstance(visited, Skipped) else visited.links
            new = [each for each in others if each and each not in seen]
            new = [each for each in new if not scope.refusal(each, depth + 1) and robots.allows(each)]
            new = [each for each in new if variants.admit(each)]
            seen.update(new)
            waiting.extend((each, depth + 1) for each in new)
    return chunks


def tried(name: str, site: Website, patience: Patience, start: str = "") -> Outcome:
    """Quote a site, then read it whole."""
    start = site.url + start
    began = time.monotonic()
    quote = Surveyor(site.fetcher, patience=patience).survey(Ask(start, reach=Reach(max_pages=MOST)))
    seconds = time.monotonic() - began
    pages = whole(site, start)
    tokens = sum(billed([chunk for page in pages for chunk in page]))
    return Outcome(name, quote, seconds, len(pages), tokens)


def named(plan: Plan) -> str:
    """What a generated site is like."""
    return f"{plan.language}, {plan.pages} pages, skew {plan.skew}{'' if plan.has_sitemap else ', no sitemap'}"


def main() -> int:
    """Print the table; 1 if fewer than nine of ten ranges hold."""
    parser = argparse.ArgumentParser(prog="python -m bench.quotes", description=__doc__)
    parser.add_argument("names", nargs="*", default=REAL)
    parser.add_argument("--pages", type=int, default=Patience().pages)
    given = parser.parse_args()
    patience = Patience(pages=given.pages)
    outcomes = []
    for plan in GENERATED:
        with generated(plan) as site:
            outcomes.append(tried(named(plan), site, patience))
    for name in given.names:
        try:
            with real(name) as site:
                outcomes.append(tried(name, site, patience, start_of(documentation(name))))
        except Unavailable as why:
            print(f"  {name} is not to be had: {why}", file=sys.stderr)
    head = ["site", "pages", "quoted", "within", "tokens billed", "likely", "quoted", "within", "s"]
    print(table(head, [each.row() for each in outcomes]))
    held, pages = sum(each.contains_bill for each in outcomes), sum(each.contains_pages for each in outcomes)
    print(f"\n{held} of {len(outcomes)} ranges contain the bill, {pages} the pages.")
    return int(held < ENOUGH * len(outcomes))


if __name__ == "__main__":
    sys.exit(main())
