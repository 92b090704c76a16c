"""What a crawl has to know of each host before it reads a page there: asked once for each job, then remembered."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from urllib.parse import urlsplit

from noren.cache import TtlCache
from noren.clock import Clock
from noren.fetching.client import Fetcher
from noren.knowledge.blobs import BlobMissing, Blobs, upload_key
from noren.knowledge.crawl.near import Fingerprint
from noren.knowledge.crawl.robots import Robots, robots_of
from noren.knowledge.crawl.visit import error_page_of
from noren.knowledge.models import Job

REMEMBERED_SECONDS = 900
REMEMBERED = 64
"""Hosts that one process remembers."""


@dataclass(frozen=True, slots=True)
class Host:
    """A host's rules, and what it sends for a page that is not there, if it calls that a page."""

    robots: Robots
    error_page: Fingerprint | None


class Hosts:
    """The hosts of crawls. Of each attempt at a job anew: a robots.txt may have changed since."""

    def __init__(self, fetcher: Fetcher, blobs: Blobs, clock: Clock) -> None:
        self._fetcher, self._blobs = fetcher, blobs
        self._known: TtlCache[str, Host] = TtlCache(REMEMBERED_SECONDS, clock, size=REMEMBERED)

    def of(self, job: Job, url: str) -> Host:
        """The host of a URL in canonical form. Raises RobotsUnavailable."""
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        name = hashlib.sha256(origin.encode()).hexdigest()[:32]
        key = upload_key(job.tenant_id, job.site_id, f"{job.source}/{job.attempt}-{name}")
        return self._known.get(key, lambda: self._stored(key) or self._asked(key, f"{origin}/"))

    def _stored(self, key: str) -> Host | None:
        try:
            told = json.loads(self._blobs.get(key))
        except BlobMissing:
            return None
        error_page = Fingerprint.restored(*told["error_page"]) if told["error_page"] else None
        return Host(Robots(told["robots"], told["url"]), error_page)

    def _asked(self, key: str, url: str) -> Host:
        robots = robots_of(self._fetcher, url)
        error_page = error_page_of(self._fetcher, url) if robots.allows(url) else None
        of_error = [error_page.stored, error_page.title] if error_page else None
        told = {"robots": robots.text, "url": robots.url, "error_page": of_error}
        self._blobs.put(key, json.dumps(told, ensure_ascii=False).encode("utf-8", "surrogatepass"))
        return Host(robots, error_page)
