"""The look at a site: robots.txt, the first page, sitemaps, then a sample of all pages that are known of.

Nothing is stored. It ends in time whatever the site does: what was read by then is what the figures rest on. One host
is called, with and without `www.`, as its robots.txt asks, a few times a second where it asks for nothing: how often
looks come there is counted by whoever asks for them. Pages of other hosts are counted, not read.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from urllib.parse import urljoin

from noren.fetching.client import Fetcher, Limits
from noren.knowledge.chunks import cut
from noren.knowledge.crawl.addresses import canonical, host_of, origin_of
from noren.knowledge.crawl.known import Known
from noren.knowledge.crawl.near import Fingerprint
from noren.knowledge.crawl.robots import Robots, RobotsUnavailable, robots_of
from noren.knowledge.crawl.scope import Scope
from noren.knowledge.crawl.sitemaps import listed
from noren.knowledge.crawl.visit import (
    MOST_HOPS,
    Failed,
    Fresh,
    Gone,
    Skipped,
    Unchanged,
    Visited,
    Visitor,
    error_page_of,
)
from noren.knowledge.survey.findings import Findings, Seen
from noren.knowledge.survey.models import Ask, KnownPage, LeadsElsewhere, SiteUnreadable, Survey

MOST_PAGES = 20_000
"""Known of at most, where no number is asked for."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long and how much is read. All of it ends within `seconds` and what one read of a sitemap takes."""

    seconds: float = 15.0
    robots_seconds: float = 4.0
    sitemaps_seconds: float = 5.0
    page_seconds: float = 5.0
    pages: int = 40
    """Read at most; half as many more where the site has no list of its pages, so that links have to be followed."""
    bytes: int = 4_000_000
    """Of a page; a larger file is not read, and counts as if it had not been chosen."""
    sitemaps: int = 30
    lanes: int = 4
    """Pages under way at once."""
    delay: float = 0.25
    """Seconds between two pages of a host that asks for nothing: less than a visitor's browser asks of it."""


