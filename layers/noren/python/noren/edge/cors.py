"""Which pages may read our answers: the console, and on visitors' routes those that the site of the URL allows."""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from noren.edge.http import SITE_KEY, Request, Route
from noren.errors import NotFound
from noren.sites.origins import allows

if TYPE_CHECKING:
    from noren.sites.models import Site
    from noren.wiring import Services

METHODS = "GET, POST, PUT, PATCH, DELETE"
HEADERS = "authorization, content-type, idempotency-key, x-tenant-id, traceparent"
VISITORS_HEADERS = "authorization, content-type, idempotency-key"
EXPOSED_HEADERS = "x-trace-id, retry-after, idempotency-replayed, link"
PREFLIGHT_SECONDS = 600
"""For so long a browser asks no second time."""

_log = logging.getLogger("noren.edge")


@lru_cache(maxsize=8)
def origin_of(url: str) -> str:
    """`https://console.example` of a URL; "" of an empty one."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else ""


def answer_headers(request: Request, route: Route | None, services: Services) -> dict[str, str]:
    """What lets the page that asks read the answer; nothing for a page that may not."""
    origin = request.headers.get("origin", "")
    if not origin or not (_is_console(origin, services) or _is_sites(origin, request, route, services)):
        return {}
    return {"access-control-allow-origin": origin, "access-control-expose-headers": EXPOSED_HEADERS}


def preflight_headers(request: Request, services: Services) -> dict[str, str]:
    """What a page that may read the answer may send."""
    is_console = _is_console(request.headers["origin"], services)
    return {
        "access-control-allow-methods": METHODS,
        "access-control-allow-headers": HEADERS if is_console else VISITORS_HEADERS,
        "access-control-max-age": str(PREFLIGHT_SECONDS),
    }


def _is_console(origin: str, services: Services) -> bool:
    return origin == origin_of(services.settings.console_url)


def _is_sites(origin: str, request: Request, route: Route | None, services: Services) -> bool:
    """Whether the site that the URL names allows the origin. What it was up to 30 s ago counts; nothing is written."""
    if route is None or not route.access.visitor:
        return False
    try:
        site = _site(request, route, services)
        return site is not None and allows(site, origin)
    except NotFound:
        return False
    except Exception as error:  # an answer must go out, be it unread
        _log.warning("the site of an origin was not read: %s", type(error).__name__)
        return False


def _site(request: Request, route: Route, services: Services) -> Site | None:
    if key := request.query.get(SITE_KEY):
        return services.sites.of_key(key)
    site_id = request.query.get("site_id") if route.access.public else None
    return services.sites.of_id(site_id) if site_id else None
