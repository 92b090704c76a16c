"""A tenant's sites: settings, keys, snippets; deleted ones come back for 30 days."""

from __future__ import annotations

from html import escape

from noren.clock import iso
from noren.edge.http import Access, Call, Response, Route
from noren.edge.paging import Page, paged
from noren.ids import TenantId
from noren.sites.management import RESTORABLE_SECONDS
from noren.sites.models import Site
from noren.sites.widget import whole
from noren.tenants.models import Role
from platform_api import schemas_sites as s
from platform_api.views import when
from platform_api.widget_build import build

READ = Access(role=Role.VIEWER, scope="read")
CHANGE = Access(role=Role.EDITOR, scope="admin")
MADE_PER_HOUR = 60
"""New sites of a tenant: those deleted again stay for 30 days, and a plan's number does not bound them."""


def list_sites(call: Call) -> Page[s.SiteOut]:
    """Sites, newest first."""
    statuses = (call.query.status,) if call.query.status else ()

    def read(limit: int, position: dict[str, str] | None) -> tuple[list[Site], dict[str, str] | None]:
        before = position["before"] if position else None
        found, following = call.services.site_management.page(call.tenant_id, statuses, limit, before)
        return found, {"before": following} if following else None

    items, following = paged(call, "/api/v1/sites", read)
    return Page(items=[_view(call, each) for each in items], next_cursor=following)


def create_site(call: Call) -> s.SiteOut:
    """A further site."""
    call.services.limiter.check(f"sites#{call.tenant_id}", MADE_PER_HOUR, 3600)
    made = call.services.site_management.create(call.tenant_id, call.body.given(), call.caller.principal)
    return _view(call, made)


def get_site(call: Call) -> s.SiteOut:
    """One site, as it is now."""
    return _view(call, call.services.site_management.get(*_which(call)))


def site_before(call: Call) -> s.SiteOut:
    """The site as it was."""
    return _view(call, call.services.site_management.get(*_which(call), or_restorable=True))


def patch_site(call: Call) -> s.SiteOut:
    """Change settings."""
    body: s.SitePatch = call.body
    management = call.services.site_management
    return _view(call, management.change(*_which(call), body.given(), call.caller.principal, body.version))


def delete_site(call: Call) -> Response:
    """Out of reach within 30 s, and crawled no more."""
    call.services.site_management.delete(*_which(call), call.caller.principal)
    call.services.crawls.stop(*_which(call))
    return Response(status=204)


def restore_site(call: Call) -> s.SiteOut:
    """Bring a deleted site back."""
    return _view(call, call.services.site_management.restore(*_which(call), call.caller.principal))


def rotate_key(call: Call) -> s.SiteOut:
    """A new public key."""
    management = call.services.site_management
    return _view(call, management.rotate_key(*_which(call), call.body.overlap_hours, call.caller.principal))


def revoke_previous_key(call: Call) -> s.SiteOut:
    """End the overlap at once."""
    return _view(call, call.services.site_management.revoke_previous_key(*_which(call), call.caller.principal))


def rotate_embed(call: Call) -> s.SiteOut:
    """Void loaders and visitors' tokens."""
    return _view(call, call.services.site_management.rotate_embed(*_which(call), call.caller.principal))


def snippets(call: Call) -> s.SnippetsOut:
    """What to paste into a page."""
    settings, made = call.services.settings, build()
    site = call.services.site_management.get(*_which(call))
    api = settings.platform_url.rstrip("/")
    evergreen = f"{api}/api/embed/script?site_id={site.site_id}"
    scripts = f"{settings.console_url.rstrip('/')}/widget"
    pinned, panel = f"{scripts}/{made.loader_file}", f"{scripts}/{made.bundle_file}"
    shown = {"src": pinned, "integrity": made.loader_integrity, "crossorigin": "anonymous"}
    shown |= {"data-site-id": site.site_id, "data-api": api}
    shown |= {"data-panel": panel, "data-panel-integrity": made.bundle_integrity}
    return s.SnippetsOut(
        evergreen=s.EvergreenOut(html=_tag({"src": evergreen}), src=evergreen),
        pinned=s.PinnedOut(
            html=_tag(shown),
            src=pinned,
            integrity=made.loader_integrity,
            data_site_id=site.site_id,
            data_api=api,
            data_panel=panel,
            data_panel_integrity=made.bundle_integrity,
        ),
    )


def _tag(attributes: dict[str, str]) -> str:
    written = " ".join(f'{name}="{escape(value)}"' for name, value in attributes.items())
    return f"<script {written} async></script>"


def _which(call: Call) -> tuple[TenantId, str]:
    return call.tenant_id, call.params["site_id"]


def _view(call: Call, site: Site) -> s.SiteOut:
    default_id = call.services.sites.default_id(call.services.tenants.get(call.tenant_id))
    plain = {name: getattr(site, name) for name in s.SiteOut.model_fields if hasattr(site, name)}
    times = {name: when(getattr(site, name)) for name in ("last_trained_at", "updated_at", "deleted_at")}
    is_overlap = site.previous_key and call.services.clock() < site.previous_key_until
    restorable_until = None if site.deleted_at is None else site.deleted_at + RESTORABLE_SECONDS
    return s.SiteOut.model_validate(
        plain
        | times
        | {
            "domains": list(site.domains),
            "allowed_domains": list(site.allowed_domains),
            "widget_config": whole(site.widget_config),
            "is_default": site.site_id == default_id,
            "created_at": iso(site.created_at),
            "previous_key_until": iso(site.previous_key_until) if is_overlap else None,
            "restorable_until": when(restorable_until),
        }
    )


ONE = "/api/v1/sites/{site_id}"

ROUTES = (
    Route("GET", "/api/v1/sites", list_sites, READ, "Sites, newest first", answer=Page[s.SiteOut], query=s.SitesQuery),
    Route(
        "POST",
        "/api/v1/sites",
        create_site,
        CHANGE,
        "Make a site",
        s.SiteOut,
        s.SiteIn,
        status=201,
        idempotent=True,
    ),
    Route("GET", ONE, get_site, READ, "A site", s.SiteOut),
    Route("PATCH", ONE, patch_site, CHANGE, "Change a site's settings", s.SiteOut, s.SitePatch, before=site_before),
    Route(
        "DELETE",
        ONE,
        delete_site,
        CHANGE,
        "Delete a site with what belongs to it; it can be restored for 30 days",
        status=204,
        before=site_before,
    ),
    Route(
        "POST",
        f"{ONE}/restore",
        restore_site,
        CHANGE,
        "Bring a deleted site back",
        s.SiteOut,
        idempotent=True,
        before=site_before,
    ),
    Route(
        "POST",
        f"{ONE}/key",
        rotate_key,
        CHANGE,
        "Give a site a new public key; the old one stays good for a while",
        s.SiteOut,
        s.KeyRotation,
        idempotent=True,
        before=site_before,
    ),
    Route(
        "DELETE",
        f"{ONE}/key/previous",
        revoke_previous_key,
        CHANGE,
        "Revoke the key before the last rotation at once",
        s.SiteOut,
        before=site_before,
    ),
    Route(
        "POST",
        f"{ONE}/embed",
        rotate_embed,
        CHANGE,
        "Give a site a new embed id: cached loaders and visitors' tokens are void",
        s.SiteOut,
        idempotent=True,
        before=site_before,
    ),
    Route("GET", f"{ONE}/snippets", snippets, READ, "What to paste into a page", s.SnippetsOut),
)
