"""Reports on the whole run: a chat shows in its tenant's usage and in the platform's, by the stream alone."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.e2e.client import Client, Stack

pytestmark = pytest.mark.e2e

SECONDS = 60
"""The stream, its batch window, the function's first start."""


def rows(client: Client, query: str, enough: int) -> list[dict[str, Any]]:
    """A report's rows, once they tell of that many requests."""
    until = time.monotonic() + SECONDS
    while True:
        found: list[dict[str, Any]] = client.ok("GET", f"/api/v1/usage?{query}")["items"]
        if sum(row["requests"] for row in found) >= enough:
            return found
        assert time.monotonic() < until, f"after {SECONDS} s there is only {found}"
        time.sleep(2)  # 50 reports a minute are allowed


def test_chats_show_in_the_reports(stack: Stack, admin: Client) -> None:
    user, me = stack.newcomer("usage")
    answers = [user.chat("When are you open?") for _ in range(3)]
    found = rows(user, "group_by=model", enough=3)
    assert sum(row["chats"] for row in found) == 3
    assert {row["group"] for row in found} == {answer["model_used"] for answer in answers}
    assert sum(row["tokens_output"] for row in found) == sum(answer["tokens_consumed"]["output"] for answer in answers)
    (site,) = user.ok("GET", f"/api/v1/usage?group_by=site&site_id={me['tenant']['default_site_id']}")["items"]
    assert (site["group"], site["chats"]) == (me["tenant"]["default_site_id"], 3)
    table = user.call("GET", "/api/v1/usage?granularity=month", accept="text/csv")
    assert table.headers["content-type"].startswith("text/csv")
    head, line = table.text.splitlines()
    assert dict(zip(head.split(","), line.split(","), strict=True))["chats"] == "3"

    cursor, ours = "", list[Any]()
    while not ours:
        page = admin.ok("GET", "/api/v1/admin/usage?limit=100" + (f"&cursor={cursor}" if cursor else ""))
        ours = [row for row in page["items"] if row["tenant_id"] == me["tenant"]["tenant_id"]]
        cursor = page["next_cursor"]
        assert ours or cursor, "the tenant is missing in the platform's report"
    assert ours[0]["chats"] == 3
    assert (ours[0]["plan"], ours[0]["revenue"]) == ("free", 0)
