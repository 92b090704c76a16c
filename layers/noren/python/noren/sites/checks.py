"""Looks at what owners name: is this picture fit for an icon, is our snippet in that page and will it work there?

What is wrong is said in words for the owner, never with anything of the page or of who answers there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from noren.fetching.client import Fetched, Fetcher, Limits
from noren.fetching.errors import FetchFailed
from noren.fetching.urls import parse
from noren.sites import csp, origins
from noren.sites.models import Site
from noren.sites.page_scan import Script, scan

ICON_BYTES = 200_000
ICON = Limits(seconds=10.0, raw_bytes=ICON_BYTES, bytes=ICON_BYTES)
PAGE = Limits(seconds=15.0, raw_bytes=1_000_000, bytes=3_000_000)
SCRIPT_PATHS = ("/api/embed/script", "/api/v1/embed/script")
TRUSTED_TYPE = "noren"
"""The policy by which the widget's loader makes its second script."""

_MAGIC = {
    "image/png": (b"\x89PNG\r\n\x1a\n",),
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/gif": (b"GIF87a", b"GIF89a"),
    "image/x-icon": (b"\x00\x00\x01\x00",),
    "image/vnd.microsoft.icon": (b"\x00\x00\x01\x00",),
    "image/svg+xml": (b"<svg", b"<?xml", b"<!--", b"\xef\xbb\xbf<"),
}
"""What files of a type begin with. SVG is shown by `<img>` alone, where nothing in it runs."""

Kind = Literal["evergreen", "pinned", "none"]


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, as a code, and what to do about it."""

    code: str
    advice: str


@dataclass(frozen=True, slots=True)
class IconCheck:
    """Whether a picture can be an icon."""

    content_type: str
    size: int
    """Bytes."""
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class EmbedCheck:
    """Whether a page carries the site's snippet."""

    url: str
    """Where the page was, after redirects."""
    found: bool
    kind: Kind
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the parts of the widget are: base URLs."""

    platform: str
    """Answers the embed script and settings."""
    inference: str
    """What the widget calls."""
    console: str
    """Has the scripts, below `/widget/`."""


def check_icon(fetcher: Fetcher, url: str) -> IconCheck:
    """Fetch a picture and look at it."""
    try:
        got = fetcher.get(url, headers={"accept": "image/*"}, limits=ICON)
    except FetchFailed as failed:
        advice = f"It is larger than {ICON_BYTES // 1000} kB." if failed.code == "too_large" else failed.detail
        return IconCheck("", 0, (Problem(failed.code, advice),))
    content_type = _content_type(got)
    problems = []
    if got.status != 200:
        problems.append(_bad_status(got))
    elif not _is_picture(content_type, got.body):
        advice = "It is no picture of a known type. Use PNG, JPEG, GIF, WebP, AVIF, ICO or SVG, sent with its type."
        problems.append(Problem("not_an_image", advice))
    if not got.url.startswith("https://"):
        problems.append(Problem("not_https", "Browsers show it on https:// pages only if it is on https:// too."))
    return IconCheck(content_type, len(got.body), tuple(problems))


def check_embed(fetcher: Fetcher, site: Site, url: str, where: Addresses) -> EmbedCheck:
    """Fetch a page and look for the site's snippet, and for what would keep it from working there."""
    try:
        got = fetcher.get(url, headers={"accept": "text/html,application/xhtml+xml"}, limits=PAGE)
    except FetchFailed as failed:
        return EmbedCheck(url, False, "none", (Problem(failed.code, failed.detail),))
    if got.status != 200:
        return EmbedCheck(got.url, False, "none", (_bad_status(got),))
    if _content_type(got) not in ("text/html", "application/xhtml+xml"):
        return EmbedCheck(got.url, False, "none", (Problem("not_html", "This is no page: it is not sent as HTML."),))
    page = scan(got.body, got.url)
    problems: list[Problem] = []
    ours: list[tuple[Kind, Script]] = []
    for each in page.scripts:
        snippet, site_id = _snippet(each, where)
        if snippet != "none" and site_id == site.site_id:
            ours.append((snippet, each))
        elif snippet != "none":
            advice = "There is a snippet of another site. Copy this site's snippet from the console."
            problems.append(Problem("other_site", advice))
    kind: Kind = "none"
    if not ours:
        advice = (
            "The snippet is not in the page. Paste it before </body>. If a tag manager puts it in, open the page in a "
            "browser instead: only what the server sends can be seen from here."
        )
        problems.append(Problem("not_found", advice))
    else:
        kind, script = ours[0]
        if len(ours) > 1:
            problems.append(Problem("twice", "The snippet is in the page more than once: one is enough."))
        if kind == "pinned" and not _is_pinned(script):
            advice = "The pinned snippet lost one of its attributes. Copy it again from the console."
            problems.append(Problem("not_pinned", advice))
        policies = csp.policies(got.headers.get("content-security-policy", ""), page.policies)
        problems += _blocked(policies, kind, script, site, got.url, where)
    problems += _refused(site, got.url)
    return EmbedCheck(got.url, bool(ours), kind, tuple(dict.fromkeys(problems)))


