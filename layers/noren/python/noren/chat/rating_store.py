"""Ratings of an experiment's answers: counted by arm in the transaction that stores the feedback, so exactly once.

`XRT#<tenant>#<experiment>` / `ARM#<arm>` holds `r1` to `r5`: how many answers have that rating now.
"""

from __future__ import annotations

from typing import Any

from noren.ids import TenantId
from noren.tables import tenant_key, to_item


def counted(table: str, tenant: TenantId, arm: tuple[str, str], rating: int, before: int | None) -> dict[str, Any]:
    """The write that counts a rating for its (experiment, arm), instead of the one `before` it, if there was one."""
    experiment_id, name = arm
    change, values = f"ADD r{rating} :one", {":one": 1}
    if before is not None:
        change, values = f"{change}, r{before} :less", {":one": 1, ":less": -1}
    return {
        "Update": {
            "TableName": table,
            "Key": to_item({"pk": tenant_key(tenant, "XRT", experiment_id), "sk": f"ARM#{name}"}),
            "UpdateExpression": change,
            "ExpressionAttributeValues": to_item(values),
        }
    }
