"""Crawls as their owner sees them: which addresses a site may be trained on, and that one crawl at a time is open."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import islice
from typing import Any

from noren.clock import Clock
from noren.errors import Conflict, NotFound, Unprocessable
from noren.ids import TenantId, new_id
from noren.knowledge.crawl.addresses import canonical, host_of
from noren.knowledge.crawl.scope import is_within
from noren.knowledge.crawl_store import CrawlStore, Expiry
from noren.knowledge.current import is_valid
from noren.knowledge.document_store import DocumentStore
from noren.knowledge.job_store import JobStore
from noren.knowledge.messages import Step, Steps
from noren.knowledge.models import Document, Job, Recurrence, refresh
from noren.knowledge.survey.models import Reach
from noren.sites.models import Site
from noren.sites.service import Sites
from noren.tenants.store import Refused

AT_ONCE = 200
"""Sites published anew in one sweep."""
TURN = 3
"""Where, in the transaction that starts a job, it stands that it is its site's turn."""

_log = logging.getLogger("noren.knowledge")


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a training is expected to come to."""

    pages: int
    tokens: int
    cost_usd: Decimal
    exceeds_quota: bool


class Crawls:
    """Starts crawls."""

    def __init__(
        self, jobs: JobStore, pages: CrawlStore, documents: DocumentStore, sites: Sites, steps: Steps, clock: Clock
    ) -> None:
        self._jobs, self._pages, self._documents = jobs, pages, documents
        self._sites, self._steps, self._clock = sites, steps, clock

    def address(self, site: Site, url: str) -> str:
        """The address to start from, in its one spelling. Raises Unprocessable for one that is not the site's."""
        address = canonical(url)
        if address is None:
            raise Unprocessable("Give the address of a page, like https://shop.example/.", code="invalid_url")
        host = host_of(address)
        if site.domains and not is_within(host, site.domains):
            listed = ", ".join(site.domains)
            raise Unprocessable(
                f"{host} is not one of this site's domains ({listed}). Add it to the site's domains first.",
                code="not_this_site",
                domains=list(site.domains),
            )
        return address

    def start(
        self,
        site: Site,
        url: str,
        reach: Reach,
        pages_per_site: int,
        actor: str,
        *,
        force: bool = False,
        schedule: Recurrence | None = None,
        estimate: Estimate | None = None,
        also: Sequence[Any] = (),
    ) -> Job:
        """Begin to train on a site's pages; `also` is written with the job.

        The first address that a site is trained on decides whose pages it may be trained on: that host is from then on
        its domain. Raises Unprocessable for another's address, Conflict where a crawl of the site is open, Refused
        where a condition of `also` fails.
        """
        site = self._claimed(site, url, actor)
        address, now = self.address(site, url), self._clock()
        reach = reach.at(address)
        job = Job(
            job_id=new_id("job", now),
            tenant_id=site.tenant_id,
            site_id=site.site_id,
            kind="url",
            mode="full" if force or not self._has_pages(site) else "differential",
            status="queued",
            source=new_id("upl", now),
            created_at=now,
            created_by=actor,
            moved_at=now,
            url=address,
            max_pages=reach.most(pages_per_site),
            pages_per_site=pages_per_site,
            max_depth=reach.max_depth,
            include=reach.include,
            exclude=reach.exclude,
            domains=site.domains,
            schedule=schedule,
            estimated_pages=estimate.pages if estimate else None,
            estimated_tokens=estimate.tokens if estimate else None,
            estimated_cost_usd=estimate.cost_usd if estimate else None,
            exceeds_quota=estimate.exceeds_quota if estimate else None,
        )

        while True:
            turn = self._pages.taking_turn(job, self.check_turn(job))
            try:
                self._jobs.start(job, [turn, *also])
                break
            except Refused as refused:
                if TURN not in refused.failed:
                    raise
        self._hint(job, "plan")
        return job

    def retry(self, job: Job) -> bool:
        """Have an ended crawl do what failed; False where it, or another, has gone on just now. Raises Conflict where
        another crawl of the site is open.
        """
        turn = self._pages.taking_turn(job, self.check_turn(job))
        return self._jobs.retry(job, self._clock(), [turn])

    def check_turn(self, of: Site | Job) -> str:
        """The id of a site's latest crawl, "" where there was none. Raises Conflict where it is open."""
        latest = self._pages.latest(of.tenant_id, of.site_id)
        job = self._jobs.get(of.tenant_id, latest) if latest else None
        if job and job.is_open:
            raise Conflict(
                f"This site is being trained already, by {latest}. Wait for it, or cancel it first.",
                code="training_open",
                job_id=latest,
            )
        return latest

    def stop(self, tenant_id: TenantId, site_id: str) -> None:
        """Cancel the crawl of a site, if one is open."""
        latest = self._pages.latest(tenant_id, site_id)
        job = self._jobs.get(tenant_id, latest) if latest else None
        if job:
            self._jobs.cancel(job, self._clock())

    def expire(self) -> int:
        """Have those sites published anew whose documents have expired, each once; how many were begun."""
        begun = 0
        for each in islice(self._pages.expired(self._clock()), AT_ONCE):
            try:
                begun += self._expire(each)
            except Exception as error:
                _log.error("what has expired was left", exc_info=error, extra={"fields": {"site": each.site_id}})
        return begun

    def _expire(self, expiry: Expiry) -> bool:
        try:
            site = self._sites.now(expiry.tenant_id, expiry.site_id)
        except NotFound:
            self._pages.forget(expiry)
            return False
        now = self._clock()
        if not any(_has_expired(each, now) for each in self._documents.every(site.tenant_id, site.site_id)):
            self._pages.forget(expiry)  # what was missed has come back, or went in another way
            return False
        job = refresh(site.tenant_id, site.site_id, now)
        if not self._jobs.begin_refresh(job, [self._pages.forgetting(expiry)]):
            return False
        self._hint(job, "publish")
        return True

    def _claimed(self, site: Site, url: str, actor: str) -> Site:
        """The site with the domains that it may be trained on."""
        while not site.domains:
            host = host_of(self.address(site, url)).removeprefix("www.")
            now = self._sites.now(site.tenant_id, site.site_id)
            try:
                site = now if now.domains else self._sites.save_site(replace(now, domains=(host,)), actor)
            except Conflict:
                continue
        return site

    def _has_pages(self, site: Site) -> bool:
        return self._documents.has_pages(site.tenant_id, site.site_id)

    def _hint(self, job: Job, step: Step) -> None:
        """Have a worker begin. Where the message is lost, the sweep finds the job."""
        try:
            self._steps.ask(job, step)
        except Exception as error:
            _log.warning("a job is left to the sweep: %s", type(error).__name__)


def _has_expired(document: Document, now: float) -> bool:
    return document.status == "active" and not is_valid(document, now)
