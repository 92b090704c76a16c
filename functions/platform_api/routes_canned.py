"""A site's canned responses: what it answers by itself."""

from __future__ import annotations

from noren.edge.http import Access, Call, Response, Route
from noren.edge.paging import Page, paged
from noren.ids import TenantId
from noren.sites.canned_models import CannedResponse
from noren.tenants.models import Role
from platform_api import schemas_canned as c

READ = Access(role=Role.VIEWER, scope="read")
CHANGE = Access(role=Role.EDITOR, scope="admin")
MADE_PER_HOUR = 1000
"""New responses of a tenant: those deleted again stay for 30 days, and a site's number does not bound them."""


def list_canned(call: Call) -> Page[c.CannedOut]:
    """A site's responses."""

    def read(limit: int, at: dict[str, str] | None) -> tuple[list[CannedResponse], dict[str, str] | None]:
        before = at["before"] if at else None
        found, following = call.services.canned.page(*_site(call), limit, before, deleted=call.query.deleted)
        return found, {"before": following} if following else None

    items, cursor = paged(call, call.request.path, read)
    return Page(items=[c.CannedOut.of(each) for each in items], next_cursor=cursor)


def create_canned(call: Call) -> c.CannedOut:
    """A further response."""
    body: c.CannedIn = call.body
    where = _site(call)
    count_made(call)
    patterns, actor = body.given_patterns(), call.caller.principal
    made = call.services.canned.create(
        *where, patterns, body.answer, actor, questions=body.questions, enabled=body.enabled
    )
    return c.CannedOut.of(made)


def get_canned(call: Call) -> c.CannedOut:
    """One response, as it is now."""
    return c.CannedOut.of(call.services.canned.get(*_which(call)))


def patch_canned(call: Call) -> c.CannedOut:
    """Change a response."""
    body: c.CannedPatch = call.body
    changed = call.services.canned.change(*_which(call), body.given(), call.caller.principal, body.version)
    return c.CannedOut.of(changed)


def delete_canned(call: Call) -> Response:
    """Not given any more within 30 s."""
    call.services.canned.delete(*_which(call), call.caller.principal)
    return Response(status=204)


def restore_canned(call: Call) -> c.CannedOut:
    """Bring a deleted response back."""
    return c.CannedOut.of(call.services.canned.restore(*_which(call), call.caller.principal))


def count_made(call: Call) -> None:
    """Count a new response. Raises RateLimited."""
    call.services.limiter.check(f"canned#{call.tenant_id}", MADE_PER_HOUR, 3600)


def _site(call: Call) -> tuple[TenantId, str]:
    site = call.services.site_management.get(call.tenant_id, call.params["site_id"])
    return site.tenant_id, site.site_id


def _which(call: Call) -> tuple[TenantId, str, str]:
    return *_site(call), call.params["canned_id"]


ALL = "/api/v1/sites/{site_id}/canned"
ONE = f"{ALL}/{{canned_id}}"

ROUTES = (
    Route(
        "GET",
        ALL,
        list_canned,
        READ,
        "A site's canned responses, newest first",
        answer=Page[c.CannedOut],
        query=c.CannedQuery,
    ),
    Route(
        "POST",
        ALL,
        create_canned,
        CHANGE,
        "Make a canned response; it is given within 30 s",
        answer=c.CannedOut,
        body=c.CannedIn,
        status=201,
        idempotent=True,
    ),
    Route("GET", ONE, get_canned, READ, "A canned response", answer=c.CannedOut),
    Route(
        "PATCH",
        ONE,
        patch_canned,
        CHANGE,
        "Change a canned response",
        answer=c.CannedOut,
        body=c.CannedPatch,
        before=get_canned,
    ),
    Route(
        "DELETE",
        ONE,
        delete_canned,
        CHANGE,
        "Delete a canned response; it can be restored for 30 days",
        status=204,
        before=get_canned,
    ),
    Route(
        "POST",
        f"{ONE}/restore",
        restore_canned,
        CHANGE,
        "Restore a canned response",
        answer=c.CannedOut,
        idempotent=True,
    ),
)
