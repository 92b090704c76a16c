"""A job's crawl: which pages it begins with, when each may be read, what it says, and what follows from that.

What a job reads is bound by its scope; what a site knows is not: documents out of a job's scope stay as they are, and
one in scope goes only when two crawls in a row have asked for it and not found it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from time import sleep
from urllib.parse import urljoin

from noren.clock import Clock
from noren.fetching.client import Fetcher
from noren.knowledge.blobs import BlobMissing, Blobs, links_key, text_key
from noren.knowledge.chunks import measure
from noren.knowledge.crawl.addresses import canonical, host_of
from noren.knowledge.crawl.known import Known
from noren.knowledge.crawl.robots import DEFAULT_DELAY, MAX_DELAY, RobotsUnavailable
from noren.knowledge.crawl.scope import Scope
from noren.knowledge.crawl.sitemaps import listed
from noren.knowledge.crawl.visit import (
    MOST_HOPS,
    RETRY_SECONDS,
    Failed,
    Fresh,
    Gone,
    Skipped,
    Unchanged,
    Visited,
    Visitor,
)
from noren.knowledge.crawl_store import CrawlStore
from noren.knowledge.current import copies_among, is_valid
from noren.knowledge.document_store import DocumentStore
from noren.knowledge.hosts import Hosts
from noren.knowledge.job_store import JobStore
from noren.knowledge.models import Document, Job, JobPage, PageEnd, document_id, learnt, page_id
from noren.knowledge.texts import packed
from noren.pace import HORIZON_SECONDS, Pace
from noren.tenants.store import Refused

SITEMAP_SECONDS = 120.0
"""No further sitemap is begun after that."""
AUDITED = 20
"""One page in so many is read although its site says that it is unchanged."""
MISSES = 2
"""So many crawls in a row must miss a page before it goes."""
MISSING = frozenset(
    "missing soft_404 redirected duplicate noindex robots empty"
    " other_site excluded too_deep trap not_a_page".split()  # it leads there
)
"""What says that a page is not to be answered from. Whoever keeps us out (403, an endless redirect) says nothing of the
page: what was known of it stays.
"""
MISSED_SECONDS = 30 * 86400
"""A page that was missed goes after that in any case, unless it is found again."""
SITEMAP_PAUSE = 1.0
"""Seconds between two sitemaps at most: whoever plans waits for it, however slowly a host wants its pages read."""
FEWEST_IN_HAND, MOST_IN_HAND = math.ceil(2 * HORIZON_SECONDS / MAX_DELAY), 2_000
"""Of a host that is called as slowly as any, and of one that may be called as often as one likes."""
SLOT_SECONDS = 10.0
"""A slot that was not used for so long is nobody's any more: those who come late together would be a burst."""


class NoRoom(Exception):
    """The site has as many pages as its plan allows, all of them out of this job's scope."""


@dataclass(frozen=True, slots=True)
class Wait:
    """A page is not to be read now."""

    until: float
    has_slot: bool = False
    """Whether its host may be called then."""


@dataclass(frozen=True, slots=True)
class Visit:
    """What came of a page, given what was known of it."""

    of: Visited
    known: Document | None