def _snippet(script: Script, where: Addresses) -> tuple[Kind, str]:
    """Which snippet of ours a script is, and of which site."""
    src, _, query = script.src.partition("?")
    if src in (where.platform.rstrip("/") + path for path in SCRIPT_PATHS):
        found = re.search(r"(?:^|&)site_id=([^&#]*)", query)
        return "evergreen", found[1] if found else ""
    if src.startswith(f"{where.console.rstrip('/')}/widget/loader."):
        return "pinned", script.attributes.get("data-site-id", "")
    return "none", ""


def _is_pinned(script: Script) -> bool:
    """Whether the browser checks the loader's hash, and the loader knows where the panel is and its hash."""
    given = script.attributes
    return "crossorigin" in given and all(given.get(n) for n in ("integrity", "data-panel", "data-panel-integrity"))


def _blocked(
    policies: list[csp.Policy], kind: Kind, script: Script, site: Site, page: str, where: Addresses
) -> list[Problem]:
    """What the page's own policy would not let through."""
    found = []
    nonce = script.attributes.get("nonce", "")
    bundle = f"{where.console.rstrip('/')}/widget/panel.js"
    calls = [where.inference, *([where.platform] if kind == "pinned" else [])]
    scripts = [script.src, bundle]
    if not all(csp.allows(policies, csp.SCRIPTS, each, page, nonce) for each in scripts):
        names = _origins([where.console] if kind == "pinned" else [where.platform, where.console])
        found.append(
            Problem("csp_scripts", f"The page's Content-Security-Policy blocks the widget: add {names} to script-src.")
        )
    if not all(csp.allows(policies, csp.CALLS, each, page) for each in calls):
        found.append(
            Problem(
                "csp_calls",
                f"The page's Content-Security-Policy blocks its answers: add {_origins(calls)} to connect-src.",
            )
        )
    icon = str(site.widget_config.get("bubble_icon_url", ""))
    if icon and not csp.allows(policies, csp.IMAGES, icon, page):
        found.append(
            Problem(
                "csp_icon", f"The page's Content-Security-Policy blocks the icon: add {_origins([icon])} to img-src."
            )
        )
    if not csp.lets_us_make_scripts(policies, TRUSTED_TYPE):
        found.append(
            Problem("csp_trusted_types", f"The page asks for Trusted Types: add {TRUSTED_TYPE} to trusted-types.")
        )
    return found


def _refused(site: Site, page: str) -> list[Problem]:
    """What our own side would not let in."""
    found = []
    here = parse(page)
    origin = f"{here.scheme}://{here.authority}"
    if not origins.allows(site, origin):
        found.append(
            Problem("origin_not_allowed", f"Visitors of this page are refused: add {origin} to the allowed domains.")
        )
    if not site.is_embed_enabled:
        found.append(Problem("embed_disabled", "The widget of this site is switched off."))
    if site.status != "active":
        found.append(Problem("site_disabled", "This site is paused."))
    return found


def _origins(urls: list[str]) -> str:
    return " and ".join(dict.fromkeys("{0.scheme}://{0.netloc}".format(urlsplit(url)) for url in urls))


def _bad_status(got: Fetched) -> Problem:
    return Problem("bad_status", f"It answers with the status {got.status} instead of 200. Is it public?")


def _content_type(got: Fetched) -> str:
    return got.headers.get("content-type", "").partition(";")[0].strip().lower()


def _is_picture(content_type: str, body: bytes) -> bool:
    match content_type:
        case "image/webp":
            return body[:4] == b"RIFF" and body[8:12] == b"WEBP"
        case "image/avif":
            return body[4:12] in (b"ftypavif", b"ftypavis")
        case "image/svg+xml":
            return body.lstrip().startswith(_MAGIC[content_type])
    return body.startswith(_MAGIC.get(content_type, ()))
