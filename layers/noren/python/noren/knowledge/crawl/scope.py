"""Which of a site's URLs are read: those of the same site, within the owner's patterns, and none of a trap's.

The same site is the host of the start address (without `www.`) and all below it, and the owner's further domains. No
list of public suffixes is asked: on a host that many shops share (`shop.platform.example`) the neighbours stay out, and
an owner who means a sister host names it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from typing import Literal

from noren.knowledge.crawl.addresses import canonical, host_of, path_of

Refusal = Literal["other_site", "excluded", "too_deep", "trap", "not_a_page"]
"""Why a URL is not read. `not_a_page`: an image, script, archive or the like by its name."""

_NO_PAGE = re.compile(
    r"\.(?:jpe?g|png|gif|webp|avif|svg|ico|bmp|tiff?|css|m?js|json|xml|rss|atom|woff2?|ttf|otf|eot|mp[34]|m4[av]|mov|avi|"
    r"webm|ogg|wav|zip|gz|tgz|bz2|7z|rar|exe|dmg|apk|iso|msi|pptx?|xlsx?|doc)",
    re.IGNORECASE,
)
_CALENDAR = re.compile(
    r"calendar|schedule|events?|archives?|カレンダー|%E3%82%AB%E3%83%AC%E3%83%B3%E3%83%80%E3%83%BC", re.I
)
_DAY = re.compile(r"(?<!\d)((?:19|20|21)\d\d)[-/._]?(0?[1-9]|1[0-2])(?!\d)|(?:year|yr|y)=(\d{4})(?!\d)", re.IGNORECASE)
_FACETS = re.compile(
    r"(?:sort|order|dir|filter|color|size|price|view|limit|per_?page|replytocom|print|share)", re.IGNORECASE
)


_HOME = re.compile(r"index|home|main|top|default|start|welcome", re.IGNORECASE)
MAX_VARIANTS = 40
"""So many queries are followed on one path, or with one id."""
_ID = re.compile(
    r"(?:\w*[_-])?(?:id|no|idx|num|number|code|sku|seq|srl)|[a-z]+(?:Id|No|Idx|Num|Code|Seq)|[pi]|pid|gid|"
    r"(?:product|goods|item|article|post|brand)(?:id|no|uid|code)?"
)
"""Names of what tells one page from another in shops and boards: `product_no`, `wr_id`, `goodsNo`, `document_srl`."""
_NO_ID = re.compile(
    r"(?:^|[_-])(?:page|offset|start|limit|day|date|month|year|sort|order|ref|from|return|sess|token|rand|time|colou?r|"
    r"size|view)",
    re.IGNORECASE,
)
_OF_MANY = re.compile(r"cat|group|type|brand(?!uid)|shop|lang|[xm]code|table", re.IGNORECASE)
_ID_VALUE = re.compile(r"[\w.~%-]{1,64}")


# What no honest page's URL goes beyond:
URL_LENGTH = 1_024
SEGMENTS = 12
REPEATS = 3
"""So often may one path segment occur."""
PARAMETERS = 6
YEARS_AHEAD = 1


class Scope:
    """The part of the web that a job may read. Patterns are of paths (`/help/*`) or whole URLs; `*` is any text."""

    def __init__(
        self,
        start: str,
        *,
        domains: Iterable[str] = (),
        include: Iterable[str] = (),
        exclude: Iterable[str] = (),
        max_depth: int = 10,
        today: date | None = None,
    ) -> None:
        address = canonical(start)
        if address is None:
            raise ValueError("the start is no http(s) URL")
        self.start = address
        self._hosts = tuple({_bare(host_of(address)), *(_bare(each.lower()) for each in domains)})
        self._include, self._exclude = tuple(include), tuple(exclude)
        self._max_depth = max_depth
        self._last_year = today.year + YEARS_AHEAD if today else 9_999

    def has_host(self, url: str) -> bool:
        """Whether a canonical URL is on this site at all."""
        return is_within(host_of(url), self._hosts)

    def refusal(self, url: str, depth: int = 0) -> Refusal | None:
        """Why a canonical URL, `depth` links from the start, is not read; None if it is. Linear in its length."""
        if not self.has_host(url):
            return "other_site"
        if depth > self._max_depth:
            return "too_deep"
        if url == self.start:
            return None
        name = path_of(url).rpartition("/")[2]
        if _NO_PAGE.fullmatch(name[name.rfind(".") :] if "." in name else ""):
            return "not_a_page"
        if self._include and not any(_matches(each, url) for each in self._include):
            return "excluded"
        if any(_matches(each, url) for each in self._exclude):
            return "excluded"
        return "trap" if self._is_trap(url) else None

    def _is_trap(self, url: str) -> bool:
        path, _, query = url.split("/", 3)[3].partition("?")
        segments = [part for part in path.split("/") if part]
        names = [part.partition("=")[0] for part in query.split("&") if part]
        if len(url) > URL_LENGTH or len(segments) > SEGMENTS or len(names) > PARAMETERS:
            return True
        if any(segments.count(part) >= REPEATS for part in segments) or _is_looped(segments):
            return True
        if sum(bool(_FACETS.match(name)) for name in names) > 2:  # every mix of filters is a page
            return True
        days = _DAY.finditer(url) if _CALENDAR.search(url) or "year=" in query else ()
        return any(int(found[1] or found[3]) > self._last_year for found in days)


class Variants:
    """Counts the queries seen on each path, so that one page with endless parameters stays one page's worth."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}

    def admit(self, url: str) -> bool:
        """Whether a canonical URL that wasn't seen before is still within its path's number; counts it if so."""
        key = variant_key(url)
        if key is None:
            return True
        count = self._seen.get(key, 0)
        if count >= MAX_VARIANTS:
            return False
        self._seen[key] = count + 1
        return True


