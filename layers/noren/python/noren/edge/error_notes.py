"""What goes into a tenant's error log of a call that failed or was refused: nothing that was sent with it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from noren.edge.http import Caller, Request, Route
from noren.edge.respond import told
from noren.errors import NorenError
from noren.ids import TenantId
from noren.insight.error_log import WORTH_A_LOOK

if TYPE_CHECKING:
    from noren.wiring import Services

_log = logging.getLogger("noren.edge")


def note(
    error: Exception, route: Route | None, request: Request, services: Services, caller: Caller | None, site_id: str
) -> None:
    """Log an error of a known caller for its tenant's owner. `site_id`: the site that was asked, as it was sent."""
    known = told(error)
    if known.status < 500 and known.status not in WORTH_A_LOOK:
        return
    if caller is None or caller.tenant_id is None or (route is not None and route.access.platform_admin):
        return
    own = caller.site_id or _own(caller.tenant_id, site_id, services)
    services.error_log.note(caller.tenant_id, own, known.status, known.code, known.detail, request.trace_id)


def _own(tenant_id: TenantId, site_id: str, services: Services) -> str:
    """The site's id where it is the tenant's; whatever else was sent names no site."""
    if not site_id:
        return ""
    try:
        return services.sites.get(tenant_id, site_id).site_id
    except NorenError:
        return ""
    except Exception as failure:  # the error itself must go out
        _log.warning("the site of an error was not read: %s", type(failure).__name__)
        return ""
