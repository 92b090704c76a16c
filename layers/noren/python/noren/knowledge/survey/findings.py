"""What is known of a site while it is looked over: its pages by kind, what those read came to, what is left out."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from noren.knowledge.crawl.addresses import origin_of, path_of
from noren.knowledge.crawl.scope import Scope, Variants
from noren.knowledge.survey.extent import Level, Part, Span, share, total, unseen
from noren.knowledge.survey.models import Left, Survey

ESTIMATE_ERROR = 0.1
"""By which our count of tokens may be off from the bill's on one small site; on a whole documentation it is 0.04."""
OPEN_END = 0.5
"""Where each of the last pages read still led to so many new ones, nobody can say how many there are: but seldom more
than `OPEN_FACTOR` times those that are known of.
"""
OPEN_FACTOR = 10
_FEW = 2
"""Of a kind of page, fewer than so many read say nothing about it."""
_MOST_REFUSED = 20_000
"""URLs that are told apart when they are counted as left out."""
_LANGUAGE = re.compile(r"[a-z]{2}(?:[-_][A-Za-z]{2,4})?")
_DOCUMENT = re.compile(r"\.(?:pdf|docx|csv|tsv|md|txt)$", re.IGNORECASE)

State = Literal["waiting", "taken", "read", "skipped", "unread", "settled"]


@dataclass(slots=True)
class Seen:
    """A page that is known of."""

    url: str
    depth: int
    lastmod: str = ""
    is_listed: bool = False
    state: State = "waiting"
    tokens: int = 0
    is_changed: bool = True
    reason: str = ""
    links: tuple[tuple[str, bool], ...] = ()
    """The pages that it links to, and whether nothing had led there before."""

    @property
    def led_to(self) -> int:
        """How many pages it has made known."""
        return sum(is_new for _, is_new in self.links)


