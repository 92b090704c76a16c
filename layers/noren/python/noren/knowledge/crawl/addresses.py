"""One spelling for each page's URL, so that a page is one document however it is linked."""

from __future__ import annotations

import re
from urllib.parse import urljoin

from noren.fetching.errors import FetchFailed
from noren.fetching.urls import Url, parse

_PERCENT = re.compile(r"%([0-9a-fA-F]{2})")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")
_SESSION_IN_PATH = re.compile(r";(?:jsessionid|phpsessid|sid)=[^/;]*", re.IGNORECASE)
_TRACKING = re.compile(
    r"utm_\w+|[gdw]clid|gbraid|wbraid|gclsrc|fbclid|yclid|msclkid|twclid|ttclid|igshid|mc_[ce]id|_g[al]|_hs(?:enc|mi)|"
    r"n_(?:media|query|rank|ad|ad_group|ad_group_type|keyword|keyword_id|campaign_type|match)"
)
"""What advertisers add to see where a visitor came from (`n_…` are Naver's, but `n_idx` may be a page)."""
_SESSION = re.compile(
    r"phpsessid|jsessionid|aspsessionid\w*|cfid|cftoken|session_?id|sess_?id|osCsid|zenid", re.IGNORECASE
)
_PERHAPS_SESSION = re.compile(r"(?:s|sid|sess|token)=[0-9a-f]{16,}", re.IGNORECASE)


def canonical(url: str, base: str = "") -> str | None:
    """The one spelling of a page's absolute URL; None for what is no http(s) URL.

    Lower-case host, no default port, no fragment, no `.` and `..`, no parameters that only track or carry a session,
    the others sorted by name. A trailing slash stays as it is: it may be another page.
    """
    try:
        joined = urljoin(base, url.strip()) if base else url.strip()
        parsed = parse(joined)
    except (FetchFailed, ValueError):
        return None
    path, _, query = parsed.target.partition("?")
    path = _without_dots(_SESSION_IN_PATH.sub("", _same_escapes(path)))
    kept = sorted(
        (part for part in _same_escapes(query).split("&") if part and not _is_noise(part)),
        key=lambda part: part.partition("=")[0],
    )
    target = f"{path}?{'&'.join(kept)}" if kept else path
    return str(Url(parsed.scheme, parsed.host, parsed.port, target))


def host_of(url: str) -> str:
    """The host of a URL in canonical form."""
    authority = url.split("/", 3)[2]
    return authority if authority.endswith("]") else re.sub(r":\d+$", "", authority)


def origin_of(url: str) -> str:
    """The scheme and authority of a URL in canonical form: what one robots.txt holds for."""
    return "/".join(url.split("/", 3)[:3])


def path_of(url: str) -> str:
    """The path of a URL in canonical form, without its query."""
    return "/" + url.split("/", 3)[3].partition("?")[0]


def _is_noise(part: str) -> bool:
    name = part.partition("=")[0]
    return bool(_TRACKING.fullmatch(name) or _SESSION.fullmatch(name) or _PERHAPS_SESSION.fullmatch(part))


def _same_escapes(text: str) -> str:
    """`%7e` and `~` are one character; what must stay escaped is in upper case."""

    def one(match: re.Match[str]) -> str:
        character = chr(int(match[1], 16))
        return character if _UNRESERVED.fullmatch(character) else match[0].upper()

    return _PERCENT.sub(one, text)


def _without_dots(path: str) -> str:
    kept: list[str] = []
    parts = path.split("/")[1:]
    for part in parts:
        if part == "..":
            del kept[-1:]
        elif part != ".":
            kept.append(part)
    if parts[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)
