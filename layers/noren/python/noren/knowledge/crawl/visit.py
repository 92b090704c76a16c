"""One visit of one page: fetched if it has changed, and told as what it turned out to be."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal
from urllib.parse import unquote, urljoin

from noren.fetching.client import REDIRECTS, Fetched, Fetcher, Limits
from noren.fetching.errors import FetchFailed
from noren.knowledge.crawl.addresses import canonical, path_of
from noren.knowledge.crawl.known import Known
from noren.knowledge.crawl.near import Fingerprint, fingerprint
from noren.knowledge.crawl.scope import Refusal, Scope
from noren.knowledge.extract import html
from noren.knowledge.extract.digest import content_hash
from noren.knowledge.extract.errors import ExtractFailed
from noren.knowledge.extract.files import kind_of, read_file
from noren.knowledge.text import Extracted

LIMITS = Limits(seconds=20.0, raw_bytes=20_000_000, bytes=20_000_000)
"""Of a page or file; HTML has a smaller limit of its own."""
MOST_HOPS = 5
"""So many addresses in a row may refer to the next one."""
RETRY_SECONDS = 60.0
MOST_RETRY_SECONDS = 3_600.0

SkipReason = Literal[
    Refusal, "robots", "noindex", "redirected", "duplicate", "forbidden", "refused", "content_type", "blocked",
    "redirect_loop", "empty", "encrypted", "unsupported", "too_large", "needs_js",
]  # fmt: skip
"""`redirected` and `duplicate`: the text is at `other`. `blocked`: an address that may not be called."""
GoneReason = Literal["missing", "soft_404"]
FailReason = Literal[
    "unreachable", "tls_failed", "timed_out", "bad_response", "server_error", "busy", "broken", "too_slow"
]


@dataclass(frozen=True, slots=True)
class Fresh:
    """The page was read."""

    url: str
    extracted: Extracted
    content_hash: str
    is_changed: bool
    """Whether its text is another one than was known."""
    known: Known
    """To keep for the next visit."""
    links: tuple[str, ...]
    """On the site, in canonical form."""
    fingerprint: Fingerprint
    """To find near duplicates with."""


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The site says that the page is as it was."""

    url: str
    known: Known


@dataclass(frozen=True, slots=True)
class Gone:
    """There is no such page."""

    url: str
    reason: GoneReason


@dataclass(frozen=True, slots=True)
class Skipped:
    """A page that is not to be kept. Visiting it again won't help."""

    url: str
    reason: SkipReason
    other: str = ""
    """Where its text is, in canonical form and on the site."""
    links: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """It did not work."""

    url: str
    reason: FailReason
    retry_after: float | None = None
    """Seconds after which to try again; None: it would fail again."""


Visited = Fresh | Unchanged | Gone | Skipped | Failed

_SKIPPED_FETCHES: dict[str, SkipReason] = {
    "too_large": "too_large",
    "too_many_redirects": "redirect_loop",
    "blocked_redirect": "blocked",
    "blocked_scheme": "blocked",
    "blocked_port": "blocked",
    "invalid_url": "blocked",
}
_FAILED_FETCHES: tuple[FailReason, ...] = ("unreachable", "tls_failed", "timed_out", "bad_response")


