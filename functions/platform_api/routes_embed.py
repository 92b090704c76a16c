"""What pages of other origins load: the embed script and the settings that it starts with. Public and cacheable."""

from __future__ import annotations

from noren.edge.http import Access, Call, Response, Route
from noren.edge.respond import to_json
from noren.errors import NotFound
from noren.sites import embed
from platform_api import schemas_sites as s
from platform_api.widget_build import build

PAGES = Access(public=True, visitor=True)
CACHED = {"cache-control": "public, max-age=60"}
"""So long a change may go unseen in a browser, besides our own half minute."""
SCRIPT = {"content-type": "text/javascript; charset=utf-8", "cross-origin-resource-policy": "cross-origin"}


def script(call: Call) -> Response:
    """The loader with the site's settings in it."""
    try:
        settings = _published(call)
    except NotFound:
        return Response(embed.UNKNOWN.encode(), 404, SCRIPT | CACHED)
    return _cached(call, embed.script(build().loader, settings).encode(), SCRIPT)


def config(call: Call) -> Response:
    """The same settings as JSON, for the loader whose text never changes."""
    return _cached(call, to_json(_published(call)), {"content-type": "application/json"})


def _published(call: Call) -> dict[str, object]:
    """What the world may know of the site that the URL names. Raises NotFound."""
    services = call.services
    site = services.sites.of_id(call.query.site_id)
    made = build()
    url = f"{services.settings.console_url.rstrip('/')}/widget/{made.bundle_file}"
    bundle = embed.Bundle(url, made.bundle_integrity)
    greeting = services.sites.profile(site).published.content.greeting_message
    tenant = services.tenants.get(site.tenant_id)
    return embed.published(site, tenant, services.settings.inference_url, bundle, greeting)


def _cached(call: Call, body: bytes, headers: dict[str, str]) -> Response:
    """The body, or nothing where the caller has it already."""
    tag = embed.etag(body)
    if embed.is_known(tag, call.request.headers.get("if-none-match", "")):
        return Response(b"", 304, headers | CACHED | {"etag": tag})
    return Response(body, 200, headers | CACHED | {"etag": tag})


ROUTES = (
    Route(
        "GET",
        "/api/v1/embed/script",
        script,
        PAGES,
        "The script that puts a site's widget into a page",
        query=s.EmbedQuery,
        media="text/javascript",
        aliases=("/api/embed/script",),
    ),
    Route(
        "GET",
        "/api/v1/embed/config",
        config,
        PAGES,
        "The settings of a site's widget, as the pinned loader fetches them",
        answer=s.EmbedOut,
        query=s.EmbedQuery,
    ),
)