class Surveyor:
    """Looks sites over."""

    def __init__(
        self,
        fetcher: Fetcher,
        *,
        patience: Patience | None = None,
        clock: Callable[[], float] = time.monotonic,
        today: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._fetcher, self._patience, self._clock, self._today = fetcher, patience or Patience(), clock, today

    def survey(self, ask: Ask) -> Survey:
        """Look a site over. Raises SiteUnreadable, LeadsElsewhere; ValueError where `ask.url` is no http(s) URL."""
        end = self._clock() + min(self._patience.seconds, ask.seconds)
        scope = ask.scope(self._today().date())
        return _Look(self._fetcher, self._patience, self._clock, scope, ask, end).whole()


class _Look:
    """One look at one site."""

    def __init__(
        self,
        fetcher: Fetcher,
        patience: Patience,
        clock: Callable[[], float],
        scope: Scope,
        ask: Ask,
        end: float,
    ) -> None:
        self._fetcher, self._patience, self._clock, self._end = fetcher, patience, clock, end
        self._scope, self._start = scope, ask.entry or scope.start
        self._host, self._origin = _bare(self._start), ""
        self._known = {each.url: _known(each) for each in ask.known}
        self._robots = Robots()
        self._error_page: Fingerprint | None = None
        self._found = Findings(scope, self._allows, ask.reach.most(MOST_PAGES), random.Random(scope.start))  # noqa: S311
        self._changed = threading.Condition()
        self._slot = 0.0
        self._under_way = 0
        self._most = patience.pages

    def whole(self) -> Survey:
        """See `Surveyor.survey`."""
        self._read_start()
        self._read_sitemaps()
        for each in self._known:
            self._found.add(each, depth=1)
        self._found.settle(self._is_settled)
        self._read_sample()
        with self._changed:
            return self._found.survey()

    @property
    def _delay(self) -> float:
        return self._patience.delay if self._robots.wish is None else self._robots.wish

    def _read_start(self) -> None:
        """The first page; where it leads on, the one that it leads to. Raises SiteUnreadable, LeadsElsewhere."""
        url, met = self._start, set[str]()
        while True:
            if url in met or len(met) > MOST_HOPS:
                raise SiteUnreadable("redirect_loop")
            met.add(url)
            self._arrive(url)
            self._found.add(url)
            visited = self._in_time(self._found.take(url))
            self._note(visited)
            if not isinstance(visited, Skipped) or visited.reason not in ("redirected", "duplicate"):
                break
            url = visited.other
        if isinstance(visited, Skipped) and visited.reason in ("robots", "other_site", "blocked", "redirect_loop"):
            raise SiteUnreadable(visited.reason)
        if isinstance(visited, Failed) and visited.reason in ("unreachable", "tls_failed", "timed_out"):
            raise SiteUnreadable(visited.reason)
        self._error_page = error_page_of(self._fetcher, url, limits=self._limits())

    def _arrive(self, url: str) -> None:
        """Learn the rules that hold for a page, before it is read. Raises SiteUnreadable, LeadsElsewhere."""
        if not self._is_near(url):
            raise LeadsElsewhere(url)
        if origin_of(url) == self._origin:
            return
        seconds = max(0.1, min(self._patience.robots_seconds, self._end - self._clock()))
        try:
            self._robots = robots_of(self._fetcher, url, seconds=seconds)
        except RobotsUnavailable as unavailable:
            reason = str(unavailable)
            raise SiteUnreadable("robots_unavailable" if reason.isdigit() else reason) from None
        self._origin = self._found.origin = origin_of(url)
        self._slot = self._clock() + self._delay

    def _is_near(self, url: str) -> bool:
        """Whether a URL is on the host that is looked over."""
        address = canonical(url)
        return address is not None and _bare(address) == self._host

    def _allows(self, url: str) -> bool:
        """Whether a page may be read, as far as that is known: other hosts have rules of their own."""
        return origin_of(url) != self._origin or self._robots.allows(url)

    def _in_time(self, page: Seen) -> Visited:
        """Visit a page, unless a parser is still at it when the time is over. Raises SiteUnreadable."""
        done: SimpleQueue[Visited] = SimpleQueue()
        threading.Thread(target=lambda: done.put(self._visit(page)), daemon=True).start()
        try:
            return done.get(timeout=max(0.0, self._end - self._clock()))
        except Empty:
            raise SiteUnreadable("timed_out") from None

    def _read_sitemaps(self) -> None:
        until = min(self._clock() + self._patience.sitemaps_seconds, self._end)
        named = self._robots.sitemaps
        said = listed(
            self._fetcher,
            named or (urljoin(self._origin, "/sitemap.xml"),),
            admits=lambda url: self._clock() < until and self._found.admits(url, depth=1),
            max_urls=self._found.most,
            max_files=self._patience.sitemaps,
            may_fetch=lambda url: self._clock() < until and self._is_near(url),
            follows=self._is_near,
            pause=lambda: time.sleep(min(self._delay, self._patience.delay)),
            seconds=max(0.1, min(self._patience.sitemaps_seconds, until - self._clock())),
        )
        self._found.is_cut |= said.is_cut
        for url, lastmod in said.pages.items():
            self._found.add(url, depth=1, lastmod=lastmod, is_listed=True)
        for url in named:
            if not self._is_near(url):
                self._found.leave_out("sitemap_other_host", url)
        for url, problem in said.problems.items():
            if url in named or problem not in ("missing", "broken"):  # most sites have none where we look for one
                self._found.leave_out(f"sitemap_{problem}", url)

    def _read_sample(self) -> None:
        self._most = self._patience.pages * (2 if self._found.is_listed else 3) // 2
        lanes = [threading.Thread(target=self._lane, daemon=True) for _ in range(self._patience.lanes)]
        for each in lanes:
            each.start()
        for each in lanes:
            each.join(max(0.0, self._end - self._clock()))  # who is still reading then is not waited for

    def _lane(self) -> None:
        while (taken := self._next()) is not None:
            visited: Visited | None = None
            try:
                visited = self._visit(taken)
            finally:
                with self._changed:
                    self._under_way -= 1
                    if visited is not None:
                        self._note(visited)
                    self._changed.notify_all()

    def _next(self) -> Seen | None:
        """The page to read next, once its host may be called; None at the end."""
        with self._changed:
            while True:
                if self._found.sampled + self._under_way >= self._most:
                    return None
                slot = max(self._slot, self._clock())
                if slot >= self._end:
                    return None
                taken = self._found.choose()
                if taken is not None:
                    break
                if not self._under_way:
                    return None
                self._changed.wait(max(0.0, self._end - self._clock()))
            self._slot = slot + self._delay
            self._under_way += 1
            self._changed.wait_for(lambda: self._clock() >= slot, max(0.0, slot - self._clock()))
        return taken

    def _is_settled(self, page: Seen) -> bool:
        known = self._known.get(page.url)
        return known is not None and page.is_listed and not known.is_due(page.lastmod)

    def _visit(self, page: Seen) -> Visited:
        visitor = Visitor(self._fetcher, self._scope, self._allows, error_page=self._error_page, limits=self._limits())
        return visitor.visit(page.url, self._known.get(page.url), depth=page.depth, lastmod=page.lastmod)

    def _limits(self) -> Limits:
        left = max(0.1, min(self._patience.page_seconds, self._end - self._clock()))
        return Limits(seconds=left, raw_bytes=self._patience.bytes, bytes=self._patience.bytes)

    def _note(self, visited: Visited) -> None:
        match visited:
            case Fresh():
                tokens = sum(each.tokens for each in cut(visited.extracted)) if visited.is_changed else 0
                self._found.read(visited.url, tokens, visited.links, is_changed=visited.is_changed)
            case Unchanged():
                self._found.read(visited.url, 0, (), is_changed=False)
            case Skipped(reason="too_large") | Failed(reason="timed_out" | "too_slow"):
                self._found.unread(visited.url, visited.reason)
            case Skipped():
                self._found.skip(visited.url, visited.reason, visited.links, visited.other)
            case Gone() | Failed():
                self._found.skip(visited.url, visited.reason)


def _bare(url: str) -> str:
    return host_of(url).removeprefix("www.")


def _known(page: KnownPage) -> Known:
    return Known.restored(page.content_hash, page.etag, page.last_modified, page.lastmod, page.distrusted)