class Visitor:
    """Visits pages of one site. `allows` says whether robots.txt lets a URL of the site be read."""

    def __init__(
        self,
        fetcher: Fetcher,
        scope: Scope,
        allows: Callable[[str], bool],
        *,
        error_page: Fingerprint | None = None,
        limits: Limits = LIMITS,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._fetcher, self._scope, self._allows = fetcher, scope, allows
        self._error_page, self._limits, self._now = error_page, limits, now

    def visit(
        self, url: str, known: Known | None = None, *, depth: int = 0, lastmod: str = "", audit: bool = False
    ) -> Visited:
        """Visit the page at a URL in canonical form, which is so many links from the start.

        `known` is what is remembered of it: then the site may answer that it is unchanged. With `audit` it is read all
        the same, and what the site says is checked against what it sends. `lastmod` is what the sitemap says now.
        """
        if refusal := self._scope.refusal(url, depth):
            return Skipped(url, refusal)
        if not self._allows(url):
            return Skipped(url, "robots")
        known = known or Known()
        conditions = {} if audit else known.conditions()
        try:
            # What another address says is read in its own turn, once.
            got = self._fetcher.get(
                url, headers=conditions, limits=self._limits, follows=lambda each: canonical(each) == url
            )
        except FetchFailed as failed:
            return _not_fetched(url, failed)
        if got.status == 304 and conditions:
            return Unchanged(url, known.same(lastmod=lastmod, **_validators(got)))
        if got.status in REDIRECTS:
            return self._redirected(url, canonical(got.headers.get("location", "")))
        if not 200 <= got.status < 300:
            return self._refused(url, got)
        try:
            return self._read(url, got, known, lastmod)
        except ExtractFailed as failed:
            reason = failed.reason
            if reason == "broken" or reason == "too_slow":
                return Failed(url, reason)
            return Skipped(url, reason)

    def _redirected(self, url: str, target: str | None) -> Skipped:
        if target is None:
            return Skipped(url, "refused")
        if refusal := self._scope.refusal(target):
            return Skipped(url, refusal)
        return Skipped(url, "redirected", other=target) if self._allows(target) else Skipped(url, "robots")

    def _refused(self, url: str, got: Fetched) -> Visited:
        if got.status in (404, 410):
            return Gone(url, "missing")
        if got.status in (401, 402, 403, 407, 451):
            return Skipped(url, "forbidden")
        if got.status in (408, 425, 429, 503):
            return Failed(url, "busy", self._retry_after(got))
        if got.status >= 500:
            return Failed(url, "server_error", self._retry_after(got))
        return Skipped(url, "refused")

    def _retry_after(self, got: Fetched) -> float:
        said = got.headers.get("retry-after", "").strip()
        return min(max(self._seconds(said), 1.0), MOST_RETRY_SECONDS)

    def _seconds(self, said: str) -> float:
        """What a `Retry-After` comes to: a number or a date; what is neither counts as not said."""
        if re.fullmatch(r"[0-9]{1,9}", said):
            return float(said)
        try:
            moment = parsedate_to_datetime(said)
            return (moment.replace(tzinfo=moment.tzinfo or UTC) - self._now()).total_seconds()
        except (ValueError, OverflowError, TypeError):
            return RETRY_SECONDS

    def _read(self, url: str, got: Fetched, known: Known, lastmod: str) -> Visited:
        told = got.headers.get("content-type", "")
        asked = html.directives_of(got.headers.get("x-robots-tag", ""))
        name = unquote(path_of(url).rpartition("/")[2])
        kind = kind_of(got.body, name=name, content_type=told)
        if not got.body.strip():
            return Skipped(url, "empty")
        if kind is None:
            return Skipped(url, "content_type")
        if kind != "html":
            extracted = read_file(got.body, name=name, content_type=told)
            return Skipped(url, "noindex") if asked.noindex else self._fresh(url, got, known, lastmod, extracted, ())
        page = html.read(got.body, url, content_type=told)
        asked |= page.directives
        links = (
            () if asked.nofollow else tuple(each for each in page.links if each != url and self._scope.has_host(each))
        )
        if asked.noindex:
            return Skipped(url, "noindex", links=links)
        if page.verdict == "soft_404" or self._is_error_page(url, page.extracted):
            return Gone(url, "soft_404")
        if page.verdict == "needs_js":
            return Skipped(url, "needs_js", links=links)
        if self._is_copy(url, page.canonical):
            return Skipped(url, "duplicate", other=page.canonical, links=links)
        if not page.extracted.blocks:
            return Skipped(url, "empty", links=links)
        return self._fresh(url, got, known, lastmod, page.extracted, links)

    def _is_copy(self, url: str, other: str) -> bool:
        """Whether a page's text lives elsewhere by its own word. Templates that call every page the home page are not
        believed.
        """
        return bool(other) and other != url and self._scope.refusal(other) is None and path_of(other) != "/"

    def _is_error_page(self, url: str, extracted: Extracted) -> bool:
        """A site may send its home page for all that is missing; that one is a page all the same."""
        if self._error_page is None or path_of(url) == "/" or url == self._scope.start:
            return False
        return fingerprint(extracted).is_near(self._error_page)

    def _fresh(
        self, url: str, got: Fetched, known: Known, lastmod: str, extracted: Extracted, links: tuple[str, ...]
    ) -> Fresh:
        digest = content_hash(extracted)
        now_known = known.seen(digest, lastmod=lastmod, **_validators(got))
        return Fresh(url, extracted, digest, digest != known.content_hash, now_known, links, fingerprint(extracted))


def error_page_of(fetcher: Fetcher, start: str, *, limits: Limits = LIMITS) -> Fingerprint | None:
    """How a site's answer looks for a page that can't be there, if it calls that a page (200); None if it doesn't."""
    try:
        got = fetcher.get(urljoin(start, f"/noren-{secrets.token_hex(8)}"), limits=limits, follows=lambda url: False)
        if got.status != 200:
            return None
        page = html.read(got.body, got.url, content_type=got.headers.get("content-type", ""))
    except (FetchFailed, ExtractFailed):
        return None
    return fingerprint(page.extracted) if page.extracted.blocks else None


def _validators(got: Fetched) -> dict[str, str]:
    return {
        "etag": got.headers.get("etag", "")[:200],
        "last_modified": got.headers.get("last-modified", "")[:100],
    }


def _not_fetched(url: str, failed: FetchFailed) -> Visited:
    """By what is shown: an address that may not be called looks like one where nobody answers."""
    if skipped := _SKIPPED_FETCHES.get(failed.code):
        return Skipped(url, skipped)
    reason: FailReason = next((each for each in _FAILED_FETCHES if each == failed.code), "unreachable")
    return Failed(url, reason, None if reason == "tls_failed" else RETRY_SECONDS)
