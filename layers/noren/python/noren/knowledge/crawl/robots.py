"""robots.txt as `Noren`: what may be read, how slowly, and which sitemaps there are (RFC 9309)."""

from __future__ import annotations

import re
from urllib.parse import urljoin

from protego import Protego

from noren.fetching.client import Fetcher, Limits
from noren.fetching.errors import FetchFailed

AGENT = "Noren"
DEFAULT_DELAY = 1.0
"""Seconds between two pages of a host that doesn't say."""
MAX_DELAY = 30.0
"""A host that wants to be read more slowly is read this slowly."""
MAX_BYTES = 512_000
"""The rest of a longer file is not read."""
MAX_SITEMAPS = 50
SECONDS = 10.0
_AGENT_LINE = re.compile(r"\s*user[ -]?agent\b", re.IGNORECASE)
_OURS = re.compile(rf"\*|{AGENT}", re.IGNORECASE)


class RobotsUnavailable(Exception):
    """The host can't say now what may be read (5xx, 429, no answer): nothing is read until it can."""


class Robots:
    """The rules of one host."""

    def __init__(self, text: str = "", url: str = "") -> None:
        self.text, self.url = _ours(text), url
        """What the same rules can be made of again."""
        self._rules = Protego.parse(self.text)
        listed = (urljoin(url, each) for each in self._rules.sitemaps)
        self.sitemaps: tuple[str, ...] = tuple(dict.fromkeys(listed))[:MAX_SITEMAPS]
        """Absolute, as they are listed."""
        wish = self._rules.crawl_delay(AGENT)
        self.wish: float | None = None if wish is None else min(float(wish), MAX_DELAY)
        """Seconds between two pages that the host asks for."""
        self.delay: float = DEFAULT_DELAY if self.wish is None else self.wish
        """Seconds to leave between two pages."""

    def allows(self, url: str) -> bool:
        """Whether a page may be read."""
        return bool(self._rules.can_fetch(url, AGENT))


def robots_of(fetcher: Fetcher, url: str, *, seconds: float = SECONDS) -> Robots:
    """The rules of a URL's host; a host without the file allows everything. Raises RobotsUnavailable."""
    place = urljoin(url, "/robots.txt")
    try:
        got = fetcher.get(place, limits=Limits(seconds=seconds, raw_bytes=4 * MAX_BYTES, bytes=4 * MAX_BYTES))
    except FetchFailed as failed:
        if failed.reason == "too_many_redirects":
            return Robots()
        raise RobotsUnavailable(failed.code) from None
    if got.status == 429 or got.status >= 500:
        raise RobotsUnavailable(str(got.status))
    if got.status >= 300:
        return Robots()
    return Robots(got.body.decode("utf-8-sig", "replace"), got.url)


def _ours(text: str) -> str:
    """The file with every other robot under one name: thousands of them times thousands of rules are a bomb."""
    lines = text[:MAX_BYTES].splitlines()
    return "\n".join(
        "User-agent: other" if _AGENT_LINE.match(line) and not _OURS.search(line) else line[:2_048] for line in lines
    )