class Crawl:
    """Reads sites. Decides, and stores texts; the worker moves pages and jobs on."""

    def __init__(
        self,
        fetcher: Fetcher,
        hosts: Hosts,
        pace: Pace,
        jobs: JobStore,
        pages: CrawlStore,
        documents: DocumentStore,
        blobs: Blobs,
        clock: Clock,
        sleep: Callable[[float], None] = sleep,
    ) -> None:
        self._fetcher, self._hosts, self._pace = fetcher, hosts, pace
        self._jobs, self._pages, self._documents, self._blobs = jobs, pages, documents, blobs
        self._clock, self._sleep = clock, sleep

    def plan(self, job: Job) -> None:
        """Add what a crawl begins with: its start, the pages known, those that sitemaps list.

        Raises RobotsUnavailable, NoRoom, and Refused where the job is not running any more.
        """
        scope = _scope(job)
        robots = self._hosts.of(job, scope.start).robots
        every = self._documents.every(job.tenant_id, job.site_id)
        documents = [each for each in every if each.kind == "page" and each.status == "active"]
        known = {each.url: each.depth for each in documents if scope.refusal(each.url, each.depth) is None}
        room = min(job.max_pages, job.pages_per_site - (len(documents) - len(known)))
        if room <= 0:
            raise NoRoom
        self._pages.narrow(job, room)
        until, own = self._clock() + SITEMAP_SECONDS, host_of(scope.start)  # others have rules of their own
        found = listed(
            self._fetcher,
            robots.sitemaps or (urljoin(scope.start, "/sitemap.xml"),),
            admits=lambda url: scope.refusal(url, 1) is None and (host_of(url) != own or robots.allows(url)),
            max_urls=room + 1,  # so that one too many is seen
            may_fetch=lambda url: self._clock() < until and (url in robots.sitemaps or _is_on(scope, url)),
            pause=lambda: self._sleep(min(robots.delay, SITEMAP_PAUSE)),
        ).pages
        depths = {scope.start: 0} | known | {scope.start: 0}  # the start comes first, however it was found before
        depths |= {url: 1 for url in found if url not in depths}
        pages = [_page(url, depth, found.get(url, "")) for url, depth in depths.items()]
        self._pages.add_pages(job, pages, listed=True)

    def wait(self, job: Job, page: JobPage) -> Wait | None:
        """Until when a page has to wait; None if it may be visited now. Raises RobotsUnavailable."""
        now, host = self._clock(), host_of(page.source)
        if page.has_slot:
            held_until = self._pace.held_until(host)
            if held_until > now:
                return Wait(held_until)
            if now - page.due_at < SLOT_SECONDS:
                return None
        if self._is_spared(job, page, self._known(job, page)):
            return None
        robots = self._hosts.of(job, page.source).robots
        if not robots.allows(page.source):
            return None
        if page.has_slot and self._pace.is_free_for_late(host, robots.delay):
            return None
        slot = self._pace.slot(host, robots.delay)
        if slot is None:
            return Wait(now + HORIZON_SECONDS * (0.9 + _share(page.page_id) / 10))
        # Of a host that may be called several times a second, a second's worth is called at once.
        return Wait(slot, has_slot=True) if slot - now > max(1 - robots.delay, 0) else None

    def in_hand(self, job: Job) -> int:
        """How many of a job's pages are asked for at a time: twice as many as its first host can be called for ahead.
        More would only come again and again to see that it is not their turn.
        """
        if job.left <= FEWEST_IN_HAND:
            return FEWEST_IN_HAND  # whatever the host says
        try:
            delay = self._hosts.of(job, job.url).robots.delay
        except RobotsUnavailable:
            delay = DEFAULT_DELAY
        return min(math.ceil(2 * HORIZON_SECONDS / delay), MOST_IN_HAND) if delay else MOST_IN_HAND

    def visit(self, job: Job, page: JobPage) -> Visit:
        """Visit a page. A host that can't say what may be read counts as busy."""
        known = self._known(job, page)
        if known and self._is_spared(job, page, known):
            return Visit(Unchanged(page.source, _remembered(known)), known)
        try:
            host = self._hosts.of(job, page.source)
        except RobotsUnavailable:
            return Visit(self._held(page, Failed(page.source, "busy", RETRY_SECONDS)), known)
        try:
            visitor = Visitor(
                self._fetcher,
                _scope(job),
                lambda url: self._hosts.of(job, url).robots.allows(url),
                error_page=host.error_page,
                now=lambda: datetime.fromtimestamp(self._clock(), UTC),
            )
            is_audit = job.mode == "full" or _is_audited(job, page)
            before = _remembered(known) if known else None
            found = visitor.visit(page.source, before, depth=page.depth, lastmod=page.lastmod, audit=is_audit)
        except RobotsUnavailable:
            return Visit(Failed(page.source, "busy", RETRY_SECONDS), known)  # of the host that it leads to
        return Visit(self._held(page, found), known)

    def _held(self, page: JobPage, found: Visited) -> Visited:
        """What a page's own host has answered; where it is busy, it is left alone by all."""
        if isinstance(found, Failed) and found.reason == "busy" and found.retry_after is not None:
            self._pace.hold(host_of(page.source), found.retry_after)
        return found

    def follow(self, job: Job, page: JobPage, visit: Visit) -> list[JobPage]:
        """Add the pages that a page leads to, as far as the job's bounds let it; those that it did not have before.

        Raises Refused where the job is not running any more.
        """
        scope, found = _scope(job), visit.of
        links: Iterable[str] = ()
        if isinstance(found, Fresh | Skipped):
            links = found.links
        elif isinstance(found, Unchanged):
            links = self._links(job, page)
        pages = [_page(url, page.depth + 1) for url in links]
        if isinstance(found, Skipped) and found.other and page.hops < MOST_HOPS:
            pages.insert(0, replace(_page(found.other, page.depth), hops=page.hops + 1))
        inside = [each for each in pages if scope.refusal(each.source, each.depth) is None]
        return self._pages.add_pages(job, self._permitted(job, page, inside))

    def end(self, job: Job, page: JobPage, visit: Visit) -> PageEnd:
        """What a page has come to. Its text and links are stored ahead of the document that names them."""
        found, known = visit.of, visit.known
        match found:
            case Failed():
                return PageEnd("failed", found.reason)
            case Skipped() if known and known.status == "active" and found.reason not in MISSING:
                return PageEnd("failed", found.reason)
            case Gone() | Skipped():
                return self._missed(known, found.reason)
            case Unchanged():
                return self._unchanged(page, known, found.known)
        self._blobs.put(_links_key(job, page), json.dumps(found.links).encode())
        if known and known.status == "active" and not found.is_changed and job.mode == "differential":
            return self._unchanged(page, known, found.known)
        document = self._learnt(job, page, known, found)
        if not document.chunk_count:
            return self._missed(known, "no_text")
        self._blobs.put(text_key(document), packed(found.extracted))
        return PageEnd("changed", document=document, document_id=document.document_id)

    def settle(self, job: Job) -> None:
        """Count pages that say what others of the site say as left out, and note when those missed expire. A crawl that
        learnt no page at all has missed none. Raises Refused where the job has moved on.
        """
        if not job.fetched:
            self._forgive(job)
        now = self._clock()
        every = self._documents.every(job.tenant_id, job.site_id)
        pages = {each.document_id: each for each in every if each.kind == "page" and is_valid(each, now)}
        self._pages.note_expiries(job, (each.valid_until for each in pages.values() if each.valid_until))
        for copy in sorted(copies_among(pages.values())):
            page = self._jobs.page(job, page_id(pages[copy].url))
            if page and page.status in ("changed", "unchanged"):
                try:
                    self._pages.leave_out(job, page, "near_duplicate")
                except Refused as refused:
                    if 1 in refused.failed:
                        raise

    def _forgive(self, job: Job) -> None:
        """Have the documents that a crawl has missed as they were before; but those of pages that were had, and say
        themselves that they are not to be kept.
        """
        for page in self._jobs.pages(job):
            is_missed = page.status in ("removed", "skipped") and page.reason != "noindex"
            known = self._known(job, page) if page.document_id and is_missed else None
            if known is None:
                continue
            misses = max(known.misses - 1, 0)
            before = replace(known, status="active", misses=misses, valid_until=known.valid_until if misses else None)
            try:
                self._pages.forgive(job, page, self._documents.noting(before))
            except Refused as refused:
                if 1 in refused.failed:
                    raise

    def _known(self, job: Job, page: JobPage) -> Document | None:
        return self._documents.get(job.tenant_id, job.site_id, _document_id(job, page.source))

    def _permitted(self, job: Job, page: JobPage, others: list[JobPage]) -> list[JobPage]:
        """Without those of the page's own host that robots.txt keeps from us: they would only take up room. Other hosts
        are asked when it is their pages' turn.
        """
        own = host_of(page.source)
        if all(host_of(each.source) != own for each in others):
            return others
        try:
            robots = self._hosts.of(job, page.source).robots
        except RobotsUnavailable:
            return others
        return [each for each in others if host_of(each.source) != own or robots.allows(each.source)]

    def _links(self, job: Job, page: JobPage) -> list[str]:
        try:
            links: list[str] = json.loads(self._blobs.get(_links_key(job, page)))
        except BlobMissing:
            return []
        return links

    def _is_spared(self, job: Job, page: JobPage, known: Document | None) -> bool:
        """Whether a page need not be asked for: its sitemap says that it is as it was, and is believed."""
        if known is None or job.mode == "full" or _is_audited(job, page):
            return False
        return not _remembered(known).is_due(page.lastmod)

    def _unchanged(self, page: JobPage, known: Document | None, now_known: Known) -> PageEnd:
        assert known is not None  # who knows nothing asks without conditions
        noted = _remembering(replace(known, depth=page.depth), now_known, self._clock())
        return PageEnd("unchanged", noted=noted, document_id=known.document_id)

    def _missed(self, known: Document | None, reason: str) -> PageEnd:
        if known is None or known.status == "gone":
            return PageEnd("skipped", reason)
        now = self._clock()
        missed = replace(known, misses=known.misses + 1, checked_at=now)
        if missed.misses >= MISSES or reason == "noindex":
            return PageEnd("removed", reason, noted=replace(missed, status="gone"), document_id=known.document_id)
        missed = replace(missed, valid_until=known.valid_until or now + MISSED_SECONDS)
        return PageEnd("skipped", reason, noted=missed, document_id=known.document_id)

    def _learnt(self, job: Job, page: JobPage, known: Document | None, found: Fresh) -> Document:
        text, now = found.extracted, self._clock()
        size = measure(text)
        own = _document_id(job, page.source)
        document = learnt(job, known, own, "page", page.source, text, found.content_hash, size, now)
        document = replace(document, fingerprint=found.fingerprint.stored, depth=page.depth)
        return _remembering(document, found.known, now)


