"""Looks at what an owner names: an icon, a page that should carry the snippet."""

from __future__ import annotations

from dataclasses import asdict

from noren.edge.http import Access, Call, Route
from noren.sites.checks import Addresses
from noren.sites.checks import check_embed as look_at_page
from noren.sites.checks import check_icon as look_at_icon
from noren.tenants.models import Role
from platform_api import schemas_checks as s

CHANGE = Access(role=Role.EDITOR, scope="admin")


def check_icon(call: Call) -> s.IconCheckOut:
    """Fetch a picture and look at it."""
    call.services.site_management.get(call.tenant_id, call.params["site_id"])
    return s.IconCheckOut.model_validate(look_at_icon(call.services.fetcher, call.body.url))


def check_embed(call: Call) -> s.EmbedCheckOut:
    """Fetch a page and look for the snippet."""
    settings = call.services.settings
    site = call.services.site_management.get(call.tenant_id, call.params["site_id"])
    where = Addresses(settings.platform_url, settings.inference_url, settings.console_url)
    checked = look_at_page(call.services.fetcher, site, call.body.url, where)
    return s.EmbedCheckOut.model_validate(asdict(checked) | {"page": checked.url})


ROUTES = (
    Route(
        "POST",
        "/api/v1/sites/{site_id}/icon/check",
        check_icon,
        CHANGE,
        "Can this picture be the widget's icon?",
        s.IconCheckOut,
        s.UrlIn,
        rate="fetch",
    ),
    Route(
        "POST",
        "/api/v1/sites/{site_id}/embed/check",
        check_embed,
        CHANGE,
        "Is the snippet in this page, and will it work there?",
        s.EmbedCheckOut,
        s.UrlIn,
        rate="fetch",
    ),
)
