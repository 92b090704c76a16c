"""`noren usage rebuild`: are the stored summaries what the records come to?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from noren.cli.commands import _tenant
from noren.cli.deployment import Deployment
from noren.cli.output import FAILED, OK, USAGE, CliError, progress, progress_done, show
from noren.tenants.models import Tenant
from noren.usage.proof import Difference
from noren.usage.summary_store import Summary
from noren.usage.tally import total


def rebuild(deployment: Deployment, wanted: str | None, first: str | None, last: str | None) -> dict[str, Any]:
    """Count the records of some days (all that are kept) again, compare, and mend what differs.

    Raises CliError for days whose records are not kept any more.
    """
    prover = deployment.services.usage_prover
    checked: dict[str, int] = {}
    differences: list[str] = []
    equal, tenants = True, 0
    for tenant in [_tenant(deployment, wanted)] if wanted else _everybody(deployment):
        kept, today = prover.kept_days(tenant.tenant_id)
        if first and first < kept:
            raise CliError(f"Records are kept for 13 months: the first whole day is {kept}.", USAGE)
        proof = prover.prove(tenant.tenant_id, first or kept, min(last or today, today))
        checked = {kind: checked.get(kind, 0) + count for kind, count in proof.checked.items()}
        differences += [f"{tenant.tenant_id} {_told(each)}" for each in proof.differences]
        equal = equal and proof.equal
        tenants += 1
        progress(f"{tenants} tenants, {len(differences)} differences")
    progress_done()
    counted = {f"{kind}s": count for kind, count in checked.items()}
    return {"tenants": tenants, **counted, "equal": equal, "differences": differences}


def main(
    deployment: Deployment, wanted: str | None, first: str | None, last: str | None, *, as_json: bool = False
) -> int:
    """Run it and print what it found; 1 if anything differed that was not under way."""
    found = rebuild(deployment, wanted, first, last)
    differences = found["differences"]
    show(found if as_json else found | {"differences": len(differences)}, as_json=as_json)
    if not as_json:
        for each in differences:
            print(f"  {each}")
    return OK if found["equal"] else FAILED


def _everybody(deployment: Deployment) -> Iterator[Tenant]:
    position: dict[str, str] | None = None
    while True:
        found, position = deployment.services.tenants.search("", "", 100, position)
        yield from found
        if position is None:
            return


def _told(each: Difference) -> str:
    what = "mended" if each.mended else "kept"
    way = " (under way)" if each.recent else ""
    place = f" of {each.site_id}" if each.site_id else ""
    return f"{each.kind} {each.period}{place}: {_sum(each.stored)} stored, {_sum(each.made)} counted; {what}{way}"


def _sum(summary: Summary | None) -> str:
    if summary is None:
        return "nothing"
    whole = total(summary.cells)
    return f"{whole.requests} requests and {whole.cost_usd:f} USD in {summary.revisions} revisions"