class Findings:
    """Holds no more than `most` pages. Not for two threads at a time. Pages of `origin` alone are chosen to be read,
    for its rules alone are known: others count.
    """

    def __init__(self, scope: Scope, allows: Callable[[str], bool], most: int, chance: random.Random) -> None:
        self.allows, self.most = allows, most
        self.origin, self.is_cut = "", False
        self._scope, self._chance, self._variants = scope, chance, Variants()
        self._pages: dict[str, Seen] = {}
        self._kinds: dict[str, list[Seen]] = {}
        self._waiting: dict[str, list[Seen]] = {}
        self._taken: Counter[str] = Counter()
        self._refused: set[str] = set()
        self._left: Counter[str] = Counter()
        self._examples: dict[str, str] = {}
        self._in_order: list[Seen] = []

    # Pages

    @property
    def is_listed(self) -> bool:
        """Whether the site lists pages itself."""
        return any(page.is_listed for page in self._pages.values())

    @property
    def sampled(self) -> int:
        """How many pages were read or tried."""
        return len(self._in_order)

    def admits(self, url: str, depth: int = 0) -> bool:
        """Whether a canonical URL is a page to be read; counted as left out where it is not."""
        reason = self._scope.refusal(url, depth)
        if reason is None and not self.allows(url):
            reason = "robots"  # type: ignore[assignment]
        if reason and reason != "other_site" and url not in self._refused:
            self.leave_out(reason, url)
        return reason is None

    def leave_out(self, reason: str, url: str) -> None:
        """Count what is left out without being looked at."""
        if len(self._refused) < _MOST_REFUSED:
            self._refused.add(url)
        self._left[reason] += 1
        self._examples.setdefault(reason, url)

    def add(self, url: str, *, depth: int = 0, lastmod: str = "", is_listed: bool = False) -> bool:
        """Know of a page; whether that is news."""
        if known := self._pages.get(url):
            known.is_listed |= is_listed
            known.lastmod = lastmod or known.lastmod
            known.depth = min(known.depth, depth)
            return False
        if not self.admits(url, depth):
            return False
        if not is_listed and not self._variants.admit(url):
            if url not in self._refused:
                self.leave_out("too_many_queries", url)
            return False
        if len(self._pages) >= self.most:
            self.is_cut = True
            return False
        page = self._pages[url] = Seen(url, depth, lastmod, is_listed)
        kind = kind_of(url)
        self._kinds.setdefault(kind, []).append(page)
        self._waiting.setdefault(kind, []).append(page)
        return True

    def take(self, url: str) -> Seen:
        """A page that is now read, known before or not."""
        page = self._pages.get(url)
        return self._taking(page) if page else Seen(url, 0)

    def _taking(self, page: Seen) -> Seen:
        kind = kind_of(page.url)
        waiting = self._waiting[kind]
        at = waiting.index(page)
        waiting[at] = waiting[-1]
        waiting.pop()
        self._taken[kind] += 1
        page.state = "taken"
        return page

    def choose(self) -> Seen | None:
        """One more page to read: of the kind of which the smallest part was read, any."""
        best: list[str] = []
        most = 0.0
        for kind, waiting in self._waiting.items():
            if not waiting or origin_of(waiting[0].url) != self.origin:
                continue
            want = (len(waiting) + self._taken[kind]) / (2 * self._taken[kind] + 1)
            if want > most:
                best, most = [kind], want
            elif want == most:
                best.append(kind)
        if not best:
            return None
        waiting = self._waiting[self._chance.choice(best)]
        return self._taking(waiting[self._chance.randrange(len(waiting))])

    # What becomes of them

    def settle(self, is_settled: Callable[[Seen], bool]) -> None:
        """Leave unread what is known to be as it was."""
        for kind, waiting in self._waiting.items():
            for page in waiting:
                page.state = "settled" if is_settled(page) else "waiting"
            self._waiting[kind] = [page for page in waiting if page.state == "waiting"]

    def read(self, url: str, tokens: int, links: Iterable[str], *, is_changed: bool) -> None:
        """A page was read; `tokens` are those to be embedded."""
        page = self._ended(url, "read")
        page.tokens, page.is_changed = tokens, is_changed
        self._follow(page, links)

    def skip(self, url: str, reason: str, links: Iterable[str] = (), other: str = "") -> None:
        """A page would be left out; its text is at `other`, if that is said."""
        page = self._ended(url, "skipped")
        page.reason = reason
        self._follow(page, links)
        if other:
            self.add(other, depth=page.depth, is_listed=page.is_listed)

    def unread(self, url: str, reason: str) -> None:
        """A page could not be read in our time, which says nothing about it."""
        self._ended(url, "unread").reason = reason

    def _ended(self, url: str, state: State) -> Seen:
        page = self._pages.get(url) or Seen(url, 0)
        page.state = state
        self._in_order.append(page)
        return page

    def _follow(self, page: Seen, links: Iterable[str]) -> None:
        followed = [(each, self.add(each, depth=page.depth + 1)) for each in links]
        page.links = tuple((each, is_new) for each, is_new in followed if each in self._pages)

    # What it comes to

    def survey(self) -> Survey:
        """All of it, as far as it can be told now."""
        kinds = self._parts()
        kept = [Part(_size(each), [float(page.state == "read") for page in _read(each)]) for each in kinds]
        tokens = total(Part(_size(each), [float(page.tokens) for page in _read(each)]) for each in kinds)
        pages = share(kept)
        settled = sum(page.state == "settled" for page in self._pages.values())
        room = max(0, self.most - len(self._pages))
        more, most_more = unseen(self._levels(), room)
        more = min(more, self._unmet())
        if self._is_open_ended():
            most_more = max(most_more, OPEN_FACTOR * len(self._pages))
        most_more = min(most_more, OPEN_FACTOR * len(self._pages), room)
        if population := sum(map(_size, kinds)):
            tokens = _grown(tokens, more / population, most_more / population)
            pages = _grown(pages, more / population, most_more / population)
        read = [page for page in self._in_order if page.state == "read"]
        same = sum(not page.is_changed for page in read) / len(read) if read else 0.0
        return Survey(
            pages=Span(*(min(each + settled, self.most) for each in (pages.low, pages.likely, pages.high))),
            unchanged=settled + round(pages.likely * same),
            tokens=tokens.wider(ESTIMATE_ERROR),
            skipped=self._skipped(kinds),
            listed=len(self._pages),
            sampled=self.sampled,
            is_cut=self.is_cut or (most_more >= room > 0),
            is_growing=more > 0,
        )

    def _parts(self) -> list[list[Seen]]:
        """Pages of a kind; those of which too few were read are one kind together."""
        kept: list[list[Seen]] = []
        rest: list[Seen] = []
        for pages in self._kinds.values():
            if len(_read(pages)) >= _FEW:
                kept.append(pages)
            else:
                rest += pages
        if rest and len(_read(rest)) < _FEW and kept:
            return [[page for pages in (*kept, rest) for page in pages]]
        return [*kept, rest] if rest else kept

    def _levels(self) -> list[Level]:
        deepest = max((page.depth for page in self._pages.values()), default=-1)
        waiting = Counter(page.depth for page in self._pages.values() if page.state in ("waiting", "taken"))
        ended = [page for page in self._in_order if page.state in ("read", "skipped")]
        return [
            Level(waiting[depth], [page.led_to for page in ended if page.depth == depth])
            for depth in range(deepest + 1)
        ]

    def _unmet(self) -> int:
        """How many pages links have not led to yet, if links led anywhere alike: by the share of those that led to what
        was known already. What most pages link to says nothing.
        """
        ended = [page for page in self._in_order if page.links]
        often = Counter(each for page in ended for each, _ in page.links)
        later = [link for page in ended[len(ended) // 2 :] for link in page.links if 2 * often[link[0]] <= len(ended)]
        known = sum(not is_new for _, is_new in later)
        if known == len(later):
            return 0
        return round(len(self._pages) * (len(later) - known) / known) if known else self.most

    def _is_open_ended(self) -> bool:
        last = self._in_order[-max(4, len(self._in_order) // 4) :]
        return any(page.state == "waiting" for page in self._pages.values()) and (
            sum(page.led_to for page in last) > OPEN_END * len(last)
        )

    def _skipped(self, kinds: list[list[Seen]]) -> tuple[Left, ...]:
        counts = Counter(self._left)
        examples = dict(self._examples)
        projected: Counter[str] = Counter()
        for pages in kinds:
            read = _read(pages)
            for page in read:
                if page.state == "skipped":
                    projected[page.reason] += _size(pages) / len(read)  # type: ignore[assignment]
                    examples.setdefault(page.reason, page.url)
        for page in self._in_order:
            if page.state == "unread":
                projected[page.reason] += 1
                examples.setdefault(page.reason, page.url)
        counts += Counter({reason: max(1, round(count)) for reason, count in projected.items()})
        return tuple(Left(reason, count, examples[reason]) for reason, count in counts.most_common())


def kind_of(url: str) -> str:
    """What pages are taken to be alike by: origin, the first folder (below that of a language), page or document."""
    *folders, name = [part for part in path_of(url).split("/") if part] or [""]
    depth = 2 if folders and _LANGUAGE.fullmatch(folders[0]) else 1
    return "/".join([origin_of(url), *folders[:depth], "." if _DOCUMENT.search(name) else ""])


def _read(pages: Iterable[Seen]) -> list[Seen]:
    return [page for page in pages if page.state in ("read", "skipped")]


def _size(pages: Iterable[Seen]) -> int:
    return sum(page.state != "settled" for page in pages)


def _grown(span: Span, likely: float, most: float) -> Span:
    return Span(span.low, round(span.likely * (1 + likely)), round(span.high * (1 + most)))
