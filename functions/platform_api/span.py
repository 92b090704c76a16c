"""Lists of what happened on some days of the tenant's time zone (both ends included), at one site or at all."""

from __future__ import annotations

from noren.edge.http import Call
from noren.errors import BadRequest
from noren.usage.periods import SECONDS, quarters_of_day


def span(call: Call, earliest: float, latest: float) -> tuple[float, float]:
    """The query's days as epoch seconds, the second one not included; `earliest` and `latest` where none is named.

    Raises BadRequest for days in the wrong order.
    """
    query, zone = call.query, call.services.tenants.get(call.tenant_id).timezone
    since = quarters_of_day(query.from_, zone).start * SECONDS if query.from_ else earliest
    until = quarters_of_day(query.to, zone).stop * SECONDS if query.to else latest
    if query.from_ and query.to and query.from_ > query.to:
        raise BadRequest(errors=[{"field": "from", "message": f"this is later than {query.to}"}])
    return since, max(since, until)


def sites(call: Call) -> list[str]:
    """The query's site, else all of the tenant's that are not deleted. Raises NotFound for a site that is not."""
    if call.query.site_id:
        return [call.services.sites.get(call.tenant_id, call.query.site_id).site_id]
    return [each.site_id for each in call.services.sites.every(call.tenant_id) if each.status != "deleted"]