def _scope(job: Job) -> Scope:
    return Scope(
        job.url,
        domains=job.domains,
        include=job.include,
        exclude=job.exclude,
        max_depth=job.max_depth,
        today=datetime.fromtimestamp(job.created_at, UTC).date(),
    )


def _is_on(scope: Scope, url: str) -> bool:
    address = canonical(url)
    return address is not None and scope.has_host(address)


def _page(url: str, depth: int, lastmod: str = "") -> JobPage:
    return JobPage(page_id(url), url, url, depth=depth, lastmod=lastmod)


def _links_key(job: Job, page: JobPage) -> str:
    return links_key(job.tenant_id, job.site_id, _document_id(job, page.source))


def _document_id(job: Job, url: str) -> str:
    return document_id(job.site_id, f"page:{url}")


def _remembered(document: Document) -> Known:
    """What is known of a page for the next visit: of one that is gone, nothing."""
    if document.status == "gone":
        return Known()
    validators = document.etag, document.last_modified, document.lastmod
    return Known.restored(document.content_hash, *validators, document.distrusted)


def _remembering(document: Document, known: Known, now: float) -> Document:
    """A document that was found, with what is known of it then."""
    return replace(
        document,
        etag=known.etag,
        last_modified=known.last_modified,
        lastmod=known.lastmod,
        distrusted=tuple(sorted(known.distrusted)),
        misses=0,
        valid_until=None,
        checked_at=now,
    )


def _is_audited(job: Job, page: JobPage) -> bool:
    """Drawn by lot, the same however often it is asked."""
    return _share(f"{job.job_id}{page.page_id}") * AUDITED < 1


def _share(text: str) -> float:
    """A number from 0 to 1 that looks drawn by lot."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) / 2**32