def folder_of(start: str) -> tuple[str, ...]:
    """Patterns of what a start address in canonical form means if nothing else is said: its folder and all below it,
    for hosts are shared by folder too. () for the whole site: from its home page, or from a file beside that.
    """
    folder, _, name = path_of(start).rpartition("/")
    if folder:
        return (f"{folder}/*",)
    if not name or "." in name or _HOME.fullmatch(name):
        return ()
    return (f"/{name}", f"/{name}?*", f"/{name}/*")  # a folder that is named without its slash


def is_within(host: str, domains: Iterable[str]) -> bool:
    """Whether a host is one of these or below one; `www.` and `*.` ahead of a domain mean no less than all of it."""
    bare = (_bare(each.lower()) for each in domains)
    return any(host == each or host.endswith("." + each) for each in bare)


def variant_key(url: str) -> str | None:
    """What a URL is counted under: its path, for a calendar without its numbers, with its id where the query names one.
    None if it has no variants: an id alone is a page.
    """
    base, _, query = url.partition("?")
    if _CALENDAR.search(url) and _DAY.search(url):
        return re.sub(r"\d+", "#", base)
    parts = query.split("&")
    ids = [part for part in parts if _is_id(part)]
    if not ids:
        return base if query else None
    own = next((part for part in ids if not _OF_MANY.search(part.partition("=")[0])), ids[0])
    return f"{base}?{own}" if len(parts) > 1 else None


def _is_id(part: str) -> bool:
    name, _, value = part.partition("=")
    return bool(_ID.fullmatch(name) and not _NO_ID.search(name) and _ID_VALUE.fullmatch(value))


def _bare(host: str) -> str:
    rest = host.removeprefix("*.").removeprefix("www.")
    return rest if "." in rest else host


def _is_looped(segments: list[str]) -> bool:
    """`/a/b/a/b`: a relative link that goes round."""
    for size in range(1, len(segments) // 2 + 1):
        tail = segments[-size:]
        if size > 1 and segments[-2 * size : -size] == tail:
            return True
    return False


def _matches(pattern: str, url: str) -> bool:
    """Whether the whole of the path with its query (or of the URL, for a pattern with `://`) fits."""
    text = url if "://" in pattern else "/" + url.split("/", 3)[3]
    first, *rest = pattern.split("*")
    if not rest:
        return text == first
    *middle, last = rest
    if not text.startswith(first) or len(text) < len(first) + len(last) or not text.endswith(last):
        return False
    place, end = len(first), len(text) - len(last)
    for part in middle:
        found = text.find(part, place, end)
        if found < 0:
            return False
        place = found + len(part)
    return True
